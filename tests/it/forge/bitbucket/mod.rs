//! Both Bitbuckets against fakes: what the tests of statuses, comments and pull requests stand on.

mod check;
mod comments;
mod pull_requests;
mod statuses;

use std::sync::Arc;
use std::time::Duration;

use longboat::clock::{Clock, Timestamp};
use longboat::forge::Forge;
use longboat::forge::bitbucket::{BitbucketCloud, BitbucketDataCenter, BitbucketOptions};
use longboat::model::{CommitSha, CommitStatus, ReportTarget, RepositoryName, StatusState};

use crate::support::fake_bitbucket::{FakeBitbucket, Kind, TOKEN};

const BOTH: [Kind; 2] = [Kind::Cloud, Kind::DataCenter];
const CONTEXT: &str = "longboat/shop/deploy";
const PAGE: &str = "https://cd.example/executions/1";

/// The repository of most tests.
fn shop(kind: Kind) -> &'static str {
    match kind {
        Kind::Cloud => "acme/shop",
        Kind::DataCenter => "SHOP/api",
    }
}

/// A fork of it.
fn fork(kind: Kind) -> &'static str {
    match kind {
        Kind::Cloud => "mallory/shop",
        Kind::DataCenter => "~mallory/api",
    }
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).expect("a name")
}

fn sha() -> CommitSha {
    CommitSha::parse(&"1a2b3c4d".repeat(5)).expect("a commit id")
}

fn status(state: StatusState, description: &str) -> CommitStatus {
    let target = ReportTarget { repository: name("acme/shop"), commit: sha(), context: CONTEXT.to_owned() };
    CommitStatus::new(target, state, description, "/executions/1")
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(1_700_000_000_000))
}

async fn fake(kind: Kind, clock: &Clock) -> FakeBitbucket {
    let fake = FakeBitbucket::start(kind, clock.clone()).await;
    fake.add_repository(shop(kind));
    fake.add_commit(shop(kind), sha().as_str());
    fake
}

fn options(fake: &FakeBitbucket) -> BitbucketOptions {
    BitbucketOptions {
        token: Some(TOKEN.into()),
        webhook_secret: Some("hook secret".into()),
        public_url: Some("https://cd.example".to_owned()),
        ..BitbucketOptions::new("bb", fake.url(), fake.url())
    }
}

fn with(fake: &FakeBitbucket, clock: &Clock, change: impl FnOnce(&mut BitbucketOptions)) -> Arc<dyn Forge> {
    let mut options = options(fake);
    change(&mut options);
    match fake.kind() {
        Kind::Cloud => Arc::new(BitbucketCloud::new(options, clock.clone()).expect("set up")),
        Kind::DataCenter => Arc::new(BitbucketDataCenter::new(options, clock.clone()).expect("set up")),
    }
}

fn forge(fake: &FakeBitbucket, clock: &Clock) -> Arc<dyn Forge> {
    with(fake, clock, |_| ())
}

/// A client that gives up soon.
fn hasty(fake: &FakeBitbucket, clock: &Clock) -> Arc<dyn Forge> {
    with(fake, clock, |options| options.request_timeout = Duration::from_millis(200))
}
