//! What happens to the replicas, and when: made from a number, so that it can be repeated.

use std::fmt;
use std::time::Duration;

use super::fleet::{Fleet, NAMES};

/// What is done to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Kill,
    Begin,
    Pause,
    Resume,
    Swallow,
    /// Its network is whole again; `gone`: but its connections are not.
    Heal {
        gone: bool,
    },
}

/// Something that happens.
#[derive(Clone, Copy)]
pub struct Event {
    /// Since the beginning.
    pub at: Duration,
    pub replica: usize,
    pub act: Act,
}

impl fmt::Debug for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {:?} {}", self.at, self.act, NAMES[self.replica])
    }
}

impl Event {
    /// Does it.
    pub fn happen(self, fleet: &mut Fleet<'_>) {
        match self.act {
            Act::Kill => fleet.kill(self.replica),
            Act::Begin => fleet.begin(self.replica),
            Act::Pause => fleet.pause(self.replica),
            Act::Resume => fleet.resume(self.replica),
            Act::Swallow => fleet.cable(self.replica).swallow(),
            Act::Heal { gone } => fleet.cable(self.replica).heal(gone),
        }
    }
}

/// The faults of so much time: never more than two replicas at once, and in the end all are well.
pub fn plan(seed: u64, length: Duration) -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut events = Vec::new();
    let mut well_at = [0_u64; NAMES.len()];
    let length = u64::try_from(length.as_millis()).expect("short");
    let mut now = 1_000;
    while now < length {
        let well: Vec<usize> = (0..NAMES.len()).filter(|replica| well_at[*replica] <= now).collect();
        if let Some(replica) = random.choice(&well).copied().filter(|_| well.len() > 1) {
            let (begin, end) = match random.u8(0..3) {
                0 => (Act::Kill, Act::Begin),
                1 => (Act::Pause, Act::Resume),
                _ => (Act::Swallow, Act::Heal { gone: random.bool() }),
            };
            // Shorter and longer than a lease.
            let until = (now + random.u64(500..11_000)).min(length);
            events.push(Event { at: Duration::from_millis(now), replica, act: begin });
            events.push(Event { at: Duration::from_millis(until), replica, act: end });
            // It takes part for a while before the next fault.
            well_at[replica] = until + random.u64(1_500..6_000);
        }
        now += random.u64(500..3_500);
    }
    events.sort_by_key(|event| event.at);
    events
}

#[test]
fn a_plan_is_repeated_by_its_number_and_ends_well() {
    for seed in 0..200 {
        let events = plan(seed, Duration::from_secs(60));
        assert_eq!(format!("{events:?}"), format!("{:?}", plan(seed, Duration::from_secs(60))));
        let mut ill = [false; NAMES.len()];
        for event in &events {
            let begins = matches!(event.act, Act::Kill | Act::Pause | Act::Swallow);
            assert_ne!(ill[event.replica], begins, "one thing after the other: {events:?}");
            ill[event.replica] = begins;
            assert!(ill.contains(&false), "one goes on: {events:?}");
        }
        assert!(!ill.contains(&true) && events.len() > 12, "{events:?}");
    }
}
