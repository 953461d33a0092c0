//! Plain YAML scalars, by the core schema of YAML 1.2: `on` and `no` are text, `010` is ten.

use crate::gitops::NodeValue;

/// A number that would lose digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Whether a plain scalar is plainly text: it starts with a letter, and is none of the words that mean something else.
/// Not all texts are that plain.
pub(super) fn is_text(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !matches!(text, "null" | "Null" | "NULL" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// The value that a plain scalar stands for.
pub(super) fn resolve(text: &str) -> Result<NodeValue, TooLarge> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeValue::Null,
        "true" | "True" | "TRUE" => NodeValue::Bool(true),
        "false" | "False" | "FALSE" => NodeValue::Bool(false),
        ".nan" | ".NaN" | ".NAN" => NodeValue::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => NodeValue::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => NodeValue::Float(f64::NEG_INFINITY),
        _ => match number(text)? {
            Some(number) => number,
            None => NodeValue::String(text.into()),
        },
    })
}

fn number(text: &str) -> Result<Option<NodeValue>, TooLarge> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Ok(None);
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let good = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
            return if good { integer(digits, radix) } else { Ok(None) };
        }
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return integer(text, 10);
    }
    if !is_float(digits) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(NodeValue::Float(number))),
        Ok(_) => Err(TooLarge),
        Err(_) => Ok(None),
    }
}

fn integer(digits: &str, radix: u32) -> Result<Option<NodeValue>, TooLarge> {
    i64::from_str_radix(digits, radix).map(|number| Some(NodeValue::Int(number))).map_err(|_| TooLarge)
}

/// `.5`, `1.`, `1.5`, each with an optional exponent, and `1e5`.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let good_mantissa = match mantissa.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty()),
        None => exponent.is_some() && !mantissa.is_empty() && digits(mantissa),
    };
    let good_exponent = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    good_mantissa && good_exponent
}

/// A value inside of a longer text: null prints nothing. Lists and mappings have no text.
pub(super) fn text(value: &NodeValue) -> Option<std::borrow::Cow<'_, str>> {
    Some(match value {
        NodeValue::Null => "".into(),
        NodeValue::Bool(flag) => if *flag { "true" } else { "false" }.into(),
        NodeValue::Int(number) => number.to_string().into(),
        NodeValue::Float(number) => float(*number).into(),
        NodeValue::String(text) => (&**text).into(),
        NodeValue::List(_) | NodeValue::Map(_) => return None,
    })
}

/// A number that is not whole, as YAML writes it.
pub(crate) fn float(number: f64) -> String {
    if number.is_nan() {
        ".nan".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { ".inf" } else { "-.inf" }.to_owned()
    } else {
        format!("{number:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match resolve(text) {
            Ok(NodeValue::String(text)) => format!("'{text}'"),
            Ok(value) => {
                super::text(&value).filter(|text| !text.is_empty()).unwrap_or_else(|| "null".into()).into_owned()
            }
            Err(TooLarge) => "too large".to_owned(),
        }
    }

    #[test]
    fn the_core_schema_and_nothing_else() {
        for (text, value) in [
            ("", "null"),
            ("~", "null"),
            ("Null", "null"),
            ("nULL", "'nULL'"),
            ("on", "'on'"),
            ("no", "'no'"),
            ("True", "true"),
            ("010", "10"),
            ("0o14", "12"),
            ("0x1F", "31"),
            ("0x", "'0x'"),
            ("0o8", "'0o8'"),
            ("-0x1", "'-0x1'"),
            ("+7", "7"),
            ("-7", "-7"),
            ("1_000", "'1_000'"),
            ("2024-01-01", "'2024-01-01'"),
            ("1.", "1.0"),
            (".5", "0.5"),
            (".", "'.'"),
            ("-", "'-'"),
            ("+.5e-1", "0.05"),
            ("1e3", "1000.0"),
            ("1e", "'1e'"),
            ("e3", "'e3'"),
            (".e3", "'.e3'"),
            ("1.2.3", "'1.2.3'"),
            (".inf", ".inf"),
            ("-.INF", "-.inf"),
            (".nan", ".nan"),
            ("inf", "'inf'"),
            ("nan", "'nan'"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "too large"),
            ("1e999", "too large"),
            ("12:30", "'12:30'"),
        ] {
            assert_eq!(shown(text), value, "{text}");
        }
    }
}
