//! `plan`: what is said about a change, before anybody merges it.

use std::path::{Path, PathBuf};

use longboat::model::{ChangeKind, PlanReport};
use serde_json::Value;

use super::{longboat, stderr, stdout};
use crate::support::repo::git_in;

const BEFORE: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    parameters: [{name: region, default: eu}]
    stages:
      - id: build
        type: script
        command: |
          make
          make test
        env: {API_TOKEN: not-for-everybody}
      - {id: old, type: wait, waitTime: 5}
      - {id: ship, type: script, command: make ship}
  - name: nightly
    stages: [{id: clean, type: script, command: make clean}]
";

const AFTER: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main, 'release/*']}]
    parameters: [{name: region, default: us}]
    stages:
      - id: build
        type: script
        command: |
          make
          make check
        env: {API_TOKEN: somewhat-longer}
      - {id: ship, type: script, command: make ship}
      - {id: verify, name: 'Verify \"it\"', type: webhook, url: 'https://example.com/health'}
  - name: docs
    triggers: [{type: git, paths: ['docs/**']}]
    stages: [{id: publish, type: script, command: make docs}]
";

/// A repository with a target branch and a branch that changes it.
struct Repository {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Repository {
    fn new(before: &str, after: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("shop");
        std::fs::create_dir_all(root.join(".longboat")).expect("a folder");
        git_in(folder.path(), &["init", "--quiet", "--initial-branch=main", "shop"]);
        let this = Self { _folder: folder, root };
        this.commit(before, "before");
        git_in(&this.root, &["switch", "--quiet", "--create", "change"]);
        this.commit(after, "after");
        this
    }

    fn write(&self, text: &str) {
        std::fs::write(self.root.join(".longboat/shop.yaml"), text).expect("a file");
    }

    fn commit(&self, text: &str, message: &str) {
        self.write(text);
        git_in(&self.root, &["add", "--all"]);
        git_in(&self.root, &["commit", "--quiet", "--message", message]);
    }

    fn plan(&self, args: &[&str], code: i32) -> String {
        plan(&self.root, args, code)
    }

    fn report(&self, args: &[&str]) -> PlanReport {
        serde_json::from_str(&self.plan(&[args, &["--format", "json"]].concat(), 0)).expect("a plan")
    }
}

fn plan(folder: &Path, args: &[&str], code: i32) -> String {
    let output = longboat(folder, &[&["plan"], args].concat());
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"`[0-9a-f]{7}`", "`<commit>`");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn a_change_is_told_to_people_and_to_forges() {
    let repository = Repository::new(BEFORE, AFTER);
    let text = repository.plan(&[], 0);
    check("plan_human", &text);
    let markdown = repository.plan(&["--format", "markdown"], 0);
    check("plan_markdown", &markdown);
    for text in [&text, &markdown] {
        assert!(!text.contains("not-for-everybody") && !text.contains("somewhat-longer"), "{text}");
    }
    assert_eq!(
        text,
        repository.plan(&["--head", "HEAD", "--base", "main"], 0).replace(
            &format!("Compared `{}` with", &git_in(&repository.root, &["rev-parse", "HEAD"])[..7]),
            "Compared the files as they are with",
        ),
        "the same two commits give the same bytes"
    );
}

#[test]
fn programs_get_what_the_schema_says() {
    let repository = Repository::new(BEFORE, AFTER);
    let text = repository.plan(&["--format", "json"], 0);
    assert_eq!(text, repository.plan(&["--format", "json"], 0), "the same bytes");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let schema = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema/plan.json")).expect("a schema");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).expect("JSON")).expect("a schema");
    let errors: Vec<String> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    let report: PlanReport = serde_json::from_str(&text).expect("a plan");
    let plan = report.plan.expect("a plan");
    assert_eq!((plan.added, plan.changed, plan.removed, plan.cut), (1, 1, 1, false));
    assert_eq!((report.target_branch.as_str(), report.head, report.errors), ("main", None, 0));
    let starts: Vec<_> = plan.starts.iter().map(|start| (start.pipeline.as_str(), start.starts)).collect();
    assert_eq!(starts, [("deploy", true), ("docs", false)]);
}

#[test]
fn the_base_is_what_both_branches_share_and_can_be_named() {
    let repository = Repository::new(BEFORE, AFTER);
    git_in(&repository.root, &["switch", "--quiet", "main"]);
    repository.commit(&BEFORE.replace("make clean", "make distclean"), "meanwhile");
    git_in(&repository.root, &["switch", "--quiet", "change"]);
    let names = |report: &PlanReport| -> Vec<String> {
        let plan = report.plan.as_ref().expect("a plan");
        plan.pipelines.iter().map(|change| change.pipeline.to_string()).collect()
    };
    let shared = repository.report(&["--head", "change"]);
    let base = git_in(&repository.root, &["rev-parse", "change~1"]);
    assert_eq!(shared.base.as_ref().map(|base| base.as_str()), Some(base.as_str()));
    assert_eq!(names(&shared), ["deploy", "docs", "nightly"]);
    assert_eq!(names(&repository.report(&["--base", "HEAD"])).len(), 0, "nothing is changed and not committed");
    repository.write(&AFTER.replace("make docs", "make book"));
    assert_eq!(names(&repository.report(&["--base", "HEAD"])), ["docs"]);
    // The other way round.
    let back = repository.report(&["--base", "change", "--head", "change~1"]);
    let kinds: Vec<_> = back.plan.expect("a plan").pipelines.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Changed, ChangeKind::Removed, ChangeKind::Added]);
}

#[test]
fn errors_come_first_and_are_the_answer() {
    let broken = AFTER.replace("type: webhook", "type: webhoook");
    let repository = Repository::new(BEFORE, &broken);
    let text = repository.plan(&[], 1);
    assert!(text.starts_with("error[LB0304]: unknown stage type `webhoook`"), "{text}");
    assert!(text.contains("Not compared, because of errors before or after: shop\n"), "{text}");
    assert!(text.ends_with("\nFailed: 1 error\n"), "{text}");
    let markdown = repository.plan(&["--format", "markdown"], 1);
    assert!(markdown.starts_with("### ❌ Failed: 1 error\n"), "{markdown}");
}

#[test]
fn what_can_not_be_compared_is_no_answer() {
    let repository = Repository::new(BEFORE, AFTER);
    let output = longboat(&repository.root, &["plan", "--base", "nothing"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`--base nothing` names no commit"), "{}", stderr(&output));
    let plain = super::tree(&[(".longboat/shop.yaml", BEFORE)]);
    let output = longboat(plain.path(), &["plan"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is not in a Git repository"), "{}", stderr(&output));
}

#[test]
fn a_tree_inside_of_a_repository_and_one_without_commits_have_plans() {
    let folder = tempfile::tempdir().expect("a folder");
    git_in(folder.path(), &["init", "--quiet", "--initial-branch=trunk", "."]);
    let inner = folder.path().join("examples/shop");
    std::fs::create_dir_all(inner.join(".longboat")).expect("a folder");
    std::fs::write(inner.join(".longboat/shop.yaml"), BEFORE).expect("a file");
    let text = plan(&inner, &[], 0);
    assert!(text.starts_with("Compared the files as they are with nothing, as `main`"), "{text}");
    assert!(text.ends_with("Pipelines: 2 added\n"), "{text}");
    git_in(folder.path(), &["add", "--all"]);
    git_in(folder.path(), &["commit", "--quiet", "--message", "first"]);
    assert!(plan(&inner, &[], 0).ends_with("No pipeline changes\n"));
    std::fs::write(inner.join(".longboat/shop.yaml"), AFTER).expect("a file");
    assert!(plan(&inner, &[], 0).ends_with("Pipelines: 1 added, 1 changed, 1 removed\n"));
}
