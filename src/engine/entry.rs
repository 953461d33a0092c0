//! Journal entries: what an execution's past is made of, and how a row of the journal is written.
//!
//! A row is `{"v":1,"e":[...]}` and holds all that one decision said about one execution; its time is the
//! row's. Keys are short because rows are many. Stages are named by their index in the plan, which is fixed:
//! the definition's stages in the author's order, then those that entries added, instances of a stage among them.
//!
//! A change of what an entry means, or a new key, is a new version; rows of old versions stay readable. A row is
//! written in the oldest version that can say it, so that most rows stay readable for an older program.
//!
//! | version | has |
//! |---|---|
//! | 1 | everything else |
//! | 2 | [`Entry::Restart`] |
//! | 3 | where secrets belong in a stage's fields |
//! | 4 | [`Entry::Hold`], [`Entry::Release`], and a restart that goes before freezes |
//! | 5 | a hold in a lane, a cancellation because a newer execution takes its place, [`Entry::Pause`], [`Entry::Resume`], [`Entry::Window`] and [`Entry::SkipWindow`] |
//! | 6 | [`Entry::Spread`] |

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::freeze::Hold;
use crate::clock::Timestamp;
use crate::model::{Instance, SecretUse, Stage, StagePath, Status};

/// The newest version that this program reads and writes.
pub const VERSION: u32 = 6;

/// One transition of an execution or of one of its stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Entry {
    /// The execution began.
    Begin,
    /// A freeze keeps it from beginning, or from going on after a restart; or another one does now. Since version 4.
    Hold(Hold),
    /// Nothing holds it any more. Since version 4.
    Release,
    /// An attempt of a stage started.
    Start {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// The attempt, from 1.
        #[serde(rename = "a")]
        attempt: u32,
        /// Its fields with `${ }` evaluated, if that changed anything.
        #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
        fields: Option<Map<String, Value>>,
        /// Where secrets belong in the fields. Since version 3.
        #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<SecretUse>,
    },
    /// The attempt waits for a time or a signal.
    Wait {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// When it goes on by itself.
        #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// What it waits for, in words.
        #[serde(rename = "w")]
        waiting_for: String,
        /// What the handler wants to know.
        #[serde(rename = "c", default, skip_serializing_if = "Value::is_null")]
        checkpoint: Value,
        /// A signal came before this answer and has not been given to the handler.
        #[serde(rename = "k", default, skip_serializing_if = "is_false")]
        signal_kept: bool,
    },
    /// The attempt goes on outside and is looked at again later.
    Poll {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// When it is looked at.
        #[serde(rename = "u")]
        until: Timestamp,
        /// What the handler wants to know.
        #[serde(rename = "c", default, skip_serializing_if = "Value::is_null")]
        checkpoint: Value,
        /// A signal came before this answer and has not been given to the handler.
        #[serde(rename = "k", default, skip_serializing_if = "is_false")]
        signal_kept: bool,
    },
    /// A signal came for the attempt.
    Signal {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// What it said.
        #[serde(rename = "p", default, skip_serializing_if = "Value::is_null")]
        payload: Value,
    },
    /// The stage succeeded.
    Done {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// What it yielded.
        #[serde(rename = "o", default, skip_serializing_if = "Map::is_empty")]
        outputs: Map<String, Value>,
    },
    /// The attempt failed or was lost, and another follows.
    Retry {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// Why it failed.
        #[serde(rename = "m")]
        message: String,
        /// When the next attempt starts.
        #[serde(rename = "u")]
        until: Timestamp,
        /// It was lost rather than failed, and counts as none of the author's attempts.
        #[serde(rename = "l", default, skip_serializing_if = "is_false")]
        lost: bool,
    },
    /// The stage failed, for good.
    Fail {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// Its status by its `onFailure`: `TERMINAL`, `STOPPED` or `FAILED_CONTINUE`.
        #[serde(rename = "t")]
        status: Status,
        /// Why.
        #[serde(rename = "m")]
        message: String,
        /// What it yielded all the same.
        #[serde(rename = "o", default, skip_serializing_if = "Map::is_empty")]
        outputs: Map<String, Value>,
    },
    /// The stage is left out, because its `when` said so.
    Skip {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
    },
    /// Somebody cancelled the execution.
    Cancel {
        /// Who.
        #[serde(rename = "b")]
        by: String,
        /// Why.
        #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// A newer execution takes its place, and `by` is that one's commit, or its id. Since version 5.
        #[serde(rename = "n", default, skip_serializing_if = "is_false")]
        superseded: bool,
    },
    /// Somebody paused it: no further stage starts. Since version 5.
    Pause {
        /// Who.
        #[serde(rename = "b")]
        by: String,
    },
    /// Somebody had it go on. Since version 5.
    Resume {
        /// Who.
        #[serde(rename = "b")]
        by: String,
    },
    /// A stage that could start waits for its window. Since version 5.
    Window {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// When that opens.
        #[serde(rename = "u")]
        until: Timestamp,
    },
    /// Somebody had it start outside of its window. Since version 5.
    SkipWindow {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// Who.
        #[serde(rename = "b")]
        by: String,
    },
    /// The execution ran for longer than its pipeline may.
    Timeout,
    /// What the attempt does outside is being ended.
    Cancelling {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// Because the stage itself ran for too long, and not because the execution stops.
        #[serde(rename = "t", default, skip_serializing_if = "is_false")]
        timed_out: bool,
    },
    /// The stage ended because the execution stops.
    Canceled {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// What is to be known about it (that its effect may not be gone).
        #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The execution ended.
    End {
        /// How.
        #[serde(rename = "t")]
        status: Status,
    },
    /// Stages were added while the execution ran.
    #[serde(rename = "add")]
    AddStages {
        /// The stages, in the order of their indexes.
        #[serde(rename = "l")]
        stages: Vec<AddedStage>,
    },
    /// A stage becomes several. Its list was evaluated for this, and never is again, unless the whole stage is restarted.
    /// An instance whose key was there before the restart keeps its index; the others get the next ones. Since version 6.
    Spread {
        /// The stage's index.
        #[serde(rename = "s")]
        stage: u32,
        /// Its instances, in their order.
        #[serde(rename = "i", default, skip_serializing_if = "Vec::is_empty")]
        instances: Vec<Instance>,
    },
    /// An execution that had ended goes on: these stages, and all that come after them, are as if they had never run,
    /// but for the number of their attempts.
    Restart {
        /// The stages' indexes.
        #[serde(rename = "l")]
        stages: Vec<u32>,
        /// Who asked for it.
        #[serde(rename = "b")]
        by: String,
        /// They said that it goes on although there may be a freeze. Since version 4.
        #[serde(rename = "o", default, skip_serializing_if = "is_false")]
        override_freeze: bool,
    },
    /// Longboat itself can't go on with the execution.
    Trouble {
        /// Why, and what to do.
        #[serde(rename = "m")]
        message: String,
    },
}

impl Entry {
    /// The first version of the journal that can say it.
    const fn version(&self) -> u32 {
        match self {
            Self::Spread { .. } => 6,
            Self::Hold(Hold { lane: Some(_), .. }) | Self::Cancel { superseded: true, .. } => 5,
            Self::Pause { .. } | Self::Resume { .. } | Self::Window { .. } | Self::SkipWindow { .. } => 5,
            Self::Hold(_) | Self::Release | Self::Restart { override_freeze: true, .. } => 4,
            Self::Start { secrets, .. } if !secrets.is_empty() => 3,
            Self::Restart { .. } => 2,
            _ => 1,
        }
    }
}

fn is_known(version: u64) -> bool {
    (1..=u64::from(VERSION)).contains(&version)
}

/// A stage that came while the execution ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedStage {
    /// Where it stands.
    #[serde(rename = "p")]
    pub path: StagePath,
    /// The indexes of the stages that it needs.
    #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<u32>,
    /// What it does; the definition's own `needs` are not looked at.
    #[serde(rename = "d")]
    pub definition: Stage,
}

// Serde's `skip_serializing_if` hands out references.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Why a row of the journal can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A program that is newer than this one wrote it.
    #[error(
        "a newer Longboat wrote it (version {found} of the journal; this one reads up to {VERSION}): start that one"
    )]
    Version {
        /// The version found.
        found: u64,
    },
    /// It is damaged.
    #[error("it can't be read: {0}")]
    Damaged(String),
}

#[derive(Deserialize)]
struct RowIn {
    v: u64,
    e: Vec<Entry>,
}

#[derive(Deserialize)]
struct RowHead {
    v: u64,
}

/// The body of a row, as it grows entry by entry.
#[derive(Debug, Default)]
pub struct Body {
    entries: Vec<u8>,
    version: u32,
}

impl Body {
    /// Adds an entry behind those that are there.
    ///
    /// # Errors
    /// If a value in it can't be written as JSON, which plain JSON values always can.
    pub fn add(&mut self, entry: &Entry) -> Result<(), RowError> {
        if !self.entries.is_empty() {
            self.entries.push(b',');
        }
        self.version = self.version.max(entry.version());
        serde_json::to_writer(&mut self.entries, entry).map_err(|error| RowError::Damaged(error.to_string()))
    }

    /// Whether there is nothing to be written.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How large it is, in bytes.
    pub const fn size(&self) -> usize {
        self.entries.len()
    }

    /// The text, in the oldest version that can say it.
    pub fn text(&self) -> String {
        let version = self.version.max(1);
        format!(r#"{{"v":{version},"e":[{}]}}"#, String::from_utf8_lossy(&self.entries))
    }
}

/// The body of a row.
///
/// # Errors
/// As [`Body::add`].
pub fn encode(entries: &[Entry]) -> Result<String, RowError> {
    let mut body = Body::default();
    entries.iter().try_for_each(|entry| body.add(entry))?;
    Ok(body.text())
}

/// The entries of a row's body.
///
/// # Errors
/// If the row was written in another version, or is damaged.
pub fn decode(body: &str) -> Result<Vec<Entry>, RowError> {
    let wrong = match serde_json::from_str::<RowIn>(body) {
        Ok(row) if is_known(row.v) => return Ok(row.e),
        Ok(row) => return Err(RowError::Version { found: row.v }),
        Err(error) => error,
    };
    // What a newer version added fails above; its number says more than the parser does.
    match serde_json::from_str::<RowHead>(body) {
        Ok(head) if !is_known(head.v) => Err(RowError::Version { found: head.v }),
        _ => Err(RowError::Damaged(wrong.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::SecretName;

    #[test]
    fn the_rows_of_a_plain_stage_are_short() {
        let entries = [
            Entry::Done { stage: 3, outputs: Map::new() },
            Entry::Start { stage: 4, attempt: 1, fields: None, secrets: vec![] },
        ];
        let body = encode(&entries).expect("encodes");
        assert_eq!(body, r#"{"v":1,"e":[{"done":{"s":3}},{"start":{"s":4,"a":1}}]}"#);
        assert_eq!(decode(&body).expect("decodes"), entries);
    }

    #[test]
    fn every_value_comes_back() {
        let map = |value: Value| value.as_object().cloned().expect("a map");
        let at = Timestamp::from_millis(7);
        let entries = vec![
            Entry::Hold(Hold { reason: "release week".into(), by: "ann".into(), until: Some(at), lane: None }),
            Entry::Hold(Hold { reason: "audit".into(), by: "ann".into(), until: None, lane: None }),
            Entry::Hold(Hold {
                reason: "its turn".into(),
                by: String::new(),
                until: None,
                lane: Some("lock prod-db".into()),
            }),
            Entry::Release,
            Entry::Begin,
            Entry::Start {
                stage: 0,
                attempt: 2,
                fields: Some(map(json!({"a": [1, null, 1.5, "ü"]}))),
                secrets: vec![SecretUse {
                    pointer: "/a/0".into(),
                    name: SecretName::parse("prod").expect("a name"),
                    start: 0,
                    end: 10,
                }],
            },
            Entry::Wait {
                stage: 0,
                until: Some(at),
                waiting_for: "approval".into(),
                checkpoint: json!({"n": 1}),
                signal_kept: true,
            },
            Entry::Poll { stage: 0, until: at, checkpoint: Value::Null, signal_kept: false },
            Entry::Signal { stage: 0, payload: json!("go") },
            Entry::Retry { stage: 0, message: "m".into(), until: at, lost: true },
            Entry::Fail {
                stage: 0,
                status: Status::Stopped,
                message: "m".into(),
                outputs: map(json!({"exitCode": 1})),
            },
            Entry::Skip { stage: 1 },
            Entry::Cancel { by: "ann".into(), reason: Some("wrong".into()), superseded: false },
            Entry::Cancel { by: "1a2b3c4".into(), reason: None, superseded: true },
            Entry::Pause { by: "ann".into() },
            Entry::Resume { by: "bob".into() },
            Entry::Window { stage: 1, until: at },
            Entry::SkipWindow { stage: 1, by: "ann".into() },
            Entry::Timeout,
            Entry::Cancelling { stage: 2, timed_out: true },
            Entry::Canceled { stage: 2, message: None },
            Entry::Trouble { message: "x".into() },
            Entry::End { status: Status::Terminal },
            Entry::Restart { stages: vec![0, 2], by: "ann".into(), override_freeze: true },
            Entry::Spread { stage: 1, instances: vec![Instance { key: "0".into(), value: json!({"a": [1]}) }] },
        ];
        assert_eq!(decode(&encode(&entries).expect("encodes")).expect("decodes"), entries);
    }

    #[test]
    fn a_row_has_the_lowest_version_that_tells_all_of_it() {
        assert_eq!(encode(&[Entry::Begin]).expect("encodes"), r#"{"v":1,"e":["begin"]}"#);
        let restart = Entry::Restart { stages: vec![1], by: "ann".into(), override_freeze: false };
        let body = encode(&[restart]).expect("encodes");
        assert_eq!(body, r#"{"v":2,"e":[{"restart":{"l":[1],"b":"ann"}}]}"#);
        let hold = Entry::Hold(Hold { reason: "audit".into(), by: "ann".into(), until: None, lane: None });
        let body = encode(&[hold, Entry::Release]).expect("encodes");
        assert_eq!(body, r#"{"v":4,"e":[{"hold":{"r":"audit","b":"ann"}},"release"]}"#);
        let turn = Hold { reason: "its turn".into(), by: String::new(), until: None, lane: Some("lock x".into()) };
        let body = encode(&[Entry::Hold(turn)]).expect("encodes");
        assert_eq!(body, r#"{"v":5,"e":[{"hold":{"r":"its turn","l":"lock x"}}]}"#);
        let instances = vec![Instance { key: "0".into(), value: json!("eu") }];
        let body = encode(&[Entry::Spread { stage: 1, instances }]).expect("encodes");
        assert_eq!(body, r#"{"v":6,"e":[{"spread":{"s":1,"i":[{"k":"0","v":"eu"}]}}]}"#);
    }

    #[test]
    fn a_newer_version_is_named_and_not_guessed_at() {
        assert_eq!(decode(r#"{"v":7,"e":[{"leap":{"far":true}}]}"#), Err(RowError::Version { found: 7 }));
        assert_eq!(decode(r#"{"v":7,"e":[]}"#), Err(RowError::Version { found: 7 }));
        assert_eq!(decode(r#"{"v":0,"e":[]}"#), Err(RowError::Version { found: 0 }));
        assert!(matches!(decode(r#"{"v":1,"e":[{"leap":{}}]}"#), Err(RowError::Damaged(_))));
        assert!(matches!(decode("not json"), Err(RowError::Damaged(_))));
    }
}
