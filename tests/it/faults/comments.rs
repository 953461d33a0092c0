//! The comment of a pull request: there is one, and it has the last word.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longboat::clock::Clock;
use longboat::forge::Forges;
use longboat::model::{
    Block, Comment, CommitSha, Message, Piece, PullRequest, PullRequestState, RepositoryName, pull_request_ref,
};
use longboat::notify::{Composer, Reporter, ReporterOptions};
use longboat::store::{Settlement, Store};

use super::fault::{ALL, Fault};
use super::{ELSEWHERE, Fake, Product, SICK, START, WELL, at_once, is_in_order, later};
use crate::notify::{name, sha, waiting};
use crate::support::control::{Limit, PullOf};

const SAID: [&str; 3] = ["2 errors", "1 error", "good"];
/// Pull requests of the sick repository.
const PULLS: u64 = 4;

/// Says what a test wants to be said about the pull requests of a repository.
#[derive(Clone, Default)]
struct Says(Arc<Mutex<HashMap<String, String>>>);

#[async_trait]
impl Composer for Says {
    async fn compose(&self, repository: &RepositoryName, pull_request: u64) -> Result<Option<Comment>, String> {
        let text = self.0.lock().expect("not poisoned").get(repository.as_str()).cloned();
        Ok(text.map(|text| Comment {
            repository: repository.clone(),
            pull_request,
            blocks: vec![Block::Paragraph(vec![Piece::text(text)])],
            page: None,
        }))
    }
}

struct World {
    clock: Clock,
    store: Store,
    fake: Fake,
    other: Fake,
    reporter: Reporter,
    says: Says,
    fault: Fault,
}

impl World {
    async fn new(product: Product, fault: Fault) -> Self {
        let clock = Clock::manual(START);
        let store = Store::temporary(clock.clone()).await.expect("a store");
        let fake = Fake::start(product, &clock).await;
        let other = Fake::start(Product::GitHub, &clock).await;
        for (on, repository, pulls) in [(&fake, SICK, PULLS), (&fake, WELL, 2), (&other, ELSEWHERE, 2)] {
            on.add_repository(repository);
            for number in 1..=pulls {
                let head = sha(usize::try_from(number).expect("small"));
                let of = PullOf {
                    title: "Faster",
                    from: repository,
                    branch: "fast",
                    head: &head,
                    target: "main",
                    author: "ann",
                };
                assert_eq!(on.open_pull(repository, &of), number);
            }
        }
        let mut forges = Forges::new();
        forges.add(fake.client("forge", fault.patience(), &clock), [name(SICK), name(WELL)]);
        forges.add(other.client("other", Duration::from_secs(10), &clock), [name(ELSEWHERE)]);
        let says = Says::default();
        let composer: Arc<dyn Composer> = Arc::new(says.clone());
        let options = ReporterOptions::default();
        let reporter =
            Reporter::start(store.clone(), clock.clone(), forges, Some(composer), options).await.expect("it starts");
        Self { clock, store, fake, other, reporter, says, fault }
    }

    /// From now on the comments on these pull requests are to say this.
    async fn say(&self, repository: &str, numbers: impl Iterator<Item = u64>, text: &str) {
        self.says.0.lock().expect("not poisoned").insert(repository.to_owned(), text.to_owned());
        for number in numbers {
            self.mark(repository, number).await;
        }
    }

    async fn mark(&self, repository: &str, number: u64) {
        let this = PullRequest {
            repository: name(repository),
            number,
            title: "Faster".to_owned(),
            state: PullRequestState::Open,
            head: CommitSha::parse(&sha(usize::try_from(number).expect("small"))).expect("legal"),
            head_branch: "fast".to_owned(),
            head_repository: Some(repository.to_owned()),
            fork: false,
            target_branch: "main".to_owned(),
            author: Some("ann".to_owned()),
            merge_commit: None,
        };
        let settlement = Settlement {
            inbox: None,
            also: Vec::new(),
            repository: name(repository),
            git_ref: pull_request_ref(number),
            commit: None,
            publish: Vec::new(),
            withdraw: Vec::new(),
            removal: None,
            executions: Vec::new(),
            messages: vec![Message::Comment { repository: name(repository), pull_request: number }],
            pull_request: Some((this, None)),
            findings: None,
            has_files: None,
            uses: None,
        };
        self.store.settle(settlement).await.expect("written");
    }

    /// The only comment of a pull request: all that it said, one after the other, without the marker.
    fn versions(&self, on: &Fake, repository: &str, number: u64) -> Vec<String> {
        let comments = on.comments(repository, number);
        assert_eq!(comments.len(), 1, "{:?}: {repository} #{number} has one comment: {comments:#?}", self.fault);
        let first_line = |text: &String| text.lines().next().unwrap_or_default().to_owned();
        comments[0].iter().map(first_line).collect()
    }

    async fn tell_at_once(&self, repository: &str, on: &Fake, number: u64) {
        self.say(repository, number..=number, "fine").await;
        let what = format!("{:?}: {repository} is told", self.fault);
        at_once(&what, async || !on.comments(repository, number).is_empty()).await;
    }

    async fn pass(&self, step: Duration, what: &str, done: impl AsyncFn() -> bool) {
        later(&self.clock, (self.fault, &self.fake), step, what, async || done().await).await;
    }

    async fn nothing_waits(&self) -> bool {
        waiting(&self.reporter).await == 0
    }

    async fn others_are_unharmed(&self) {
        let own = self.fault.is_about_one();
        self.tell_at_once(ELSEWHERE, &self.other, 1).await;
        if own {
            self.tell_at_once(WELL, &self.fake, 1).await;
        }
        if self.fault.lasts() > Duration::ZERO {
            self.pass(Duration::from_secs(1), "the sick one is left alone", async || {
                let stats = self.reporter.stats().await.expect("reads");
                let due = self.store.due_outbox(1).await.expect("reads");
                stats.forges.iter().all(|forge| forge.in_flight == 0) && due.is_empty()
            })
            .await;
            self.tell_at_once(ELSEWHERE, &self.other, 2).await;
            if own {
                self.tell_at_once(WELL, &self.fake, 2).await;
            }
        }
    }

    /// The trouble begins before the first comment, or after it.
    async fn run(&self, at_first: bool) {
        let lasts = self.fault.lasts();
        let mut began = self.clock.now();
        for (index, text) in SAID.iter().enumerate() {
            let begins = index == usize::from(!at_first);
            if begins {
                self.fault.begin(&self.fake);
                began = self.clock.now();
            }
            self.say(SICK, 1..=PULLS, text).await;
            if begins {
                self.others_are_unharmed().await;
            }
            let healthy = !at_first && index == 0;
            if lasts == Duration::ZERO || healthy {
                self.pass(Duration::from_secs(1), "it is told", async || self.nothing_waits().await).await;
            } else {
                let until = began.plus(lasts.mul_f64((index as f64 + 1.0) / 3.0));
                let passed = async || self.clock.now() >= until;
                self.pass(Duration::from_secs(20), "the trouble lasts", passed).await;
            }
        }
        if lasts > Duration::ZERO {
            self.fake.heal();
            self.pass(Duration::from_secs(5), "it is told", async || self.nothing_waits().await).await;
        }
    }

    fn check(&self) {
        let fault = self.fault;
        for number in 1..=PULLS {
            let texts = self.versions(&self.fake, SICK, number);
            assert!(is_in_order(&texts, &SAID), "{fault:?}: {texts:?}");
            assert_eq!(texts.last().map(String::as_str), Some(SAID[2]), "{fault:?}: {texts:?}");
            if fault.lasts() == Duration::ZERO {
                assert_eq!(texts, SAID, "{fault:?}: nothing was outdated");
            }
        }
        self.versions(&self.other, ELSEWHERE, 1);
        if fault.is_about_one() {
            self.versions(&self.fake, WELL, 1);
        }
        let asked = self.fake.asked_about(SICK);
        assert!(asked <= most(fault), "{fault:?}: {asked} requests");
        let refused = self.fake.seen().iter().filter(|seen| matches!(seen.status, Some(403 | 429))).count();
        assert!(refused <= 12, "{fault:?}: {refused} requests although there were too many");
    }
}

/// How many requests a cell may cost: four comments are to be looked for, written, and edited twice.
fn most(fault: Fault) -> usize {
    let told = (SAID.len() + 1) * usize::try_from(PULLS).expect("small");
    match fault {
        Fault::DownForAnHour | Fault::ForgeDownForAnHour => told + 40,
        Fault::Hanging | Fault::AnsweringLate => 2 * told + 30,
        Fault::RateLimited(Limit::Silent) => told + 20,
        Fault::RateLimited(_) => told + 9,
        Fault::EverySecondCall { .. } => 8 * told,
        Fault::ActingLate | Fault::OutOfOrder => 3 * told,
    }
}

async fn on(product: Product) {
    for fault in ALL {
        for at_first in [true, false] {
            let world = World::new(product, fault).await;
            world.run(at_first).await;
            world.check();
            world.reporter.shutdown().await;
        }
    }
}

#[tokio::test]
async fn github_has_one_comment_with_the_last_word_whatever_goes_wrong() {
    on(Product::GitHub).await;
}

#[tokio::test]
async fn bitbucket_cloud_has_one_comment_with_the_last_word_whatever_goes_wrong() {
    on(Product::Cloud).await;
}

#[tokio::test]
async fn bitbucket_data_center_has_one_comment_with_the_last_word_whatever_goes_wrong() {
    on(Product::DataCenter).await;
}
