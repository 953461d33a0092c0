//! Windows: the times of the week at which a stage may start (Spinnaker's `restrictExecutionDuringTimeWindow`).

use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{ExecutionId, Span, StagePath};
use crate::clock::Timestamp;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Workday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Workday {
    /// All, Sunday first, as Spinnaker numbers them from 1.
    pub const FROM_SUNDAY: [Self; 7] = [Self::Sun, Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat];

    /// The words by which files name them.
    pub const WORDS: [&'static str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    const fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// A stretch of a day, in minutes from midnight by the clock on the wall. One that ends before it begins goes on over
/// midnight, and belongs to the day on which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// The first minute.
    pub from: u16,
    /// The minute after the last; 1440 is the end of the day.
    pub to: u16,
}

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// A window comes again after a week; one more day for one that began the day before.
const DAYS_AHEAD: i64 = 8;

impl Hours {
    /// The whole day.
    pub const DAY: Self = Self { from: 0, to: DAY };

    /// Reads `09:00-17:30`; `24:00` is the end of the day.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let hours = Self { from: minutes(from.trim())?, to: minutes(to.trim())? };
        (hours.from < DAY && hours.from != hours.to).then_some(hours)
    }

    /// The moments of its begin and end on a day. A time that the clock leaves out means as much after the leap; of one
    /// that it shows twice, the first begins and the second ends.
    fn on(self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let over_midnight = if self.to <= self.from { DAY } else { 0 };
        let moment = |minute: u16| {
            let day = day.checked_add(i64::from(minute / DAY).days()).ok()?;
            let minute = minute % DAY;
            Some(zone.to_ambiguous_zoned(day.at(
                i8::try_from(minute / 60).ok()?,
                i8::try_from(minute % 60).ok()?,
                0,
                0,
            )))
        };
        let begin = moment(self.from)?.compatible().ok()?;
        let end = moment(self.to + over_midnight)?.later().ok()?;
        let millis = |zoned: &jiff::Zoned| Timestamp::from_millis(zoned.timestamp().as_millisecond());
        Some((millis(&begin), millis(&end)))
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (hour, minute) = (hour, minute);
    if !digits(hour) || !digits(minute) || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY).then_some(all)
}

/// A pause of each stage's own after its window opened, so that not all start at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Jitter {
    /// The shortest.
    pub min: Span,
    /// The longest.
    pub max: Span,
    /// Not for executions that a person started.
    #[serde(default)]
    pub skip_manual: bool,
}

impl Jitter {
    /// The pause of a stage: always the same one.
    fn of(&self, execution: ExecutionId, stage: &StagePath) -> Duration {
        let (min, max) = (self.min.as_millis(), self.max.as_millis().max(self.min.as_millis()));
        // FNV-1a: it only has to spread.
        let bytes = execution.0.as_bytes().iter().chain(stage.as_str().as_bytes());
        let hash = bytes
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Duration::from_millis(min + hash % (max - min + 1))
    }
}

/// The times of the week at which a stage may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// The days; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Workday>,
    /// The times of such a day; none: the whole day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
    /// A name of the IANA database.
    pub timezone: String,
    /// What is added to the moment at which it opens, for who waited for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Jitter>,
}

impl Window {
    /// Whether there is a time zone of that name.
    pub fn is_timezone(name: &str) -> bool {
        TimeZone::get(name).is_ok()
    }

    /// When a stage may start that would start now; `None`: at once.
    ///
    /// # Errors
    /// If this machine doesn't know the time zone, or the window never opens; in words.
    pub fn opens(
        &self,
        now: Timestamp,
        (execution, stage): (ExecutionId, &StagePath),
        by_hand: bool,
    ) -> Result<Option<Timestamp>, String> {
        let zone = TimeZone::get(&self.timezone)
            .map_err(|_| format!("its window is in the time zone `{}`, which isn't known here", self.timezone))?;
        let today = jiff::Timestamp::from_millisecond(now.as_millis())
            .map_err(|error| format!("the time can't be told: {error}"))?
            .to_zoned(zone.clone())
            .date();
        let hours = if self.hours.is_empty() { &[Hours::DAY][..] } else { &self.hours };
        let mut next: Option<(Timestamp, Timestamp)> = None;
        for ahead in -1..=DAYS_AHEAD {
            let Ok(day) = today.checked_add(ahead.days()) else { continue };
            if !self.days.is_empty() && !self.days.contains(&Workday::of(day.weekday())) {
                continue;
            }
            for (begin, end) in hours.iter().filter_map(|hours| hours.on(day, &zone)) {
                if begin <= now && now < end {
                    return Ok(None);
                }
                if begin > now && begin < end && next.is_none_or(|(earliest, _)| begin < earliest) {
                    next = Some((begin, end));
                }
            }
        }
        let Some((begin, end)) = next else { return Err("its window never opens".to_owned()) };
        let jitter = self.jitter.as_ref().filter(|jitter| !(by_hand && jitter.skip_manual));
        let pause = jitter.map(|jitter| jitter.of(execution, stage)).unwrap_or_default();
        // Not out of the window again.
        let longest = end.since(begin).saturating_sub(Duration::from_secs(1));
        Ok(Some(begin.plus(pause.min(longest))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).expect("a moment")
    }

    fn window(days: &[Workday], hours: &[&str], timezone: &str) -> Window {
        let hours = hours.iter().map(|text| Hours::parse(text).expect("hours")).collect();
        Window { days: days.to_vec(), hours, timezone: timezone.to_owned(), jitter: None }
    }

    fn opens(window: &Window, now: &str) -> String {
        let who = (ExecutionId(uuid::Uuid::nil()), &StagePath::parse("deploy").expect("a path"));
        match window.opens(at(now), who, false).expect("opens") {
            None => "now".to_owned(),
            Some(then) => then.to_rfc3339(),
        }
    }

    #[test]
    fn within_its_hours_a_window_is_open_and_else_it_opens_at_the_next() {
        let work = window(&[Workday::Mon, Workday::Tue], &["09:00-12:00", "13:00-17:00"], "Europe/Berlin");
        // A Monday in winter: Berlin is one hour ahead.
        assert_eq!(opens(&work, "2026-11-23T07:59:59Z"), "2026-11-23T08:00:00.000Z");
        assert_eq!(opens(&work, "2026-11-23T08:00:00Z"), "now");
        assert_eq!(opens(&work, "2026-11-23T10:59:59Z"), "now");
        assert_eq!(opens(&work, "2026-11-23T11:00:00Z"), "2026-11-23T12:00:00.000Z");
        assert_eq!(opens(&work, "2026-11-24T16:00:00Z"), "2026-11-30T08:00:00.000Z", "over the rest of the week");
        assert_eq!(opens(&window(&[Workday::Sun], &[], "UTC"), "2026-11-23T00:00:00Z"), "2026-11-29T00:00:00.000Z");
        assert_eq!(opens(&window(&[], &[], "UTC"), "2026-11-23T00:00:00Z"), "now");
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
        let night = window(&[Workday::Fri], &["22:00-04:00"], "UTC");
        assert_eq!(opens(&night, "2026-11-27T21:00:00Z"), "2026-11-27T22:00:00.000Z");
        assert_eq!(opens(&night, "2026-11-28T03:59:59Z"), "now");
        assert_eq!(opens(&night, "2026-11-27T03:00:00Z"), "2026-11-27T22:00:00.000Z", "Thursday's night is none");
    }

    #[test]
    fn when_the_clocks_change_a_window_is_as_long_as_the_clock_on_the_wall_shows() {
        let early = window(&[], &["01:30-02:30"], "Europe/Berlin");
        // In spring 02:00 to 03:00 is left out: 02:30 means 03:30.
        assert_eq!(opens(&early, "2026-03-29T00:29:59Z"), "2026-03-29T00:30:00.000Z");
        assert_eq!(opens(&early, "2026-03-29T01:29:59Z"), "now");
        // In autumn 02:00 to 03:00 comes twice: the window goes on to the second 02:30.
        assert_eq!(opens(&early, "2026-10-24T23:30:00Z"), "now");
        assert_eq!(opens(&early, "2026-10-25T01:29:59Z"), "now");
        assert_eq!(opens(&early, "2026-10-25T01:30:00Z"), "2026-10-26T00:30:00.000Z");
        let lost = window(&[], &["02:00-03:00"], "Europe/Berlin");
        assert_eq!(opens(&lost, "2026-03-29T00:30:00Z"), "2026-03-30T00:00:00.000Z", "a night without it");
    }

    #[test]
    fn jitter_is_the_same_each_time_differs_between_stages_and_stays_within_the_window() {
        let span = |text: &str| Span::parse(text).expect("a span");
        let mut window = window(&[], &["09:00-10:00"], "UTC");
        window.jitter = Some(Jitter { min: span("1m"), max: span("30m"), skip_manual: true });
        let when = |window: &Window, stage: &str, by_hand: bool| {
            let path = StagePath::parse(stage).expect("a path");
            let id = ExecutionId(uuid::Uuid::nil());
            window.opens(at("2026-11-23T08:00:00Z"), (id, &path), by_hand).expect("opens").expect("later")
        };
        assert_eq!(when(&window, "deploy", true), at("2026-11-23T09:00:00Z"), "not for who started it by hand");
        assert_eq!(when(&window, "deploy", false), when(&window, "deploy", false));
        assert_ne!(when(&window, "deploy", false), when(&window, "test", false));
        assert!(when(&window, "deploy", false) >= at("2026-11-23T09:01:00Z"));
        window.jitter = Some(Jitter { min: span("2h"), max: span("3h"), skip_manual: false });
        assert_eq!(when(&window, "deploy", false), at("2026-11-23T09:59:59Z"));
    }

    #[test]
    fn hours_are_read_and_nonsense_is_refused() {
        assert_eq!(Hours::parse("09:05-17:30"), Some(Hours { from: 545, to: 1050 }));
        assert_eq!(Hours::parse("0:00-24:00"), Some(Hours::DAY));
        for text in ["", "9-17", "09:00", "25:00-26:00", "09:60-10:00", "24:00-06:00", "09:00-09:00", "+9:00-10:00"] {
            assert_eq!(Hours::parse(text), None, "{text}");
        }
        assert!(
            Window::is_timezone("Europe/Berlin") && Window::is_timezone("UTC") && !Window::is_timezone("Mars/Base")
        );
    }
}
