//! What a commit would take away, and whether that is more than one commit may.
//!
//! A pipeline that moves to another file or to another application, in the same commit, is not taken away: it has the
//! same id, or the same name. Each that goes can be taken for one that comes, and the other way round.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Checked;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{ApplicationName, Pipeline, PipelineName, RepositoryName};

/// How many names are written out.
const NAMED: usize = 5;

/// How much one commit may take away before somebody has to approve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalLimits {
    /// What share of the repository's pipelines, in percent.
    pub share: u32,
    /// A commit that removes fewer than this needs no approval, whatever their share.
    pub from: u32,
}

impl Default for RemovalLimits {
    fn default() -> Self {
        Self { share: 50, from: 5 }
    }
}

impl RemovalLimits {
    /// Whether a removal is more than one commit may do by itself.
    pub fn are_exceeded_by(self, removal: &Removal) -> bool {
        let removed = removal.pipelines.len() as u64;
        removed >= u64::from(self.from.max(1)) && removed * 100 > u64::from(self.share) * u64::from(removal.of)
    }
}

/// A pipeline that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Its application.
    pub application: ApplicationName,
    /// Its name.
    pub name: PipelineName,
    /// Its id.
    pub id: Uuid,
}

impl From<&Pipeline> for InForce {
    fn from(pipeline: &Pipeline) -> Self {
        Self { application: pipeline.application.clone(), name: pipeline.name.clone(), id: pipeline.id }
    }
}

/// What a commit takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The pipelines, as `application/name`, sorted.
    pub pipelines: Vec<String>,
    /// How many the repository has in force before it.
    pub of: u32,
}

impl Removal {
    /// What goes of `in_force`, if these `gone` are not there any more and those `there` are.
    pub fn new<'a>(
        in_force: &[InForce],
        gone: impl Fn(&InForce) -> bool,
        there: impl IntoIterator<Item = &'a Pipeline>,
    ) -> Self {
        let known: BTreeSet<_> = in_force.iter().map(|one| (&one.application, &one.name)).collect();
        let mut fresh: Vec<&Pipeline> =
            there.into_iter().filter(|one| !known.contains(&(&one.application, &one.name))).collect();
        let mut gone: Vec<&InForce> = in_force.iter().filter(|one| gone(one)).collect();
        let mut match_up = |same: fn(&InForce, &Pipeline) -> bool| {
            gone.retain(|old| match fresh.iter().position(|new| same(old, new)) {
                Some(at) => {
                    fresh.swap_remove(at);
                    false
                }
                None => true,
            });
        };
        match_up(|old, new| old.id == new.id);
        match_up(|old, new| old.name == new.name);
        let mut pipelines: Vec<String> = gone.iter().map(|one| format!("{}/{}", one.application, one.name)).collect();
        pipelines.sort_unstable();
        Self { pipelines, of: u32::try_from(in_force.len()).unwrap_or(u32::MAX) }
    }

    /// `12 of the repository's 15 pipelines`.
    pub fn counted(&self) -> String {
        format!("{} of the repository's {} pipelines", self.pipelines.len(), self.of)
    }

    /// Their names, the first of them written out.
    pub fn named(&self) -> String {
        let (first, rest) = self.pipelines.split_at(self.pipelines.len().min(NAMED));
        let names: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
        match rest.len() {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// What a review has to know to tell that a merge will need an approval.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovalRule {
    /// What one commit may do by itself.
    pub limits: RemovalLimits,
    /// What the repository has in force.
    pub in_force: Vec<InForce>,
}

impl RemovalRule {
    /// The warning about a change from `before` to `after` that takes away too much; none if it doesn't.
    pub(super) fn warning(&self, repository: &RepositoryName, before: &Checked, after: &Checked) -> Option<Diagnostic> {
        let defined = |checked: &Checked, one: &InForce| {
            let pipelines = checked.applications.iter().flat_map(|application| &application.pipelines);
            pipelines.into_iter().any(|other| other.application == one.application && other.name == one.name)
        };
        let decided = |one: &InForce| match after.applications.iter().find(|other| other.name == one.application) {
            Some(application) => application.valid,
            None => after.blocked_files.is_empty(),
        };
        let there = after.applications.iter().filter(|application| application.valid);
        let removal = Removal::new(
            &self.in_force,
            |one| defined(before, one) && !defined(after, one) && decided(one),
            there.flat_map(|application| &application.pipelines),
        );
        if !self.limits.are_exceeded_by(&removal) {
            return None;
        }
        let message = format!("the merge removes {}, which somebody has to approve then", removal.counted());
        let hint = format!(
            "they are {}; after the merge: `longboat repositories approve-removal {repository} COMMIT`",
            removal.named()
        );
        Some(Diagnostic::warning(Code::LargeRemoval, message).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;
    use crate::model::{Dialect, pipeline_id};

    fn pipeline(of: &str, name: &str) -> Pipeline {
        let (application, name) =
            (ApplicationName::parse(of).expect("a name"), PipelineName::parse(name).expect("a name"));
        Pipeline {
            id: pipeline_id(&application, &name),
            application,
            name,
            dialect: Dialect::Longboat,
            description: None,
            environment: None,
            parameters: Vec::new(),
            triggers: Vec::new(),
            expected_artifacts: Vec::new(),
            concurrency: None,
            start_expiry: None,
            timeout: None,
            stages: Vec::new(),
            source: Place::point(".longboat/a.yaml", 1, 1),
        }
    }

    fn removed(before: &[Pipeline], after: &[Pipeline]) -> Vec<String> {
        let in_force: Vec<InForce> = before.iter().map(InForce::from).collect();
        let there = |one: &InForce| after.iter().any(|p| p.application == one.application && p.name == one.name);
        Removal::new(&in_force, |one| !there(one), after).pipelines
    }

    #[test]
    fn what_moves_is_not_removed() {
        let before = [pipeline("shop", "build"), pipeline("shop", "deploy"), pipeline("bank", "deploy")];
        assert_eq!(removed(&before, &before), [""; 0]);
        let moved = [pipeline("store", "build"), pipeline("store", "deploy"), pipeline("bank", "deploy")];
        assert_eq!(removed(&before, &moved), [""; 0]);
        // Two go and one comes that could be either.
        let one = [pipeline("shop", "build"), pipeline("store", "deploy")];
        assert_eq!(removed(&before, &one), ["bank/deploy"]);
        let renamed = Pipeline { name: PipelineName::parse("ship").expect("a name"), ..before[1].clone() };
        assert_eq!(removed(&before, &[before[0].clone(), renamed, before[2].clone()]), [""; 0], "by its id");
        let other = [before[0].clone(), pipeline("shop", "ship"), before[2].clone()];
        assert_eq!(removed(&before, &other), ["shop/deploy"], "another name and another id is another pipeline");
        // What is there already is no place to move to.
        assert_eq!(removed(&before, &before[..2]), ["bank/deploy"]);
    }

    #[test]
    fn few_and_not_too_large_a_share_go_by_themselves() {
        let exceeded = |limits: RemovalLimits, gone: usize, of: u32| {
            limits.are_exceeded_by(&Removal { pipelines: vec![String::new(); gone], of })
        };
        let default = RemovalLimits::default();
        assert!(!exceeded(default, 4, 4), "fewer than five");
        assert!(exceeded(default, 5, 5));
        assert!(!exceeded(default, 5, 10), "half is not more than half");
        assert!(exceeded(default, 6, 11));
        assert!(!exceeded(RemovalLimits { share: 100, from: 1 }, 9, 9), "all may go");
        assert!(exceeded(RemovalLimits { share: 0, from: 0 }, 1, 1000), "none may go");
        assert!(!exceeded(RemovalLimits { share: 0, from: 0 }, 0, 0), "nothing goes");
    }

    #[test]
    fn only_the_first_names_are_written_out() {
        let pipelines: Vec<String> = (0..7).map(|at| format!("shop/p{at}")).collect();
        let removal = Removal { pipelines, of: 9 };
        assert_eq!(removal.counted(), "7 of the repository's 9 pipelines");
        assert_eq!(removal.named(), "`shop/p0`, `shop/p1`, `shop/p2`, `shop/p3`, `shop/p4` and 2 more");
    }
}
