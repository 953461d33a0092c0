//! Random graphs under random schedules: handlers answer in any order and in any way, people cancel, time
//! passes, and the process may die after every step.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use serde_json::json;

use super::world::*;
use crate::engine::Outcome;
use crate::engine::decide::{Action, Ask, Decision, Event};
use crate::engine::entry::Entry;
use crate::engine::state::{Phase, State};
use crate::model::{Hours, Instance, OnFailure, Over, Pipeline, RetryOn, Spread, Stage, StagePath, Status, Window};

/// What the world does next.
#[derive(Debug, Clone)]
pub(super) enum Move {
    /// One of the calls that are out is answered.
    Answer(usize, Answer),
    /// Time passes, in seconds.
    Pass(u64),
    /// The process dies.
    Crash,
    /// Somebody cancels.
    Cancel,
    /// Somebody judges a stage.
    Judge(usize),
    /// A handler's task signals its stage.
    Signal(usize),
    /// Somebody wants it to go on, from a stage or from all that failed.
    Restart(Option<usize>),
    /// A freeze comes, takes the place of another, or ends.
    Freeze(Option<bool>),
    /// Somebody pauses it, or has it go on.
    Pause(bool),
    /// Somebody has a stage wait no longer.
    Skip(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Done,
    Fail,
    Retryable,
    Restart,
    Wait(Option<u64>),
    Poll(u64),
    Huge,
}

/// Numbers drawn from a number: the same ones each time, and for less than a strategy takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn of(number: u64) -> Self {
        Self(number | 1)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // Xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// As `below`, for what is an index.
    pub(super) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }
}

/// As [`answers`].
fn draw_answer(draw: &mut Draw) -> Answer {
    match draw.below(17) {
        0..8 => Answer::Done,
        8 => Answer::Fail,
        9 | 10 => Answer::Retryable,
        11 => Answer::Restart,
        12 => Answer::Wait(None),
        13 => Answer::Wait(Some(draw.below(400))),
        14 | 15 => Answer::Poll(draw.below(100)),
        _ => Answer::Huge,
    }
}

/// As [`moves`].
pub(super) fn draw_move(draw: &mut Draw) -> Move {
    match draw.below(31) {
        0..12 => Move::Answer(draw.index(1000), draw_answer(draw)),
        12..15 => Move::Pass(1 + draw.below(199)),
        15..18 => Move::Crash,
        18 => Move::Cancel,
        19 | 20 => Move::Judge(draw.index(12)),
        21 => Move::Signal(draw.index(12)),
        22 | 23 => Move::Restart((draw.below(2) == 0).then(|| draw.index(12))),
        24 | 25 => Move::Freeze((draw.below(2) == 0).then(|| draw.below(2) == 0)),
        26..29 => Move::Pause(draw.below(2) == 0),
        _ => Move::Skip(draw.index(12)),
    }
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        8 => Just(Answer::Done),
        1 => Just(Answer::Fail),
        2 => Just(Answer::Retryable),
        1 => Just(Answer::Restart),
        2 => proptest::option::of(0_u64..400).prop_map(Answer::Wait),
        2 => (0_u64..100).prop_map(Answer::Poll),
        1 => Just(Answer::Huge),
    ]
}

pub(super) fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        12 => (any::<prop::sample::Index>(), answers()).prop_map(|(at, answer)| Move::Answer(at.index(1000), answer)),
        3 => (1_u64..200).prop_map(Move::Pass),
        3 => Just(Move::Crash),
        1 => Just(Move::Cancel),
        2 => (0_usize..12).prop_map(Move::Judge),
        1 => (0_usize..12).prop_map(Move::Signal),
        2 => proptest::option::of(0_usize..12).prop_map(Move::Restart),
        2 => proptest::option::of(any::<bool>()).prop_map(Move::Freeze),
        3 => any::<bool>().prop_map(Move::Pause),
        2 => (0_usize..12).prop_map(Move::Skip),
    ]
}

type Draft = (
    Vec<prop::sample::Index>,
    OnFailure,
    Option<&'static str>,
    Option<u64>,
    Option<(u32, bool)>,
    &'static str,
    Option<u16>,
    bool,
    Option<(usize, Option<u32>, bool, bool)>,
);

/// A quarter of an hour each day.
fn window(minute: u16) -> Window {
    let hours = vec![Hours { from: minute, to: minute + 15 }];
    Window { days: Vec::new(), hours, timezone: "Europe/Berlin".to_owned(), jitter: None }
}

fn stages() -> impl Strategy<Value = Vec<Stage>> {
    let one = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop_oneof![
            4 => Just(OnFailure::Halt),
            1 => Just(OnFailure::HaltBranch),
            1 => Just(OnFailure::HaltBranchThenFail),
            2 => Just(OnFailure::Ignore),
        ],
        prop_oneof![6 => Just(None), 1 => Just(Some("false")), 1 => Just(Some("1")), 1 => Just(Some("true"))],
        proptest::option::weighted(0.3, 1_u64..300),
        proptest::option::weighted(0.5, (1_u32..4, any::<bool>())),
        prop_oneof![3 => Just("work"), 3 => Just("ask"), 1 => Just("none"), 1 => Just("strange")],
        proptest::option::weighted(0.1, 60_u16..240),
        proptest::bool::weighted(0.15),
        proptest::option::weighted(0.25, (0_usize..5, proptest::option::of(1_u32..3), any::<bool>(), any::<bool>())),
    );
    prop::collection::vec(one, 1..12).prop_map(|drafts| {
        let at_the_end: Vec<bool> = drafts.iter().map(|draft| draft.7).collect();
        let build = |(at, draft): (usize, Draft)| {
            let (needs, on_failure, when, timeout, retry, kind, hours, finally, several) = draft;
            // A stage needs earlier ones only, so that there is no circle.
            let needs: HashSet<usize> = needs.iter().filter(|_| at > 0).map(|need| need.index(at)).collect();
            let same = |need: &usize| at_the_end[*need] == at_the_end[at];
            let needs: Vec<String> = needs.into_iter().filter(same).map(|need| format!("s{need}")).collect();
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            let mut stage = stage(&format!("s{at}"), &needs).on_failure(on_failure).of(kind);
            stage.when = when.map(str::to_owned);
            stage.timeout = timeout.map(|seconds| span(&seconds.to_string()));
            stage.retry = retry.map(|(attempts, timeouts)| {
                let on = if timeouts {
                    vec![RetryOn::Text(RetryOn::TIMEOUT.to_owned()), RetryOn::Text("code 2".to_owned())]
                } else {
                    Vec::new()
                };
                crate::model::Retry { attempts, backoff: span("10s"), on }
            });
            stage.window = hours.map(window);
            stage.finally = finally;
            stage.spread = several.map(|(count, max_parallel, fail_fast, by_attempt)| {
                // The list may be another one each time.
                let items = if by_attempt {
                    json!("${ stages.s0.status == 'SUCCEEDED' ? ['x'] : ['x', 'y'] }")
                } else {
                    json!(vec!["x"; count])
                };
                Spread { over: Over::ForEach { items, name: "item".to_owned() }, max_parallel, fail_fast }
            });
            stage
        };
        // The author's order is not the order of running.
        let mut stages: Vec<Stage> = drafts.into_iter().enumerate().map(build).collect();
        stages.reverse();
        stages
    })
}

pub(super) fn pipelines() -> impl Strategy<Value = Pipeline> {
    let times = (proptest::option::weighted(0.2, 100_u64..2000), proptest::option::weighted(0.2, 900_u64..2000));
    (stages(), times).prop_map(|(stages, (timeout, expiry))| {
        let mut pipeline = pipeline(stages);
        pipeline.start_expiry = expiry.map(|seconds| span(&seconds.to_string()));
        pipeline.timeout = timeout.map(|seconds| span(&seconds.to_string()));
        pipeline
    })
}

/// A run, and what must never happen in it.
pub(super) struct Watched {
    pub(super) run: Run,
    /// How often each attempt's start was asked for.
    started: HashMap<(u32, u32), u32>,
    /// Calls of this process that were answered.
    answered: Vec<(u32, u64)>,
    /// Where stages without an effect answer before the row is written: where what they answer is drawn from.
    fused: Option<Draw>,
    /// How often another owner took it over.
    epoch: u64,
}

impl Watched {
    pub(super) fn of(pipeline: Pipeline) -> Self {
        Self { run: Run::stored(pipeline), started: HashMap::new(), answered: Vec::new(), fused: None, epoch: 0 }
    }

    /// Stages without an effect answer before the row is written, as in the shell.
    pub(super) fn fusing(mut self, number: u64) -> Self {
        self.fused = Some(Draw::of(number));
        self
    }

    fn step(&mut self, step: &Move) {
        self.apply(step);
        self.check();
    }

    /// What follows from a move is decided, and the process dies before it is written. Another one goes on.
    pub(super) fn lose(&mut self, step: &Move) {
        let (rows, frozen) = (self.run.journal.len(), self.run.frozen.clone());
        self.apply(step);
        self.run.journal.truncate(rows);
        self.run.frozen = frozen;
        self.apply(&Move::Crash);
    }

    /// Another owner takes it over from the journal, and decides. The first one, whose lease is over without its knowing,
    /// decides by what it knew; its row has a number that is taken, and an epoch that is over: it is refused, and what it
    /// would have called is not called.
    pub(super) fn outrun(&mut self, late: &Move, step: &Move) {
        let (epoch, rows) = (self.epoch, self.run.journal.len());
        let (run, answered) = (self.run.clone(), self.answered.clone());
        let mut first = Self { run, started: HashMap::new(), answered, fused: self.fused, epoch };
        self.epoch += 1;
        self.apply(&Move::Crash);
        self.glance();
        self.apply(step);
        first.apply(late);
        for (number, row) in (rows..).zip(first.run.journal.drain(rows..)) {
            // The store's rule. Without the epoch, a row would be taken where the new owner had nothing to write.
            if epoch == self.epoch && number == self.run.journal.len() {
                self.run.journal.push(row);
            }
        }
        self.check_journal();
    }

    /// An answer that was given comes again, and changes nothing.
    pub(super) fn again(&mut self, at: usize, answer: Answer) {
        self.run.last = Decision::default();
        if self.answered.is_empty() {
            return;
        }
        let (stage, call) = self.answered[at % self.answered.len()];
        self.run.event(Event::Answered { stage, call, outcome: outcome(answer, self.run.now) });
        assert!(self.run.last.entries.is_empty() && self.run.last.actions.is_empty(), "{:?}", self.run.last);
    }

    /// The clock is set back; nothing that was due before is forgotten.
    pub(super) fn set_back(&mut self, seconds: u64) {
        self.run.now = self.run.now.minus(std::time::Duration::from_secs(seconds));
        self.run.event(Event::Due);
    }

    /// Whatever happened before, a world that answers brings every execution to its end. Yields how many steps it took.
    pub(super) fn lead_to_the_end(&mut self) -> u64 {
        let mut moves = 0;
        let mut go = |watched: &mut Self, step: &Move| {
            moves += 1;
            watched.apply(step);
            watched.glance();
        };
        go(self, &Move::Freeze(None));
        go(self, &Move::Pause(false));
        for _ in 0..2000 {
            if self.run.status().is_complete() {
                break;
            }
            if self.run.calls.is_empty() {
                for at in 0..self.run.state.stages.len() {
                    go(self, &Move::Judge(at));
                    go(self, &Move::Signal(at));
                }
                let now = self.run.now;
                let next = self.run.state.next_due().map_or(60, |due| due.since(now).as_secs() + 1);
                go(self, &Move::Pass(next));
            } else {
                go(self, &Move::Answer(0, Answer::Done));
            }
        }
        self.check_journal();
        moves
    }

    /// It is brought into memory for the first time.
    pub(super) fn begin(&mut self) {
        self.in_a_row(|watched| _ = watched.run.load());
    }

    /// Does a move, and looks at nothing.
    pub(super) fn apply(&mut self, step: &Move) {
        self.in_a_row(|watched| watched.happen(step));
    }

    /// Something happens, and what stages without an effect answer to it shares its row.
    fn in_a_row(&mut self, happens: impl FnOnce(&mut Self)) {
        let rows = self.run.journal.len();
        happens(self);
        let (now, Some(draw)) = (self.run.now, &mut self.fused) else { return };
        self.run.fuse(rows, 100, || {
            let answer = match draw.below(8) {
                0 => Answer::Retryable,
                1 => Answer::Wait(Some(0)),
                2 => Answer::Poll(5),
                3 => Answer::Restart,
                _ => Answer::Done,
            };
            outcome(answer, now)
        });
    }

    fn happen(&mut self, step: &Move) {
        let run = &mut self.run;
        run.last = Decision::default();
        match step {
            Move::Answer(at, answer) => {
                if run.calls.is_empty() {
                    return;
                }
                let Action { stage, call, ask } = run.calls.remove(at % run.calls.len());
                self.answered.push((stage, call));
                run.event(match ask {
                    Ask::Cancel(_) => Event::Cancelled { stage, call, overdue: matches!(answer, Answer::Fail) },
                    Ask::Start | Ask::Resume(_) => Event::Answered { stage, call, outcome: outcome(*answer, run.now) },
                });
            }
            Move::Pass(seconds) => drop(run.pass(&seconds.to_string())),
            Move::Crash => {
                self.answered.clear();
                run.crash();
            }
            Move::Cancel => drop(run.cancel("ann")),
            Move::Judge(at) => {
                let path = shown(run, *at);
                run.judge(path.as_str(), json!("go"));
            }
            Move::Signal(at) => {
                let path = shown(run, *at);
                let attempt = run.state.stages[run.index(path.as_str()) as usize].attempt;
                run.event(Event::Signal { path, attempt: Some(attempt), payload: json!("news") });
            }
            Move::Restart(at) => {
                let path = at.map(|at| shown(run, at));
                let kept = run.state.clone();
                run.restart(path.as_ref().map(StagePath::as_str));
                kept_what_was_not_restarted(&kept, run);
            }
            Move::Pause(true) => drop(run.event(Event::Pause { by: "ann".to_owned() })),
            Move::Pause(false) => drop(run.event(Event::Resume { by: "bob".to_owned() })),
            Move::Skip(at) => {
                let path = shown(run, *at);
                run.event(Event::Skip { path, by: "ann".to_owned() });
            }
            Move::Freeze(freeze) => drop(run.freeze(freeze.map(|other| if other { "audit" } else { "holidays" }))),
        }
    }

    /// What must be so after each step, and that the journal tells all of it.
    pub(super) fn check(&mut self) {
        self.glance();
        self.check_journal();
    }

    fn check_journal(&self) {
        let run = &self.run;
        // What the journal says is what is known, whenever it is read.
        let folded = run.refold();
        assert_eq!(durable(&folded), durable(&run.state));
        assert_eq!(
            (folded.status, &folded.stop, folded.has_active(), &folded.restarts, folded.ended_at),
            (run.state.status, &run.state.stop, run.state.has_active(), &run.state.restarts, run.state.ended_at)
        );
        assert_eq!((&folded.held, folded.released_at), (&run.state.held, run.state.released_at));
        assert_eq!((&folded.paused, folded.paused_for), (&run.state.paused, run.state.paused_for));
    }

    /// What must be so after each step.
    pub(super) fn glance(&mut self) {
        let run = &self.run;
        for entry in &run.last.entries {
            if let Entry::Start { stage, attempt, .. } = entry {
                let times = self.started.entry((*stage, *attempt)).or_default();
                *times += 1;
                assert_eq!(*times, 1, "attempt {attempt} of stage {stage} starts once");
                assert!(run.state.paused.is_none(), "nothing starts while it is paused");
                assert!(
                    run.state.plan.stages()[*stage as usize].group.is_none(),
                    "what became several does nothing itself"
                );
                let finally = run.state.plan.is_finally(*stage);
                for need in &run.state.plan.stages()[*stage as usize].needs {
                    let status = run.state.stages[*need as usize].status();
                    assert!(
                        status.lets_downstream_start() || (finally && status.is_complete()),
                        "needs end well first"
                    );
                }
                if let Some(window) = &run.state.definition(*stage).window
                    && *attempt == run.state.stages[*stage as usize].before + 1
                    && run.state.stages[*stage as usize].window_skipped_by.is_none()
                {
                    let who = (run.state.execution.info.id, &run.state.plan.stages()[*stage as usize].path);
                    assert_eq!(window.opens(run.now, who, true), Ok(None), "it starts in its window");
                }
            }
        }
        for action in &run.last.actions {
            let stage = &run.state.stages[action.stage as usize];
            assert!(!stage.status().is_complete(), "nothing is asked of a stage that ended");
            assert_eq!(stage.call.as_ref().map(|call| call.number), Some(action.call), "one call at a time");
        }
        self.waits_for_something();
    }

    /// Every execution has ended, or names what it waits for.
    fn waits_for_something(&self) {
        let state = &self.run.state;
        if state.status.is_complete() {
            assert_eq!(state.next_due(), None);
            assert!(!state.has_active());
            return;
        }
        if let Some(held) = &state.held {
            assert_eq!(Some(held), self.run.frozen.as_ref(), "it waits for the freeze that there is");
            assert!(!state.has_active() && self.run.calls.is_empty(), "nothing of it runs");
            assert_eq!(self.run.text(), format!("Waiting: frozen, {}", held.reason));
            assert_eq!(state.next_due(), state.start_expires());
            assert!(state.next_due().is_none_or(|due| due > self.run.now), "who waited for too long has ended");
            return;
        }
        assert!(state.has_active() || state.paused.is_some(), "a running execution has something that runs");
        assert_eq!(state.paused.is_some(), state.status == Status::Paused);
        for group in state.spread_stages() {
            let members = state.plan.members(group).iter().map(|member| &state.stages[*member as usize]);
            let active = members.filter(|stage| stage.phase.is_active()).count();
            let spread = state.definition(group).spread.as_ref().expect("what it is spread over");
            assert!(spread.max_parallel.is_none_or(|most| active <= most as usize), "no more at once than it says");
            assert!(active > 0 || state.paused.is_some(), "stage {group} is over and doesn't say so");
        }
        if state.stop.is_some() {
            let is_left = |(index, stage): (u32, &crate::engine::state::StageState)| {
                state.plan.is_finally(index) || matches!(stage.phase, Phase::Cancelling { .. })
            };
            assert!(state.active().all(is_left), "only what runs at the end isn't stopped");
        }
        for (index, stage) in state.active() {
            let named = match &stage.phase {
                Phase::Waiting { until, waiting_for, .. } => until.is_some() || !waiting_for.is_empty(),
                Phase::Polling { .. } | Phase::Backoff { .. } | Phase::Window { .. } => true,
                Phase::InFlight | Phase::Cancelling { .. } => stage.call.is_some(),
                Phase::Idle | Phase::Spread | Phase::Ended(_) => false,
            };
            assert!(named, "stage {index} hangs: {stage:?}");
            let mut out = self.run.calls.iter().filter(|call| call.stage == index).map(|call| call.call);
            assert_eq!(out.next_back(), stage.call.as_ref().map(|call| call.number), "calls are known on both sides");
        }
        if let Some(due) = state.next_due() {
            assert!(due > self.run.now || state.stop.is_some(), "what is due is done");
        }
    }
}

/// One of the stages that there are, instances among them.
fn shown(run: &Run, at: usize) -> StagePath {
    let shown = run.state.plan.shown();
    run.state.plan.stages()[shown[at % shown.len()] as usize].path.clone()
}

/// After a restart, or a refusal to restart.
fn kept_what_was_not_restarted(before: &State, run: &Run) {
    let Some(Entry::Restart { stages, .. }) = run.last.entries.first() else {
        assert!(run.last.refused.is_some() && run.last.entries.is_empty(), "{:?}", run.last);
        return;
    };
    assert!(before.status.is_complete());
    let again = before.plan.again(stages);
    // A stage of which an instance runs again isn't over any more.
    let opened: Vec<u32> = stages.iter().filter_map(|stage| before.plan.group_of(*stage)).collect();
    for (index, (old, new)) in (0..).zip(before.stages.iter().zip(&run.state.stages)) {
        if again.contains(&index) {
            assert!(new.attempt >= old.attempt, "attempts go on counting");
        } else if old.phase != Phase::Idle && !opened.contains(&index) {
            assert_eq!(old, new, "stage {index} is left alone");
        }
    }
}

/// The part of a state that the journal tells. The time of the next look may have moved on without a row.
fn durable(state: &State) -> Vec<crate::engine::state::StageState> {
    let mut stages = state.stages.clone();
    for stage in &mut stages {
        stage.call = None;
        if let Phase::Polling { until, .. } = &mut stage.phase {
            *until = crate::clock::Timestamp::from_millis(0);
        }
    }
    stages
}

fn outcome(answer: Answer, now: crate::clock::Timestamp) -> Outcome {
    let after = |seconds| std::time::Duration::from_secs(seconds);
    match answer {
        Answer::Done => Outcome::done(),
        Answer::Fail => Outcome::fail("exit code 1"),
        Answer::Retryable => Outcome::fail_retryable("exit code 2"),
        Answer::Restart => Outcome::Restart { reason: "it died".to_owned() },
        Answer::Wait(seconds) => Outcome::Wait {
            until: seconds.map(|seconds| now.plus(after(seconds))),
            waiting_for: "approval".to_owned(),
            checkpoint: json!(seconds),
        },
        Answer::Poll(seconds) => Outcome::Poll { after: after(seconds), checkpoint: json!(seconds % 2) },
        Answer::Huge => Outcome::Done { outputs: map(json!({"x": "y".repeat(300_000)})) },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_keeps_the_promises(
        pipeline in pipelines(),
        frozen in proptest::option::weighted(0.2, Just("release week")),
        moves in prop::collection::vec(moves(), 0..60),
        fused in proptest::option::of(any::<u64>()),
    ) {
        let mut watched = Watched::of(pipeline);
        watched.fused = fused.map(Draw::of);
        watched.run.frozen = frozen.map(hold);
        watched.begin();
        watched.check();
        for step in &moves {
            watched.step(step);
        }
        watched.lead_to_the_end();
        prop_assert!(watched.run.status().is_complete(), "{}", watched.run.stages());
        ended_by_the_rules(&watched.run);
    }

    #[test]
    fn any_prefix_of_a_journal_folds(pipeline in pipelines(), moves in prop::collection::vec(moves(), 0..40)) {
        let mut watched = Watched::of(pipeline);
        watched.run.event(Event::Loaded);
        for step in &moves {
            watched.step(step);
        }
        let mut state = State::new(std::sync::Arc::clone(&watched.run.state.execution), kinds()).expect("a graph");
        for entry in watched.run.entries() {
            state.apply(&entry, watched.run.now).expect("legal, entry by entry");
        }
    }

    #[test]
    fn any_entry_at_any_time_is_taken_or_refused_and_never_a_panic(
        stages in stages(),
        picks in prop::collection::vec((0_usize..24, 0_u32..14, 0_u32..4), 0..80),
    ) {
        let mut state = Run::stored(pipeline(stages)).state;
        for (pick, stage, number) in picks {
            let now = crate::clock::Timestamp::from_millis(5);
            let status = Status::ALL[number as usize * 3];
            let entry = match pick {
                0 => Entry::Begin,
                1 => Entry::Start { stage, attempt: number, fields: None, secrets: Vec::new() },
                2 => Entry::Wait { stage, until: None, waiting_for: "x".into(), checkpoint: json!(1), signal_kept: number == 1 },
                3 => Entry::Poll { stage, until: now, checkpoint: json!(1), signal_kept: number == 1 },
                4 => Entry::Signal { stage, payload: json!(1) },
                5 => Entry::Done { stage, outputs: serde_json::Map::new() },
                6 => Entry::Retry { stage, message: "x".into(), until: now, lost: number == 1 },
                7 => Entry::Fail { stage, status: Status::FailedContinue, message: "x".into(), outputs: serde_json::Map::new() },
                8 => Entry::Fail { stage, status, message: "x".into(), outputs: serde_json::Map::new() },
                9 => Entry::Skip { stage },
                10 if number == 3 => Entry::Cancel { by: "ann".into(), reason: None, superseded: stage == 1 },
                11 if number == 3 => Entry::Timeout,
                12 => Entry::Cancelling { stage, timed_out: number == 1 },
                13 => Entry::Canceled { stage, message: None },
                14 => Entry::End { status },
                15 => Entry::Restart {
                    stages: if number == 0 { vec![] } else { vec![stage] },
                    by: "ann".into(),
                    override_freeze: number == 1,
                },
                16 => Entry::Hold(hold("audit")),
                17 => Entry::Release,
                18 => Entry::Pause { by: "ann".into() },
                19 => Entry::Resume { by: "ann".into() },
                20 => Entry::Window { stage, until: now },
                21 => Entry::SkipWindow { stage, by: "ann".into() },
                22 => {
                    let instance = |key: u32| Instance { key: key.to_string(), value: json!(key) };
                    Entry::Spread { stage, instances: (0..number).map(instance).collect() }
                }
                _ => Entry::Start { stage, attempt: 1, fields: None, secrets: Vec::new() },
            };
            let before = (durable(&state), state.held.clone());
            if state.apply(&entry, now).is_err() {
                prop_assert_eq!(before, (durable(&state), state.held.clone()));
            }
            let active = |stage: &&crate::engine::state::StageState| stage.status() == Status::Running && stage.phase != Phase::Spread;
            let active = state.stages.iter().filter(active).count();
            prop_assert_eq!(active > 0, state.has_active());
        }
    }
}

/// The end agrees with Spinnaker's table, worked out anew from what the stages became.
pub(super) fn ended_by_the_rules(run: &Run) {
    let state = &run.state;
    // What its instances became, a stage says.
    let any = |wanted: Status| state.of_the_pipeline().any(|(_, stage)| stage.status() == wanted);
    let entries = run.entries();
    // What happened before the latest restart counts only by what it left.
    let begun = entries.iter().rposition(|entry| matches!(entry, Entry::Restart { .. })).unwrap_or(0);
    let canceled = entries[begun..].iter().any(|entry| matches!(entry, Entry::Cancel { .. }));
    let timed_out = entries[begun..].contains(&Entry::Timeout);
    let branch_fails = state.of_the_pipeline().any(|(index, stage)| {
        stage.status() == Status::Stopped && state.definition(index).on_failure == OnFailure::HaltBranchThenFail
    });
    let expected = if canceled {
        Status::Canceled
    } else if any(Status::Terminal) || timed_out || branch_fails {
        Status::Terminal
    } else if any(Status::Canceled) {
        Status::Canceled
    } else {
        Status::Succeeded
    };
    assert_eq!(state.status, expected, "{}", run.stages());
    // What is cancelled before it goes on after a restart has nothing to tidy up.
    let holds = entries[begun..].iter().rfind(|entry| matches!(entry, Entry::Hold(_) | Entry::Release));
    let went_on = !matches!(holds, Some(Entry::Hold(_)));
    for (index, stage) in state.of_the_pipeline() {
        let began = state.started_at.is_some() && went_on;
        assert!(
            !state.plan.is_finally(index) || !began || stage.status().is_complete(),
            "what runs at the end has run"
        );
    }
    if !canceled && begun == 0 {
        assert!(!any(Status::Canceled) || any(Status::Terminal), "stages are cancelled for a reason");
    }
    for (group, stage) in state.of_the_pipeline() {
        let mut members = state.plan.members(group).iter().map(|member| state.stages[*member as usize].status());
        assert!(!stage.status().is_complete() || members.all(Status::is_complete), "all of stage {group} are over");
    }
    // Whoever could have run has run.
    if expected == Status::Succeeded {
        for (index, stage) in state.of_the_pipeline() {
            let free = state.has_what_it_needs(index);
            assert_eq!(stage.status() == Status::NotStarted, !free, "stage {index} in {}", run.stages());
        }
    }
}
