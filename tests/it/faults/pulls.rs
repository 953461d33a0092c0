//! Pull requests that no webhook told of: the reconciler finds each once, with the head that it has in the end.

use std::path::PathBuf;
use std::time::Duration;

use longboat::clock::Timestamp;
use longboat::forge::Forges;
use longboat::git::GitOptions;
use longboat::model::{CommitSha, PullRequestState};
use longboat::store::StoredPullRequest;
use longboat::trigger::{ReviewOptions, TriggerOptions};

use super::fault::{ALL, Fault};
use super::{Fake, Product, SICK, START, WELL, at_once, is_in_order, later};
use crate::notify::name;
use crate::support::control::PullOf;
use crate::support::git_http::GitHttp;
use crate::support::repo::Repo;
use crate::trigger::world::{World, file, follow};

/// The pause between two looks, which is spread twice by a quarter after a failure, and a step of the clock: so long it
/// takes at most until the next one.
const SOON: Duration = Duration::from_secs(300 * 25 / 16 + 20);

struct Place {
    name: &'static str,
    remote: Repo,
    /// Over HTTP it is not watched: all that is known of its branches is what the forge tells.
    server: GitHttp,
}

impl Place {
    async fn new(name: &'static str) -> Self {
        let remote = Repo::new();
        let (_, application) = name.split_once('/').expect("owner/name");
        remote.write(".longboat/deploy.yaml", file(application, "[]")).commit("the beginning");
        remote.git(&["checkout", "--quiet", "-B", "main"]);
        let server = GitHttp::start(remote.root(), None).await;
        Self { name, remote, server }
    }

    /// Commits something on top of main as the head of a pull request, where each of the forges has it.
    fn head(&self, number: u64, text: &str) -> CommitSha {
        self.remote.git(&["checkout", "--quiet", "--detach", "main"]);
        let commit = self.remote.write("README", text).commit("a change");
        for git_ref in
            [format!("refs/pull/{number}/head"), format!("refs/pull-requests/{number}/from"), branch_ref(number)]
        {
            self.remote.git(&["update-ref", &git_ref, commit.as_str()]);
        }
        self.remote.git(&["checkout", "--quiet", "main"]);
        commit
    }

    fn open(&self, fake: &Fake, number: u64) -> CommitSha {
        let head = self.head(number, &format!("{number}"));
        let of = PullOf {
            title: "A change",
            from: self.name,
            branch: &format!("change-{number}"),
            head: head.as_str(),
            target: "main",
            author: "ann",
        };
        assert_eq!(fake.open_pull(self.name, &of), number);
        head
    }
}

fn branch_ref(number: u64) -> String {
    format!("refs/heads/change-{number}")
}

struct Cell {
    world: World,
    fake: Fake,
    sick: Place,
    well: Place,
    fault: Fault,
}

impl Cell {
    async fn new(product: Product, fault: Fault) -> Self {
        let clock = longboat::clock::Clock::manual(START);
        let fake = Fake::start(product, &clock).await;
        let (sick, well) = (Place::new(SICK).await, Place::new(WELL).await);
        let spec = |place: &Place| {
            fake.add_repository(place.name);
            let mut spec = follow(place.name, place.server.url("work/.git"));
            spec.branches = vec!["main".to_owned()];
            spec.forge = Some("forge".to_owned());
            // What Git tells is no matter here.
            spec.poll = Duration::from_secs(24 * 3600);
            spec
        };
        let specs = vec![spec(&sick), spec(&well)];
        let mut forges = Forges::new();
        forges.add(fake.client("forge", fault.patience(), &clock), [name(SICK), name(WELL)]);
        let reviews =
            ReviewOptions { program: PathBuf::from(env!("CARGO_BIN_EXE_longboat")), ..ReviewOptions::default() };
        let options = TriggerOptions { reviews, ..TriggerOptions::default() };
        let world = World::at(clock, forges, specs, options, GitOptions::default()).await;
        world.seen(SICK).await;
        world.seen(WELL).await;
        Self { world, fake, sick, well, fault }
    }

    async fn stored(&self, repository: &str, number: u64) -> Option<StoredPullRequest> {
        self.world.store.pull_request(&name(repository), number).await.expect("reads")
    }

    /// Whether the head of a pull request was looked at.
    async fn is_reviewed(&self, repository: &str, number: u64, head: &CommitSha) -> bool {
        let review = self.stored(repository, number).await.and_then(|stored| stored.review);
        review.is_some_and(|review| review.commit == *head && review.trouble.is_none())
    }

    async fn pass(&self, what: &str, done: impl AsyncFn() -> bool) {
        let step = Duration::from_secs(10);
        later(&self.world.clock, (self.fault, &self.fake), step, what, async || done().await).await;
    }

    /// That the first good look at a repository after a moment came soon. Reviews take real time, and the clock runs.
    fn is_asked_soon(&self, repository: &str, after: Timestamp) {
        let part = self.fake.path_of(repository);
        let seen = self.fake.seen();
        let first = seen.iter().find(|seen| seen.path.contains(&part) && seen.status == Some(200) && seen.at >= after);
        let waited = first.expect("it was asked").at.since(after);
        assert!(waited <= SOON, "{:?}: {repository} waited {waited:?}", self.fault);
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    async fn run(&self) {
        let (fault, lasts) = (self.fault, self.fault.lasts());
        fault.begin(&self.fake);
        let began = self.now();
        let first = self.sick.open(&self.fake, 1);
        let second = self.sick.open(&self.fake, 2);
        let other = self.well.open(&self.fake, 1);
        if fault.is_about_one() {
            let found = async || self.is_reviewed(WELL, 1, &other).await;
            self.pass("the other repository's pull request is found", found).await;
            self.is_asked_soon(WELL, began);
            if lasts > Duration::ZERO {
                assert_eq!(self.stored(SICK, 1).await, None, "{fault:?}: nobody could tell");
            }
        }
        let moved = self.sick.head(1, "more");
        self.fake.push_to_pull(SICK, 1, moved.as_str());
        if lasts > Duration::ZERO {
            self.pass("the trouble lasts", async || self.now() >= began.plus(lasts)).await;
            let asked = self.fake.asked_about(SICK);
            assert!(
                asked <= 1 + usize::try_from(lasts.as_secs() / 200).expect("small"),
                "{fault:?}: asked {asked} times"
            );
            self.fake.heal();
            // A request that hangs takes real time to be given up, and the clock would run meanwhile.
            at_once("nothing hangs any more", async || self.fake.under_way() == 0).await;
        }
        let back = self.now();
        let found = async || self.is_reviewed(SICK, 1, &moved).await && self.is_reviewed(SICK, 2, &second).await;
        self.pass("all are found", found).await;
        assert!(self.is_reviewed(WELL, 1, &other).await || !fault.is_about_one());
        self.pass("the other one's too", async || self.is_reviewed(WELL, 1, &other).await).await;
        if lasts > Duration::ZERO {
            self.is_asked_soon(SICK, back);
        }

        self.fake.close_pull(SICK, 2, None);
        let closed = async || {
            let stored = self.stored(SICK, 2).await.expect("is known");
            stored.pull_request.state == PullRequestState::Closed
        };
        self.pass("one is closed", closed).await;
        assert_eq!(self.stored(SICK, 1).await.expect("is known").pull_request.head, moved);
        self.check(&[&moved, &second, &other], &first).await;
    }

    async fn check(&self, heads: &[&CommitSha], overtaken: &CommitSha) {
        let fault = self.fault;
        let mut all = Vec::new();
        loop {
            let due = self.world.store.due_outbox(500).await.expect("reads");
            if due.is_empty() {
                break;
            }
            let ids: Vec<_> = due.iter().map(|entry| entry.id).collect();
            self.world.store.outbox_sent(&ids).await.expect("writes");
            all.extend(due);
        }
        all.sort_by_key(|entry| entry.id);
        let said = |head: &CommitSha| -> Vec<String> {
            let statuses = all.iter().filter_map(|entry| entry.message.status());
            let mine = statuses.filter(|status| status.target.commit == *head);
            mine.map(|status| format!("{:?} {}", status.state, status.description)).collect()
        };
        for head in heads {
            let said = said(head);
            // Nobody announced a head that came between the look and the question.
            assert!(is_in_order(&said, &["Pending Checking", "Success 1 pipeline valid"]), "{fault:?}: {said:?}");
            assert_eq!(said.last().map(String::as_str), Some("Success 1 pipeline valid"), "{fault:?}");
        }
        assert!(said(overtaken).len() <= 2, "{fault:?}: {:?}", said(overtaken));
    }
}

async fn on(product: Product) {
    for fault in ALL {
        // Nothing is sent here that could be done late.
        if fault == Fault::ActingLate {
            continue;
        }
        let cell = Cell::new(product, fault).await;
        cell.run().await;
        cell.world.triggers.shutdown().await;
    }
}

#[tokio::test]
async fn each_pull_request_is_found_once_on_github_whatever_goes_wrong() {
    on(Product::GitHub).await;
}

#[tokio::test]
async fn each_pull_request_is_found_once_on_bitbucket_cloud_whatever_goes_wrong() {
    on(Product::Cloud).await;
}

#[tokio::test]
async fn each_pull_request_is_found_once_on_bitbucket_data_center_whatever_goes_wrong() {
    on(Product::DataCenter).await;
}
