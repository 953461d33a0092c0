//! Pages that repeat the code are made from it: the configuration, the stage types, the command line.
//! `UPDATE_DOCS=1 tests/run quick` writes them; without it a page that is out of step fails.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use longboat::config::Config;
use longboat::gitops::{self, Limits, MemorySource, ModuleManual, Request};
use longboat::model::RepositoryName;
use longboat::{expression, schema, stage};
use serde_json::{Map, Value, json};

#[test]
fn the_configuration_page_is_in_step_with_the_types() {
    let schema = Config::json_schema();
    let mut page = String::from(
        "# The configuration\n\n\
         `longboat serve --config longboat.yaml` reads one YAML file. Unknown keys are errors, and name the nearest key that \
         exists. A secret is `{env: NAME}` or `{file: PATH}`, never the secret itself. Relative paths are relative to the \
         file. `longboat serve --check` says whether a file is good and starts nothing. For completion in an editor, put \
         `# yaml-language-server: $schema=` and the path of `schema/config.json` on the first line.\n\n\
         This page is made from the program's types.\n",
    );
    section(&mut page, &schema, &schema, "", 0);
    in_step("docs/configuration.md", &page);
}

#[test]
fn the_page_of_stage_types_is_in_step_with_the_types() {
    let mut page = String::from(
        "# Stage types\n\n\
         This page is made from the program's types, like the schemas in `schema/stages/`. `${ }` is evaluated in all \
         fields when the stage starts ([what expressions can do](expressions.md)), except in those marked *raw*; those \
         marked *evaluated by the stage* are evaluated one by one while it runs.\n\n",
    );
    let catalog = stage::catalog();
    let links: Vec<String> = catalog.names().map(|name| format!("[`{name}`](#{})", name.to_lowercase())).collect();
    let _ = writeln!(page, "{}", links.join(" · "));
    let common = schema::files(&catalog).into_iter().find(|(path, _)| path.ends_with("/noop.json")).expect("noop");
    let mut common: Value = serde_json::from_str(&common.1).expect("JSON");
    common["properties"]["type"] =
        json!({"type": "string", "description": "What the stage does: one of the types below."});
    let _ = writeln!(page, "\n## What all stages have");
    tables(&mut page, &common, &common, "");
    for kind in catalog.iter() {
        let _ = writeln!(page, "\n## `{}`\n\n{}", kind.name, kind.description);
        tables(&mut page, &kind.schema, &kind.schema, "");
        if let Some(list) = &kind.variables {
            let _ = writeln!(page, "\nOutputs: each `key` of `{list}`, with its value.");
        } else if !kind.outputs.is_empty() {
            let outputs = kind.outputs.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let _ = writeln!(page, "\nOutputs: {outputs}.");
        }
        let _ = writeln!(page, "\n```yaml\n{}\n```", kind.example.trim_end());
    }
    in_step("docs/stages.md", &page);
}

/// What the built-in library says about itself.
fn built_in_modules() -> Vec<ModuleManual> {
    let (source, globals, limits) = (MemorySource::default(), Map::new(), Limits::default());
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let request = Request {
        source: &source,
        repository: &repository,
        branch: "main",
        globals: &globals,
        limits: &limits,
        library: None,
    };
    gitops::manual(&request).modules
}

#[test]
fn the_page_of_modules_is_in_step_with_the_built_in_library() {
    let mut page = include_str!("modules.md").to_owned();
    page.push_str("\nThis part is made from the modules' headers.\n");
    for module in built_in_modules() {
        let (about, yields) = (module.description.unwrap_or_default(), module.yields.unwrap_or_default());
        let _ = writeln!(page, "\n### `{}`\n\n{about} Yields: `{yields}`.\n", module.name);
        page.push_str("| parameter | type | default | what it is |\n|---|---|---|---|\n");
        for parameter in module.parameters.unwrap_or_default() {
            let default = match (parameter.required, &parameter.default) {
                (true, _) => "required".to_owned(),
                (false, Value::Null) => String::new(),
                (false, default) => format!("`{default}`"),
            };
            let (kind, about) = (parameter.type_words(), parameter.about().replace('|', "\\|"));
            let _ = writeln!(page, "| `{}` | {kind} | {default} | {about} |", parameter.name);
        }
        for example in module.examples {
            let mut items = example.before;
            items.push(json!({"use": module.name, "with": example.with}));
            let yaml = gitops::to_yaml(&Value::Array(items)).expect("YAML");
            let about = example.description.unwrap_or_default();
            let _ = writeln!(page, "\n{about}:\n\n```yaml\n{}\n```", yaml.trim_end());
        }
    }
    in_step("docs/modules.md", &page);
}

#[test]
fn the_module_that_the_page_of_modules_writes_is_right() {
    let page = include_str!("modules.md");
    let module = page.split("```yaml\n").find(|part| part.starts_with("# .longboat/modules/ship.yaml\n"));
    let module = module.and_then(|part| part.split("```").next()).expect("the module");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join(".longboat/modules")).expect("a folder");
    std::fs::write(folder.path().join(".longboat/modules/ship.yaml"), module).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_longboat"))
        .args(["modules", "check"])
        .current_dir(folder.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "1 module and 1 example checked\n");
}

/// The commands that people type, in the order of `longboat --help`.
const COMMANDS: [&str; 39] = [
    "",
    "demo",
    "serve",
    "init",
    "validate",
    "plan",
    "render",
    "explain",
    "modules",
    "modules list",
    "modules show",
    "modules check",
    "run",
    "schema",
    "executions",
    "executions list",
    "executions show",
    "executions watch",
    "executions logs",
    "executions cancel",
    "executions pause",
    "executions resume",
    "executions skip",
    "executions restart",
    "judge",
    "repositories",
    "repositories list",
    "repositories approve-removal",
    "replicas",
    "replicas list",
    "freeze",
    "freeze on",
    "freeze off",
    "freeze list",
    "admin",
    "admin export",
    "admin import",
    "completions",
    "forge check",
];

#[test]
fn every_stage_type_has_an_example_that_is_valid() {
    for kind in stage::catalog().iter() {
        let example: Vec<String> = kind.example.lines().map(|line| format!("        {line}")).collect();
        assert!(kind.example.contains(&format!("type: {}\n", kind.name)), "{} has no example", kind.name);
        // What the examples refer to.
        let file = format!(
            "application: shop\npipelines:\n  - name: example\n    parameters:\n      - {{name: tag, default: v1.2.3}}\n      \
             - {{name: regions, type: list, default: [eu]}}\n    stages:\n      - {{id: unit, type: noop}}\n      \
             - {{id: browser, type: noop}}\n      - {{id: test, name: Test, type: noop}}\n      \
             - {{id: deploy, type: script, command: make deploy}}\n      -\n{}\n",
            example.join("\n")
        );
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(".longboat")).expect("a folder");
        std::fs::write(folder.path().join(".longboat/example.yaml"), &file).expect("a file");
        let output = Command::new(env!("CARGO_BIN_EXE_longboat"))
            .args(["validate", "--format", "human"])
            .current_dir(folder.path())
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {said}{}\n{file}", kind.name, String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_page_of_expressions_is_in_step_with_the_functions() {
    let mut page = include_str!("expressions.md").to_owned();
    page.push_str("\n## Functions\n\nBeside CEL's own, this page's list is made from the program:\n\n| call | what it yields |\n|---|---|\n");
    for helper in expression::helpers() {
        let _ = writeln!(page, "| `{}` | {} |", helper.form, helper.about.replace('|', "\\|"));
    }
    in_step("docs/expressions.md", &page);
}

/// A schema as it is without the tags that editors let stand for values.
fn without_tags(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_tags),
        Value::Object(map) => {
            map.values_mut().for_each(without_tags);
            let Some(Value::Array(choices)) = map.get_mut("anyOf") else { return };
            choices.retain(|choice| choice.get("$ref").is_none_or(|name| name != "#/$defs/Template"));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                map.remove("anyOf");
                for (key, value) in only {
                    map.entry(key).or_insert(value);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn the_page_of_the_format_is_in_step_with_the_schema() {
    let files = schema::files(&stage::catalog());
    let text = |name: &str| &files.iter().find(|(path, _)| path == name).expect(name).1;
    let mut root: Value = serde_json::from_str(text("schema/application.json")).expect("JSON");
    without_tags(&mut root);
    let mut page = include_str!("format.md").to_owned();
    page.push_str("## The file\n");
    table(&mut page, &root, &root);
    for (title, name) in [
        ("A pipeline", "PipelineFile"),
        ("A parameter", "ParameterFile"),
        ("What may be at once", "ConcurrencyFile"),
        ("An expected artifact", "ExpectedArtifactFile"),
        ("What all stages have", "StageFile"),
        ("Trying again", "RetryFile"),
        ("A call of a module", "ModuleCall"),
    ] {
        let schema = &root["$defs"][name];
        let about = schema["description"].as_str().expect(name);
        let _ = writeln!(page, "\n## {title}\n\n{about}");
        table(&mut page, &root, schema);
        example(&mut page, schema);
        if name == "PipelineFile" {
            page.push_str("\n## Triggers\n");
            for choice in root["$defs"]["TriggerFile"]["allOf"].as_array().expect("triggers") {
                let shape = &choice["then"];
                let kind = &shape["properties"]["type"];
                let (name, about) =
                    (kind["const"].as_str().expect("a name"), kind["description"].as_str().expect("a text"));
                let _ = writeln!(page, "\n### `{name}`\n\n{about}");
                table(&mut page, &root, shape);
                example(&mut page, shape);
            }
        } else if name == "StageFile" {
            page.push_str("\nBeside these stand the fields of its type: [the types of stages](stages.md).\n");
        }
    }
    let settings: Value = serde_json::from_str(text("schema/settings.json")).expect("JSON");
    page.push_str("\n## Settings\n\n`.longboat/settings.yaml`.\n");
    table(&mut page, &settings, &settings);
    page.push_str("\nEach module repository:\n");
    table(&mut page, &settings, &settings["$defs"]["ModuleRepositoryFile"]);
    example(&mut page, &settings);
    in_step("docs/format.md", &page);
}

/// A schema's example, as YAML.
fn example(page: &mut String, schema: &Value) {
    if let Some(example) = schema["examples"].get(0) {
        let _ = writeln!(page, "\n```yaml\n{}\n```", gitops::to_yaml(example).expect("YAML").trim_end());
    }
}

/// The keys of an object and, below, those of the objects that it holds.
fn tables(page: &mut String, root: &Value, schema: &Value, path: &str) {
    table(page, root, schema);
    for (name, key) in properties(schema) {
        let key = follow(root, key);
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let choices = key.get("anyOf").and_then(Value::as_array).into_iter().flatten().map(|one| follow(root, one));
        for one in std::iter::once(key).chain(choices) {
            let (target, below) = match one.get("items") {
                Some(items) => (follow(root, items), format!("{below}[]")),
                None => (one, below.clone()),
            };
            if path.matches('.').count() < 2 && properties(target).next().is_some() {
                let _ = writeln!(page, "\n`{below}`:");
                tables(page, root, target, &below);
                break;
            }
        }
    }
}

#[test]
fn the_page_of_commands_is_in_step_with_the_program() {
    let mut page = String::from(
        "# Commands\n\n\
         Exit codes: 0 good, 1 the answer is no (findings, a failed run), 2 it could not be done. Data goes to standard output, \
         talk to standard error. `NO_COLOR` is obeyed. This page is what the program itself says.\n",
    );
    for command in COMMANDS {
        let mut words: Vec<&str> = command.split_whitespace().collect();
        words.push("--help");
        let output = Command::new(env!("CARGO_BIN_EXE_longboat")).args(&words).output().expect("the binary runs");
        let help = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "longboat {words:?}");
        let title = format!("longboat {command}");
        let _ = writeln!(page, "\n## {}\n\n```text\n{}\n```", title.trim(), help.trim_end());
    }
    in_step("docs/commands.md", &page);
}

#[test]
fn the_page_of_metrics_is_in_step_with_the_program() {
    let page = format!(
        "# Metrics\n\n\
         `GET /metrics` answers in the OpenMetrics text format. Where the server has tokens, it asks for one, like the API \
         (`authorization: {{credentials_file: ...}}` in a scrape configuration of Prometheus). Counters and histograms \
         count since the process started; the rest says how things stand. Labels are words of the program and names of the \
         configuration. This page is made from the program.\n\n\
         | name | kind | labels | what it is |\n|---|---|---|---|\n{}\n\
         Worth an alert: `longboat_repository_up == 0` for ten minutes, `longboat_outbox_oldest_seconds > 900`, \
         `longboat_inbox_oldest_seconds > 300`, `longboat_forge_paused == 1` for an hour, a rising \
         `longboat_messages_total{{result=\"failed\"}}`.\n",
        longboat::telemetry::documentation()
    );
    in_step("docs/metrics.md", &page);
}

/// The keys of an object and, below it, of each object that it holds.
fn section(page: &mut String, root: &Value, schema: &Value, path: &str, depth: usize) {
    if depth > 4 {
        return;
    }
    if !path.is_empty() {
        let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(page, "\n## `{path}`\n\n{about}");
    }
    table(page, root, schema);
    for (name, key) in properties(schema) {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let key = follow(root, key);
        let (target, below) = match (key.get("items"), key.get("additionalProperties")) {
            (Some(items), _) => (follow(root, items), format!("{below}[]")),
            (None, Some(values)) if values.is_object() => (follow(root, values), format!("{below}.<name>")),
            _ => (key, below),
        };
        if target.get("x-longboat-secret").is_none() && properties(target).next().is_some() {
            section(page, root, target, &below, depth + 1);
        }
    }
}

fn table(page: &mut String, root: &Value, schema: &Value) {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut rows = String::new();
    for (name, key) in properties(schema) {
        let target = follow(root, key);
        let about =
            key.get("description").or_else(|| target.get("description")).and_then(Value::as_str).unwrap_or_default();
        let mut notes = vec![kind(root, key)];
        if required.contains(&name.as_str()) {
            notes.push("required".to_owned());
        }
        if key.get("x-longboat-raw").is_some() {
            notes.push("*raw*".to_owned());
        }
        if ["x-longboat-condition", "x-longboat-variables"].iter().any(|mark| key.get(mark).is_some()) {
            notes.push("*evaluated by the stage*".to_owned());
        }
        if let Some(default) = key.get("default").filter(|default| !default.is_null() && **default != json!([])) {
            notes.push(format!("default `{default}`"));
        }
        let _ =
            writeln!(rows, "| `{name}` | {} | {} |", notes.join(", "), about.replace('\n', " ").replace('|', "\\|"));
    }
    if !rows.is_empty() {
        let _ = write!(page, "\n| key | type | what it is |\n|---|---|---|\n{rows}");
    }
}

/// What kind of value a schema takes, in a word or two.
fn kind(root: &Value, schema: &Value) -> String {
    let target = follow(root, schema);
    if target.get("x-longboat-secret").is_some() {
        return "secret".to_owned();
    }
    if let Some(word) = target.get("const").and_then(Value::as_str) {
        return format!("`{word}`");
    }
    // Where a module's call may stand: what it stands for.
    if let Some(other) = target.get("else") {
        return kind(root, other);
    }
    if let Some(words) = target.get("enum").and_then(Value::as_array) {
        return words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = target.get(choice).and_then(Value::as_array) {
            let mut words: Vec<String> = choices
                .iter()
                .map(|choice| match choice.get("const").and_then(Value::as_str) {
                    Some(word) => format!("`{word}`"),
                    None if choice.get("pattern").is_some_and(|pattern| pattern == r"\$\{") => "expression".to_owned(),
                    None => kind(root, choice),
                })
                .filter(|word| word != "null")
                .collect();
            words.dedup();
            return words.join(" or ");
        }
    }
    match target.get("type") {
        Some(Value::String(word)) if word == "array" => {
            format!("list of {}", target.get("items").map_or_else(|| "any".to_owned(), |items| kind(root, items)))
        }
        Some(Value::String(word)) => word.clone(),
        Some(Value::Array(words)) => {
            words.iter().filter_map(Value::as_str).filter(|word| *word != "null").collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// The definition that a `$ref` names, through an `anyOf` with null.
fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str).or_else(|| {
        let choices = schema.get("anyOf").and_then(Value::as_array)?;
        let mut others = choices.iter().filter(|choice| choice.get("type").and_then(Value::as_str) != Some("null"));
        let only = others.next().filter(|_| choices.len() == 2)?;
        only.get("$ref").and_then(Value::as_str)
    });
    match reference.and_then(|reference| root.pointer(reference.trim_start_matches('#'))) {
        Some(target) => target,
        None => schema,
    }
}

/// Compares a page with what it should be, or writes it.
pub fn in_step(path: &str, text: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(full.parent().expect("a folder")).expect("a folder");
        std::fs::write(&full, text).expect("the page is written");
    }
    let there = std::fs::read_to_string(&full).unwrap_or_default();
    assert!(there == text, "{path} is out of step with the program; `UPDATE_DOCS=1 tests/run quick` writes it");
}
