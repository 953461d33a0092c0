//! Random worlds of several engines: shards move with and without a word, leases end and come back, engines hang, die and
//! join, and people ask wherever they are. Whatever happens, every execution ends, and nothing of it is done twice.
//!
//! ```sh
//! LONGBOAT_SEED=7 cargo nextest run --no-capture worlds_of_several_engines     # that world alone
//! ```

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::fleet::*;
use super::world::*;
use crate::engine::entry::{Entry, decode};
use crate::model::{Concurrency, ExecutionId, NewExecution, OnNew, Stage, Status};
use crate::store::Shards;

/// How many worlds there are if nobody says.
const WORLDS: u64 = 6;
/// How much happens in each before it is led to its end.
const MOVES: usize = 50;
/// How many seconds they have for that at most, by their clock.
const ROUNDS: usize = 2000;
/// The lane that some stand in, and how many may run there.
const LOCK: (&str, u32) = ("prod-db", 2);

/// An execution whose stages have names of their own.
fn execution(random: &mut fastrand::Rng, number: usize) -> NewExecution {
    let kinds =
        [("work", "done"), ("work", "yield"), ("none", "done"), ("here", "poll"), ("work", "wait"), ("ask", "")];
    let count = random.usize(1..5);
    let mut stages: Vec<Stage> = Vec::new();
    for at in 0..count {
        let needs = random.choice(&stages).map(|stage| stage.id.to_string());
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        let (kind, word) = random.choice(kinds).expect("some");
        let name = format!("{kind}-{number}-{at}");
        stages.push(stage(&name, &needs).of(kind).fields(json!({"do": word, "seconds": 5})));
    }
    let mut pipeline = pipeline(stages);
    if random.u8(0..3) == 0 {
        let lock = Some(LOCK.0.parse().expect("a name"));
        pipeline.concurrency = Some(Concurrency { max: LOCK.1, on_new: OnNew::Queue, lock });
    }
    new_execution(pipeline)
}

fn some_shards(random: &mut fastrand::Rng) -> Shards {
    let share = random.usize(1..40);
    Shards::ALL.iter().filter(|_| random.usize(0..64) < share).collect()
}

struct World {
    fleet: Fleet,
    random: fastrand::Rng,
    ids: Vec<ExecutionId>,
}

impl World {
    /// One of the engines that run.
    fn somebody(&mut self) -> usize {
        let alive: Vec<usize> = (0..self.fleet.engines.len()).filter(|at| self.fleet.engines[*at].is_some()).collect();
        self.random.choice(alive).expect("one")
    }

    async fn step(&mut self) {
        let shards = some_shards(&mut self.random);
        let who = self.somebody();
        match self.random.u8(0..20) {
            0..6 => {
                let new = execution(&mut self.random, self.ids.len());
                self.ids.push(new.id);
                if self.random.bool() {
                    self.fleet.submit(new, who).await;
                } else {
                    self.fleet.create(new).await;
                }
            }
            6..8 => self.fleet.give(shards, who).await,
            8..10 => self.fleet.take(shards, who).await,
            10 => self.fleet.ask_back(shards, who),
            11 => {
                // It hangs, and wakes up some moves later.
                let berth = &self.fleet.berths[who];
                berth.held_up.store(true, Ordering::SeqCst);
                berth.lapsed.store(self.random.bool(), Ordering::SeqCst);
            }
            12 => self.wake_all(),
            13 => {
                let deaf = self.random.bool();
                self.fleet.berths[who].deaf.store(deaf, Ordering::SeqCst);
            }
            14 if self.fleet.engines.iter().flatten().count() > 1 => {
                self.fleet.kill(who);
                let new = self.fleet.join().await;
                let heir = if self.random.bool() { new } else { self.somebody() };
                self.fleet.give(shards, heir).await;
            }
            15..18 => self.answer(who).await,
            _ => self.fleet.clock.advance(Duration::from_millis(self.random.u64(100..8000))),
        }
        for _ in 0..self.random.usize(0..60) {
            tokio::task::yield_now().await;
        }
    }

    /// Each shard is somebody's who runs, and everybody knows it.
    async fn share_all(&mut self) {
        for shard in Shards::ALL.iter() {
            let owner = self.fleet.owner(shard).await.filter(|owner| self.fleet.engines[*owner].is_some());
            let owner = owner.unwrap_or_else(|| self.somebody());
            self.fleet.give([shard].into_iter().collect(), owner).await;
        }
    }

    fn wake_all(&self) {
        for berth in &self.fleet.berths {
            berth.held_up.store(false, Ordering::SeqCst);
            berth.lapsed.store(self.fleet.engines[berth.number].is_none(), Ordering::SeqCst);
            berth.release.notify_waiters();
        }
    }

    /// Somebody answers what is asked, at one of the engines. Whether that arrives is not known while engines hang.
    async fn answer(&mut self, who: usize) {
        let Some(id) = self.random.choice(self.ids.clone()) else { return };
        let view = self.fleet.view(id).await;
        let asked = view.stages.iter().find(|stage| stage.kind == "ask" && stage.waiting_for.is_some());
        if let Some(stage) = asked {
            let judged = self.fleet.judge(who, id, stage.path.as_str());
            drop(tokio::time::timeout(Duration::from_millis(5), judged).await);
        }
    }

    /// What must be so at any moment.
    async fn check(&self) {
        let members = self.fleet.store.lane_members(None).await.expect("reads");
        let running = members.iter().filter(|member| member.status != Status::NotStarted).count();
        assert!(running <= LOCK.1 as usize, "{running} run in the lane");
        let mut asked: HashMap<String, u32> = HashMap::new();
        // What does nothing outside may be asked before its row is written, and once more if that is refused.
        let counts = |what: &String| what.ends_with(" start") && (what.starts_with("work") || what.starts_with("here"));
        for what in self.fleet.outside.asked().into_iter().filter(counts) {
            let times = asked.entry(what.clone()).or_default();
            *times += 1;
            assert_eq!(*times, 1, "{what} happened twice");
        }
    }

    /// Everybody knows what is so, and nothing hangs any more: then all comes to its end.
    async fn lead_to_the_end(&mut self) {
        self.wake_all();
        self.fleet.berths.iter().for_each(|berth| berth.deaf.store(false, Ordering::SeqCst));
        self.share_all().await;
        let ids = self.ids.clone();
        let mut open = ids.clone();
        for round in 0..ROUNDS {
            // What was given back late is nobody's.
            if round % 10 == 0 {
                self.share_all().await;
            }
            let mut left = Vec::new();
            for id in open {
                let view = self.fleet.view(id).await;
                if view.status.is_complete() {
                    continue;
                }
                for stage in view.stages.iter().filter(|stage| stage.kind == "ask" && stage.waiting_for.is_some()) {
                    let who = self.somebody();
                    let judged = self.fleet.judge(who, id, stage.path.as_str());
                    // Time doesn't go on meanwhile, so that some can't be taken.
                    drop(tokio::time::timeout(Duration::from_millis(20), judged).await);
                }
                left.push(id);
            }
            open = left;
            if open.is_empty() {
                break;
            }
            self.fleet.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if let Some(id) = open.first().copied() {
            let stored = self.fleet.store.execution(id).await.expect("reads").expect("there");
            let rows = self.fleet.store.journal(stored.execution.key).await.expect("reads");
            let bodies: Vec<&str> = rows.iter().map(|row| row.body.as_str()).collect();
            let owner = self.fleet.owner(stored.shard).await;
            panic!("{id} of {:?}, with {owner:?}, never ends: {bodies:#?}", stored.shard);
        }
        for id in ids {
            let view = self.fleet.view(id).await;
            assert_eq!(view.status, Status::Succeeded, "{view:?}");
            let key = self.fleet.store.execution(id).await.expect("reads").expect("there").execution.key;
            let mut ended = Vec::new();
            for row in self.fleet.store.journal(key).await.expect("reads") {
                for entry in decode(&row.body).expect("decodes") {
                    if let Entry::Done { stage, .. } = entry {
                        assert!(!ended.contains(&stage), "stage {stage} of {id} succeeded twice");
                        ended.push(stage);
                    }
                }
            }
            assert_eq!(ended.len(), view.stages.len());
        }
    }
}

async fn world(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let fleet = Fleet::of(random.usize(2..4)).await;
    let mut world = World { fleet, random, ids: Vec::new() };
    for _ in 0..MOVES {
        world.step().await;
        world.check().await;
    }
    world.lead_to_the_end().await;
    world.check().await;
}

#[tokio::test]
async fn worlds_of_several_engines_come_to_their_end_and_do_nothing_twice() {
    let named = std::env::var("LONGBOAT_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds = named.map_or(0..WORLDS, |seed| seed..seed + 1);
    for seed in seeds {
        eprintln!("world {seed}; again with LONGBOAT_SEED={seed}");
        world(seed).await;
    }
}
