//! A small world for tests of the pure core: pipelines in a few words, and an execution driven by hand.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::diagnostic::Place;
use crate::engine::decide::{Action, Ask, Decision, Event, advance, decide};
use crate::engine::entry::{Entry, decode, encode};
use crate::engine::freeze::Hold;
use crate::engine::registry::Kinds;
use crate::engine::state::State;
use crate::engine::{CancelReason, Effect, Outcome, Wake, status_text};
use crate::model::{
    ApplicationName, Artifacts, Cause, CauseKind, CommitSha, Dialect, Execution, ExecutionId, ExecutionKey,
    NewExecution, OnFailure, Parent, Pipeline, PipelineName, ReportTarget, RepositoryName, Retry, Span, Stage, StageId,
    StagePath, Status,
};

pub fn span(text: &str) -> Span {
    Span::parse(text).expect("a duration")
}

pub fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("a map")
}

/// A stage of type `work` (an effect outside), with what it needs.
pub fn stage(id: &str, needs: &[&str]) -> Stage {
    Stage {
        id: StageId::parse(id).expect("an id"),
        name: id.to_owned(),
        kind: "work".to_owned(),
        needs: needs.iter().map(|need| StageId::parse(need).expect("an id")).collect(),
        when: None,
        on_failure: OnFailure::Halt,
        timeout: None,
        retry: None,
        expected_artifacts: Vec::new(),
        group: None,
        window: None,
        spread: None,
        finally: false,
        fields: Map::new(),
        raw: Vec::new(),
        secret: Vec::new(),
        source: Place::point(".longboat/deploy.yaml", 1, 1),
    }
}

/// What a test says about a stage beside its id.
pub trait StageWords {
    fn of(self, kind: &str) -> Self;
    fn when(self, condition: &str) -> Self;
    fn on_failure(self, what: OnFailure) -> Self;
    fn timeout(self, text: &str) -> Self;
    fn retry(self, attempts: u32, backoff: &str) -> Self;
    fn fields(self, fields: Value) -> Self;
}

impl StageWords for Stage {
    fn of(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }
    fn when(mut self, condition: &str) -> Self {
        self.when = Some(condition.to_owned());
        self
    }
    fn on_failure(mut self, what: OnFailure) -> Self {
        self.on_failure = what;
        self
    }
    fn timeout(mut self, text: &str) -> Self {
        self.timeout = Some(span(text));
        self
    }
    fn retry(mut self, attempts: u32, backoff: &str) -> Self {
        self.retry = Some(Retry { attempts, backoff: span(backoff), on: Vec::new() });
        self
    }
    fn fields(mut self, fields: Value) -> Self {
        self.fields = map(fields);
        self
    }
}

pub fn pipeline(stages: Vec<Stage>) -> Pipeline {
    Pipeline {
        application: ApplicationName::parse("shop").expect("a name"),
        name: PipelineName::parse("deploy").expect("a name"),
        id: uuid::Uuid::nil(),
        dialect: Dialect::Longboat,
        description: None,
        environment: None,
        parameters: Vec::new(),
        triggers: Vec::new(),
        expected_artifacts: Vec::new(),
        concurrency: None,
        start_expiry: None,
        timeout: None,
        stages,
        source: Place::point(".longboat/deploy.yaml", 1, 1),
    }
}

/// What stands in an execution that a `pipeline` stage of another started.
pub fn parent() -> Parent {
    Parent {
        execution: ExecutionId::generate(),
        stage: path("sub"),
        application: ApplicationName::parse("shop").expect("a name"),
        pipeline: PipelineName::parse("above").expect("a name"),
        root: CauseKind::Git,
        files: Vec::new(),
        awaited_by: Vec::new(),
    }
}

/// A new execution that reports on a commit.
pub fn new_execution(pipeline: Pipeline) -> NewExecution {
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let commit = CommitSha::parse(&"a1".repeat(20)).expect("a commit");
    let context = format!("longboat/{}/{}", pipeline.application, pipeline.name);
    NewExecution {
        id: ExecutionId::generate(),
        pipeline,
        revision: None,
        parameters: map(json!({"version": "1.2", "count": 3})),
        trigger: Cause { actor: Some("ann".to_owned()), ..Cause::default() },
        repository: Some(repository.clone()),
        commit: Some(commit.clone()),
        report: Some(ReportTarget { repository, commit, context }),
        artifacts: Artifacts::default(),
        correlation_id: None,
        created_at: Timestamp::from_millis(0),
    }
}

pub fn kinds() -> Arc<Kinds> {
    Kinds::of(&[
        ("work", Effect::AtLeastOnce),
        ("none", Effect::None),
        ("ask", Effect::AtLeastOnce),
        ("set", Effect::AtLeastOnce),
        ("look", Effect::AtLeastOnce),
    ])
}

/// A row of a journal, which reads back as what was written.
#[derive(Debug, Clone)]
pub struct Row {
    pub at: Timestamp,
    pub body: Arc<str>,
    /// What it says, for who needs it often.
    entries: Arc<[Entry]>,
}

impl Row {
    pub fn of(at: Timestamp, entries: Vec<Entry>) -> Self {
        let body = encode(&entries).expect("encodes");
        assert_eq!(decode(&body).expect("decodes"), entries);
        Self { at, body: body.into(), entries: entries.into() }
    }
}

/// An execution driven by hand. Every decision is checked to be what the pure function says, and to fold.
#[derive(Debug, Clone)]
pub struct Run {
    pub state: State,
    pub now: Timestamp,
    /// Calls of handlers that are out.
    pub calls: Vec<Action>,
    pub journal: Vec<Row>,
    pub last: Decision,
    /// The freeze in force.
    pub frozen: Option<Hold>,
    /// How it stood before its journal.
    fresh: State,
}

/// A freeze as executions see it.
pub fn hold(reason: &str) -> Hold {
    Hold { reason: reason.to_owned(), by: "cat".to_owned(), until: None, lane: None }
}

impl Run {
    /// Begins an execution of these stages.
    pub fn of(stages: Vec<Stage>) -> Self {
        Self::of_pipeline(pipeline(stages))
    }

    pub fn of_pipeline(pipeline: Pipeline) -> Self {
        let mut run = Self::stored(pipeline);
        run.event(Event::Loaded);
        run
    }

    pub fn of_execution(new: NewExecution) -> Self {
        let mut run = Self::stored_execution(new);
        run.event(Event::Loaded);
        run
    }

    /// An execution that is stored and not begun.
    pub fn stored(pipeline: Pipeline) -> Self {
        Self::stored_execution(new_execution(pipeline))
    }

    pub fn stored_execution(info: NewExecution) -> Self {
        let execution = Arc::new(Execution { key: ExecutionKey(1), info });
        let state = State::new(execution, kinds()).expect("a graph");
        let now = Timestamp::from_millis(1_000_000);
        let (fresh, last) = (state.clone(), Decision::default());
        Self { state, now, calls: Vec::new(), journal: Vec::new(), last, frozen: None, fresh }
    }

    pub fn event(&mut self, event: Event) -> &mut Self {
        let foreseen = decide(&self.state, event.clone(), self.now).expect("legal");
        let decision = advance(&mut self.state, event, self.now).expect("legal");
        assert_eq!(foreseen, decision, "deciding is pure");
        if !decision.entries.is_empty() {
            self.journal.push(Row::of(self.now, decision.entries.clone()));
        }
        for action in &decision.actions {
            if matches!(action.ask, Ask::Cancel(_)) {
                self.calls.retain(|call| call.stage != action.stage);
            }
            self.calls.push(action.clone());
        }
        self.last = decision;
        self
    }

    /// As the shell does it: a stage without an effect answers before the row is written, up to `most` times, and what
    /// follows shares that row.
    pub fn fuse(&mut self, first_row: usize, most: usize, mut outcome: impl FnMut() -> Outcome) -> &mut Self {
        for _ in 0..most {
            let plain = |call: &Action| {
                let kind = self.state.plan.stages()[call.stage as usize].kind;
                kind.is_some_and(|kind| kind.effect == Effect::None) && !matches!(call.ask, Ask::Cancel(_))
            };
            let asked = self.last.actions.iter().position(plain);
            let Some(action) = asked.map(|position| self.last.actions.remove(position)) else { break };
            self.calls.retain(|call| *call != action);
            let before = std::mem::take(&mut self.last);
            self.event(Event::Answered { stage: action.stage, call: action.call, outcome: outcome() });
            self.last.entries.splice(0..0, before.entries);
            // What was asked before the answer may have been given up by it.
            let stages = &self.state.stages;
            let counts = |action: &Action| {
                stages[action.stage as usize].call.as_ref().is_some_and(|call| call.number == action.call)
            };
            self.last.actions.splice(0..0, before.actions.into_iter().filter(counts));
            self.last.refused = before.refused;
        }
        if self.journal.len() > first_row + 1 {
            let rows = self.journal.split_off(first_row);
            let at = rows[0].at;
            self.journal.push(Row::of(at, rows.iter().flat_map(|row| row.entries.to_vec()).collect()));
        }
        self
    }

    /// The process dies and comes back: calls are lost, the journal is folded.
    pub fn crash(&mut self) -> &mut Self {
        self.calls.clear();
        self.state = self.refold();
        self.load()
    }

    /// It is brought into memory, or looked at because a freeze came or went: as the shell does it.
    pub fn load(&mut self) -> &mut Self {
        match self.frozen.clone().filter(|_| self.state.may_be_held()) {
            Some(hold) => self.event(Event::Held(hold)),
            None => self.event(Event::Loaded),
        }
    }

    /// A freeze comes, another one takes its place, or it ends.
    pub fn freeze(&mut self, reason: Option<&str>) -> &mut Self {
        self.frozen = reason.map(hold);
        if self.state.may_be_held() {
            return self.load();
        }
        // Nobody is told.
        self.last = Decision::default();
        self
    }

    pub fn refold(&self) -> State {
        let mut state = self.fresh.clone();
        for row in &self.journal {
            for entry in row.entries.iter() {
                state.apply(entry, row.at).expect("every row of a journal folds");
            }
        }
        state
    }

    /// Time passes.
    pub fn pass(&mut self, text: &str) -> &mut Self {
        self.now = self.now.plus(span(text).as_duration());
        self.event(Event::Due)
    }

    pub fn index(&self, id: &str) -> u32 {
        self.state.plan.find(&path(id)).expect("a stage")
    }

    fn take_call(&mut self, id: &str) -> Action {
        let stage = self.index(id);
        let position = self.calls.iter().position(|call| call.stage == stage);
        let position = position.unwrap_or_else(|| panic!("nothing was asked of {id}: {:?}", self.calls));
        self.calls.remove(position)
    }

    /// The handler of a stage answers what it was asked.
    pub fn answer(&mut self, id: &str, outcome: Outcome) -> &mut Self {
        let Action { stage, call, ask } = self.take_call(id);
        assert!(!matches!(ask, Ask::Cancel(_)), "{id} was asked to cancel");
        self.event(Event::Answered { stage, call, outcome })
    }

    pub fn done(&mut self, id: &str) -> &mut Self {
        self.answer(id, Outcome::done())
    }

    pub fn fail(&mut self, id: &str) -> &mut Self {
        self.answer(id, Outcome::fail("exit code 1"))
    }

    pub fn fail_retryable(&mut self, id: &str) -> &mut Self {
        self.answer(id, Outcome::fail_retryable("exit code 1"))
    }

    /// The handler of a stage has ended its effect.
    pub fn cancelled(&mut self, id: &str) -> &mut Self {
        let Action { stage, call, ask } = self.take_call(id);
        assert!(matches!(ask, Ask::Cancel(_)), "{id} was not asked to cancel: {ask:?}");
        self.event(Event::Cancelled { stage, call, overdue: false })
    }

    pub fn cancel(&mut self, by: &str) -> &mut Self {
        self.event(Event::Cancel { by: by.to_owned(), reason: Some("wrong version".to_owned()), superseded: false })
    }

    /// Somebody wants it to go on: from a stage, or from all that failed.
    pub fn restart(&mut self, id: Option<&str>) -> &mut Self {
        let hold = self.frozen.clone();
        self.event(Event::Restart { path: id.map(path), by: "bob".to_owned(), override_freeze: false, hold })
    }

    pub fn judge(&mut self, id: &str, payload: Value) -> &mut Self {
        self.event(Event::Signal { path: path(id), attempt: None, payload })
    }

    /// How the stages stand, in the author's order: `a=SUCCEEDED b=RUNNING`.
    pub fn stages(&self) -> String {
        let words = self.state.plan.stages().iter().zip(&self.state.stages);
        words.map(|(place, stage)| format!("{}={}", place.path, stage.status())).collect::<Vec<_>>().join(" ")
    }

    pub fn status(&self) -> Status {
        self.state.status
    }

    pub fn text(&self) -> String {
        status_text::describe(&self.state).1
    }

    pub fn error(&self, id: &str) -> &str {
        self.state.stages[self.index(id) as usize].error.as_deref().expect("an error")
    }

    /// What is out: `a:start b:cancel`.
    pub fn asked(&self) -> String {
        let word = |call: &Action| {
            let ask = match &call.ask {
                Ask::Start => "start".to_owned(),
                Ask::Resume(Wake::Due) => "due".to_owned(),
                Ask::Resume(Wake::Signal(payload)) => format!("signal({payload})"),
                Ask::Resume(Wake::Recovered) => "recovered".to_owned(),
                Ask::Cancel(CancelReason::Canceled) => "cancel".to_owned(),
                Ask::Cancel(CancelReason::TimedOut) => "cancel(timeout)".to_owned(),
            };
            format!("{}:{ask}", self.state.plan.stages()[call.stage as usize].path)
        };
        self.calls.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.journal.iter().flat_map(|row| row.entries.to_vec()).collect()
    }
}

pub fn path(text: &str) -> StagePath {
    StagePath::parse(text).expect("a path")
}
