//! The fields of days: what they have beside sets of numbers depends on the month (`L`, `15W`, `FRI#2`).

use jiff::civil::Date;

use super::CronError;
use super::calendar::Form;
use super::fields::{Choice, Kind, Set, WEEKDAYS};

/// The days of a month.
#[derive(Debug, Clone)]
pub(super) struct DayOfMonth {
    bits: u64,
    choice: Choice,
    /// So many days before the last one.
    from_last: Vec<i8>,
    /// The working day nearest to a day; 0: the last working day.
    working: Vec<i8>,
}

fn choice_of(text: &str) -> Choice {
    match text {
        "?" => Choice::None,
        text if text.starts_with('*') => Choice::All,
        _ => Choice::Some,
    }
}

impl DayOfMonth {
    pub(super) fn parse(text: &str) -> Result<Self, CronError> {
        let mut days = Self { bits: 0, choice: choice_of(text), from_last: Vec::new(), working: Vec::new() };
        for part in text.split(',') {
            days.add(if text == "?" { "*" } else { part })?;
        }
        Ok(days)
    }

    fn add(&mut self, part: &str) -> Result<(), CronError> {
        let kind = Kind::DayOfMonth;
        let upper = part.to_ascii_uppercase();
        if upper == "L" {
            self.from_last.push(0);
        } else if upper == "LW" || upper == "WL" {
            self.working.push(0);
        } else if let Some(before) = upper.strip_prefix("L-") {
            let before = before.parse::<i8>().ok().filter(|before| (0..=30).contains(before));
            self.from_last.push(before.ok_or_else(|| kind.refuse(part))?);
        } else if let Some(day) = upper.strip_suffix('W') {
            let day = day.parse::<i8>().ok().filter(|day| (1..=31).contains(day));
            self.working.push(day.ok_or_else(|| kind.refuse(part))?);
        } else {
            let number = |text: &str| match text.parse::<u8>() {
                Ok(day @ 1..=31) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(day),
                _ => Err(kind.refuse(text)),
            };
            self.bits |= Set::part(kind, part, &number)?;
        }
        Ok(())
    }

    pub(super) const fn choice(&self) -> Choice {
        self.choice
    }

    pub(super) fn has(&self, date: Date) -> bool {
        let (day, last) = (date.day(), date.days_in_month());
        self.bits >> day & 1 == 1
            || self.from_last.iter().any(|before| day == last - before)
            || self.working.iter().any(|wanted| working_day(date, *wanted) == Some(day))
    }
}

/// The working day of the date's month that is nearest to a day, as Quartz's `W` has it: it doesn't leave the month. None
/// if the month doesn't have that day.
fn working_day(date: Date, wanted: i8) -> Option<i8> {
    let last = date.days_in_month();
    let wanted = if wanted == 0 { last } else { wanted };
    let exact = Date::new(date.year(), date.month(), wanted).ok()?;
    Some(match exact.weekday().to_sunday_zero_offset() {
        6 if wanted == 1 => wanted + 2,
        6 => wanted - 1,
        0 if wanted == last => wanted - 2,
        0 => wanted + 1,
        _ => wanted,
    })
}

/// The days of a week.
#[derive(Debug, Clone)]
pub(super) struct DayOfWeek {
    bits: u64,
    choice: Choice,
    /// The last such day of the month.
    last: Vec<i8>,
    /// The so-manieth such day of the month.
    nth: Vec<(i8, i8)>,
}

impl DayOfWeek {
    pub(super) fn parse(text: &str, form: Form) -> Result<Self, CronError> {
        let mut days = Self { bits: 0, choice: choice_of(text), last: Vec::new(), nth: Vec::new() };
        for part in text.split(',') {
            days.add(if text == "?" { "*" } else { part }, form)?;
        }
        Ok(days)
    }

    fn add(&mut self, part: &str, form: Form) -> Result<(), CronError> {
        let kind = Kind::DayOfWeek;
        let day = |text: &str| weekday(text, form).ok_or_else(|| kind.refuse(text));
        if let Some((text, nth)) = part.split_once('#') {
            let nth = nth.parse::<i8>().ok().filter(|nth| (1..=5).contains(nth));
            let nth = nth.ok_or_else(|| {
                CronError::new(format!("`{part}` is no day of the week in a month"))
                    .hint("write `FRI#2` for the second Friday; a month has 5 at most")
            })?;
            self.nth.push((signed(day(text)?), nth));
            return Ok(());
        }
        match part.strip_suffix(['L', 'l']) {
            // Quartz: the last day of the week.
            Some("") if form == Form::Quartz => self.bits |= 1 << 6,
            Some(text) => self.last.push(signed(day(text)?)),
            None => self.bits |= self.range(part, form, &day)?,
        }
        Ok(())
    }

    /// As a set; in Unix's form, a range may end on Sunday as day 7.
    fn range(&self, part: &str, form: Form, day: &dyn Fn(&str) -> Result<u8, CronError>) -> Result<u64, CronError> {
        if form == Form::Unix
            && let Some((from, rest)) = part.split_once("-7")
            && (rest.is_empty() || rest.starts_with('/'))
        {
            let sunday = WEEKDAYS[0];
            let from = if from == "0" || from == "7" {
                return Set::part(Kind::DayOfWeek, &format!("*{rest}"), day);
            } else {
                from
            };
            return Set::part(Kind::DayOfWeek, &format!("{from}-{sunday}{rest}"), day);
        }
        Set::part(Kind::DayOfWeek, part, day)
    }

    pub(super) const fn choice(&self) -> Choice {
        self.choice
    }

    pub(super) fn has(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        let (day, last) = (date.day(), date.days_in_month());
        self.bits >> weekday & 1 == 1
            || self.last.iter().any(|wanted| *wanted == weekday && day + 7 > last)
            || self.nth.iter().any(|(wanted, nth)| *wanted == weekday && (day - 1) / 7 + 1 == *nth)
    }
}

/// A day from 0, Sunday, to 6.
fn weekday(text: &str, form: Form) -> Option<u8> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u8>().ok().filter(|_| plain);
    match (form, number) {
        (_, None) => Kind::DayOfWeek.named(text),
        (Form::Unix, Some(number @ 0..=7)) => Some(number % 7),
        (Form::Quartz, Some(number @ 1..=7)) => Some(number - 1),
        (_, Some(_)) => None,
    }
}

/// Days are below 7.
fn signed(day: u8) -> i8 {
    i8::try_from(day).unwrap_or(0)
}
