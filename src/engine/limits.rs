//! How much a stage may leave behind in the journal, how often, and how soon.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::Instance;

/// The shortest pause between two looks: a handler that asks for less would only burn commits.
pub const SHORTEST_POLL: Duration = Duration::from_millis(20);

/// How many attempts of one stage may be lost (by Longboat dying) before that fails the stage: a script that
/// kills Longboat each time must not do so for ever.
pub const LOST_ATTEMPTS: u32 = 5;

/// The longest pause between two attempts; doubling would go on for years.
const LONGEST_BACKOFF: Duration = Duration::from_secs(3600);

/// The longest text for people, in characters.
const LONGEST_TEXT: usize = 4000;

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// What a stage yields.
    Outputs,
    /// What a handler wants to know when it goes on.
    Checkpoint,
    /// What a signal says.
    Signal,
    /// The fields of a stage once evaluated.
    Fields,
    /// What a stage is spread over.
    Instances,
}

impl Bound {
    const fn limit(self) -> usize {
        match self {
            Self::Outputs | Self::Instances => 256 * 1024,
            Self::Checkpoint | Self::Signal => 64 * 1024,
            Self::Fields => 1024 * 1024,
        }
    }
}

/// What has a size as JSON that is known roughly without writing it.
pub trait Weighed: Serialize {
    /// No more bytes than it has as JSON: those of its texts and keys.
    fn at_least(&self) -> usize;
}

impl Weighed for Value {
    fn at_least(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Array(items) => items.iter().map(Self::at_least).sum(),
            Self::Object(map) => map.at_least(),
            Self::Null | Self::Bool(_) | Self::Number(_) => 1,
        }
    }
}

impl Weighed for Map<String, Value> {
    fn at_least(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.at_least()).sum()
    }
}

impl Weighed for Vec<Instance> {
    fn at_least(&self) -> usize {
        self.iter().map(|instance| instance.key.len() + instance.value.at_least()).sum()
    }
}

/// Checks the size of a value as JSON.
///
/// # Errors
/// If it is too large; the message is the stage's failure.
pub fn check(what: Bound, value: &impl Weighed) -> Result<(), String> {
    let mut counter = Counter { left: what.limit() };
    // What is far too large need not be written to be found so.
    if value.at_least() <= what.limit() && serde_json::to_writer(&mut counter, value).is_ok() {
        return Ok(());
    }
    let limit = what.limit() / 1024;
    Err(match what {
        Bound::Outputs => {
            format!(
                "its outputs are larger than {limit} KiB; put large results into files and name those in the outputs"
            )
        }
        Bound::Checkpoint => format!("its checkpoint is larger than {limit} KiB, which is a fault of the stage type"),
        Bound::Signal => format!("the signal is larger than {limit} KiB"),
        Bound::Instances => {
            format!("what its instances are made of is larger than {limit} KiB; list names, and look the rest up")
        }
        Bound::Fields => {
            format!("its fields are larger than {limit} KiB once evaluated; pass large values in files")
        }
    })
}

/// Cuts a text for people.
pub fn clip(mut text: String) -> String {
    if let Some((cut, _)) = text.char_indices().nth(LONGEST_TEXT) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// The pause after the `tried`-th attempt failed: it doubles each time.
pub fn backoff(first: Duration, tried: u32) -> Duration {
    let factor = 1_u32.checked_shl(tried.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(LONGEST_BACKOFF.max(first))
}

/// Counts what is written, and fails once it is too much.
struct Counter {
    left: usize,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("too large"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outputs_are_bounded_in_bytes() {
        assert_eq!(check(Bound::Outputs, &json!({"a": "x".repeat(256 * 1024 - 8)})), Ok(()));
        let message = check(Bound::Outputs, &json!({"a": "x".repeat(256 * 1024 - 7)})).expect_err("one byte too many");
        assert!(message.contains("256 KiB") && message.contains("files"), "{message}");
    }

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let pauses = |first| [1, 2, 3, 40].map(|tried| backoff(Duration::from_secs(first), tried).as_secs());
        assert_eq!(pauses(10), [10, 20, 40, 3600]);
        assert_eq!(pauses(7200), [7200; 4], "an author may ask for more");
    }
}
