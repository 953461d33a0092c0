//! How findings are shown: with source excerpts for people, as JSON, SARIF or workflow commands for programs.

mod github;
mod sarif;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Place, Severity};

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
            Format::Sarif => pretty(&sarif::log(self.findings)),
            Format::Github => github::commands(self.findings),
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
    for place in &finding.through {
        let note = format!("the value came through {place}");
        group = group.element(Level::NOTE.message(note));
    }
    if let Some(repeated) = &finding.repeated {
        group = group.element(Level::NOTE.message(repeated.text()));
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

/// The place in the repository that a finding is annotated at: where to edit, or, if that is in a module from elsewhere,
/// the call that led there.
fn annotated(finding: &Diagnostic) -> Option<Place> {
    let own = |file: &str| file.starts_with(".longboat/");
    let place = finding.place.as_ref()?;
    if own(&place.file) {
        return Some(place.clone());
    }
    let call = finding.chain.iter().rev().find(|link| own(&link.file));
    Some(call.map_or_else(|| place.clone(), |link| Place::point(link.file.clone(), link.line, link.column)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{ChainLink, Code};

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
            .through([Place::point(".longboat/vars/default.yaml", 4, 8)])
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
}
