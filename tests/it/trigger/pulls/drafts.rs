//! Drafts: whoever opens one wants to know early. They are looked at like any other, and no second time when they are
//! ready.

use std::sync::Arc;
use std::time::Duration;

use longboat::forge::{Forge, ForgeEvent, Forges};
use longboat::git::GitOptions;
use longboat::store::Accepted;
use longboat::trigger::{Noticed, TriggerOptions};
use secrecy::SecretString;

use super::FILE;
use super::world::{file, reviews};
use crate::forge::github::receiver;
use crate::support::fake_github::{FakeGitHub, PullOf, TOKEN};
use crate::support::repo::Repo;
use crate::trigger::world::{START, World, follow, repository};

const SHOP: &str = "acme/shop";

struct Draft {
    world: World,
    fake: FakeGitHub,
    remote: Repo,
}

impl Draft {
    async fn new() -> Self {
        let clock = longboat::clock::Clock::manual(START);
        let remote = Repo::new();
        remote.write(FILE, file("noop")).commit("the beginning");
        let fake = FakeGitHub::start(clock.clone()).await;
        fake.add_repository(SHOP);
        let token = SecretString::from(TOKEN);
        let options = longboat::forge::github::GitHubOptions::new("github", fake.url(), token);
        let github: Arc<dyn Forge> =
            Arc::new(longboat::forge::github::GitHub::new(options, clock.clone()).expect("set up"));
        let mut forges = Forges::new();
        forges.add(github, [repository(SHOP)]);
        let mut spec = follow(SHOP, remote.path().to_str().expect("UTF-8"));
        spec.branches = vec!["main".to_owned()];
        spec.forge = Some("github".to_owned());
        spec.poll = Duration::from_secs(24 * 3600);
        let options = TriggerOptions { reviews: reviews(), ..TriggerOptions::default() };
        let world = World::at(clock, forges, vec![spec], options, GitOptions::default()).await;
        world.seen(SHOP).await;
        Self { world, fake, remote }
    }

    /// Opens a draft with an error in it; its number and head.
    fn open(&self) -> (u64, longboat::model::CommitSha) {
        self.remote.git(&["checkout", "--quiet", "--detach", "main"]);
        let head = self.remote.write(FILE, file("noob")).commit("a change");
        self.remote.git(&["update-ref", "refs/pull/1/head", head.as_str()]);
        self.remote.git(&["checkout", "--quiet", "main"]);
        let of = PullOf { title: "WIP", from: SHOP, branch: "wip", head: head.as_str(), target: "main", author: "ann" };
        let number = self.fake.open_pull(SHOP, &of);
        self.fake.change_pull(SHOP, number, |pull| pull.draft = true);
        (number, head)
    }

    async fn said(&self, head: &longboat::model::CommitSha) -> Vec<String> {
        self.world.said(head).await
    }
}

#[tokio::test]
async fn a_draft_is_looked_at_when_it_opens_and_not_again_when_it_is_ready() {
    let draft = Draft::new().await;
    let (number, head) = draft.open();
    let (url, mut events) = receiver("hook secret").await;
    let mut tell = async |action: &str| {
        let delivery = draft.fake.pull_event(SHOP, number, action, "ann");
        assert_eq!(delivery.send(&url, "hook secret").await.status, 202, "{action}");
        let (id, event) = events.recv().await.expect("an event");
        let ForgeEvent::PullRequest(event) = event else { panic!("{event:?}") };
        match draft.world.triggers.notice_pull_request(event, Some(id)).await.expect("written") {
            Noticed::Accepted(accepted) => accepted,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(tell("opened").await, Accepted::New(_)));
    draft.world.idle().await;
    let stored = draft.world.store.pull_request(&repository(SHOP), number).await.expect("reads").expect("is known");
    assert_eq!(stored.review.expect("was looked at").errors, 1);
    let said = draft.said(&head).await;
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].starts_with("longboat/validate: Failure Failed: 1 error"), "{said:?}");

    draft.fake.change_pull(SHOP, number, |pull| pull.draft = false);
    assert_eq!(tell("ready_for_review").await, Accepted::Duplicate);
    draft.world.idle().await;
    assert_eq!(draft.said(&head).await, [""; 0]);
    draft.world.triggers.shutdown().await;
}

#[tokio::test]
async fn a_draft_that_no_webhook_told_of_is_found() {
    let draft = Draft::new().await;
    let (number, head) = draft.open();
    draft
        .world
        .until_later("the draft is found", async |world| {
            let stored = world.store.pull_request(&repository(SHOP), number).await.expect("reads");
            stored.and_then(|stored| stored.review).is_some_and(|review| review.commit == head && review.errors == 1)
        })
        .await;
    draft.world.triggers.shutdown().await;
}
