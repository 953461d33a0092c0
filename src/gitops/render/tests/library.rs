//! Modules of module repositories.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::gitops::{Library, LibraryError, MemoryCommits, Pinned, Refs, Shelf, ShelfState, Stock, render_all};
use crate::model::{CommitSha, ModuleUse, PinKind};

fn sha(number: u32) -> CommitSha {
    CommitSha::parse(&format!("{number:07x}{}", "0".repeat(33))).expect("a commit")
}

/// A module repository whose commits are these, with these refs.
fn stock(folder: &str, refs: &[(&str, u32)], commits: &[(u32, &[(&str, &str)])]) -> Stock {
    let heads = refs.iter().map(|(name, number)| (format!("refs/{name}"), sha(*number))).collect();
    let files = |files: &[(&str, &str)]| MemorySource::new(files.iter().map(|(path, text)| (*path, *text)));
    Stock {
        address: "https://git.example.com/acme/modules".to_owned(),
        folder: folder.to_owned(),
        reference: None,
        state: ShelfState::Known(Refs { default_branch: Some("main".to_owned()), heads }),
        commits: Arc::new(MemoryCommits::new(commits.iter().map(|(number, list)| (sha(*number), files(list))))),
        fresh: true,
    }
}

/// `platform` with a branch, tags and several commits; `other`, whose modules are everywhere; `down`, never read.
pub(super) fn shelf() -> Shelf {
    let first: &[(&str, &str)] = &[
        ("modules/deploy.yaml", "image: {{ image }}\nversion: 1\n"),
        ("modules/deep/er.yml", "use: leaf\n"),
        ("modules/leaf.yaml", "leaf: 1\n"),
    ];
    let second: &[(&str, &str)] = &[
        ("modules/deploy.yaml", "image: {{ image }}\nversion: 2\n"),
        (
            "modules/deep/er.yml",
            "a: {use: leaf}\nb: {use: platform/leaf}\nc: {use: other/x@v1}\nd: {{ file('text.txt') }}\n",
        ),
        ("modules/leaf.yaml", "leaf: 2\n"),
        ("modules/broken.yaml", "module: {}\n---\na: 1\nb: {{ nope }}\n"),
        ("modules/asks.yaml", "module: {parameters: {image: {required: true}}}\n---\ni: {{ image }}\n"),
        ("modules/own.yaml", "use: only-in-the-callers-repository\n"),
        ("modules/twice.yaml", "1"),
        ("modules/twice.json", "1"),
        ("text.txt", "from the module's repository"),
    ];
    let refs = [("heads/main", 2), ("tags/v1.0.0", 1), ("tags/v1.1.0", 2), ("tags/both", 1), ("heads/both", 2)];
    let other: &[(&str, &str)] = &[("x.yaml", "x: other\n")];
    let mut down = stock("", &[], &[]);
    down.state = ShelfState::Unread("https://git.example.com/acme/down refused access".to_owned());
    Shelf::new([
        ("platform".to_owned(), stock("modules", &refs, &[(1, first), (2, second)])),
        ("other".to_owned(), stock("", &[("heads/main", 3), ("tags/v1", 3)], &[(3, other)])),
        ("down".to_owned(), down),
    ])
}

pub(super) fn rendered(files: &[(&str, &str)], library: &dyn Library) -> RenderedFile {
    let source = source(files);
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let (limits, globals) = (Limits::default(), Map::new());
    let request = Request { library: Some(library), ..request(&source, &repository, &limits, &globals) };
    render_file(&request, FILE)
}

fn only(files: &[(&str, &str)]) -> Diagnostic {
    let mut findings = rendered(files, &shelf()).findings;
    assert_eq!(findings.len(), 1, "{files:?}: {findings:#?}");
    findings.remove(0)
}

#[test]
fn a_circle_through_several_module_repositories_is_found_with_its_way() {
    let there: &[(&str, &str)] = &[("there.yaml", "use: two/back@v1\n")];
    let back: &[(&str, &str)] = &[("back.yaml", "a: {use: one/there}\n")];
    let shelf = Shelf::new([
        ("one".to_owned(), stock("", &[("heads/main", 1)], &[(1, there)])),
        ("two".to_owned(), stock("", &[("tags/v1", 2)], &[(2, back)])),
    ]);
    let findings = rendered(&[("a", "x: {use: one/there}\n")], &shelf).findings;
    let told: Vec<_> = findings.iter().map(|found| (found.code, found.message.as_str(), found.chain.len())).collect();
    assert_eq!(told, [(Code::ModuleRecursion, "a module calls itself: one/there → two/back@v1 → one/there", 2)]);
    assert_eq!(at(&findings[0]), "two/back.yaml@0000002:1:10");
}

#[test]
fn each_reference_leads_to_its_commit_and_is_recorded() {
    let text = "\
vars: {v: 1}
tag: {use: platform/deploy@v1.0.0, with: {image: a}}
range: {{ module('platform/deploy@^1', image='a') }}
branch: {use: platform/deploy@main, with: {image: a}}
default: {use: platform/deploy, with: {image: a}}
commit: {use: platform/deploy@0000001, with: {image: a}}
wide: {use: 'platform/deploy@>=1, <1.1', with: {image: a}}
";
    let file = rendered(&[("a", text)], &shelf());
    assert_eq!(file.findings, []);
    let json = file.root.expect("a document").to_json();
    let versions: Vec<_> = ["tag", "range", "branch", "default", "commit", "wide"]
        .iter()
        .map(|key| json[key]["version"].as_u64().expect("a number"))
        .collect();
    assert_eq!(versions, [1, 2, 2, 2, 1, 1]);
    let pins: Vec<String> =
        file.pins.iter().map(|pin| format!("{pin} {} {:?}", pin.commit.short(), pin.kind)).collect();
    assert_eq!(
        pins,
        [
            "platform 0000002 Branch(\"main\")",
            "platform@0000001 0000001 Commit",
            "platform@>=1, <1.1 0000001 Tag(\"v1.0.0\")",
            "platform@^1 0000002 Tag(\"v1.1.0\")",
            "platform@main 0000002 Branch(\"main\")",
            "platform@v1.0.0 0000001 Tag(\"v1.0.0\")",
        ]
    );
    assert_eq!(file.modules.len(), 6);
    let by_default = file.modules.iter().find(|used| used.reference.is_none()).expect("is there");
    assert_eq!(
        (by_default.module.as_str(), by_default.repository.as_deref(), by_default.file.as_str(), by_default.call.line),
        ("platform/deploy", Some("platform"), "modules/deploy.yaml", 5)
    );
    assert_eq!(by_default.commit, Some(sha(2)));
}

#[test]
fn plain_names_in_a_module_repository_are_its_own_at_the_same_commit() {
    let files = [
        ("a", "new: {use: platform/deep/er}\nold: {use: platform/deep/er@v1.0.0}\n"),
        ("m/leaf", "leaf: the caller's\n"),
        ("text.txt", "from the caller's repository"),
    ];
    let file = rendered(&files, &shelf());
    assert_eq!(file.findings, []);
    let expected = json!({
        "new": {"a": {"leaf": 2}, "b": {"leaf": 2}, "c": {"x": "other"}, "d": "from the module's repository"},
        "old": {"leaf": 1},
    });
    assert_eq!(file.root.expect("a document").to_json(), expected);
    let mut uses: Vec<String> =
        file.modules.iter().map(|used| format!("{} {:?} {}", used.module, used.reference, used.call.line)).collect();
    uses.sort();
    assert_eq!(
        uses,
        [
            "other/x Some(\"v1\") 1",
            "platform/deep/er None 1",
            "platform/deep/er Some(\"v1.0.0\") 2",
            "platform/leaf None 1",
            "platform/leaf Some(\"v1.0.0\") 2"
        ]
    );
    assert_eq!(file.files.len(), 1);
    assert_eq!((file.files[0].repository.as_deref(), file.files[0].path.as_str()), (Some("platform"), "text.txt"));
    let own = only(&[("a", "x: {use: platform/own}\n"), ("m/only-in-the-callers-repository", "1")]);
    assert_eq!((own.code, at(&own).as_str()), (Code::ModuleNotFound, "platform/own.yaml@0000002:1:6"));
    assert!(own.message.contains("`platform/only-in-the-callers-repository`"), "{own}");
}

#[test]
fn places_and_chains_name_the_commit_and_can_be_read_again() {
    let library = shelf();
    let file = rendered(&[("a", "x: {use: platform/broken@v1.1.0}\n")], &library);
    let finding = &file.findings[0];
    assert_eq!((finding.code, at(finding).as_str()), (Code::UndefinedValue, "platform/broken.yaml@0000002:4:7"));
    assert_eq!(finding.chain[0].module, "platform/broken@v1.1.0");
    assert_eq!((finding.chain[0].file.as_str(), finding.chain[0].line), (".longboat/a.yaml", 1));
    let text = library.text("platform/broken.yaml@0000002").expect("can be read");
    assert!(text.lines().nth(3).expect("a line").contains("nope"));
    for wrong in ["platform/broken.yaml@0000001", "platform/broken.yaml", "other/broken.yaml@0000002", "", "@"] {
        assert_eq!(library.text(wrong), None, "{wrong}");
    }
}

#[test]
fn what_leads_nowhere_says_why_and_what_to_do() {
    for (call, code, message, hint) in [
        (
            "down/x@v1",
            Code::ModuleRepositoryUnread,
            "`down` can't be read: https://git.example.com/acme/down refused",
            "stays in force",
        ),
        ("down/x", Code::ModuleRepositoryUnread, "`down`", "stays in force"),
        ("platform/deploy@v7", Code::ModuleReference, "`platform` has no tag, branch or commit `v7`", "behind the `@`"),
        ("platform/deploy@^7", Code::ModuleReference, "no version in the range `^7`", "newest version is `v1.1.0`"),
        ("platform/deploy@mian", Code::ModuleReference, "`mian`", "did you mean `main`?"),
        (
            "platform/deplyo@main",
            Code::ModuleNotFound,
            "no module `platform/deplyo`",
            "did you mean `platform/deploy`?",
        ),
        (
            "platform/something-else@v1.0.0",
            Code::ModuleNotFound,
            "`platform/something-else`",
            "at 0000001, which is what `platform@v1.0.0` means",
        ),
        ("platform/twice", Code::ModuleNotFound, "exists twice", "remove one"),
        (
            "platfrom/deploy@v1.0.0",
            Code::ModuleRepository,
            "no module repository `platfrom`",
            "did you mean `platform/deploy`?",
        ),
        ("platfrom/deploy", Code::ModuleNotFound, "no module `platfrom/deploy`", "did you mean `platform/deploy`?"),
        ("std/approve@v1", Code::ModuleNotFound, "no revision to choose", "write `std/approve`"),
        ("platform/asks", Code::ModuleCall, "`platform/asks` needs the parameter `image`", ""),
    ] {
        let finding = only(&[("a", &format!("x:\n  use: {call}\n"))]);
        assert_eq!((finding.code, at(&finding).as_str()), (code, "a.yaml:2:8"), "{call}: {finding}");
        assert!(finding.message.contains(message), "{call}: {finding}");
        assert!(finding.hint.as_deref().unwrap_or_default().contains(hint), "{call}: {finding:?}");
    }
}

#[test]
fn a_tag_that_is_a_branch_too_is_warned_of_once() {
    let file = rendered(&[("a", "x: {use: platform/leaf@both}\ny: {use: platform/leaf@both}\n")], &shelf());
    let warned: Vec<_> = file.findings.iter().map(|finding| (finding.code, finding.is_error(), at(finding))).collect();
    let at = |line| format!("a.yaml:{line}:10");
    assert_eq!(warned, [(Code::AmbiguousReference, false, at(1)), (Code::AmbiguousReference, false, at(2))]);
    assert_eq!(file.root.expect("a document").to_json()["x"], json!({"leaf": 1}));
}

#[test]
fn a_folder_with_the_name_of_a_module_repository_is_an_error() {
    let files =
        [("a", "x: {use: platform/leaf}\n"), ("b", "y: 1\n"), ("m/platform/leaf", "1"), ("m/platforms/leaf", "1")];
    assert_eq!(only(&files).code, Code::ModuleNameTaken);
    let source = source(&files);
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let (limits, globals, library) = (Limits::default(), Map::new(), shelf());
    let request = Request { library: Some(&library), ..request(&source, &repository, &limits, &globals) };
    let rendered = render_all(&request);
    let shared: Vec<_> = rendered.findings.iter().map(|finding| (finding.code, at(finding))).collect();
    assert_eq!(shared, [(Code::ModuleNameTaken, "modules/platform/leaf.yaml:1:1".to_owned())]);
    assert!(render_all(&Request { library: None, ..request }).findings.is_empty());
}

#[test]
fn a_server_tells_what_settings_propose_and_never_fetches_it() {
    let settings = "modules:\n  platform: {url: 'https://git.example.com/acme/modules.git'}\n  other: {url: 'https://git.example.com/else'}\n  new: {url: 'https://git.example.com/acme/new'}\n";
    let source = source(&[("settings", settings), ("a", "x: {use: new/y@v1}\n")]);
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let (limits, globals, library) = (Limits::default(), Map::new(), shelf());
    let rendered = render_all(&Request { library: Some(&library), ..request(&source, &repository, &limits, &globals) });
    let told: Vec<_> =
        rendered.findings.iter().map(|finding| (finding.code, at(finding), finding.is_error())).collect();
    let proposal = |line| (Code::ModuleProposal, format!("settings.yaml:{line}:3"), false);
    assert_eq!(told, [proposal(3), proposal(4)]);
    assert_eq!(rendered.files[0].findings[0].code, Code::ModuleRepository);
}

#[test]
fn a_use_says_through_which_modules_it_came_unless_the_file_calls_the_module_itself() {
    let told = |text: &str| -> Vec<_> {
        let file = rendered(&[("a", text), ("m/outer", "use: platform/deep/er@v1.0.0\n")], &shelf());
        let told = |used: &ModuleUse| (used.module.clone(), used.call.line, used.through.clone());
        file.modules.iter().map(told).collect()
    };
    let one = |module: &str, line, through: &[&str]| {
        (module.to_owned(), line, through.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(
        told("x: 1\ny: {use: outer}\n"),
        [
            one("outer", 2, &[]),
            one("platform/deep/er", 2, &["outer"]),
            one("platform/leaf", 2, &["outer", "platform/deep/er@v1.0.0"]),
        ]
    );
    let both = told("x: {use: outer}\ny: {use: platform/leaf@v1.0.0}\n");
    assert_eq!(both[2], one("platform/leaf", 2, &[]), "{both:?}");
}

#[test]
fn what_asking_the_remote_could_change_is_known_afterwards() {
    let library = shelf();
    rendered(&[("a", "x: {use: platform/leaf}\n")], &library);
    assert_eq!(library.wanted(), [""; 0]);
    rendered(&[("a", "x: {use: platform/leaf@v9}\ny: {use: down/x}\nz: {use: unknown/x@v1}\n")], &library);
    assert_eq!(library.wanted(), ["down", "platform"]);
    let mut old = stock("", &[("heads/main", 3)], &[(3, &[("x.yaml", "1")])]);
    old.fresh = false;
    let library =
        Shelf::new([("old".to_owned(), old), ("unused".to_owned(), Stock { fresh: false, ..stock("", &[], &[]) })]);
    rendered(&[("a", "x: {use: old/x}\n")], &library);
    assert_eq!(library.wanted(), ["old"]);
}

/// A library that answers differently each time.
struct Fickle(Shelf, Shelf, std::sync::atomic::AtomicUsize);

impl Library for Fickle {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn address(&self, repository: &str) -> Option<String> {
        self.0.address(repository)
    }

    fn open(&self, repository: &str, reference: Option<&str>) -> Result<Arc<Pinned>, LibraryError> {
        let turn = self.2.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if turn == 0 { self.0.open(repository, reference) } else { self.1.open(repository, reference) }
    }

    fn text(&self, place: &str) -> Option<String> {
        self.0.text(place)
    }
}

#[test]
fn all_files_of_a_commit_see_the_same_commit() {
    let moved = |commit| {
        let files: &[(&str, &str)] = if commit == 1 { &[("x.yaml", "v: 1")] } else { &[("x.yaml", "v: 2")] };
        Shelf::new([("p".to_owned(), stock("", &[("heads/main", commit)], &[(commit, files)]))])
    };
    let library = Fickle(moved(1), moved(2), std::sync::atomic::AtomicUsize::new(0));
    let files = MemorySource::new((0..30).map(|number| (format!(".longboat/{number}.yaml"), "x: {use: p/x}\n")));
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let (limits, globals) = (Limits { renderers: 1, ..Limits::default() }, Map::new());
    let rendered = render_all(&Request { library: Some(&library), ..request(&files, &repository, &limits, &globals) });
    assert!(rendered.files.iter().all(|file| file.pins.get("p", None).is_some_and(|pin| pin.commit == sha(1))));
    assert!(rendered.files.iter().all(|file| file.root.as_ref().expect("a document").to_json()["x"]["v"] == 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What was rendered by a reference is rendered again by the commit that was recorded for it.
    #[test]
    fn pins_say_everything(references in prop::collection::vec(
        prop::sample::select(vec!["", "@main", "@v1.0.0", "@^1", "@~1.0", "@both", "@1.x"]), 1..5))
    {
        let text = |references: &[String]| -> String {
            let calls = references.iter().enumerate();
            calls.map(|(at, reference)| format!("c{at}: {{use: 'platform/deep/er{reference}'}}\n")).collect()
        };
        let references: Vec<String> = references.into_iter().map(str::to_owned).collect();
        let named = rendered(&[("a", &text(&references))], &shelf());
        let exact: Vec<String> = references
            .iter()
            .map(|reference| {
                let pin = named.pins.get("platform", reference.strip_prefix('@')).expect("is recorded");
                format!("@{}", pin.commit)
            })
            .collect();
        let pinned = rendered(&[("a", &text(&exact))], &shelf());
        let json = |file: &RenderedFile| file.root.as_ref().expect("a document").to_json();
        prop_assert_eq!(json(&named), json(&pinned));
        prop_assert!(pinned.pins.iter().filter(|pin| pin.repository == "platform").all(|pin| pin.kind == PinKind::Commit));
    }

    /// No name leads to a panic, and nothing outside of what is configured is opened.
    #[test]
    fn any_name_is_answered(name in "(platform|other|std|x)?/?[a-z/.@^~0-9 ]{0,20}|.{0,40}") {
        let quoted = serde_json::to_string(&name).expect("JSON");
        let file = rendered(&[("a", &format!("x: {{\"use\": {quoted}}}\n"))], &shelf());
        prop_assert!(file.root.is_some() || !file.findings.is_empty());
        prop_assert!(file.pins.iter().all(|pin| ["platform", "other"].contains(&pin.repository.as_str())));
    }
}

#[test]
fn what_a_module_repository_yields_is_placed_in_its_files() {
    let text = "a: {{ module('platform/deploy@main', image=vars.image) }}\nb: {use: platform/deep/er@main}\n";
    let library = shelf();
    let file = rendered(&[("a", text), ("vars/default", "image: shop\n")], &library);
    assert_eq!(file.findings, []);
    let place = |pointer: &str| {
        let found = crate::gitops::explain(&file, pointer).expect(pointer);
        let all = std::iter::once(&found.place).chain(&found.through);
        let all: Vec<String> = all.map(|place| format!("{}:{}:{}", place.file, place.line, place.column)).collect();
        (all.join(" + "), found.chain.len())
    };
    let deploy = "platform/deploy.yaml@0000002";
    assert_eq!(place("/a/version"), (format!("{deploy}:2:10"), 1));
    assert_eq!(
        place("/a/image"),
        (format!(".longboat/a.yaml:1:44 + {deploy}:1:8 + .longboat/vars/default.yaml:1:8"), 1)
    );
    assert_eq!(place("/b/a/leaf"), ("platform/leaf.yaml@0000002:1:7".to_owned(), 2));
    assert_eq!(place("/b/d"), ("platform/deep/er.yml@0000002:4:4 + platform/text.txt@0000002:1:1".to_owned(), 1));
    assert_eq!(library.text("platform/text.txt@0000002").as_deref(), Some("from the module's repository"));
}
