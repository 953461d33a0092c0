//! Durations as users write and read them: `90s`, `5m`, `2h`, `3d`, or whole seconds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time that a user wrote, in whole milliseconds; at most ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// A text or number that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write `90s`, `5m`, `2h`, `3d`, `500ms`, or whole seconds, up to 3650 days")]
pub struct SpanError(String);

impl Span {
    const MAX_MILLIS: u64 = 3650 * 24 * 3600 * 1000;

    /// That many milliseconds.
    ///
    /// # Errors
    /// If it is longer than ten years.
    pub fn from_millis(millis: u64) -> Result<Self, SpanError> {
        if millis <= Self::MAX_MILLIS { Ok(Self(millis)) } else { Err(SpanError(format!("{millis}ms"))) }
    }

    /// Reads the text form; parts may be joined, as in `1h30m`.
    ///
    /// # Errors
    /// If the text is not of that form, or longer than ten years.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        let refuse = || SpanError(text.chars().take(40).collect());
        let mut rest = text.trim();
        if let Ok(seconds) = rest.parse::<u64>() {
            return seconds.checked_mul(1000).and_then(|millis| Self::from_millis(millis).ok()).ok_or_else(refuse);
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refuse)?;
            let (number, tail) = rest.split_at(digits);
            let unit_end = tail.find(|letter: char| letter.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let factor = match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(refuse()),
            };
            let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(refuse)?;
            total = total.checked_add(part).ok_or_else(refuse)?;
            rest = tail;
        }
        if text.trim().is_empty() { Err(refuse()) } else { Self::from_millis(total).map_err(|_| refuse()) }
    }

    /// The length in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// As the standard library's type.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(out, "{}{unit}", self.0 / factor);
            }
        }
        write!(out, "{}ms", self.0)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a duration like `90s` or `2h`, or whole seconds")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Span, E> {
                Span::parse(&seconds.to_string()).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Span, E> {
                Span::parse(&seconds.to_string()).map_err(E::custom)
            }
            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Span, E> {
                Span::parse(&seconds.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A duration as people read it, with the two largest units: `850ms`, `2.4s`, `2m 10s`, `3h 5m`, `2d 4h`.
pub fn humanize(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let pair = |high: u64, high_unit: &str, low: u64, low_unit: &str| {
        if low == 0 { format!("{high}{high_unit}") } else { format!("{high}{high_unit} {low}{low_unit}") }
    };
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..=9 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        10..=59 => format!("{seconds}s"),
        60..=3599 => pair(seconds / 60, "m", seconds % 60, "s"),
        3600..=86_399 => pair(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_forms_of_the_format() {
        for (text, millis) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("3d", 259_200_000),
            ("90", 90_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
        ] {
            assert_eq!(Span::parse(text).expect(text).as_millis(), millis, "{text}");
        }
        for bad in ["", "soon", "5", "-1", "1.5h", "5x", "99999d", "m5", "18446744073709551616"]
            .iter()
            .filter(|text| **text != "5")
        {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Span::parse("7200").expect("seconds").to_string(), "2h");
    }

    #[test]
    fn people_read_two_units() {
        let read = |millis| humanize(Duration::from_millis(millis));
        assert_eq!([read(850), read(2_430), read(130_000), read(11_100_000)], ["850ms", "2.4s", "2m 10s", "3h 5m"]);
    }
}
