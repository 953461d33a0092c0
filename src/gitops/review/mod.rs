//! What a pull request would do: its head is rendered and checked in the place of its target branch, and its pipelines
//! are compared with those of the commit that both branches come from.
//!
//! The comparison is with the merge base and not with what is published: it tells what the pull request's author did,
//! whatever happened on the target branch meanwhile.

mod excerpt;
mod impact;

use std::collections::BTreeMap;

pub use impact::impact;
use serde::{Deserialize, Serialize};

use super::{
    Checked, KEPT_PLAN, Permit, Push, RemovalRule, Request, Source, built_in, check, check_with_documents, plan,
};
use crate::config::{Applications, SecretRules};
use crate::diagnostic::{Diagnostic, Severity};
use crate::git::Changed;
use crate::model::{ApplicationName, CommitSha, Pins, RepositoryName, Review, ReviewFinding, StatusState, clip};
use crate::schema::Catalog;

/// The most findings that a review lists.
const MAX_FINDINGS: usize = 50;
/// The longest message or hint that is listed, in characters.
const LONGEST_TEXT: usize = 600;
/// The most calls of modules that are listed of one finding.
const MAX_CHAIN: usize = 8;

/// What the operator's configuration and other repositories allow.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ownership {
    /// The applications that the repository may define; none means any.
    pub allowed: Option<Applications>,
    /// Those that other repositories have.
    pub foreign: BTreeMap<ApplicationName, RepositoryName>,
    /// Which secrets there are and who may use them; none, if that isn't known.
    pub secrets: Option<SecretRules>,
    /// Whether the definitions of the target branch count.
    pub tracked: bool,
    /// What may go at once; none, if that isn't known.
    pub removal: Option<RemovalRule>,
}

impl Ownership {
    /// Checks the files of a commit, with the applications of others marked as errors.
    pub fn check(&self, request: &Request<'_>, catalog: &Catalog) -> Checked {
        let branch = self.tracked.then_some(request.branch);
        let permit = self.allowed.as_ref().map(|rules| Permit { rules, branch });
        let mut checked = check_with_documents(request, catalog, permit);
        if let Some(rules) = &self.secrets {
            checked.judge_secrets(rules, request.repository, branch);
        }
        let foreign: Vec<_> = self.foreign.iter().collect();
        checked.refuse_foreign(&foreign);
        checked
    }
}

/// What a head is compared with.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// The commit.
    pub commit: &'a CommitSha,
    /// Its files.
    pub source: &'a dyn Source,
    /// The paths in which the head differs from it.
    pub changed: &'a Changed,
}

/// Reviews the head of a pull request: `head` is rendered as its target branch, `base` are the files before it.
pub fn review(
    commit: &CommitSha,
    head: &Request<'_>,
    base: Option<Base<'_>>,
    catalog: &Catalog,
    ownership: &Ownership,
) -> Review {
    let mut after = ownership.check(head, catalog);
    let before = base.map(|base| ownership.check(&Request { source: base.source, ..*head }, catalog));
    let before = before.unwrap_or_default();
    let removal = ownership.removal.as_ref().filter(|_| ownership.tracked);
    after.findings.extend(removal.and_then(|rule| rule.warning(head.repository, &before, &after)));
    let count = |severity| to_count(after.findings.iter().filter(|finding| finding.severity == severity).count());
    let unknown = Changed { paths: Vec::new(), truncated: true };
    let changed = base.map_or(&unknown, |base| base.changed);
    let push = Push { branch: head.branch, changed, tracked: ownership.tracked };
    let plan = plan(&before, &after, push, KEPT_PLAN);
    let valid = after.applications.iter().filter(|application| application.valid);
    Review {
        commit: commit.clone(),
        target_branch: head.branch.to_owned(),
        files: to_count(after.files),
        pipelines: to_count(valid.map(|application| application.pipelines.len()).sum()),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        findings: findings(&after.findings, head),
        errors_before: 0,
        changed: plan.all_changed(),
        plan: Some(plan),
        base: base.map(|base| base.commit.clone()),
        pins: after.pins,
        dependents: None,
        trouble: None,
    }
}

/// A review of a head that could not be looked at.
pub fn trouble(commit: &CommitSha, target_branch: &str, why: impl Into<String>) -> Review {
    Review {
        commit: commit.clone(),
        target_branch: target_branch.to_owned(),
        files: 0,
        pipelines: 0,
        findings: Vec::new(),
        errors: 0,
        warnings: 0,
        errors_before: 0,
        changed: 0,
        plan: None,
        base: None,
        pins: Pins::default(),
        dependents: None,
        trouble: Some(why.into()),
    }
}

/// The state and the text of the status of a reviewed commit, as [`super::summarize`] puts them.
pub fn summarize_review(review: &Review) -> (StatusState, String) {
    if let Some(trouble) = &review.trouble {
        return (StatusState::Failure, format!("Failed: {trouble}"));
    }
    let first = review.findings.first().map(|first| &first.finding).filter(|finding| finding.is_error());
    let (state, text) = check::summary(review.errors as usize, first, review.files as usize, review.pipelines as usize);
    let Some(impact) = review.dependents.as_ref().filter(|_| state == StatusState::Success) else {
        return (state, text);
    };
    match (impact.breaks(), impact.changes()) {
        (Some(breaks), _) => (StatusState::Failure, clip(&format!("Failed: {breaks}"))),
        (None, Some(changes)) if review.files == 0 => (state, clip(&changes)),
        (None, Some(changes)) => (state, clip(&format!("{text}; {changes}"))),
        (None, None) => (state, text),
    }
}

fn to_count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Errors first, then by place.
pub fn in_order_of_weight(all: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut ordered: Vec<&Diagnostic> = all.iter().collect();
    let place = |finding: &Diagnostic| {
        let place = finding.place.as_ref();
        (finding.severity, place.map(|place| (place.file.clone(), place.line, place.column)))
    };
    ordered.sort_by_cached_key(|finding| place(finding));
    ordered
}

/// Errors first, then by place; each with its lines.
fn findings(all: &[Diagnostic], head: &Request<'_>) -> Vec<ReviewFinding> {
    let ordered = in_order_of_weight(all);
    let mut texts: BTreeMap<String, Option<String>> = BTreeMap::new();
    let with_lines = |finding: &Diagnostic| {
        let snippet = finding.place.as_ref().and_then(|place| {
            let text = texts.entry(place.file.clone()).or_insert_with(|| read(head, &place.file));
            excerpt::excerpt(text.as_deref()?, place)
        });
        ReviewFinding { finding: bounded(finding), snippet }
    };
    ordered.into_iter().take(MAX_FINDINGS).map(with_lines).collect()
}

/// The text of a file of the commit, of a built-in module, or of one of a module repository.
fn read(head: &Request<'_>, file: &str) -> Option<String> {
    let bytes = head.source.read(file).ok().flatten();
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    text.or_else(|| built_in(file)).or_else(|| head.library?.text(file))
}

fn bounded(finding: &Diagnostic) -> Diagnostic {
    let mut finding = finding.clone();
    cut(&mut finding.message);
    finding.hint.iter_mut().for_each(cut);
    finding.pointer.iter_mut().for_each(cut);
    finding.chain.truncate(MAX_CHAIN);
    finding.through.truncate(MAX_CHAIN);
    finding
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_TEXT) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::diagnostic::Code;
    use crate::gitops::{Limits, MemorySource};
    use crate::model::{ChangeKind, PipelineChange};
    use crate::schema::stage_type;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code)]
    struct Wait {
        wait_time: Option<u64>,
    }

    fn sha() -> CommitSha {
        CommitSha::parse(&"a".repeat(40)).expect("a commit")
    }

    fn looked(before: &[(&str, &str)], after: &[(&str, &str)], ownership: &Ownership) -> Review {
        let source = |files: &[(&str, &str)]| {
            MemorySource::new(files.iter().map(|(path, text)| (format!(".longboat/{path}"), *text)))
        };
        let (before, after) = (source(before), source(after));
        let repository = RepositoryName::parse("acme/shop").expect("a name");
        let (globals, limits) = (Map::from_iter([("region".to_owned(), json!("eu"))]), Limits::default());
        let head = Request {
            source: &after,
            repository: &repository,
            branch: "main",
            globals: &globals,
            limits: &limits,
            library: None,
        };
        let catalog = Catalog::new(vec![stage_type::<Wait>("wait", "Waits")]);
        let changed = Changed { paths: vec!["x".to_owned()], truncated: false };
        let base = Base { commit: &sha(), source: &before, changed: &changed };
        review(&sha(), &head, Some(base), &catalog, ownership)
    }

    fn changes(review: &Review) -> &[PipelineChange] {
        review.plan.as_ref().map_or(&[], |plan| &plan.pipelines)
    }

    fn file(application: &str, wait: u32) -> String {
        format!(
            "application: {application}\npipelines:\n  - name: deploy\n    stages:\n      - {{id: rest, type: wait, waitTime: {wait}}}\n"
        )
    }

    #[test]
    fn a_changed_pipeline_is_told_and_one_that_moved_is_not() {
        let (old, new, same) = (file("shop", 1), file("shop", 2), file("base", 1));
        let moved = format!("# moved down\n\n{same}");
        let review = looked(
            &[("a.yaml", &old), ("b.yaml", &same)],
            &[("a.yaml", &new), ("c.yaml", &moved)],
            &Ownership::default(),
        );
        assert_eq!((review.files, review.pipelines, review.errors, review.changed), (2, 2, 0, 1));
        let change = &changes(&review)[0].changes[0];
        assert_eq!((change.pointer.as_str(), &change.before), ("/stages/rest/waitTime", &Some(json!(1))));
        assert_eq!(summarize_review(&review), (StatusState::Success, "2 pipelines valid".to_owned()));
    }

    #[test]
    fn an_error_comes_first_with_its_lines_and_hides_only_its_own_application() {
        let good = file("base", 1);
        let bad = file("shop", 2).replace("type: wait", "type: wiat");
        let old = file("shop", 1);
        let review = looked(&[("a.yaml", &old)], &[("a.yaml", &bad), ("b.yaml", &good)], &Ownership::default());
        assert_eq!((review.errors, review.pipelines), (1, 1));
        let first = &review.findings[0];
        assert_eq!(first.finding.code, Code::UnknownStageType);
        let lines = first.snippet.as_deref().expect("has lines");
        assert!(lines.contains("> 5 |       - {id: rest, type: wiat") && lines.contains("^^^^"), "{lines}");
        let told: Vec<_> = changes(&review).iter().map(|change| (change.application.as_str(), change.kind)).collect();
        assert_eq!(told, [("base", ChangeKind::Added)]);
        let (state, text) = summarize_review(&review);
        assert_eq!(state, StatusState::Failure);
        assert!(text.starts_with("Failed: 1 error, a.yaml:5 unknown stage type wiat"), "{text}");
    }

    #[test]
    fn nothing_counts_as_gone_while_a_file_cannot_be_told() {
        let (old, broken) = (file("shop", 1), "application: [");
        let hidden = looked(&[("a.yaml", &old)], &[("a.yaml", broken)], &Ownership::default());
        assert_eq!((hidden.errors, hidden.changed), (1, 0), "{hidden:?}");
        let gone = looked(&[("a.yaml", &old)], &[], &Ownership::default());
        assert_eq!((changes(&gone)[0].kind, gone.files), (ChangeKind::Removed, 0));
        assert_eq!(summarize_review(&gone).1, "No pipeline files");
    }

    #[test]
    fn the_application_of_another_repository_is_an_error() {
        let owner = RepositoryName::parse("acme/other").expect("a name");
        let foreign = BTreeMap::from([(ApplicationName::parse("shop").expect("a name"), owner)]);
        let review = looked(&[], &[("a.yaml", &file("shop", 1))], &Ownership { foreign, ..Ownership::default() });
        assert_eq!((review.errors, review.changed, review.pipelines), (1, 0, 0));
        assert!(review.findings[0].finding.message.contains("belongs to the repository acme/other"));
    }

    #[test]
    fn what_is_listed_is_bounded() {
        let stages: String = (0..300).map(|at| format!("      - {{id: s{at}, type: {}}}\n", "x".repeat(700))).collect();
        let text = format!("application: shop\npipelines:\n  - name: deploy\n    stages:\n{stages}");
        let review = looked(&[], &[("a.yaml", &text)], &Ownership::default());
        assert_eq!(review.findings.len(), 50);
        assert!(review.errors >= 200, "{}", review.errors);
        let size = serde_json::to_string(&review).expect("JSON").len();
        assert!(size < 128 * 1024, "{size}");
    }

    #[test]
    fn trouble_says_why_and_nothing_else() {
        let text = summarize_review(&trouble(&sha(), "main", "the fork is gone"));
        assert_eq!(text, (StatusState::Failure, "Failed: the fork is gone".to_owned()));
    }
}
