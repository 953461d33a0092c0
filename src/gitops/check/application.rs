//! An application file as a whole.

use std::sync::{Arc, LazyLock};

use super::Permit;
use super::pipeline;
use super::reader::{Field, Fields, Sink};
use super::secrets::SecretMention;
use crate::config::ApplicationRefusal;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::gitops::Node;
use crate::model::{ApplicationName, Dialect, Pipeline};
use crate::schema::Catalog;
use crate::schema::format::{ApplicationFile, keys};

/// The most pipelines of one file.
const MAX_PIPELINES: usize = 500;

static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<ApplicationFile>);

/// What a file means.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The application, if it can be told.
    pub(super) application: Option<ApplicationName>,
    /// Where it says so.
    pub(super) named_at: Option<Place>,
    /// The pipelines with which nothing is wrong.
    pub(super) pipelines: Vec<Pipeline>,
    /// What is wrong, in no order.
    pub(super) findings: Vec<Diagnostic>,
    /// The secrets that are named.
    pub(super) secrets: Vec<SecretMention>,
}

/// Reads the document of a rendered file.
pub(super) fn read(path: &str, root: Option<&Arc<Node>>, catalog: &Catalog, permit: Option<Permit<'_>>) -> Outcome {
    let Some(root) = root else { return Outcome::default() };
    let what = "an application file";
    let mut sink = Sink::new();
    let Some(mut fields) = Fields::of(root, "", what, &mut sink) else {
        return Outcome { findings: sink.into_findings(), ..Outcome::default() };
    };
    let name_field = fields.require("application", what, &mut sink);
    let application: Option<ApplicationName> = name_field.as_ref().and_then(|field| field.identifier(&mut sink));
    if let (Some(field), Some(name)) = (&name_field, &application) {
        check_permit(field, name, permit, &mut sink);
    }
    let named_at = name_field.as_ref().map(|field| field.node.origin.place());
    // Templates have read them already; here only their shape counts.
    if let Some(vars) = fields.take("vars").filter(|vars| vars.node.as_map().is_none()) {
        vars.wrong_type(&mut sink, "a mapping");
    }
    let environment = fields.take("environment").and_then(|field| field.label(&mut sink, pipeline::MAX_ENVIRONMENT));
    if fields.has("stages") && !fields.has("pipelines") {
        let finding = Diagnostic::error(Code::MissingKey, format!("{what} needs `pipelines`"));
        let hint = "this looks like a single pipeline: put it into a list under `pipelines`";
        sink.add(fields.origin, "", finding.hint(hint));
        return Outcome { application, named_at, findings: sink.into_findings(), ..Outcome::default() };
    }
    let list = fields.require("pipelines", what, &mut sink);
    let items = list.and_then(|list| list.items(&mut sink, MAX_PIPELINES)).unwrap_or_default();
    fields.finish(&KEYS, what, Dialect::Longboat, &mut sink);
    let mut pipelines = Vec::new();
    for item in items {
        let errors = sink.errors();
        let read = pipeline::read(&item, path, application.as_ref(), environment.as_deref(), catalog, &mut sink);
        pipelines.extend(read.filter(|_| sink.errors() == errors));
    }
    let of_application = |mention| SecretMention { application: application.clone(), ..mention };
    let secrets = sink.take_mentions().into_iter().map(of_application).collect();
    Outcome { application, named_at, pipelines, findings: sink.into_findings(), secrets }
}

/// The operator's word on who may define what. An application that is for other branches is one that must not be
/// published from here, whatever its file says.
fn check_permit(field: &Field<'_>, name: &ApplicationName, permit: Option<Permit<'_>>, sink: &mut Sink) {
    let Some(permit) = permit else { return };
    let Err(refusal) = permit.rules.check(name, permit.branch) else { return };
    let listed = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let (message, hint) = match refusal {
        ApplicationRefusal::Name(names) if names.is_empty() => (
            format!("this repository may not define the application `{name}`"),
            "it may define none: the operator lists its `applications` in the configuration".to_owned(),
        ),
        ApplicationRefusal::Name(names) => (
            format!("this repository may not define the application `{name}`"),
            format!("it may define {}: the operator lists them in the configuration", listed(&names)),
        ),
        ApplicationRefusal::Branch(branches) => (
            format!(
                "this repository may not define the application `{name}` on the branch `{}`",
                permit.branch.unwrap_or_default()
            ),
            match branches.as_slice() {
                [] => "it may on no branch: the operator says so in the configuration".to_owned(),
                branches => format!("it may on {}: the operator says so in the configuration", listed(branches)),
            },
        ),
    };
    field.say(sink, Diagnostic::error(Code::ForeignApplication, message).hint(hint));
}
