//! What a pull request on a module repository does to those who use its modules.

use serde::{Deserialize, Serialize};

use super::{ApplicationName, ChangeKind, CommitSha, PipelineName, Plan, RepositoryName, ReviewFinding, counted};

/// How much is told about other repositories: whoever may read the module repository may not be allowed to read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImpactDetail {
    /// How many repositories and pipelines would change.
    #[default]
    Counts,
    /// Their names, too.
    Names,
    /// What would change in them and what would be wrong, too.
    Plans,
}

/// What a merge would do in all branches that use the modules.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// How much may be told.
    pub detail: ImpactDetail,
    /// The branches that would break or change, those that break first, then by name. Bounded; none if only counts may
    /// be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<ImpactedBranch>,
    /// How many branches would have errors that they don't have now.
    pub broken: u32,
    /// How many errors those are.
    pub errors: u32,
    /// How many branches would have other pipelines, those that break left out.
    pub changed: u32,
    /// How many pipelines would come, change or go.
    pub pipelines: u32,
    /// How many branches follow what would move, and stay as they are.
    pub same: u32,
    /// How many branches use nothing but other commits, which the merge doesn't move.
    pub elsewhere: u32,
    /// How many could not be looked at.
    pub unknown: u32,
}

/// A branch that would break or change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImpactedBranch {
    /// The repository.
    pub repository: RepositoryName,
    /// The tracked branch.
    pub branch: String,
    /// Its head.
    pub commit: CommitSha,
    /// How many errors it would have that it doesn't have now.
    pub errors: u32,
    /// Its pipelines that would come, change or go. Bounded.
    pub pipelines: Vec<ImpactedPipeline>,
    /// The first of those errors; none if only names may be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ReviewFinding>,
    /// What would change; none if only names may be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// A pipeline that would come, change or go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImpactedPipeline {
    /// Its application.
    pub application: ApplicationName,
    /// Its name.
    pub pipeline: PipelineName,
    /// What would happen to it.
    pub kind: ChangeKind,
}

impl Impact {
    /// How many branches depend on the module repository.
    pub const fn all(&self) -> u32 {
        self.broken
            .saturating_add(self.changed)
            .saturating_add(self.same)
            .saturating_add(self.elsewhere)
            .saturating_add(self.unknown)
    }

    /// What would break, in a few words: `breaks acme/shop and 1 more dependent`; nothing if nothing would.
    pub fn breaks(&self) -> Option<String> {
        if self.broken == 0 {
            return None;
        }
        Some(match self.dependents.iter().find(|one| one.errors > 0) {
            Some(first) if self.broken == 1 => format!("breaks {}", first.repository),
            Some(first) => format!("breaks {} and {}", first.repository, counted(self.broken - 1, "more dependent")),
            None => format!("breaks {}", counted(self.broken, "dependent")),
        })
    }

    /// What would change, in a few words: `3 pipelines of 2 dependents change`; nothing if nothing would.
    pub fn changes(&self) -> Option<String> {
        if self.changed == 0 {
            return None;
        }
        let verb = if self.pipelines == 1 { "changes" } else { "change" };
        Some(format!("{} of {} {verb}", counted(self.pipelines, "pipeline"), counted(self.changed, "dependent")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_what_may_be_named() {
        let counts = Impact { broken: 2, changed: 2, pipelines: 3, ..Impact::default() };
        assert_eq!(counts.breaks().as_deref(), Some("breaks 2 dependents"));
        assert_eq!(counts.changes().as_deref(), Some("3 pipelines of 2 dependents change"));
        let shop = ImpactedBranch {
            repository: RepositoryName::parse("acme/shop").expect("a name"),
            branch: "main".to_owned(),
            commit: CommitSha::parse(&"a".repeat(40)).expect("a commit"),
            errors: 1,
            pipelines: Vec::new(),
            findings: Vec::new(),
            plan: None,
        };
        let names = Impact { dependents: vec![shop], detail: ImpactDetail::Names, ..counts };
        assert_eq!(names.breaks().as_deref(), Some("breaks acme/shop and 1 more dependent"));
        let one = Impact { broken: 1, changed: 1, pipelines: 1, ..names };
        assert_eq!(one.breaks().as_deref(), Some("breaks acme/shop"));
        assert_eq!(one.changes().as_deref(), Some("1 pipeline of 1 dependent changes"));
        assert_eq!((one.all(), Impact::default().breaks(), Impact::default().changes()), (2, None, None));
    }
}
