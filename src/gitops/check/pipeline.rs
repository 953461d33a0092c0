//! One pipeline: its own keys, then its stages, then how they hang together.

use std::sync::LazyLock;

use uuid::Uuid;

use super::expressions::Variables;
use super::graph::Graph;
use super::reader::{Field, Fields, Sink};
use super::stage::{self, Draft};
use super::{artifact, files, parameter, spinnaker, trigger};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{
    ApplicationName, Concurrency, Dialect, ExpectedArtifact, LockName, OnNew, Parameter, Pipeline, PipelineName, Span,
    Trigger, pipeline_id,
};
use crate::schema::Catalog;
use crate::schema::format::{ConcurrencyFile, PipelineFile, keys};

/// The most stages of a pipeline.
const MAX_STAGES: usize = 1000;
const MAX_DESCRIPTION: usize = 10_000;
pub(super) const MAX_ENVIRONMENT: usize = 100;

static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<PipelineFile>);
static CONCURRENCY_KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<ConcurrencyFile>);
const WHAT: &str = "a pipeline";

/// What a pipeline says of itself, its stages left out.
struct Head {
    name: Option<PipelineName>,
    id: Option<Uuid>,
    dialect: Dialect,
    description: Option<String>,
    environment: Option<String>,
    /// Nothing, if they can't be told.
    parameters: Option<Vec<Parameter>>,
    expected_artifacts: Vec<ExpectedArtifact>,
    triggers: Vec<Trigger>,
    concurrency: Option<Concurrency>,
    timeout: Option<Span>,
    start_expiry: Option<Span>,
}

/// Reads a pipeline of the application file `file`. Something comes back even if findings were added; it is only good if none is an error.
pub(super) fn read<'a>(
    item: &Field<'a>,
    file: &str,
    application: Option<&ApplicationName>,
    environment: Option<&str>,
    catalog: &'a Catalog,
    sink: &mut Sink,
) -> Option<Pipeline> {
    let mut fields = Fields::of(item.node, &item.pointer, WHAT, sink)?;
    let head = head(&mut fields, application, sink);
    let drafts = drafts(&mut fields, head.dialect, catalog, sink);
    if head.dialect == Dialect::Spinnaker {
        spinnaker::take_pipeline_rest(&mut fields, sink);
    }
    fields.finish(&KEYS, WHAT, head.dialect, sink);
    let graph = Graph::new(&drafts, sink);
    let variables = Variables {
        parameters: head.parameters.as_deref(),
        expected: &head.expected_artifacts,
        dialect: head.dialect,
        graph: &graph,
        drafts: &drafts,
    };
    variables.check(sink);
    files::check(&drafts, &graph, sink);
    let (application, name) = (application?, head.name?);
    Some(Pipeline {
        application: application.clone(),
        id: head.id.unwrap_or_else(|| pipeline_id(application, &name)),
        name,
        dialect: head.dialect,
        description: head.description,
        environment: head.environment.or_else(|| environment.map(str::to_owned)),
        parameters: head.parameters?,
        expected_artifacts: head.expected_artifacts,
        triggers: head.triggers,
        concurrency: head.concurrency,
        timeout: head.timeout,
        start_expiry: head.start_expiry,
        stages: drafts
            .into_iter()
            .enumerate()
            .map(|(index, draft)| draft.finish(graph.needs(index)))
            .collect::<Option<_>>()?,
        source: item.node.origin.place_in(file),
    })
}

fn head(fields: &mut Fields<'_>, application: Option<&ApplicationName>, sink: &mut Sink) -> Head {
    let told = spinnaker::dialect(fields);
    let given = fields.take("dialect").and_then(|field| field.choice(sink, &["longboat", "spinnaker"]));
    let dialect = given.unwrap_or(told);
    let name = fields.require("name", WHAT, sink).and_then(|field| field.identifier(sink));
    let id = fields.take("id").and_then(|field| uuid(&field, sink));
    let description = fields.take("description").and_then(|field| field.label(sink, MAX_DESCRIPTION));
    let environment = fields.take("environment").and_then(|field| field.label(sink, MAX_ENVIRONMENT));
    let parameters = match fields.either("parameters", "parameterConfig", sink) {
        Some(list) => parameter::read_all(&list, dialect, sink),
        None => Some(Vec::new()),
    };
    let expected_artifacts = artifact::take_all(fields, dialect, sink);
    let around = trigger::Around { expected: &expected_artifacts, parameters: parameters.as_deref(), dialect };
    let triggers = fields.take("triggers").map(|list| trigger::read_all(&list, around, sink));
    let triggers = triggers.unwrap_or_default();
    let concurrency = concurrency(fields, dialect, sink);
    let timeout = fields.take("timeout").and_then(|field| stage::timeout(field.span(sink), &field, sink));
    let start_expiry = fields.take("startExpiry").and_then(|field| stage::timeout(field.span(sink), &field, sink));
    if dialect == Dialect::Spinnaker {
        same_application(fields, application, sink);
    }
    Head {
        name,
        id,
        dialect,
        description,
        environment,
        parameters,
        expected_artifacts,
        triggers,
        concurrency,
        timeout,
        start_expiry,
    }
}

fn uuid(field: &Field<'_>, sink: &mut Sink) -> Option<Uuid> {
    let text = field.string(sink)?;
    let id = Uuid::parse_str(text).ok();
    if id.is_none() {
        let message = format!("`{}` is not a UUID", super::reader::cut(text));
        let hint = "leave `id` out: one is made from the names of the application and the pipeline";
        field.say(sink, Diagnostic::error(Code::BadIdentifier, message).hint(hint));
    }
    id
}

fn concurrency(fields: &mut Fields<'_>, dialect: Dialect, sink: &mut Sink) -> Option<Concurrency> {
    let flags = if dialect == Dialect::Spinnaker { spinnaker::concurrency(fields, sink) } else { None };
    let Some(field) = fields.take("concurrency") else { return flags };
    if flags.is_some() {
        fields.conflict(&field, "limitConcurrent", sink);
        return None;
    }
    let what = "`concurrency`";
    let mut inner = Fields::of(field.node, &field.pointer, what, sink)?;
    let max = inner.require("max", what, sink).and_then(|field| field.number(sink, 1, 1_000_000));
    let lock = inner.take("lock").map(|field| field.identifier::<LockName>(sink));
    let on_new =
        inner.take("onNew").map(|field| field.choice::<OnNew>(sink, &["queue", "cancelRunning", "keepNewest"]));
    inner.finish(&CONCURRENCY_KEYS, what, Dialect::Longboat, sink);
    let lock = match lock {
        Some(lock) => Some(lock?),
        None => None,
    };
    let on_new = match on_new {
        Some(on_new) => on_new?,
        None => OnNew::default(),
    };
    Some(Concurrency { max: u32::try_from(max?).ok()?, on_new, lock })
}

/// A pipeline exported from Spinnaker names its application; it must be the file's.
fn same_application(fields: &mut Fields<'_>, application: Option<&ApplicationName>, sink: &mut Sink) {
    let Some(field) = fields.take("application") else { return };
    if let (Some(text), Some(application)) = (field.string(sink), application)
        && text != application.as_str()
    {
        let message = format!("the pipeline belongs to `{}`, the file to `{application}`", super::reader::cut(text));
        let hint = "put the pipelines of an application into files of their own";
        field.say(sink, Diagnostic::error(Code::ConflictingKeys, message).hint(hint));
    }
}

fn drafts<'a>(fields: &mut Fields<'a>, dialect: Dialect, catalog: &'a Catalog, sink: &mut Sink) -> Vec<Draft<'a>> {
    let Some(list) = fields.require("stages", WHAT, sink) else { return Vec::new() };
    let items = list.items(sink, MAX_STAGES);
    if items.as_ref().is_some_and(Vec::is_empty) {
        list.say(sink, Diagnostic::error(Code::NoStages, "the pipeline has no stages"));
    }
    let read = |item| stage::draft(item, dialect, catalog, sink);
    let mut drafts: Vec<_> = items.unwrap_or_default().into_iter().filter_map(read).collect();
    stage::name_all(&mut drafts);
    drafts
}
