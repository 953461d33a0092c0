//! Lanes: the rules, random worlds of many executions, and the engine that heeds them.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::house::*;
use super::world::*;
use crate::engine::decide::Event;
use crate::engine::entry::{Entry, encode};
use crate::engine::freeze::Hold;
use crate::engine::lanes::{Lanes, Turn, as_it_stands};
use crate::model::{
    CauseKind, Concurrency, ExecutionId, ExecutionKey, ExecutionView, HoldKind, Lane, NewExecution, OnNew, Parent,
    Pipeline, Status,
};
use crate::store::{Created, LaneMember, Shard};

/// A pipeline of which so many run at once.
fn limited(name: &str, max: u32, on_new: OnNew, lock: Option<&str>) -> Pipeline {
    let mut pipeline = pipeline(vec![stage("a", &[]).fields(json!({"do": "hang"}))]);
    pipeline.name = name.parse().expect("a name");
    pipeline.concurrency = Some(Concurrency { max, on_new, lock: lock.map(|lock| lock.parse().expect("a name")) });
    pipeline
}

pub(super) fn below(mut new: NewExecution, parent: &NewExecution) -> NewExecution {
    let mut awaited_by = vec![parent.id];
    awaited_by.extend(parent.trigger.parent.iter().flat_map(|above| above.awaited_by.iter().copied()));
    new.trigger.kind = CauseKind::Pipeline;
    new.trigger.parent = Some(Parent {
        execution: parent.id,
        stage: path("sub"),
        application: parent.pipeline.application.clone(),
        pipeline: parent.pipeline.name.clone(),
        root: CauseKind::Manual,
        files: Vec::new(),
        awaited_by,
    });
    new
}

fn waits(turn: &Turn) -> String {
    match turn {
        Turn::Begin => "begins".to_owned(),
        Turn::Wait(hold) => format!("waits for {}", hold.reason),
        Turn::Never(reason) => reason.clone(),
    }
}

fn key(number: i64) -> ExecutionKey {
    ExecutionKey(number)
}

#[test]
fn one_at_once_runs_and_the_others_follow_in_their_order() {
    let mut lanes = Lanes::default();
    let new = || new_execution(limited("deploy", 1, OnNew::Queue, None));
    let infos = [new(), new(), new()];
    assert_eq!(waits(&lanes.ask(key(1), &infos[0])), "begins");
    assert_eq!(waits(&lanes.ask(key(2), &infos[1])), "waits for its turn (1 at once)");
    assert_eq!(waits(&lanes.ask(key(3), &infos[2])), "waits for its turn (1 at once)");
    drop(lanes.take_next());
    lanes.leave(key(1));
    assert_eq!(waits(&lanes.ask(key(3), &infos[2])), "waits for its turn (1 at once)", "nobody overtakes");
    assert_eq!(lanes.take_next(), [key(2)]);
    assert_eq!(waits(&lanes.ask(key(2), &infos[1])), "begins");
    lanes.leave(key(2));
    assert_eq!(lanes.take_next().last(), Some(&key(3)));
    assert_eq!(waits(&lanes.ask(key(3), &infos[2])), "begins");
    lanes.leave(key(3));
    assert!(lanes.take_superseded().is_empty());
}

#[test]
fn a_lock_is_shared_by_pipelines_and_what_has_no_limit_is_not_asked_about() {
    let mut lanes = Lanes::default();
    let (deploy, migrate) =
        (limited("deploy", 1, OnNew::Queue, Some("prod-db")), limited("migrate", 2, OnNew::Queue, Some("prod-db")));
    assert_eq!(waits(&lanes.ask(key(1), &new_execution(deploy.clone()))), "begins");
    assert_eq!(waits(&lanes.ask(key(2), &new_execution(deploy))), "waits for the lock prod-db (1 at once)");
    assert_eq!(waits(&lanes.ask(key(3), &new_execution(migrate))), "waits for the lock prod-db (2 at once)");
    assert_eq!(waits(&lanes.ask(key(4), &new_execution(pipeline(vec![stage("a", &[])])))), "begins");
}

#[test]
fn keep_newest_lets_the_waiting_ones_make_way_and_leaves_the_running_one_alone() {
    let mut lanes = Lanes::default();
    let infos: Vec<_> = (0..4).map(|_| new_execution(limited("deploy", 1, OnNew::KeepNewest, None))).collect();
    for (number, info) in (1..).zip(&infos) {
        lanes.ask(key(number), info);
    }
    let superseded = lanes.take_superseded();
    let told: Vec<_> = superseded.iter().map(|one| (one.key, one.by.as_str(), one.newer)).collect();
    assert_eq!(told, [(key(2), "a1a1a1a", infos[2].id), (key(3), "a1a1a1a", infos[3].id)]);
    lanes.leave(key(1));
    assert_eq!(lanes.take_next().last(), Some(&key(4)), "who makes way isn't called");
    assert_eq!(waits(&lanes.ask(key(4), &infos[3])), "begins");
}

#[test]
fn cancel_running_makes_room_for_the_newest_among_executions_of_the_same_pipeline() {
    let mut lanes = Lanes::default();
    let new = |name: &str| new_execution(limited(name, 2, OnNew::CancelRunning, Some("prod-db")));
    let (other, first, second, third) = (new("migrate"), new("deploy"), new("deploy"), new("deploy"));
    lanes.ask(key(1), &other);
    lanes.ask(key(2), &first);
    assert_eq!(waits(&lanes.ask(key(3), &second)), "waits for the lock prod-db (2 at once)");
    assert_eq!(lanes.take_superseded().iter().map(|one| one.key).collect::<Vec<_>>(), [key(2)]);
    assert_eq!(waits(&lanes.ask(key(4), &third)), "waits for the lock prod-db (2 at once)");
    assert_eq!(lanes.take_superseded().iter().map(|one| one.key).collect::<Vec<_>>(), [key(3)]);
    lanes.leave(key(2));
    lanes.leave(key(3));
    assert_eq!(waits(&lanes.ask(key(4), &third)), "begins");
    // An older one that is restarted waits, and drives nobody away.
    assert_eq!(waits(&lanes.ask(key(2), &first)), "waits for the lock prod-db (2 at once)");
    assert!(lanes.take_superseded().is_empty());
}

#[test]
fn what_would_wait_for_its_own_parent_is_told_so() {
    let mut lanes = Lanes::default();
    let lock = |name: &str, lock: &str| new_execution(limited(name, 1, OnNew::Queue, Some(lock)));
    let parent = lock("deploy", "prod-db");
    let between = below(new_execution(pipeline(vec![stage("a", &[])])), &parent);
    let child = below(lock("migrate", "prod-db"), &between);
    assert_eq!(waits(&lanes.ask(key(1), &parent)), "begins");
    let told = waits(&lanes.ask(key(3), &child));
    assert!(
        told.starts_with("it would wait for ever for the lock prod-db: ") && told.contains("shop/deploy ("),
        "{told}"
    );
    // Who isn't waited for may wait.
    let mut detached = child;
    detached.trigger.parent.as_mut().expect("a parent").awaited_by.clear();
    assert_eq!(waits(&lanes.ask(key(3), &detached)), "waits for the lock prod-db (1 at once)");
}

#[test]
fn a_circle_over_two_locks_is_found_when_it_closes() {
    let mut lanes = Lanes::default();
    let lock = |name: &str, lock: &str| new_execution(limited(name, 1, OnNew::Queue, Some(lock)));
    let (one, two) = (lock("one", "x"), lock("two", "y"));
    lanes.ask(key(1), &one);
    lanes.ask(key(2), &two);
    let (first, second) = (below(lock("sub", "y"), &one), below(lock("sub", "x"), &two));
    assert_eq!(waits(&lanes.ask(key(3), &first)), "waits for the lock y (1 at once)");
    assert!(waits(&lanes.ask(key(4), &second)).starts_with("it would wait for ever"));
    lanes.leave(key(2));
    assert_eq!(waits(&lanes.ask(key(3), &first)), "begins", "the other one goes on");
}

/// As the store has it.
fn member(number: i64, info: &NewExecution, status: Status) -> LaneMember {
    let (lane, rule) = info.pipeline.lane().expect("a lane");
    LaneMember {
        key: key(number),
        shard: Shard::of_lane(&lane),
        id: info.id,
        application: info.pipeline.application.clone(),
        pipeline: info.pipeline.name.clone(),
        status,
        lane,
        most: rule.max as usize,
        awaited_by: info.trigger.parent.as_ref().map(|parent| parent.awaited_by.clone()).unwrap_or_default(),
    }
}

#[test]
fn of_those_that_wait_for_one_another_the_newest_gives_way_whoever_looks() {
    let lock = |name: &str, lock: &str| new_execution(limited(name, 1, OnNew::Queue, Some(lock)));
    let (one, two) = (lock("one", "x"), lock("two", "y"));
    let (first, second) = (below(lock("sub", "y"), &one), below(lock("sub", "x"), &two));
    let behind = below(lock("late", "x"), &new_execution(pipeline(vec![stage("a", &[])])));
    let victims = |members: &[LaneMember]| -> Vec<ExecutionKey> {
        let found = Lanes::circles(members);
        assert!(found.iter().all(|(_, _, why)| why.starts_with("it would wait for ever for the lock")), "{found:?}");
        found.into_iter().map(|(key, _, _)| key).collect()
    };
    let mut members =
        vec![member(1, &one, Status::Running), member(2, &two, Status::Running), member(3, &first, Status::NotStarted)];
    assert!(victims(&members).is_empty(), "the other one can end");
    members.push(member(4, &second, Status::NotStarted));
    // Who waits behind them is newer, and breaks nothing.
    members.push(member(5, &behind, Status::NotStarted));
    assert_eq!(victims(&members), [key(4)]);
    members.reverse();
    assert_eq!(victims(&members), [key(4)]);
    // One that waits for its own parent is a circle for itself.
    let own = below(lock("own", "z"), &lock("nobody", "z"));
    let mut parent = own.clone();
    parent.id = own.trigger.parent.as_ref().expect("a parent").execution;
    parent.trigger.parent = None;
    let alone = [member(6, &parent, Status::Running), member(7, &own, Status::NotStarted)];
    assert_eq!(victims(&alone), [key(7)]);
}

#[test]
fn one_that_was_restarted_and_waits_holds_no_place_where_circles_are_looked_for() {
    let lock = |name: &str, lock: &str| new_execution(limited(name, 1, OnNew::Queue, Some(lock)));
    let (one, two) = (lock("one", "x"), lock("two", "y"));
    let (again, closes) = (below(lock("sub", "y"), &one), below(lock("sub", "x"), &two));
    let rows = |entries: &[Entry]| Some(encode(entries).expect("encodes"));
    let restart = Entry::Restart { stages: vec![0], by: "ann".into(), override_freeze: false };
    let hold = |lane: Option<&str>| {
        let lane = lane.map(str::to_owned);
        Entry::Hold(Hold { reason: "its turn".into(), by: String::new(), until: None, lane })
    };
    let found = |last: Option<String>| {
        let all = [
            (member(1, &one, Status::Running), rows(&[Entry::Begin])),
            (member(2, &two, Status::Running), None),
            // It ended, was restarted, and waits for what `two` holds; its status is that of one that goes on.
            (member(3, &again, Status::Running), last),
            (member(4, &closes, Status::NotStarted), None),
        ];
        let members: Vec<LaneMember> = all.into_iter().map(as_it_stands).collect();
        Lanes::circles(&members).into_iter().map(|(key, _, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(found(rows(&[restart.clone(), hold(Some("lock y"))])), [key(4)]);
    assert!(found(rows(&[hold(Some("lock y")), Entry::Release])).is_empty(), "it goes on by now");
    assert!(found(rows(&[restart, hold(None)])).is_empty(), "a freeze ends");
    assert!(found(Some("of a later version".to_owned())).is_empty());
}

/// One execution of a random world.
#[derive(Debug)]
struct One {
    info: NewExecution,
    status: Status,
    frozen: bool,
}

/// What a world does with its executions: as the shell does, one after the other.
#[derive(Debug, Default)]
struct World {
    lanes: Lanes,
    all: BTreeMap<ExecutionKey, One>,
    began: Vec<ExecutionKey>,
}

impl World {
    fn look(&mut self, key: ExecutionKey) {
        let one = self.all.get_mut(&key).expect("there");
        if one.status != Status::NotStarted {
            return;
        }
        if one.frozen {
            self.lanes.leave(key);
        } else {
            match self.lanes.ask(key, &one.info) {
                Turn::Begin => {
                    one.status = Status::Running;
                    self.began.push(key);
                }
                Turn::Wait(_) => {}
                Turn::Never(_) => one.status = Status::Canceled,
            }
        }
    }

    fn end(&mut self, key: ExecutionKey) {
        // A parent ends after what it waits for.
        let id = self.all[&key].info.id;
        let awaits = |one: &One| {
            let above = one.info.trigger.parent.iter().flat_map(|parent| &parent.awaited_by);
            !one.status.is_complete() && above.into_iter().any(|above| *above == id)
        };
        if !self.all.values().any(awaits) {
            self.all.get_mut(&key).expect("there").status = Status::Succeeded;
            self.lanes.leave(key);
        }
    }

    /// What follows by itself. The word to make way may be lost in a crash before it is heard.
    fn settle(&mut self, heard: bool) {
        for superseded in self.lanes.take_superseded() {
            let newer = self.all.iter().find(|(_, one)| one.info.id == superseded.newer);
            assert!(newer.is_some_and(|(newer, _)| superseded.key < *newer), "only a newer one drives others away");
            let one = self.all.get_mut(&superseded.key).expect("there");
            if heard && !one.status.is_complete() {
                one.status = Status::Canceled;
                self.lanes.leave(superseded.key);
            }
        }
        loop {
            let next = self.lanes.take_next();
            if next.is_empty() {
                break;
            }
            next.into_iter().for_each(|key| self.look(key));
        }
    }

    fn crash(&mut self) {
        self.lanes = Lanes::default();
        for (key, one) in &self.all {
            if let Some((lane, _)) = one.info.pipeline.lane().filter(|_| !one.status.is_complete()) {
                let pipeline = &one.info.pipeline;
                let who = (one.info.id, pipeline.application.clone(), pipeline.name.clone());
                self.lanes.restore(*key, lane, one.status == Status::Running, who);
            }
        }
        let keys: Vec<_> = self.all.keys().copied().collect();
        keys.into_iter().for_each(|key| self.look(key));
        self.settle(true);
    }

    fn check(&self) {
        let mut running: BTreeMap<Lane, Vec<u32>> = BTreeMap::new();
        for one in self.all.values().filter(|one| one.status == Status::Running) {
            if let Some((lane, rule)) = one.info.pipeline.lane() {
                running.entry(lane).or_default().push(rule.max);
            }
        }
        for (lane, maxima) in running {
            let most = maxima.iter().max().copied().unwrap_or(0) as usize;
            assert!(maxima.len() <= most, "{} run in the {lane}, which allows {most}", maxima.len());
        }
    }
}

#[derive(Debug, Clone)]
enum Move {
    Create { pipeline: usize, parent: Option<usize>, frozen: bool },
    End(usize),
    Thaw,
    Crash,
    Deaf,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (0_usize..5, proptest::option::weighted(0.4, 0_usize..40), proptest::bool::weighted(0.2))
            .prop_map(|(pipeline, parent, frozen)| Move::Create { pipeline, parent, frozen }),
        4 => (0_usize..40).prop_map(Move::End),
        1 => Just(Move::Thaw),
        1 => Just(Move::Crash),
        1 => Just(Move::Deaf),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_lane_is_ever_too_full_and_nobody_in_one_is_stuck(
        rules in prop::collection::vec((1_u32..3, 0_usize..3, proptest::option::of(prop_oneof![Just("x"), Just("y")])), 5),
        moves in prop::collection::vec(moves(), 0..60),
    ) {
        let on_new = [OnNew::Queue, OnNew::CancelRunning, OnNew::KeepNewest];
        let pipelines: Vec<Pipeline> = (0..)
            .zip(&rules)
            .map(|(number, (max, new, lock))| limited(&format!("p{number}"), *max, on_new[*new], *lock))
            .collect();
        let mut world = World::default();
        for step in &moves {
            let keys: Vec<ExecutionKey> = world.all.keys().copied().collect();
            let pick = |at: usize| keys.get(at % keys.len().max(1)).copied();
            let mut heard = true;
            match step {
                Move::Create { pipeline, parent, frozen } => {
                    let mut info = new_execution(pipelines[*pipeline].clone());
                    let parent = parent.and_then(pick).filter(|key| world.all[key].status == Status::Running);
                    if let Some(parent) = parent {
                        info = below(info, &world.all[&parent].info);
                    }
                    let new = key(i64::try_from(keys.len()).expect("few") + 1);
                    world.all.insert(new, One { info, status: Status::NotStarted, frozen: *frozen && parent.is_none() });
                    world.look(new);
                }
                Move::End(at) => {
                    if let Some(key) = pick(*at).filter(|key| world.all[key].status == Status::Running) {
                        world.end(key);
                    }
                }
                Move::Thaw => {
                    world.all.values_mut().for_each(|one| one.frozen = false);
                    keys.into_iter().for_each(|key| world.look(key));
                }
                Move::Crash => world.crash(),
                Move::Deaf => heard = false,
            }
            world.settle(heard);
            if !heard {
                world.crash();
            }
            world.check();
        }
        world.all.values_mut().for_each(|one| one.frozen = false);
        let keys: Vec<ExecutionKey> = world.all.keys().copied().collect();
        keys.iter().for_each(|key| world.look(*key));
        world.settle(true);
        // Whatever happened before: if what runs ends, all have their turn.
        for _ in 0..keys.len() * 2 {
            let running: Vec<_> = keys.iter().filter(|key| world.all[key].status == Status::Running).collect();
            running.into_iter().rev().for_each(|key| world.end(*key));
            world.settle(true);
            world.check();
        }
        for (key, one) in &world.all {
            prop_assert!(one.status.is_complete(), "{key:?} hangs as {} of {rules:?}", one.status);
        }
    }
}

#[test]
fn who_waited_longer_to_begin_than_it_may_is_cancelled_and_says_what_it_waited_for() {
    let mut limited = limited("deploy", 1, OnNew::Queue, None);
    limited.start_expiry = Some(span("2h"));
    let mut new = new_execution(limited);
    new.created_at = crate::clock::Timestamp::from_millis(1_000_000);
    let mut lanes = Lanes::default();
    lanes.ask(key(1), &new_execution(new.pipeline.clone()));
    let Turn::Wait(hold) = lanes.ask(key(2), &new) else { panic!("waits") };
    let mut run = Run::stored_execution(new);
    run.event(Event::Held(hold.clone()));
    assert_eq!(run.text(), "Queued: waiting for its turn (1 at once)");
    assert_eq!(run.state.next_due(), Some(run.now.plus(span("2h").as_duration())));
    run.pass("119m").event(Event::Held(hold));
    assert_eq!(run.status(), Status::NotStarted);
    run.pass("1m");
    assert_eq!(run.status(), Status::Canceled);
    assert_eq!(run.text(), "Cancelled: it had not begun after 2h: it waited for its turn (1 at once)");
}

#[test]
fn what_began_in_time_does_not_expire() {
    let mut pipeline = pipeline(vec![stage("a", &[])]);
    pipeline.start_expiry = Some(span("2h"));
    let mut run = Run::of_pipeline(pipeline);
    assert_eq!(run.state.next_due(), None);
    run.pass("3h").done("a");
    assert_eq!(run.status(), Status::Succeeded);
}

impl House {
    async fn submit_new(&self, new: NewExecution) -> ExecutionId {
        let id = new.id;
        let Created::New(key) = self.store.create(new).await.expect("stored") else { panic!("new") };
        self.handle().submit(key).await;
        id
    }

    async fn waiting(&self, id: ExecutionId) -> ExecutionView {
        self.until(id, "its place in the line", |view| view.held.is_some()).await
    }
}

/// By its stage each is known among what handlers were asked.
fn numbered(number: usize, on_new: OnNew) -> Pipeline {
    let mut pipeline = limited("deploy", 1, on_new, None);
    pipeline.stages = vec![stage(&format!("s{number}"), &[]).fields(json!({"do": "hang"}))];
    pipeline
}

#[tokio::test]
async fn those_that_wait_survive_a_crash_and_run_one_after_the_other() {
    let house = House::new().await;
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(house.submit_new(new_execution(numbered(number, OnNew::Queue))).await);
    }
    let view = house.waiting(ids[7]).await;
    assert_eq!(
        (view.status, view.description.as_str()),
        (Status::NotStarted, "Queued: waiting for its turn (1 at once)")
    );
    let hold = view.held.expect("held");
    assert_eq!((hold.kind, hold.by, hold.lane.as_deref()), (HoldKind::Concurrency, None, Some("pipeline shop/deploy")));
    assert_eq!(hold.holders.iter().map(|holder| holder.id).collect::<Vec<_>>(), [ids[0]]);
    let house = house.crash().await;
    for (number, id) in ids.iter().enumerate() {
        let stage = format!("s{number}");
        house.until(*id, "its turn", |view| view.status == Status::Running).await;
        for later in &ids[number + 1..] {
            assert_eq!(house.view(*later).await.status, Status::NotStarted, "one at once");
        }
        house.outside.open(&stage);
        assert_eq!(house.until_complete(*id).await.status, Status::Succeeded);
    }
    let said = house.said().await;
    let queued = said.iter().filter(|text| text.starts_with("Queued: waiting")).count();
    assert_eq!(queued, 7, "each says once that it waits: {said:?}");
}

#[tokio::test]
async fn a_newer_start_cancels_the_running_one_as_superseded_and_begins() {
    let house = House::new().await;
    let old = house.submit_new(new_execution(numbered(0, OnNew::CancelRunning))).await;
    house.outside.until_asked("s0.1 start").await;
    let mut newer = new_execution(numbered(1, OnNew::CancelRunning));
    newer.commit = Some("1a2b3c4d".repeat(5).parse().expect("a commit"));
    let new = house.submit_new(newer).await;
    let view = house.until_complete(old).await;
    assert_eq!((view.status, view.description.as_str()), (Status::Canceled, "Superseded by 1a2b3c4"));
    assert_eq!(view.canceled_by.as_deref(), Some("a newer execution, 1a2b3c4"));
    house.outside.until_asked("s1.1 start").await;
    house.outside.open("s1");
    assert_eq!(house.until_complete(new).await.status, Status::Succeeded);
    // Restarted, it waits for its turn like any other, and drives nobody away.
    let third = house.submit_new(new_execution(numbered(2, OnNew::CancelRunning))).await;
    house.outside.until_asked("s2.1 start").await;
    house.handle().restart(old, None, "bob", false).await.expect("restarts");
    assert_eq!(house.waiting(old).await.description, "Queued: waiting for its turn (1 at once)");
    house.outside.open("s2");
    assert_eq!(house.until_complete(third).await.status, Status::Succeeded);
    house.outside.until_asked("s0.2 start").await;
    house.outside.open("s0");
    assert_eq!(house.until_complete(old).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_freeze_and_a_lane_together_hold_nobody_for_ever() {
    let house = House::new().await;
    let running = house.submit_new(new_execution(numbered(0, OnNew::Queue))).await;
    house.outside.until_asked("s0.1 start").await;
    let freeze = crate::model::Freeze {
        application: None,
        reason: "audit".to_owned(),
        by: "cat".to_owned(),
        since: house.clock.now(),
        until: None,
    };
    house.handle().freeze(freeze).await.expect("frozen");
    let frozen = house.submit_new(new_execution(numbered(1, OnNew::Queue))).await;
    assert_eq!(house.waiting(frozen).await.description, "Waiting: frozen, audit");
    let mut urgent = new_execution(numbered(2, OnNew::Queue));
    urgent.trigger.override_freeze = Some("ann".to_owned());
    let urgent = house.submit_new(urgent).await;
    assert_eq!(house.waiting(urgent).await.description, "Queued: waiting for its turn (1 at once)");
    house.outside.open("s0");
    house.until_complete(running).await;
    // Who is frozen doesn't stand in line.
    house.outside.until_asked("s2.1 start").await;
    assert!(house.handle().thaw(None).await.expect("thawed"));
    house.until(frozen, "its turn", |view| view.description == "Queued: waiting for its turn (1 at once)").await;
    house.outside.open("s2");
    house.outside.until_asked("s1.1 start").await;
    house.outside.open("s1");
    for id in [frozen, urgent] {
        assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    }
}

#[tokio::test]
async fn who_waits_is_cancelled_or_expires_without_holding_up_those_behind() {
    let house = House::new().await;
    let mut ids = vec![house.submit_new(new_execution(numbered(0, OnNew::Queue))).await];
    house.outside.until_asked("s0.1 start").await;
    for number in 1..4 {
        let mut new = new_execution(numbered(number, OnNew::Queue));
        new.created_at = house.clock.now();
        new.pipeline.start_expiry = (number == 2).then(|| span("1h"));
        ids.push(house.submit_new(new).await);
        house.waiting(ids[number]).await;
    }
    house.handle().cancel(ids[1], "ann", None).await.expect("taken");
    house.clock.advance(Duration::from_secs(3600));
    let expired = house.until_complete(ids[2]).await;
    assert_eq!((expired.status, expired.start_time), (Status::Canceled, None));
    assert!(expired.canceled_by.expect("said").starts_with("longboat: it had not begun after 1h"));
    house.outside.open("s0");
    house.outside.until_asked("s3.1 start").await;
    house.outside.open("s3");
    assert_eq!(house.until_complete(ids[3]).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_child_that_would_wait_for_its_parent_is_cancelled_and_says_why() {
    let house = House::new().await;
    let parent = new_execution(limited("deploy", 1, OnNew::Queue, Some("prod-db")));
    let child = below(new_execution(limited("migrate", 1, OnNew::Queue, Some("prod-db"))), &parent);
    house.submit_new(parent).await;
    house.outside.until_asked("a.1 start").await;
    let child = house.submit_new(child).await;
    let view = house.until_complete(child).await;
    assert!(
        view.description.starts_with("Cancelled: it would wait for ever for the lock prod-db"),
        "{}",
        view.description
    );
}
