//! The reconciler: what would be so if every event had arrived.
//!
//! Heads of branches are compared by `follow`. Here it is open pull requests: those that the forge has and the store
//! doesn't, or has otherwise, are noticed as if a webhook had told; those that the store has open and the forge doesn't
//! list are asked for one by one. (Messages that were given up get another try in `notify`.)
//!
//! It is cheap: a look is conditional where the forge allows it (an answer "unchanged" costs it nothing), it waits
//! while little is left of the forge's allowance, failures make the pauses longer, and every so often it asks for
//! everything in full.

use std::sync::Arc;
use std::time::Duration;

use super::failure::{WorkError, pause, spread};
use super::{Repository, Shared};
use crate::forge::{Forge, ForgeError, Listing, Validator};
use crate::model::PullRequest;
use crate::store::{Accepted, NoticedPullRequest, PullRequestNotice, StoreError};
use crate::telemetry::metrics;

/// One look in this many is in full.
const LOOKS_PER_FULL: u32 = 12;
/// How soon after a start a repository that was known before is looked at: events were lost while nobody listened.
const SOON: Duration = Duration::from_secs(5);
/// The share of a forge's allowance that is left to what people wait for: below it, nothing is asked here.
const RESERVE: u64 = 5;
/// How many pull requests that are gone from the list are asked for in one look.
const MOST_GONE: usize = 50;

/// Looks at the pull requests of a repository until told to stop.
pub(super) async fn pull_requests(shared: Arc<Shared>, repository: Arc<Repository>) {
    let Some(forge) = shared.forges.of(repository.name()).cloned() else { return };
    if !forge.capabilities().pull_requests {
        return;
    }
    let mut known = None;
    let (mut failures, mut looks) = (0, 0_u32);
    let mut rest = if repository.known().reached { SOON } else { shared.options.reconcile };
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = shared.clock.sleep(spread(rest, fastrand::f64())) => {}
        }
        if let Some(until) = exhausted(&shared, forge.as_ref()) {
            tracing::debug!(repository = %repository.name(), forge = forge.name(), "little is left of the forge's allowance; a look is left out");
            rest = until.max(shared.options.reconcile);
            continue;
        }
        let since = known.take_if(|_| looks % LOOKS_PER_FULL != 0);
        looks += 1;
        let looked = tokio::select! {
            () = shared.stopping.cancelled() => return,
            looked = look(&shared, &repository, forge.as_ref(), since) => looked,
        };
        match looked {
            Ok(validator) => (known, failures, rest) = (validator, 0, shared.options.reconcile),
            Err(error) if error.ends_work() => return,
            Err(error) => {
                failures += 1;
                tracing::warn!(repository = %repository.name(), failures, %error, "the open pull requests can't be looked at");
                let asked = error.not_before().map_or(Duration::ZERO, |until| until.since(shared.clock.now()));
                // What is spread may come a quarter early, but not before the forge's own word.
                rest = shared.options.reconcile.max(pause(failures, fastrand::f64())).max(asked.mul_f64(1.5));
            }
        }
    }
}

/// How long to wait if little is left of the forge's allowance.
fn exhausted(shared: &Shared, forge: &dyn Forge) -> Option<Duration> {
    let budget = forge.budget()?;
    let now = shared.clock.now();
    let scarce = budget.remaining.saturating_mul(100) < budget.limit.saturating_mul(RESERVE);
    (scarce && budget.resets_at > now).then(|| budget.resets_at.since(now))
}

/// Compares the forge's list with the store's; yields what to ask with the next time.
async fn look(
    shared: &Shared,
    repository: &Repository,
    forge: &dyn Forge,
    since: Option<Validator>,
) -> Result<Option<Validator>, WorkError> {
    let listing = match forge.open_pull_requests(repository.name(), since.as_ref()).await {
        Ok(listing) => listing,
        Err(error) => return Err(trouble(error)),
    };
    let Listing::Changed { open, truncated, validator } = listing else { return Ok(since) };
    let kept = shared.store.open_pull_requests(repository.name()).await?;
    for this in &open {
        if kept.iter().find(|kept| kept.number == this.number).is_none_or(|kept| moved(kept, this)) {
            notice(shared, repository, forge, this.number, Some(this.clone())).await?;
        }
    }
    let gone = kept.iter().filter(|kept| !truncated && open.iter().all(|this| this.number != kept.number));
    for kept in gone.take(MOST_GONE) {
        notice(shared, repository, forge, kept.number, None).await?;
    }
    Ok(validator)
}

fn trouble(error: ForgeError) -> WorkError {
    WorkError::from(error)
}

/// Whether a review would look at something else.
fn moved(kept: &PullRequest, this: &PullRequest) -> bool {
    (&kept.head, &kept.target_branch, kept.state) != (&this.head, &this.target_branch, this.state)
}

async fn notice(
    shared: &Shared,
    repository: &Repository,
    forge: &dyn Forge,
    number: u64,
    told: Option<PullRequest>,
) -> Result<(), StoreError> {
    let noticed = NoticedPullRequest { told, again: false };
    let notice =
        PullRequestNotice { event: Some("reconcile".to_owned()), ..shared.notice_of(repository, number, noticed) };
    if matches!(shared.store.notice_pull_request(notice).await?, Accepted::New(_)) {
        metrics().reconciled(forge.name(), "pull request");
        tracing::info!(repository = %repository.name(), number, "a pull request was found that no event had told of");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use serde_json::Map;

    use super::super::{ModuleSet, RepositorySet, RepositorySpec, TriggerDeps, TriggerOptions, Triggers, sample};
    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::forge::{Budget, Capabilities, Forges, PostedStatus};
    use crate::git::{GitOptions, Remote};
    use crate::model::{CommitSha, CommitStatus, PullRequestState, RepositoryName};
    use crate::schema::Catalog;
    use crate::store::{Settlement, Store};

    /// A forge with a list of open pull requests.
    #[derive(Default)]
    struct Listed {
        open: Mutex<Vec<PullRequest>>,
        looks: AtomicUsize,
        conditional: AtomicUsize,
        budget: Mutex<Option<Budget>>,
    }

    #[async_trait]
    impl Forge for Listed {
        fn name(&self) -> &str {
            "hub"
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities { pull_requests: true, ..Capabilities::NONE }
        }

        fn budget(&self) -> Option<Budget> {
            *self.budget.lock().expect("no panic while it is held")
        }

        async fn post_status(&self, _: &str, _: &CommitStatus, _: Option<&str>) -> Result<(), ForgeError> {
            Ok(())
        }

        async fn statuses(&self, _: &str, _: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
            Ok(Vec::new())
        }

        async fn open_pull_requests(
            &self,
            _: &RepositoryName,
            since: Option<&Validator>,
        ) -> Result<Listing, ForgeError> {
            self.looks.fetch_add(1, Ordering::SeqCst);
            let open = self.open.lock().expect("no panic while it is held").clone();
            let validator = Validator(format!("{open:?}"));
            if since == Some(&validator) {
                self.conditional.fetch_add(1, Ordering::SeqCst);
                return Ok(Listing::Unchanged);
            }
            Ok(Listing::Changed { open, truncated: false, validator: Some(validator) })
        }
    }

    struct World {
        triggers: Triggers,
        forge: Arc<Listed>,
        clock: Clock,
        _folder: tempfile::TempDir,
    }

    impl World {
        async fn new() -> Self {
            let clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
            let folder = tempfile::tempdir().expect("a folder");
            let spec = RepositorySpec {
                name: sample::repository("acme/shop"),
                forge: Some("hub".to_owned()),
                forge_url: None,
                remote: Remote { url: "/nonexistent/shop.git".to_owned(), credentials: None },
                branches: vec!["main".to_owned()],
                applications: None,
                poll: Duration::from_secs(3600),
            };
            let forge = Arc::new(Listed::default());
            let mut forges = Forges::new();
            forges.add(Arc::clone(&forge) as Arc<dyn Forge>, [spec.name.clone()]);
            let deps = TriggerDeps {
                store: Store::temporary(clock.clone()).await.expect("a store"),
                clock: clock.clone(),
                repositories: RepositorySet::new(vec![spec], folder.path(), &GitOptions::default()),
                modules: ModuleSet::default(),
                catalog: Arc::new(Catalog::new(Vec::new())),
                forges,
                submit: Arc::new(|_| Box::pin(async {})),
            };
            let options = TriggerOptions { globals: Map::new(), ..TriggerOptions::default() };
            let triggers = Triggers::start(deps, options).await.expect("triggers");
            Self { triggers, forge, clock, _folder: folder }
        }

        fn open(&self, numbers: &[u64]) {
            *self.forge.open.lock().expect("no panic while it is held") = numbers.iter().map(|n| pull(*n)).collect();
        }

        async fn look(&self, since: Option<Validator>) -> Option<Validator> {
            let shared = &self.triggers.shared;
            let repository = shared.repositories.get(&sample::repository("acme/shop")).expect("it is followed").clone();
            look(shared, &repository, self.forge.as_ref(), since).await.expect("a look")
        }

        /// The numbers of all pull requests that wait in the inbox, each time that one does.
        async fn waiting(&self) -> Vec<u64> {
            let mut numbers = Vec::new();
            for number in 1..5 {
                let git_ref = format!("refs/pull/{number}/head");
                let name = sample::repository("acme/shop");
                let pending = self.triggers.shared.store.pending_inbox(&name, &git_ref).await.expect("reads");
                numbers.extend(pending.iter().map(|_| number));
            }
            numbers
        }
    }

    fn pull(number: u64) -> PullRequest {
        PullRequest {
            repository: sample::repository("acme/shop"),
            number,
            title: "Change".to_owned(),
            state: PullRequestState::Open,
            head: sample::sha(u32::try_from(number).expect("small")),
            head_branch: "change".to_owned(),
            head_repository: Some("acme/shop".to_owned()),
            fork: false,
            target_branch: "main".to_owned(),
            author: None,
            merge_commit: None,
        }
    }

    #[tokio::test]
    async fn a_pull_request_that_no_event_told_of_is_noticed_once() {
        let world = World::new().await;
        world.open(&[1, 2]);
        let validator = world.look(None).await;
        assert_eq!(world.waiting().await, [1, 2]);
        let validator = world.look(validator).await;
        assert_eq!(world.forge.conditional.load(Ordering::SeqCst), 1, "the second look is conditional");
        world.look(None).await;
        assert_eq!(world.waiting().await, [1, 2], "a look in full finds nothing new");
        world.open(&[1, 2, 3]);
        world.look(validator).await;
        assert_eq!(world.waiting().await, [1, 2, 3]);
        world.triggers.shutdown().await;
    }

    #[tokio::test]
    async fn one_that_is_gone_from_the_list_is_asked_for() {
        let world = World::new().await;
        let store = &world.triggers.shared.store;
        let kept = Settlement {
            uses: None,
            inbox: None,
            also: Vec::new(),
            repository: sample::repository("acme/shop"),
            git_ref: "refs/pull/4/head".to_owned(),
            commit: None,
            publish: Vec::new(),
            withdraw: Vec::new(),
            removal: None,
            executions: Vec::new(),
            messages: Vec::new(),
            findings: None,
            has_files: None,
            pull_request: Some((pull(4), None)),
        };
        store.settle(kept).await.expect("settles");
        world.look(None).await;
        assert_eq!(world.waiting().await, [4]);
        world.triggers.shutdown().await;
    }

    #[tokio::test]
    async fn looks_are_left_out_while_little_is_left_of_the_forge_s_allowance() {
        let world = World::new().await;
        let shared = &world.triggers.shared;
        let left = |remaining, seconds| {
            let resets_at = world.clock.now().plus(Duration::from_secs(seconds));
            *world.forge.budget.lock().expect("no panic while it is held") =
                Some(Budget { limit: 5000, remaining, resets_at });
            exhausted(shared, world.forge.as_ref())
        };
        assert_eq!(left(249, 60), Some(Duration::from_secs(60)));
        assert_eq!(left(250, 60), None);
        assert_eq!(left(0, 0), None, "it is filled up by now");
        world.triggers.shutdown().await;
    }

    #[tokio::test]
    async fn looks_come_by_themselves_as_time_passes() {
        let world = World::new().await;
        world.open(&[1]);
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while world.waiting().await != [1] || world.forge.conditional.load(Ordering::SeqCst) < 2 {
            assert!(std::time::Instant::now() < deadline, "no look came");
            world.clock.advance(Duration::from_secs(100));
            tokio::task::yield_now().await;
        }
        world.triggers.shutdown().await;
    }
}
