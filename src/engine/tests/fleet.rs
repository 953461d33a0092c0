//! Several engines over one database, and whoever says whose executions are whose: the test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, RwLock, broadcast, watch};

use super::house::{Outside, patiently, registry};
use crate::clock::{Clock, Timestamp};
use crate::engine::shell::{Ledger, Peer};
use crate::engine::{Engine, EngineOptions, Handle, Judgment, Verdict};
use crate::model::{ExecutionId, ExecutionKey, ExecutionView, NewExecution};
use crate::store::{Append, Created, Owned, Shard, Shards, Store, StoreError, Word};

/// Whose each shard is; what the table `shard` is to real replicas. Locked while something is written.
#[derive(Default)]
pub struct Deeds {
    owners: RwLock<Vec<Option<usize>>>,
    berths: Mutex<Vec<Arc<Berth>>>,
}

/// What one engine knows of it, which may be out of date.
pub struct Berth {
    pub number: usize,
    store: Store,
    deeds: Arc<Deeds>,
    owned: watch::Sender<Owned>,
    words: broadcast::Sender<Word>,
    /// Its lease is over by its own clock.
    pub lapsed: AtomicBool,
    /// It hears and says nothing.
    pub deaf: AtomicBool,
    /// What it writes takes until this is told.
    pub held_up: AtomicBool,
    pub release: Notify,
}

#[async_trait]
impl Ledger for Berth {
    async fn append(&self, batch: Vec<Append>) -> Result<(), StoreError> {
        while self.held_up.load(Ordering::SeqCst) {
            self.release.notified().await;
        }
        let (deeds, store, number) = (Arc::clone(&self.deeds), self.store.clone(), self.number);
        // A write that is on its way lands, even if the engine dies.
        let written = tokio::spawn(async move {
            // Whoever moves shards waits for this.
            let owners = deeds.owners.read().await;
            if batch.iter().any(|row| owners[row.shard.index()] != Some(number)) {
                return Err(StoreError::Fenced);
            }
            store.append(batch).await
        });
        written.await.expect("isn't cancelled")
    }
    fn is_shared(&self) -> bool {
        true
    }
    fn shards(&self) -> watch::Receiver<Owned> {
        self.owned.subscribe()
    }
    fn has_lease(&self) -> bool {
        !self.lapsed.load(Ordering::SeqCst)
    }
    fn holds(&self, shard: Shard) -> bool {
        self.has_lease() && self.owned.borrow().held.contains(shard)
    }
    fn release(&self, shards: Shards) {
        self.owned.send_modify(|owned| {
            owned.held = owned.held.without(shards);
            owned.leaving = owned.leaving.without(shards);
        });
        let (deeds, number) = (Arc::clone(&self.deeds), self.number);
        tokio::spawn(async move {
            let mut owners = deeds.owners.write().await;
            for shard in shards.iter() {
                owners[shard.index()].take_if(|owner| *owner == number);
            }
        });
    }
    fn leave(&self) {
        self.owned.send_modify(|owned| owned.leaving = owned.held);
    }
    fn tell(&self, word: Word) {
        if self.deaf.load(Ordering::SeqCst) {
            return;
        }
        for other in self.deeds.berths.lock().expect("lock").iter() {
            if other.number != self.number && !other.deaf.load(Ordering::SeqCst) {
                let _ = other.words.send(word).is_ok();
            }
        }
    }
    fn words(&self) -> broadcast::Receiver<Word> {
        self.words.subscribe()
    }
    async fn replicas(&self) -> Result<Vec<Peer>, StoreError> {
        let berths = self.deeds.berths.lock().expect("lock");
        let alive = berths.iter().filter(|berth| berth.has_lease());
        let peer = |berth: &Arc<Berth>| Peer {
            id: berth.number.to_string(),
            name: format!("replica-{}", berth.number),
            own: berth.number == self.number,
        };
        Ok(alive.map(peer).collect())
    }
}

/// The whole: one database, several engines.
pub struct Fleet {
    pub clock: Clock,
    pub store: Store,
    pub outside: Arc<Outside>,
    pub engines: Vec<Option<Engine>>,
    pub berths: Vec<Arc<Berth>>,
    deeds: Arc<Deeds>,
    options: EngineOptions,
}

impl Fleet {
    /// So many engines, among which the shards are divided evenly.
    pub async fn of(count: usize) -> Self {
        Self::with(count, EngineOptions::default()).await
    }

    pub async fn with(count: usize, options: EngineOptions) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let store = Store::temporary(clock.clone()).await.expect("opens");
        let deeds = Arc::new(Deeds { owners: RwLock::new(vec![None; Shard::COUNT]), berths: Mutex::default() });
        let mut fleet =
            Self { clock, store, outside: Arc::default(), engines: Vec::new(), berths: Vec::new(), deeds, options };
        for _ in 0..count {
            fleet.join().await;
        }
        for (place, shard) in Shards::ALL.iter().enumerate() {
            fleet.give([shard].into_iter().collect(), place % count).await;
        }
        fleet
    }

    /// One more engine, which has nothing yet.
    pub async fn join(&mut self) -> usize {
        let number = self.engines.len();
        let berth = Arc::new(Berth {
            number,
            store: self.store.clone(),
            deeds: Arc::clone(&self.deeds),
            owned: watch::Sender::new(Owned::NONE),
            words: broadcast::Sender::new(1000),
            lapsed: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            held_up: AtomicBool::new(false),
            release: Notify::new(),
        });
        self.deeds.berths.lock().expect("lock").push(Arc::clone(&berth));
        let ledger = Arc::clone(&berth) as Arc<dyn Ledger>;
        let engine = Engine::start_with(
            self.store.clone(),
            ledger,
            self.clock.clone(),
            registry(&self.outside),
            self.options.clone(),
        );
        self.engines.push(Some(engine.await.expect("starts")));
        self.berths.push(berth);
        number
    }

    /// The process is killed: nobody tells it anything, and its shards stay its own until somebody is given them.
    pub fn kill(&mut self, number: usize) {
        drop(self.engines[number].take());
        self.berths[number].lapsed.store(true, Ordering::SeqCst);
    }

    /// Moves shards. Who had them is told, and who has them.
    pub async fn give(&self, shards: Shards, to: usize) {
        self.take(shards, to).await;
        for berth in &self.berths {
            if berth.number != to {
                berth.owned.send_if_modified(|owned| {
                    let before = *owned;
                    owned.held = owned.held.without(shards);
                    owned.leaving = owned.leaving.without(shards);
                    *owned != before
                });
            }
        }
    }

    /// Moves shards by force: who had them isn't told.
    pub async fn take(&self, shards: Shards, to: usize) {
        let mut owners = self.deeds.owners.write().await;
        shards.iter().for_each(|shard| owners[shard.index()] = Some(to));
        drop(owners);
        self.berths[to].owned.send_modify(|owned| {
            owned.held = owned.held.and(shards);
            owned.leaving = owned.leaving.without(shards);
        });
    }

    /// Asks an engine to give shards back.
    pub fn ask_back(&self, shards: Shards, from: usize) {
        self.berths[from].owned.send_modify(|owned| owned.leaving = owned.leaving.and(shards));
    }

    /// The shards that an engine knows as its own.
    pub fn held(&self, number: usize) -> Shards {
        self.berths[number].owned.borrow().held
    }

    pub fn handle(&self, number: usize) -> Handle {
        self.engines[number].as_ref().expect("runs").handle()
    }

    /// The engine that has a shard.
    pub async fn owner(&self, shard: Shard) -> Option<usize> {
        self.deeds.owners.read().await[shard.index()]
    }

    /// Stores an execution, and hands it to one of the engines.
    pub async fn submit(&self, new: NewExecution, at: usize) -> (ExecutionId, Shard) {
        let (id, key) = self.create(new).await;
        self.handle(at).submit(key).await;
        (id, self.store.shard(key).await.expect("reads").expect("there"))
    }

    /// Stores an execution, and tells nobody.
    pub async fn create(&self, new: NewExecution) -> (ExecutionId, ExecutionKey) {
        let id = new.id;
        let Created::New(key) = self.store.create(new).await.expect("stored") else { panic!("new") };
        (id, key)
    }

    pub async fn view(&self, id: ExecutionId) -> ExecutionView {
        crate::engine::stored_view(&self.store, id).await.expect("readable").expect("there")
    }

    /// Waits until the committed view shows something; time goes on meanwhile, slowly.
    pub async fn until(&self, id: ExecutionId, what: &str, shows: impl Fn(&ExecutionView) -> bool) -> ExecutionView {
        patiently(what, async {
            loop {
                let view = self.view(id).await;
                if shows(&view) {
                    return view;
                }
                self.clock.advance(Duration::from_millis(200));
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    pub async fn until_complete(&self, id: ExecutionId) -> ExecutionView {
        self.until(id, "the end", |view| view.status.is_complete()).await
    }

    /// Waits until something is so; time goes on meanwhile, slowly.
    pub async fn until_true(&self, what: &str, is_so: impl Fn() -> bool) {
        patiently(what, async {
            while !is_so() {
                self.clock.advance(Duration::from_millis(200));
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub async fn judge(&self, at: usize, id: ExecutionId, path: &str) -> Result<(), crate::engine::EngineError> {
        let judgment = Judgment { verdict: Verdict::Continue, input: None, by: "ann".to_owned(), roles: None };
        self.handle(at).judge(id, &super::world::path(path), judgment).await
    }
}
