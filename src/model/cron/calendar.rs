//! What a schedule says about dates and times of the clock on the wall; zones come in above.

use jiff::civil::{Date, DateTime, Time, date, time};

use super::CronError;
use super::days::{DayOfMonth, DayOfWeek};
use super::fields::{Choice, Kind, Set};

/// The last year that is looked at, which is Quartz's.
const LAST_YEAR: i16 = 2099;

/// Which form a schedule is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Five fields: Sunday is 0 or 7, and of two days either fits.
    Unix,
    /// Six or seven fields: Sunday is 1, and only one of the days may be given.
    Quartz,
}

/// A schedule as sets of numbers.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    seconds: Set,
    minutes: Set,
    hours: Set,
    days: DayOfMonth,
    months: Set,
    weekdays: DayOfWeek,
    /// From when to when, and each how many; all, if it isn't there.
    years: Option<Vec<i16>>,
}

/// What stands for a whole schedule.
fn alias(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

impl Calendar {
    pub(super) fn parse(schedule: &str, owner: &str) -> Result<Self, CronError> {
        let schedule = schedule.trim();
        if schedule.starts_with('@') {
            let text = alias(schedule).ok_or_else(|| {
                let known = "there are `@yearly`, `@monthly`, `@weekly`, `@daily` and `@hourly`";
                CronError::new(format!("`{schedule}` stands for no schedule")).hint(known)
            })?;
            return Self::parse(text, owner);
        }
        let fields: Vec<&str> = schedule.split_whitespace().collect();
        let (form, seconds, rest, years) = match fields.as_slice() {
            rest @ [_, _, _, _, _] => (Form::Unix, "0", rest, None),
            [seconds, rest @ ..] if rest.len() == 5 => (Form::Quartz, *seconds, rest, None),
            [seconds, rest @ .., years] if rest.len() == 5 => (Form::Quartz, *seconds, rest, Some(*years)),
            fields => {
                let counted = if fields.len() == 1 { "1 field".to_owned() } else { format!("{} fields", fields.len()) };
                let hint = "write minute, hour, day of month, month and day of week, as in `0 9 * * MON-FRI`";
                return Err(CronError::new(format!(
                    "a schedule has 5 fields (or 6 or 7, from seconds on), not {counted}"
                ))
                .hint(hint));
            }
        };
        let [minutes, hours, days, months, weekdays] = rest else {
            return Err(CronError::new("a schedule has 5 fields"));
        };
        let calendar = Self {
            seconds: Set::parse(Kind::Second, seconds, owner)?,
            minutes: Set::parse(Kind::Minute, minutes, owner)?,
            hours: Set::parse(Kind::Hour, hours, owner)?,
            days: DayOfMonth::parse(days)?,
            months: Set::parse(Kind::Month, months, owner)?,
            weekdays: DayOfWeek::parse(weekdays, form)?,
            years: years.map(years_of).transpose()?.flatten(),
        };
        if form == Form::Quartz && calendar.days.choice() == Choice::Some && calendar.weekdays.choice() == Choice::Some
        {
            let message = "the day of the month and the day of the week are both given";
            return Err(CronError::new(message).hint("with seconds, one of them has to be `?`"));
        }
        if calendar.days.choice() == Choice::None && calendar.weekdays.choice() == Choice::None {
            return Err(CronError::new("`?` stands for both days").hint("write `*` for one of them"));
        }
        Ok(calendar)
    }

    /// Whether it is for every hour.
    pub(super) fn every_hour(&self) -> bool {
        self.hours.is_all()
    }

    /// The first date and time not before `from` that fits.
    pub(super) fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let whole = from.time().subsec_nanosecond() == 0;
        let from = if whole { from } else { from.checked_add(jiff::SignedDuration::from_secs(1)).ok()? };
        let mut day = from.date();
        let start = time(from.hour(), from.minute(), from.second(), 0);
        if self.fits(day)
            && let Some(at) = self.first_time(start)
        {
            return Some(day.to_datetime(at));
        }
        loop {
            day = self.next_day(day)?;
            if self.fits(day) {
                return self.first_time(Time::midnight()).map(|at| day.to_datetime(at));
            }
        }
    }

    /// The next day that may fit: whole months and years are left out if nothing in them does.
    fn next_day(&self, day: Date) -> Option<Date> {
        let mut next = day.tomorrow().ok()?;
        while !(self.has_year(next.year()) && self.months.has(next.month().unsigned_abs())) {
            if next.year() > LAST_YEAR {
                return None;
            }
            next = match next.month() {
                12 => date(next.year().checked_add(1)?, 1, 1),
                month => date(next.year(), month + 1, 1),
            };
        }
        (next.year() <= LAST_YEAR).then_some(next)
    }

    fn has_year(&self, year: i16) -> bool {
        self.years.as_ref().is_none_or(|years| years.contains(&year))
    }

    fn fits(&self, day: Date) -> bool {
        if !self.has_year(day.year()) || !self.months.has(day.month().unsigned_abs()) {
            return false;
        }
        let (of_month, of_week) = (self.days.has(day), self.weekdays.has(day));
        // As crontab(5) has it: two days that are both given are alternatives.
        match (self.days.choice(), self.weekdays.choice()) {
            (Choice::Some, Choice::Some) => of_month || of_week,
            _ => of_month && of_week,
        }
    }

    /// The first time of a day not before `from`.
    fn first_time(&self, from: Time) -> Option<Time> {
        let [hour, minute, second] = [from.hour(), from.minute(), from.second()].map(i8::unsigned_abs);
        let at = |hour: u8, minute: u8, second: u8| Some(time(as_i8(hour), as_i8(minute), as_i8(second), 0));
        let (first_minute, first_second) = (self.minutes.first_from(0)?, self.seconds.first_from(0)?);
        if self.hours.has(hour) {
            if self.minutes.has(minute)
                && let Some(second) = self.seconds.first_from(second)
            {
                return at(hour, minute, second);
            }
            if let Some(minute) = self.minutes.first_from(minute + 1) {
                return at(hour, minute, first_second);
            }
        }
        at(self.hours.first_from(hour + 1)?, first_minute, first_second)
    }
}

/// Times of a day are below 60.
fn as_i8(number: u8) -> i8 {
    i8::try_from(number).unwrap_or(0)
}

/// Quartz's seventh field; none if it is for all.
fn years_of(text: &str) -> Result<Option<Vec<i16>>, CronError> {
    if text == "*" || text == "?" {
        return Ok(None);
    }
    let mut years = Vec::new();
    for part in text.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (first, last) = match range.split_once('-') {
            Some(ends) => ends,
            None if range == "*" => ("1970", "2099"),
            None if part.contains('/') => (range, "2099"),
            None => (range, range),
        };
        let year = |text: &str| {
            let year = text.parse::<i16>().ok().filter(|year| (1970..=LAST_YEAR).contains(year));
            year.ok_or_else(|| CronError::new(format!("`{text}` is no year from 1970 to {LAST_YEAR}")))
        };
        let (first, last) = (year(first)?, year(last)?);
        let step = step.parse::<usize>().ok().filter(|step| *step > 0);
        let step = step.ok_or_else(|| CronError::new(format!("the step of `{part}` is no number above 0")))?;
        if first > last {
            return Err(CronError::new(format!("`{part}` ends before it begins")));
        }
        years.extend((first..=last).step_by(step));
    }
    Ok(Some(years))
}
