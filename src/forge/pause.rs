//! A forge's own word that it takes no requests for now, kept for all that would ask it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{ForgeError, ForgeErrorKind};
use crate::clock::Timestamp;

/// The least pause after a second refusal in a row; doubled with each further one.
const SECOND_PAUSE: Duration = Duration::from_secs(120);
/// The longest pause that is made of it.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Until when a forge takes no requests. Whoever sends one in spite of that is taken for an attacker sooner or later, so
/// none leaves until then, whatever it is for: statuses, comments, looks at pull requests. If the forge still takes none
/// after a pause, the next one is longer, as GitHub's page "Rate limits for the REST API" asks for.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    until: Option<Timestamp>,
    /// How many pauses there were since the last good answer.
    in_a_row: u32,
}

impl Pause {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the pause, if there is one at `now`.
    pub(super) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        self.state().until.filter(|until| *until > now)
    }

    /// Takes note of what an answer meant, if it was that, and says in the error until when it is.
    pub(super) fn note(&self, error: &mut ForgeError, now: Timestamp) {
        let ForgeErrorKind::RateLimited { until } = &mut error.kind else { return };
        let mut state = self.state();
        // Requests that were under way when it began say nothing new.
        if state.until.is_none_or(|known| known <= now) {
            state.in_a_row = state.in_a_row.saturating_add(1);
        }
        if state.in_a_row > 1 {
            let least = SECOND_PAUSE.saturating_mul(2_u32.saturating_pow(state.in_a_row - 2)).min(LONGEST_PAUSE);
            *until = (*until).max(now.plus(least));
        }
        *until = state.until.map_or(*until, |known| known.max(*until));
        state.until = Some(*until);
    }

    /// There was a good answer.
    pub(super) fn answered(&self) {
        self.state().in_a_row = 0;
    }
}

/// Why a request was not sent during a pause.
pub(super) fn in_words(until: Timestamp) -> String {
    format!("not sent: there were too many requests, and none are taken until {}", until.to_rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn after(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    /// What becomes of an answer that asks for a pause until then.
    fn note(pause: &Pause, until: Timestamp, now: Timestamp) -> Timestamp {
        let kind = ForgeErrorKind::RateLimited { until };
        let mut error = ForgeError { kind, message: "no".to_owned(), may_have_arrived: false };
        pause.note(&mut error, now);
        match error.kind {
            ForgeErrorKind::RateLimited { until } => until,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_longest_pause_counts_until_it_is_over() {
        let pause = Pause::default();
        let mut other = ForgeError { kind: ForgeErrorKind::Server, message: "no".to_owned(), may_have_arrived: false };
        pause.note(&mut other, NOW);
        assert_eq!(pause.until(NOW), None);
        assert_eq!(note(&pause, after(60), NOW), after(60));
        assert_eq!(note(&pause, after(5), NOW), after(60), "one that was under way");
        assert_eq!((pause.until(NOW), pause.until(after(60))), (Some(after(60)), None));
        assert!(in_words(after(60)).ends_with(&after(60).to_rfc3339()));
    }

    #[test]
    fn pauses_in_a_row_grow_until_there_is_an_answer() {
        let pause = Pause::default();
        let mut now = NOW;
        for expected in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            let until = note(&pause, now.plus(Duration::from_secs(60)), now);
            assert_eq!(until.since(now).as_secs(), expected);
            now = until;
        }
        pause.answered();
        assert_eq!(note(&pause, now.plus(Duration::from_secs(60)), now).since(now).as_secs(), 60);
    }
}
