//! Anything may stand in a file.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Documents that look like application files, with anything anywhere.
fn any_document() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("shop"),
        Just("a"),
        Just("b"),
        Just("script"),
        Just("wait"),
        Just("git"),
        Just("cron"),
        Just("true"),
        Just("90s"),
        Just("${ stages.a.status }"),
        Just("${ 1 +"),
        Just("${ parameters.a - b }"),
        Just(""),
        Just("halt"),
        Just("expression"),
    ];
    let key = prop_oneof![
        Just("application"),
        Just("pipelines"),
        Just("name"),
        Just("id"),
        Just("refId"),
        Just("stages"),
        Just("type"),
        Just("needs"),
        Just("requisiteStageRefIds"),
        Just("when"),
        Just("stageEnabled"),
        Just("expression"),
        Just("parameters"),
        Just("parameterConfig"),
        Just("default"),
        Just("options"),
        Just("value"),
        Just("triggers"),
        Just("branches"),
        Just("branch"),
        Just("timeout"),
        Just("stageTimeoutMs"),
        Just("retry"),
        Just("attempts"),
        Just("onFailure"),
        Just("failPipeline"),
        Just("concurrency"),
        Just("max"),
        Just("vars"),
        Just("dialect"),
        Just("command"),
        Just("env"),
        Just("a/b~c"),
        Just("limitConcurrent"),
        Just("disabled"),
        Just("schedule"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-2_i64..5).prop_map(Value::from),
        word.prop_map(Value::from),
        r"\PC{0,12}".prop_map(Value::from),
    ];
    let any = leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..7).prop_map(|entries| Value::Object(
                entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    });
    (any.clone(), any.clone(), any).prop_map(|(stage, pipeline, file)| {
        // So that some documents get past the first checks.
        let mut stage = stage;
        let mut pipeline = pipeline;
        if let Some(stage) = stage.as_object_mut() {
            stage.entry("type").or_insert(json!("script"));
        }
        if let Some(pipeline) = pipeline.as_object_mut() {
            pipeline.entry("stages").or_insert(json!([stage.clone(), stage]));
            pipeline.entry("name").or_insert(json!("p"));
        }
        match file {
            Value::Object(mut file) => {
                file.entry("application").or_insert(json!("shop"));
                file.entry("pipelines").or_insert(json!([pipeline]));
                Value::Object(file)
            }
            other => other,
        }
    })
}

proptest! {
    #[test]
    fn checking_never_panics_and_hands_out_no_broken_pipeline(documents in prop::collection::vec(any_document(), 1..3)) {
        let checked = check_files(&documents, None);
        for application in checked.applications.iter().filter(|application| application.valid) {
            for pipeline in &application.pipelines {
                let ids: BTreeSet<_> = pipeline.stages.iter().map(|stage| &stage.id).collect();
                prop_assert_eq!(ids.len(), pipeline.stages.len());
                prop_assert!(pipeline.stages.iter().flat_map(|stage| &stage.needs).all(|need| ids.contains(need)));
                let text = serde_json::to_string(pipeline).expect("JSON holds it");
                prop_assert_eq!(&serde_json::from_str::<Pipeline>(&text).expect("reads back"), pipeline);
            }
        }
        prop_assert!(checked.is_valid() || checked.applications.iter().any(|app| !app.valid) || !checked.blocked_files.is_empty());
        prop_assert!(summarize(&checked).1.chars().count() <= 140);
    }
}
