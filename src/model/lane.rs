//! Lanes: where executions stand in line if not any number of them may run at once.

use std::fmt;
use std::str::FromStr;

use super::{ApplicationName, LockName, PipelineName};

/// What executions wait for a place in. Each execution is in one lane at most, so no two can wait for each other's
/// second one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// The executions of one pipeline.
    Pipeline(ApplicationName, PipelineName),
    /// Those of all pipelines that name this lock.
    Lock(LockName),
}

impl fmt::Display for Lane {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipeline(application, pipeline) => write!(out, "pipeline {application}/{pipeline}"),
            Self::Lock(lock) => write!(out, "lock {lock}"),
        }
    }
}

impl FromStr for Lane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lane = match text.split_once(' ') {
            Some(("pipeline", names)) => names.split_once('/').and_then(|(application, pipeline)| {
                Some(Self::Pipeline(application.parse().ok()?, pipeline.parse().ok()?))
            }),
            Some(("lock", name)) => name.parse().ok().map(Self::Lock),
            _ => None,
        };
        lane.ok_or_else(|| format!("`{text}` is no lane"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_read_as_it_is_written() {
        let lanes = [
            Lane::Pipeline("shop".parse().expect("a name"), "deploy to prod".parse().expect("a name")),
            Lane::Lock("prod-db".parse().expect("a name")),
        ];
        for lane in lanes {
            assert_eq!(lane.to_string().parse(), Ok(lane));
        }
        for text in ["", "lock", "lock -x", "pipeline shop", "deploy shop/x"] {
            assert!(text.parse::<Lane>().is_err(), "{text}");
        }
    }
}
