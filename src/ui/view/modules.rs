//! Module repositories on pages: what they were read at, and what a pull request on one does to those who use it.

use serde::Serialize;

use super::findings::{FindingsList, dependent_rows};
use super::plan::PlanPart;
use super::{CommitLink, Links};
use crate::config::{Config, ModuleSource};
use crate::model::{ComparedPin, Impact, ImpactDetail, ImpactedBranch, Pin, PinKind, Pins, RepositoryName, counted};

/// The most branches that are shown.
const MOST_SHOWN: usize = 50;

/// What a reference to a module repository means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PinRow {
    name: String,
    commit: CommitLink,
    /// As what it was found.
    kind: String,
    /// What it meant when the target branch was published last, if that is something else.
    moved_from: Option<CommitLink>,
}

/// The pins of an application.
pub(super) fn pin_rows(pins: &Pins, links: Links<'_>) -> Vec<PinRow> {
    pins.iter().map(|pin| PinRow::new(pin, links)).collect()
}

/// The pins of a pull request.
pub(super) fn compared_rows(pins: &[ComparedPin], links: Links<'_>) -> Vec<PinRow> {
    let row = |one: &ComparedPin| PinRow {
        moved_from: one.moved_from().map(|commit| links.commit(followed(links.0, &one.pin.repository), commit)),
        ..PinRow::new(&one.pin, links)
    };
    pins.iter().map(row).collect()
}

impl PinRow {
    fn new(pin: &Pin, links: Links<'_>) -> Self {
        Self {
            name: pin.to_string(),
            commit: links.commit(followed(links.0, &pin.repository), &pin.commit),
            kind: match &pin.kind {
                PinKind::Tag(tag) => format!("tag {tag}"),
                PinKind::Branch(branch) => format!("branch {branch}"),
                PinKind::Commit => "commit".to_owned(),
            },
            moved_from: None,
        }
    }
}

/// The followed repository that a module repository is, which may have pages on a forge.
fn followed<'a>(config: &'a Config, modules: &str) -> Option<&'a RepositoryName> {
    match &config.modules.iter().find(|one| one.name == modules)?.source {
        ModuleSource::Followed(name) => Some(name),
        ModuleSource::Own { .. } => None,
    }
}

/// What a pull request does to those who use the modules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ImpactPart {
    /// What would break and change, in sentences.
    summary: Vec<String>,
    branches: Vec<BranchPart>,
    /// How many are not shown, though they may be.
    more: Option<String>,
    /// How many stay as they are, use something else, or could not be looked at.
    others: Vec<String>,
    /// Only how many there are may be told.
    counts_only: bool,
}

/// A branch that would break or change.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct BranchPart {
    repository: String,
    branch: String,
    commit: CommitLink,
    class: &'static str,
    /// What is the matter, in a few words.
    about: String,
    found: Option<FindingsList>,
    plan: Option<PlanPart>,
    /// Where only names may be told: what happens to which pipeline.
    pipelines: Vec<String>,
}

impl ImpactPart {
    /// Nothing if nobody uses the modules.
    pub(super) fn new(impact: &Impact, links: Links<'_>) -> Option<Self> {
        if impact.all() == 0 {
            return None;
        }
        let broken = (impact.broken > 0).then(|| {
            format!("{} would have {}.", counted(impact.broken, "dependent"), counted(impact.errors, "new error"))
        });
        let changes = impact.changes().map(|changes| format!("{changes}."));
        let mut summary: Vec<String> = broken.into_iter().chain(changes).collect();
        if summary.is_empty() {
            summary.push("No pipeline changes.".to_owned());
        }
        let shown = u32::try_from(impact.dependents.len().min(MOST_SHOWN)).unwrap_or(u32::MAX);
        let counts_only = impact.detail == ImpactDetail::Counts;
        let unshown = impact.broken.saturating_add(impact.changed).saturating_sub(shown);
        let others = [
            (impact.same, "by which nothing changes"),
            (impact.elsewhere, "with other tags, branches or commits, which the merge doesn't move"),
            (impact.unknown, "that could not be looked at"),
        ];
        let others = others.into_iter().filter(|(number, _)| *number > 0);
        Some(Self {
            summary,
            branches: impact.dependents.iter().take(MOST_SHOWN).map(|one| BranchPart::new(one, links)).collect(),
            more: (unshown > 0 && !counts_only).then(|| counted(unshown, "more dependent")),
            others: others.map(|(number, what)| format!("{} {what}", counted(number, "dependent"))).collect(),
            counts_only: counts_only && impact.broken.saturating_add(impact.changed) > 0,
        })
    }
}

impl BranchPart {
    fn new(one: &ImpactedBranch, links: Links<'_>) -> Self {
        let number = u32::try_from(one.pipelines.len()).unwrap_or(u32::MAX);
        let names =
            one.pipelines.iter().map(|one| format!("{}/{} {}", one.application, one.pipeline, one.kind.as_str()));
        Self {
            repository: one.repository.to_string(),
            branch: one.branch.clone(),
            commit: links.commit(Some(&one.repository), &one.commit),
            class: if one.errors > 0 { "bad" } else { "warn" },
            about: match one.errors {
                0 => counted(number, "pipeline"),
                errors => counted(errors, "new error"),
            },
            found: (!one.findings.is_empty()).then(|| dependent_rows(one, links)),
            plan: one.plan.as_ref().map(|plan| PlanPart::of_dependent(one, plan, links)),
            pipelines: if one.plan.is_none() { names.collect() } else { Vec::new() },
        }
    }
}
