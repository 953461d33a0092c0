//! Findings in SARIF 2.1.0 (OASIS), which code hosts and editors show beside the lines they are about.

use std::collections::HashMap;

use rust_embed::RustEmbed;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{annotated, with_hint};
use crate::diagnostic::{Code, Diagnostic, Place, Severity};

/// The pages about the codes: what rules say of themselves.
#[derive(RustEmbed)]
#[folder = "docs/errors/"]
#[include = "LB*.md"]
struct Pages;

/// Where the schema of the format is.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The name of our fingerprints; a new way of making them gets a new name.
const FINGERPRINT: &str = "longboatFinding/v1";

/// The log of one run. Addresses are relative to the root of the repository.
pub(super) fn log(findings: &[Diagnostic]) -> Value {
    let mut codes: Vec<Code> = findings.iter().map(|finding| finding.code).collect();
    codes.sort();
    codes.dedup();
    let rules: Vec<Value> = codes.iter().map(|code| rule(*code)).collect();
    let mut seen = HashMap::new();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let index = codes.iter().position(|code| *code == finding.code).unwrap_or_default();
            result(finding, index, &mut seen)
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "longboat", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The root of the repository"}}},
            "results": results,
        }],
    })
}

fn rule(code: Code) -> Value {
    let page = Pages::get(&format!("{code}.md")).map(|page| String::from_utf8_lossy(&page.data).into_owned());
    let page = page.unwrap_or_default();
    // Below the title: what it is, and what to do.
    let text = page.split_once('\n').map_or("", |(_, rest)| rest).trim();
    let about = text.split("\n## ").next().unwrap_or_default().trim().replace('\n', " ");
    json!({
        "id": code.as_str(),
        "name": format!("{code:?}"),
        "shortDescription": {"text": code.title()},
        "fullDescription": {"text": if about.is_empty() { code.title() } else { &about }},
        "help": {"text": text.replace("## ", ""), "markdown": text},
    })
}

fn result(finding: &Diagnostic, rule: usize, seen: &mut HashMap<String, u32>) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let shown = annotated(finding);
    let mut result = json!({
        "ruleId": finding.code.as_str(),
        "ruleIndex": rule,
        "level": level,
        "message": {"text": with_hint(finding)},
    });
    if let Some(place) = &shown {
        result["locations"] = json!([{"physicalLocation": physical(place)}]);
    }
    let mut related = Vec::new();
    if let Some(place) = finding.place.as_ref().filter(|place| shown.as_ref() != Some(*place)) {
        related.push(json!({
            "message": {"text": format!("The value is written at {}:{}:{}", place.file, place.line, place.column)},
        }));
    }
    for link in &finding.chain {
        let mut location = json!({"message": {"text": format!("In the call of `{}`", link.module)}});
        if link.file.starts_with(".longboat/") {
            location["physicalLocation"] = physical(&Place::point(link.file.clone(), link.line, link.column));
        } else {
            let text = format!("In the call of `{}` at {}:{}:{}", link.module, link.file, link.line, link.column);
            location["message"]["text"] = json!(text);
        }
        related.push(location);
    }
    for place in &finding.through {
        let mut location = json!({"message": {"text": "The value came through here"}});
        // What isn't in this repository has no address here.
        if place.file.contains('@') || place.file.starts_with("std/") || place.is_operators() {
            let text = format!("The value came through {place}");
            location["message"]["text"] = json!(text);
        } else {
            location["physicalLocation"] = physical(place);
        }
        related.push(location);
    }
    if let Some(repeated) = &finding.repeated {
        related.push(json!({"message": {"text": repeated.text()}}));
    }
    if !related.is_empty() {
        for (id, location) in related.iter_mut().enumerate() {
            location["id"] = json!(id);
        }
        result["relatedLocations"] = json!(related);
    }
    result["partialFingerprints"] = json!({ FINGERPRINT: fingerprint(finding, shown.as_ref(), seen) });
    result
}

fn physical(place: &Place) -> Value {
    let mut region = json!({"startLine": place.line, "startColumn": place.column});
    if (place.end_line, place.end_column) > (place.line, place.column) {
        region["endLine"] = json!(place.end_line);
        region["endColumn"] = json!(place.end_column);
    }
    json!({"artifactLocation": {"uri": uri(&place.file), "uriBaseId": "%SRCROOT%"}, "region": region})
}

/// A relative reference (RFC 3986) for a path: everything but unreserved characters and `/` in percent form.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// By what a code host knows a finding again when lines above it come and go: its code, file, pointer and message, and
/// which one of those that share all of these it is.
fn fingerprint(finding: &Diagnostic, shown: Option<&Place>, seen: &mut HashMap<String, u32>) -> String {
    let mut hash = Sha256::new();
    let file = shown.map_or("", |place| place.file.as_str());
    for part in [finding.code.as_str(), file, finding.pointer.as_deref().unwrap_or_default(), &finding.message] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hash = hex::encode(&hash.finalize()[..16]);
    let count = seen.entry(hash.clone()).or_insert(0);
    *count += 1;
    format!("{hash}:{count}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::ChainLink;

    fn at(line: u32) -> Diagnostic {
        let place = Place { file: ".longboat/ä b.yaml".to_owned(), line, column: 7, end_line: line, end_column: 13 };
        Diagnostic::error(Code::UnknownStageType, "unknown stage type `scirpt`").at(place)
    }

    #[test]
    fn a_result_names_rule_region_and_calls() {
        let link = |file: &str| ChainLink { file: file.to_owned(), line: 9, column: 3, module: "deploy".to_owned() };
        let finding =
            at(2).hint("did you mean `script`?").chain(vec![link(".longboat/b.yaml"), link("platform/x.yaml")]);
        let log = log(&[finding]);
        insta::assert_json_snapshot!(log["runs"][0]["results"][0]);
        let rule = &log["runs"][0]["tool"]["driver"]["rules"][0];
        assert_eq!((rule["id"].as_str(), rule["name"].as_str()), (Some("LB0304"), Some("UnknownStageType")));
        assert!(rule["help"]["markdown"].as_str().is_some_and(|help| help.contains("## What to do")), "{rule:#}");
    }

    #[test]
    fn every_code_brings_its_page() {
        for code in Code::ALL {
            let rule = rule(*code);
            assert!(rule["help"]["text"].as_str().is_some_and(|help| help.contains("What to do")), "{rule:#}");
        }
    }

    #[test]
    fn a_fingerprint_stays_when_lines_move_and_tells_two_of_a_kind_apart() {
        let prints = |findings: &[Diagnostic]| -> Vec<Value> {
            let log = log(findings);
            log["runs"][0]["results"]
                .as_array()
                .expect("results")
                .iter()
                .map(|one| one["partialFingerprints"].clone())
                .collect()
        };
        let two = prints(&[at(2), at(8)]);
        assert_eq!(prints(&[at(30), at(40)]), two);
        assert_ne!(two[0], two[1]);
        assert_ne!(prints(&[at(2).pointer("/elsewhere")])[0], two[0]);
    }
}
