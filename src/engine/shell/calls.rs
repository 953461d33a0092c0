//! Calling handlers: at once and within the loop if they have no effect, else as tasks that are counted.
//!
//! What a handler without an effect answers to a decision shares the row of that decision: nothing has happened
//! outside that the row would have to come before, and if the row is lost, the answer is worked out again. So a chain
//! of such stages takes one commit.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::slot::{Call, Live, Slot};
use super::{Internal, Shell};
use crate::clock::Clock;
use crate::engine::decide::{Action, Ask, Event};
use crate::engine::evaluate;
use crate::engine::{CancelReason, Censor, Effect, Outcome, Registry, Signals, StageContext, StageHandler};
use crate::model::ExecutionKey;

/// A handler's answer on its way. A handler that panics has failed; the engine hasn't.
pub(super) type Answering = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What a call takes beside the execution.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) registry: &'a Registry,
    pub(super) clock: &'a Clock,
    pub(super) signals: &'a Signals,
}

/// Tells the loop when a call with an effect has ended, in whatever way.
struct Permit(UnboundedSender<Internal>);

impl Drop for Permit {
    fn drop(&mut self) {
        // The loop may be gone.
        let _ = self.0.send(Internal::Freed).is_ok();
    }
}

impl Shell {
    /// Makes the calls that an execution's latest decisions asked for.
    pub(super) fn call_handlers(&mut self, key: ExecutionKey) {
        let Some(Slot::Live(live)) = self.slots.get_mut(&key) else { return };
        let (actions, thinking) = (std::mem::take(&mut live.actions), std::mem::take(&mut live.thinking));
        for action in actions {
            match action.ask {
                Ask::Cancel(reason) => self.cancel(key, &action, reason),
                Ask::Start | Ask::Resume(_) => self.ask(key, action),
            }
        }
        for (action, answering) in thinking {
            if matches!(self.slots.get(&key), Some(Slot::Live(live)) if live.wants(&action)) {
                self.spawn(key, &action, answering, None);
            }
        }
    }

    /// Makes calls with an effect, as many as may run at once.
    pub(super) fn start_effects(&mut self) {
        let mut later = Vec::new();
        while self.running < self.options.max_running_effects && !self.stopping {
            let Some((key, action)) = self.effects.pop() else { break };
            if self.rests(key, &action) {
                later.push((key, action));
                continue;
            }
            let Some(answering) = self.prepare(key, &action) else { continue };
            self.running += 1;
            let permit = Permit(self.internal.clone());
            self.spawn(key, &action, answering, Some(permit));
        }
        later.into_iter().for_each(|(key, action)| self.effects.push(key, action));
    }

    fn ask(&mut self, key: ExecutionKey, action: Action) {
        let rests = self.rests(key, &action);
        let Some(Slot::Live(live)) = self.slots.get_mut(&key) else { return };
        if rests || live.has_effect(&action) {
            self.effects.push(key, action);
            return;
        }
        let desk = Desk { registry: &self.registry, clock: &self.clock, signals: &self.signals };
        if let Some(answering) = live.ask_at_once(&action, desk) {
            self.spawn(key, &action, answering, None);
        }
    }

    /// The call, ready to be made; `None` if nobody wants it any more.
    fn prepare(&self, key: ExecutionKey, action: &Action) -> Option<Answering> {
        let Some(Slot::Live(live)) = self.slots.get(&key) else { return None };
        live.prepare(action, Desk { registry: &self.registry, clock: &self.clock, signals: &self.signals })
    }

    fn spawn(&mut self, key: ExecutionKey, action: &Action, answering: Answering, permit: Option<Permit>) {
        let (stage, call) = (action.stage, action.call);
        let internal = self.internal.clone();
        let owner = self.owner_of(key);
        let task = tokio::spawn(async move {
            let _permit = permit;
            // A process that was stopped for a while may come to this too late.
            if owner.is_some_and(|(ledger, shard)| !ledger.holds(shard)) {
                return;
            }
            let outcome = answering.await;
            // The loop may be gone; then the next start asks again.
            let _ = internal.send(Internal::Answered { key, stage, call, outcome }).is_ok();
        });
        self.note(key, stage, call, task);
    }

    /// Has a handler end what its stage does outside. Never waits for a place: it makes room.
    fn cancel(&mut self, key: ExecutionKey, action: &Action, reason: CancelReason) {
        let (stage, call) = (action.stage, action.call);
        let Some(Slot::Live(live)) = self.slots.get_mut(&key) else { return };
        if !live.wants(action) {
            return;
        }
        let kind = live.state.plan.stages()[stage as usize].kind;
        let handler = kind.and_then(|kind| self.registry.handler(kind)).cloned();
        let context = live.context(stage, &self.clock, &self.signals);
        let checkpoint = live.state.stages[stage as usize].checkpoint().cloned();
        let (mut given_up, kept): (Vec<Call>, Vec<Call>) = live.calls.drain(..).partition(|call| call.stage == stage);
        live.calls = kept;
        let given_up: Vec<JoinHandle<()>> = given_up.drain(..).filter_map(Call::give_up).collect();
        let deadline = self.options.cancel_deadline;
        let internal = self.internal.clone();
        let task = tokio::spawn(async move {
            let clock = context.clock.clone();
            let ending = async {
                // First the futures, so that nothing new begins beside the cancellation.
                futures::future::join_all(given_up).await;
                if let Some(handler) = handler {
                    let cancelling = AssertUnwindSafe(handler.cancel(&context, checkpoint, reason)).catch_unwind();
                    if cancelling.await.is_err() {
                        tracing::error!(kind = handler.kind(), "a stage type broke down while it cancelled a stage");
                    }
                }
            };
            let overdue = tokio::select! {
                () = ending => false,
                () = clock.sleep(deadline) => true,
            };
            let _ = internal.send(Internal::Cancelled { key, stage, call, overdue }).is_ok();
        });
        self.note(key, stage, call, task);
    }

    fn note(&mut self, key: ExecutionKey, stage: u32, number: u64, task: JoinHandle<()>) {
        if let Some(Slot::Live(live)) = self.slots.get_mut(&key) {
            live.calls.push(Call { stage, number, task: Some(task) });
        }
    }
}

impl Live {
    /// Whether something may happen outside when the call is made.
    pub(super) fn has_effect(&self, action: &Action) -> bool {
        let kind = self.state.plan.stages()[action.stage as usize].kind;
        kind.is_none_or(|kind| kind.effect != Effect::None)
    }

    /// Has a handler without an effect answer, and takes the answer down as something that happened. One that needs
    /// more time than the loop has is handed back.
    pub(super) fn ask_at_once(&mut self, action: &Action, desk: Desk<'_>) -> Option<Answering> {
        let mut answering = self.prepare(action, desk)?;
        match answering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => {
                let (stage, call) = (action.stage, action.call);
                self.events.push_back(Event::Answered { stage, call, outcome }.into());
                None
            }
            Poll::Pending => Some(answering),
        }
    }

    /// The call, ready to be made; `None` if nobody wants it any more.
    fn prepare(&self, action: &Action, desk: Desk<'_>) -> Option<Answering> {
        if !self.wants(action) {
            return None;
        }
        let kind = self.state.plan.stages()[action.stage as usize].kind?;
        let handler = Arc::clone(desk.registry.handler(kind)?);
        let context = self.context(action.stage, desk.clock, desk.signals);
        let checkpoint = self.state.stages[action.stage as usize].checkpoint().cloned();
        let censor = desk.registry.censor(kind).cloned();
        Some(answer(handler, context, checkpoint, action.ask.clone(), censor))
    }

    /// Whether the answer to this call would still count.
    fn wants(&self, action: &Action) -> bool {
        let call = &self.state.stages[action.stage as usize].call;
        call.as_ref().is_some_and(|call| call.number == action.call)
    }

    pub(super) fn context(&self, stage: u32, clock: &Clock, signals: &Signals) -> StageContext {
        let found = &self.state.stages[stage as usize];
        StageContext {
            execution: Arc::clone(&self.state.execution),
            path: self.state.plan.stages()[stage as usize].path.clone(),
            attempt: found.attempt,
            fields: self.state.fields(stage).clone(),
            secrets: found.secrets.clone(),
            scope: self.state.plan.stages()[stage as usize]
                .kind
                .filter(|kind| kind.evaluates)
                .map(|_| Arc::new(evaluate::scope(&self.state, stage)))
                .unwrap_or_default(),
            clock: clock.clone(),
            signals: signals.clone(),
        }
    }
}

fn answer(
    handler: Arc<dyn StageHandler>,
    context: StageContext,
    checkpoint: Option<Value>,
    ask: Ask,
    censor: Option<Censor>,
) -> Answering {
    Box::pin(async move {
        let call = async {
            match ask {
                Ask::Start => handler.start(&context).await,
                Ask::Resume(wake) => handler.resume(&context, checkpoint, wake).await,
                // Cancellations take another way.
                Ask::Cancel(_) => Outcome::fail("a cancellation went astray, which is a fault in Longboat"),
            }
        };
        let mut outcome = AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given");
            Outcome::fail(format!(
                "the stage type `{}` broke down, which is a fault in Longboat: {said}",
                handler.kind()
            ))
        });
        if let Some(censor) = censor {
            censor(&mut outcome);
        }
        outcome
    })
}
