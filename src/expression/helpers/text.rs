//! Functions that turn values into others: JSON, numbers, Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Arguments, MAX_READ, Made, shown};

type Answer = Result<Made, String>;

fn json(value: impl Into<Value>) -> Answer {
    Ok(Made::Json(value.into()))
}

pub(super) fn to_json(arguments: &Arguments<'_>) -> Answer {
    json(arguments.values.first().map(Value::to_string).unwrap_or_default())
}

pub(super) fn read_json(arguments: &Arguments<'_>) -> Answer {
    let text = arguments.text(0)?;
    if text.len() > MAX_READ {
        return Err(format!("the text has {} bytes; {MAX_READ} is the most that is read", text.len()));
    }
    let read = serde_json::from_str::<Value>(text);
    read.map(Made::Json).map_err(|error| format!("{} is not JSON: {error}", shown(&Value::from(text))))
}

pub(super) fn alphanumerical(arguments: &Arguments<'_>) -> Answer {
    json(arguments.text(0)?.chars().filter(char::is_ascii_alphanumeric).collect::<String>())
}

pub(super) fn to_int(arguments: &Arguments<'_>) -> Answer {
    let value = arguments.values.first().unwrap_or(&Value::Null);
    let whole = match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(cut_off)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match whole {
        Some(whole) => json(whole),
        None => Err(format!("{} is no whole number of 64 bits", shown(value))),
    }
}

/// A double without its fraction, if 64 bits hold it.
fn cut_off(number: f64) -> Option<i64> {
    // Beyond 2^63 the conversion would saturate.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let whole = number.trunc();
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
    ((-LIMIT..LIMIT).contains(&whole)).then_some(whole as i64)
}

pub(super) fn to_float(arguments: &Arguments<'_>) -> Answer {
    let value = arguments.values.first().unwrap_or(&Value::Null);
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()),
        _ => None,
    };
    match number {
        Some(number) => json(number),
        None => Err(format!("{} is no number", shown(value))),
    }
}

pub(super) fn to_boolean(arguments: &Arguments<'_>) -> Answer {
    let value = arguments.values.first().unwrap_or(&Value::Null);
    match value {
        Value::Bool(flag) => json(*flag),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => json(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => json(false),
        _ => Err(format!("{} is neither `true` nor `false`", shown(value))),
    }
}

pub(super) fn to_base64(arguments: &Arguments<'_>) -> Answer {
    json(STANDARD.encode(arguments.text(0)?))
}

pub(super) fn from_base64(arguments: &Arguments<'_>) -> Answer {
    let text = arguments.text(0)?;
    let bytes = STANDARD.decode(text.trim()).map_err(|error| {
        let reason = error.to_string().trim_end_matches('.').to_owned();
        format!("{} is not Base64: {reason}", shown(&Value::from(text)))
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => json(text),
        Err(_) => Err("what the Base64 text holds is not UTF-8 text".to_owned()),
    }
}
