//! The head of a pull request that is a branch of another repository, fetched over HTTP as from Bitbucket Cloud.

use std::sync::Arc;

use longboat::forge::bitbucket::{BitbucketCloud, BitbucketOptions};
use longboat::forge::{Forge as _, Forges, PullRequestAction, PullRequestEvent};
use longboat::git::{Credentials, GitOptions, Remote};
use longboat::model::{CommitSha, PullRequest, PullRequestState};
use longboat::store::StoredPullRequest;
use longboat::trigger::TriggerOptions;

use super::FILE;
use super::world::{Stub, file, reviews};
use crate::support::git_http::GitHttp;
use crate::support::repo::{Repo, git_in};
use crate::trigger::world::{World, follow, repository};

const SHOP: &str = "acme/shop";
const BOT: (&str, &str) = ("x-token-auth", "ATCTT_of_the_forge");

struct Forked {
    world: World,
    forge: Stub,
    work: Repo,
    served: tempfile::TempDir,
    server: GitHttp,
}

impl Forked {
    /// A repository whose main branch has a good file, and a fork of it, on one server that wants credentials.
    async fn new() -> Self {
        let work = Repo::new();
        work.write(FILE, file("noop")).commit("the beginning");
        let served = tempfile::tempdir().expect("a folder");
        let forked = |name: &str| {
            git_in(served.path(), &["init", "--quiet", "--bare", "--initial-branch=main", name]);
            work.git(&["push", "--quiet", served.path().join(name).to_str().expect("UTF-8"), "HEAD:refs/heads/main"]);
        };
        forked("acme/shop.git");
        forked("eve/shop.git");
        let server = GitHttp::start(served.path(), Some(BOT)).await;
        let credentials = Credentials { username: Some(BOT.0.to_owned()), password: BOT.1.to_owned().into() };
        let mut spec = follow(SHOP, "");
        spec.remote = Remote { url: server.url("acme/shop.git"), credentials: Some(credentials) };
        spec.forge_url = Some(server.url("").trim_end_matches('/').to_owned());
        spec.forge = Some("stub".to_owned());
        spec.branches = vec!["main".to_owned()];
        let forge = Stub::default();
        let mut forges = Forges::new();
        forges.add(Arc::new(forge.clone()), [repository(SHOP)]);
        let options = TriggerOptions { reviews: reviews(), ..TriggerOptions::default() };
        let world = World::on(forges, vec![spec], options, GitOptions::default()).await;
        world.seen(SHOP).await;
        Self { world, forge, work, served, server }
    }

    /// Commits on top of main what nobody but the fork has, on its branch `change`.
    fn push(&self, files: &[(&str, &str)]) -> CommitSha {
        for (path, text) in files {
            self.work.write(path, text);
        }
        let head = self.work.commit("a change");
        let fork = self.served.path().join("eve/shop.git");
        self.work.git(&["push", "--quiet", fork.to_str().expect("UTF-8"), "HEAD:refs/heads/change"]);
        head
    }

    /// The pull request from there, found where Bitbucket Cloud would have it.
    fn pull_request(&self, head: &CommitSha) -> PullRequest {
        let this = PullRequest {
            repository: repository(SHOP),
            number: 7,
            title: "A change".to_owned(),
            state: PullRequestState::Open,
            head: head.clone(),
            head_branch: "change".to_owned(),
            head_repository: Some("eve/shop".to_owned()),
            fork: true,
            target_branch: "main".to_owned(),
            author: Some("eve".to_owned()),
            merge_commit: None,
        };
        let address = self.server.url("");
        let cloud =
            BitbucketCloud::new(BitbucketOptions::new("cloud", address.clone(), address), self.world.clock.clone());
        self.forge.heads_are(cloud.expect("set up").head_of(&this));
        self.forge.has(&this);
        this
    }

    async fn tell(&self, this: &PullRequest) {
        let event = PullRequestEvent {
            repository: repository(SHOP),
            number: this.number,
            action: PullRequestAction::Updated,
            pull_request: Some(this.clone()),
            actor: Some("eve".to_owned()),
            event: "pullrequest:updated".to_owned(),
        };
        let delivery = format!("delivery-{}", fastrand::u64(..));
        self.world.triggers.notice_pull_request(event, Some(delivery)).await.expect("written");
        self.world.idle().await;
    }

    async fn stored(&self) -> StoredPullRequest {
        self.world.store.pull_request(&repository(SHOP), 7).await.expect("reads").expect("is known")
    }
}

#[tokio::test]
async fn a_fork_s_head_is_fetched_over_http_and_reviewed() {
    let forked = Forked::new().await;
    let head = forked.push(&[(FILE, &file("noob"))]);
    forked.tell(&forked.pull_request(&head)).await;
    let review = forked.stored().await.review.expect("was looked at");
    assert_eq!((review.commit, review.errors, review.trouble), (head.clone(), 1, None));
    let said = forked.world.said(&head).await;
    assert!(said.last().expect("something").starts_with("longboat/validate: Failure Failed: 1 error"), "{said:?}");
    let of_the_fork: Vec<_> =
        forked.server.seen().into_iter().filter(|seen| seen.target.starts_with("/eve/shop.git/")).collect();
    assert!(!of_the_fork.is_empty() && of_the_fork.iter().any(|seen| seen.authorized), "{of_the_fork:?}");

    // The author corrects it.
    let fixed = forked.push(&[(FILE, &file("noop")), ("README", "x")]);
    forked.tell(&forked.pull_request(&fixed)).await;
    let review = forked.stored().await.review.expect("was looked at");
    assert_eq!((review.commit, review.errors, review.errors_before, review.trouble), (fixed.clone(), 0, 1, None));
    let said = forked.world.said(&fixed).await;
    assert_eq!(said.last().map(String::as_str), Some("longboat/validate: Success 1 pipeline valid"), "{said:?}");
    assert_eq!(forked.world.started().await, [], "nothing of a fork is executed");
    assert_eq!(forked.world.published().await, ["shop/deploy"]);
    forked.world.triggers.shutdown().await;
}

#[tokio::test]
async fn a_fork_that_cannot_be_read_is_said_and_the_repository_goes_on() {
    let forked = Forked::new().await;
    let head = forked.push(&[("README", "x")]);
    std::fs::rename(forked.served.path().join("eve"), forked.served.path().join("private")).expect("moved");
    let this = forked.pull_request(&head);
    let told = PullRequestEvent {
        repository: repository(SHOP),
        number: 7,
        action: PullRequestAction::Opened,
        pull_request: Some(this),
        actor: None,
        event: "pullrequest:created".to_owned(),
    };
    forked.world.triggers.notice_pull_request(told, Some("one".to_owned())).await.expect("written");
    let empty = async |world: &World| world.store.next_inbox_due().await.expect("reads").is_none();
    forked.world.until_later("it is given up", empty).await;
    let trouble = forked.stored().await.review.expect("something is told").trouble.expect("a reason");
    assert!(trouble.starts_with("the branch can't be fetched: "), "{trouble}");
    let secret = BOT.1;
    assert!(!trouble.contains(secret), "{trouble}");
    let said = forked.world.said(&head).await;
    assert!(said.last().expect("something").contains("Failure Failed: the branch can't be fetched"), "{said:?}");
    forked.world.triggers.shutdown().await;
}
