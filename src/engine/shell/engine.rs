//! The running engine as its owner sees it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::commit::{Committer, Ledger};
use super::fair::Fair;
use super::holds::Holds;
use super::shards::Part;
use super::timers::Timers;
use super::{CHANGES, Inputs, QUEUE, RECONCILE, Shell};
use crate::clock::Clock;
use crate::engine::freeze::Freezes;
use crate::engine::handle::Handle;
use crate::engine::{EngineError, Registry, Signals};
use crate::store::Store;

/// What an operator may want to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Handlers' calls with an effect that run at once; more wait, and executions take turns.
    pub max_running_effects: usize,
    /// Executions in memory at once; more wait. Those that wait for a time or a person aren't in memory.
    pub max_live: usize,
    /// How long a handler may take to cancel before the engine goes on without it.
    pub cancel_deadline: Duration,
    /// How long a replica that stops lets what runs come to its end, before others take its executions over. Alone, it
    /// doesn't wait: what runs is adopted at the next start.
    pub drain: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_running_effects: 256,
            max_live: 10_000,
            cancel_deadline: Duration::from_secs(60),
            drain: Duration::from_secs(20),
        }
    }
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    handle: Handle,
    signals: Signals,
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// Listens to other replicas, and ends with this.
    _listener: Option<AbortOnDropHandle<()>>,
}

impl Engine {
    /// Starts the engine: executions that were created begin, those that ran go on.
    ///
    /// # Errors
    /// If the store can't say which executions there are.
    pub async fn start(
        store: Store,
        clock: Clock,
        registry: Registry,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let ledger = Arc::new(store.clone());
        Self::start_with(store, ledger, clock, registry, options).await
    }

    /// As [`Engine::start`], with something else between the engine and the store's writer.
    pub(in crate::engine) async fn start_with(
        store: Store,
        ledger: Arc<dyn Ledger>,
        clock: Clock,
        registry: Registry,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let (number, freezes) = store.numbered_freezes().await?;
        let shared = ledger.is_shared();
        // What others have as well is taken over as the store says whose it is.
        let (live, members) =
            if shared { Default::default() } else { (store.live().await?, store.lane_members(None).await?) };
        let part = Part::new(&*ledger, store.newest_key().await?, clock.now());
        let (requests, requested) = mpsc::channel(QUEUE);
        let (signals, signalled) = Signals::channel(QUEUE);
        let (internal, answered) = mpsc::unbounded_channel();
        let changed = broadcast::Sender::new(CHANGES);
        let (ready, watched) = watch::channel(true);
        let stop = CancellationToken::new();
        let kinds = Arc::clone(registry.kinds());
        let in_memory = Arc::new(AtomicUsize::new(0));
        let stranded_count = Arc::new(AtomicUsize::new(0));
        let handle = Handle {
            store: store.clone(),
            ledger: Arc::clone(&ledger),
            requests,
            changed: changed.clone(),
            ready: watched,
            kinds,
            in_memory: Arc::clone(&in_memory),
            stranded: Arc::clone(&stranded_count),
        };
        let committer = Committer { ledger, store: store.clone(), clock: clock.clone(), stop: stop.clone() };
        let now = clock.now();
        let mut shell = Shell {
            store,
            clock,
            registry,
            options,
            committer,
            signals,
            internal,
            changed,
            in_memory,
            stranded_count,
            stranded: BTreeMap::new(),
            slots: HashMap::new(),
            ready: VecDeque::new(),
            commits: FuturesUnordered::new(),
            batches: 0,
            timers: Timers::default(),
            loads: VecDeque::new(),
            loading: 0,
            reading: BTreeSet::new(),
            early: BTreeMap::new(),
            holds: Holds::new((number, Freezes::from(freezes))),
            part,
            reconcile_at: now.plus(RECONCILE),
            effects: Fair::default(),
            running: 0,
            stopping: false,
            lost: false,
        };
        shell.take_on(&live, members);
        let inputs = Inputs { requested, signalled, answered, stop: stop.clone(), ready };
        let signals = shell.signals.clone();
        let listener = shared.then(|| shell.listen());
        let task = tokio::spawn(shell.run(inputs));
        Ok(Self { handle, signals, stop, task, _listener: listener })
    }

    /// The way by which handlers' own tasks wake their stages; each handler finds it in its context, too.
    pub fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// A way to speak to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops taking anything on, lets what is being written be written, and ends. What handlers started outside is
    /// left alone: they are asked about it at the next start. A replica among others first lets what runs come to its end,
    /// for [`EngineOptions::drain`] at most, and gives its executions to the others.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if (&mut self.task).await.is_err() {
            tracing::error!("the engine broke down while it was stopping; what was committed is safe");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}
