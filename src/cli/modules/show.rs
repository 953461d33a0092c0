//! Modules as people read them.

use serde_json::{Map, Value, json};

use super::{source, table};
use crate::gitops::{self, ExampleManual, ModuleManual, ParameterManual};

/// A line for each module: its name, what it yields, what it is for.
pub(super) fn list(modules: &[ModuleManual]) -> String {
    let row = |module: &ModuleManual| {
        let about = match (&module.description, module.broken) {
            (_, true) => "can't be read: `longboat modules check` says why".to_owned(),
            (Some(about), _) => first_sentence(about),
            (None, _) => String::new(),
        };
        vec![module.name.clone(), module.yields.clone().unwrap_or_default(), about]
    };
    table(["MODULE", "YIELDS", "WHAT IT IS FOR"].map(str::to_owned).into(), modules.iter().map(row))
}

/// All about a module.
pub(super) fn module(module: &ModuleManual) -> anyhow::Result<String> {
    let mut text = format!("{} ({})\n", module.name, source(module));
    if module.broken {
        text.push_str("\nIts file can't be read; what is wrong stands above.\n");
        return Ok(text);
    }
    if let Some(about) = &module.description {
        text.push_str(&format!("{about}\n"));
    }
    if let Some(yields) = &module.yields {
        text.push_str(&format!("\nYields: {yields}\n"));
    }
    match &module.parameters {
        None => text.push_str("\nIt has no header, and takes any parameter.\n"),
        Some(parameters) if parameters.is_empty() => text.push_str("\nIt takes no parameters.\n"),
        Some(parameters) => {
            let head = ["PARAMETER", "TYPE", "DEFAULT", "WHAT IT IS"].map(str::to_owned).into();
            text.push('\n');
            text.push_str(&table(head, parameters.iter().map(row)));
        }
    }
    if module.examples.is_empty() {
        text.push_str(&format!("\nA call:\n\n{}", call(&module.name, &sketch(module), &[])?));
    }
    for example in &module.examples {
        let ExampleManual { description, with, before } = example;
        let about = description.as_deref().unwrap_or("An example");
        text.push_str(&format!("\n{}:\n\n{}", about.trim_end_matches('.'), call(&module.name, with, before)?));
    }
    Ok(text)
}

/// A call as a list in YAML.
fn call(name: &str, with: &Map<String, Value>, before: &[Value]) -> anyhow::Result<String> {
    let call = if with.is_empty() { json!({"use": name}) } else { json!({"use": name, "with": with}) };
    let items: Vec<Value> = before.iter().cloned().chain([call]).collect();
    let yaml = gitops::to_yaml(&Value::Array(items))?;
    Ok(yaml.lines().map(|line| format!("    {line}\n")).collect())
}

/// A call with what has to be given.
fn sketch(module: &ModuleManual) -> Map<String, Value> {
    let required = module.parameters.iter().flatten().filter(|parameter| parameter.required);
    required.map(|parameter| (parameter.name.clone(), json!("..."))).collect()
}

fn row(parameter: &ParameterManual) -> Vec<String> {
    let default = match (parameter.required, &parameter.default) {
        (true, _) => "required".to_owned(),
        (false, Value::Null) => String::new(),
        (false, default) => plain(default),
    };
    vec![parameter.name.clone(), parameter.type_words(), default, parameter.about()]
}

/// A value on one line: a text as it is, unless that is nothing.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains('\n') => text.clone(),
        other => other.to_string(),
    }
}

fn first_sentence(text: &str) -> String {
    text.split_inclusive(". ").next().unwrap_or_default().trim_end().trim_end_matches('.').to_owned()
}
