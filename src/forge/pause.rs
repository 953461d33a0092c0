//! A forge's own word that it takes no requests for now, kept for all that would ask it.

use std::sync::{Mutex, PoisonError};

use super::{ForgeError, ForgeErrorKind};
use crate::clock::Timestamp;

/// Until when a forge takes no requests. Whoever sends one in spite of that is taken for an attacker sooner or later, so
/// none leaves until then, whatever it is for: statuses, comments, looks at pull requests.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<Option<Timestamp>>);

impl Pause {
    /// The end of the pause, if there is one at `now`.
    pub(super) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).filter(|until| *until > now)
    }

    /// Takes note of what an answer meant, if it was that.
    pub(super) fn note(&self, error: &ForgeError) {
        if let ForgeErrorKind::RateLimited { until } = error.kind {
            let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *pause = (*pause).max(Some(until));
        }
    }
}

/// Why a request was not sent during a pause.
pub(super) fn in_words(until: Timestamp) -> String {
    format!("not sent: there were too many requests, and none are taken until {}", until.to_rfc3339())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_longest_pause_counts_until_it_is_over() {
        let now = Timestamp::from_millis(1_000_000);
        let (soon, late) = (now.plus(Duration::from_secs(5)), now.plus(Duration::from_secs(60)));
        let pause = Pause::default();
        let error = |kind| ForgeError { kind, message: "no".to_owned(), may_have_arrived: false };
        pause.note(&error(ForgeErrorKind::Server));
        assert_eq!(pause.until(now), None);
        pause.note(&error(ForgeErrorKind::RateLimited { until: late }));
        pause.note(&error(ForgeErrorKind::RateLimited { until: soon }));
        assert_eq!((pause.until(now), pause.until(late)), (Some(late), None));
        assert_eq!(in_words(late), format!("not sent: there were too many requests, and none are taken until {}", late.to_rfc3339()));
    }
}
