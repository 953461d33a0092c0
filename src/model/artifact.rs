//! Artifacts: named things with a version that a pipeline works on (an image, a chart, a file, a commit), with
//! the fields and the rules of Spinnaker's.
//!
//! A pipeline says what it expects. When an execution is made, each expectation is bound to one artifact: one
//! that came with the start, else one of the pipeline's newest successful execution, else its default. A stage
//! can say what it is to yield in the same words.

use regex::RegexBuilder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The memory that a compiled pattern may take, in bytes.
const PATTERN_SIZE: usize = 256 << 10;

/// Types of artifacts that stand for each other: the text itself, and a reference to it.
const BASE64: [&str; 2] = ["embedded/base64", "remote/base64"];

/// A thing with a name and a version. In a pattern each field that is given is a text or a regular expression.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// What kind of thing: `docker/image`, `git/repo`, `helm/chart`, `s3/object`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its name: `ghcr.io/acme/shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version: a tag, a digest, a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it is: a region, a namespace, a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// How to get it: `ghcr.io/acme/shop:1.2`, an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Anything else about it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The account that can get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_account: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
    /// An id of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Whether its type is one that no provider knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_kind: Option<bool>,
}

/// An artifact that a pipeline or a stage expects.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedArtifact {
    /// By which triggers name it.
    pub id: String,
    /// By which people and expressions name it; the id if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it has to look like; a field that isn't given matches all.
    #[serde(default)]
    pub match_artifact: Artifact,
    /// Whether one of the pipeline's newest successful execution does if none came with the start.
    #[serde(default)]
    pub use_prior_artifact: bool,
    /// Whether the default does if there is no other.
    #[serde(default)]
    pub use_default_artifact: bool,
    /// The default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_artifact: Option<Artifact>,
}

/// An expected artifact with the one that was found for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedArtifact {
    /// What was expected.
    #[serde(flatten)]
    pub expected: ExpectedArtifact,
    /// What it is.
    pub bound_artifact: Artifact,
}

/// The artifacts of an execution, or of a stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifacts {
    /// All that came with the start, and those that were found for what was expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What was expected, each with its artifact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved_expected_artifacts: Vec<ResolvedArtifact>,
}

/// Why an expected artifact could not be bound.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the artifact `{name}` {problem}")]
pub struct ArtifactProblem {
    /// The expected artifact's name for people.
    pub name: String,
    /// What is wrong, to be read after the name.
    pub problem: String,
}

impl Artifact {
    /// Whether this pattern fits an artifact: each field that it gives is equal, or a regular expression that
    /// matches the whole of the artifact's field.
    pub fn fits(&self, artifact: &Self) -> bool {
        let kinds = match (&self.kind, &artifact.kind) {
            (Some(wanted), Some(found)) if BASE64.contains(&wanted.as_str()) => BASE64.contains(&found.as_str()),
            (wanted, found) => field_fits(wanted.as_deref(), found.as_deref()),
        };
        kinds
            && field_fits(self.name.as_deref(), artifact.name.as_deref())
            && field_fits(self.version.as_deref(), artifact.version.as_deref())
            && field_fits(self.location.as_deref(), artifact.location.as_deref())
            && field_fits(self.reference.as_deref(), artifact.reference.as_deref())
    }

    /// The fields that a match looks at, by name.
    pub fn matched_fields(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("type", self.kind.as_deref()),
            ("name", self.name.as_deref()),
            ("version", self.version.as_deref()),
            ("location", self.location.as_deref()),
            ("reference", self.reference.as_deref()),
        ]
    }

    /// As people read it: `docker/image shop 1.2`.
    pub fn describe(&self) -> String {
        let words: Vec<&str> = match &self.reference {
            Some(reference) => self.kind.as_deref().into_iter().chain([reference.as_str()]).collect(),
            None => [&self.kind, &self.name, &self.version].into_iter().filter_map(Option::as_deref).collect(),
        };
        if words.is_empty() { "any artifact".to_owned() } else { words.join(" ") }
    }
}

/// Whether a pattern fits a field; an empty one fits all.
fn field_fits(pattern: Option<&str>, found: Option<&str>) -> bool {
    let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else { return true };
    let found = found.unwrap_or_default();
    pattern == found || compile(pattern).is_ok_and(|regex| regex.is_match(found))
}

/// A pattern as a regular expression that matches the whole text.
///
/// # Errors
/// Why it is none, on one line. Look-around and back references are not supported: matching takes linear time.
pub fn check_artifact_pattern(pattern: &str) -> Result<(), String> {
    compile(pattern).map(drop).map_err(|error| {
        let reason = error.to_string();
        reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

fn compile(pattern: &str) -> Result<regex::Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).dot_matches_new_line(true).size_limit(PATTERN_SIZE).build()
}

impl ExpectedArtifact {
    /// By which people know it.
    pub fn name(&self) -> &str {
        self.display_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.id)
    }

    /// The one artifact that fits, if there is one; equal ones count once.
    fn find(&self, artifacts: &[Artifact]) -> Result<Option<Artifact>, ArtifactProblem> {
        let mut fitting: Vec<&Artifact> = Vec::new();
        for artifact in artifacts.iter().filter(|artifact| self.match_artifact.fits(artifact)) {
            if !fitting.contains(&artifact) {
                fitting.push(artifact);
            }
        }
        match fitting.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some((*only).clone())),
            [first, second, rest @ ..] => Err(self.problem(format!(
                "fits {} artifacts, and must fit one: {}, {}{}",
                rest.len() + 2,
                first.describe(),
                second.describe(),
                if rest.is_empty() { "" } else { ", …" },
            ))),
        }
    }

    fn problem(&self, problem: String) -> ArtifactProblem {
        ArtifactProblem { name: self.name().to_owned(), problem }
    }
}

/// Binds each expected artifact: to one of those `received`, else to one of `prior` if it allows that, else to
/// its default if it allows that.
///
/// # Errors
/// All that can't be bound: nothing fits, or more than one does.
pub fn resolve_artifacts<'a>(
    expected: impl IntoIterator<Item = &'a ExpectedArtifact>,
    received: Vec<Artifact>,
    prior: &[Artifact],
) -> Result<Artifacts, Vec<ArtifactProblem>> {
    let mut resolved = Vec::new();
    let mut problems = Vec::new();
    for expected in expected {
        let bound = expected.find(&received).and_then(|found| match found {
            None if expected.use_prior_artifact => expected.find(prior),
            found => Ok(found),
        });
        let default = || expected.default_artifact.clone().filter(|_| expected.use_default_artifact);
        match bound.map(|found| found.or_else(default)) {
            Ok(Some(bound_artifact)) => {
                resolved.push(ResolvedArtifact { expected: expected.clone(), bound_artifact });
            }
            Ok(None) => problems.push(expected.problem(format!(
                "is expected ({}), and none fits{}",
                expected.match_artifact.describe(),
                if expected.use_prior_artifact { ", not even of the newest successful execution" } else { "" },
            ))),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut artifacts = received;
    for found in &resolved {
        if !artifacts.contains(&found.bound_artifact) {
            artifacts.push(found.bound_artifact.clone());
        }
    }
    Ok(Artifacts { artifacts, resolved_expected_artifacts: resolved })
}

impl Artifacts {
    /// Whether there are none, expected or not.
    pub fn is_empty(&self) -> bool {
        self.artifacts.is_empty() && self.resolved_expected_artifacts.is_empty()
    }

    /// Those that were found for what was expected, each once.
    pub fn bound(&self) -> Vec<Artifact> {
        let mut bound = Vec::new();
        for found in &self.resolved_expected_artifacts {
            if !bound.contains(&found.bound_artifact) {
                bound.push(found.bound_artifact.clone());
            }
        }
        bound
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn artifact(value: Value) -> Artifact {
        serde_json::from_value(value).expect("an artifact")
    }

    fn image(name: &str, version: &str) -> Artifact {
        artifact(json!({"type": "docker/image", "name": name, "version": version}))
    }

    fn expected(value: Value) -> ExpectedArtifact {
        serde_json::from_value(value).expect("an expected artifact")
    }

    #[test]
    fn a_pattern_is_a_text_or_a_regular_expression_for_the_whole_field() {
        let shop = image("acme/shop", "1.2");
        for (pattern, wanted) in [
            (json!({}), true),
            (json!({"name": ""}), true),
            (json!({"type": "docker/image"}), true),
            (json!({"name": "acme/.*"}), true),
            (json!({"name": "shop"}), false),
            (json!({"name": "acme"}), false),
            (json!({"version": "1\\.[0-9]+"}), true),
            (json!({"version": "1"}), false),
            (json!({"reference": ".+"}), false),
            (json!({"reference": ".*"}), true),
            (json!({"name": "acme/shop", "version": "2"}), false),
        ] {
            assert_eq!(artifact(pattern.clone()).fits(&shop), wanted, "{pattern}");
        }
        // A text that is no expression is compared as it stands.
        let odd = artifact(json!({"name": "a(b"}));
        assert!(odd.fits(&artifact(json!({"name": "a(b"}))) && !odd.fits(&shop));
        assert!(check_artifact_pattern("a(b").expect_err("no pattern").contains("unclosed group"));
        let (embedded, remote) =
            (artifact(json!({"type": "embedded/base64"})), artifact(json!({"type": "remote/base64"})));
        assert!(embedded.fits(&remote) && remote.fits(&embedded) && !embedded.fits(&shop));
    }

    #[test]
    fn received_comes_before_prior_and_prior_before_default() {
        let one = expected(json!({
            "id": "image", "matchArtifact": {"type": "docker/image"},
            "usePriorArtifact": true, "useDefaultArtifact": true, "defaultArtifact": {"name": "default"},
        }));
        let bound = |received: &[Artifact], prior: &[Artifact]| {
            let artifacts = resolve_artifacts([&one], received.to_vec(), prior).expect("resolves");
            artifacts.resolved_expected_artifacts[0].bound_artifact.name.clone().expect("a name")
        };
        let (new, old) = ([image("new", "1")], [image("old", "1")]);
        assert_eq!(bound(&new, &old), "new");
        assert_eq!(bound(&[], &old), "old");
        assert_eq!(bound(&[], &[]), "default");
        let strict = ExpectedArtifact { use_prior_artifact: false, use_default_artifact: false, ..one.clone() };
        let problems = resolve_artifacts([&strict], Vec::new(), &old).expect_err("nothing fits");
        assert_eq!(problems[0].to_string(), "the artifact `image` is expected (docker/image), and none fits");
    }

    #[test]
    fn more_than_one_that_fits_is_refused_and_equal_ones_count_once() {
        let one = expected(json!({"id": "a1", "displayName": "the image", "matchArtifact": {"name": "shop"}}));
        let two = vec![image("shop", "1"), image("shop", "2")];
        let problems = resolve_artifacts([&one], two, &[]).expect_err("ambiguous");
        assert_eq!(
            problems[0].to_string(),
            "the artifact `the image` fits 2 artifacts, and must fit one: docker/image shop 1, docker/image shop 2"
        );
        let twice = vec![image("shop", "1"), image("shop", "1")];
        assert_eq!(resolve_artifacts([&one], twice, &[]).expect("resolves").bound(), [image("shop", "1")]);
    }

    #[test]
    fn what_was_resolved_reads_as_spinnaker_has_it() {
        let one = expected(json!({"id": "a1", "matchArtifact": {"name": "shop"}}));
        let resolved = resolve_artifacts([&one], vec![image("shop", "1")], &[]).expect("resolves");
        let text = serde_json::to_value(&resolved).expect("JSON");
        assert_eq!(text["resolvedExpectedArtifacts"][0]["boundArtifact"]["version"], "1");
        assert_eq!(text["artifacts"][0]["name"], "shop");
        assert_eq!(serde_json::from_value::<Artifacts>(text).expect("reads"), resolved);
    }
}
