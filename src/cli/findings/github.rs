//! Findings as workflow commands of GitHub Actions, which become annotations of the lines they are about.
//!
//! GitHub shows ten errors, ten warnings and ten notices of a step; the log has all.

use std::fmt::Write as _;

use super::{annotated, with_hint};
use crate::diagnostic::{Diagnostic, Severity};

/// A command a finding, each on its own line.
pub(super) fn commands(findings: &[Diagnostic]) -> String {
    let mut out = String::new();
    for finding in findings {
        let level = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let mut properties = Vec::new();
        if let Some(place) = annotated(finding) {
            properties.push(format!("file={}", property(&place.file)));
            properties.push(format!("line={},col={},endLine={}", place.line, place.column, place.end_line));
            // Columns of annotations over several lines are refused.
            if place.end_line == place.line && place.end_column > place.column {
                properties.push(format!("endColumn={}", place.end_column));
            }
        }
        let title = format!("{}: {}", finding.code, finding.code.title());
        properties.push(format!("title={}", property(&title)));
        let _ = writeln!(out, "::{level} {}::{}", properties.join(","), data(&message(finding)));
    }
    out
}

/// What the annotation says: the finding, its hint, and the calls that led to it.
fn message(finding: &Diagnostic) -> String {
    let mut text = with_hint(finding);
    if let Some(place) = finding.place.as_ref().filter(|place| annotated(finding).is_some_and(|shown| shown != **place))
    {
        let _ = write!(text, "\nat {}:{}:{}", place.file, place.line, place.column);
    }
    for link in &finding.chain {
        let _ = write!(text, "\nin the call of `{}` at {}:{}:{}", link.module, link.file, link.line, link.column);
    }
    for place in &finding.through {
        let _ = write!(text, "\nthe value came through {}:{}:{}", place.file, place.line, place.column);
    }
    if let Some(repeated) = &finding.repeated {
        let _ = write!(text, "\n{}", repeated.text());
    }
    text
}

/// Escapes as workflow commands want their data.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes as workflow commands want their properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{ChainLink, Code, Place};

    fn call(file: &str) -> ChainLink {
        ChainLink { file: file.to_owned(), line: 9, column: 3, module: "std/test".to_owned() }
    }

    #[test]
    fn everything_that_would_end_a_command_or_property_is_escaped() {
        let place = Place { file: ".longboat/a,b:c%.yaml".to_owned(), line: 1, column: 2, end_line: 1, end_column: 5 };
        let odd = Diagnostic::warning(Code::UnknownKey, "100%\r\nsure: a, b::error::").at(place);
        insta::assert_snapshot!(commands(&[odd]), @"::warning file=.longboat/a%2Cb%3Ac%25.yaml,line=1,col=2,endLine=1,endColumn=5,title=LB0301%3A A key is not known here::100%25%0D%0Asure: a, b::error::");
    }

    #[test]
    fn what_is_wrong_inside_of_a_module_from_elsewhere_is_annotated_at_its_call() {
        let inside = Diagnostic::error(Code::WrongType, "no")
            .at(Place::point("std/test", 4, 1))
            .chain(vec![call(".longboat/a.yaml"), call("platform/b.yaml")]);
        insta::assert_snapshot!(commands(&[inside]), @"::error file=.longboat/a.yaml,line=9,col=3,endLine=9,title=LB0302%3A A value has the wrong type::no%0Aat std/test:4:1%0Ain the call of `std/test` at .longboat/a.yaml:9:3%0Ain the call of `std/test` at platform/b.yaml:9:3");
    }

    #[test]
    fn columns_are_left_out_of_what_spans_lines_and_a_finding_without_place_has_none() {
        let place = Place { file: ".longboat/a.yaml".to_owned(), line: 1, column: 2, end_line: 3, end_column: 5 };
        let long = Diagnostic::error(Code::WrongType, "long").at(place);
        let text = commands(&[long, Diagnostic::info(Code::UnreadablePath, "nowhere")]);
        assert!(text.contains("line=1,col=2,endLine=3,title="), "{text}");
        assert!(text.contains("::notice title=LB0008%3A"), "{text}");
    }
}
