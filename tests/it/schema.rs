//! The published schemas are those of the program: `schema/` is generated, and this test keeps it in step.
//! `UPDATE_SCHEMA=1` writes the files anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use longboat::config::Config;
use longboat::{schema, stage};

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
