//! Time tables: when a `cron` trigger is due.
//!
//! A schedule of five fields is Unix's (`0 9 * * MON-FRI`); one of six or seven, which begins with seconds, is Quartz's,
//! as Spinnaker has it (`0 0 9 ? * MON-FRI`). They differ in how days of the week are numbered, and in what two days
//! that are both given mean.
//!
//! **Daylight saving.** A table that names hours is about what the clock on the wall shows: what falls into the hour that
//! is left out in spring is due once, at the moment when the clock is put forward; what falls into the hour that comes
//! twice in autumn is due the first time. A table for every hour (`*`) is about the time that passes, so it goes on through
//! both. The rules of the zones are compiled in, so that a table means the same on every machine.

mod calendar;
mod days;
mod fields;

use std::fmt;
use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp as Instant};

use crate::clock::Timestamp;
use crate::diagnostic::nearest;
use calendar::Calendar;

/// The longest schedule, in bytes.
const MAX_SCHEDULE: usize = 200;
/// How many moments of the wall clock may fall on one real moment or before it, until the search gives up. The hour that
/// is left out has 3600 seconds; no zone ever left out more than a day.
const MAX_LEFT_OUT: usize = 100_000;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A schedule or a zone that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// What is wrong, as a sentence without an end.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl CronError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A schedule in a time zone.
#[derive(Clone)]
pub struct TimeTable {
    calendar: Calendar,
    zone: TimeZone,
}

impl fmt::Debug for TimeTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TimeTable").field("zone", &self.zone.iana_name()).finish_non_exhaustive()
    }
}

impl TimeTable {
    /// Reads a schedule and the name of a zone of the IANA database; without one, the zone is UTC. `owner` is what the
    /// schedule's `H` is made from, a second, minute or hour that differs from owner to owner.
    ///
    /// # Errors
    /// If one of them can't be read, or the schedule never comes (`0 0 30 2 *`).
    pub fn parse(schedule: &str, zone: Option<&str>, owner: &str) -> Result<Self, CronError> {
        let calendar = Self::check_schedule(schedule, owner)?;
        Ok(Self { calendar, zone: zone.map_or(Ok(TimeZone::UTC), Self::zone)? })
    }

    /// As [`TimeTable::parse`], the schedule alone.
    fn check_schedule(schedule: &str, owner: &str) -> Result<Calendar, CronError> {
        if schedule.len() > MAX_SCHEDULE {
            return Err(CronError::new(format!("a schedule has {MAX_SCHEDULE} characters at most")));
        }
        let calendar = Calendar::parse(schedule, owner)?;
        let first = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
        match calendar.first_from(first) {
            Some(_) => Ok(calendar),
            None => Err(CronError::new("no day is ever like that, so it never comes")),
        }
    }

    /// The zone of that name.
    ///
    /// # Errors
    /// If there is none; the nearest is named.
    pub fn zone(name: &str) -> Result<TimeZone, CronError> {
        let shown: String = name.chars().take(64).collect();
        ZONES.get(name).map_err(|_| {
            let known: Vec<String> = ZONES.available().map(|zone| zone.to_string()).collect();
            let error = CronError::new(format!("`{shown}` is not the name of a time zone"));
            match nearest(&shown, known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("write a name like `Europe/Berlin` or `UTC`"),
            }
        })
    }

    /// The first moment after `after` at which the table is due; none if it is over (Quartz's years).
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = Instant::from_millisecond(after.as_millis()).ok()?;
        let next = if self.calendar.every_hour() { self.by_passing_time(after) } else { self.by_the_wall(after) };
        next.map(|next| Timestamp::from_millis(next.as_millisecond()))
    }

    /// The next few moments after `after` at which the table is due.
    pub fn upcoming(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(after), |last| self.next_after(*last)).take(count).collect()
    }

    /// The newest moment after `from` and not after `to` at which the table was due.
    pub fn latest_in(&self, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
        let due = std::iter::successors(self.next_after(from), |last| self.next_after(*last));
        due.take_while(|due| *due <= to).last()
    }

    /// The moment in the words of the zone's clock: `2026-03-02 09:00 CET`.
    pub fn in_zone(&self, at: Timestamp) -> String {
        match Instant::from_millisecond(at.as_millis()) {
            Ok(instant) => {
                let zoned = instant.to_zoned(self.zone.clone());
                let seconds = if zoned.second() == 0 { "" } else { ":%S" };
                zoned.strftime(&format!("%Y-%m-%d %H:%M{seconds} %Z")).to_string()
            }
            Err(_) => at.to_rfc3339(),
        }
    }

    /// Each time that the clock on the wall shows is due at one moment: see the head of this file.
    fn by_the_wall(&self, after: Instant) -> Option<Instant> {
        let mut wall = self.zone.to_datetime(after);
        // What the clock shows a second time has been due the first time.
        for _ in 0..MAX_LEFT_OUT {
            let next = self.calendar.first_from(wall)?;
            let instant = self.instant_of(next)?;
            if instant > after {
                return Some(instant);
            }
            wall = next.checked_add(SignedDuration::from_secs(1)).ok()?;
        }
        None
    }

    fn instant_of(&self, wall: DateTime) -> Option<Instant> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        let left_out = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        let instant = ambiguous.compatible().ok()?;
        if !left_out {
            return Some(instant);
        }
        // As if the clock had not been put forward it would be later than that moment, or the moment itself.
        let later = instant.checked_add(SignedDuration::from_secs(1)).ok()?;
        Some(self.zone.preceding(later).next().map_or(instant, |change| change.timestamp()))
    }

    /// The offset that is in force counts, until the next change of it.
    fn by_passing_time(&self, after: Instant) -> Option<Instant> {
        let mut from = after.checked_add(SignedDuration::from_millis(1)).ok()?;
        loop {
            let offset = self.zone.to_offset(from);
            let next =
                self.calendar.first_from(offset.to_datetime(from)).and_then(|next| offset.to_timestamp(next).ok());
            let change = self.zone.following(from).next().map(|change| change.timestamp());
            match (next, change) {
                (Some(next), Some(change)) if next < change => return Some(next),
                (Some(next), None) => return Some(next),
                (_, Some(change)) if next.is_some() => from = change,
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
