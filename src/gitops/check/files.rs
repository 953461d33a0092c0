//! Files that stages pass on: `files.from` names stages that have saved some by then (FORMAT section 4).

use serde_json::Value;

use super::graph::Graph;
use super::reader::{Sink, cut, hinted};
use super::stage::Draft;
use crate::diagnostic::{Code, Diagnostic, nearest};

/// What another pipeline handed down; whether it does is known when it runs.
const FROM_PARENT: &str = "parent/";

/// Checks what each stage says it takes.
pub(super) fn check(drafts: &[Draft<'_>], graph: &Graph, sink: &mut Sink) {
    for (at, draft) in drafts.iter().enumerate() {
        let from = draft.own.get("files").and_then(|files| files.get("from")).and_then(Value::as_array);
        for (index, name) in from.into_iter().flatten().enumerate() {
            let Some(name) = name.as_str().filter(|name| !name.starts_with(FROM_PARENT)) else { continue };
            if sink.is_full() {
                return;
            }
            let Some((message, hint)) = fault(drafts, graph, at, name) else { continue };
            let pointer = format!("/files/from/{index}");
            let origin = draft.field.node.at(&pointer).map_or(&draft.field.node.origin, |node| &node.origin);
            let finding = hinted(Diagnostic::error(Code::FilesNotSaved, message), Some(hint));
            sink.add(origin, &format!("{}{pointer}", draft.field.pointer), finding);
        }
    }
}

/// What is wrong with taking the files of a stage, and what to do.
fn fault(drafts: &[Draft<'_>], graph: &Graph, at: usize, name: &str) -> Option<(String, String)> {
    let name = cut(name);
    let Some(other) = graph.find(&name) else {
        let near = nearest(&name, graph.ids().filter(|id| Some(*id) != id_of(&drafts[at])));
        let hint = near.map_or_else(
            || "name a stage of this pipeline, or `parent/<stage>` of the one that starts it".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Some((format!("`files.from` names `{name}`, and there is no such stage"), hint));
    };
    if other == at {
        let message = "`files.from` names the stage itself".to_owned();
        return Some((
            message,
            "name a stage before it; its own files are still there in a shared workspace".to_owned(),
        ));
    }
    if !graph.is_upstream(other, at) {
        let message = format!("`files.from` names `{name}`, which may not have run by then");
        return Some((message, format!("add `{name}` to `needs`")));
    }
    let saves = drafts[other].own.get("files").and_then(|files| files.get("save")).and_then(Value::as_array);
    if saves.is_none_or(Vec::is_empty) {
        let message = format!("`files.from` names `{name}`, which saves no files");
        return Some((message, format!("add `files: {{save: [...]}}` to `{name}`")));
    }
    None
}

fn id_of<'d>(draft: &'d Draft<'_>) -> Option<&'d str> {
    draft.id.as_ref().map(crate::model::StageId::as_str)
}
