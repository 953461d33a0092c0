//! A fake of any of the three forges, for tests that ask the same of each.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use longboat::clock::Clock;
use longboat::forge::Forge;
use longboat::forge::bitbucket::{BitbucketCloud, BitbucketDataCenter, BitbucketOptions};
use longboat::forge::github::{GitHub, GitHubOptions};
use secrecy::SecretString;

use super::control::{Control, PullOf};
use super::fake_bitbucket::{self, FakeBitbucket, Kind};
use super::fake_github::{self, FakeGitHub};

/// Which forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    GitHub,
    Cloud,
    DataCenter,
}

/// A fake of one of them. What goes wrong there is told to its [`Control`].
pub enum Fake {
    GitHub(FakeGitHub),
    Bitbucket(FakeBitbucket),
}

impl Deref for Fake {
    type Target = Control;

    fn deref(&self) -> &Control {
        match self {
            Self::GitHub(fake) => fake,
            Self::Bitbucket(fake) => fake,
        }
    }
}

impl Fake {
    /// Starts one.
    pub async fn start(product: Product, clock: &Clock) -> Self {
        match product {
            Product::GitHub => Self::GitHub(FakeGitHub::start(clock.clone()).await),
            Product::Cloud => Self::Bitbucket(FakeBitbucket::start(Kind::Cloud, clock.clone()).await),
            Product::DataCenter => Self::Bitbucket(FakeBitbucket::start(Kind::DataCenter, clock.clone()).await),
        }
    }

    /// Longboat's client of it, which waits so long for an answer.
    pub fn client(&self, name: &str, patience: Duration, clock: &Clock) -> Arc<dyn Forge> {
        match self {
            Self::GitHub(fake) => {
                let mut options = GitHubOptions::new(name, fake.url(), SecretString::from(fake_github::TOKEN));
                options.request_timeout = patience;
                Arc::new(GitHub::new(options, clock.clone()).expect("set up"))
            }
            Self::Bitbucket(fake) => {
                let mut options = BitbucketOptions::new(name, fake.url(), fake.url());
                options.token = Some(SecretString::from(fake_bitbucket::TOKEN));
                options.request_timeout = patience;
                match fake.kind() {
                    Kind::Cloud => Arc::new(BitbucketCloud::new(options, clock.clone()).expect("set up")),
                    Kind::DataCenter => Arc::new(BitbucketDataCenter::new(options, clock.clone()).expect("set up")),
                }
            }
        }
    }

    /// What the path of each request about a repository has.
    pub fn path_of(&self, full_name: &str) -> String {
        let (owner, name) = full_name.split_once('/').expect("owner/name");
        match self {
            Self::GitHub(_) => format!("/repos/{full_name}/"),
            Self::Bitbucket(fake) if fake.kind() == Kind::Cloud => format!("/repositories/{full_name}/"),
            Self::Bitbucket(_) => format!("/projects/{owner}/repos/{name}/"),
        }
    }

    /// How many requests there were about a repository.
    pub fn asked_about(&self, full_name: &str) -> usize {
        let part = self.path_of(full_name);
        self.seen().iter().filter(|seen| seen.path.contains(&part)).count()
    }

    /// Adds a repository that has any commit.
    pub fn add_repository(&self, full_name: &str) {
        match self {
            Self::GitHub(fake) => {
                fake.add_repository(full_name);
                fake.know_commits(full_name, |_| true);
            }
            Self::Bitbucket(fake) => {
                fake.add_repository(full_name);
                fake.know_commits(full_name, |_| true);
            }
        }
    }

    /// Opens a pull request; its number.
    pub fn open_pull(&self, full_name: &str, of: &PullOf<'_>) -> u64 {
        match self {
            Self::GitHub(fake) => fake.open_pull(full_name, of),
            Self::Bitbucket(fake) => fake.open_pull(full_name, of),
        }
    }

    /// Its branch has a new commit.
    pub fn push_to_pull(&self, full_name: &str, number: u64, head: &str) {
        match self {
            Self::GitHub(fake) => fake.push_to_pull(full_name, number, head),
            Self::Bitbucket(fake) => fake.push_to_pull(full_name, number, head),
        }
    }

    /// It is closed; merged by a commit, or not.
    pub fn close_pull(&self, full_name: &str, number: u64, merge_commit: Option<&str>) {
        match self {
            Self::GitHub(fake) => fake.close_pull(full_name, number, merge_commit),
            Self::Bitbucket(fake) => fake.close_pull(full_name, number, merge_commit),
        }
    }

    /// The comments of a pull request, oldest first: all that each one ever said.
    pub fn comments(&self, full_name: &str, number: u64) -> Vec<Vec<String>> {
        match self {
            Self::GitHub(fake) => fake.comments(full_name, number).into_iter().map(|one| one.versions).collect(),
            Self::Bitbucket(fake) => fake.comments(full_name, number).into_iter().map(|one| one.versions).collect(),
        }
    }

    /// The descriptions of the statuses that a commit got in a context, in order.
    pub fn texts(&self, sha: &str, context: &str) -> Vec<String> {
        let posted = match self {
            Self::GitHub(fake) => fake.posted(),
            Self::Bitbucket(fake) => fake.posted(),
        };
        let mine = posted.into_iter().filter(|posted| posted.sha == sha && posted.context == context);
        mine.map(|posted| posted.description).collect()
    }
}
