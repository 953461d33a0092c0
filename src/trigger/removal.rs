//! Commits that take away more pipelines than one commit may: nothing of them is published until somebody approves.

use super::catalogue::Catalogued;
use super::failure::WorkError;
use super::{Repository, Shared};
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::{InForce, Removal, RemovalRule};
use crate::model::CommitSha;
use crate::store::{Published, RemovalVerdict};

/// What was decided about the pipelines that a commit takes away.
#[derive(Debug)]
pub(super) enum Removed {
    /// They are few enough.
    Allowed,
    /// They are too many, and somebody approved it.
    Approved { removal: Removal, by: String },
    /// They are too many.
    Refused(Removal),
}

impl Removed {
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl From<Removed> for RemovalVerdict {
    fn from(removed: Removed) -> Self {
        match removed {
            Removed::Allowed | Removed::Approved { .. } => Self::Allowed,
            Removed::Refused(Removal { pipelines, of }) => Self::Refused { pipelines, of },
        }
    }
}

/// Decides about what would go by publishing and withdrawing these applications.
pub(super) async fn judge(
    shared: &Shared,
    repository: &Repository,
    (branch, commit): (&str, &CommitSha),
    what: &Catalogued,
    in_force: &[Published],
) -> Result<Removed, WorkError> {
    let in_force = named(in_force);
    let gone = |one: &InForce| {
        what.withdraw.contains(&one.application)
            || what.publish.iter().any(|publication| {
                publication.application == one.application
                    && !publication.pipelines.iter().any(|pipeline| pipeline.name == one.name)
            })
    };
    let removal = Removal::new(&in_force, gone, what.publish.iter().flat_map(|publication| &publication.pipelines));
    if !shared.options.removals.are_exceeded_by(&removal) {
        return Ok(Removed::Allowed);
    }
    let known = shared.store.removal(repository.name(), &format!("refs/heads/{branch}"), commit).await?;
    let by = known.as_ref().and_then(|known| known.approves(&removal.pipelines)).map(str::to_owned);
    Ok(match by {
        Some(by) => Removed::Approved { removal, by },
        None => Removed::Refused(removal),
    })
}

/// What is wrong with a commit that is refused.
pub(super) fn finding(repository: &Repository, commit: &CommitSha, removal: &Removal) -> Diagnostic {
    let message = format!("this commit would remove {}", removal.counted());
    let hint = format!(
        "they are {}; if that is meant: `longboat repositories approve-removal {} {}`",
        removal.named(),
        repository.name(),
        commit.short()
    );
    Diagnostic::error(Code::LargeRemoval, message).hint(hint)
}

/// What a review has to know to tell that a merge will need an approval.
pub(super) async fn rule(shared: &Shared, repository: &Repository) -> Result<RemovalRule, WorkError> {
    let in_force = named(&shared.store.pipelines_of(repository.name()).await?);
    Ok(RemovalRule { limits: shared.options.removals, in_force })
}

fn named(published: &[Published]) -> Vec<InForce> {
    published.iter().map(|one| InForce::from(&one.pipeline)).collect()
}
