//! Words between replicas: what makes things sooner there that they would find by looking, too.
//!
//! They are gathered for a moment and sent in few notifications, each below the server's bound. A word that a replica
//! doesn't know, as a later version may say, is passed over.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::shard::Shards;
use crate::model::{ExecutionId, Status};

/// What one replica says to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// An execution changed, and the change is committed.
    Changed {
        /// Its public id.
        id: ExecutionId,
        /// How it stands now.
        status: Status,
        /// The number of its latest journal row.
        seq: i64,
    },
    /// Executions changed, more than can be named; or words may have been missed.
    ManyChanged,
    /// There is something new to run in these shards.
    Work(Shards),
    /// There are wishes to be carried out.
    Wishes,
    /// Something was frozen or set free.
    Freezes,
    /// The pipelines in force, or what is known of repositories, changed.
    Catalog,
}

/// The most bytes of one notification; the server takes 7,999.
const MAX_PAYLOAD: usize = 7_900;
/// The most executions that are named between two sendings.
const MAX_NAMED: usize = 800;

/// What is to be sent next, without repetitions: bounded whatever is said.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    gathered: Mutex<Gathered>,
    grew: Notify,
}

#[derive(Debug, Default)]
struct Gathered {
    changed: HashMap<ExecutionId, (Status, i64)>,
    many: bool,
    work: Shards,
    wishes: bool,
    freezes: bool,
    catalog: bool,
}

impl Outgoing {
    /// Adds a word.
    pub(super) fn add(&self, word: Word) {
        let mut gathered = self.gathered();
        match word {
            Word::Changed { id, status, seq } => {
                if gathered.changed.len() < MAX_NAMED || gathered.changed.contains_key(&id) {
                    gathered.changed.insert(id, (status, seq));
                } else {
                    gathered.many = true;
                }
            }
            Word::ManyChanged => gathered.many = true,
            Word::Work(shards) => gathered.work = gathered.work.and(shards),
            Word::Wishes => gathered.wishes = true,
            Word::Freezes => gathered.freezes = true,
            Word::Catalog => gathered.catalog = true,
        }
        drop(gathered);
        self.grew.notify_one();
    }

    /// Returns once there may be something to send.
    pub(super) async fn grew(&self) {
        self.grew.notified().await;
    }

    /// Takes all that was gathered, as the payloads that `from` sends.
    pub(super) fn take(&self, from: &str) -> Vec<String> {
        let gathered = std::mem::take(&mut *self.gathered());
        let mut words = Vec::new();
        for (said, word) in [
            (gathered.many, "many"),
            (gathered.wishes, "wishes"),
            (gathered.freezes, "freezes"),
            (gathered.catalog, "catalog"),
        ] {
            if said {
                words.push(word.to_owned());
            }
        }
        if !gathered.work.is_empty() {
            words.push(format!("work:{:x}", gathered.work.bits()));
        }
        words.extend(
            gathered.changed.iter().map(|(id, (status, seq))| format!("changed:{id}:{}:{seq}", status.as_str())),
        );
        let mut payloads: Vec<String> = Vec::new();
        for word in words {
            match payloads.last_mut() {
                // Writing to a String can't fail.
                Some(payload) if payload.len() + 1 + word.len() <= MAX_PAYLOAD => _ = write!(payload, " {word}"),
                _ => payloads.push(format!("{from} {word}")),
            }
        }
        payloads
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        // Nothing panics while it holds this.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a payload says, and who sent it. What isn't known is left out.
pub(super) fn read(payload: &str) -> (&str, impl Iterator<Item = Word>) {
    let (from, words) = payload.split_once(' ').unwrap_or((payload, ""));
    (from, words.split(' ').filter_map(word))
}

fn word(text: &str) -> Option<Word> {
    let mut parts = text.split(':');
    let word = match (parts.next()?, parts.next(), parts.next(), parts.next()) {
        ("many", ..) => Word::ManyChanged,
        ("wishes", ..) => Word::Wishes,
        ("freezes", ..) => Word::Freezes,
        ("catalog", ..) => Word::Catalog,
        ("work", Some(bits), ..) => Word::Work(Shards::of_bits(u64::from_str_radix(bits, 16).ok()?)),
        ("changed", Some(id), Some(status), Some(seq)) => {
            Word::Changed { id: id.parse().ok()?, status: Status::parse(status)?, seq: seq.parse().ok()? }
        }
        _ => return None,
    };
    Some(word)
}

/// What somebody is told who may have missed words: to look at everything.
pub(super) const MISSED: [Word; 5] =
    [Word::ManyChanged, Word::Work(Shards::ALL), Word::Wishes, Word::Freezes, Word::Catalog];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_gathered_sent_in_pieces_and_read_again() {
        let outgoing = Outgoing::default();
        let ids: Vec<ExecutionId> = (0..MAX_NAMED + 5).map(|_| ExecutionId::generate()).collect();
        for seq in [1, 2] {
            for id in &ids {
                outgoing.add(Word::Changed { id: *id, status: Status::Running, seq });
            }
        }
        let shards = Shards::of_bits(1 | 1 << 63);
        outgoing.add(Word::Work(Shards::of_bits(1)));
        outgoing.add(Word::Work(shards));
        outgoing.add(Word::Wishes);
        outgoing.add(Word::Wishes);
        let payloads = outgoing.take("me");
        assert!(
            payloads.len() < 12 && payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD),
            "{}",
            payloads.len()
        );
        let mut words = Vec::new();
        for payload in &payloads {
            let (from, said) = read(payload);
            assert_eq!(from, "me");
            words.extend(said);
        }
        assert_eq!(words.len(), MAX_NAMED + 3, "named ones, `many` for the rest, work and wishes once");
        assert!(words.contains(&Word::ManyChanged) && words.contains(&Word::Work(shards)));
        assert!(words.contains(&Word::Changed { id: ids[0], status: Status::Running, seq: 2 }), "the last counts");
        assert!(outgoing.take("me").is_empty(), "each is sent once");
    }

    #[test]
    fn what_a_later_version_says_is_passed_over() {
        let (from, words) = read("other sing:loud freezes changed:no-id:RUNNING:1 work:xyz work:2 changed");
        assert_eq!((from, words.collect::<Vec<_>>()), ("other", vec![Word::Freezes, Word::Work(Shards::of_bits(2))]));
        assert_eq!(read("").1.count(), 0);
    }
}
