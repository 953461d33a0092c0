//! The published schemas are those of the program: `schema/` is generated, and this test keeps it in step.
//! `UPDATE_SCHEMA=1` writes the files anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use longboat::config::Config;
use longboat::gitops::{self, Limits, MemorySource, Request};
use longboat::model::RepositoryName;
use longboat::{schema, stage};
use serde_json::json;

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
