//! The end of another pipeline.

use std::sync::LazyLock;

use super::super::reader::{Fields, Sink, cut, hinted};
use super::{Around, MAX_PATTERNS, start};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::model::{ApplicationName, Dialect, PipelineName, PipelineTrigger, Status};
use crate::schema::format::PipelineTriggerFile;

const WHAT: &str = "a `pipeline` trigger";
/// Spinnaker's words for how an execution ends.
const SPINNAKER_STATUSES: [&str; 3] = ["successful", "failed", "canceled"];

static KEYS: LazyLock<Vec<String>> = LazyLock::new(super::with_type::<PipelineTriggerFile>);

pub(super) fn read(fields: &mut Fields<'_>, around: Around<'_>, sink: &mut Sink) -> Option<PipelineTrigger> {
    let errors = sink.errors();
    let application = fields.take("application").and_then(|field| field.identifier::<ApplicationName>(sink));
    let pipeline = fields.require("pipeline", WHAT, sink).and_then(|field| field.identifier::<PipelineName>(sink));
    let statuses = if around.dialect == Dialect::Spinnaker && fields.has("status") {
        spinnaker_statuses(fields, sink)
    } else {
        statuses(fields, sink)
    };
    let start = start::read(fields, around, start::Parameters::Whole, WHAT, sink);
    fields.finish(&KEYS, WHAT, around.dialect, sink);
    let pipeline = pipeline?.to_string();
    (sink.errors() == errors).then_some(PipelineTrigger { application, pipeline, statuses, start })
}

fn statuses(fields: &mut Fields<'_>, sink: &mut Sink) -> Vec<Status> {
    let Some(field) = fields.take("statuses") else { return Vec::new() };
    let texts = field.strings(sink, MAX_PATTERNS).unwrap_or_default();
    let mut statuses = Vec::new();
    for (item, text) in texts {
        match Status::parse(text).filter(|status| status.is_complete()) {
            Some(status) => statuses.push(status),
            None => {
                let ends = Status::ALL.into_iter().filter(|status| status.is_complete()).map(Status::as_str);
                let message = format!("`{}` is not a status in which an execution ends", cut(text));
                let hint = nearest(text, ends).map(|near| format!("did you mean `{near}`?"));
                item.say(sink, hinted(Diagnostic::error(Code::ValueNotAllowed, message), hint));
            }
        }
    }
    statuses
}

/// Spinnaker's `status`: what it calls failed has several names here.
fn spinnaker_statuses(fields: &mut Fields<'_>, sink: &mut Sink) -> Vec<Status> {
    let Some(field) = fields.take("status") else { return Vec::new() };
    let texts = field.strings(sink, MAX_PATTERNS).unwrap_or_default();
    let mut statuses = Vec::new();
    for (item, text) in texts {
        match text {
            "successful" => statuses.push(Status::Succeeded),
            "failed" => statuses.extend([Status::Terminal, Status::Stopped]),
            "canceled" => statuses.push(Status::Canceled),
            other => {
                let message = format!("`{}` is none of `successful`, `failed` and `canceled`", cut(other));
                let hint = nearest(other, SPINNAKER_STATUSES).map(|near| format!("did you mean `{near}`?"));
                item.say(sink, hinted(Diagnostic::error(Code::ValueNotAllowed, message), hint));
            }
        }
    }
    statuses
}
