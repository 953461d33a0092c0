//! Shards: the parts into which executions are divided, so that several processes can share them.
//!
//! An execution's shard is written with it and never changes. Those of a lane are all in one shard: whoever has it knows
//! everybody who stands in that line.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::StoreError;
use crate::model::{ExecutionKey, Lane};

/// One of the 64 parts of all executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl Shard {
    /// How many there are; part of the data's format.
    pub const COUNT: usize = 64;

    /// The shard of an execution that stands in no lane.
    pub fn of_key(key: ExecutionKey) -> Self {
        // The remainder of a division by 64 is below 64.
        Self(u8::try_from(key.0.rem_euclid(64)).unwrap_or(0))
    }

    /// The shard of all executions of a lane. It is part of the data's format, too, so nothing that another compiler or
    /// processor could do differently.
    pub fn of_lane(lane: &Lane) -> Self {
        let digest = Sha256::digest(lane.to_string().as_bytes());
        Self(digest.first().map_or(0, |byte| byte % 64))
    }

    /// Its number, below [`Shard::COUNT`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// As a row has it.
    pub(super) fn of_row(number: i64) -> Result<Self, StoreError> {
        let known = u8::try_from(number).ok().filter(|number| usize::from(*number) < Self::COUNT);
        known.map(Self).ok_or_else(|| StoreError::corrupt("column `shard`", format!("{number} is no shard")))
    }

    /// As a row has it.
    pub(super) fn number(self) -> i64 {
        i64::from(self.0)
    }
}

/// Some of the shards.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Shards(u64);

impl Shards {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// As one bit each, the lowest for the first.
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// Those whose bits are set.
    pub(super) const fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The condition, after others, that a column names one of them.
    pub(super) fn condition(self, column: &str) -> String {
        if self == Self::ALL {
            return String::new();
        }
        if self.is_empty() {
            return " AND 1 = 0".to_owned();
        }
        let numbers: Vec<String> = self.iter().map(|shard| shard.number().to_string()).collect();
        format!(" AND {column} IN ({})", numbers.join(", "))
    }

    /// Whether this one is among them.
    pub const fn contains(self, shard: Shard) -> bool {
        self.0 & (1 << shard.0) != 0
    }

    /// Adds one.
    pub fn insert(&mut self, shard: Shard) {
        self.0 |= 1 << shard.0;
    }

    /// Takes one away.
    pub fn remove(&mut self, shard: Shard) {
        self.0 &= !(1 << shard.0);
    }

    /// Those that are in either.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those that are here and not there.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Those that are in both.
    #[must_use]
    pub const fn both(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// How many.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = Shard> {
        (0..64u8).map(Shard).filter(move |shard| self.contains(*shard))
    }
}

impl FromIterator<Shard> for Shards {
    fn from_iter<I: IntoIterator<Item = Shard>>(shards: I) -> Self {
        let mut all = Self::NONE;
        shards.into_iter().for_each(|shard| all.insert(shard));
        all
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter().map(Shard::index)).finish()
    }
}

/// What this process may work on, by its [`Shards`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Those that are its own.
    pub held: Shards,
    /// Those among them that it should give to others as soon as nothing runs there.
    pub leaving: Shards,
    /// Rises whenever everything was lost. Who meets another number than before has lost all that was held, even what is
    /// held again: somebody else may have had it in between.
    pub term: u64,
}

impl Owned {
    /// Everything, and nobody to share it with.
    pub const ALL: Self = Self { held: Shards::ALL, leaving: Shards::NONE, term: 0 };

    /// Nothing, for now.
    pub const NONE: Self = Self { held: Shards::NONE, leaving: Shards::NONE, term: 0 };

    /// What was held before and isn't any more, and what is held now and wasn't before.
    pub fn since(self, before: Self) -> (Shards, Shards) {
        if self.term == before.term {
            (before.held.without(self.held), self.held.without(before.held))
        } else {
            (before.held, self.held)
        }
    }

    /// Without what was given back.
    pub(super) fn take_away(&mut self, given: Shards) {
        self.held = self.held.without(given);
        self.leaving = self.leaving.without(given);
    }
}

impl Default for Owned {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_shards() {
        let (one, two) = (Shard::of_key(ExecutionKey(65)), Shard::of_key(ExecutionKey(63)));
        assert_eq!((one.index(), two.index()), (1, 63));
        let mut both: Shards = [one, two].into_iter().collect();
        assert_eq!((both.len(), both.contains(two), format!("{both:?}")), (2, true, "{1, 63}".to_owned()));
        both.remove(one);
        assert_eq!(both.iter().collect::<Vec<_>>(), [two]);
        assert_eq!(Shards::ALL.without(both).len(), 63);
        assert_eq!((Shards::ALL.both(both), both.and(Shards::NONE), Shards::NONE.is_empty()), (both, both, true));
        assert!(Shard::of_row(64).is_err() && Shard::of_row(-1).is_err() && Shard::of_row(63).is_ok());
    }

    /// They are in databases: these must never change.
    #[test]
    fn lanes_keep_their_shards() {
        let shard = |lane: &str| Shard::of_lane(&lane.parse().expect("a lane")).index();
        assert_eq!([shard("pipeline shop/deploy"), shard("lock prod-db")], [39, 22]);
    }
}
