//! The artifacts that a pipeline or a stage expects, in the words of both spellings.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::reader::{Field, Fields, Sink, cut, hinted};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::model::{Artifact, Dialect, ExpectedArtifact, check_artifact_pattern};
use crate::schema::format::{ExpectedArtifactFile, keys};

/// The most artifacts that a pipeline or a stage expects.
const MAX_ARTIFACTS: usize = 100;
const MAX_NAME: usize = 200;
/// The longest field of an artifact, in characters. The text of an embedded one stands in its reference.
const MAX_FIELD: usize = 64 * 1024;

static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<ExpectedArtifactFile>);
static ARTIFACT_KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<Artifact>);

/// Reads `expectedArtifacts`, if it is there.
pub(super) fn take_all(fields: &mut Fields<'_>, dialect: Dialect, sink: &mut Sink) -> Vec<ExpectedArtifact> {
    let Some(list) = fields.take("expectedArtifacts") else { return Vec::new() };
    let mut first: HashMap<String, u32> = HashMap::new();
    let mut all = Vec::new();
    for item in list.items(sink, MAX_ARTIFACTS).unwrap_or_default() {
        let Some(expected) = read(&item, dialect, sink) else { continue };
        let line = item.node.origin.start().line;
        if let Some(line) = first.insert(expected.id.clone(), line) {
            let message = format!("the artifact `{}` is expected already, at line {line}", cut(&expected.id));
            item.say(sink, Diagnostic::error(Code::ConflictingKeys, message));
        }
        all.push(expected);
    }
    all
}

fn read(item: &Field<'_>, dialect: Dialect, sink: &mut Sink) -> Option<ExpectedArtifact> {
    let what = "an expected artifact";
    let mut fields = Fields::of(item.node, &item.pointer, what, sink)?;
    let id = fields.require("id", what, sink).and_then(|field| field.label(sink, MAX_NAME));
    let display_name = fields.take("displayName").and_then(|field| field.label(sink, MAX_NAME));
    let match_artifact = match fields.take("matchArtifact") {
        Some(field) => {
            let artifact = artifact(&field, dialect, sink)?;
            check_patterns(&artifact, &field, sink);
            artifact
        }
        None => Artifact::default(),
    };
    let use_prior_artifact = fields.take("usePriorArtifact").and_then(|field| field.boolean(sink)).unwrap_or(false);
    let use_default = fields.take("useDefaultArtifact");
    let use_default_artifact = use_default.as_ref().and_then(|field| field.boolean(sink)).unwrap_or(false);
    let default_artifact = fields.take("defaultArtifact").and_then(|field| artifact(&field, dialect, sink));
    if let (Some(field), true, None) = (use_default, use_default_artifact, &default_artifact) {
        let finding = Diagnostic::error(Code::MissingKey, "`useDefaultArtifact` needs a `defaultArtifact`");
        field.say(sink, finding);
    }
    if dialect == Dialect::Spinnaker {
        fields.take("boundArtifact");
    }
    fields.finish(&KEYS, what, dialect, sink);
    Some(ExpectedArtifact {
        id: id?,
        display_name,
        match_artifact,
        use_prior_artifact,
        use_default_artifact,
        default_artifact,
    })
}

fn artifact(field: &Field<'_>, dialect: Dialect, sink: &mut Sink) -> Option<Artifact> {
    let what = "an artifact";
    let mut fields = Fields::of(field.node, &field.pointer, what, sink)?;
    let mut text = |key: &str, sink: &mut Sink| {
        let text = fields.take(key).and_then(|field| field.label(sink, MAX_FIELD));
        text.filter(|text| !text.is_empty())
    };
    let mut artifact = Artifact {
        kind: text("type", sink),
        name: text("name", sink),
        version: text("version", sink),
        location: text("location", sink),
        reference: text("reference", sink),
        artifact_account: text("artifactAccount", sink),
        provenance: text("provenance", sink),
        uuid: text("uuid", sink),
        ..Artifact::default()
    };
    artifact.custom_kind = fields.take("customKind").and_then(|field| field.boolean(sink));
    if let Some(metadata) = fields.take("metadata") {
        match metadata.json(sink) {
            serde_json::Value::Object(map) => artifact.metadata = map,
            _ => metadata.wrong_type(sink, "a mapping"),
        }
    }
    if dialect == Dialect::Spinnaker {
        // Deck's own bookkeeping.
        fields.take("id");
        fields.take("kind");
    }
    fields.finish(&ARTIFACT_KEYS, what, dialect, sink);
    Some(artifact)
}

/// A pattern that is no regular expression is compared as it stands, which may not be what was meant.
fn check_patterns(artifact: &Artifact, field: &Field<'_>, sink: &mut Sink) {
    for (key, pattern) in artifact.matched_fields() {
        let Some(Err(reason)) = pattern.map(check_artifact_pattern) else { continue };
        let message = format!("`matchArtifact.{key}` is no regular expression ({reason}): it is compared as it stands");
        field.say(sink, Diagnostic::warning(Code::BadPattern, message));
    }
}

/// Reads a trigger's `expectedArtifactIds`: each is the id of an artifact that the pipeline expects.
pub(super) fn take_ids(
    fields: &mut Fields<'_>,
    expected: &[ExpectedArtifact],
    dialect: Dialect,
    sink: &mut Sink,
) -> Vec<String> {
    let Some(list) = fields.take("expectedArtifactIds") else { return Vec::new() };
    let mut ids = Vec::new();
    for (item, id) in list.strings(sink, MAX_ARTIFACTS).unwrap_or_default() {
        if expected.iter().any(|expected| expected.id == id) {
            ids.push(id.to_owned());
            continue;
        }
        let message = format!("the pipeline expects no artifact with the id `{}`", cut(id));
        let finding = match dialect {
            Dialect::Longboat => Diagnostic::error(Code::ValueNotAllowed, message),
            Dialect::Spinnaker => Diagnostic::warning(Code::ValueNotAllowed, message),
        };
        let known = expected.iter().map(|expected| expected.id.as_str());
        let hint = match nearest(id, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "declare it under the pipeline's `expectedArtifacts`".to_owned(),
        };
        item.say(sink, hinted(finding, Some(hint)));
    }
    ids
}
