//! Several engines on a real PostgreSQL, each with a store and a lease of its own; what is done to them is done to the
//! database.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::house::*;
use super::world::*;
use crate::clock::{Clock, Timestamp};
use crate::engine::entry::{Entry, decode};
use crate::engine::{Changed, Engine, EngineError, EngineOptions, Judgment, Verdict};
use crate::model::{Concurrency, ExecutionId, Freeze, OnNew, Status};
use crate::store::contract::server::{administer, with_database};
use crate::store::{Created, Replicas, Shards, Store, StoreOptions};

/// A store and its engine.
struct Replica {
    store: Store,
    engine: Engine,
}

struct Group {
    url: String,
    clock: Clock,
    outside: Arc<Outside>,
    replicas: Vec<Replica>,
}

impl Group {
    async fn of(url: &str, names: &[&str]) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let mut group = Self { url: url.to_owned(), clock, outside: Arc::default(), replicas: Vec::new() };
        for name in names {
            group.join(name).await;
        }
        group.until("all have some", |group| group.parts().iter().all(|part| part.len() >= 64 / names.len())).await;
        group
    }

    async fn join(&mut self, name: &str) {
        let options = StoreOptions {
            durable: false,
            replicas: Some(Replicas::named(name)),
            ..StoreOptions::new(&self.url, name)
        };
        let store = Store::open(options, self.clock.clone()).await.expect("opens");
        let registry = registry(&self.outside);
        let engine = Engine::start(store.clone(), self.clock.clone(), registry, EngineOptions::default());
        let engine = engine.await.expect("starts");
        self.replicas.push(Replica { store, engine });
    }

    fn parts(&self) -> Vec<Shards> {
        self.replicas.iter().map(|replica| replica.store.shards().borrow().held).collect()
    }

    /// Waits until something is so; the engines' time goes on meanwhile.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        patiently(what, async {
            while !is_so(self) {
                self.clock.advance(Duration::from_millis(100));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until all have ended; what is asked is answered at one replica after the other.
    /// Waits while time passes: what a replica wasn't told of it finds when it looks.
    async fn passing<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let time = async {
            loop {
                self.clock.advance(Duration::from_millis(100));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        patiently(what, async {
            tokio::select! {
                done = future => done,
                never = time => never,
            }
        })
        .await
    }

    async fn until_complete(&self, ids: &[ExecutionId]) {
        let mut turn = 0;
        for id in ids {
            patiently("the end", async {
                loop {
                    let view = self.replicas[turn % self.replicas.len()].engine.handle().view(*id).await;
                    // Whose lease was over loses its sessions, and reads on another one the next time.
                    let Ok(Some(view)) = view else {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        continue;
                    };
                    if view.status.is_complete() {
                        assert_eq!(view.status, Status::Succeeded, "{view:?}");
                        return;
                    }
                    for stage in view.stages.iter().filter(|stage| stage.kind == "ask" && stage.waiting_for.is_some()) {
                        turn += 1;
                        let judged = self.judge(turn % self.replicas.len(), *id, stage.path.as_str());
                        // Time doesn't go on meanwhile, so that some can't be taken.
                        drop(tokio::time::timeout(Duration::from_millis(300), judged).await);
                    }
                    self.clock.advance(Duration::from_millis(500));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
        }
    }

    async fn judge(&self, at: usize, id: ExecutionId, path: &str) -> Result<(), EngineError> {
        let judgment = Judgment { verdict: Verdict::Continue, input: None, by: "ann".to_owned(), roles: None };
        self.replicas[at].engine.handle().judge(id, &super::world::path(path), judgment).await
    }

    async fn submit(&self, at: usize, new: crate::model::NewExecution) -> ExecutionId {
        let (id, replica) = (new.id, &self.replicas[at]);
        let Created::New(key) = replica.store.create(new).await.expect("stored") else { panic!("new") };
        replica.engine.handle().submit(key).await;
        id
    }

    /// Who has an execution.
    async fn owner(&self, id: ExecutionId) -> usize {
        let shard = self.replicas[0].store.execution(id).await.expect("reads").expect("there").shard;
        let owner = self.parts().iter().position(|part| part.contains(shard));
        owner.expect("somebody")
    }

    async fn all(&self, statement: &str) {
        administer(&self.url, statement.to_owned()).await;
    }

    /// Nothing happened twice, by what handlers saw and by the journals.
    async fn nothing_twice(&self, ids: &[ExecutionId]) {
        let mut asked = self.outside.asked();
        // What does nothing outside may be asked before its row is written, and once more if that is refused.
        asked.retain(|asked| !asked.contains("-b.") && !asked.contains("-e."));
        for start in asked.iter().filter(|asked| asked.ends_with(" start")) {
            assert_eq!(asked.iter().filter(|other| *other == start).count(), 1, "{start}");
        }
        let store = &self.replicas[0].store;
        for id in ids {
            let key = store.execution(*id).await.expect("reads").expect("there").execution.key;
            let mut ended = Vec::new();
            for row in store.journal(key).await.expect("reads") {
                for entry in decode(&row.body).expect("decodes") {
                    if let Entry::Done { stage, .. } = entry {
                        assert!(!ended.contains(&stage), "stage {stage} of {id} succeeded twice");
                        ended.push(stage);
                    }
                }
            }
        }
    }

    async fn stop(self) {
        for replica in self.replicas {
            let stopping = tokio::spawn(replica.engine.shutdown());
            patiently("the stop", async {
                while !stopping.is_finished() {
                    self.clock.advance(Duration::from_millis(500));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            replica.store.close().await;
        }
    }
}

/// One of everything, under names of its own.
fn motley(number: usize) -> crate::model::NewExecution {
    let name = |stage: &str| format!("e{number}-{stage}");
    let mut pipeline = pipeline(vec![
        stage(&name("a"), &[]).fields(json!({"do": "yield"})),
        stage(&name("b"), &[&name("a")]).of("none"),
        stage(&name("c"), &[&name("a")]).fields(json!({"do": "wait", "seconds": 3})),
        stage(&name("d"), &[&name("b")]).of("here").fields(json!({"do": "poll"})),
        stage(&name("e"), &[&name("c"), &name("d")]).of("ask"),
        stage(&name("f"), &[&name("e")]).fields(json!({"do": "yield"})),
    ]);
    if number.is_multiple_of(4) {
        let lock = Some("prod-db".parse().expect("a name"));
        pipeline.concurrency = Some(Concurrency { max: 1, on_new: OnNew::Queue, lock });
    }
    new_execution(pipeline)
}

#[tokio::test]
async fn three_replicas_share_the_work_and_each_answers_for_all() {
    with_database(|url| async move {
        let group = Group::of(&url, &["one", "two", "three"]).await;
        let mut heard = group.replicas[0].engine.handle().subscribe();
        let mut ids = Vec::new();
        for number in 0..12 {
            ids.push(group.submit(number % 3, motley(number)).await);
        }
        group.until_complete(&ids).await;
        let mut missing = ids.clone();
        let news = async {
            while !missing.is_empty() {
                let Changed { id, status, .. } = heard.recv().await.expect("heard");
                missing.retain(|one| *one != id || !status.is_complete());
            }
        };
        group.passing("the news of every end", news).await;
        group.nothing_twice(&ids).await;
        let wrong = (group.owner(ids[1]).await + 1) % 3;
        let elsewhere = group.replicas[wrong].engine.handle();
        let late = group.passing("the answer to a late cancel", elsewhere.cancel(ids[1], "ann", None)).await;
        assert!(matches!(late, Err(EngineError::Complete(Status::Succeeded))), "{late:?}");
        let first = path("e1-a");
        let restarted = Box::pin(elsewhere.restart(ids[1], Some(&first), "bob", false));
        assert_eq!(group.passing("a restart", restarted).await.expect("restarts"), [ids[1]]);
        group.passing("the second attempt", group.outside.until_asked("e1-a.2 start")).await;
        // A freeze is everybody's at once.
        let freeze = Freeze {
            application: None,
            reason: "audit".to_owned(),
            by: "cat".to_owned(),
            since: group.clock.now(),
            until: None,
        };
        let freezes = group.replicas[2].engine.handle();
        group.passing("the freeze", freezes.freeze(freeze)).await.expect("all heed it");
        for number in 20..23 {
            let id = group.submit(number % 3, motley(number)).await;
            let handle = group.replicas[0].engine.handle();
            let hold = async {
                while handle.view(id).await.expect("reads").expect("there").held.is_none() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            group.passing("its hold", hold).await;
        }
        assert_eq!(group.outside.count("e20-a.1 start"), 0);
        group.stop().await;
    })
    .await;
}

#[tokio::test]
async fn whatever_happens_to_their_shards_every_execution_ends_and_nothing_happens_twice() {
    with_database(|url| async move {
        let group = Group::of(&url, &["one", "two", "three"]).await;
        let mut ids = Vec::new();
        for number in 0..30 {
            ids.push(group.submit(number % 3, motley(number)).await);
            group.clock.advance(Duration::from_millis(300));
            match number {
                // The lease of one is over, and nobody has told it.
                5 => group.all("UPDATE replica SET expires_at = 0 WHERE name = 'one'").await,
                // Shards are somebody else's from one moment to the next.
                10 => group.all("UPDATE shard SET epoch = epoch + 1 WHERE shard % 3 = 0").await,
                15 => group.all("UPDATE shard SET owner = 'nobody', epoch = epoch + 1 WHERE shard % 2 = 1").await,
                20 => group.all("UPDATE replica SET expires_at = 0 WHERE name = 'two'").await,
                _ => tokio::task::yield_now().await,
            }
        }
        group.until_complete(&ids).await;
        group.nothing_twice(&ids).await;
        group.stop().await;
    })
    .await;
}

#[tokio::test]
async fn who_stops_in_good_order_hands_over_at_once() {
    with_database(|url| async move {
        let mut group = Group::of(&url, &["one", "two"]).await;
        let mut ids = Vec::new();
        for number in 0..8 {
            ids.push(group.submit(number % 2, motley(number)).await);
        }
        let Replica { store, engine } = group.replicas.remove(0);
        let stopping = tokio::spawn(async move {
            engine.shutdown().await;
            store.close().await;
        });
        group.until("all are the other's", |group| group.parts() == [Shards::ALL]).await;
        patiently("the stop", stopping).await.expect("stops");
        group.until_complete(&ids).await;
        group.nothing_twice(&ids).await;
        group.join("three").await;
        group.until("it has its half", |group| group.parts().iter().all(|part| part.len() == 32)).await;
        let id = group.submit(1, motley(9)).await;
        group.until_complete(&[id]).await;
        group.stop().await;
    })
    .await;
}
