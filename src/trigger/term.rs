//! Noticing and working off for one term: from the moment at which this process is to do it until another one does.
//!
//! All that is known in memory of where things stand is read again at each beginning, as at a start of the server: another
//! process may have gone on with it. Whatever is dropped in the middle was not written, and is done again by whoever is
//! next; what was written is written as a whole.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Shared, chores, cron, follow, modules, owners, reconcile, taken, worker};
use crate::store::{Ending, Hook, StoreError, Term};

/// All tasks of a term; dropped, they stop where they are.
pub(super) struct Work(JoinSet<()>);

impl Work {
    /// Takes away what the configuration takes, then begins with everything else.
    pub(super) async fn begin(all: &Shared, term: Term) -> Result<Self, StoreError> {
        let shared = Arc::new(all.bound_to(term));
        shared.recall().await?;
        taken::enforce(&shared).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(worker::run(shared.clone()));
        for repository in shared.repositories.iter() {
            tasks.spawn(follow::follow(shared.clone(), repository.clone()));
            tasks.spawn(reconcile::pull_requests(shared.clone(), repository.clone()));
            tasks.spawn(modules::recover(shared.clone(), repository.clone()));
        }
        tasks.spawn(modules::spread(shared.clone()));
        tasks.spawn(modules::keep(shared.clone()));
        tasks.spawn(cron::run(shared.clone()));
        tasks.spawn(chores::run::<Ending>(shared.clone()));
        tasks.spawn(chores::run::<Hook>(shared));
        Ok(Self(tasks))
    }

    /// Works until it is told to stop.
    pub(super) async fn go_on(all: Arc<Shared>, term: Term, begun: Option<Self>) {
        let begun = match begun {
            Some(begun) => Ok(begun),
            None => Self::begin(&all, term).await,
        };
        match begun {
            Ok(Self(mut tasks)) => while tasks.join_next().await.is_some() {},
            Err(StoreError::Closed | StoreError::Fenced) => {}
            Err(error) => tracing::error!(%error, "repositories can't be followed yet; trying again"),
        }
    }
}

impl Shared {
    /// The same for one term: what is written holds as long as the term does.
    fn bound_to(&self, term: Term) -> Self {
        let options = self.options.clone();
        Self {
            store: self.store.for_duty(term),
            clock: self.clock.clone(),
            repositories: self.repositories.clone(),
            modules: self.modules.clone(),
            catalog: self.catalog.clone(),
            forges: self.forges.clone(),
            submit: self.submit.clone(),
            notices: self.notices.clone(),
            catalog_changed: self.catalog_changed.clone(),
            refused: owners::Refused::default(),
            looks: Semaphore::new(options.repositories_at_once.max(1)),
            // Blocking tasks that nobody waits for any more go on to their end.
            checks: self.checks.clone(),
            reviews: Semaphore::new(options.reviews.at_once.max(1)),
            stopping: self.stopping.clone(),
            terms: self.terms.clone(),
            options,
        }
    }

    /// Forgets what this process knows of the repositories, and reads what the store knows.
    pub(super) async fn recall(&self) -> Result<(), StoreError> {
        let states = self.store.repository_states().await?;
        for repository in self.repositories.iter() {
            let state = states.iter().find(|state| state.name == *repository.name());
            repository
                .recall(state.and_then(|state| state.has_files), state.is_some_and(|state| state.reached_at.is_some()));
        }
        Ok(())
    }

    /// Reads what the store knows of the repositories, if it is another process that follows them.
    pub(super) async fn listen_to_others(&self) -> Result<(), StoreError> {
        let theirs = self.terms.borrow().is_none();
        if theirs { self.recall().await } else { Ok(()) }
    }
}
