//! What the tests of this room are made of.

use serde_json::{Value, json};

use crate::model::{CommitSha, Pipeline, RepositoryName};

pub(super) fn repository(name: &str) -> RepositoryName {
    RepositoryName::parse(name).expect("legal")
}

pub(super) fn sha(number: u32) -> CommitSha {
    CommitSha::parse(&format!("{number:040x}")).expect("legal")
}

/// A pipeline of one stage with these triggers.
pub(crate) fn pipeline(application: &str, name: &str, triggers: Value) -> Pipeline {
    let place = json!({"file": ".longboat/a.yaml", "line": 1, "column": 1, "endLine": 1, "endColumn": 1});
    serde_json::from_value(json!({
        "application": application,
        "name": name,
        "id": "00000000-0000-0000-0000-000000000001",
        "triggers": triggers,
        "stages": [{"id": "one", "name": "one", "type": "noop", "needs": [], "fields": {}, "source": place}],
        "source": place,
    }))
    .expect("a pipeline")
}
