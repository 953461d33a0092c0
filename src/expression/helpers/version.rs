//! Functions about semantic versions.

use std::cmp::Ordering;

use semver::{Version, VersionReq};
use serde_json::{Value, json};

use super::{Arguments, Made, shown};

/// The longest version or range, in bytes.
const MAX_TEXT: usize = 256;

fn version(arguments: &Arguments<'_>, at: usize) -> Result<Version, String> {
    let text = bounded(arguments, at)?;
    let bare = text.trim();
    let bare = bare.strip_prefix(['v', 'V']).unwrap_or(bare);
    Version::parse(bare).map_err(|error| format!("{} is no semantic version: {error}", shown(&Value::from(text))))
}

fn bounded<'a>(arguments: &'a Arguments<'_>, at: usize) -> Result<&'a str, String> {
    let text = arguments.text(at)?;
    if text.len() > MAX_TEXT { Err(format!("the text is longer than {MAX_TEXT} bytes")) } else { Ok(text) }
}

pub(super) fn semver(arguments: &Arguments<'_>) -> Result<Made, String> {
    let version = version(arguments, 0)?;
    Ok(Made::Json(json!({
        "major": version.major,
        "minor": version.minor,
        "patch": version.patch,
        "prerelease": version.pre.as_str(),
        "build": version.build.as_str(),
    })))
}

pub(super) fn compare(arguments: &Arguments<'_>) -> Result<Made, String> {
    let order = version(arguments, 0)?.cmp_precedence(&version(arguments, 1)?);
    Ok(Made::Json(Value::from(match order {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    })))
}

pub(super) fn matches(arguments: &Arguments<'_>) -> Result<Made, String> {
    let version = version(arguments, 0)?;
    let text = bounded(arguments, 1)?;
    let range = VersionReq::parse(text)
        .map_err(|error| format!("{} is no range of versions: {error}", shown(&Value::from(text))))?;
    Ok(Made::Json(range.matches(&version).into()))
}
