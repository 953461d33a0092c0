//! How one forge fares: how much may go there, and when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{ForgeStats, ReporterOptions};
use crate::clock::Timestamp;
use crate::forge::{Forge, ForgeError, ForgeErrorKind};
use crate::store::OutboxId;

/// After how many failures in a row a forge gets a rest.
const TRIP: u32 = 3;

/// The way to one forge.
pub(super) struct Lane {
    pub(super) forge: Arc<dyn Forge>,
    pub(super) stats: ForgeStats,
    /// Rows that were put off only to make room for other forges.
    pub(super) aside: BTreeSet<OutboxId>,
    /// Failures that concern the whole forge, in a row.
    failures: u32,
}

impl Lane {
    pub(super) fn new(forge: Arc<dyn Forge>) -> Self {
        let stats = ForgeStats { name: forge.name().to_owned(), ..ForgeStats::default() };
        Self { forge, stats, aside: BTreeSet::new(), failures: 0 }
    }

    /// The end of its rest, if it has one at `now`.
    pub(super) fn pause(&self, now: Timestamp) -> Option<Timestamp> {
        self.stats.paused_until.filter(|until| *until > now)
    }

    /// Whether one more request may go there. A forge that failed is tried with a single one.
    pub(super) fn has_room(&self, options: &ReporterOptions) -> bool {
        let most = if self.failures >= TRIP { 1 } else { options.per_forge.max(1) };
        self.stats.in_flight < most
    }

    /// A message arrived, or the forge gave a clear answer about it.
    pub(super) fn answered(&mut self) {
        if self.failures >= TRIP {
            tracing::info!(forge = self.stats.name, "the forge takes messages again");
        }
        self.failures = 0;
        self.stats.paused_until = None;
    }

    /// Takes note of trouble; returns when the next request may go there, if that isn't at once.
    pub(super) fn trouble(
        &mut self,
        error: &ForgeError,
        now: Timestamp,
        options: &ReporterOptions,
    ) -> Option<Timestamp> {
        self.stats.last_error = Some((now, error.message.clone()));
        if let ForgeErrorKind::RateLimited { until } = error.kind {
            if self.pause(now).is_none() {
                tracing::warn!(forge = self.stats.name, %until, reason = error.message, "the forge asks for a pause");
            }
            self.stats.paused_until = self.stats.paused_until.max(Some(until));
        } else if !error.kind.concerns_whole_forge() {
            self.failures = 0;
        } else if self.pause(now).is_none() {
            // Requests that were under way when the rest began say nothing new.
            self.failures = self.failures.saturating_add(1);
            if self.failures == TRIP {
                tracing::warn!(forge = self.stats.name, reason = error.message, "messages wait for the forge");
            }
            if self.failures >= TRIP {
                self.stats.paused_until = Some(now.plus(wait(self.failures - TRIP + 1, options)));
            }
        }
        self.pause(now)
    }
}

/// The wait after the `failures`th failure: doubled each time, bounded, and up to a fifth longer or shorter,
/// so that what failed together doesn't come back together.
pub(super) fn wait(failures: u32, options: &ReporterOptions) -> Duration {
    let doubled = options.first_wait.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(20)));
    let longest = options.longest_wait.max(options.first_wait);
    about(doubled.min(longest)).min(longest)
}

/// A span up to a fifth longer or shorter.
pub(super) fn about(span: Duration) -> Duration {
    span.mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::PlainForge;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn lane() -> Lane {
        Lane::new(Arc::new(PlainForge::new("x")))
    }

    fn error(kind: ForgeErrorKind) -> ForgeError {
        ForgeError { kind, message: "no".to_owned(), may_have_arrived: false }
    }

    #[test]
    fn waits_grow_and_are_bounded() {
        let options = ReporterOptions::default();
        for (failures, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0), (40, 300.0)] {
            for _ in 0..50 {
                let wait = wait(failures, &options).as_secs_f64();
                assert!((0.8 * seconds..=1.2 * seconds).contains(&wait) && wait <= 300.0, "{failures}: {wait}");
            }
        }
    }

    #[test]
    fn a_forge_that_fails_in_a_row_rests_and_is_then_tried_with_one() {
        let options = ReporterOptions::default();
        let mut lane = lane();
        let down = error(ForgeErrorKind::Unreachable);
        assert_eq!(lane.trouble(&down, NOW, &options), None);
        assert_eq!(lane.trouble(&down, NOW, &options), None);
        let until = lane.trouble(&down, NOW, &options).expect("it rests");
        assert_eq!(lane.trouble(&down, NOW, &options), Some(until), "what fails during the rest doesn't prolong it");

        assert!(lane.has_room(&options));
        lane.stats.in_flight = 1;
        assert!(!lane.has_room(&options), "one request tries it");
        let later = until.plus(Duration::from_millis(1));
        let next = lane.trouble(&down, later, &options).expect("it rests again");
        assert!(next.since(later) > Duration::from_millis(1500), "and longer");
        lane.answered();
        assert!(lane.has_room(&options) && lane.pause(later).is_none());
    }

    #[test]
    fn trouble_with_one_status_is_not_trouble_with_the_forge() {
        let options = ReporterOptions::default();
        let mut lane = lane();
        for _ in 0..10 {
            assert_eq!(lane.trouble(&error(ForgeErrorKind::Forbidden), NOW, &options), None);
        }
    }

    #[test]
    fn the_longest_asked_for_pause_counts() {
        let options = ReporterOptions::default();
        let mut lane = lane();
        let until = NOW.plus(Duration::from_secs(60));
        let limited = |until| error(ForgeErrorKind::RateLimited { until });
        assert_eq!(lane.trouble(&limited(until), NOW, &options), Some(until));
        assert_eq!(lane.trouble(&limited(NOW.plus(Duration::from_secs(5))), NOW, &options), Some(until));
    }
}
