//! What the merge of a pull request changes and starts, with a picture of each pipeline before and after.

use std::collections::HashMap;

use serde::Serialize;

use super::super::graph::{self, GraphBox, Line as GraphLine};
use super::Links;
use crate::model::{
    ChangeKind, CommitSha, ImpactedBranch, LineChange, Piece, PipelineChange, Plan, PlanGraph, PlannedStart,
    RepositoryName, Review, SourceLine, Told, WhyNot, counted, shorten, told,
};

/// The most differences that are told of one pipeline.
const MOST_TOLD: usize = 200;
/// The most stages of a picture: a larger one can't be read.
const MOST_STAGES: usize = 200;
/// The width of a letter in a box of the picture, about, and of what stands beside the text.
const LETTER_WIDTH: f32 = 7.4;
const BESIDE_TEXT: f32 = 42.0;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PlanPart {
    changes: Vec<ChangeRow>,
    more_changes: Option<String>,
    /// Whether not all is kept.
    cut: bool,
    /// What shows everything then.
    command: Option<String>,
    /// The applications that could not be compared.
    hidden: Option<String>,
    starts: Vec<StartRow>,
    others: Vec<StartRow>,
    /// Whether a push to the target branch publishes anything.
    tracked: bool,
    target: String,
}

/// How one pipeline changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct ChangeRow {
    name: String,
    class: &'static str,
    sign: char,
    kind: &'static str,
    place: String,
    place_url: Option<String>,
    details: Vec<Detail>,
    more: Option<String>,
    graph: Option<Picture>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Detail {
    class: &'static str,
    sign: char,
    kind: &'static str,
    pieces: Vec<Word>,
    lines: Vec<DiffLine>,
    place: Option<String>,
    place_url: Option<String>,
}

/// A piece of a sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Word {
    text: String,
    code: bool,
}

/// A line of a text that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct DiffLine {
    class: &'static str,
    text: String,
}

/// The picture of the stages before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Picture {
    width: f32,
    height: f32,
    boxes: Vec<PictureBox>,
    lines: Vec<PictureLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PictureBox {
    #[serde(flatten)]
    place: GraphBox,
    name: String,
    short: String,
    /// What happens to the stage, in a word, and its type.
    note: String,
    /// The classes of the box, and the icon in it.
    class: &'static str,
    icon: &'static str,
    label: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PictureLine {
    #[serde(flatten)]
    line: GraphLine,
    class: &'static str,
}

/// Whether the merge starts a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct StartRow {
    name: String,
    why_not: Option<String>,
}

/// Where the files of the two sides are shown.
#[derive(Clone, Copy)]
struct At<'a> {
    repository: &'a RepositoryName,
    head: &'a CommitSha,
    base: Option<&'a CommitSha>,
    links: Links<'a>,
}

impl At<'_> {
    fn url(self, place: &SourceLine, gone: bool) -> Option<String> {
        let commit = if gone { self.base } else { Some(self.head) };
        self.links.line(Some(self.repository), commit, &place.file, place.line)
    }
}

impl PlanPart {
    /// The plan of a pull request.
    pub(super) fn new(repository: &RepositoryName, review: &Review, plan: &Plan, links: Links<'_>) -> Self {
        let at = At { repository, head: &review.commit, base: review.base.as_ref(), links };
        let base = review.base.as_ref().map(|base| format!(" --base {}", base.short())).unwrap_or_default();
        let command = format!("longboat plan{base} --head {}", review.commit.short());
        Self::of(plan, at, &review.target_branch, Some(command))
    }

    /// The plan of a branch that uses what a pull request on a module repository changes. Both sides are at the same
    /// commit of it.
    pub(super) fn of_dependent(one: &ImpactedBranch, plan: &Plan, links: Links<'_>) -> Self {
        let at = At { repository: &one.repository, head: &one.commit, base: Some(&one.commit), links };
        Self::of(plan, at, &one.branch, None)
    }

    fn of(plan: &Plan, at: At<'_>, target: &str, command: Option<String>) -> Self {
        let listed = u32::try_from(plan.pipelines.len()).unwrap_or(u32::MAX);
        let more = plan.all_changed().saturating_sub(listed);
        let (starts, others): (Vec<&PlannedStart>, Vec<_>) = plan.starts.iter().partition(|start| start.starts);
        let hidden: Vec<&str> = plan.hidden.iter().map(|name| name.as_str()).collect();
        Self {
            changes: plan.pipelines.iter().map(|change| ChangeRow::new(change, at)).collect(),
            more_changes: (more > 0).then(|| counted(more, "more pipeline")),
            cut: plan.cut,
            command: command.filter(|_| plan.cut),
            hidden: (!hidden.is_empty()).then(|| hidden.join(", ")),
            starts: starts.into_iter().map(StartRow::new).collect(),
            others: others.into_iter().map(StartRow::new).collect(),
            tracked: plan.tracked,
            target: target.to_owned(),
        }
    }
}

impl ChangeRow {
    fn new(change: &PipelineChange, at: At<'_>) -> Self {
        let all = told(change);
        let unlisted = u32::try_from(all.len().saturating_sub(MOST_TOLD)).unwrap_or(u32::MAX);
        let more = unlisted.saturating_add(change.left_out);
        Self {
            name: format!("{}/{}", change.application, change.pipeline),
            class: class(change.kind),
            sign: change.kind.sign(),
            kind: change.kind.as_str(),
            place: change.place.to_string(),
            place_url: at.url(&change.place, change.kind == ChangeKind::Removed),
            details: all.iter().take(MOST_TOLD).map(|told| Detail::new(told, at)).collect(),
            more: (more > 0).then(|| counted(more, "more difference")),
            graph: change.graph.as_ref().and_then(picture),
        }
    }
}

impl Detail {
    fn new(told: &Told, at: At<'_>) -> Self {
        let word = |piece: &Piece| match piece {
            Piece::Code(text) => Word { text: text.clone(), code: true },
            Piece::Text(text) | Piece::Strong(text) | Piece::Link { text, .. } => {
                Word { text: text.clone(), code: false }
            }
            Piece::Mark(_) => Word { text: String::new(), code: false },
        };
        let line = |line: &LineChange| DiffLine {
            class: match line {
                LineChange::Added(_) => "good",
                LineChange::Removed(_) => "bad",
                LineChange::LeftOut(_) => "quiet",
            },
            text: line.written(),
        };
        Self {
            class: class(told.kind),
            sign: told.kind.sign(),
            kind: told.kind.as_str(),
            pieces: told.line.iter().map(word).collect(),
            lines: told.lines.iter().map(line).collect(),
            place: told.where_it_is(),
            place_url: told.place.as_ref().and_then(|place| at.url(place, told.gone)),
        }
    }
}

impl StartRow {
    fn new(start: &PlannedStart) -> Self {
        let why_not = start.why_not.map(|why| match why {
            WhyNot::MissingParameters => format!("{} ({})", why.as_str(), start.parameters.join(", ")),
            _ => start.reason(),
        });
        Self { name: format!("{}/{}", start.application, start.pipeline), why_not }
    }
}

const fn class(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "good",
        ChangeKind::Changed => "warn",
        ChangeKind::Removed => "bad",
    }
}

fn picture(graph: &PlanGraph) -> Option<Picture> {
    let stages = &graph.stages;
    if !(2..=MOST_STAGES).contains(&stages.len()) {
        return None;
    }
    let index: HashMap<&str, usize> =
        stages.iter().enumerate().map(|(index, stage)| (stage.id.as_str(), index)).collect();
    let mut kinds = HashMap::new();
    let mut needs: Vec<Vec<usize>> = Vec::new();
    for (to, stage) in stages.iter().enumerate() {
        let edges = stage.needs.iter().filter_map(|edge| Some((*index.get(edge.stage.as_str())?, edge.change)));
        let edges: Vec<_> = edges.collect();
        kinds.extend(edges.iter().map(|(from, change)| ((*from, to), *change)));
        needs.push(edges.into_iter().map(|(from, _)| from).collect());
    }
    let laid = graph::lay_out(&needs);
    let boxes = laid.boxes.into_iter().zip(stages).map(|(place, stage)| {
        let letters = ((place.width - BESIDE_TEXT) / LETTER_WIDTH) as usize;
        let (class, icon, label) = match stage.change {
            Some(ChangeKind::Added) => ("good", "added", "added"),
            Some(ChangeKind::Changed) => ("warn", "changed", "changed"),
            Some(ChangeKind::Removed) => ("bad gone", "removed", "removed"),
            None => ("same", "same", "unchanged"),
        };
        let note =
            stage.change.map_or_else(|| stage.kind.clone(), |kind| format!("{} · {}", kind.as_str(), stage.kind));
        PictureBox {
            place,
            name: stage.name.clone(),
            short: shorten(&stage.name, letters),
            note: shorten(&note, letters),
            class,
            icon,
            label,
        }
    });
    let boxes = boxes.collect();
    let lines = laid.lines.into_iter().map(|line| {
        let class = match kinds.get(&(line.from, line.to)).copied().flatten() {
            Some(ChangeKind::Added) => "fresh",
            Some(ChangeKind::Removed) => "gone",
            _ => "",
        };
        PictureLine { line, class }
    });
    Some(Picture { width: laid.width, height: laid.height, boxes, lines: lines.collect() })
}
