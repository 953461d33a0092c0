//! What must be true at the end, whatever happened.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;

use super::work::Counter;
use crate::journey::world::World;

/// An execution has ended well, and each of its scripts ran as often as is said of it.
pub fn execution(view: &Value, marks: &HashMap<String, Vec<String>>, counter: &Counter) -> Vec<String> {
    let id = view["id"].as_str().expect("an id");
    let mut wrong = Vec::new();
    if view["status"] != "SUCCEEDED" {
        wrong.push(format!("{id} ended as {}: {view:#}", view["status"]));
    }
    for stage in view["stages"].as_array().expect("stages") {
        let (path, attempt) = (stage["path"].as_str().expect("a path"), stage["attempt"].as_u64().unwrap_or(0));
        match stage["type"].as_str() {
            Some("script") => {
                let mut runs = Vec::new();
                for attempt in 1..=attempt + 3 {
                    runs.push(marks.get(&format!("{id}.{path}.{attempt}")).cloned().unwrap_or_default());
                }
                let begins = |run: &Vec<String>| run.iter().filter(|line| *line == "begin").count();
                if runs.iter().any(|run| begins(run) > 1) {
                    wrong.push(format!("{id} {path}: an attempt ran twice: {runs:?}"));
                }
                let last = usize::try_from(attempt).expect("few").checked_sub(1).and_then(|last| runs.get(last));
                if stage["status"] == "SUCCEEDED" && last.is_none_or(|run| *run != ["begin", "end"]) {
                    wrong.push(format!("{id} {path}: attempt {attempt} succeeded, and ran otherwise: {runs:?}"));
                }
                if runs.iter().skip(usize::try_from(attempt).expect("few")).any(|run| !run.is_empty()) {
                    wrong.push(format!("{id} {path}: it ran after attempt {attempt} succeeded: {runs:?}"));
                }
            }
            Some("webhook") => {
                let calls = counter.calls.lock().expect("whole");
                let keys = calls.get(id).map_or(0, BTreeMap::len);
                if keys == 0 || keys as u64 > attempt {
                    wrong.push(format!("{id} {path}: {keys} keys for {attempt} attempts: {:?}", calls.get(id)));
                }
            }
            _ => {}
        }
    }
    wrong
}

/// Of the executions of a lane, one ran at a time.
pub fn lane(views: &[Value]) -> Vec<String> {
    let mut times: Vec<(&str, &str, &str)> = views
        .iter()
        .filter(|view| view["pipeline"] == "lane")
        .filter_map(|view| Some((view["startTime"].as_str()?, view["endTime"].as_str()?, view["id"].as_str()?)))
        .collect();
    times.sort_unstable();
    let over = times.windows(2).filter(|pair| pair[1].0 < pair[0].1);
    over.map(|pair| format!("two at once in the lane: {pair:?}")).collect()
}

/// Each child was started by one parent, and each parent started one.
pub fn children(views: &[Value]) -> Vec<String> {
    let count = |pipeline: &str| views.iter().filter(|view| view["pipeline"] == pipeline).count();
    if count("parent") == count("child") {
        return Vec::new();
    }
    vec![format!("{} parents have {} children", count("parent"), count("child"))]
}

/// Every status arrived once, in order, and the last one is final. A process that is stopped at the moment of sending says
/// its word when it goes on: each such stop (`stops` of them) may make one word late, which is then seen and answered with
/// the last word once more. Several executions that somebody started for the same commit share their contexts: of those, the
/// last word is the newest execution's end.
pub fn statuses(world: &World, commits: &[String], stops: usize) -> Vec<String> {
    let (mut wrong, mut late) = (Vec::new(), Vec::new());
    for commit in commits {
        for (context, statuses) in world.statuses(commit) {
            let words: Vec<(&str, &str)> =
                statuses.iter().map(|status| (status.state.as_str(), status.description.as_str())).collect();
            let of_one = ["longboat/validate", "longboat/shop/deploy"].contains(&context.as_str());
            let said = format!("{commit} {context}: {words:?}");
            let Some(last) = words.last().filter(|last| last.0 != "pending") else {
                wrong.push(said);
                continue;
            };
            // Up to its first final word, and what came after that.
            let first = words.iter().position(|word| word.0 != "pending").unwrap_or(0);
            let (before, after) = words.split_at(first + 1);
            let twice = before.windows(2).filter(|pair| pair[0] == pair[1]).count();
            let behind = after.iter().filter(|word| word.0 == "pending").count();
            if of_one && after.iter().any(|word| word.0 != "pending" && word != last) {
                wrong.push(said);
            } else if of_one && twice + after.len() > 0 {
                late.extend(std::iter::repeat_n(said, twice + behind.max(1)));
            }
        }
    }
    if late.len() > stops { [wrong, late].concat() } else { wrong }
}

/// What the scripts noted, by execution, stage and attempt.
pub fn notes(folder: &Path) -> HashMap<String, Vec<String>> {
    std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let lines = std::fs::read_to_string(&path).expect("a file").lines().map(str::to_owned).collect();
            (path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned(), lines)
        })
        .collect()
}
