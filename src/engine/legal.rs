//! Which entry is legal when, spelt out: every transition that is not written here is refused.
//!
//! So a journal that was damaged, or written by a faulty program, is an error with a name and never a state that
//! can't be; and a decision that contradicts the rules can't be recorded.

use super::entry::Entry;
use super::plan::{Member, Plan};
use super::state::{Phase, StageState, State};
use crate::model::Status;

/// An entry that is not legal where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entry {entry} is not legal here: {reason}")]
pub struct IllegalEntry {
    /// The entry.
    pub entry: String,
    /// Why not.
    pub reason: String,
}

impl IllegalEntry {
    pub(super) fn new(entry: &Entry, reason: String) -> Self {
        let mut text = serde_json::to_string(entry).unwrap_or_else(|_| format!("{entry:?}"));
        if let Some((cut, _)) = text.char_indices().nth(200) {
            text.truncate(cut);
        }
        Self { entry: text, reason }
    }
}

/// Why a stage may not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotYet {
    #[error("the execution is held")]
    Held,
    #[error("the execution is paused")]
    Paused,
    #[error("other stages have not ended, and it runs at the end")]
    Others,
    #[error("the execution stops")]
    Stops,
    #[error("stage {0}, which it needs, has not ended well")]
    Needs(u32),
    #[error("its stage has not become it, or is over")]
    NoInstance,
    #[error("its sibling, stage {0}, failed")]
    SiblingFailed(u32),
    #[error("as many of its siblings run as may")]
    SiblingsRun,
}

impl State {
    /// Whether an entry is legal now, and if not, why.
    pub(super) fn check(&self, entry: &Entry) -> Result<(), String> {
        if let Entry::Restart { stages, .. } = entry {
            return self.check_restart(stages);
        }
        if self.status.is_complete() {
            return Err(format!("the execution has ended as {}", self.status));
        }
        let begun = matches!(self.status, Status::Running | Status::Paused);
        match entry {
            Entry::Begin if begun => Err("the execution has begun already".to_owned()),
            Entry::Begin if self.held.is_some() => Err("the execution is held".to_owned()),
            Entry::Hold(_) if self.active > 0 => Err(format!("{} stages are active", self.active)),
            Entry::Hold(_) if self.paused.is_some() => Err("the execution is paused".to_owned()),
            Entry::Hold(_) if self.stop.is_some() => Err("the execution stops".to_owned()),
            Entry::Release if self.held.is_none() => Err("nothing holds the execution".to_owned()),
            Entry::Hold(_) | Entry::Release => Ok(()),
            Entry::Begin | Entry::Trouble { .. } | Entry::Restart { .. } => Ok(()),
            Entry::Cancel { .. } if self.stop.is_none() => Ok(()),
            Entry::Timeout if self.stop.is_none() && self.status == Status::Running && self.held.is_none() => Ok(()),
            Entry::Pause { .. } => self.check_pausable(),
            Entry::Resume { .. } if self.paused.is_some() => Ok(()),
            Entry::Resume { .. } => Err("the execution isn't paused".to_owned()),
            Entry::Cancel { .. } | Entry::Timeout => {
                Err("the execution stops already, is held or paused, or hasn't begun".to_owned())
            }
            Entry::End { status: Status::Canceled } if !begun => Ok(()),
            Entry::End { .. } if !begun => Err("the execution hasn't begun".to_owned()),
            Entry::End { status } if !matches!(status, Status::Succeeded | Status::Terminal | Status::Canceled) => {
                Err(format!("{status} is no end of an execution"))
            }
            Entry::End { .. } if self.active > 0 => Err(format!("{} stages are still active", self.active)),
            Entry::End { .. } if self.spread > 0 => Err("a stage that became several is not over".to_owned()),
            Entry::End { .. } => Ok(()),
            Entry::AddStages { stages } => Plan::clone(&self.plan).add(stages).map_err(|error| error.to_string()),
            _ if !begun => Err("the execution hasn't begun".to_owned()),
            Entry::Spread { stage, instances } => match self.stage(*stage)?.phase {
                Phase::Idle => {
                    self.check_may_start(*stage)?;
                    self.plan.check_spread(*stage, instances).map(drop).map_err(|error| error.to_string())
                }
                _ => self.stage(*stage)?.refuse("has begun"),
            },
            // It ends with its instances, and by what they say.
            Entry::Done { stage, .. }
            | Entry::Skip { stage }
            | Entry::Fail { stage, .. }
            | Entry::Canceled { stage, .. }
                if self.stage(*stage)?.phase == Phase::Spread =>
            {
                self.check_members_over(*stage, entry)
            }
            Entry::Start { stage, attempt, .. } => {
                let found = self.stage(*stage)?;
                if *attempt != found.attempt + 1 {
                    return Err(format!("attempt {attempt} doesn't follow attempt {}", found.attempt));
                }
                match found.phase {
                    _ if self.plan.stages()[*stage as usize].group.is_some() => {
                        found.refuse("becomes several, and does nothing itself")
                    }
                    Phase::Spread => found.refuse("has become several"),
                    Phase::Idle | Phase::Window { .. } | Phase::Backoff { .. } => self.check_may_start(*stage),
                    Phase::InFlight | Phase::Waiting { .. } | Phase::Polling { .. } => found.refuse("is running"),
                    Phase::Cancelling { .. } => found.refuse("is being cancelled"),
                    Phase::Ended(_) => found.refuse("has ended"),
                }
            }
            Entry::Window { stage, .. } => {
                let found = self.stage(*stage)?;
                match found.phase {
                    Phase::Idle => self.check_may_start(*stage),
                    Phase::Window { .. } => Ok(()),
                    _ => found.refuse("has begun"),
                }
            }
            Entry::SkipWindow { stage, .. } => {
                let found = self.stage(*stage)?;
                if matches!(found.phase, Phase::Window { .. }) { Ok(()) } else { found.refuse("waits for no window") }
            }
            Entry::Skip { stage } => {
                let found = self.stage(*stage)?;
                match found.phase {
                    Phase::Idle => self.check_may_start(*stage),
                    Phase::Window { .. }
                    | Phase::InFlight
                    | Phase::Waiting { .. }
                    | Phase::Polling { .. }
                    | Phase::Backoff { .. }
                    | Phase::Spread
                    | Phase::Cancelling { .. } => found.refuse("has begun"),
                    Phase::Ended(_) => found.refuse("has ended"),
                }
            }
            Entry::Wait { stage, .. }
            | Entry::Poll { stage, .. }
            | Entry::Done { stage, .. }
            | Entry::Cancelling { stage, .. } => self.stage(*stage)?.check_running(),
            Entry::Retry { stage, .. } => {
                let found = self.stage(*stage)?;
                match found.phase {
                    // What took too long may be worth another attempt once it is gone.
                    Phase::Cancelling { timed_out: true, .. } => Ok(()),
                    _ => found.check_running(),
                }
            }
            Entry::Signal { stage, .. } => {
                let found = self.stage(*stage)?;
                if found.signal.is_some() { found.refuse("has a signal already") } else { found.check_running() }
            }
            Entry::Fail { stage, status, .. } => {
                let found = self.stage(*stage)?;
                if !matches!(status, Status::Terminal | Status::Stopped | Status::FailedContinue) {
                    return Err(format!("{status} is no failure"));
                }
                match found.phase {
                    Phase::Idle => self.check_may_start(*stage),
                    Phase::Window { .. }
                    | Phase::InFlight
                    | Phase::Waiting { .. }
                    | Phase::Polling { .. }
                    | Phase::Backoff { .. }
                    | Phase::Cancelling { .. } => Ok(()),
                    Phase::Spread => found.refuse("has become several"),
                    Phase::Ended(_) => found.refuse("has ended"),
                }
            }
            Entry::Canceled { stage, .. } => {
                let found = self.stage(*stage)?;
                let group = self.plan.group_of(*stage).filter(|group| self.group_ends(*group));
                if self.stop.is_none() && group.is_none() {
                    return found.refuse("isn't cancelled, for the execution doesn't stop");
                }
                match found.phase {
                    Phase::Window { .. }
                    | Phase::InFlight
                    | Phase::Waiting { .. }
                    | Phase::Polling { .. }
                    | Phase::Backoff { .. }
                    | Phase::Cancelling { .. } => Ok(()),
                    // What will not run any more is cancelled with its siblings.
                    Phase::Idle if group.is_some() => Ok(()),
                    Phase::Idle => found.refuse("hasn't begun"),
                    Phase::Spread => found.refuse("has become several"),
                    Phase::Ended(_) => found.refuse("has ended"),
                }
            }
        }
    }

    /// Whether a stage that became several can end as the entry says.
    fn check_members_over(&self, stage: u32, entry: &Entry) -> Result<(), String> {
        let mut statuses = self.plan.members(stage).iter().map(|member| self.stages[*member as usize].status());
        if let Some(status) = statuses.clone().find(|status| !status.is_complete()) {
            return Err(format!("one of its instances is {status}"));
        }
        let fits = match entry {
            Entry::Fail { status, .. } => statuses.any(|found| found == *status),
            Entry::Canceled { .. } => statuses.any(|found| found == Status::Canceled),
            Entry::Skip { .. } => statuses.all(|found| found == Status::Skipped),
            _ => statuses.all(|found| found.lets_downstream_start()),
        };
        if fits { Ok(()) } else { Err("none of its instances says so".to_owned()) }
    }

    pub(super) fn check_may_start(&self, stage: u32) -> Result<(), String> {
        self.why_not_start(stage).map_or(Ok(()), |reason| Err(reason.to_string()))
    }

    /// Why a stage may not start; `None` if it may. It is asked often, and seldom told.
    pub(super) fn why_not_start(&self, stage: u32) -> Option<NotYet> {
        if self.held.is_some() {
            return Some(NotYet::Held);
        }
        if self.paused.is_some() {
            return Some(NotYet::Paused);
        }
        if self.plan.is_finally(stage) {
            if !self.main_is_over() {
                return Some(NotYet::Others);
            }
        } else if self.stop.is_some() {
            return Some(NotYet::Stops);
        }
        self.missing(stage)
    }

    /// Whether it can be paused.
    pub(super) fn check_pausable(&self) -> Result<(), String> {
        match self.status {
            Status::Running if self.held.is_none() && self.stop.is_none() => Ok(()),
            _ => Err("the execution hasn't begun, is held or paused, or stops".to_owned()),
        }
    }

    /// Whether all that a stage needs ended well.
    pub(super) fn has_what_it_needs(&self, stage: u32) -> bool {
        self.missing(stage).is_none()
    }

    /// What keeps a stage from starting in an execution that goes on.
    fn missing(&self, stage: u32) -> Option<NotYet> {
        let planned = &self.plan.stages()[stage as usize];
        if let Some(member) = &planned.member {
            let not_yet = self.has_no_turn(stage, member);
            if not_yet.is_some() {
                return not_yet;
            }
        }
        let is_there = |need: &u32| {
            let status = self.stages[*need as usize].status();
            // At the end everything runs, whatever became of what is before it.
            if planned.finally {
                status.is_complete() || !self.plan.is_finally(*need)
            } else {
                status.lets_downstream_start()
            }
        };
        planned.needs.iter().find(|need| !is_there(need)).copied().map(NotYet::Needs)
    }

    /// Why an instance has no turn among its siblings.
    fn has_no_turn(&self, stage: u32, member: &Member) -> Option<NotYet> {
        let group = &self.stages[member.of as usize];
        if member.retired || group.phase != Phase::Spread {
            return Some(NotYet::NoInstance);
        }
        if let Some(first) = group.failed_first {
            return Some(NotYet::SiblingFailed(first));
        }
        let most = self.definition(stage).spread.as_ref()?.max_parallel?;
        let siblings = self.plan.members(member.of).iter().filter(|sibling| **sibling != stage);
        let active = siblings.filter(|sibling| self.stages[**sibling as usize].phase.is_active()).count();
        (active >= most as usize).then_some(NotYet::SiblingsRun)
    }

    /// Only what has ended is begun again, and only stages that had their turn: so whatever a restarted stage needs
    /// has ended well.
    fn check_restart(&self, stages: &[u32]) -> Result<(), String> {
        if !self.status.is_complete() {
            return Err("the execution has not ended".to_owned());
        }
        if self.started_at.is_none() {
            return Err("the execution never began".to_owned());
        }
        for stage in stages {
            let found = self.stage(*stage)?;
            if self.plan.is_retired(*stage) || !matches!(found.phase, Phase::Ended(_)) {
                return found.refuse("has not ended");
            }
        }
        if stages.is_empty() && !self.has_left_out() {
            return Err("nothing would run".to_owned());
        }
        Ok(())
    }

    fn stage(&self, stage: u32) -> Result<&StageState, String> {
        self.stages.get(stage as usize).ok_or_else(|| format!("there is no stage {stage}"))
    }
}

impl StageState {
    fn check_running(&self) -> Result<(), String> {
        match self.phase {
            Phase::InFlight | Phase::Waiting { .. } | Phase::Polling { .. } => Ok(()),
            Phase::Idle => self.refuse("hasn't begun"),
            Phase::Window { .. } => self.refuse("waits for its window"),
            Phase::Backoff { .. } => self.refuse("is between two attempts"),
            Phase::Cancelling { .. } => self.refuse("is being cancelled"),
            Phase::Spread => self.refuse("has become several"),
            Phase::Ended(_) => self.refuse("has ended"),
        }
    }

    fn refuse<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("the stage {what} (attempt {}, {})", self.attempt, self.status()))
    }
}
