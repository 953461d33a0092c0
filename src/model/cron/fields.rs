//! One field of a schedule: lists, ranges, steps and names, as a set of numbers.

use super::CronError;

/// Which field it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    /// From 0, Sunday, to 6.
    DayOfWeek,
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
pub(super) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Kind {
    pub(super) const fn bounds(self) -> (u8, u8) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 6),
        }
    }

    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Second => "a second",
            Self::Minute => "a minute",
            Self::Hour => "an hour",
            Self::DayOfMonth => "a day of the month",
            Self::Month => "a month",
            Self::DayOfWeek => "a day of the week",
        }
    }

    /// The number of a name.
    pub(super) fn named(self, text: &str) -> Option<u8> {
        let place = self.names().iter().position(|name| name.eq_ignore_ascii_case(text))?;
        u8::try_from(place).ok().map(|place| place + self.bounds().0)
    }

    /// What is wrong with a text that should be one of the field's values.
    pub(super) fn refuse(self, text: &str) -> CronError {
        let (first, last) = self.bounds();
        let error = CronError::new(format!("`{text}` is not {}", self.what()));
        match self {
            Self::DayOfWeek => error.hint("days are written `SUN`, `MON`, `TUE`, `WED`, `THU`, `FRI` and `SAT`"),
            Self::Month => error.hint("months are `JAN` to `DEC`, or 1 to 12"),
            _ => error.hint(format!("it goes from {first} to {last}")),
        }
    }

    fn number(self, text: &str) -> Result<u8, CronError> {
        let (first, last) = self.bounds();
        let number = text.parse::<u8>().ok().filter(|number| (first..=last).contains(number));
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        number.filter(|_| plain).or_else(|| self.named(text)).ok_or_else(|| self.refuse(text))
    }
}

/// Whether a field chooses: in crontab(5)'s words, whether it is restricted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// `*`, also with a step.
    All,
    /// `?`: it leaves the choice to another field.
    None,
    /// Something.
    Some,
}

/// A set of numbers below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Set {
    bits: u64,
    all: bool,
}

impl Set {
    pub(super) fn parse(kind: Kind, text: &str, owner: &str) -> Result<Self, CronError> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= bits_of(kind, part, owner, &|text| kind.number(text))?;
        }
        Ok(Self { bits, all: text == "*" })
    }

    /// As [`Set::parse`] with a reading of single values of its own.
    pub(super) fn part(
        kind: Kind,
        part: &str,
        number: &dyn Fn(&str) -> Result<u8, CronError>,
    ) -> Result<u64, CronError> {
        bits_of(kind, part, "", number)
    }

    pub(super) const fn has(self, number: u8) -> bool {
        number < 64 && self.bits >> number & 1 == 1
    }

    /// Whether it was written as `*`.
    pub(super) const fn is_all(self) -> bool {
        self.all
    }

    /// The smallest number of the set that is not below `number`.
    pub(super) fn first_from(self, number: u8) -> Option<u8> {
        let rest = self.bits.checked_shr(u32::from(number))?;
        (rest != 0).then(|| number + u8::try_from(rest.trailing_zeros()).unwrap_or(0))
    }
}

/// `*`, `5`, `1-5`, `*/15`, `5/15`, `9-17/2`, `H`. A range that ends before it begins goes around: `FRI-MON`.
fn bits_of(
    kind: Kind,
    part: &str,
    owner: &str,
    number: &dyn Fn(&str) -> Result<u8, CronError>,
) -> Result<u64, CronError> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    let (first, last) = kind.bounds();
    let count = last - first + 1;
    let step_of = |text: &str| {
        let number = text.parse::<u8>().ok().filter(|number| *number > 0 && *number <= count);
        number.ok_or_else(|| {
            CronError::new(format!("`{text}` is no step")).hint(format!("it goes from 1 to {count} here"))
        })
    };
    let hashed = matches!(kind, Kind::Second | Kind::Minute | Kind::Hour) && range == "H";
    let (from, to) = if range == "*" {
        (first, last)
    } else if hashed {
        let among = step.map_or(Ok(count), step_of)?;
        let chosen = first + u8::try_from(hash(kind, owner) % u64::from(among)).unwrap_or(0);
        (chosen, if step.is_some() { last } else { chosen })
    } else if let Some((from, to)) = range.split_once('-') {
        (number(from)?, number(to)?)
    } else {
        let from = number(range)?;
        (from, if step.is_some() { last } else { from })
    };
    let step = step.map_or(Ok(1), step_of)?;
    let length = if from <= to { to - from } else { to + count - from };
    let values = (0..=length).step_by(usize::from(step)).map(|by| first + (from - first + by) % count);
    Ok(values.fold(0, |bits, value| bits | 1 << value))
}

/// FNV-1a: the same on every machine and in every version.
fn hash(kind: Kind, owner: &str) -> u64 {
    let bytes = kind.what().bytes().chain(owner.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
