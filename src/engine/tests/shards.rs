//! Several engines, each with some of the shards: they lose them, gain them, give them back, and ask one another.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::fleet::*;
use super::house::*;
use super::world::*;
use crate::engine::entry::{Entry, decode};
use crate::engine::{Changed, EngineError, EngineOptions, Judgment, Verdict};
use crate::model::{Concurrency, ExecutionId, Freeze, NewExecution, OnNew, Pipeline, Status};
use crate::store::{Shard, Shards};

fn one(shard: Shard) -> Shards {
    [shard].into_iter().collect()
}

/// An execution with one stage of its own name.
fn of_stage(id: &str, kind: &str, word: &str) -> NewExecution {
    new_execution(pipeline(vec![stage(id, &[]).of(kind).fields(json!({ "do": word }))]))
}

/// How often each stage ended well, by the journal.
async fn ends(fleet: &Fleet, id: ExecutionId) -> Vec<u32> {
    let key = fleet.store.execution(id).await.expect("reads").expect("there").execution.key;
    let mut ended = Vec::new();
    for row in fleet.store.journal(key).await.expect("reads") {
        for entry in decode(&row.body).expect("decodes") {
            if let Entry::Done { stage, .. } = entry {
                ended.push(stage);
            }
        }
    }
    ended
}

#[tokio::test]
async fn each_runs_its_own_wherever_they_were_handed_over_and_all_hear_of_it() {
    let fleet = Fleet::of(3).await;
    let mut heard = fleet.handle(0).subscribe();
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(fleet.submit(of_stage(&format!("s{number}"), "work", "done"), number % 2).await.0);
    }
    for id in &ids {
        assert_eq!(fleet.until_complete(*id).await.status, Status::Succeeded);
    }
    let mut missing = ids.clone();
    patiently("the news of every end", async {
        while !missing.is_empty() {
            let Changed { id, status, .. } = heard.recv().await.expect("heard");
            missing.retain(|one| *one != id || !status.is_complete());
        }
    })
    .await;
    for number in 0..12 {
        assert_eq!(fleet.outside.count(&format!("s{number}.1 start")), 1);
    }
}

#[tokio::test]
async fn what_nobody_is_told_of_is_found_by_looking() {
    let fleet = Fleet::of(2).await;
    fleet.berths.iter().for_each(|berth| berth.deaf.store(true, Ordering::SeqCst));
    for number in 0..4 {
        let (id, _) = fleet.create(of_stage(&format!("s{number}"), "work", "done")).await;
        assert_eq!(fleet.until_complete(id).await.status, Status::Succeeded);
    }
}

#[tokio::test]
async fn who_lost_a_shard_without_a_word_is_refused_lets_go_and_goes_on_with_the_rest() {
    let fleet = Fleet::of(2).await;
    let hang = |id: &str| stage(id, &[]).fields(json!({"do": "hang"}));
    let (id, shard) = fleet.submit(new_execution(pipeline(vec![hang("a"), hang("b")])), 0).await;
    fleet.outside.until_asked("a.1 start").await;
    fleet.outside.until_asked("b.1 start").await;
    let had = fleet.owner(shard).await.expect("somebody");
    fleet.take(one(shard), 1 - had).await;
    fleet.outside.until_asked("a.1 recovered").await;
    fleet.outside.until_asked("b.1 recovered").await;
    // The first owner's call answers, and is too late. What it has of the other stage is ended.
    fleet.outside.open("a");
    fleet.outside.until_asked("b.1 abandon").await;
    assert_eq!(fleet.view(id).await.status, Status::Running);
    fleet.outside.open("a");
    fleet.outside.open("b");
    assert_eq!(fleet.until_complete(id).await.status, Status::Succeeded);
    let mut ended = ends(&fleet, id).await;
    ended.sort_unstable();
    assert_eq!(ended, [0, 1]);
    assert_eq!((fleet.outside.count("a.1 start"), fleet.outside.count("b.1 start")), (1, 1));
    assert!(fleet.handle(had).is_ready(), "it goes on");
    let mut others = Vec::new();
    for number in 0..4 {
        others.push(fleet.submit(of_stage(&format!("s{number}"), "work", "done"), had).await.0);
    }
    for other in others {
        assert_eq!(fleet.until_complete(other).await.status, Status::Succeeded);
    }
}

#[tokio::test]
async fn a_batch_with_rows_of_a_lost_shard_is_written_without_them() {
    let fleet = Fleet::of(2).await;
    fleet.give(Shards::ALL, 0).await;
    let mut started = Vec::new();
    for number in 0..6 {
        started.push(fleet.submit(of_stage(&format!("s{number}"), "work", "hang"), 0).await);
        fleet.outside.until_asked(&format!("s{number}.1 start")).await;
    }
    // All answers come in one batch, of which two are another's by then.
    fleet.berths[0].held_up.store(true, Ordering::SeqCst);
    (0..6).for_each(|number| fleet.outside.open(&format!("s{number}")));
    fleet.take(one(started[1].1).and(one(started[4].1)), 1).await;
    fleet.berths[0].held_up.store(false, Ordering::SeqCst);
    fleet.berths[0].release.notify_waiters();
    for number in [1, 4] {
        fleet.outside.until_asked(&format!("s{number}.1 recovered")).await;
        fleet.outside.open(&format!("s{number}"));
    }
    for (id, _) in started {
        assert_eq!(fleet.until_complete(id).await.status, Status::Succeeded);
        assert_eq!(ends(&fleet, id).await, [0]);
    }
}

#[tokio::test]
async fn whose_lease_is_over_calls_nobody_and_writes_nothing() {
    let fleet = Fleet::of(2).await;
    let (id, shard) = fleet.submit(of_stage("a", "here", "hang"), 0).await;
    fleet.outside.until_asked("a.1 start").await;
    let had = fleet.owner(shard).await.expect("somebody");
    fleet.berths[had].lapsed.store(true, Ordering::SeqCst);
    // Something happens to it, so that it looks.
    fleet.handle(had).submit(crate::model::ExecutionKey(999)).await;
    fleet.outside.until_asked("a.1 abandon").await;
    fleet.take(one(shard), 1 - had).await;
    fleet.outside.until_asked("a.1 recovered").await;
    fleet.outside.open("a");
    assert_eq!(fleet.until_complete(id).await.status, Status::Succeeded);
    // It gets its lease back, and with it what it has by then.
    fleet.berths[had].lapsed.store(false, Ordering::SeqCst);
    fleet.give(Shards::ALL, had).await;
    let (other, _) = fleet.submit(of_stage("b", "work", "done"), had).await;
    assert_eq!(fleet.until_complete(other).await.status, Status::Succeeded);
}

#[tokio::test]
async fn who_is_killed_is_replaced_and_nothing_runs_twice() {
    let mut fleet = Fleet::of(2).await;
    let new = new_execution(pipeline(vec![
        stage("a", &[]).fields(json!({"do": "done"})),
        stage("b", &["a"]).fields(json!({"do": "hang"})),
        stage("c", &["b"]).of("none"),
    ]));
    let (id, shard) = fleet.submit(new, 0).await;
    fleet.outside.until_asked("b.1 start").await;
    let had = fleet.owner(shard).await.expect("somebody");
    fleet.kill(had);
    fleet.give(Shards::ALL, 1 - had).await;
    fleet.outside.until_asked("b.1 recovered").await;
    fleet.outside.open("b");
    assert_eq!(fleet.until_complete(id).await.status, Status::Succeeded);
    assert_eq!(ends(&fleet, id).await, [0, 1, 2]);
    assert_eq!(fleet.outside.count("a.1 start"), 1);
}

#[tokio::test]
async fn what_people_ask_reaches_the_replica_that_has_it_and_so_do_the_answers() {
    let fleet = Fleet::of(2).await;
    let new = new_execution(pipeline(vec![
        stage("ok", &[]).of("ask"),
        stage("b", &["ok"]).fields(json!({"do": "hang"})),
        stage("c", &["b"]).fields(json!({"do": "fail"})),
    ]));
    let (id, shard) = fleet.submit(new, 0).await;
    let other = 1 - fleet.owner(shard).await.expect("somebody");
    fleet.until(id, "the question", |view| view.stages[0].waiting_for.is_some()).await;
    let nonsense =
        Judgment { verdict: Verdict::Continue, input: Some("nonsense".to_owned()), by: "ann".to_owned(), roles: None };
    let refused = fleet.handle(other).judge(id, &path("ok"), nonsense).await;
    assert!(matches!(&refused, Err(EngineError::Refused(why)) if why == "choose `eu` or `us`"), "{refused:?}");
    let unknown = fleet.judge(other, id, "nowhere").await;
    assert!(matches!(&unknown, Err(EngineError::NoSuchStage(stage)) if *stage == path("nowhere")), "{unknown:?}");
    fleet.handle(other).pause(id, "ann").await.expect("paused");
    fleet.judge(other, id, "ok").await.expect("taken");
    let view = fleet.until(id, "its answer", |view| view.stages[0].status == Status::Succeeded).await;
    assert_eq!((view.status, &view.stages[0].outputs["judgedBy"]), (Status::Paused, &json!("ann")));
    let late = fleet.judge(other, id, "ok").await;
    assert!(matches!(late, Err(EngineError::NotWaiting(_))), "{late:?}");
    fleet.handle(other).resume(id, "ann").await.expect("goes on");
    assert!(matches!(fleet.handle(other).resume(id, "ann").await, Err(EngineError::NotPaused)));
    fleet.outside.until_asked("b.1 start").await;
    fleet.outside.open("b");
    assert_eq!(fleet.until_complete(id).await.status, Status::Terminal);
    assert!(matches!(fleet.handle(other).cancel(id, "ann", None).await, Err(EngineError::Complete(Status::Terminal))));
    let restarted = fleet.handle(other).restart(id, Some(&path("b")), "bob", false).await.expect("restarts");
    assert_eq!(restarted, [id]);
    fleet.outside.until_asked("b.2 start").await;
    fleet.handle(other).cancel(id, "cat", Some("enough")).await.expect("taken");
    let view = fleet.until_complete(id).await;
    assert_eq!((view.status, view.canceled_by.as_deref()), (Status::Canceled, Some("cat: enough")));
    fleet.outside.until_asked("b.2 cancel Canceled").await;
    assert_eq!(fleet.store.wishes(Shards::ALL).await.expect("reads"), [], "what was asked is done with");
}

#[tokio::test]
async fn a_wish_waits_for_whoever_takes_the_execution_over() {
    let mut fleet = Fleet::of(3).await;
    let (id, shard) = fleet.submit(of_stage("ok", "ask", "done"), 0).await;
    fleet.until(id, "the question", |view| view.stages[0].waiting_for.is_some()).await;
    let had = fleet.owner(shard).await.expect("somebody");
    fleet.kill(had);
    let (asks, takes) = ((had + 1) % 3, (had + 2) % 3);
    let give = async {
        patiently("the wish", async {
            while fleet.store.wishes(Shards::ALL).await.expect("reads").is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        fleet.give(one(shard), takes).await;
        fleet.until_complete(id).await
    };
    let (judged, view) = tokio::join!(fleet.judge(asks, id, "ok"), give);
    judged.expect("taken");
    assert_eq!(view.status, Status::Succeeded);
}

#[tokio::test]
async fn a_freeze_is_heeded_by_all_when_it_returns() {
    let fleet = Fleet::of(3).await;
    let freeze = Freeze {
        application: None,
        reason: "release week".to_owned(),
        by: "cat".to_owned(),
        since: fleet.clock.now(),
        until: None,
    };
    fleet.handle(1).freeze(freeze).await.expect("frozen");
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(fleet.submit(of_stage(&format!("s{number}"), "work", "done"), number % 3).await.0);
    }
    for id in &ids {
        let view = fleet.until(*id, "its hold", |view| view.held.is_some()).await;
        assert_eq!(view.description, "Waiting: frozen, release week");
    }
    assert_eq!(fleet.outside.asked(), [""; 0]);
    assert!(fleet.handle(2).thaw(None).await.expect("thawed"));
    for id in ids {
        assert_eq!(fleet.until_complete(id).await.status, Status::Succeeded);
    }
}

#[tokio::test]
async fn a_freeze_that_somebody_does_not_hear_of_says_so_and_is_heeded_by_whoever_joins() {
    let mut fleet = Fleet::of(2).await;
    let freeze = |until| Freeze {
        application: None,
        reason: "audit".to_owned(),
        by: "cat".to_owned(),
        since: fleet.clock.now(),
        until,
    };
    let first = freeze(None);
    // A replica that has a lease, and whose engine is gone.
    drop(fleet.engines[1].take());
    let unheeded = fleet.handle(0).freeze(first).await;
    assert!(matches!(&unheeded, Err(EngineError::Unheeded(who)) if who == "replica-1"), "{unheeded:?}");
    let newcomer = fleet.join().await;
    fleet.give(Shards::ALL, newcomer).await;
    let (id, _) = fleet.submit(of_stage("a", "work", "done"), newcomer).await;
    fleet.until(id, "its hold", |view| view.held.is_some()).await;
}

/// One at once, whose only stage hangs.
fn limited(name: &str, stage_id: &str, lock: Option<&str>) -> Pipeline {
    let mut pipeline = pipeline(vec![stage(stage_id, &[]).fields(json!({"do": "hang"}))]);
    pipeline.name = name.parse().expect("a name");
    let lock = lock.map(|lock| lock.parse().expect("a name"));
    pipeline.concurrency = Some(Concurrency { max: 1, on_new: OnNew::Queue, lock });
    pipeline
}

#[tokio::test]
async fn a_lane_moves_with_all_that_stand_in_it() {
    let fleet = Fleet::of(3).await;
    let mut ids = Vec::new();
    let mut shards = Shards::NONE;
    for number in 0..6 {
        let new = new_execution(limited("deploy", &format!("s{number}"), None));
        let (id, shard) = fleet.submit(new, number % 3).await;
        ids.push(id);
        shards.insert(shard);
    }
    assert_eq!(shards.len(), 1, "a lane is in one shard");
    for (number, id) in ids.iter().enumerate() {
        fleet.until(*id, "its turn", |view| view.status == Status::Running).await;
        fleet.outside.until_asked(&format!("s{number}.1 start")).await;
        fleet.give(shards, number % 3).await;
        for later in &ids[number + 1..] {
            assert_eq!(fleet.view(*later).await.status, Status::NotStarted, "one at once");
        }
        let stage = format!("s{number}");
        fleet
            .until(*id, "its end", |view| {
                fleet.outside.open(&stage);
                view.status == Status::Succeeded
            })
            .await;
    }
}

#[tokio::test]
async fn a_circle_over_locks_of_two_replicas_is_found_and_the_newest_gives_way() {
    let fleet = Fleet::of(2).await;
    let lock_of = |wanted: usize| {
        let names = (0..).map(|number| format!("lock-{number}"));
        let is_its =
            |name: &String| Shard::of_lane(&format!("lock {name}").parse().expect("a lane")).index() % 2 == wanted;
        names.into_iter().find(is_its).expect("one")
    };
    let (x, y) = (lock_of(0), lock_of(1));
    let first = new_execution(limited("first", "a", Some(&x)));
    let second = new_execution(limited("second", "b", Some(&y)));
    let below_first = super::lanes::below(new_execution(limited("sub", "c", Some(&y))), &first);
    let below_second = super::lanes::below(new_execution(limited("sub", "d", Some(&x))), &second);
    for new in [first, second] {
        fleet.submit(new, 0).await;
    }
    fleet.outside.until_asked("a.1 start").await;
    fleet.outside.until_asked("b.1 start").await;
    let (waits, _) = fleet.submit(below_first, 0).await;
    fleet.until(waits, "its place in the line", |view| view.held.is_some()).await;
    let (closes, _) = fleet.submit(below_second, 0).await;
    let view = fleet.until_complete(closes).await;
    assert!(view.description.starts_with("Cancelled: it would wait for ever for the lock"), "{}", view.description);
    assert_eq!(fleet.view(waits).await.status, Status::NotStarted, "the other one waits on");
    fleet.outside.open("b");
    fleet.outside.until_asked("c.1 start").await;
}

#[tokio::test]
async fn a_shard_that_is_to_leave_goes_when_nothing_of_it_runs_here() {
    let fleet = Fleet::of(2).await;
    fleet.give(Shards::ALL, 0).await;
    let new = new_execution(pipeline(vec![
        stage("a", &[]).of("here").fields(json!({"do": "poll"})),
        stage("b", &["a"]).fields(json!({"do": "done"})),
    ]));
    let (asks, of_question) = fleet.submit(of_stage("ok", "ask", "done"), 0).await;
    fleet.until(asks, "the question", |view| view.stages[0].waiting_for.is_some()).await;
    let (id, shard) = fleet.submit(new, 0).await;
    fleet.outside.until_asked("a.1 start").await;
    fleet.clock.advance(Duration::from_secs(6));
    fleet.ask_back(one(shard).and(one(of_question)), 0);
    let gone = async |shard: Shard| {
        patiently("the shard to be given back", async {
            while fleet.held(0).contains(shard) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    // Who waits for a person moves at once.
    gone(of_question).await;
    assert!(fleet.held(0).contains(shard), "its process runs here");
    // Its end is recorded here. What follows is begun by whoever has it next.
    fleet.clock.advance(Duration::from_secs(4));
    gone(shard).await;
    assert_eq!(fleet.view(id).await.stages[0].status, Status::Succeeded);
    assert_eq!((fleet.outside.count("b.1 start"), fleet.outside.count("a.1 abandon")), (0, 0));
    fleet.give(Shards::ALL, 1).await;
    assert_eq!(fleet.until_complete(id).await.status, Status::Succeeded);
    fleet.judge(0, asks, "ok").await.expect("taken");
    assert_eq!(fleet.until_complete(asks).await.status, Status::Succeeded);
}

#[tokio::test]
async fn who_stops_lets_what_runs_come_to_its_end_and_gives_all_to_the_others() {
    let mut fleet = Fleet::of(2).await;
    fleet.give(Shards::ALL, 0).await;
    let new = new_execution(pipeline(vec![
        stage("a", &[]).fields(json!({"do": "hang"})),
        stage("b", &["a"]).fields(json!({"do": "done"})),
    ]));
    let (id, _) = fleet.submit(new, 0).await;
    fleet.outside.until_asked("a.1 start").await;
    let engine = fleet.engines[0].take().expect("runs");
    let stopping = tokio::spawn(engine.shutdown());
    fleet.until_true("all that is idle was given back", || fleet.held(0).len() == 1).await;
    fleet.outside.open("a");
    patiently("the stop", stopping).await.expect("stops");
    assert_eq!(fleet.held(0), Shards::NONE);
    let view = fleet.view(id).await;
    assert_eq!((view.stages[0].status, view.status), (Status::Succeeded, Status::Running));
    assert_eq!(fleet.outside.count("b.1 start"), 0, "nothing begins while it stops");
    fleet.give(Shards::ALL, 1).await;
    assert_eq!(fleet.until_complete(id).await.status, Status::Succeeded);
    assert_eq!(ends(&fleet, id).await, [0, 1]);
}

#[tokio::test]
async fn who_stops_and_has_waited_for_long_enough_ends_what_still_runs() {
    let mut fleet = Fleet::with(2, EngineOptions { drain: Duration::from_secs(20), ..EngineOptions::default() }).await;
    fleet.give(Shards::ALL, 0).await;
    let (id, _) = fleet.submit(of_stage("a", "here", "hang"), 0).await;
    fleet.outside.until_asked("a.1 start").await;
    let engine = fleet.engines[0].take().expect("runs");
    let stopping = tokio::spawn(engine.shutdown());
    fleet.until_true("all that is idle was given back", || fleet.held(0).len() == 1).await;
    assert_eq!(fleet.outside.count("a.1 abandon"), 0, "it has its time");
    fleet.clock.advance(Duration::from_secs(20));
    patiently("the stop", stopping).await.expect("stops");
    assert_eq!((fleet.outside.count("a.1 abandon"), fleet.held(0)), (1, Shards::NONE));
    fleet.give(Shards::ALL, 1).await;
    fleet.outside.until_asked("a.1 recovered").await;
    fleet.outside.open("a");
    assert_eq!(fleet.until_complete(id).await.status, Status::Succeeded);
}
