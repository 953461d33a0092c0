//! The rows of the page of replicas.

use serde::Serialize;

use super::Moment;
use crate::clock::Timestamp;
use crate::model::humanize;
use crate::store::{Duty, ReplicaState};

/// One replica.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct ReplicaRow {
    name: String,
    version: String,
    own: bool,
    state: String,
    /// Whether it may act.
    well: bool,
    started: Moment,
    shards: usize,
    duties: String,
    /// The first letters of the digest of its configuration, if they are not all the same.
    configuration: Option<String>,
}

impl ReplicaRow {
    /// One `of` several.
    pub(in crate::ui) fn new(replica: &ReplicaState, of: &[ReplicaState], now: Timestamp) -> Self {
        let differ = of.iter().any(|other| other.said.digest != replica.said.digest);
        let state = match replica.state() {
            "lost" => format!("lost {} ago", humanize(now.since(replica.lease_until))),
            "leaving" => "about to stop".to_owned(),
            _ => format!("alive for {}", humanize(now.since(replica.started_at))),
        };
        let duties: Vec<&str> = replica.duties.iter().copied().map(Duty::as_str).collect();
        Self {
            name: replica.said.name.clone(),
            version: replica.said.version.clone(),
            own: replica.own,
            state,
            well: replica.alive,
            started: Moment::new(replica.started_at),
            shards: replica.shards.len(),
            duties: duties.join(", "),
            configuration: differ.then(|| replica.said.digest.chars().take(8).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Replicas, Shards};

    fn replica(name: &str, digest: &str) -> ReplicaState {
        ReplicaState {
            id: format!("{name}-1"),
            own: name == "blue",
            said: Replicas { digest: digest.to_owned(), version: "0.1.0".to_owned(), ..Replicas::named(name) },
            started_at: Timestamp::from_millis(0),
            lease_until: Timestamp::from_millis(7_206_000),
            alive: true,
            leaving: false,
            shards: Shards::ALL,
            duties: vec![Duty::Triggers, Duty::Reports],
        }
    }

    #[test]
    fn a_row_says_what_a_replica_does() {
        let (one, other) = (replica("blue", "abcdefghij"), replica("green", "abcdefghij"));
        let now = Timestamp::from_millis(7_200_000);
        let row = ReplicaRow::new(&one, &[one.clone(), other], now);
        assert_eq!((row.state.as_str(), row.duties.as_str(), row.own), ("alive for 2h", "triggers, reports", true));
        assert_eq!((row.shards, row.configuration), (64, None));
        let other =
            ReplicaState { alive: false, lease_until: Timestamp::from_millis(7_188_000), ..replica("green", "x") };
        let row = ReplicaRow::new(&other, &[one, other.clone()], now);
        assert_eq!((row.state.as_str(), row.configuration.as_deref(), row.well), ("lost 12s ago", Some("x"), false));
    }
}
