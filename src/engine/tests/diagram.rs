//! The pictures of the statuses in the documentation are those of the engine: every transition that is legal is drawn,
//! and no other.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, json};

use super::world::*;
use crate::clock::Timestamp;
use crate::engine::entry::Entry;
use crate::engine::state::State;
use crate::model::{Instance, Over, Spread, Stage, Status};

type Transitions = BTreeSet<(&'static str, &'static str)>;

/// Every entry that might be legal in a state, as far as its kind and its statuses go.
fn entries(state: &State) -> Vec<Entry> {
    let at = Timestamp::from_millis(5);
    let by = || "ann".to_owned();
    let mut all = vec![
        Entry::Begin,
        Entry::Cancel { by: by(), reason: None, superseded: false },
        Entry::Timeout,
        Entry::Pause { by: by() },
        Entry::Resume { by: by() },
        Entry::Hold(hold("audit")),
        Entry::Release,
    ];
    all.extend(Status::ALL.map(|status| Entry::End { status }));
    for (stage, found) in (0..).zip(&state.stages) {
        all.extend(Status::ALL.map(|status| Entry::Fail { stage, status, message: "x".into(), outputs: Map::new() }));
        all.extend([
            Entry::Start { stage, attempt: found.attempt + 1, fields: None, secrets: Vec::new() },
            Entry::Wait { stage, until: None, waiting_for: "x".into(), checkpoint: json!(1), signal_kept: false },
            Entry::Poll { stage, until: at, checkpoint: json!(1), signal_kept: false },
            Entry::Signal { stage, payload: json!(1) },
            Entry::Done { stage, outputs: Map::new() },
            Entry::Retry { stage, message: "x".into(), until: at, lost: false },
            Entry::Skip { stage },
            Entry::Window { stage, until: at },
            Entry::SkipWindow { stage, by: by() },
            Entry::Cancelling { stage, timed_out: false },
            Entry::Cancelling { stage, timed_out: true },
            Entry::Canceled { stage, message: None },
            Entry::Spread { stage, instances: vec![Instance { key: "0".into(), value: json!("eu") }] },
            Entry::Restart { stages: vec![stage], by: by(), override_freeze: false },
        ]);
    }
    all
}

/// What tells two states apart as far as transitions go.
fn kind_of(state: &State) -> String {
    let stages = state.stages.iter().map(|stage| {
        let phase = format!("{:?}", std::mem::discriminant(&stage.phase));
        format!("{phase} {} {} {}", stage.status(), stage.signal.is_some(), stage.failed_first.is_some())
    });
    let stages: Vec<String> = stages.collect();
    let stop = state.stop.as_ref().map(std::mem::discriminant);
    format!("{} {stop:?} {} {} {stages:?}", state.status, state.held.is_some(), state.started_at.is_some())
}

/// All transitions that can be reached: of executions, and of stages.
fn explore(stages: Vec<Stage>) -> (Transitions, Transitions) {
    let (mut executions, mut of_stages) = (Transitions::new(), Transitions::new());
    let first = Run::stored(pipeline(stages)).state;
    let mut seen = HashSet::from([kind_of(&first)]);
    let mut open = vec![first];
    while let Some(state) = open.pop() {
        for entry in entries(&state) {
            let mut next = state.clone();
            if next.apply(&entry, Timestamp::from_millis(7)).is_err() {
                continue;
            }
            executions.insert((state.status.as_str(), next.status.as_str()));
            let before = state.stages.iter().map(|stage| stage.status()).chain(std::iter::repeat(Status::NotStarted));
            let after = next.stages.iter().map(|stage| stage.status().as_str());
            of_stages.extend(before.map(Status::as_str).zip(after));
            if seen.insert(kind_of(&next)) {
                open.push(next);
            }
        }
    }
    for transitions in [&mut executions, &mut of_stages] {
        transitions.retain(|(before, after)| before != after);
    }
    (executions, of_stages)
}

/// The transitions that the pictures of a page show, one set for each picture.
fn drawn(page: &str) -> Vec<Transitions> {
    let status = |word: &str| {
        let status = serde_json::from_value::<Status>(json!(word)).unwrap_or_else(|_| panic!("no status: {word}"));
        status.as_str()
    };
    let picture = |picture: &str| {
        let lines =
            picture.lines().take_while(|line| !line.starts_with("```")).filter_map(|line| line.split_once(" --> "));
        let lines = lines.filter(|(from, _)| !from.contains("[*]"));
        lines.map(|(from, to)| (status(from.trim()), status(to.split(':').next().unwrap_or(to).trim()))).collect()
    };
    page.split("stateDiagram-v2").skip(1).map(picture).collect()
}

#[test]
fn the_pictures_show_the_legal_transitions_and_no_others() {
    let over = Over::ForEach { items: json!(["eu"]), name: "item".to_owned() };
    let group = Stage { spread: Some(Spread { over, max_parallel: None, fail_fast: true }), ..stage("a", &[]) };
    let (mut executions, mut stages) = explore(vec![stage("a", &[])]);
    let (more_executions, more_stages) = explore(vec![group]);
    executions.extend(more_executions);
    stages.extend(more_stages);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/executions.md")).expect("the page");
    let drawn = drawn(&page);
    let [of_executions, of_stages] = drawn.as_slice() else { panic!("two pictures") };
    assert_eq!(of_executions, &executions, "of executions");
    assert_eq!(of_stages, &stages, "of stages");
}
