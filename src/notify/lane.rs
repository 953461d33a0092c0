//! How one forge fares, and each of its repositories: how much may go there, and when.
//!
//! A repository whose messages fail rests by itself, and the others on the same forge don't notice. It's the whole forge
//! that rests if it says so itself (too many requests, a token that isn't taken), or if several repositories fail and
//! none gets an answer in between; then one that wasn't among those gets a single try even so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{ForgeStats, ReporterOptions};
use crate::clock::Timestamp;
use crate::forge::{Forge, ForgeError, ForgeErrorKind};
use crate::model::RepositoryName;
use crate::store::OutboxId;

/// After how many failures in a row a repository or a forge gets a rest.
const TRIP: u32 = 3;
/// How many repositories have to fail before it's the forge, if it has as many.
const MANY: usize = 3;

/// The way to one forge.
pub(super) struct Lane {
    pub(super) forge: Arc<dyn Forge>,
    pub(super) stats: ForgeStats,
    /// Rows that were put off only to make room for others.
    pub(super) aside: BTreeMap<OutboxId, RepositoryName>,
    /// How many repositories live there.
    repositories: usize,
    /// Those that fail, or have a request under way.
    fares: HashMap<RepositoryName, Fares>,
    /// Repositories that failed since the last good answer.
    failing: HashSet<RepositoryName>,
    /// Failures that concern the whole forge, in a row.
    failures: u32,
    /// Until when the forge itself wants no requests.
    asked: Option<Timestamp>,
    /// Until when it rests because it fails.
    rest: Option<Timestamp>,
}

/// How one repository fares.
#[derive(Debug, Default)]
struct Fares {
    under_way: usize,
    /// In a row.
    failures: u32,
    rest: Option<Timestamp>,
}

/// Whether one more request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    /// At once.
    Now,
    /// When one that is under way has ended.
    NoRoom,
    /// Not before.
    At(Timestamp),
}

impl Lane {
    pub(super) fn new(forge: Arc<dyn Forge>, repositories: usize) -> Self {
        let stats = ForgeStats { name: forge.name().to_owned(), ..ForgeStats::default() };
        Self {
            forge,
            stats,
            aside: BTreeMap::new(),
            repositories,
            fares: HashMap::new(),
            failing: HashSet::new(),
            failures: 0,
            asked: None,
            rest: None,
        }
    }

    /// Whether one more request about a repository may go. Where something failed, a single one tries it. A repository
    /// that has none under way finds room for one even if others take all of it.
    pub(super) fn may_go(&self, repository: &RepositoryName, now: Timestamp, options: &ReporterOptions) -> Go {
        let after = |moment: Option<Timestamp>| moment.filter(|until| *until > now);
        let fares = self.fares.get(repository);
        let under_way = fares.map_or(0, |fares| fares.under_way);
        let own = fares.and_then(|fares| after(fares.rest));
        let of_the_forge = after(self.rest).filter(|_| self.failing.contains(repository));
        if let Some(until) = after(self.asked).max(of_the_forge).max(own) {
            return Go::At(until);
        }
        let tried_alone = self.failures >= TRIP || self.asked.is_some();
        let room = if tried_alone {
            self.stats.in_flight == 0
        } else if fares.is_some_and(|fares| fares.failures >= TRIP) {
            under_way == 0
        } else {
            self.stats.in_flight < options.per_forge.max(1) + usize::from(under_way == 0 && self.stats.in_flight > 0)
        };
        if room { Go::Now } else { Go::NoRoom }
    }

    /// A request is on its way.
    pub(super) fn started(&mut self, repository: &RepositoryName) {
        self.stats.in_flight += 1;
        self.fares.entry(repository.clone()).or_default().under_way += 1;
    }

    /// It has ended, one way or the other.
    pub(super) fn ended(&mut self, repository: &RepositoryName) {
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
        if let Some(fares) = self.fares.get_mut(repository) {
            fares.under_way = fares.under_way.saturating_sub(1);
            if fares.under_way == 0 && fares.failures == 0 {
                self.fares.remove(repository);
            }
        }
    }

    /// A message arrived, or the forge gave a clear answer about it.
    pub(super) fn answered(&mut self, repository: &RepositoryName, now: Timestamp) {
        // What was under way doesn't end a pause.
        self.asked = self.asked.filter(|until| *until > now);
        if self.failures >= TRIP {
            tracing::info!(forge = self.stats.name, "the forge takes messages again");
        }
        if let Some(fares) = self.fares.get_mut(repository) {
            if fares.failures >= TRIP {
                tracing::info!(forge = self.stats.name, %repository, "the forge takes messages about it again");
            }
            (fares.failures, fares.rest) = (0, None);
            if fares.under_way == 0 {
                self.fares.remove(repository);
            }
        }
        self.failing.clear();
        (self.failures, self.rest) = (0, None);
        self.stats.paused_until = self.asked;
    }

    /// Takes note of trouble with a message; returns when the next request about its repository may go, if that isn't at
    /// once.
    pub(super) fn trouble(
        &mut self,
        repository: &RepositoryName,
        error: &ForgeError,
        now: Timestamp,
        options: &ReporterOptions,
    ) -> Option<Timestamp> {
        self.stats.last_error = Some((now, error.message.clone()));
        match error.kind {
            ForgeErrorKind::RateLimited { until } => {
                if self.asked.is_none_or(|asked| asked <= now) {
                    tracing::warn!(forge = self.stats.name, %until, reason = error.message, "the forge asks for a pause");
                }
                self.asked = self.asked.max(Some(until));
            }
            kind if !kind.concerns_whole_forge() => self.answered(repository, now),
            kind => {
                self.failing.insert(repository.clone());
                if kind != ForgeErrorKind::Auth {
                    self.repository_fails(repository, error, now, options);
                }
                // A token is that of all repositories.
                let all = kind == ForgeErrorKind::Auth || self.failing.len() >= MANY.min(self.repositories.max(1));
                if all {
                    self.forge_fails(error, now, options);
                }
            }
        }
        self.stats.paused_until = self.asked.max(self.rest);
        let own = self.fares.get(repository).and_then(|fares| fares.rest);
        self.asked.max(self.rest).max(own).filter(|until| *until > now)
    }

    fn repository_fails(
        &mut self,
        repository: &RepositoryName,
        error: &ForgeError,
        now: Timestamp,
        options: &ReporterOptions,
    ) {
        let fares = self.fares.entry(repository.clone()).or_default();
        if fares.rest.is_some_and(|until| until > now) {
            // Requests that were under way when the rest began say nothing new.
            return;
        }
        fares.failures = fares.failures.saturating_add(1);
        if fares.failures == TRIP {
            tracing::warn!(forge = self.stats.name, %repository, reason = error.message, "messages wait for the forge");
        }
        if fares.failures >= TRIP {
            fares.rest = Some(now.plus(wait(fares.failures - TRIP + 1, options)));
        }
    }

    fn forge_fails(&mut self, error: &ForgeError, now: Timestamp, options: &ReporterOptions) {
        if self.rest.is_some_and(|until| until > now) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures == TRIP {
            tracing::warn!(forge = self.stats.name, reason = error.message, "all messages wait for the forge");
        }
        if self.failures >= TRIP {
            self.rest = Some(now.plus(wait(self.failures - TRIP + 1, options)));
        }
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

    fn lane(repositories: usize) -> Lane {
        Lane::new(Arc::new(PlainForge::new("x")), repositories)
    }

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).expect("legal")
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

    fn down() -> ForgeError {
        error(ForgeErrorKind::Unreachable)
    }

    fn later(moment: Timestamp) -> Timestamp {
        moment.plus(Duration::from_millis(1))
    }

    #[test]
    fn a_forge_that_fails_in_a_row_rests_and_is_then_tried_with_one() {
        let (options, shop) = (ReporterOptions::default(), name("acme/shop"));
        let mut lane = lane(1);
        assert_eq!(lane.trouble(&shop, &down(), NOW, &options), None);
        assert_eq!(lane.trouble(&shop, &down(), NOW, &options), None);
        let until = lane.trouble(&shop, &down(), NOW, &options).expect("it rests");
        assert_eq!(
            lane.trouble(&shop, &down(), NOW, &options),
            Some(until),
            "what fails during the rest doesn't prolong it"
        );
        assert_eq!(lane.may_go(&shop, NOW, &options), Go::At(until));

        let after = later(until);
        assert_eq!(lane.may_go(&shop, after, &options), Go::Now);
        lane.started(&shop);
        assert_eq!(lane.may_go(&shop, after, &options), Go::NoRoom, "one request tries it");
        lane.ended(&shop);
        let next = lane.trouble(&shop, &down(), after, &options).expect("it rests again");
        assert!(next.since(after) > Duration::from_millis(1500), "and longer");
        lane.answered(&shop, after);
        lane.started(&shop);
        assert_eq!((lane.may_go(&shop, after, &options), lane.stats.paused_until), (Go::Now, None));
    }

    #[test]
    fn a_repository_that_fails_rests_by_itself() {
        let (options, shop, bank) = (ReporterOptions::default(), name("acme/shop"), name("acme/bank"));
        let mut lane = lane(2);
        for _ in 0..20 {
            lane.trouble(&shop, &down(), NOW, &options);
        }
        assert!(matches!(lane.may_go(&shop, NOW, &options), Go::At(_)));
        assert_eq!((lane.may_go(&bank, NOW, &options), lane.stats.paused_until), (Go::Now, None));
        lane.answered(&bank, NOW);
        assert!(matches!(lane.may_go(&shop, NOW, &options), Go::At(_)), "the other one's luck is not its own");
    }

    #[test]
    fn requests_that_hang_leave_room_for_one_of_another_repository() {
        let (options, shop, bank) = (ReporterOptions::default(), name("acme/shop"), name("acme/bank"));
        let mut lane = lane(2);
        for _ in 0..options.per_forge {
            assert_eq!(lane.may_go(&shop, NOW, &options), Go::Now);
            lane.started(&shop);
        }
        assert_eq!(lane.may_go(&shop, NOW, &options), Go::NoRoom);
        assert_eq!(lane.may_go(&bank, NOW, &options), Go::Now);
        lane.started(&bank);
        assert_eq!(lane.may_go(&bank, NOW, &options), Go::NoRoom);
        assert_eq!(lane.may_go(&name("acme/third"), NOW, &options), Go::NoRoom);
    }

    #[test]
    fn many_that_fail_are_the_forge_and_who_has_not_failed_tries_it_once() {
        let options = ReporterOptions::default();
        let all: Vec<_> = ["a/a", "a/b", "a/c", "a/d"].map(name).to_vec();
        let mut lane = lane(300);
        for _ in 0..TRIP {
            for repository in &all[..MANY] {
                lane.trouble(repository, &down(), NOW, &options);
            }
        }
        assert!(lane.stats.paused_until.is_some(), "the forge rests");
        assert!(matches!(lane.may_go(&all[0], NOW, &options), Go::At(_)));
        assert_eq!(lane.may_go(&all[3], NOW, &options), Go::Now);
        lane.started(&all[3]);
        assert_eq!(lane.may_go(&name("a/e"), NOW, &options), Go::NoRoom, "one after the other");
        lane.ended(&all[3]);
        lane.trouble(&all[3], &down(), NOW, &options);
        assert!(matches!(lane.may_go(&all[3], NOW, &options), Go::At(_)), "once");
        lane.answered(&name("a/e"), NOW);
        assert_eq!((lane.may_go(&all[3], NOW, &options), lane.stats.paused_until), (Go::Now, None));
    }

    #[test]
    fn trouble_with_one_status_is_not_trouble_with_the_forge() {
        let options = ReporterOptions::default();
        let mut lane = lane(1);
        for _ in 0..10 {
            let refused = error(ForgeErrorKind::Forbidden);
            assert_eq!(lane.trouble(&name("acme/shop"), &refused, NOW, &options), None);
        }
    }

    #[test]
    fn the_longest_asked_for_pause_counts_and_for_all() {
        let (options, shop, bank) = (ReporterOptions::default(), name("acme/shop"), name("acme/bank"));
        let mut lane = lane(2);
        let until = NOW.plus(Duration::from_secs(60));
        let limited = |until| error(ForgeErrorKind::RateLimited { until });
        assert_eq!(lane.trouble(&shop, &limited(until), NOW, &options), Some(until));
        assert_eq!(lane.trouble(&shop, &limited(NOW.plus(Duration::from_secs(5))), NOW, &options), Some(until));
        lane.answered(&bank, NOW);
        assert_eq!(lane.may_go(&bank, NOW, &options), Go::At(until), "what was under way doesn't end it");
        assert_eq!(lane.may_go(&bank, later(until), &options), Go::Now);
        lane.started(&bank);
        assert_eq!(lane.may_go(&shop, later(until), &options), Go::NoRoom, "one finds out whether it is over");
        lane.ended(&bank);
        lane.answered(&bank, later(until));
        lane.started(&bank);
        assert_eq!(lane.may_go(&shop, later(until), &options), Go::Now);
    }

    #[test]
    fn a_token_that_is_not_taken_is_that_of_all() {
        let (options, shop) = (ReporterOptions::default(), name("acme/shop"));
        let mut lane = lane(300);
        for _ in 0..TRIP {
            lane.trouble(&shop, &error(ForgeErrorKind::Auth), NOW, &options);
        }
        assert!(lane.stats.paused_until.is_some());
    }
}
