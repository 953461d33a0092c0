//! One push runs once, however often it is seen; three pushes run three times.

use longboat::model::CommitSha;
use longboat::store::Accepted;
use longboat::trigger::Noticed;

use super::world::{ON_MAIN, World, file, follow, push};
use crate::support::git_http::GitHttp;
use crate::support::repo::Repo;

const MAIN: &str = "refs/heads/main";

/// A repository behind HTTP: not watched, so that only webhooks and moved clocks say something.
struct Setup {
    work: Repo,
    bare: Repo,
    world: World,
    _server: GitHttp,
}

impl Setup {
    async fn new(triggers: &str) -> Self {
        let (work, bare) = (Repo::new(), Repo::bare());
        work.write(".longboat/shop.yaml", file("shop", triggers)).commit("One");
        work.push_to(&bare);
        let server = GitHttp::start(bare.root(), None).await;
        let world = World::new(vec![follow("acme/shop", server.url("shop.git"))]).await;
        world.seen("acme/shop").await;
        Self { work, bare, world, _server: server }
    }

    fn commit(&self, message: &str) -> CommitSha {
        let commit = self.work.commit(message);
        self.work.push_to(&self.bare);
        commit
    }
}

fn is_new(noticed: Noticed) -> bool {
    matches!(noticed, Noticed::Accepted(Accepted::New(_)))
}

#[tokio::test]
async fn a_webhook_starts_a_pipeline_and_the_look_after_it_doesn_t() {
    let setup = Setup::new(ON_MAIN).await;
    let world = &setup.world;
    let one = setup.work.head();
    let two = setup.commit("Two");
    let word = push(MAIN, Some(&one), Some(&two));
    assert!(is_new(world.notice(word.clone()).await));
    world.settled(&two).await;
    assert_eq!(world.notice(word).await, Noticed::Accepted(Accepted::Duplicate), "the forge sent it again");
    let executions = world.executions().await;
    assert_eq!(executions[0].trigger.actor.as_deref(), Some("ann"));

    // A look that finds nothing new, then one that finds what no webhook told.
    let three = {
        let before = world.store.repository_states().await.expect("reads")[0].reached_at;
        world
            .until_later("another look", async |world| {
                world.store.repository_states().await.expect("reads")[0].reached_at > before
            })
            .await;
        setup.commit("Three")
    };
    world.until_later("the look finds it", async |world| world.was_settled(&three).await).await;
    let started: Vec<_> = world.started().await.into_iter().map(|(_, commit)| commit).collect();
    assert_eq!(started, [two.clone(), three.clone()]);
    assert_eq!(world.notice(push(MAIN, Some(&two), Some(&three))).await, Noticed::Accepted(Accepted::Duplicate));
}

#[tokio::test]
async fn there_and_back_again_runs_every_time() {
    let setup = Setup::new(ON_MAIN).await;
    let world = &setup.world;
    let one = setup.work.head();
    let two = setup.commit("Two");
    for (old, new) in [(&one, &two), (&two, &one), (&one, &two)] {
        setup.work.git(&["reset", "--quiet", "--hard", new.as_str()]);
        setup.work.push_to(&setup.bare);
        assert!(is_new(world.notice(push(MAIN, Some(old), Some(new))).await));
    }
    // A commit that the branch left again before it could be fetched is asked for once more, a moment later.
    world.until_later("all have run", async |world| world.started().await.len() == 3).await;
    let started: Vec<_> = world.started().await.into_iter().map(|(_, commit)| commit).collect();
    assert_eq!(started, [two.clone(), one, two]);
}

#[tokio::test]
async fn strangers_and_odd_refs_are_not_taken_up() {
    let setup = Setup::new(ON_MAIN).await;
    let one = setup.work.head();
    let mut word = push("refs/pull/1/head", None, Some(&one));
    assert_eq!(setup.world.notice(word.clone()).await, Noticed::NoBranch);
    word.repository_full_name = super::world::repository("evil/shop");
    assert!(matches!(setup.world.notice(word).await, Noticed::NotFollowed(_)));
}

#[tokio::test]
async fn paths_decide_if_a_trigger_says_so() {
    let setup = Setup::new("[{type: git, branches: [main], paths: ['src/**'], ignorePaths: ['**/*.md']}]").await;
    let world = &setup.world;
    let mut before = setup.work.head();
    let mut started = Vec::new();
    for (path, runs) in [("README", false), ("src/a/b.rs", true), ("src/a/c.md", false), ("src/x", true)] {
        setup.work.write(path, "x");
        let commit = setup.commit(path);
        assert!(is_new(world.notice(push(MAIN, Some(&before), Some(&commit))).await));
        world.settled(&commit).await;
        if runs {
            started.push(commit.clone());
        }
        before = commit;
    }
    let found: Vec<_> = world.started().await.into_iter().map(|(_, commit)| commit).collect();
    assert_eq!(found, started);
}

#[tokio::test]
async fn tags_start_who_asks_for_them() {
    let setup = Setup::new("[{type: git, tags: ['v*']}]").await;
    let world = &setup.world;
    let one = setup.work.head();
    setup.work.git(&["tag", "--annotate", "v1", "--message", "First"]);
    setup.work.git(&["tag", "other"]);
    setup.work.push_to(&setup.bare);
    assert!(is_new(world.notice(push("refs/tags/other", None, Some(&one))).await));
    assert!(is_new(world.notice(push("refs/tags/v1", None, Some(&one))).await));
    let two = setup.commit("A commit to main is no tag");
    assert!(is_new(world.notice(push(MAIN, Some(&one), Some(&two))).await));
    world.settled(&two).await;
    let executions = world.executions().await;
    let [execution] = executions.as_slice() else { panic!("{executions:?}") };
    assert_eq!((execution.trigger.tag.as_deref(), execution.trigger.branch.as_deref()), (Some("v1"), None));
    assert_eq!(execution.commit.as_ref(), Some(&one));
}

#[tokio::test]
async fn a_start_that_needs_a_parameter_says_so_on_the_commit() {
    let setup = Setup::new(ON_MAIN).await;
    let world = &setup.world;
    let one = setup.work.head();
    let text = file("shop", ON_MAIN)
        .replace("    triggers", "    parameters: [{name: version, required: true}]\n    triggers");
    setup.work.write(".longboat/shop.yaml", text);
    let two = setup.commit("Two");
    world.notice(push(MAIN, Some(&one), Some(&two))).await;
    world.settled(&two).await;
    assert!(world.started().await.is_empty());
    let said = world.said(&two).await;
    let expected = "longboat/shop/deploy: Failure Failed: parameter version is required and has no default";
    assert!(said.contains(&expected.to_owned()), "{said:?}");
}
