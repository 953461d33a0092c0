//! What uses a module repository is published again when that one moves, and nothing else is.

use std::time::Duration;

use longboat::diagnostic::{Code, Diagnostic};
use longboat::git::Remote;
use longboat::model::{CommitSha, ImpactDetail};
use longboat::trigger::{ModuleFrom, ModuleOptions, ModuleSpec};

use super::world::{World, follow, repository};
use crate::support::repo::Repo;

const FILE: &str = ".longboat/app.yaml";

fn module(name: &str) -> String {
    format!("id: one\ntype: noop\nname: {name}\n")
}

fn file(application: &str, module: &str) -> String {
    format!(
        "application: {application}\npipelines:\n  - name: deploy\n    triggers: [{{type: git, branches: [main]}}]\n    stages: [{{use: '{module}'}}]\n"
    )
}

/// A module repository and those that use it: `(name, module)` each.
struct Town {
    modules: Repo,
    users: Vec<(&'static str, Repo, CommitSha)>,
    world: World,
}

impl Town {
    async fn new(users: &[(&'static str, &str)]) -> Self {
        let modules = Repo::new();
        modules
            .write("one.yaml", module("first"))
            .write("two.yaml", module("other"))
            .write("deep.yaml", "use: one\n")
            .write("text.yaml", "id: text\ntype: noop\nname: '{{ file(\"name.txt\") }}'\n")
            .write("name.txt", "old")
            .commit("One");
        modules.git(&["tag", "v1.0.0"]);
        let url = modules.path().to_string_lossy().into_owned();
        let spec = ModuleSpec {
            name: "platform".to_owned(),
            address: url.clone(),
            folder: String::new(),
            reference: None,
            from: ModuleFrom::Own { remote: Remote::open_to_all(url), poll: Duration::from_secs(60) },
            tells: ImpactDetail::Plans,
        };
        let users: Vec<_> = users
            .iter()
            .map(|(name, module)| {
                let repo = Repo::new();
                let commit = repo.write(FILE, file(name, module)).commit("One");
                (*name, repo, commit)
            })
            .collect();
        let specs = users
            .iter()
            .map(|(name, repo, _)| follow(&format!("acme/{name}"), repo.path().to_string_lossy()))
            .collect();
        let world = World::using(vec![spec], ModuleOptions::default(), specs).await;
        for (name, ..) in &users {
            world.seen(&format!("acme/{name}")).await;
        }
        let town = Self { modules, users, world };
        town.news().await;
        town
    }

    /// `application: stage` of all that is published.
    async fn stages(&self) -> Vec<String> {
        let all = self.world.store.pipelines(None).await.expect("reads");
        all.iter().map(|one| format!("{}: {}", one.pipeline.application, one.pipeline.stages[0].name)).collect()
    }

    /// What was said on each head since the last call, as `user: state text`.
    async fn news(&self) -> Vec<String> {
        let due = self.world.store.due_outbox(500).await.expect("reads");
        let mut news = Vec::new();
        for (name, _, commit) in &self.users {
            for entry in &due {
                if let Some(status) = entry.message.status()
                    && status.target.commit == *commit
                {
                    news.push(format!("{name}: {:?} {}", status.state, status.description));
                }
            }
        }
        let ids: Vec<_> = due.iter().map(|entry| entry.id).collect();
        self.world.store.outbox_sent(&ids).await.expect("writes");
        news
    }

    async fn findings(&self, user: usize) -> Vec<Diagnostic> {
        let (name, _, commit) = &self.users[user];
        let found = self.world.store.findings(&repository(&format!("acme/{name}")), commit).await.expect("reads");
        found.expect("was looked at").findings
    }

    async fn until_published(&self, wanted: &[&str]) {
        self.world.until("it is published", async |_| self.stages().await == wanted).await;
        self.world.idle().await;
    }
}

#[tokio::test]
async fn a_push_publishes_again_what_uses_a_file_that_changed_and_nothing_else() {
    let users = [
        ("deep", "platform/deep"),
        ("other", "platform/two"),
        ("pinned", "platform/one@v1.0.0"),
        ("text", "platform/text@main"),
    ];
    let town = Town::new(&users).await;
    assert_eq!(town.stages().await, ["deep: first", "other: other", "pinned: first", "text: old"]);
    let one = town.modules.head();
    let two = town.modules.write("one.yaml", module("second")).commit("Two");
    town.until_published(&["deep: second", "other: other", "pinned: first", "text: old"]).await;
    let moved = format!("moved from {} to {}", one.short(), two.short());
    assert_eq!(town.news().await, [format!("deep: Success 1 pipeline valid; platform {moved}")]);
    assert_eq!(town.findings(0).await[0].code, Code::ModuleMoved);
    assert_eq!(town.world.started().await, [], "nothing is started");

    // An included file counts as well. What was left alone knows by itself where it stood.
    let three = town.modules.write("name.txt", "new").commit("Three");
    town.until_published(&["deep: second", "other: other", "pinned: first", "text: new"]).await;
    let moved = format!("moved from {} to {}", one.short(), three.short());
    assert_eq!(town.news().await, [format!("text: Success 1 pipeline valid; platform@main {moved}")]);
}

#[tokio::test]
async fn what_breaks_a_dependent_is_told_there_and_its_last_good_revision_stays() {
    let town = Town::new(&[("shop", "platform/deep"), ("tea", "platform/two")]).await;
    town.modules.write("one.yaml", "id: one\ntype: nonsense\n").commit("Two");
    town.world.until("the error is told", async |_| town.findings(0).await.iter().any(Diagnostic::is_error)).await;
    town.world.idle().await;
    assert_eq!(town.stages().await, ["shop: first", "tea: other"]);
    let news = town.news().await;
    assert_eq!(news.len(), 1, "{news:?}");
    assert!(news[0].starts_with("shop: Failure Failed: 1 error"), "{news:?}");
    // Also one that takes a file away, of which nothing is known but the reference.
    town.modules.git(&["rm", "--quiet", "one.yaml"]);
    town.modules.commit("Three");
    let is_gone = |found: &Diagnostic| found.code == Code::ModuleNotFound;
    town.world.until("the other error is told", async |_| town.findings(0).await.iter().any(is_gone)).await;
    town.modules.write("one.yaml", module("mended")).commit("Four");
    town.until_published(&["shop: mended", "tea: other"]).await;
    assert!(!town.findings(0).await.iter().any(Diagnostic::is_error));
}

#[tokio::test]
async fn what_is_in_the_inbox_survives_and_is_worked_off_once() {
    let mut town = Town::new(&[("shop", "platform/one")]).await;
    town.world.triggers.shutdown().await;
    let shop = (repository("acme/shop"), town.world.store.heads(&repository("acme/shop")).await.expect("reads"));
    let branch = shop.1[0].git_ref.trim_start_matches("refs/heads/").to_owned();
    for _ in 0..5 {
        let again = vec![(shop.0.clone(), branch.clone()), (repository("acme/gone"), branch.clone())];
        assert_eq!(town.world.store.look_again(again).await.expect("writes"), 1);
    }
    town.modules.write("one.yaml", module("second")).commit("Two");
    town.world.restart().await;
    town.until_published(&["shop: second"]).await;
    let news = town.news().await;
    assert!((1..=2).contains(&news.len()), "by the inbox, and by the look at the start: {news:?}");
    assert!(news[0].contains("platform moved from"), "{news:?}");
    assert_eq!(town.world.started().await, []);
    let uses = town.world.store.dependencies(&shop.0, &branch).await.expect("reads");
    assert_eq!(uses[0].commit, Some(town.modules.head()));
    // The next push is one like any other.
    let (_, repo, _) = &town.users[0];
    let next = repo.write("README", "x").commit("Two");
    town.world.settled(&next).await;
    assert_eq!(town.world.started().await.len(), usize::from(branch == "main"));
}
