//! What was found in files: of a commit, or of the head of a pull request, there with the lines around each place.

use serde::Serialize;

use super::{CommitLink, Links};
use crate::diagnostic::{Diagnostic, Repeated, Severity};
use crate::model::{CommitSha, ImpactedBranch, RepositoryName, Review, counted};
use crate::store::CommitFindings;

/// What was found in a commit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct FindingsList {
    commit: CommitLink,
    summary: String,
    rows: Vec<FindingRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct FindingRow {
    class: &'static str,
    severity: String,
    code: &'static str,
    title: &'static str,
    message: String,
    hint: Option<String>,
    place: Option<String>,
    place_url: Option<String>,
    snippet: Option<String>,
    chain: Vec<String>,
}

/// Where files are shown as they were.
#[derive(Clone, Copy)]
struct At<'a> {
    repository: &'a RepositoryName,
    commit: &'a CommitSha,
    links: Links<'a>,
}

impl FindingRow {
    fn new(finding: &Diagnostic, snippet: Option<&String>, at: At<'_>) -> Self {
        let place = finding.place.as_ref();
        Self {
            class: match finding.severity {
                Severity::Error => "bad",
                Severity::Warning => "warn",
                Severity::Info => "todo",
            },
            severity: finding.severity.to_string(),
            code: finding.code.as_str(),
            title: finding.code.title(),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
            place: place.map(|place| format!("{}:{}:{}", place.file, place.line, place.column)),
            place_url: place
                .and_then(|place| at.links.line(Some(at.repository), Some(at.commit), &place.file, place.line)),
            snippet: snippet.cloned(),
            chain: finding
                .chain
                .iter()
                .map(|link| format!("{}:{} calls {}", link.file, link.line, link.module))
                .chain(finding.through.iter().map(|place| format!("from {}", place.line_of_file())))
                .chain(finding.repeated.iter().map(Repeated::text))
                .collect(),
        }
    }
}

/// The findings of a commit, for a list without excerpts.
pub(in crate::ui) fn finding_rows(found: &CommitFindings, links: Links<'_>) -> FindingsList {
    let count = |severity| {
        let those = found.findings.iter().filter(|finding| finding.severity == severity).count();
        u32::try_from(those).unwrap_or(u32::MAX)
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let mut summary = counted(found.pipelines, "valid pipeline");
    for (count, word) in [(errors, "error"), (warnings, "warning")] {
        if count > 0 {
            summary.push_str(&format!(", {}", counted(count, word)));
        }
    }
    let at = At { repository: &found.repository, commit: &found.commit, links };
    let rows = found.findings.iter().map(|finding| FindingRow::new(finding, None, at)).collect();
    FindingsList { commit: links.commit(Some(&found.repository), &found.commit), summary, rows }
}

/// What would be wrong in a branch that uses the modules of a pull request, each with its lines.
pub(super) fn dependent_rows(one: &ImpactedBranch, links: Links<'_>) -> FindingsList {
    let at = At { repository: &one.repository, commit: &one.commit, links };
    let row = |found: &crate::model::ReviewFinding| FindingRow::new(&found.finding, found.snippet.as_ref(), at);
    FindingsList {
        commit: links.commit(Some(&one.repository), &one.commit),
        summary: counted(one.errors, "new error"),
        rows: one.findings.iter().map(row).collect(),
    }
}

/// The findings of a review, each with its lines.
pub(super) fn review_rows(repository: &RepositoryName, review: &Review, links: Links<'_>) -> FindingsList {
    let at = At { repository, commit: &review.commit, links };
    let row = |found: &crate::model::ReviewFinding| FindingRow::new(&found.finding, found.snippet.as_ref(), at);
    FindingsList {
        commit: links.commit(Some(repository), &review.commit),
        summary: review.summary(),
        rows: review.findings.iter().map(row).collect(),
    }
}
