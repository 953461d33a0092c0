//! What a change of a module repository does to a commit that uses it.

use std::collections::HashSet;

use super::{Ownership, findings, to_count};
use crate::diagnostic::Severity;
use crate::git::Changed;
use crate::gitops::{Push, Request, plan};
use crate::model::{CommitSha, Review};
use crate::schema::Catalog;

/// Reviews the same files twice, which differ in nothing but the module repositories that they see: what is wrong
/// after and was not before, and what would change. `room` is what the plan may take, in bytes of JSON.
pub fn impact(
    commit: &CommitSha,
    before: &Request<'_>,
    after: &Request<'_>,
    catalog: &Catalog,
    ownership: &Ownership,
    room: usize,
) -> Review {
    let was = ownership.check(before, catalog);
    let mut now = ownership.check(after, catalog);
    let known: HashSet<_> = was.findings.iter().map(|finding| (finding.code, finding.message.as_str())).collect();
    now.findings.retain(|finding| !known.contains(&(finding.code, finding.message.as_str())));
    let nothing = Changed { paths: Vec::new(), truncated: false };
    let push = Push { branch: after.branch, changed: &nothing, tracked: ownership.tracked };
    let mut plan = plan(&was, &now, push, room);
    // Nothing is pushed there.
    plan.starts.clear();
    plan.starting = 0;
    let count = |severity| to_count(now.findings.iter().filter(|finding| finding.severity == severity).count());
    let valid = now.applications.iter().filter(|application| application.valid);
    Review {
        commit: commit.clone(),
        target_branch: after.branch.to_owned(),
        files: to_count(now.files),
        pipelines: to_count(valid.map(|application| application.pipelines.len()).sum()),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        findings: findings(&now.findings, after),
        errors_before: 0,
        changed: plan.all_changed(),
        plan: Some(plan),
        base: None,
        pins: now.pins,
        dependents: None,
        trouble: None,
    }
}
