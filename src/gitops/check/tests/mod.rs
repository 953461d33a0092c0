//! Checking as a whole: documents in, pipelines and findings out.

mod commit;
mod complaints;
mod meaning;
mod modules;
mod property;
mod rendered;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::*;
use crate::config::{ApplicationRule, Names};
use crate::diagnostic::Severity;
use crate::gitops::{Key, Node, NodeValue, Origin, Position};
use crate::model::Span;
use crate::schema::{Catalog, Dynamic, stage_type};

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Script {
    #[schemars(extend("x-longboat-raw" = true))]
    command: String,
    env: Option<BTreeMap<String, Variable>>,
    files: Option<Files>,
}

#[derive(JsonSchema)]
#[schemars(extend("x-longboat-secret" = true))]
#[allow(dead_code, reason = "only its schema counts")]
struct Variable(String);

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Files {
    save: Vec<String>,
    from: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Wait {
    wait_time: Option<Dynamic<Span>>,
}

fn catalog() -> Catalog {
    Catalog::new(vec![stage_type::<Script>("script", "Runs a script"), stage_type::<Wait>("wait", "Waits")])
}

/// A tree as the renderer makes it, each value on a line of its own.
fn tree(value: &Value, line: &mut u32) -> Arc<Node> {
    *line += 1;
    let at = |line: u32| {
        let position = Position { line, column: 1 };
        Origin::new("f.yaml".into(), position, position)
    };
    let origin = at(*line);
    let value = match value {
        Value::Null => NodeValue::Null,
        Value::Bool(flag) => NodeValue::Bool(*flag),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| NodeValue::Float(number.as_f64().unwrap_or(f64::NAN)), NodeValue::Int)
        }
        Value::String(text) => NodeValue::String(text.as_str().into()),
        Value::Array(items) => NodeValue::List(items.iter().map(|item| tree(item, line)).collect()),
        Value::Object(map) => {
            let entry = |(name, item): (&String, &Value)| {
                *line += 1;
                (Key { name: name.as_str().into(), origin: at(*line) }, tree(item, line))
            };
            NodeValue::Map(map.iter().map(entry).collect())
        }
    };
    Arc::new(Node { value, origin })
}

fn rendered(path: &str, document: &Value) -> RenderedFile {
    let root = Some(tree(document, &mut 0));
    RenderedFile {
        path: path.to_owned(),
        root,
        partial: None,
        findings: Vec::new(),
        modules: Vec::new(),
        files: Vec::new(),
        pins: Pins::default(),
        stacks: Arc::default(),
    }
}

fn check_files(documents: &[Value], rules: Option<&Applications>) -> Checked {
    let file = |(index, document)| rendered(&format!(".longboat/{index}.yaml"), document);
    let files = documents.iter().enumerate().map(file).collect();
    let permit = rules.map(|rules| Permit { rules, branch: Some("main") });
    check_rendered(Rendered { files, findings: Vec::new() }, &catalog(), permit)
}

fn check_pipeline(pipeline: Value) -> Checked {
    check_files(&[json!({"application": "shop", "pipelines": [pipeline]})], None)
}

fn check_stages(stages: Value) -> Checked {
    let parameters = json!([{"name": "version"}, {"name": "n", "type": "integer"}]);
    check_pipeline(json!({"name": "p", "parameters": parameters, "stages": stages}))
}

/// The only pipeline, with which nothing is wrong.
fn pipeline(checked: &Checked) -> Pipeline {
    let errors: Vec<_> = checked.findings.iter().filter(|finding| finding.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let [application] = checked.applications.as_slice() else { panic!("one application") };
    let [pipeline] = application.pipelines.as_slice() else { panic!("one pipeline") };
    assert!(application.valid);
    pipeline.clone()
}

/// The findings, one a line.
fn said(checked: &Checked) -> String {
    let line = |finding: &Diagnostic| {
        let severity = if finding.severity == Severity::Error { "" } else { "warning " };
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let pointer = finding.pointer.as_deref().unwrap_or_default().replace("/pipelines/0", "");
        format!("{severity}{} {pointer}: {}{hint}", finding.code, finding.message)
    };
    let lines: Vec<_> = checked.findings.iter().map(line).collect();
    if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n") }
}

/// The findings of several documents, each below its own.
fn each(documents: &[Value], check: impl Fn(Value) -> Checked) -> String {
    let one = |document: &Value| {
        let said = said(&check(document.clone())).replace('\n', "\n  ");
        format!("{document}\n  {said}")
    };
    documents.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn needs(pipeline: &Pipeline) -> String {
    let line = |stage: &crate::model::Stage| {
        let needs: Vec<_> = stage.needs.iter().map(|need| need.as_str()).collect();
        format!("{}({})", stage.id, needs.join(","))
    };
    pipeline.stages.iter().map(line).collect::<Vec<_>>().join(" ")
}
