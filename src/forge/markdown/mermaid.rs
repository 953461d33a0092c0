//! Pictures of stages as Mermaid, which GitHub and GitLab draw.
//!
//! What is new, differs or goes is told by a word in the box and by its frame, not by colour alone. A name is foreign
//! text: in a box stand letters, digits and spaces as they are, and all else as Mermaid's entity codes (`#35;`), so
//! that it ends neither the label nor the block, and is no Markdown inside of it.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::inline::{clipped, flat};
use crate::model::{ChangeKind, PlanGraph, PlanStage};

/// The most stages that are drawn. In a larger picture only what differs and its neighbours are.
const MOST_STAGES: usize = 60;
/// The most edges: Mermaid itself refuses more than 500.
const MOST_EDGES: usize = 300;
/// The longest name in a box, in characters.
const LONGEST_NAME: usize = 48;

/// The code block; empty if the picture would be too large to be read.
pub(super) fn written(graph: &PlanGraph) -> String {
    let Some(stages) = shown(graph) else { return String::new() };
    let index: HashMap<&str, usize> =
        stages.iter().enumerate().map(|(index, stage)| (stage.id.as_str(), index)).collect();
    let change = |index: usize| stages.get(index).and_then(|stage| stage.change);
    let mut out = String::from("```mermaid\nflowchart LR\n");
    for (index, stage) in stages.iter().enumerate() {
        let (word, class) = match stage.change {
            Some(kind) => (format!(" ({})", kind.as_str()), format!(":::{}", kind.as_str())),
            None => Default::default(),
        };
        // Writing to a String can't fail.
        let _ = writeln!(out, "  n{index}[\"{}{word}\"]{class}", label(&stage.name));
    }
    let mut edges = 0;
    for (to, stage) in stages.iter().enumerate() {
        for edge in &stage.needs {
            let Some(&from) = index.get(edge.stage.as_str()) else { continue };
            // That the edge of a stage that comes or goes does so as well says itself.
            let said = |kind| change(to) == Some(kind) || change(from) == Some(kind);
            let arrow = match edge.change {
                Some(ChangeKind::Added) if said(ChangeKind::Added) => "==>",
                Some(ChangeKind::Added) => "==>|added|",
                Some(ChangeKind::Removed) if said(ChangeKind::Removed) => "-.->",
                Some(ChangeKind::Removed) => "-.->|removed|",
                Some(ChangeKind::Changed) | None => "-->",
            };
            let _ = writeln!(out, "  n{from} {arrow} n{to}");
            edges += 1;
        }
    }
    if edges > MOST_EDGES {
        return String::new();
    }
    for (class, style) in [
        ("added", "stroke:#1a7f37,stroke-width:3px"),
        ("changed", "stroke:#9a6700,stroke-width:3px"),
        ("removed", "stroke:#cf222e,stroke-width:2px,stroke-dasharray:5 5"),
    ] {
        if stages.iter().any(|stage| stage.change.is_some_and(|kind| kind.as_str() == class)) {
            let _ = writeln!(out, "  classDef {class} {style}");
        }
    }
    out.push_str("```");
    out
}

/// All stages, or what differs with its neighbours; none if even that is too much.
fn shown(graph: &PlanGraph) -> Option<Vec<&PlanStage>> {
    let all: Vec<&PlanStage> = graph.stages.iter().collect();
    if all.len() <= MOST_STAGES {
        return (!all.is_empty()).then_some(all);
    }
    let differs = |stage: &PlanStage| stage.change.is_some();
    let differ: Vec<&str> = all.iter().filter(|stage| differs(stage)).map(|stage| stage.id.as_str()).collect();
    let next_to: Vec<&str> = all
        .iter()
        .filter(|stage| differs(stage))
        .flat_map(|stage| stage.needs.iter().map(|edge| edge.stage.as_str()))
        .collect();
    let keep = |stage: &&PlanStage| {
        differs(stage)
            || next_to.contains(&stage.id.as_str())
            || stage.needs.iter().any(|edge| differ.contains(&edge.stage.as_str()))
    };
    let some: Vec<&PlanStage> = all.into_iter().filter(keep).collect();
    (!some.is_empty() && some.len() <= MOST_STAGES).then_some(some)
}

/// A name as the text of a box.
fn label(name: &str) -> String {
    let letters: Vec<char> = clipped(flat(name).trim(), LONGEST_NAME).chars().collect();
    let mut out = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let beside =
            |index: Option<usize>| index.and_then(|index| letters.get(index)).is_some_and(|one| one.is_alphanumeric());
        let within = beside(index.checked_sub(1)) && beside(Some(index + 1));
        // A hyphen, a low line or a point within a word begins no list and no emphasis.
        if letter.is_alphanumeric() || letter == ' ' || within && matches!(letter, '-' | '_' | '.') {
            out.push(letter);
        } else {
            let _ = write!(out, "#{};", u32::from(letter));
        }
    }
    if out.is_empty() { "stage".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{PlanEdge, StageId};

    fn id(text: &str) -> StageId {
        StageId::parse(text).expect("legal")
    }

    fn stage(name: &str, change: Option<ChangeKind>, needs: &[(&str, Option<ChangeKind>)]) -> PlanStage {
        let needs = needs.iter().map(|(stage, change)| PlanEdge { stage: id(stage), change: *change }).collect();
        PlanStage { id: id(name), name: name.to_owned(), kind: "script".to_owned(), change, needs }
    }

    #[test]
    fn what_differs_is_told_by_word_and_by_class() {
        let (added, changed, removed) = (Some(ChangeKind::Added), Some(ChangeKind::Changed), Some(ChangeKind::Removed));
        let graph = PlanGraph {
            stages: vec![
                stage("build", None, &[]),
                stage("check", added, &[("build", added)]),
                stage("ship-it", changed, &[("build", removed), ("check", added)]),
                stage("test", removed, &[("build", removed)]),
            ],
        };
        let expected = "```mermaid\nflowchart LR\n  n0[\"build\"]\n  n1[\"check (added)\"]:::added\n  \
                        n2[\"ship-it (changed)\"]:::changed\n  n3[\"test (removed)\"]:::removed\n  n0 ==> n1\n  \
                        n0 -.->|removed| n2\n  n1 ==> n2\n  n0 -.-> n3\n  \
                        classDef added stroke:#1a7f37,stroke-width:3px\n  classDef changed stroke:#9a6700,stroke-width:3px\n  \
                        classDef removed stroke:#cf222e,stroke-width:2px,stroke-dasharray:5 5\n```";
        assert_eq!(written(&graph), expected);
    }

    #[test]
    fn of_a_large_picture_what_differs_is_drawn_with_its_neighbours() {
        let name = |number: usize| format!("s{number}");
        let chain = |differing: &dyn Fn(usize) -> bool| PlanGraph {
            stages: (0..200_usize)
                .map(|number| {
                    let before = number.checked_sub(1).map(name);
                    let needs: Vec<_> = before.iter().map(|before| (before.as_str(), None)).collect();
                    stage(&name(number), differing(number).then_some(ChangeKind::Changed), &needs)
                })
                .collect(),
        };
        let text = written(&chain(&|number| number == 100));
        assert_eq!(text.matches("[\"").count(), 3, "{text}");
        assert!(text.contains("s99") && text.contains("s100 (changed)") && text.contains("s101"), "{text}");
        assert_eq!(written(&chain(&|_| true)), "");
        assert_eq!(written(&PlanGraph { stages: Vec::new() }), "");
    }

    proptest! {
        #[test]
        fn a_name_breaks_out_of_nothing(
            names in prop::collection::vec(
                prop_oneof![
                    "\\PC{0,80}",
                    prop::sample::select(vec![
                        "\"] --> n9[\"x", "```\n# out", "end", "`bold`", "#quot;", "1. one", "- item", "%%{init: {}}%%",
                        "click n0 \"javascript:x\"", "a\nb", "<script>", "]:::added", "**x**", "fa:fa-ban", "\u{202e}x",
                        "$$x$$", "@{ shape: circle }", ";", "a;b", "_x_",
                    ]).prop_map(str::to_owned),
                ],
                1..5,
            ),
        ) {
            let stages: Vec<PlanStage> = names
                .iter()
                .enumerate()
                .map(|(index, name)| PlanStage { name: name.clone(), ..stage(&format!("s{index}"), None, &[]) })
                .collect();
            let text = written(&PlanGraph { stages });
            let lines: Vec<&str> = text.split('\n').collect();
            prop_assert_eq!(lines.len(), names.len() + 3, "{}", text);
            prop_assert_eq!((lines[0], lines[1], lines[lines.len() - 1]), ("```mermaid", "flowchart LR", "```"));
            let word = regex::Regex::new(r#"^  n\d+\["([\p{Alphabetic}\p{N} ._-]|#\d+;)+"\]$"#).expect("a pattern");
            let code = regex::Regex::new(r"#(\d+);").expect("a pattern");
            for (line, name) in lines[2..].iter().zip(&names) {
                prop_assert!(word.is_match(line), "{}", line);
                // And it says what it said.
                let read = code.replace_all(line, |found: &regex::Captures<'_>| {
                    found[1].parse().ok().and_then(char::from_u32).map(String::from).expect("a character")
                });
                let wanted = clipped(flat(name).trim(), LONGEST_NAME);
                prop_assert!(wanted.is_empty() || read.contains(&wanted), "{} in {}", wanted, read);
            }
        }
    }
}
