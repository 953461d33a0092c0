//! How one stage becomes several (`matrix`, `forEach`), and how that ends.
//!
//! Its list is evaluated once, when it could start, and recorded. From then on its instances are stages like any other, with
//! fields, timeout, retry and window of their own; the stage itself does nothing, and ends by what they ended as.

use serde_json::{Map, Value};

use super::{Done, Step};
use crate::engine::entry::Entry;
use crate::engine::evaluate;
use crate::engine::legal::IllegalEntry;
use crate::engine::limits::{self, Bound};
use crate::engine::state::Phase;
use crate::model::{Instance, Status};

impl Step<'_> {
    /// Whether the stage's condition is asked here: of a stage that becomes several, either once, or for each instance.
    pub(super) fn is_asked(&self, stage: u32) -> bool {
        let asks_each = |stage: u32| {
            let group = self.state.plan.stages()[stage as usize].group.as_ref();
            group.map(|group| group.asks_each)
        };
        match self.state.plan.group_of(stage) {
            Some(group) => asks_each(group) == Some(true),
            None => asks_each(stage) != Some(true),
        }
    }

    /// Has a stage become several.
    pub(super) fn spread(&mut self, stage: u32) -> Done {
        let instances = match evaluate::instances(self.state, stage) {
            Ok(instances) => instances,
            Err(message) if self.state.dry => {
                self.decision.notes.push((stage, format!("{message}; one instance stands for all")));
                vec![Instance { key: "0".to_owned(), value: Value::Null }]
            }
            Err(message) => return self.fail(stage, message, Map::new()),
        };
        if let Err(message) = limits::check(Bound::Instances, &instances) {
            return self.fail(stage, message, Map::new());
        }
        self.record(Entry::Spread { stage, instances })?;
        self.open_members(stage);
        Ok(())
    }

    /// Instances that have not begun may be free to start.
    pub(super) fn open_members(&mut self, group: u32) {
        let idle = |member: &&u32| self.state.stages[**member as usize].phase == Phase::Idle;
        self.open.extend(self.state.plan.members(group).iter().filter(idle));
    }

    /// Stops the instances of stages of which one failed that ends the others, and ends the stages whose instances are over.
    /// Says whether any ended.
    pub(super) fn settle_groups(&mut self) -> Result<bool, IllegalEntry> {
        let mut any = false;
        for group in self.state.spread_stages() {
            let members = self.state.plan.members(group).to_vec();
            let ends = self.state.group_ends(group);
            if self.state.stages[group as usize].failed_first.is_some() {
                for member in &members {
                    self.stop(*member)?;
                }
            }
            let is = |member: &u32, phase: fn(&Phase) -> bool| phase(&self.state.stages[*member as usize].phase);
            if members.iter().any(|member| is(member, Phase::is_active)) {
                continue;
            }
            let idle: Vec<u32> =
                members.iter().copied().filter(|member| is(member, |phase| *phase == Phase::Idle)).collect();
            if !idle.is_empty() && !ends {
                // It is paused or held.
                continue;
            }
            for stage in idle {
                self.record(Entry::Canceled { stage, message: None })?;
            }
            self.end_group(group, &members)?;
            any = true;
        }
        Ok(any)
    }

    /// Ends a stage whose instances are over: as badly as the worst of them.
    fn end_group(&mut self, stage: u32, members: &[u32]) -> Done {
        let status_of = |member: &u32| self.state.stages[*member as usize].status();
        let is_any = |wanted: Status| members.iter().any(|member| status_of(member) == wanted);
        let failed = [Status::Terminal, Status::Stopped].into_iter().find(|status| is_any(*status));
        // Whoever was cancelled because of a failure that is ignored is ignored with it.
        let because = self.state.stages[stage as usize].failed_first.is_some();
        let ignored =
            Some(Status::FailedContinue).filter(|status| is_any(*status) && (because || !is_any(Status::Canceled)));
        let entry = match failed.or(ignored) {
            Some(status) => {
                let message = limits::clip(self.failure_of(stage, members));
                Entry::Fail { stage, status, message, outputs: Map::new() }
            }
            None if is_any(Status::Canceled) => Entry::Canceled { stage, message: None },
            None if members.iter().all(|member| status_of(member) == Status::Skipped) => Entry::Skip { stage },
            None => Entry::Done { stage, outputs: Map::new() },
        };
        self.record(entry)?;
        self.ended(stage);
        Ok(())
    }

    /// Which instances failed, and why the first of them did.
    fn failure_of(&self, stage: u32, members: &[u32]) -> String {
        let failed = |member: &&u32| {
            let status = self.state.stages[**member as usize].status();
            matches!(status, Status::Terminal | Status::Stopped | Status::FailedContinue)
        };
        let count = members.iter().filter(failed).count();
        let first = self.state.stages[stage as usize].failed_first.or_else(|| members.iter().find(failed).copied());
        let Some(first) = first else { return String::new() };
        let path = &self.state.plan.stages()[first as usize].path;
        let error = self.state.stages[first as usize].error.as_deref().unwrap_or("no reason was given");
        let more = if count > 1 { format!(" ({count} of {} failed)", members.len()) } else { String::new() };
        format!("{path}: {error}{more}")
    }
}
