//! A dry run: an execution goes through its graph by the very rules of `decide`, and nothing happens outside. Each stage ends
//! as somebody chose, and well if nobody did; each wait is over at once. What comes of it is told in order.
//!
//! What stages yield isn't known beforehand. Whatever needs it and can't be evaluated without is taken as it stands, and that
//! is told, too; a condition counts as true then.
//!
//! What would keep it from beginning now, a freeze or the executions before it, is told beside that: by the rules that hold
//! a real one, from what the store knows at this moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Map;

use super::decide::{Ask, Event, advance};
use super::entry::Entry;
use super::freeze::Freezes;
use super::handle::{SHOWN_HOLDERS, holder};
use super::lanes::{Lanes, Turn};
use super::registry::Kinds;
use super::state::{Phase, State};
use super::status_text::describe;
use super::view::hold_view;
use super::{Failure, Outcome};
use crate::clock::Timestamp;
use crate::diagnostic::nearest;
use crate::model::{DryRun, DryStep, Execution, ExecutionKey, HoldView, NewExecution, StagePath, Status, counted};
use crate::store::LaneMember;

/// The most steps that are told: retries that go on for ever are cut.
const MAX_STEPS: usize = 10_000;

/// The outcome that a word chooses for a stage: `SUCCEEDED`, or `FAILED` (or `TERMINAL`, as it is called afterwards).
pub fn chosen_outcome(word: &str) -> Option<Status> {
    match word {
        "SUCCEEDED" => Some(Status::Succeeded),
        "FAILED" | "TERMINAL" => Some(Status::Terminal),
        _ => None,
    }
}

/// Goes through the graph of an execution that is never stored. `outcomes` says how stages end, each as a complete status.
///
/// # Errors
/// If an outcome is for no stage of the pipeline or is no end, or the definition is no graph; all in words.
pub fn dry_run(
    new: NewExecution,
    kinds: Arc<Kinds>,
    outcomes: &BTreeMap<StagePath, Status>,
    now: Timestamp,
) -> Result<DryRun, String> {
    let execution = Arc::new(Execution { key: ExecutionKey(0), info: new });
    let mut state = State::new(execution, kinds).map_err(|error| error.to_string())?;
    state.dry = true;
    check(&state, outcomes)?;
    let mut walk = Walk { state, now, outcomes, steps: Vec::new(), open: Vec::new() };
    walk.event(Event::Loaded)?;
    while !walk.state.status.is_complete() && walk.steps.len() < MAX_STEPS {
        if !walk.answer()? {
            let Some(due) = walk.state.next_due() else { break };
            walk.now = due.max(walk.now);
            walk.event(Event::Due)?;
        }
    }
    walk.check_instances()?;
    let never = (0..).zip(&walk.state.stages).filter(|(_, stage)| stage.phase == Phase::Idle);
    Ok(DryRun {
        status: walk.state.status,
        description: describe(&walk.state).1,
        never: never.map(|(index, _)| walk.state.plan.stages()[index as usize].path.clone()).collect(),
        steps: walk.steps,
        held: None,
        supersedes: Vec::new(),
    })
}

/// Adds what would keep an execution from beginning: a freeze, else those that stand in its lane (`members`).
pub fn add_holds(told: &mut DryRun, new: &NewExecution, freezes: &Freezes, members: Vec<LaneMember>, now: Timestamp) {
    let frozen = freezes.hold_of_start(new, now);
    if frozen.is_some() {
        // Who is frozen doesn't stand in line yet.
        told.held = frozen.as_ref().map(hold_view);
        return;
    }
    let mut lanes = Lanes::default();
    for member in &members {
        let began = member.status != Status::NotStarted;
        let who = (member.id, member.application.clone(), member.pipeline.clone());
        lanes.restore(member.key, member.lane.clone(), began, who);
    }
    // It would be the newest.
    if let Turn::Wait(hold) = lanes.ask(ExecutionKey(i64::MAX), new) {
        let holders = members.iter().filter(|member| member.status != Status::NotStarted).take(SHOWN_HOLDERS);
        told.held = Some(HoldView { holders: holders.map(holder).collect(), ..hold_view(&hold) });
    }
    let leaving: Vec<ExecutionKey> = lanes.take_superseded().into_iter().map(|superseded| superseded.key).collect();
    told.supersedes = members.iter().filter(|member| leaving.contains(&member.key)).map(holder).collect();
}

/// The stage that a path of an instance would be one of.
fn group_at(state: &State, path: &StagePath) -> Option<u32> {
    let (stage, _) = path.as_str().split_once('[')?;
    let stage = state.plan.find(&StagePath::parse(stage).ok()?)?;
    state.plan.stages()[stage as usize].group.is_some().then_some(stage)
}

fn check(state: &State, outcomes: &BTreeMap<StagePath, Status>) -> Result<(), String> {
    for (path, status) in outcomes {
        // Instances are there once their stage has become them.
        if state.plan.find(path).is_none() && group_at(state, path).is_none() {
            return Err(format!("the pipeline has no stage `{path}`"));
        }
        if !matches!(status, Status::Succeeded | Status::Terminal) {
            return Err(format!("`{path}` can be given the outcome SUCCEEDED or FAILED, not {status}"));
        }
    }
    Ok(())
}

struct Walk<'a> {
    state: State,
    now: Timestamp,
    outcomes: &'a BTreeMap<StagePath, Status>,
    steps: Vec<DryStep>,
    /// The calls that handlers would have to answer.
    open: Vec<(u32, u64, Ask)>,
}

impl Walk<'_> {
    fn event(&mut self, event: Event) -> Result<(), String> {
        let decision = advance(&mut self.state, event, self.now).map_err(|error| error.to_string())?;
        for entry in &decision.entries {
            self.tell(entry);
        }
        for (stage, note) in decision.notes {
            self.step(stage, "note", Some(note));
        }
        self.open.extend(decision.actions.into_iter().map(|action| (action.stage, action.call, action.ask)));
        Ok(())
    }

    /// Answers what was asked first, if anything was.
    fn answer(&mut self) -> Result<bool, String> {
        if self.open.is_empty() {
            return Ok(false);
        }
        let (stage, call, ask) = self.open.remove(0);
        self.event(match ask {
            Ask::Cancel(_) => Event::Cancelled { stage, call, overdue: false },
            Ask::Start | Ask::Resume(_) => Event::Answered { stage, call, outcome: self.outcome(stage) },
        })?;
        Ok(true)
    }

    fn outcome(&self, stage: u32) -> Outcome {
        let chosen = |stage: u32| self.outcomes.get(&self.state.plan.stages()[stage as usize].path);
        // What is chosen for a stage that becomes several is so for each of its instances.
        match chosen(stage).or_else(|| self.state.plan.group_of(stage).and_then(chosen)) {
            Some(Status::Terminal) => Outcome::Fail(Failure {
                message: "chosen to fail".to_owned(),
                retryable: true,
                outputs: Map::new(),
                on_failure: None,
            }),
            _ => Outcome::done(),
        }
    }

    /// Whether every instance that an outcome was chosen for was there, if its stage became several at all.
    fn check_instances(&self) -> Result<(), String> {
        let state = &self.state;
        for path in self.outcomes.keys().filter(|path| state.plan.find(path).is_none()) {
            let Some(group) = group_at(state, path) else { continue };
            if state.stages[group as usize].started_at.is_some() {
                let members = state.plan.members(group).iter();
                let known: Vec<&str> =
                    members.map(|member| state.plan.stages()[*member as usize].path.as_str()).collect();
                let near =
                    nearest(path.as_str(), known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
                return Err(format!("the pipeline has no stage `{path}`{}", near.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn tell(&mut self, entry: &Entry) {
        match entry {
            Entry::Start { stage, attempt, .. } => {
                let kind = self.state.plan.stages()[*stage as usize].kind;
                let asks = kind.is_some_and(|kind| kind.takes_judgments);
                let detail = match (asks, attempt) {
                    (true, _) => Some("asks a person".to_owned()),
                    (false, 1) => None,
                    (false, attempt) => Some(format!("attempt {attempt}")),
                };
                self.step(*stage, "starts", detail);
            }
            Entry::Window { stage, until } => {
                self.step(*stage, "waits", Some(format!("for its time window, at {until}")));
            }
            Entry::Retry { stage, message, until, .. } => {
                self.step(*stage, "retries", Some(format!("{message}; the next attempt is at {until}")));
            }
            Entry::Spread { stage, instances } => {
                let detail = match instances.as_slice() {
                    [] => "nothing: its list is empty".to_owned(),
                    all => counted(u32::try_from(all.len()).unwrap_or(u32::MAX), "instance"),
                };
                self.step(*stage, "becomes", Some(detail));
            }
            Entry::Done { stage, .. } | Entry::Skip { stage } | Entry::Canceled { stage, .. } => {
                self.step(*stage, "ends", None);
            }
            Entry::Fail { stage, message, .. } => self.step(*stage, "ends", Some(message.clone())),
            _ => {}
        }
    }

    fn step(&mut self, stage: u32, does: &str, detail: Option<String>) {
        let path = self.state.plan.stages()[stage as usize].path.clone();
        let definition = self.state.definition(stage);
        let ended = self.state.stages[stage as usize].status();
        self.steps.push(DryStep {
            path,
            name: self.state.name(stage),
            kind: definition.kind.clone(),
            does: does.to_owned(),
            status: (does == "ends").then_some(ended),
            detail,
        });
    }
}
