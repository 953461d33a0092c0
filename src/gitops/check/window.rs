//! The times of the week at which a stage may start: `window`, or Spinnaker's `restrictedExecutionWindow`.

use std::sync::LazyLock;

use super::reader::{Field, Fields, Sink, cut};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Dialect, Hours, Jitter, Span, Window, Workday};
use crate::schema::format::{JitterFile, WindowFile, keys};

/// The most stretches of a day.
const MAX_HOURS: usize = 50;
/// The longest jitter, in seconds.
const MAX_JITTER: i64 = 24 * 3600;

static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<WindowFile>);
static JITTER_KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<JitterFile>);
const UTC: &str = "UTC";
const RESTRICT: &str = "restrictExecutionDuringTimeWindow";
const RESTRICTED: &str = "restrictedExecutionWindow";

/// Takes the window of a stage, in either spelling.
pub(super) fn take(fields: &mut Fields<'_>, dialect: Dialect, sink: &mut Sink) -> Option<Window> {
    let own = fields.take("window");
    let restrict = fields.take(RESTRICT);
    let restricted = fields.take(RESTRICTED);
    if let Some(field) = own {
        if let Some(other) = &restrict {
            fields.conflict(other, "window", sink);
        }
        return read(&field, sink);
    }
    let restrict = restrict?;
    if restrict.boolean(sink) != Some(true) {
        return None;
    }
    match restricted {
        Some(field) => spinnaker(&field, dialect, sink),
        None => {
            let message = format!("`{RESTRICT}` is true, and there is no `{RESTRICTED}` that says when");
            restrict.say(sink, Diagnostic::error(Code::MissingKey, message));
            None
        }
    }
}

fn read(field: &Field<'_>, sink: &mut Sink) -> Option<Window> {
    let what = "`window`";
    let mut fields = Fields::of(field.node, &field.pointer, what, sink)?;
    let days = fields.take("days").map(|field| days(&field, sink));
    let hours = fields.take("hours").map(|list| {
        let items = list.items(sink, MAX_HOURS).unwrap_or_default();
        items.iter().map(|item| hours(item, sink)).collect::<Option<Vec<_>>>()
    });
    let timezone = fields.take("timezone").map(|field| timezone(&field, sink));
    let jitter = fields.take("jitter").map(|field| jitter(&field, sink));
    fields.finish(&KEYS, what, Dialect::Longboat, sink);
    Some(Window {
        days: days.unwrap_or_else(|| Some(Vec::new()))?,
        hours: hours.unwrap_or_else(|| Some(Vec::new()))?,
        timezone: timezone.unwrap_or_else(|| Some(UTC.to_owned()))?,
        jitter: match jitter {
            Some(jitter) => Some(jitter?),
            None => None,
        },
    })
}

fn days(field: &Field<'_>, sink: &mut Sink) -> Option<Vec<Workday>> {
    let items = field.items(sink, 7)?;
    items.iter().map(|item| item.choice::<Workday>(sink, &Workday::WORDS)).collect()
}

fn hours(item: &Field<'_>, sink: &mut Sink) -> Option<Hours> {
    let text = item.string(sink)?;
    let hours = Hours::parse(text);
    if hours.is_none() {
        let message = format!("`{}` is no stretch of a day", cut(text));
        let hint = "write it as in `09:00-17:30`; `22:00-04:00` goes on over midnight, `24:00` is the end of the day";
        item.say(sink, Diagnostic::error(Code::ValueNotAllowed, message).hint(hint));
    }
    hours
}

fn timezone(field: &Field<'_>, sink: &mut Sink) -> Option<String> {
    let name = field.string(sink)?;
    if Window::is_timezone(name) {
        return Some(name.to_owned());
    }
    let message = format!("there is no time zone `{}`", cut(name));
    let hint = "write a name of the IANA database, like `Europe/Berlin` or `UTC`";
    field.say(sink, Diagnostic::error(Code::ValueNotAllowed, message).hint(hint));
    None
}

/// `10m`, or `{min: 1m, max: 10m, skipManual: true}`.
fn jitter(field: &Field<'_>, sink: &mut Sink) -> Option<Jitter> {
    let none = Span::from_millis(0).ok()?;
    if field.node.as_map().is_none() {
        return Some(Jitter { min: none, max: field.span(sink)?, skip_manual: false });
    }
    let what = "`jitter`";
    let mut fields = Fields::of(field.node, &field.pointer, what, sink)?;
    let min = fields.take("min").map(|field| field.span(sink));
    let max = fields.require("max", what, sink).and_then(|field| field.span(sink));
    let skip_manual = fields.take("skipManual").and_then(|field| field.boolean(sink)).unwrap_or(false);
    fields.finish(&JITTER_KEYS, what, Dialect::Longboat, sink);
    Some(Jitter { min: min.unwrap_or(Some(none))?, max: max?, skip_manual })
}

/// `{days: [2, 3], whitelist: [{startHour, startMin, endHour, endMin}], jitter: {enabled, minDelay, maxDelay,
/// skipManual}}`; Sunday is 1, delays are in seconds. Times are in UTC, as everywhere, unless `timezone` says otherwise.
fn spinnaker(field: &Field<'_>, dialect: Dialect, sink: &mut Sink) -> Option<Window> {
    let what = "`restrictedExecutionWindow`";
    let mut fields = Fields::of(field.node, &field.pointer, what, sink)?;
    let days = fields.take("days").map(|list| {
        let items = list.items(sink, 7).unwrap_or_default();
        let day = |item: &Field<'_>, sink: &mut Sink| {
            let number = item.number(sink, 1, 7)?;
            Workday::FROM_SUNDAY.get(usize::try_from(number - 1).ok()?).copied()
        };
        items.iter().map(|item| day(item, sink)).collect::<Option<Vec<_>>>()
    });
    let whitelist = fields.take("whitelist").map(|list| {
        let items = list.items(sink, MAX_HOURS).unwrap_or_default();
        items.iter().map(|item| stretch(item, dialect, sink)).collect::<Option<Vec<_>>>()
    });
    let jitter = fields.take("jitter").and_then(|field| spinnaker_jitter(&field, dialect, sink));
    let timezone = fields.take("timezone").map(|field| timezone(&field, sink));
    let known = ["days", "whitelist", "jitter", "timezone"].map(str::to_owned);
    fields.finish(&known, what, dialect, sink);
    Some(Window {
        days: days.unwrap_or_else(|| Some(Vec::new()))?,
        hours: whitelist.unwrap_or_else(|| Some(Vec::new()))?,
        timezone: timezone.unwrap_or_else(|| Some(UTC.to_owned()))?,
        jitter,
    })
}

fn stretch(item: &Field<'_>, dialect: Dialect, sink: &mut Sink) -> Option<Hours> {
    let what = "an entry of `whitelist`";
    let mut fields = Fields::of(item.node, &item.pointer, what, sink)?;
    let mut number = |key: &str, most: i64| fields.take(key).map_or(Some(0), |field| field.number(sink, 0, most));
    let (start_hour, start_min) = (number("startHour", 23), number("startMin", 59));
    let (end_hour, end_min) = (number("endHour", 24), number("endMin", 59));
    let known = ["startHour", "startMin", "endHour", "endMin"].map(str::to_owned);
    fields.finish(&known, what, dialect, sink);
    let minute = |hour: i64, minute: i64| u16::try_from(hour * 60 + minute).ok();
    let hours = Hours { from: minute(start_hour?, start_min?)?, to: minute(end_hour?, end_min?)?.min(Hours::DAY.to) };
    if hours.from == hours.to {
        item.say(sink, Diagnostic::error(Code::ValueNotAllowed, "the stretch ends when it begins"));
        return None;
    }
    Some(hours)
}

fn spinnaker_jitter(field: &Field<'_>, dialect: Dialect, sink: &mut Sink) -> Option<Jitter> {
    let what = "`jitter`";
    let mut fields = Fields::of(field.node, &field.pointer, what, sink)?;
    let enabled = fields.take("enabled").and_then(|field| field.boolean(sink)).unwrap_or(false);
    let skip_manual = fields.take("skipManual").and_then(|field| field.boolean(sink)).unwrap_or(false);
    let mut seconds = |key: &str| {
        let seconds = fields.take(key).map_or(Some(0), |field| field.number(sink, 0, MAX_JITTER))?;
        Span::from_millis(u64::try_from(seconds).ok()? * 1000).ok()
    };
    let (min, max) = (seconds("minDelay"), seconds("maxDelay"));
    let known = ["enabled", "skipManual", "minDelay", "maxDelay"].map(str::to_owned);
    fields.finish(&known, what, dialect, sink);
    Some(Jitter { min: min?, max: max?, skip_manual }).filter(|_| enabled)
}
