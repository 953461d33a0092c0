//! Looks at module repositories from time to time, and when somebody knows of a change.

use std::sync::Arc;

use super::{Kept, ModuleSet};
use crate::trigger::failure::{pause, spread};
use crate::trigger::follow::{Hints, next_hint, watch};
use crate::trigger::{RepositorySet, Shared};

/// Keeps all module repositories up to date until told to stop.
pub(in crate::trigger) async fn keep(shared: Arc<Shared>) {
    let all = shared.modules.0.all.values().cloned();
    let each = all.map(|kept| keep_one(shared.clone(), kept));
    futures::future::join_all(each).await;
}

async fn keep_one(shared: Arc<Shared>, kept: Arc<Kept>) {
    let modules: ModuleSet = shared.modules.clone();
    let mut failures = 0;
    let mut hints: Option<Hints> = None;
    let followed = is_followed(&shared.repositories, &kept);
    loop {
        // A followed repository is watched where it is followed.
        if hints.is_none() && !followed {
            hints = watch(&kept.repository).await;
        }
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = modules.clone().look(kept.clone()) => {}
        }
        failures = if kept.state().error.is_none() { 0 } else { failures + 1 };
        let poll = spread(kept.poll, fastrand::f64());
        let rest = if failures == 0 { poll } else { poll.max(pause(failures, fastrand::f64())) };
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = shared.clock.sleep(rest) => {}
            () = kept.poked.notified() => {}
            hint = next_hint(&mut hints) => if hint.is_none() {
                hints = None;
            },
        }
    }
}

fn is_followed(repositories: &RepositorySet, kept: &Kept) -> bool {
    repositories.get(kept.repository.name()).is_some_and(|repository| Arc::ptr_eq(repository, &kept.repository))
}
