//! Bells: what those who wait for work hear after a commit that has some for them.
//!
//! A job says on its [`Tx`](super::writer::Tx) what it added; the writer rings after the commit, and on a server tells
//! the other processes with the commit itself. Bells only make things sooner: whoever waits looks into the tables as well.

use tokio::sync::watch;

use super::StoreError;

/// What may have grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bell {
    /// The inbox has an entry more.
    Inbox,
    /// The outbox has a row more, or one that may be sent again.
    Outbox,
    /// An execution ended that may start others.
    Endings,
    /// A custom webhook was taken up.
    Hooks,
}

impl Bell {
    /// All of them, each at its own number.
    pub(super) const ALL: [Self; 4] = [Self::Inbox, Self::Outbox, Self::Endings, Self::Hooks];

    /// Whether only replicas listen to one another for it: who has the database alone rings by itself.
    pub(super) const fn is_for_replicas(self) -> bool {
        matches!(self, Self::Endings | Self::Hooks)
    }

    /// What a server calls it. Channels belong to one database.
    pub(super) const fn channel(self) -> &'static str {
        match self {
            Self::Inbox => "longboat_inbox",
            Self::Outbox => "longboat_outbox",
            Self::Endings => "longboat_endings",
            Self::Hooks => "longboat_hooks",
        }
    }
}

/// A set of bells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rung(u8);

impl Rung {
    /// Adds one.
    pub(super) fn add(&mut self, bell: Bell) {
        self.0 |= 1 << bell as u8;
    }

    /// Those that are in it.
    pub(super) fn bells(self) -> impl Iterator<Item = Bell> {
        Bell::ALL.into_iter().filter(move |bell| self.0 & (1 << *bell as u8) != 0)
    }
}

/// What the writer tells everybody after a commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Bells {
    counts: [watch::Sender<u64>; Bell::ALL.len()],
    /// Set once another process has the database.
    pub(super) lost: watch::Sender<Option<StoreError>>,
}

impl Bells {
    /// Tells those who wait for any of these.
    pub(super) fn ring(&self, bells: impl IntoIterator<Item = Bell>) {
        for bell in bells {
            self.counts[bell as usize].send_modify(|count| *count += 1);
        }
    }

    /// Changes whenever it rings.
    pub(super) fn subscribe(&self, bell: Bell) -> watch::Receiver<u64> {
        self.counts[bell as usize].subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_in_the_set_are_rung() {
        let bells = Bells::default();
        let heard: Vec<_> = Bell::ALL.into_iter().map(|bell| bells.subscribe(bell)).collect();
        let mut rung = Rung::default();
        assert_eq!(rung.bells().count(), 0);
        rung.add(Bell::Hooks);
        rung.add(Bell::Outbox);
        rung.add(Bell::Hooks);
        assert_eq!(rung.bells().collect::<Vec<_>>(), [Bell::Outbox, Bell::Hooks]);
        bells.ring(rung.bells());
        let changed = heard.iter().map(|bell| bell.has_changed().expect("open"));
        assert_eq!(changed.collect::<Vec<_>>(), [false, true, false, true]);
    }
}
