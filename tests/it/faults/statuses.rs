//! Statuses: the last one of each context stands, each came once, and in order.

use std::time::Duration;

use longboat::clock::Clock;
use longboat::forge::Forges;
use longboat::model::{CommitStatus, StatusState};
use longboat::notify::{Reporter, ReporterOptions};
use longboat::store::Store;

use super::fault::{ALL, Fault};
use super::{ELSEWHERE, Fake, Product, SICK, START, WELL, at_once, is_in_order, later};
use crate::notify::{name, say, sha, status_of, waiting};
use crate::support::control::Limit;

const CONTEXT: &str = "longboat/shop/deploy";
const SAID: [&str; 3] = ["Queued", "Running: bake (1 of 2)", "Succeeded in 1s"];
/// More than go to one forge at once.
const COMMITS: usize = 10;

struct World {
    clock: Clock,
    store: Store,
    fake: Fake,
    other: Fake,
    reporter: Reporter,
    fault: Fault,
}

impl World {
    async fn new(product: Product, fault: Fault) -> Self {
        let clock = Clock::manual(START);
        let store = Store::temporary(clock.clone()).await.expect("a store");
        let fake = Fake::start(product, &clock).await;
        let other = Fake::start(Product::GitHub, &clock).await;
        fake.add_repository(SICK);
        fake.add_repository(WELL);
        other.add_repository(ELSEWHERE);
        let mut forges = Forges::new();
        forges.add(fake.client("forge", fault.patience(), &clock), [name(SICK), name(WELL)]);
        forges.add(other.client("other", Duration::from_secs(10), &clock), [name(ELSEWHERE)]);
        let public_url = Some("https://cd.example".to_owned());
        let options = ReporterOptions { public_url, ..ReporterOptions::default() };
        let reporter = Reporter::start(store.clone(), clock.clone(), forges, None, options).await.expect("it starts");
        Self { clock, store, fake, other, reporter, fault }
    }

    /// Says a text about each commit of the sick repository.
    async fn say(&self, text: &str) {
        let state = if text == SAID[2] { StatusState::Success } else { StatusState::Pending };
        say(&self.store, (1..=COMMITS).map(|number| status_of(SICK, &sha(number), CONTEXT, state, text)).collect())
            .await;
    }

    /// Says something about another repository, and waits until it stands there, without that the clock moves.
    async fn tell_at_once(&self, repository: &str, on: &Fake, number: usize) {
        let status: CommitStatus = status_of(repository, &sha(number), CONTEXT, StatusState::Success, "Fine");
        say(&self.store, vec![status]).await;
        let what = format!("{:?}: {repository} is told", self.fault);
        at_once(&what, async || on.texts(&sha(number), CONTEXT) == ["Fine"]).await;
    }

    async fn pass(&self, step: Duration, what: &str, done: impl AsyncFn() -> bool) {
        later(&self.clock, (self.fault, &self.fake), step, what, async || done().await).await;
    }

    async fn nothing_waits(&self) -> bool {
        waiting(&self.reporter).await == 0
    }

    async fn nothing_is_due(&self) -> bool {
        self.store.due_outbox(1).await.expect("reads").is_empty()
    }

    /// Others get theirs, at the beginning of the trouble and once the sick one is left alone.
    async fn others_are_unharmed(&self) {
        let own = self.fault.is_about_one();
        self.tell_at_once(ELSEWHERE, &self.other, 101).await;
        if own {
            self.tell_at_once(WELL, &self.fake, 102).await;
        } else {
            say(&self.store, vec![status_of(WELL, &sha(102), CONTEXT, StatusState::Success, "Fine")]).await;
        }
        if self.fault.lasts() > Duration::ZERO {
            self.pass(Duration::from_secs(1), "the sick one is left alone", async || {
                let stats = self.reporter.stats().await.expect("reads");
                stats.forges.iter().all(|forge| forge.in_flight == 0) && self.nothing_is_due().await
            })
            .await;
            self.tell_at_once(ELSEWHERE, &self.other, 103).await;
            if own {
                self.tell_at_once(WELL, &self.fake, 104).await;
            }
        }
    }

    async fn run(&self) {
        self.fault.begin(&self.fake);
        let began = self.clock.now();
        let lasts = self.fault.lasts();
        for (index, text) in SAID.iter().enumerate() {
            self.say(text).await;
            if index == 0 {
                self.others_are_unharmed().await;
            }
            if lasts == Duration::ZERO {
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
        let (fault, lasts) = (self.fault, self.fault.lasts());
        for number in 1..=COMMITS {
            let texts = self.fake.texts(&sha(number), CONTEXT);
            assert!(is_in_order(&texts, &SAID), "{fault:?}: {texts:?}");
            assert_eq!(texts.last().map(String::as_str), Some(SAID[2]), "{fault:?}: {texts:?}");
            if lasts == Duration::ZERO {
                assert_eq!(texts, SAID, "{fault:?}: nothing was outdated");
            }
        }
        assert_eq!(self.fake.texts(&sha(102), CONTEXT), ["Fine"], "{fault:?}");
        for (on, number) in [(&self.other, 101), (&self.other, 103), (&self.fake, 104)] {
            assert!(on.texts(&sha(number), CONTEXT).len() <= 1, "{fault:?}: once");
        }
        let asked = self.fake.asked_about(SICK);
        assert!(asked <= most(fault), "{fault:?}: {asked} requests");
        let refused = self.fake.seen().iter().filter(|seen| matches!(seen.status, Some(403 | 429))).count();
        assert!(refused <= 12, "{fault:?}: {refused} requests although there were too many");
    }
}

/// How many requests a cell may cost: it is to be told three times about ten commits.
fn most(fault: Fault) -> usize {
    let told = SAID.len() * COMMITS;
    match fault {
        // The tries of an hour, at most one in five minutes once it is clear that it lasts.
        Fault::DownForAnHour | Fault::ForgeDownForAnHour => told + 40,
        Fault::Hanging | Fault::AnsweringLate => 2 * told + 30,
        Fault::RateLimited(Limit::Silent) => told + 20,
        Fault::RateLimited(_) => told + 9,
        // A look and a try more, now and then two.
        Fault::EverySecondCall { .. } => 8 * told,
        Fault::ActingLate => 3 * told,
        Fault::OutOfOrder => told,
    }
}

async fn on(product: Product) {
    for fault in ALL {
        let world = World::new(product, fault).await;
        world.run().await;
        world.check();
        world.reporter.shutdown().await;
    }
}

#[tokio::test]
async fn github_gets_each_status_once_whatever_goes_wrong() {
    on(Product::GitHub).await;
}

#[tokio::test]
async fn bitbucket_cloud_gets_each_status_once_whatever_goes_wrong() {
    on(Product::Cloud).await;
}

#[tokio::test]
async fn bitbucket_data_center_gets_each_status_once_whatever_goes_wrong() {
    on(Product::DataCenter).await;
}
