//! Correlation ids: whatever has the same one starts once.
//!
//! A client of the API chooses its own. Longboat names the starts that it makes itself, each after what brought it about; a
//! client can't choose such a name, or it could take the place of that start.

use std::fmt;

use super::{ApplicationName, ExecutionId, PipelineName, StagePath};
use crate::clock::Timestamp;

/// A start that Longboat makes by itself, and is to make once. Its text is the correlation id.
#[derive(Debug, Clone, Copy)]
pub enum OwnStart<'a> {
    /// By a time table.
    Cron {
        /// The application of what starts.
        application: &'a ApplicationName,
        /// What starts.
        pipeline: &'a PipelineName,
        /// The schedule and its zone.
        table: &'a str,
        /// For which of its moments.
        moment: Timestamp,
    },
    /// By the end of another pipeline.
    End {
        /// What ended.
        execution: ExecutionId,
        /// Which of its ends: it may be restarted.
        seq: i64,
        /// The application of what starts.
        application: &'a ApplicationName,
        /// What starts.
        pipeline: &'a PipelineName,
    },
    /// By a custom webhook.
    Webhook {
        /// Where it came from.
        source: &'a str,
        /// The application of what starts.
        application: &'a ApplicationName,
        /// What starts.
        pipeline: &'a PipelineName,
        /// What its sender calls the same.
        same: &'a str,
    },
    /// By a `pipeline` stage.
    Stage {
        /// The execution of the stage.
        execution: ExecutionId,
        /// The stage.
        path: &'a StagePath,
        /// Which of its attempts.
        attempt: u32,
    },
}

const CRON: &str = "cron ";
const END: &str = "end ";
const WEBHOOK: &str = "webhook ";

impl OwnStart<'_> {
    /// Whether this is, or might be, the correlation id of such a start.
    pub fn is_name(id: &str) -> bool {
        let of_a_stage = || id.split_once('/').is_some_and(|(first, _)| first.parse::<ExecutionId>().is_ok());
        [CRON, END, WEBHOOK].into_iter().any(|prefix| id.starts_with(prefix)) || of_a_stage()
    }
}

impl fmt::Display for OwnStart<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { application, pipeline, table, moment } => {
                write!(out, "{CRON}{application}/{pipeline} {table} {}", moment.to_rfc3339())
            }
            Self::End { execution, seq, application, pipeline } => {
                write!(out, "{END}{execution} {seq} {application}/{pipeline}")
            }
            Self::Webhook { source, application, pipeline, same } => {
                write!(out, "{WEBHOOK}{source} {application}/{pipeline} {same}")
            }
            Self::Stage { execution, path, attempt } => write!(out, "{execution}/{path}/{attempt}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_told_from_those_of_clients() {
        let application = ApplicationName::parse("shop").expect("legal");
        let (application, pipeline) = (&application, &PipelineName::parse("deploy it").expect("legal"));
        let execution = ExecutionId::generate();
        let path = &StagePath::parse("test/a").expect("legal");
        for own in [
            OwnStart::Cron { application, pipeline, table: "0 2 * * * UTC", moment: Timestamp::from_millis(0) },
            OwnStart::End { execution, seq: 7, application, pipeline },
            OwnStart::Webhook { source: "registry", application, pipeline, same: "7" },
            OwnStart::Stage { execution, path, attempt: 1 },
        ] {
            assert!(OwnStart::is_name(&own.to_string()), "{own}");
        }
        // They are what they always were: whoever starts again after an upgrade must find what was started before.
        let cron = OwnStart::Cron { application, pipeline, table: "0 2 * * * UTC", moment: Timestamp::from_millis(0) };
        assert_eq!(cron.to_string(), "cron shop/deploy it 0 2 * * * UTC 1970-01-01T00:00:00.000Z");
        assert_eq!(OwnStart::Stage { execution, path, attempt: 2 }.to_string(), format!("{execution}/test/a/2"));
        for id in ["release-7", "cron", "cronjob 7", "End of sprint", "webhooks 1", "build/7/1", &execution.to_string()]
        {
            assert!(!OwnStart::is_name(id), "{id}");
        }
    }
}
