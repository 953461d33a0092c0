//! The page of one execution.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::super::graph::{self, GraphBox, Line};
use super::freeze::HoldNote;
use super::{CommitLink, Links, Moment, Named, PageLink, Pill, named};
use crate::clock::Timestamp;
use crate::model::{
    CauseKind, ExecutionView, InstancesView, StageView, Status, humanize, percent_encode_part, shorten,
};

/// The width of a letter in a box of the picture, about, and of what stands beside the text.
const LETTER_WIDTH: f32 = 7.4;
const BESIDE_TEXT: f32 = 42.0;

/// Everything that the page shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct ExecutionPage {
    id: String,
    application: String,
    pipeline: String,
    /// The list of this pipeline's executions.
    list: String,
    pill: Pill,
    complete: bool,
    description: String,
    repository: Option<String>,
    repository_url: Option<String>,
    commit: Option<CommitLink>,
    branch: Option<String>,
    tag: Option<String>,
    message: Option<String>,
    author: Option<String>,
    cause: String,
    /// The execution whose stage started this one.
    parent: Option<PageLink>,
    restarted: Option<RestartedBy>,
    /// What it waits for before it begins.
    held: Option<HoldNote>,
    compacted: Option<Moment>,
    /// Who had it go before freezes.
    overridden: Option<String>,
    /// Where a restart of what failed is asked for.
    restart: Option<String>,
    /// What it waits for if nothing will wake it.
    stranded: Option<String>,
    /// Where a pause is asked for.
    pause: Option<String>,
    /// Where its end is.
    resume: Option<String>,
    created: Moment,
    started: Option<Moment>,
    ended: Option<Moment>,
    clock: Option<Elapsed>,
    parameters: Vec<Named>,
    graph: GraphPicture,
    /// The stage that asks a person.
    question: Option<String>,
    stages: Vec<StageCard>,
}

/// The latest restart.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct RestartedBy {
    by: String,
    time: Moment,
    times: usize,
}

/// An execution that a stage started.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct ChildLink {
    #[serde(flatten)]
    page: PageLink,
    pill: Pill,
}

/// A length of time that may still grow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct Elapsed {
    text: String,
    /// Since when it grows, if it does.
    since: Option<String>,
}

/// The picture above the stages.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct GraphPicture {
    width: f32,
    height: f32,
    boxes: Vec<PictureBox>,
    lines: Vec<PictureLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PictureBox {
    #[serde(flatten)]
    place: GraphBox,
    anchor: String,
    name: String,
    short: String,
    note: String,
    pill: Pill,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PictureLine {
    #[serde(flatten)]
    line: Line,
    /// Whether the stage at its beginning let the next one go.
    open: bool,
}

/// One stage below the picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct StageCard {
    anchor: String,
    name: String,
    id: String,
    kind: String,
    pill: Pill,
    attempt: u32,
    clock: Option<Elapsed>,
    error: Option<String>,
    waiting_for: Option<String>,
    /// How its instances stand, if it became several.
    instances: Option<String>,
    /// Whether it is an instance of the stage above.
    is_instance: bool,
    outputs: Vec<Named>,
    children: Vec<ChildLink>,
    /// Where a restart from this stage on is asked for.
    restart: Option<String>,
    /// Where it is asked that it waits no longer.
    skip: Option<String>,
    /// Who had it start outside of its window.
    skipped_by: Option<String>,
    file: String,
    line: u32,
    source_url: Option<String>,
    judgment: Option<JudgmentForm>,
    log: Option<Log>,
}

/// The question that a person is asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct JudgmentForm {
    action: String,
    instructions: Option<String>,
    choices: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Log {
    /// Where the script reads on.
    address: String,
    /// Where a person finds all of it.
    whole: String,
    /// Belongs to one attempt; a browser keeps what it has of it.
    key: String,
    live: bool,
    open: bool,
    #[serde(flatten)]
    tail: LogTail,
}

/// The end of a log, as far as the page has it at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(in crate::ui) struct LogTail {
    /// The text, control characters left out.
    pub(in crate::ui) text: String,
    /// Where a reader goes on.
    pub(in crate::ui) next: u64,
    /// Whether something before it was left out.
    pub(in crate::ui) cut: bool,
}

impl ExecutionPage {
    pub(in crate::ui) fn new(
        view: &ExecutionView,
        links: Links<'_>,
        now: Timestamp,
        tail: impl Fn(&StageView) -> LogTail,
    ) -> Self {
        let waiting = view.stages.iter().any(is_waiting);
        let stages: Vec<StageCard> =
            view.stages.iter().map(|stage| StageCard::new(view, stage, links, now, &tail)).collect();
        let trigger = &view.trigger;
        Self {
            id: view.id.to_string(),
            application: view.application.to_string(),
            pipeline: view.pipeline.to_string(),
            list: format!(
                "/?application={}&pipeline={}",
                percent_encode_part(view.application.as_str()),
                percent_encode_part(view.pipeline.as_str())
            ),
            pill: Pill::of_execution(view.status, (waiting || view.held.is_some()) && !view.status.is_complete()),
            complete: view.status.is_complete(),
            description: view.description.clone(),
            repository: view.repository.as_ref().map(ToString::to_string),
            repository_url: view.repository.as_ref().map(|name| format!("/repositories/{name}")),
            commit: view.commit.as_ref().map(|commit| links.commit(view.repository.as_ref(), commit)),
            branch: trigger.branch.clone(),
            tag: trigger.tag.clone(),
            message: trigger.message.as_ref().map(|text| shorten(text, 200)),
            author: trigger.author.as_ref().map(|text| shorten(text, 100)),
            cause: cause(view),
            parent: trigger
                .parent
                .as_ref()
                .map(|parent| PageLink { url: parent.execution.page(), name: format!("stage {}", parent.stage) })
                .or_else(|| {
                    let ended = trigger.parent_execution.as_ref()?;
                    Some(PageLink { url: ended.id.page(), name: format!("execution {}", ended.id) })
                }),
            restarted: view.restarts.last().map(|last| RestartedBy {
                by: last.by.clone(),
                time: Moment::new(last.time),
                times: view.restarts.len(),
            }),
            held: view.held.as_ref().map(HoldNote::from),
            compacted: view.compacted_time.map(Moment::new),
            overridden: overridden(view),
            restart: is_broken(view).then(|| format!("/api/v1{}/restart", view.id.page())),
            stranded: view.stranded.clone(),
            pause: (view.status == Status::Running && view.held.is_none())
                .then(|| format!("/api/v1{}/pause", view.id.page())),
            resume: view.paused.as_ref().map(|_| format!("/api/v1{}/resume", view.id.page())),
            created: Moment::new(view.created_time),
            started: view.start_time.map(Moment::new),
            ended: view.end_time.map(Moment::new),
            clock: Elapsed::between(view.start_time, view.end_time, now, view.status),
            parameters: named(&view.parameters),
            graph: picture(view, now),
            question: stages.iter().find(|stage| stage.judgment.is_some()).map(|stage| stage.anchor.clone()),
            stages,
        }
    }

    /// Whether a stage has a log to show.
    pub(in crate::ui) fn shows_log(stage: &StageView) -> bool {
        stage.kind == "script" && stage.attempt > 0 && stage.instances.is_none()
    }
}

impl Elapsed {
    fn between(start: Option<Timestamp>, end: Option<Timestamp>, now: Timestamp, status: Status) -> Option<Self> {
        let start = start?;
        let grows = end.is_none() && !status.is_complete();
        let text = humanize(end.unwrap_or(now).since(start));
        Some(Self { text, since: grows.then(|| start.to_rfc3339()) })
    }
}

impl StageCard {
    fn new(
        view: &ExecutionView,
        stage: &StageView,
        links: Links<'_>,
        now: Timestamp,
        tail: &impl Fn(&StageView) -> LogTail,
    ) -> Self {
        let page = format!("/executions/{}/stages/{}", view.id, percent_encode_part(stage.path.as_str()));
        let base = format!("/api/v1{page}");
        let has_log = ExecutionPage::shows_log(stage);
        let failed = matches!(stage.status, Status::Terminal | Status::FailedContinue | Status::Stopped);
        let source = &stage.source;
        Self {
            anchor: anchor(stage),
            name: stage.name.clone(),
            id: stage.path.to_string(),
            kind: stage.kind.clone(),
            pill: Pill::new(stage.status, is_waiting(stage)),
            attempt: stage.attempt,
            clock: Elapsed::between(stage.start_time, stage.end_time, now, stage.status),
            error: stage.error.clone(),
            waiting_for: is_waiting(stage).then(|| stage.waiting_for.clone()).flatten(),
            instances: stage.instances.as_ref().map(InstancesView::in_words),
            is_instance: stage.instance_of.is_some(),
            outputs: outputs(stage),
            children: children(view, stage),
            restart: (can_restart(view) && stage.status.is_complete()).then(|| format!("{base}/restart")),
            skip: stage.progress.skippable.then(|| format!("{base}/skip")),
            skipped_by: stage.progress.skipped_by.clone(),
            file: source.file.clone(),
            line: source.line,
            source_url: links.line(view.repository.as_ref(), source.commit.as_ref(), &source.file, source.line),
            judgment: (stage.kind == "manualJudgment" && is_waiting(stage)).then(|| JudgmentForm {
                action: format!("{base}/judge"),
                instructions: text_of(&stage.context, "instructions"),
                choices: choices(&stage.context),
            }),
            log: has_log.then(|| Log {
                address: format!("{base}/log?attempt={}", stage.attempt),
                whole: format!("{page}/log?attempt={}", stage.attempt),
                key: format!("{}#{}", stage.path, stage.attempt),
                live: !stage.status.is_complete(),
                open: failed || !stage.status.is_complete(),
                tail: tail(stage),
            }),
        }
    }
}

/// Who said that it goes before freezes: at its latest restart, or at its start.
fn overridden(view: &ExecutionView) -> Option<String> {
    match view.restarts.last() {
        Some(last) => last.override_freeze.then(|| last.by.clone()),
        None => view.trigger.override_freeze.clone(),
    }
}

/// Whether it can be restarted, and something in it failed or was cancelled.
fn is_broken(view: &ExecutionView) -> bool {
    let broken = |stage: &StageView| matches!(stage.status, Status::Terminal | Status::Stopped | Status::Canceled);
    can_restart(view) && view.stages.iter().any(broken)
}

/// Whether it has ended, and what a restart needs is still there.
fn can_restart(view: &ExecutionView) -> bool {
    view.status.is_complete() && view.compacted_time.is_none()
}

/// What the stage started, the latest first.
fn children(view: &ExecutionView, stage: &StageView) -> Vec<ChildLink> {
    let own = view.children.iter().rev().filter(|child| child.stage == stage.path);
    own.map(|child| ChildLink {
        page: PageLink { url: child.id.page(), name: format!("{}/{}", child.application, child.pipeline) },
        pill: Pill::new(child.status, false),
    })
    .collect()
}

/// What the stage yielded. That a script which succeeded ended with 0 goes without saying.
fn outputs(stage: &StageView) -> Vec<Named> {
    // They stand at its instances.
    if stage.instances.is_some() {
        return Vec::new();
    }
    let mut outputs = stage.outputs.clone();
    if stage.status == Status::Succeeded && outputs.get("exitCode") == Some(&Value::from(0)) {
        outputs.shift_remove("exitCode");
    }
    named(&outputs)
}

fn is_waiting(stage: &StageView) -> bool {
    stage.waiting_for.is_some() && !stage.status.is_complete() && stage.status != Status::NotStarted
}

fn anchor(stage: &StageView) -> String {
    format!("stage-{}", percent_encode_part(stage.path.as_str()))
}

fn text_of(fields: &serde_json::Map<String, Value>, key: &str) -> Option<String> {
    fields.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// The answers that may be chosen: texts, or Spinnaker's `{value: text}`.
fn choices(fields: &serde_json::Map<String, Value>) -> Vec<String> {
    let inputs = fields.get("judgmentInputs").and_then(Value::as_array);
    let text = |input: &Value| input.as_str().or_else(|| input["value"].as_str()).map(str::to_owned);
    inputs.into_iter().flatten().filter_map(text).collect()
}

fn cause(view: &ExecutionView) -> String {
    let actor = view.trigger.actor.as_deref();
    match (view.trigger.kind, actor) {
        (CauseKind::Git, Some(actor)) => format!("pushed by {actor}"),
        (CauseKind::Git, None) => "started by a push".to_owned(),
        (CauseKind::Pipeline, _) => match &view.trigger.parent {
            Some(parent) => format!("started by {}/{}", parent.application, parent.pipeline),
            None => match &view.trigger.parent_execution {
                Some(parent) => format!("started by the end of {}/{}", parent.application, parent.pipeline),
                None => "started by another pipeline".to_owned(),
            },
        },
        (CauseKind::Webhook, _) => {
            format!("started by the webhook {}", view.trigger.event.as_deref().unwrap_or_default())
        }
        (CauseKind::Cron, _) => match &view.trigger.event {
            Some(table) => format!("started by the time table {table}"),
            None => "started by a time table".to_owned(),
        },
        (CauseKind::Manual, Some(actor)) => format!("started by {actor}"),
        (CauseKind::Manual, None) => "started by hand".to_owned(),
    }
}

fn picture(view: &ExecutionView, now: Timestamp) -> GraphPicture {
    // What a stage added below itself is shown in the list, not in the picture.
    let stages: Vec<&StageView> = view.stages.iter().filter(|stage| stage.path.as_str() == stage.id.as_str()).collect();
    let index: HashMap<&str, usize> =
        stages.iter().enumerate().map(|(index, stage)| (stage.id.as_str(), index)).collect();
    let needs: Vec<Vec<usize>> = stages
        .iter()
        .map(|stage| stage.needs.iter().filter_map(|need| index.get(need.as_str()).copied()).collect())
        .collect();
    let laid = graph::lay_out(&needs);
    let boxes = laid.boxes.into_iter().zip(&stages).map(|(place, stage)| {
        let pill = Pill::new(stage.status, is_waiting(stage));
        let clock = Elapsed::between(stage.start_time, stage.end_time, now, stage.status);
        let note = clock.filter(|clock| clock.since.is_none()).map_or_else(|| stage.kind.clone(), |clock| clock.text);
        let note = match &stage.instances {
            Some(instances) if !stage.status.is_complete() => format!("{} of {}", instances.ended, instances.total),
            Some(instances) => format!("{}×, {note}", instances.total),
            None => note,
        };
        let letters = ((place.width - BESIDE_TEXT) / LETTER_WIDTH) as usize;
        PictureBox {
            place,
            anchor: anchor(stage),
            name: stage.name.clone(),
            short: shorten(&stage.name, letters),
            note: shorten(&note, letters),
            pill,
        }
    });
    let boxes = boxes.collect();
    let lines = laid.lines.into_iter().map(|line| {
        let open = stages.get(line.from).is_some_and(|stage| stage.status.lets_downstream_start());
        PictureLine { line, open }
    });
    GraphPicture { width: laid.width, height: laid.height, boxes, lines: lines.collect() }
}
