//! The artifacts that stages yield, under `artifacts` of their outputs.

use serde_json::{Map, Value, json};

use crate::model::{Artifact, ExecutionView, ExpectedArtifact, resolve_artifacts};

/// The outputs of a stage in which what it was expected to yield stands under `resolvedExpectedArtifacts`.
///
/// # Errors
/// If something expected is not among what it yields; the outputs come back as they are.
pub(super) fn bind(
    expected: &[ExpectedArtifact],
    mut outputs: Map<String, Value>,
) -> Result<Map<String, Value>, (String, Map<String, Value>)> {
    if expected.is_empty() {
        return Ok(outputs);
    }
    match resolve_artifacts(expected, yielded(&outputs), &[]) {
        Ok(resolved) => {
            outputs.insert("artifacts".to_owned(), json!(resolved.artifacts));
            outputs.insert("resolvedExpectedArtifacts".to_owned(), json!(resolved.resolved_expected_artifacts));
            Ok(outputs)
        }
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Err((format!("of what it yields, {}", problems.join("; ")), outputs))
        }
    }
}

/// What stands under `artifacts`; what is no artifact is left out.
fn yielded(outputs: &Map<String, Value>) -> Vec<Artifact> {
    let items = outputs.get("artifacts").and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| serde_json::from_value(item.clone()).ok()).collect()
}

/// All artifacts of an execution, each once: those that its stages yielded, the last first, then those of its start.
pub fn produced(view: &ExecutionView) -> Vec<Artifact> {
    let mut all: Vec<Artifact> = Vec::new();
    let stages = view.stages.iter().rev().flat_map(|stage| yielded(&stage.outputs));
    for artifact in stages.chain(view.artifacts.artifacts.iter().cloned()) {
        if !all.contains(&artifact) {
            all.push(artifact);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stage_has_to_yield_is_found_among_its_outputs() {
        let expected: Vec<ExpectedArtifact> =
            serde_json::from_value(json!([{"id": "image", "matchArtifact": {"type": "docker/image"}}])).expect("legal");
        let outputs =
            |artifacts: Value| json!({"exitCode": 0, "artifacts": artifacts}).as_object().cloned().expect("a map");
        let image = json!({"type": "docker/image", "name": "shop"});
        let bound = bind(&expected, outputs(json!([image, {"type": "other"}]))).expect("found");
        assert_eq!(bound["resolvedExpectedArtifacts"][0]["boundArtifact"], image);
        assert_eq!(bound["artifacts"].as_array().map(Vec::len), Some(2));
        let (message, kept) = bind(&expected, outputs(json!([]))).expect_err("nothing fits");
        assert_eq!(message, "of what it yields, the artifact `image` is expected (docker/image), and none fits");
        assert_eq!(kept["exitCode"], 0);
        let untouched = outputs(json!(["whatever"]));
        assert_eq!(bind(&[], untouched.clone()).expect("nothing is expected"), untouched);
    }
}
