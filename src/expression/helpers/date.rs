//! Functions about moments. There is no `now()`: an expression that is evaluated again must yield the same, so the
//! time comes from what is recorded (`execution.startTime`, a stage's `endTime`).

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::Value;

use super::{Arguments, Made, shown};

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 200;

fn moment(value: &Value) -> Result<Timestamp, String> {
    let read = match value {
        Value::Number(millis) => millis.as_i64().and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        Value::String(text) => {
            let text = text.trim();
            let midnight = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|midnight: Zoned| midnight.timestamp());
            let parsed = text.parse::<Timestamp>().ok();
            // Only a plain date: a date with a time needs to say where.
            parsed.or_else(|| (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten().and_then(midnight))
        }
        _ => None,
    };
    read.ok_or_else(|| {
        let like = "write `2026-03-01`, `2026-03-01T09:30:00Z`, or milliseconds since 1970";
        format!("{} is no moment: {like}", shown(value))
    })
}

fn first(arguments: &Arguments<'_>) -> Result<Timestamp, String> {
    moment(arguments.values.first().unwrap_or(&Value::Null))
}

fn in_utc(time: Timestamp) -> DateTime {
    time.to_zoned(TimeZone::UTC).datetime()
}

pub(super) fn date(arguments: &Arguments<'_>) -> Result<Made, String> {
    first(arguments).map(Made::Time)
}

pub(super) fn day_of_week(arguments: &Arguments<'_>) -> Result<Made, String> {
    let day = in_utc(first(arguments)?).strftime("%A").to_string();
    Ok(Made::Json(day.to_uppercase().into()))
}

pub(super) fn format_date(arguments: &Arguments<'_>) -> Result<Made, String> {
    let time = in_utc(first(arguments)?);
    let pattern = arguments.text(1)?;
    if pattern.len() > MAX_PATTERN {
        return Err(format!("the pattern is longer than {MAX_PATTERN} bytes"));
    }
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        if letter == '\'' {
            rest = quoted(&rest[1..], &mut text)?;
            continue;
        }
        let length = rest.find(|other| other != letter).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(length);
        match field(run) {
            Some(format) => text.push_str(&time.strftime(format).to_string()),
            None if letter.is_ascii_alphabetic() => {
                return Err(format!("`{run}` means nothing in a date's pattern (text goes into single quotes)"));
            }
            None => text.push_str(run),
        }
        rest = tail;
    }
    Ok(Made::Json(text.into()))
}

/// Takes a text in single quotes, of which the first is gone; `''` is a quote.
fn quoted<'a>(rest: &'a str, text: &mut String) -> Result<&'a str, String> {
    if let Some(tail) = rest.strip_prefix('\'') {
        text.push('\'');
        return Ok(tail);
    }
    let mut rest = rest;
    loop {
        let (inside, tail) = rest.split_once('\'').ok_or("a quote in the pattern has no end")?;
        text.push_str(inside);
        match tail.strip_prefix('\'') {
            Some(more) => {
                text.push('\'');
                rest = more;
            }
            None => return Ok(tail),
        }
    }
}

/// A field of Java's patterns as `strftime` has it.
fn field(run: &str) -> Option<&'static str> {
    Some(match run {
        "yyyy" | "y" | "uuuu" => "%Y",
        "yy" => "%y",
        "MMMM" => "%B",
        "MMM" => "%b",
        "MM" => "%m",
        "M" => "%-m",
        "dd" => "%d",
        "d" => "%-d",
        "EEEE" => "%A",
        "E" | "EE" | "EEE" => "%a",
        "HH" => "%H",
        "H" => "%-H",
        "hh" => "%I",
        "h" => "%-I",
        "a" => "%p",
        "mm" => "%M",
        "m" => "%-M",
        "ss" => "%S",
        "s" => "%-S",
        "SSS" => "%3f",
        "DDD" => "%j",
        "X" => "Z",
        _ => return None,
    })
}
