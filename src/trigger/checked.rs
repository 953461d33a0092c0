//! What checking will yield, until `gitops` has it.

use crate::diagnostic::Diagnostic;
use crate::gitops::Request;
use crate::model::{ApplicationName, Pipeline, StatusState};
use crate::schema::Catalog;
#[derive(Debug, Clone, Default)]
pub(super) struct Checked {
    pub(super) applications: Vec<CheckedApplication>,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) modules: Vec<String>,
    pub(super) files: usize,
    pub(super) blocked_files: Vec<String>,
}
#[derive(Debug, Clone)]
pub(super) struct CheckedApplication {
    pub(super) name: ApplicationName,
    pub(super) file: String,
    pub(super) files: Vec<String>,
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) valid: bool,
}
pub(super) fn check(_: &Request<'_>, _: &Catalog, _: Option<&[ApplicationName]>) -> Checked {
    Checked::default()
}
pub(super) fn summarize(_: &Checked) -> (StatusState, String) {
    (StatusState::Success, "No pipeline files".to_owned())
}
