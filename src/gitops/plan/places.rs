//! Where the values of a normalised document are written: the way back from its pointers to the author's files.

use std::collections::HashMap;

use super::document::trigger_key;
use crate::diagnostic::pointer_key;
use crate::gitops::{Checked, Node, Origin};
use crate::model::{Pipeline, SourceLine};

/// The prefix of the files of a repository that its author edits.
const FILES: &str = ".longboat/";

/// How a key of the model is spelt in files besides its own name: Spinnaker's spellings.
const SPELLINGS: [(&str, &[&str]); 8] = [
    ("parameters", &["parameterConfig"]),
    ("needs", &["requisiteStageRefIds"]),
    ("when", &["stageEnabled"]),
    ("timeout", &["stageTimeoutMs"]),
    ("onFailure", &["failPipeline", "continuePipeline", "completeOtherBranchesThenFail"]),
    ("concurrency", &["limitConcurrent", "maxConcurrentExecutions", "keepWaitingPipelines"]),
    ("window", &["restrictedExecutionWindow", "restrictExecutionDuringTimeWindow"]),
    ("id", &["refId"]),
];

/// The rendered pipelines of one side, by application and name.
#[derive(Default)]
pub(super) struct Places<'a> {
    pipelines: HashMap<(&'a str, &'a str), &'a Node>,
}

impl<'a> Places<'a> {
    pub(super) fn new(checked: &'a Checked) -> Self {
        let mut pipelines = HashMap::new();
        for root in &checked.documents {
            let Some(application) = root.get("application").and_then(Node::as_str) else { continue };
            for node in root.get("pipelines").and_then(Node::as_list).unwrap_or_default() {
                if let Some(name) = node.get("name").and_then(Node::as_str) {
                    pipelines.insert((application, name), node.as_ref());
                }
            }
        }
        Self { pipelines }
    }

    /// The place of a pointer into the pipeline's document: of the value itself, or of the nearest thing around it.
    pub(super) fn find(&self, pipeline: &Pipeline, pointer: &str) -> SourceLine {
        let steps: Vec<String> = pointer.split('/').skip(1).map(pointer_key).collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let node = self.pipelines.get(&(pipeline.application.as_str(), pipeline.name.as_str()));
        match (node, steps.as_slice()) {
            (None, _) | (_, []) => whole(pipeline),
            (Some(node), steps) => within(node, pipeline, steps).map_or_else(|| whole(pipeline), line),
        }
    }
}

fn whole(pipeline: &Pipeline) -> SourceLine {
    SourceLine { file: pipeline.source.file.clone(), line: pipeline.source.line }
}

fn line(origin: &Origin) -> SourceLine {
    let place = origin.place_in(FILES);
    SourceLine { file: place.file, line: place.line }
}

fn within<'a>(node: &'a Node, pipeline: &Pipeline, steps: &[&str]) -> Option<&'a Origin> {
    let [list, name, rest @ ..] = steps else { return deepest(node, steps) };
    let items = get(node, list).and_then(Node::as_list);
    let item = match *list {
        "stages" => {
            let index = pipeline.stages.iter().position(|stage| stage.id.as_str() == *name)?;
            items.filter(|items| items.len() == pipeline.stages.len())?.get(index)
        }
        "triggers" => {
            let index = pipeline.triggers.iter().position(|trigger| {
                serde_json::to_value(trigger).is_ok_and(|trigger| trigger_key(&trigger) == **name)
            })?;
            // Those that are switched off are in the file and not in the model.
            let off = |item: &Node| item.get("enabled").is_some_and(|flag| flag.to_json() == false);
            let on: Vec<_> = items?.iter().filter(|item| !off(item)).collect();
            on.get(index).copied().filter(|_| on.len() == pipeline.triggers.len())
        }
        "parameters" => items?.iter().find(|item| item.get("name").and_then(Node::as_str) == Some(*name)),
        "expectedArtifacts" => items?.iter().find(|item| item.get("id").and_then(Node::as_str) == Some(*name)),
        _ => return deepest(node, steps),
    };
    let item = item?;
    deepest(item, rest).or(Some(&item.origin))
}

/// The place of the last step that can be taken; none if not even the first can.
fn deepest<'a>(node: &'a Node, steps: &[&str]) -> Option<&'a Origin> {
    let mut node = node;
    let mut found = None;
    for step in steps {
        let text = |item: &Node| item.as_str().map_or_else(|| item.to_json().to_string(), str::to_owned);
        let next = match node.as_list() {
            // An index, or what is needed, by its id.
            Some(items) => node.child(step).or_else(|| {
                items
                    .iter()
                    .map(AsRef::as_ref)
                    .find(|item| text(item) == *step || item.get("id").is_some_and(|id| text(id) == *step))
            }),
            None => get(node, step),
        };
        let Some(next) = next else { break };
        found = Some(&next.origin);
        node = next;
    }
    found
}

fn get<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let others = SPELLINGS.iter().find(|(name, _)| *name == key).map_or(&[][..], |(_, others)| *others);
    std::iter::once(&key).chain(others).find_map(|key| node.get(key))
}
