//! A commit's validation in one line, for its status (FORMAT section 8).

use super::Checked;
use crate::diagnostic::Diagnostic;
use crate::model::{StatusState, clip};

/// The state and the text of the status `longboat/validate`: `3 pipelines valid`,
/// `Failed: 2 errors, deploy.yaml:14 unknown stage type scirpt`, `No pipeline files`.
pub fn summarize(checked: &Checked) -> (StatusState, String) {
    let errors: Vec<_> = checked.findings.iter().filter(|finding| finding.is_error()).collect();
    let pipelines = checked.applications.iter().map(|application| application.pipelines.len()).sum();
    summary(errors.len(), errors.first().copied(), checked.files, pipelines)
}

/// The state and the text from the number of errors and the first of them, and those of files and pipelines.
pub(crate) fn summary(
    errors: usize,
    first: Option<&Diagnostic>,
    files: usize,
    pipelines: usize,
) -> (StatusState, String) {
    if let Some(first) = first {
        let text = format!("Failed: {}, {}", counted(errors, "error"), headline(first));
        return (StatusState::Failure, clip(&text));
    }
    if files == 0 {
        return (StatusState::Success, "No pipeline files".to_owned());
    }
    (StatusState::Success, format!("{} valid", counted(pipelines, "pipeline")))
}

/// A finding in a few words: the place below `.longboat`, and the message without its quotes.
fn headline(finding: &Diagnostic) -> String {
    let message = finding.message.replace('`', "");
    match &finding.place {
        Some(place) => {
            let file = place.file.strip_prefix(".longboat/").unwrap_or(&place.file);
            format!("{file}:{} {message}", place.line)
        }
        None => message,
    }
}

fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Code, Place};

    #[test]
    fn the_state_comes_first_then_the_count_or_the_cause() {
        let mut checked = Checked::default();
        assert_eq!(summarize(&checked), (StatusState::Success, "No pipeline files".to_owned()));
        checked.files = 1;
        assert_eq!(summarize(&checked).1, "0 pipelines valid");
        let warning = Diagnostic::warning(Code::NotInThisVersion, "later");
        let error = Diagnostic::error(Code::UnknownStageType, "unknown stage type `scirpt`").at(Place::point(
            ".longboat/deploy.yaml",
            14,
            13,
        ));
        checked.findings = vec![warning, error.clone()];
        let failed = summarize(&checked);
        assert_eq!(
            failed,
            (StatusState::Failure, "Failed: 1 error, deploy.yaml:14 unknown stage type scirpt".to_owned())
        );
        checked.findings.push(error);
        assert_eq!(summarize(&checked).1, "Failed: 2 errors, deploy.yaml:14 unknown stage type scirpt");
    }
}
