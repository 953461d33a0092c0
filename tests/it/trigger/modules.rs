//! Module repositories on a server: fetched, pinned, moved, private, missing, down.

use std::time::Duration;

use longboat::diagnostic::{Code, Diagnostic};
use longboat::git::{GitOptions, Remote};
use longboat::model::{CommitSha, ImpactDetail, PinKind, Pins};
use longboat::trigger::{ModuleFrom, ModuleOptions, ModuleSpec};

use super::pulls::world::Pulls;
use super::world::{World, follow, repository};
use crate::support::git_http::{GitHttp, Mood};
use crate::support::repo::Repo;

const FILE: &str = ".longboat/shop.yaml";

/// A module repository behind HTTP, with `modules/one.yaml` at `v1.0.0` and, after it, on `main`.
struct Library {
    work: Repo,
    bare: Repo,
    server: GitHttp,
}

impl Library {
    async fn new(credentials: Option<(&str, &str)>) -> Self {
        let (work, bare) = (Repo::new(), Repo::init("modules.git", &["--bare", "--initial-branch=main"]));
        work.write("modules/one.yaml", module("first")).write("modules/deep.yaml", "use: one\n").commit("One");
        work.git(&["tag", "--annotate", "--message", "First", "v1.0.0"]);
        work.push_to(&bare);
        let server = GitHttp::start(bare.root(), credentials).await;
        Self { work, bare, server }
    }

    fn moves(&self, name: &str) -> CommitSha {
        let commit = self.work.write("modules/one.yaml", module(name)).commit(name);
        self.work.push_to(&self.bare);
        commit
    }

    fn spec(&self) -> ModuleSpec {
        spec(&self.server.url("modules.git"))
    }
}

fn module(name: &str) -> String {
    format!("id: one\ntype: noop\nname: {name}\n")
}

fn spec(url: &str) -> ModuleSpec {
    ModuleSpec {
        name: "platform".to_owned(),
        address: url.to_owned(),
        folder: "modules".to_owned(),
        reference: None,
        from: ModuleFrom::Own { remote: Remote::open_to_all(url), poll: Duration::from_secs(60) },
        tells: ImpactDetail::Plans,
    }
}

/// An application whose pipelines have one stage each, from these modules.
fn file(application: &str, modules: &[&str]) -> String {
    let pipelines = modules.iter().enumerate();
    let pipelines: String =
        pipelines.map(|(at, module)| format!("  - name: p{at}\n    stages: [{{use: '{module}'}}]\n")).collect();
    format!("application: {application}\npipelines:\n{pipelines}")
}

/// A repository whose commit is seen by a world with these module repositories.
async fn world(modules: Vec<ModuleSpec>, files: &[(&str, &str)]) -> (World, Repo, CommitSha) {
    with(modules, files, ModuleOptions::default()).await
}

async fn with(modules: Vec<ModuleSpec>, files: &[(&str, &str)], options: ModuleOptions) -> (World, Repo, CommitSha) {
    let app = Repo::new();
    for (path, text) in files {
        app.write(path, text);
    }
    let commit = app.commit("One");
    let specs = vec![follow("acme/shop", app.path().to_string_lossy())];
    let world = World::using(modules, options, specs).await;
    world.seen("acme/shop").await;
    (world, app, commit)
}

/// `pipeline: name of its stage` of all that is published.
async fn stages(world: &World) -> Vec<String> {
    let all = world.store.pipelines(None).await.expect("reads");
    all.iter().map(|one| format!("{}: {}", one.pipeline.name, one.pipeline.stages[0].name)).collect()
}

async fn pins(world: &World) -> Pins {
    world.store.pipelines(None).await.expect("reads").remove(0).pins
}

async fn findings(world: &World, commit: &CommitSha) -> Vec<Diagnostic> {
    let found = world.store.findings(&repository("acme/shop"), commit).await.expect("reads");
    found.map(|found| found.findings).unwrap_or_default()
}

#[tokio::test]
async fn tags_branches_commits_and_ranges_are_fetched_and_recorded() {
    let library = Library::new(None).await;
    let one = library.work.head();
    let two = library.moves("second");
    library.work.git(&["tag", "v1.2.0"]);
    library.work.git(&["checkout", "--quiet", "-b", "topic/x"]);
    let three = library.moves("third");
    let by_commit = format!("platform/one@{}", &one.as_str()[..10]);
    let names = ["platform/one@v1.0.0", "platform/one@topic/x", &by_commit, "platform/one@^1.0", "platform/deep"];
    let text = file("shop", &names);
    let (world, app, commit) = world(vec![library.spec()], &[(FILE, &text)]).await;
    assert_eq!(stages(&world).await, ["p0: first", "p1: third", "p2: first", "p3: second", "p4: second"]);
    let recorded = pins(&world).await;
    let told: Vec<_> = recorded.iter().map(|pin| (pin.to_string(), pin.commit.clone())).collect();
    let asked = |reference: &str| format!("platform@{reference}");
    let mut expected = vec![
        ("platform".to_owned(), two.clone()),
        (asked(&one.as_str()[..10]), one.clone()),
        (asked("^1.0"), two.clone()),
        (asked("topic/x"), three),
        (asked("v1.0.0"), one),
    ];
    expected.sort_by(|left, right| left.0.cmp(&right.0));
    assert_eq!(told, expected);
    assert_eq!(recorded.get("platform", Some("^1.0")).expect("there").kind, PinKind::Tag("v1.2.0".to_owned()));
    assert_eq!(findings(&world, &commit).await, []);

    // A tag that was made a moment ago works at once: it is asked for.
    library.work.git(&["checkout", "--quiet", "main"]);
    library.moves("fourth");
    library.work.git(&["tag", "v2.0.0"]);
    library.work.push_to(&library.bare);
    world.clock.advance(Duration::from_secs(3));
    app.write(FILE, file("shop", &["platform/one@v2.0.0"]));
    let next = app.commit("Two");
    world.settled(&next).await;
    assert_eq!(stages(&world).await, ["p0: fourth"]);
}

#[tokio::test]
async fn a_moved_tag_is_told_and_taken() {
    let library = Library::new(None).await;
    let one = library.work.head();
    let (world, _app, next) = world(vec![library.spec()], &[(FILE, &file("shop", &["platform/one@v1.0.0"]))]).await;
    let two = library.moves("second");
    library.work.git(&["tag", "--force", "v1.0.0"]);
    library.work.push_to(&library.bare);
    world.clock.advance(Duration::from_secs(200));
    world.until("it is published again", async |world| stages(world).await == ["p0: second"]).await;
    let found = findings(&world, &next).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let message = format!(
        "the tag `v1.0.0` of the module repository `platform` was moved: it is {} now, and was {} when `shop` was published last",
        two.short(),
        one.short()
    );
    assert_eq!((found[0].code, found[0].is_error()), (Code::MovedTag, false));
    assert!(found[0].message.starts_with(&message), "{}", found[0].message);
    assert_eq!(found[0].place.as_ref().map(|place| (place.file.as_str(), place.line)), Some((FILE, 4)));
    let said = world.said(&next).await;
    let moved = format!("Success 1 pipeline valid; platform@v1.0.0 moved from {} to {}", one.short(), two.short());
    assert!(said.last().expect("a status").ends_with(&moved), "{said:?}");
}

#[tokio::test]
async fn a_pin_that_moved_between_review_and_merge_is_told_on_the_merge() {
    let library = Library::new(None).await;
    let one = library.work.head();
    let pulls = Pulls::using(vec![library.spec()]).await;
    let path = ".longboat/deploy.yaml";
    let (this, review) = pulls.open(7, &[(path, &file("shop", &["platform/deep@main"]))]).await;
    assert_eq!((review.errors, review.pipelines), (0, 1), "{:?}", review.findings);
    assert_eq!(review.pins.get("platform", Some("main")).map(|pin| &pin.commit), Some(&one));

    let two = library.moves("second");
    pulls.world.clock.advance(Duration::from_secs(200));
    pulls.remote.git(&["merge", "--quiet", "--no-ff", "--message", "Merge #7", this.head.as_str()]);
    let merged = pulls.remote.head();
    pulls.world.settled(&merged).await;
    let found = findings(&pulls.world, &merged).await;
    let told: Vec<_> = found.iter().map(|finding| (finding.code, finding.message.as_str())).collect();
    let message = format!(
        "`platform@main` is {} now, and was {} when #7 was reviewed: `platform/deep`, `platform/one` are read from there",
        two.short(),
        one.short()
    );
    assert_eq!(told, [(Code::ModuleMoved, message.as_str())]);
    let said = pulls.said(&merged).await;
    let moved = format!("Success 1 pipeline valid; platform@main moved from {} to {}", one.short(), two.short());
    assert_eq!(said.last(), Some(&moved), "{said:?}");
}

#[tokio::test]
async fn a_private_or_missing_module_repository_is_named_and_harms_nothing_else() {
    let library = Library::new(Some(("ann", "secret-word"))).await;
    for (url, words) in [
        (library.server.url("modules.git"), "refused access"),
        (format!("{}x", library.bare.path().to_string_lossy()), "is not a Git repository"),
    ] {
        let good = file("tea", &["std/approve"]);
        let (world, app, first) = world(vec![spec(&url)], &[(FILE, &file("shop", &["std/approve"]))]).await;
        assert_eq!(findings(&world, &first).await, []);
        app.write(FILE, file("shop", &["platform/one"])).write(".longboat/tea.yaml", &good);
        let next = app.commit("Two");
        world.settled(&next).await;
        let found = findings(&world, &next).await;
        assert_eq!(found.len(), 1, "{found:?}");
        let finding = &found[0];
        assert_eq!((finding.code, finding.is_error()), (Code::ModuleRepositoryUnread, true));
        assert!(finding.message.contains("`platform`") && finding.message.contains(words), "{finding}");
        assert!(finding.hint.as_deref().is_some_and(|hint| hint.contains("stays in force")), "{finding:?}");
        let said = world.said(&next).await;
        assert!(
            said.last().expect("a status").contains("shop.yaml:4 the module repository platform can't be read"),
            "{said:?}"
        );
        assert_eq!(stages(&world).await, ["p0: Approve", "p0: Approve"], "the last good revision, and the other file");
    }
}

#[tokio::test]
async fn with_credentials_a_private_module_repository_is_read() {
    let library = Library::new(Some(("ann", "secret-word"))).await;
    let mut spec = library.spec();
    let credentials =
        longboat::git::Credentials { username: Some("ann".to_owned()), password: "secret-word".to_owned().into() };
    let remote = Remote { url: library.server.url("modules.git"), credentials: Some(credentials) };
    spec.from = ModuleFrom::Own { remote, poll: Duration::from_secs(60) };
    let (world, ..) = world(vec![spec], &[(FILE, &file("shop", &["platform/one"]))]).await;
    assert_eq!(stages(&world).await, ["p0: first"]);
}

#[tokio::test]
async fn what_waited_for_a_module_repository_goes_on_when_it_comes() {
    let library = Library::new(None).await;
    library.server.set_mood(Mood::Overloaded);
    let pulls = Pulls::using(vec![library.spec()]).await;
    let path = ".longboat/deploy.yaml";
    let (_, review) = pulls.open(7, &[(path, &file("shop", &["platform/one@v1.0.0"]))]).await;
    assert_eq!((review.errors, review.findings[0].finding.code), (1, Code::ModuleRepositoryUnread));
    pulls.remote.write(path, file("shop", &["platform/deep"]));
    let next = pulls.remote.commit("Two");
    pulls.world.settled(&next).await;
    assert_eq!(findings(&pulls.world, &next).await[0].code, Code::ModuleRepositoryUnread);
    assert_eq!(stages(&pulls.world).await, ["deploy: one"], "the last good revision stays");
    assert!(pulls.said(&next).await.last().expect("a status").starts_with("Failure"));

    library.server.set_mood(Mood::Well);
    pulls.world.until_later("it is published", async |world| stages(world).await == ["p0: first"]).await;
    assert_eq!(pulls.said(&next).await, ["Success 1 pipeline valid"]);
    pulls.world.until_later("it is reviewed", async |_| pulls.review(7).await.errors == 0).await;
    pulls.idle_later().await;
}

#[tokio::test]
async fn while_a_module_repository_is_down_its_last_known_refs_are_used() {
    let library = Library::new(None).await;
    let (mut world, app, _) = world(vec![library.spec()], &[(FILE, &file("shop", &["platform/one"]))]).await;
    library.server.set_mood(Mood::Overloaded);
    world.clock.advance(Duration::from_secs(500));
    app.write(FILE, file("shop", &["platform/one", "platform/one@v1.0.0"]));
    let two = app.commit("Two");
    world.settled(&two).await;
    assert_eq!(findings(&world, &two).await, []);
    assert_eq!(stages(&world).await, ["p0: first", "p1: first"]);
    // Also by a server that starts while it is down.
    world.restart().await;
    app.write(FILE, file("shop", &["platform/deep"]));
    let three = app.commit("Three");
    world.settled(&three).await;
    assert_eq!(findings(&world, &three).await, []);
    assert_eq!(stages(&world).await, ["p0: first"]);
}

#[tokio::test]
async fn nobody_waits_for_a_module_repository_that_hangs() {
    let library = Library::new(None).await;
    library.server.set_mood(Mood::Hangs);
    let options = ModuleOptions { wait: Duration::from_millis(300), ..ModuleOptions::default() };
    let files = [(FILE, file("shop", &["platform/one"])), (".longboat/tea.yaml", file("tea", &["std/approve"]))];
    let files = [(files[0].0, files[0].1.as_str()), (files[1].0, files[1].1.as_str())];
    let (world, _app, commit) = with(vec![library.spec()], &files, options).await;
    let found = findings(&world, &commit).await;
    assert_eq!(found[0].code, Code::ModuleRepositoryUnread);
    assert!(found[0].message.contains("has not answered yet"), "{}", found[0]);
    assert_eq!(stages(&world).await, ["p0: Approve"]);
}

#[tokio::test]
async fn a_followed_repository_is_a_module_repository_by_the_same_mirror() {
    let modules = Repo::new();
    modules.write(".longboat/modules/one.yaml", module("first")).commit("One");
    let app = Repo::new();
    app.write(FILE, file("shop", &["platform/one"])).commit("One");
    let followed = ModuleSpec {
        folder: ".longboat/modules".to_owned(),
        from: ModuleFrom::Followed(repository("acme/modules")),
        ..spec("")
    };
    let specs = vec![
        follow("acme/modules", modules.path().to_string_lossy()),
        follow("acme/shop", app.path().to_string_lossy()),
    ];
    let world = World::using(vec![followed], ModuleOptions::default(), specs).await;
    world.seen("acme/shop").await;
    assert_eq!(stages(&world).await, ["p0: first"]);
    assert!(!world.mirrors().join("modules").exists(), "it has no mirror of its own");
    // A push there is noticed like any other, and counts for the next render.
    let two = modules.write(".longboat/modules/one.yaml", module("second")).commit("Two");
    world.settled(&two).await;
    world
        .until("the push counts", async |world| {
            let next = app.write("README", format!("{}", fastrand::u64(..))).commit("More");
            world.settled(&next).await;
            stages(world).await == ["p0: second"]
        })
        .await;
    assert_eq!(pins(&world).await.get("platform", None).map(|pin| pin.commit.clone()), Some(two));
}

#[tokio::test]
async fn a_module_repository_with_a_git_deadline_is_an_error_that_says_so() {
    let library = Library::new(None).await;
    library.server.set_mood(Mood::Hangs);
    let short = Duration::from_millis(300);
    let git = GitOptions { look_deadline: short, deadline: short, ..GitOptions::default() };
    let options = ModuleOptions { git, ..ModuleOptions::default() };
    let (world, _app, commit) = with(vec![library.spec()], &[(FILE, &file("shop", &["platform/one"]))], options).await;
    let found = findings(&world, &commit).await;
    assert!(found[0].message.contains("did not answer in full within 300ms"), "{}", found[0]);
}
