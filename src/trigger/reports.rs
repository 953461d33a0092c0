//! What is said on commits about validation, and under which names (FORMAT section 8).

use crate::gitops::Removal;
use crate::model::{
    ApplicationName, CommitSha, CommitStatus, DESCRIPTION_LIMIT, PipelineName, PullRequest, ReportTarget,
    RepositoryName, StatusState,
};

/// Names and texts of commit statuses.
#[derive(Debug, Clone)]
pub struct Reports {
    prefix: String,
}

impl Default for Reports {
    fn default() -> Self {
        Self::new("longboat")
    }
}

impl Reports {
    /// Contexts begin with `prefix` and a slash.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Where the outcome of a pipeline is reported.
    pub fn pipeline(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        application: &ApplicationName,
        pipeline: &PipelineName,
    ) -> ReportTarget {
        self.target(repository, commit, &format!("{application}/{pipeline}"))
    }

    /// Where the outcome of validation is reported.
    pub fn validate(&self, repository: &RepositoryName, commit: &CommitSha) -> ReportTarget {
        self.target(repository, commit, "validate")
    }

    fn target(&self, repository: &RepositoryName, commit: &CommitSha, rest: &str) -> ReportTarget {
        let context = format!("{}/{rest}", self.prefix);
        ReportTarget { repository: repository.clone(), commit: commit.clone(), context }
    }

    pub(super) fn checking(&self, repository: &RepositoryName, commit: &CommitSha) -> CommitStatus {
        self.say(repository, commit, StatusState::Pending, "Checking")
    }

    /// What was found in a commit, as `gitops::summarize` puts it.
    pub(super) fn checked(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        (state, text): (StatusState, String),
    ) -> CommitStatus {
        self.say(repository, commit, state, &text)
    }

    /// The commit takes away too many pipelines, and waits for somebody's approval.
    pub(super) fn large_removal(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        removal: &Removal,
    ) -> CommitStatus {
        let what =
            format!("Failed: would remove {} of {} pipelines, approve with", removal.pipelines.len(), removal.of);
        let command = format!("approve-removal {repository} {}", commit.short());
        // A command that is cut off is worse than none.
        let texts = [
            format!("{what} longboat repositories {command}"),
            format!("{what} {command}"),
            format!("{what} longboat repositories approve-removal"),
        ];
        let fits = |text: &&String| text.chars().count() <= DESCRIPTION_LIMIT;
        let text = texts.iter().find(fits).unwrap_or(&texts[2]);
        self.say(repository, commit, StatusState::Failure, text)
    }

    /// The commit was overtaken before it was read.
    pub(super) fn superseded(&self, repository: &RepositoryName, commit: &CommitSha, by: &CommitSha) -> CommitStatus {
        self.say(repository, commit, StatusState::Failure, &format!("Superseded by {}", by.short()))
    }

    /// What a pull request's review says on its head.
    pub(super) fn reviewed(&self, pull_request: &PullRequest, state: StatusState, text: &str) -> CommitStatus {
        self.say(&pull_request.repository, &pull_request.head, state, text).on_page(pull_request.page())
    }

    /// Longboat itself could not do it.
    pub(super) fn failed(&self, repository: &RepositoryName, commit: &CommitSha, why: &str) -> CommitStatus {
        self.say(repository, commit, StatusState::Error, &format!("Longboat error: {why}"))
    }

    /// A pipeline should have started and could not.
    pub(super) fn not_started(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        pipeline: (&ApplicationName, &PipelineName),
        why: &str,
    ) -> CommitStatus {
        let target = self.pipeline(repository, commit, pipeline.0, pipeline.1);
        CommitStatus::new(target, StatusState::Failure, &format!("Failed: {why}"), page(repository, commit))
    }

    fn say(&self, repository: &RepositoryName, commit: &CommitSha, state: StatusState, text: &str) -> CommitStatus {
        CommitStatus::new(self.validate(repository, commit), state, text, page(repository, commit))
    }
}

/// The page that shows what was found in a commit.
fn page(repository: &RepositoryName, commit: &CommitSha) -> String {
    format!("/repositories/{repository}?commit={commit}")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn contexts_carry_the_prefix() {
        let (repository, commit) = (sample::repository("acme/shop"), sample::sha(1));
        let target = Reports::new("cd/eu").pipeline(
            &repository,
            &commit,
            &ApplicationName::parse("shop").expect("legal"),
            &PipelineName::parse("deploy").expect("legal"),
        );
        assert_eq!(target.context, "cd/eu/shop/deploy");
    }

    #[test]
    fn a_large_removal_names_the_whole_command_or_leaves_the_names_out() {
        let removal = Removal { pipelines: vec![String::new(); 12], of: 15 };
        let said = |name: &str| {
            Reports::default().large_removal(&sample::repository(name), &sample::sha(1), &removal).description
        };
        let what = "Failed: would remove 12 of 15 pipelines, approve with";
        assert_eq!(said("acme/shop"), format!("{what} longboat repositories approve-removal acme/shop 0000000"));
        let long = format!("acme/{}", "x".repeat(45));
        assert_eq!(said(&long), format!("{what} approve-removal {long} 0000000"));
        let longer = format!("acme/{}", "x".repeat(90));
        assert_eq!(said(&longer), format!("{what} longboat repositories approve-removal"));
        assert!([said(&long), said(&longer)].iter().all(|text| text.chars().count() <= 140));
    }
}
