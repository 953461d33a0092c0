//! Who stands in line: executions of which only so many may run at once.
//!
//! An execution is in one lane at most: that of its pipeline, or of a lock that pipelines share. It asks for a place when
//! it would begin, and leaves when it has ended. Those that wait go in the order in which they were created, and nobody
//! overtakes: so whoever waits has its turn once those before it have ended. Who is frozen doesn't stand in line.
//!
//! What a newer execution does to older ones (`onNew`) is between executions of the same pipeline, whoever else shares the
//! lock.
//!
//! One thing could wait for ever: an execution whose end is awaited by those that hold all the places. That is found when
//! it asks, and refused.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::entry::{Entry, decode};
use super::freeze::Hold;
use crate::model::{ApplicationName, ExecutionId, ExecutionKey, Lane, NewExecution, OnNew, PipelineName, Status};
use crate::store::{LaneMember, Shard, Shards};

/// How many are told to give way at once.
const MOST_VICTIMS: usize = 16;

/// What an execution is told that asks whether it may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It may; from now on it has a place.
    Begin,
    /// It waits.
    Wait(Hold),
    /// It would wait for ever; why.
    Never(String),
}

/// An execution that makes way for a newer one, and is to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// Which.
    pub key: ExecutionKey,
    /// The newer one's commit, or its id.
    pub by: String,
    /// The newer one.
    pub newer: ExecutionId,
}

/// All lanes in which somebody stands.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: HashMap<Lane, Line>,
    of: HashMap<ExecutionKey, Lane>,
    superseded: Vec<Superseded>,
    next: Vec<ExecutionKey>,
}

#[derive(Debug, Default)]
struct Line {
    holding: BTreeMap<ExecutionKey, Member>,
    waiting: BTreeMap<ExecutionKey, Member>,
}

#[derive(Debug)]
struct Member {
    id: ExecutionId,
    application: ApplicationName,
    pipeline: PipelineName,
    awaited_by: Vec<ExecutionId>,
    /// How many places may be taken once it has one.
    max: usize,
    /// It has been told to make way.
    leaving: bool,
}

impl Member {
    fn is_of(&self, other: &Self) -> bool {
        self.pipeline == other.pipeline && self.application == other.application
    }
}

impl Lanes {
    /// Takes note of an execution as the store has it when the process starts. One that waits, or has a hold that only its
    /// journal tells, asks once more when it is looked at.
    pub fn restore(
        &mut self,
        key: ExecutionKey,
        lane: Lane,
        began: bool,
        (id, application, pipeline): (ExecutionId, ApplicationName, PipelineName),
    ) {
        let member = Member { id, application, pipeline, awaited_by: Vec::new(), max: usize::MAX, leaving: false };
        let line = self.lanes.entry(lane.clone()).or_default();
        let place = if began { &mut line.holding } else { &mut line.waiting };
        place.insert(key, member);
        self.of.insert(key, lane);
    }

    /// Whether an execution that has not begun, or is to go on after its end, may.
    pub fn ask(&mut self, key: ExecutionKey, info: &NewExecution) -> Turn {
        let Some((lane, rule)) = info.pipeline.lane() else { return Turn::Begin };
        let max = rule.max as usize;
        let hold = hold(&lane, rule.max);
        let line = self.lanes.entry(lane.clone()).or_default();
        self.of.insert(key, lane.clone());
        let known = line.holding.remove(&key).or_else(|| line.waiting.remove(&key));
        let member = Member {
            id: info.id,
            application: info.pipeline.application.clone(),
            pipeline: info.pipeline.name.clone(),
            awaited_by: info.trigger.parent.as_ref().map(|parent| parent.awaited_by.clone()).unwrap_or_default(),
            max,
            leaving: known.is_some_and(|known| known.leaving),
        };
        if member.leaving {
            line.waiting.insert(key, member);
            return Turn::Wait(hold);
        }
        let mut leave = Vec::new();
        if rule.on_new != OnNew::Queue {
            leave.extend(make_way(line.waiting.range_mut(..key), &member, usize::MAX));
        }
        let ahead = line.waiting.range(..key).filter(|(_, other)| !other.leaving).count();
        let begins = ahead == 0 && line.holding.len() < max;
        if !begins && rule.on_new == OnNew::CancelRunning {
            let staying = line.holding.values().filter(|other| !other.leaving).count();
            let too_many = (staying + ahead + 1).saturating_sub(max);
            leave.extend(make_way(line.holding.range_mut(..key), &member, too_many));
        }
        let by = info.commit.as_ref().map_or_else(|| info.id.to_string(), |commit| commit.short().to_owned());
        self.superseded.extend(leave.into_iter().map(|key| Superseded { key, by: by.clone(), newer: info.id }));
        if begins {
            line.holding.insert(key, member);
            self.call_next(&lane);
            return Turn::Begin;
        }
        let may_close_a_circle = !member.awaited_by.is_empty();
        line.waiting.insert(key, member);
        if may_close_a_circle && let Some(reason) = self.waits_for_ever(key, &lane) {
            self.leave(key);
            return Turn::Never(reason);
        }
        Turn::Wait(hold)
    }

    /// An execution has ended, or doesn't stand in line any more.
    pub fn leave(&mut self, key: ExecutionKey) {
        // Most have no lane.
        if self.of.is_empty() {
            return;
        }
        let Some(lane) = self.of.remove(&key) else { return };
        if let Some(line) = self.lanes.get_mut(&lane) {
            line.holding.remove(&key);
            line.waiting.remove(&key);
            if line.holding.is_empty() && line.waiting.is_empty() {
                self.lanes.remove(&lane);
                return;
            }
        }
        self.call_next(&lane);
    }

    /// Takes those that are to be looked at, because it may be their turn.
    pub fn take_next(&mut self) -> Vec<ExecutionKey> {
        std::mem::take(&mut self.next)
    }

    /// Takes those that are to be cancelled.
    pub fn take_superseded(&mut self) -> Vec<Superseded> {
        std::mem::take(&mut self.superseded)
    }

    fn call_next(&mut self, lane: &Lane) {
        let waiting = self.lanes.get(lane).map(|line| &line.waiting);
        let first = waiting.and_then(|waiting| waiting.iter().find(|(_, member)| !member.leaving));
        self.next.extend(first.map(|(key, _)| *key));
    }

    /// Forgets the lanes of these shards: somebody else has them now, with all that stand there.
    pub fn forget(&mut self, lost: Shards) {
        let gone = |lane: &Lane| lost.contains(Shard::of_lane(lane));
        self.lanes.retain(|lane, _| !gone(lane));
        self.of.retain(|_, lane| !gone(lane));
        let of = &self.of;
        self.next.retain(|key| of.contains_key(key));
        self.superseded.retain(|superseded| of.contains_key(&superseded.key));
    }

    /// Whether an execution of theirs whose end is awaited stands in a lane and waits: then it could be for ever.
    pub fn has_awaited(&self) -> bool {
        self.lanes.values().flat_map(|line| line.waiting.values()).any(|member| !member.awaited_by.is_empty())
    }

    /// Who has to give way, so that nobody waits for ever: found among all that stand in lanes, with whichever replica. Of
    /// those that wait for one another, it is the newest that breaks the circle, whoever looks. With each its shard, and why.
    pub fn circles(members: &[LaneMember]) -> Vec<(ExecutionKey, Shard, String)> {
        let mut lanes = Self::default();
        for member in members {
            lanes.add(member);
        }
        let mut victims = Vec::new();
        while victims.len() < MOST_VICTIMS {
            let stuck = lanes.stuck();
            let mut newest: Vec<&LaneMember> =
                members.iter().filter(|one| stuck.contains(&one.key) && !one.awaited_by.is_empty()).collect();
            newest.sort_unstable_by_key(|one| std::cmp::Reverse(one.key));
            let breaks = |one: &&&LaneMember| {
                let rest = members.iter().filter(|other| other.key != one.key && lanes.of.contains_key(&other.key));
                let mut without = Self::default();
                rest.for_each(|other| without.add(other));
                without.stuck().len() + 1 < stuck.len()
            };
            let Some(victim) = newest.iter().find(breaks).or_else(|| newest.first()) else { break };
            victims.push((victim.key, victim.shard, lanes.never(&victim.lane)));
            lanes.leave(victim.key);
        }
        victims
    }

    /// Adds one as the store has it.
    fn add(&mut self, found: &LaneMember) {
        let member = Member {
            id: found.id,
            application: found.application.clone(),
            pipeline: found.pipeline.clone(),
            awaited_by: found.awaited_by.clone(),
            max: found.most,
            leaving: false,
        };
        let line = self.lanes.entry(found.lane.clone()).or_default();
        let place = if found.status == Status::NotStarted { &mut line.waiting } else { &mut line.holding };
        place.insert(found.key, member);
        self.of.insert(found.key, found.lane.clone());
    }

    /// Whether all that hold a place of the lane can't end before this one has; says so in words.
    fn waits_for_ever(&self, key: ExecutionKey, lane: &Lane) -> Option<String> {
        self.stuck().contains(&key).then(|| self.never(lane))
    }

    /// Those that wait for ever.
    fn stuck(&self) -> HashSet<ExecutionKey> {
        // Whoever holds a place can end unless it waits for one that never goes on. Whoever waits goes on if those who can't
        // end leave it a place, and so do all before it. What is left when nothing more is found to go on, never does.
        let mut stuck: HashSet<ExecutionKey> =
            self.lanes.values().flat_map(|line| line.waiting.keys().copied()).collect();
        loop {
            let blocked: HashSet<ExecutionId> = self
                .lanes
                .values()
                .flat_map(|line| &line.waiting)
                .filter(|(waiting, _)| stuck.contains(waiting))
                .flat_map(|(_, member)| member.awaited_by.iter().copied())
                .collect();
            let before = stuck.len();
            for line in self.lanes.values() {
                let stay = line.holding.values().filter(|member| blocked.contains(&member.id)).count();
                for (waiting, member) in &line.waiting {
                    if !member.leaving && member.max <= stay {
                        break;
                    }
                    stuck.remove(waiting);
                }
            }
            if stuck.len() == before {
                return stuck;
            }
        }
    }

    /// That somebody would wait for ever for a place in this lane, in words.
    fn never(&self, lane: &Lane) -> String {
        let holders = self.lanes.get(lane).into_iter().flat_map(|line| line.holding.values()).take(3);
        let holders: Vec<String> =
            holders.map(|member| format!("{}/{} ({})", member.application, member.pipeline, member.id)).collect();
        let what = match lane {
            Lane::Pipeline(..) => format!("its turn in the {lane}"),
            Lane::Lock(_) => format!("the {lane}"),
        };
        format!(
            "it would wait for ever for {what}: what holds it waits for the end of this execution, by way of others or \
             directly: {}",
            holders.join(", ")
        )
    }
}

/// One that was restarted and stands in line once more holds no place, whatever its status says: the last row of its journal
/// does.
pub fn as_it_stands((mut member, last): (LaneMember, Option<String>)) -> LaneMember {
    let entries = last.filter(|_| member.status != Status::NotStarted).and_then(|body| decode(&body).ok());
    if let Some(Entry::Hold(Hold { lane: Some(_), .. })) = entries.as_deref().and_then(<[Entry]>::last) {
        member.status = Status::NotStarted;
    }
    member
}

/// Tells up to `most` executions of the same pipeline to make way, the oldest first.
fn make_way<'a>(
    older: impl Iterator<Item = (&'a ExecutionKey, &'a mut Member)>,
    newer: &Member,
    most: usize,
) -> Vec<ExecutionKey> {
    let of_same = older.filter(|(_, member)| !member.leaving && member.is_of(newer)).take(most);
    of_same
        .map(|(key, member)| {
            member.leaving = true;
            *key
        })
        .collect()
}

fn hold(lane: &Lane, max: u32) -> Hold {
    let reason = match lane {
        Lane::Pipeline(..) => format!("its turn ({max} at once)"),
        Lane::Lock(lock) => format!("the lock {lock} ({max} at once)"),
    };
    Hold { reason, by: String::new(), until: None, lane: Some(lane.to_string()) }
}
