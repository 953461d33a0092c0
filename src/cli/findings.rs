//! How findings are shown: with source excerpts for people, as JSON, SARIF or workflow commands for programs.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::diagnostic::{Code, Diagnostic, Severity};

/// The forms in which findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: each finding with the lines it is about.
    Human,
    /// For programs: `{findings, summary}`.
    Json,
    /// For code review: SARIF 2.1.0.
    Sarif,
    /// For GitHub Actions: workflow commands, which become annotations.
    Github,
}

/// What was checked and how it came out.
pub struct Report<'a> {
    /// The findings, in the order of their places.
    pub findings: &'a [Diagnostic],
    /// The line that sums up.
    pub summary: &'a str,
    /// How many files were looked at.
    pub files: usize,
    /// How many pipelines are valid.
    pub pipelines: usize,
}

impl Report<'_> {
    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// The report in `format`; `read` yields the text of a file, for excerpts.
    pub fn render(&self, format: Format, color: bool, read: &dyn Fn(&str) -> Option<String>) -> String {
        match format {
            Format::Human => self.human(color, read),
            Format::Json => pretty(&self.json()),
            Format::Sarif => pretty(&self.sarif()),
            Format::Github => self.github(),
        }
    }

    fn human(&self, color: bool, read: &dyn Fn(&str) -> Option<String>) -> String {
        let mut out = String::new();
        for finding in self.findings {
            out.push_str(&excerpt(finding, color, read));
            out.push_str("\n\n");
        }
        out.push_str(self.summary);
        out.push('\n');
        out
    }

    fn json(&self) -> Value {
        json!({
            "findings": self.findings,
            "summary": {
                "text": self.summary,
                "files": self.files,
                "pipelines": self.pipelines,
                "errors": self.count(Severity::Error),
                "warnings": self.count(Severity::Warning),
            },
        })
    }

    fn sarif(&self) -> Value {
        let results: Vec<Value> = self.findings.iter().map(sarif_result).collect();
        let mut codes: Vec<Code> = self.findings.iter().map(|finding| finding.code).collect();
        codes.sort();
        codes.dedup();
        let rules: Vec<Value> =
            codes.iter().map(|code| json!({"id": code.as_str(), "shortDescription": {"text": code.title()}})).collect();
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {"name": "longboat", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": results,
            }],
        })
    }

    fn github(&self) -> String {
        let mut out = String::new();
        for finding in self.findings {
            let level = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "notice",
            };
            let mut properties = vec![format!("title={}", command_property(finding.code.as_str()))];
            if let Some(place) = &finding.place {
                properties.insert(0, format!("file={}", command_property(&place.file)));
                properties.insert(1, format!("line={},col={}", place.line, place.column));
            }
            let _ = writeln!(out, "::{level} {}::{}", properties.join(","), command_data(&with_hint(finding)));
        }
        out
    }
}

/// One finding with the lines it is about, like a compiler shows it.
pub fn excerpt(finding: &Diagnostic, color: bool, read: &dyn Fn(&str) -> Option<String>) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.code.as_str());
    let source = finding.place.as_ref().and_then(|place| read(&place.file));
    let mut group = Group::with_title(title);
    if let Some(place) = &finding.place {
        group = match &source {
            Some(text) => {
                let start = byte_offset(text, place.line, place.column);
                let end = byte_offset(text, place.end_line, place.end_column).max(start);
                group.element(
                    Snippet::source(text.as_str())
                        .path(place.file.as_str())
                        .annotation(AnnotationKind::Primary.span(start..end)),
                )
            }
            None => group.element(
                Origin::path(place.file.as_str()).line(place.line as usize).char_column(place.column as usize),
            ),
        };
    }
    for link in &finding.chain {
        let note = format!("in the call of `{}` at {}:{}:{}", link.module, link.file, link.line, link.column);
        group = group.element(Level::NOTE.message(note));
    }
    if let Some(hint) = &finding.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// Where a line and column (both from 1, columns in characters) stand in a text; its end if they lie behind it.
fn byte_offset(text: &str, line: u32, column: u32) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match text[start..].find('\n') {
            Some(length) => start += length + 1,
            None => return text.len(),
        }
    }
    let rest = &text[start..];
    let line_length = rest.find('\n').unwrap_or(rest.len());
    let within = rest[..line_length].char_indices().nth(column.saturating_sub(1) as usize);
    start + within.map_or(line_length, |(offset, _)| offset)
}

fn sarif_result(finding: &Diagnostic) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut result = json!({
        "ruleId": finding.code.as_str(),
        "level": level,
        "message": {"text": with_hint(finding)},
    });
    if let Some(place) = &finding.place {
        result["locations"] = json!([{
            "physicalLocation": {
                "artifactLocation": {"uri": place.file},
                "region": {
                    "startLine": place.line,
                    "startColumn": place.column,
                    "endLine": place.end_line,
                    "endColumn": place.end_column,
                },
            },
        }]);
    }
    result
}

fn with_hint(finding: &Diagnostic) -> String {
    match &finding.hint {
        Some(hint) => format!("{} ({hint})", finding.message),
        None => finding.message.clone(),
    }
}

fn pretty(value: &Value) -> String {
    // A `Value` has only text keys, so it can always be written.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Escapes as GitHub's workflow commands want their data.
fn command_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes as GitHub's workflow commands want their properties.
fn command_property(text: &str) -> String {
    command_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{ChainLink, Place};

    fn finding() -> Diagnostic {
        let place = Place { file: ".longboat/a.yaml".to_owned(), line: 2, column: 7, end_line: 2, end_column: 13 };
        Diagnostic::error(Code::UnknownStageType, "unknown stage type `scirpt`")
            .at(place)
            .hint("did you mean `script`?")
            .chain(vec![ChainLink {
                file: ".longboat/b.yaml".to_owned(),
                line: 9,
                column: 3,
                module: "deploy".to_owned(),
            }])
    }

    fn report(findings: &[Diagnostic]) -> Report<'_> {
        Report { findings, summary: "Failed: 1 error", files: 1, pipelines: 0 }
    }

    #[test]
    fn people_see_the_line_the_chain_and_the_hint() {
        let read = |_: &str| Some("stages:\n- ü: scirpt\n".to_owned());
        insta::assert_snapshot!(report(&[finding()]).render(Format::Human, false, &read));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_all_the_same() {
        let text = report(&[finding()]).render(Format::Human, false, &|_| None);
        assert!(text.contains(".longboat/a.yaml:2:7"), "{text}");
    }

    #[test]
    fn a_place_behind_the_end_of_the_file_does_no_harm() {
        let text = report(&[finding()]).render(Format::Human, false, &|_| Some("x".to_owned()));
        assert!(text.contains("scirpt"), "{text}");
    }

    #[test]
    fn workflow_commands_are_escaped() {
        let odd = Diagnostic::warning(Code::UnknownKey, "100%\nsure").at(Place::point("a,b:c.yaml", 1, 1));
        let text = report(&[odd]).render(Format::Github, false, &|_| None);
        assert_eq!(text, "::warning file=a%2Cb%3Ac.yaml,line=1,col=1,title=LB0301::100%25%0Asure\n");
    }

    #[test]
    fn sarif_names_rule_and_region() {
        let text = report(&[finding()]).render(Format::Sarif, false, &|_| None);
        let sarif: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "LB0304");
        assert_eq!(sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["endColumn"], 13);
    }
}
