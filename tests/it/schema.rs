//! The published schemas are those of the program: `schema/` is generated, and this test keeps it in step.
//! `UPDATE_SCHEMA=1` writes the files anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use longboat::config::Config;
use longboat::gitops::{self, Limits, MemorySource, Request};
use longboat::model::RepositoryName;
use longboat::{schema, stage};
use serde_json::{Value, json};

use crate::cli::{longboat, stderr};
use crate::pages::{blocks, named};

fn generated() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = schema::files(&stage::catalog()).into_iter().collect();
    files.insert("schema/config.json".to_owned(), format!("{:#}\n", Config::json_schema()));
    files
}

fn present(root: &Path, dir: &str, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(root.join(dir)) else { return };
    for entry in entries {
        let entry = entry.expect("a folder that can be listed");
        let path = format!("{dir}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("a file's type").is_dir() {
            present(root, &path, files);
        } else {
            files.insert(path, std::fs::read_to_string(entry.path()).expect("a text"));
        }
    }
}

#[test]
fn the_published_schemas_are_in_step() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let wanted = generated();
    let mut found = BTreeMap::new();
    present(&root, "schema", &mut found);
    if std::env::var_os("UPDATE_SCHEMA").is_some_and(|value| value == "1") {
        for path in found.keys().filter(|path| !wanted.contains_key(*path)) {
            std::fs::remove_file(root.join(path)).expect("an old schema goes");
        }
        for (path, text) in &wanted {
            std::fs::create_dir_all(root.join(path).parent().expect("a folder")).expect("a folder");
            std::fs::write(root.join(path), text).expect("a new schema is written");
        }
        return;
    }
    let all: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    let stale: Vec<_> = all.into_iter().filter(|path| wanted.get(*path) != found.get(*path)).collect();
    assert!(stale.is_empty(), "{stale:?} are out of step: run this test with UPDATE_SCHEMA=1");
}

#[test]
fn the_schema_of_module_headers_agrees_with_what_is_read() {
    let files = schema::files(&stage::catalog());
    let (_, text) = files.iter().find(|(path, _)| path == "schema/module.json").expect("a schema");
    let schema = serde_json::from_str(text).expect("JSON");
    jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    for (header, good) in [
        (json!({"description": "x", "yields": "stage"}), true),
        (
            json!({"parameters": {"a": {"type": "enum", "options": [1, "x", true]}, "b": {}, "c": {"type": "list", "items": "integer", "max": 3}}}),
            true,
        ),
        (
            json!({"parameters": {"a": {"type": "string", "pattern": "a+", "default": "a"}}, "examples": [{"with": {"a": "aa"}, "before": [{"type": "noop"}]}]}),
            true,
        ),
        (json!({"parameters": {"a": {"type": "enum"}}}), false),
        (json!({"parameters": {"a": {"type": "string", "options": ["x"]}}}), false),
        (json!({"parameters": {"a": {"required": true, "default": "x"}}}), false),
        (json!({"parameters": {"a-b": {}}}), false),
        (json!({"parameters": {"a": {"type": "integer", "pattern": "x"}}}), false),
        (json!({"parameters": {"a": {"type": "object", "items": "string"}}}), false),
        (json!({"parameters": {"a": {"type": "thing"}}}), false),
        (json!({"parameters": {"a": {"typ": "string"}}}), false),
        (json!({"yields": "something"}), false),
        (json!({"examples": [{"wiht": {}}]}), false),
    ] {
        let header = json!({"module": header});
        assert!(schema.is_valid(&json!([{"type": "noop"}])), "the body, which can be anything");
        let errors: Vec<String> = schema.iter_errors(&header).map(|error| error.to_string()).collect();
        assert_eq!(errors.is_empty(), good, "{header}: {errors:?}");
        let source = MemorySource::new([(".longboat/modules/m.json", format!("{header}\n---\n{{}}\n").into_bytes())]);
        let (globals, limits) = (serde_json::Map::new(), Limits::default());
        let repository = RepositoryName::parse("acme/shop").expect("a name");
        let request = Request {
            source: &source,
            repository: &repository,
            branch: "main",
            globals: &globals,
            limits: &limits,
            library: None,
        };
        let findings = gitops::manual(&request).findings;
        assert_eq!(findings.is_empty(), good, "{header}: {findings:?}");
    }
}

#[test]
fn every_stage_type_has_a_sound_schema_with_descriptions() {
    for kind in stage::catalog().iter() {
        kind.check_schema().unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        assert!(!kind.description.is_empty(), "{}", kind.name);
        let properties = kind.schema["properties"].as_object().cloned().unwrap_or_default();
        for (key, field) in properties {
            assert!(field["description"].is_string(), "{}.{key} has no description", kind.name);
        }
    }
}

/// Each key that a schema describes, with its pointer.
fn keys(schema: &Value, pointer: &str, found: &mut Vec<(String, Value)>) {
    match schema {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| keys(item, &format!("{pointer}/{at}"), found))
        }
        Value::Object(map) => {
            for (keyword, value) in map {
                let below = format!("{pointer}/{keyword}");
                match keyword.as_str() {
                    // Conditions choose, and data is data. A refusal needs no words.
                    "if" | "enum" | "const" | "default" | "examples" | "required" => {}
                    "properties" => {
                        // A choice that is one key and what belongs to it is described as a whole.
                        let whole =
                            map.contains_key("description") && value.as_object().is_some_and(|keys| keys.len() == 1);
                        for (name, key) in value.as_object().into_iter().flatten() {
                            let below = format!("{below}/{name}");
                            keys(key, &below, found);
                            if !(whole && pointer.contains("Of/")) {
                                found.push((below, key.clone()));
                            }
                        }
                    }
                    _ => keys(value, &below, found),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_of_every_schema_is_described() {
    for (path, text) in generated() {
        let schema: Value = serde_json::from_str(&text).expect("JSON");
        let mut found = Vec::new();
        keys(&schema, "", &mut found);
        assert!(!found.is_empty(), "{path} describes no key");
        for (pointer, key) in found {
            let said =
                |schema: &Value| schema.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            let target =
                key.get("$ref").and_then(Value::as_str).and_then(|name| schema.pointer(name.trim_start_matches('#')));
            assert!(key.is_boolean() || said(&key) || target.is_some_and(said), "{path}{pointer} has no description");
        }
    }
}

fn application() -> jsonschema::Validator {
    let schema = serde_json::from_str(&generated()["schema/application.json"]).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

/// What the program makes of each application file of a folder.
fn rendered(folder: &Path) -> Vec<(String, Value)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.join(".longboat")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() && path.extension().is_some_and(|kind| kind == "yaml") && !path.ends_with("settings.yaml") {
            let output = longboat(folder, &["render", &path.to_string_lossy(), "--format", "json"]);
            let text = std::fs::read_to_string(&path).expect("a file");
            let document = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{error}\n{}\n{text}", stderr(&output)));
            files.push((path.display().to_string(), document));
        }
    }
    files
}

fn faults(schema: &jsonschema::Validator, document: &Value) -> Vec<String> {
    schema.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn every_example_follows_the_schema() {
    let schema = application();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = rendered(&root.join("examples-repo"));
    assert!(!all.is_empty());
    // The files of the documentation, alone or with the modules before them.
    for page in
        ["docs/guide.md", "docs/from-dinghy.md", "docs/format.md", "docs/triggers.md", "docs/modules.md", "README.md"]
    {
        let text = std::fs::read_to_string(root.join(page)).expect("a page");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join(".longboat/modules")).expect("a folder");
        let yaml = |(language, block): (String, String)| (language == "yaml").then_some(block);
        let blocks: Vec<String> = blocks(&text).into_iter().filter_map(yaml).collect();
        for block in &blocks {
            if let Some(name) = named(block).filter(|name| name.starts_with(".longboat/modules/")) {
                let body = block.split_once('\n').map_or("", |(_, rest)| rest);
                std::fs::write(folder.path().join(name), body).expect("a file");
            }
        }
        // An example of a trigger names an application as well.
        let begins = |block: &&String, key: &str| block.lines().any(|line| line.starts_with(key));
        for block in blocks.iter().filter(|block| begins(block, "application: ") && begins(block, "pipelines:")) {
            // What is shown as wrong says so by a word that is nearly right.
            if !block.contains("scirpt") && !block.contains("regoin") && !block.contains("platform/") {
                std::fs::write(folder.path().join(".longboat/a.yaml"), block).expect("a file");
                all.extend(
                    rendered(folder.path()).into_iter().map(|(_, document)| (format!("{page}\n{block}"), document)),
                );
            }
        }
    }
    assert!(all.len() > 8, "{}", all.len());
    for (name, document) in all {
        assert_eq!(faults(&schema, &document), [""; 0], "{name}");
    }
}

/// A block of a page as the whole that it is a part of, and the schema of that.
fn whole(block: Value) -> (Value, &'static str) {
    let pipeline = |rest: Value| {
        let mut pipeline = rest;
        pipeline["name"] = json!("p");
        json!({"application": "shop", "pipelines": [pipeline]})
    };
    let is = |key: &str| block.get(key).is_some();
    if is("module") {
        (block, "schema/module.json")
    } else if is("application") && is("pipelines") {
        (block, "schema/application.json")
    } else if is("pipelines") {
        (json!({"application": "shop", "pipelines": block["pipelines"]}), "schema/application.json")
    } else if is("schedule") || block["type"] == "git" || block["type"] == "pull_request" || is("statuses") {
        (pipeline(json!({"triggers": [block], "stages": [{"type": "noop"}]})), "schema/application.json")
    } else if is("type") {
        (pipeline(json!({"stages": [block]})), "schema/application.json")
    } else {
        (block, "schema/config.json")
    }
}

#[test]
fn every_other_example_is_a_part_of_something_that_follows_its_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schemas = generated();
    let schema = |name: &str| {
        let schema = serde_json::from_str(&schemas[name]).expect("JSON");
        jsonschema::validator_for(&schema).expect("a schema")
    };
    let mut seen = 0;
    for page in ["README.md", "docs/security.md", "docs/stages.md", "docs/artifacts.md", "docs/modules.md"] {
        let text = std::fs::read_to_string(root.join(page)).expect("a page");
        for (_, block) in blocks(&text).into_iter().filter(|(language, _)| language == "yaml") {
            // Whole files are run, and there is no such repository of modules here.
            if named(&block).is_some() || block.contains("platform/") {
                continue;
            }
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::create_dir_all(folder.path().join(".longboat")).expect("a folder");
            let file = folder.path().join(".longboat/a.yaml");
            let part = |holder: &str, by: usize| {
                let lines: String = block.lines().map(|line| format!("{:by$}{line}\n", "")).collect();
                format!("application: shop\npipelines:\n  - name: p\n{holder}{lines}")
            };
            let text = match block.as_str() {
                block if block.starts_with("- use: std/nightly") => {
                    part("    triggers:\n", 6) + "    stages: [{type: noop}]\n"
                }
                block if block.starts_with("- ") => part("    stages:\n", 6),
                block if block.starts_with("stages:") => part("", 4),
                block => block.to_owned(),
            };
            std::fs::write(&file, text).expect("a file");
            let output = longboat(folder.path(), &["render", &file.to_string_lossy(), "--format", "json"]);
            let document = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{page}: {error}\n{}\n{block}", stderr(&output)));
            let (document, name) = whole(document);
            let faults = faults(&schema(name), &document);
            // What a laptop's settings and a server's configuration say of modules is nearly the same.
            let settings = || self::faults(&schema("schema/settings.json"), &document);
            assert!(faults.is_empty() || settings().is_empty(), "{page}\n{block}\n{faults:#?}");
            seen += 1;
        }
    }
    assert!(seen > 25, "{seen}");
}

#[test]
fn known_mistakes_do_not_follow_the_schema_and_template_tags_do() {
    let schema = application();
    let stage = |stage: Value| json!({"application": "shop", "pipelines": [{"name": "p", "stages": [stage]}]});
    let script = |key: &str, value: Value| {
        let mut fields = json!({"type": "script", "command": "make"});
        fields[key] = value;
        stage(fields)
    };
    // As an editor reads `{{ x }}` without quotes: a mapping of a mapping to nothing.
    let tag = json!({"{ x: null }": null});
    for good in [
        stage(tag.clone()),
        stage(json!("{{ module('x') }}")),
        script("onFailure", tag.clone()),
        script("onFailure", json!("{{ vars.x }}")),
        script("timeout", tag.clone()),
        script("needs", tag.clone()),
        script("needs", json!([tag.clone()])),
        script("env", json!({"A": tag, "B": "${ parameters.b }"})),
        script("retry", json!({"attempts": tag})),
        script("command", tag),
    ] {
        assert_eq!(faults(&schema, &good), [""; 0], "{good}");
    }
    for bad in [
        script("onFailure", json!("hlat")),
        script("timeout", json!("soon")),
        script("needs", json!("build")),
        script("retry", json!({"attempts": 0})),
        script("env", json!(["A=b"])),
        script("comand", json!("make")),
        stage(json!({"type": "scirpt", "command": "make"})),
        stage(json!({"type": "script"})),
    ] {
        assert!(!schema.is_valid(&bad), "{bad}");
    }
}

#[test]
fn examples_name_their_schema_where_editors_find_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, number) in [("examples-repo/.longboat", 1), ("examples-repo/.longboat/modules", 1), ("modules", 9)] {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder").map(|entry| entry.expect("one").path());
        let files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).collect();
        assert!(files.len() >= number, "{files:?}");
        for path in files {
            let text = std::fs::read_to_string(&path).expect("a file");
            let schema = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
            let schema = schema.unwrap_or_else(|| panic!("{} has no modeline", path.display()));
            let is = if folder.ends_with("modules") { "module.json" } else { "application.json" };
            let schema = path.parent().expect("a folder").join(schema);
            assert!(schema.is_file() && schema.ends_with(is), "{}: {}", path.display(), schema.display());
        }
    }
    // Where `longboat init` puts them.
    for page in [
        "docs/guide.md",
        "docs/from-dinghy.md",
        "docs/format.md",
        "docs/modules.md",
        "docs/triggers.md",
        "docs/variables.md",
    ] {
        let text = std::fs::read_to_string(root.join(page)).expect("a page");
        for (_, block) in blocks(&text) {
            let Some(name) = named(&block).filter(|name| name.ends_with(".yaml") && !name.contains("/vars/")) else {
                continue;
            };
            let kind = match name.strip_prefix(".longboat/").expect("below it") {
                "settings.yaml" => "settings",
                name if name.starts_with("modules/") => "module",
                _ => "application",
            };
            let up = "../".repeat(name.matches('/').count() - 1);
            let line = format!("# yaml-language-server: $schema={up}schema/{kind}.json");
            assert_eq!(block.lines().nth(1), Some(line.as_str()), "{page}\n{block}");
        }
    }
}
