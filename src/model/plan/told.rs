//! Changes in words. One wording for all who read them: comments, terminals and pages.

use serde_json::{Map, Value};

use super::{Change, ChangeKind, PipelineChange, SourceLine};
use crate::diagnostic::pointer_key;
use crate::model::{Line, Piece, shorten};

/// The longest name that is told, in characters.
const LONGEST_NAME: usize = 80;
/// The longest value that is told within a line, in characters.
const LONGEST_VALUE: usize = 160;
/// The most lines of a text that are told, before and after together.
const MOST_LINES: usize = 24;
/// The longest of them, in characters.
const LONGEST_LINE: usize = 200;

/// One difference in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What happens to the thing that the line is about.
    pub kind: ChangeKind,
    /// What it is and how it differs, without the word for `kind`: ``stage `build`: `command` from `a` to `b` ``.
    pub line: Line,
    /// Of a text of several lines: which of them differ.
    pub lines: Vec<LineChange>,
    /// Where it is written.
    pub place: Option<SourceLine>,
    /// Whether it was written there, and isn't any more.
    pub gone: bool,
}

impl Told {
    /// As plain text, names between backticks: ``added stage `ship` ``.
    pub fn sentence(&self) -> String {
        let mut text = format!("{} ", self.kind.as_str());
        for piece in &self.line {
            match piece {
                Piece::Text(plain) | Piece::Strong(plain) | Piece::Link { text: plain, .. } => text.push_str(plain),
                Piece::Code(code) => text.extend(["`", code.as_str(), "`"]),
                Piece::Mark(_) => {}
            }
        }
        text
    }

    /// The place in words: `.longboat/shop.yaml:7`, or `was at .longboat/shop.yaml:7`.
    pub fn where_it_is(&self) -> Option<String> {
        let place = self.place.as_ref()?;
        Some(if self.gone { format!("was at {place}") } else { place.to_string() })
    }
}

/// A line of a text that comes, goes, stays, or stands for some that are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineChange {
    /// It comes.
    Added(String),
    /// It goes.
    Removed(String),
    /// So many lines are left out.
    LeftOut(usize),
}

impl LineChange {
    /// As a line of a text in the format of `diff`.
    pub fn written(&self) -> String {
        match self {
            Self::Added(line) => format!("+ {line}"),
            Self::Removed(line) => format!("- {line}"),
            Self::LeftOut(number) => format!("  … {number} more"),
        }
    }
}

/// Everything that differs in a pipeline, in words. Of one that comes: what it is made of. Of one that goes: nothing,
/// that it goes says it.
pub fn told(pipeline: &PipelineChange) -> Vec<Told> {
    let mut all = Vec::new();
    let mut triggers = Vec::new();
    for change in &pipeline.changes {
        let steps: Vec<String> = change.pointer.split('/').skip(1).map(pointer_key).collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        match steps.as_slice() {
            [] => all.extend(change.after.iter().flat_map(parts)),
            ["triggers", _] => triggers.push(change),
            steps => all.push(one(change, steps)),
        }
    }
    let mut told = self::triggers(&triggers);
    told.extend(all);
    told
}

/// What a pipeline that comes is made of.
fn parts(document: &Value) -> Vec<Told> {
    let of = |key: &str| document.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let triggers = of("triggers").into_values().map(|trigger| whole("trigger", &kind_of(&trigger), &trigger));
    let parameters = of("parameters").into_iter().map(|(name, value)| whole("parameter", &name, &value));
    let stages = of("stages").into_iter().map(|(id, value)| whole("stage", &id, &value));
    triggers.chain(parameters).chain(stages).collect()
}

fn whole(noun: &str, name: &str, value: &Value) -> Told {
    let mut line = vec![Piece::text(format!("{noun} ")), Piece::code(shorten(name, LONGEST_NAME))];
    line.extend(about(noun, value));
    Told { kind: ChangeKind::Added, line, lines: Vec::new(), place: None, gone: false }
}

/// What matters most of a thing that is new.
fn about(noun: &str, value: &Value) -> Line {
    let mut line = Line::new();
    let text = |key: &str| value.get(key).filter(|value| !value.is_null()).map(shown);
    match noun {
        "stage" => {
            line.push(Piece::text(", "));
            line.push(Piece::code(text("type").unwrap_or_default()));
            let needs = value.get("needs").and_then(Value::as_object).cloned().unwrap_or_default();
            for (index, need) in needs.keys().enumerate() {
                line.push(Piece::text(if index == 0 { ", after " } else { " and " }));
                line.push(Piece::code(need.clone()));
            }
        }
        "parameter" => {
            line.push(Piece::text(format!(", {}", text("type").unwrap_or_default())));
            if let Some(default) = text("default") {
                line.extend([Piece::text(", default "), Piece::code(default)]);
            } else if value.get("required") == Some(&Value::Bool(true)) {
                line.push(Piece::text(", required"));
            }
        }
        _ => {
            let keys = value.as_object().into_iter().flatten().filter(|(key, _)| key.as_str() != "type");
            for (key, value) in keys.take(6) {
                let name = shorten(key, LONGEST_NAME);
                line.extend([Piece::text(format!(", {name} ")), Piece::code(shown(value))]);
            }
        }
    }
    line
}

/// A change of something that isn't a trigger.
fn one(change: &Change, steps: &[&str]) -> Told {
    let (noun, name, rest) = match steps {
        ["stages", id, rest @ ..] => ("stage ", *id, rest),
        ["parameters", name, rest @ ..] => ("parameter ", *name, rest),
        ["expectedArtifacts", id, rest @ ..] => ("expected artifact ", *id, rest),
        ["triggers", key, rest @ ..] => ("trigger ", *key, rest),
        rest => return value("", "", rest, change),
    };
    match rest {
        [] => {
            let mut line = vec![Piece::text(noun), Piece::code(shorten(name, LONGEST_NAME))];
            let new = change.after.as_ref().filter(|_| change.kind == ChangeKind::Added);
            line.extend(new.map(|new| about(noun.trim_end(), new)).unwrap_or_default());
            Told {
                kind: change.kind,
                line,
                lines: Vec::new(),
                place: change.place.clone(),
                gone: change.kind == ChangeKind::Removed,
            }
        }
        ["needs", other] if noun == "stage " => {
            let how = if change.kind == ChangeKind::Removed { ": no longer after " } else { ": now after " };
            let line = vec![Piece::text(noun), Piece::code(name), Piece::text(how), Piece::code(*other)];
            Told {
                kind: ChangeKind::Changed,
                line,
                lines: Vec::new(),
                place: change.place.clone(),
                gone: change.kind == ChangeKind::Removed,
            }
        }
        rest => value(noun, name, rest, change),
    }
}

/// A change of a value inside of something that stays.
fn value(noun: &str, name: &str, rest: &[&str], change: &Change) -> Told {
    let mut line = Line::new();
    if !noun.is_empty() {
        line.extend([Piece::text(noun), Piece::code(shorten(name, LONGEST_NAME)), Piece::text(": ")]);
    }
    line.push(Piece::code(shorten(&rest.join("."), LONGEST_NAME)));
    let lines = match (&change.before, &change.after) {
        _ if change.cut => Vec::new(),
        (Some(Value::String(before)), Some(Value::String(after))) if before.contains('\n') || after.contains('\n') => {
            line_changes(before, after)
        }
        (None, Some(Value::String(after))) if after.contains('\n') => line_changes("", after),
        _ => Vec::new(),
    };
    match (&change.before, &change.after) {
        _ if change.cut => line.push(Piece::text(" differs; it is too long to be shown")),
        _ if !lines.is_empty() => line.push(Piece::text(if change.before.is_some() { " differs" } else { " is new" })),
        (Some(before), Some(after)) if before == after => line.push(Piece::text(" differs; it is not shown")),
        (Some(before), Some(after)) => {
            line.extend([Piece::text(" from "), code(before), Piece::text(" to "), code(after)]);
        }
        (None, Some(after)) => line.extend([Piece::text(" set to "), code(after)]),
        (Some(before), None) => line.extend([Piece::text(" taken away, it was "), code(before)]),
        (None, None) => {}
    }
    Told {
        kind: ChangeKind::Changed,
        line,
        lines,
        place: change.place.clone(),
        gone: change.kind == ChangeKind::Removed,
    }
}

/// Triggers have no names. Where one of a type goes and one comes, it is told as one that changes.
fn triggers(changes: &[&Change]) -> Vec<Told> {
    let content = |change: &Change| change.after.clone().or_else(|| change.before.clone()).unwrap_or_default();
    let mut kinds: Vec<String> = changes.iter().map(|change| kind_of(&content(change))).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut all = Vec::new();
    for kind in kinds {
        let of_kind: Vec<&Change> =
            changes.iter().copied().filter(|change| kind_of(&content(change)) == kind).collect();
        let with = |wanted| of_kind.iter().copied().filter(|change| change.kind == wanted).collect::<Vec<_>>();
        let (gone, fresh) = (with(ChangeKind::Removed), with(ChangeKind::Added));
        if let ([gone], [fresh]) = (gone.as_slice(), fresh.as_slice())
            && let (Some(Value::Object(before)), Some(Value::Object(after))) = (&gone.before, &fresh.after)
        {
            all.extend(keys_of_trigger(&kind, before, after, fresh));
            continue;
        }
        for change in of_kind {
            let mut told = whole("trigger", &kind, &content(change));
            told.kind = change.kind;
            told.place.clone_from(&change.place);
            told.gone = change.kind == ChangeKind::Removed;
            all.push(told);
        }
    }
    all
}

fn keys_of_trigger(kind: &str, before: &Map<String, Value>, after: &Map<String, Value>, at: &Change) -> Vec<Told> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let differ = after.keys().chain(gone).filter(|key| before.get(*key) != after.get(*key));
    let told = differ.map(|key| {
        let change = Change {
            kind: ChangeKind::Changed,
            pointer: String::new(),
            before: before.get(key).cloned(),
            after: after.get(key).cloned(),
            place: at.place.clone(),
            cut: false,
        };
        value("trigger ", kind, &[key.as_str()], &change)
    });
    told.collect()
}

fn kind_of(trigger: &Value) -> String {
    trigger.get("type").and_then(Value::as_str).unwrap_or("without a type").to_owned()
}

fn code(value: &Value) -> Piece {
    Piece::code(shown(value))
}

/// A value within a line.
fn shown(value: &Value) -> String {
    let is_plain = |item: &Value| matches!(item, Value::String(text) if !text.is_empty() && !text.contains(','));
    let text = match value {
        Value::String(text) if text.trim().is_empty() => format!("\"{text}\""),
        Value::String(text) => text.clone(),
        Value::Array(items) if !items.is_empty() && items.iter().all(is_plain) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    shorten(text.trim(), LONGEST_VALUE)
}

/// The lines that differ: what is the same at the beginning and at the end is left out.
fn line_changes(before: &str, after: &str) -> Vec<LineChange> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - same;
    let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[same..old.len() - end], &new[same..new.len() - end]);
    let most = MOST_LINES / 2;
    let line = |line: &&str| shorten(line, LONGEST_LINE);
    let mut lines = Vec::new();
    lines.extend(old.iter().take(most).map(|text| LineChange::Removed(line(text))));
    lines.extend(old.len().checked_sub(most).filter(|more| *more > 0).map(LineChange::LeftOut));
    lines.extend(new.iter().take(most).map(|text| LineChange::Added(line(text))));
    lines.extend(new.len().checked_sub(most).filter(|more| *more > 0).map(LineChange::LeftOut));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{ApplicationName, PipelineName};

    fn change(pointer: &str, before: Value, after: Value) -> Change {
        let some = |value: Value| (!value.is_null()).then_some(value);
        let (before, after) = (some(before), some(after));
        let kind = match (&before, &after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        };
        Change { kind, pointer: pointer.to_owned(), before, after, place: None, cut: false }
    }

    fn words(changes: Vec<Change>) -> Vec<String> {
        let pipeline = PipelineChange {
            application: ApplicationName::parse("shop").expect("legal"),
            pipeline: PipelineName::parse("deploy").expect("legal"),
            kind: ChangeKind::Changed,
            place: SourceLine { file: "a".to_owned(), line: 1 },
            changes,
            left_out: 0,
            graph: None,
        };
        let plain = |told: Told| {
            let lines: String = told.lines.iter().map(|line| format!("\n{}", line.written())).collect();
            told.sentence() + &lines
        };
        told(&pipeline).into_iter().map(plain).collect()
    }

    #[test]
    fn each_change_is_a_sentence() {
        let null = || Value::Null;
        let told = words(vec![
            change("/description", json!("Ships"), null()),
            change("/timeout", null(), json!("1h")),
            change("/parameters/version/default", json!("1"), json!("2")),
            change("/parameters/region", null(), json!({"type": "string", "required": false, "default": "eu"})),
            change("/triggers/git-1", json!({"type": "git", "branches": ["main"]}), null()),
            change("/triggers/git-2", null(), json!({"type": "git", "branches": ["main", "next"]})),
            change("/triggers/cron-1", null(), json!({"type": "cron", "schedule": "0 9 * * *"})),
            change("/stages/ship", null(), json!({"type": "script", "needs": {"build": true, "test": true}})),
            change("/stages/build/needs/lint", null(), json!(true)),
            change("/stages/build/needs/old", json!(true), null()),
            change("/stages/build/env/A.B", json!(""), json!([1, "x"])),
            change("/stages/build/command", json!("a\nb\nc\n"), json!("a\nx\nc\n")),
            change("/stages/build/token", json!("***"), json!("***")),
            change("/stages/gone", json!({"type": "wait"}), null()),
        ]);
        let expected = [
            "added trigger `cron`, schedule `0 9 * * *`",
            "changed trigger `git`: `branches` from `main` to `main, next`",
            "changed `description` taken away, it was `Ships`",
            "changed `timeout` set to `1h`",
            "changed parameter `version`: `default` from `1` to `2`",
            "added parameter `region`, string, default `eu`",
            "added stage `ship`, `script`, after `build` and `test`",
            "changed stage `build`: now after `lint`",
            "changed stage `build`: no longer after `old`",
            "changed stage `build`: `env.A.B` from `\"\"` to `[1,\"x\"]`",
            "changed stage `build`: `command` differs\n- b\n+ x",
            "changed stage `build`: `token` differs; it is not shown",
            "removed stage `gone`",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_told_is_short_whatever_the_values_are() {
        let long = "x\n".repeat(5000);
        let told = words(vec![
            change("/stages/build/command", json!("y\n".repeat(5000)), json!(long)),
            change(&format!("/stages/build/{}", "k".repeat(5000)), json!("v".repeat(5000)), json!(["w".repeat(5000)])),
        ]);
        assert!(told.iter().all(|text| text.chars().count() < 1000), "{told:#?}");
        assert!(told[0].ends_with("+ x\n  … 4988 more"), "{}", told[0]);
    }
}
