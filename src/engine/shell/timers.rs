//! When which execution wants to be looked at.

use std::collections::{BTreeSet, HashMap};

use crate::clock::Timestamp;
use crate::model::ExecutionKey;

/// At most one time for each execution.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Timestamp, ExecutionKey)>,
    times: HashMap<ExecutionKey, Timestamp>,
}

impl Timers {
    /// Sets, moves or takes away an execution's time.
    pub(super) fn arm(&mut self, key: ExecutionKey, time: Option<Timestamp>) {
        let before = match time {
            Some(time) => self.times.insert(key, time),
            None => self.times.remove(&key),
        };
        if before == time {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, key));
        }
        if let Some(time) = time {
            self.order.insert((time, key));
        }
    }

    /// The next time.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(time, _)| *time)
    }

    /// Takes an execution whose time has come.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<ExecutionKey> {
        let (time, key) = *self.order.first()?;
        if time > now {
            return None;
        }
        self.order.pop_first();
        self.times.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_has_one_time_and_the_earliest_comes_first() {
        let at = Timestamp::from_millis;
        let mut timers = Timers::default();
        for (key, time) in [(1, Some(30)), (2, Some(20)), (1, Some(10)), (3, Some(5)), (3, None)] {
            timers.arm(ExecutionKey(key), time.map(at));
        }
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.take_due(at(9)), None);
        let taken: Vec<_> = std::iter::from_fn(|| timers.take_due(at(30))).collect();
        assert_eq!(taken, [ExecutionKey(1), ExecutionKey(2)]);
        assert!(timers.times.is_empty());
    }
}
