//! Longboat or a supervisor dies while a script runs: no script runs twice, none is lost, no process is left.

use std::fs;
use std::sync::Arc;

use longboat::clock::Timestamp;
use longboat::engine::{Outcome, Wake};
use longboat::stage::forget;
use serde_json::{Value, json};

use super::{Stage, World, checkpoint_of, failure_of, is_dead, kill, outputs_of, processes_with, supervisor_of, until};

/// A script that notes that it runs, and goes on when there is a file `go`.
const COUNTED: &str = "echo run >> runs; until [ -e go ]; do sleep 0.01; done; echo result=good > $LONGBOAT_OUTPUT";

fn runs(world: &World) -> usize {
    fs::read_to_string(world.workspace().join("runs")).map_or(0, |text| text.lines().count())
}

fn let_go(world: &World) {
    fs::write(world.workspace().join("go"), "").expect("written");
}

/// Starts a script in a Longboat that dies as soon as the script runs: its runtime is gone with all its tasks.
async fn start_and_die(world: &World, stage: Stage) -> (Stage, Value) {
    let (stage, checkpoint) = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let checkpoint = runtime.block_on(stage.start_long());
        runtime.shutdown_background();
        (stage, checkpoint)
    })
    .join()
    .expect("no panic");
    until("the script runs", || runs(world) == 1).await;
    let again = Stage { handler: world.handler(), ..stage };
    (again, checkpoint)
}

#[tokio::test]
async fn a_script_that_runs_is_adopted() {
    let world = World::new();
    let (mut stage, checkpoint) = start_and_die(&world, world.stage("script", json!({"command": COUNTED}))).await;
    let running = stage.recover(Some(checkpoint.clone())).await;
    assert_eq!(checkpoint_of(running.clone()), checkpoint);
    // A look in between changes nothing.
    let outcome = stage.handler.resume(&stage.ctx, Some(checkpoint), Wake::Due).await;
    assert!(matches!(outcome, Outcome::Poll { .. }), "{outcome:?}");
    let_go(&world);
    assert_eq!(outputs_of(stage.follow(running).await), json!({"result": "good", "exitCode": 0}));
    assert_eq!(runs(&world), 1);
    let Stage { ctx, mut arrivals, .. } = stage;
    drop(ctx);
    assert!(arrivals.recv().await.is_none(), "one signal, no more, from anybody who could send one");
}

#[tokio::test]
async fn a_script_that_ended_meanwhile_is_not_run_again() {
    for restartable in [false, true] {
        let world = World::new();
        let fields = json!({"command": COUNTED, "restartable": restartable});
        let (stage, checkpoint) = start_and_die(&world, world.stage("script", fields)).await;
        let_go(&world);
        until("it has ended", || world.processes().is_empty()).await;
        let outcome = stage.recover(Some(checkpoint)).await;
        assert_eq!(outputs_of(outcome), json!({"result": "good", "exitCode": 0}));
        // The answer was lost in another crash: the same again.
        assert_eq!(outputs_of(stage.recover(None).await), json!({"result": "good", "exitCode": 0}));
        assert_eq!(runs(&world), 1);
    }
}

#[tokio::test]
async fn a_restartable_script_is_ended_and_made_anew() {
    let world = World::new();
    let fields = json!({"command": COUNTED, "restartable": true});
    let (stage, checkpoint) = start_and_die(&world, world.stage("script", fields.clone())).await;
    let outcome = stage.recover(Some(checkpoint)).await;
    assert!(matches!(outcome, Outcome::Restart { .. }), "{outcome:?}");
    assert_eq!(world.processes(), [0; 0]);
    let_go(&world);
    let mut second = world.stage("script", fields);
    second.ctx.attempt = 2;
    assert_eq!(outputs_of(second.finish().await), json!({"result": "good", "exitCode": 0}));
    assert_eq!(runs(&world), 2);
}

#[tokio::test]
async fn asked_many_times_a_script_runs_once() {
    let world = World::new();
    let mut stages: Vec<Stage> = (0..6).map(|_| world.stage("script", json!({"command": COUNTED}))).collect();
    let answers = futures::future::join_all(stages.iter().map(|stage| stage.recover(None))).await;
    let_go(&world);
    for (stage, answer) in stages.iter_mut().zip(answers) {
        assert_eq!(outputs_of(stage.follow(answer).await), json!({"result": "good", "exitCode": 0}));
    }
    assert_eq!(runs(&world), 1);
}

#[tokio::test]
async fn a_killed_supervisor_leaves_no_orphans_and_a_reason() {
    let world = World::new();
    let token = format!("{}", 1_000_000 + fastrand::u32(..1_000_000_000));
    let command = format!("setsid sleep {token} & (setsid sh -c '(nohup sleep {token} &)' &); sleep {token}");
    let mut stage = world.stage("script", json!({"command": command}));
    let running = stage.start().await;
    until("all run", || processes_with("cmdline", &format!("sleep\0{token}")).len() == 3).await;
    kill(supervisor_of(&checkpoint_of(running.clone())), "-9");
    let (message, outputs) = failure_of(stage.follow(running).await);
    assert!(message.contains("supervisor ended without saying how the script did"), "{message}");
    assert_eq!(outputs, json!({"exitCode": null, "lost": true}));
    assert_eq!(processes_with("cmdline", &token), [0; 0]);
    assert_eq!(world.processes(), [0; 0]);
}

#[tokio::test]
async fn a_script_whose_supervisor_and_longboat_both_died_fails_and_is_swept() {
    for restartable in [false, true] {
        let world = World::new();
        let fields = json!({"command": COUNTED, "restartable": restartable});
        let (stage, checkpoint) = start_and_die(&world, world.stage("script", fields)).await;
        kill(supervisor_of(&checkpoint), "-9");
        until("the supervisor is gone", || is_dead(supervisor_of(&checkpoint))).await;
        assert!(!world.processes().is_empty(), "the script itself is still there");
        let (message, _) = failure_of(stage.recover(Some(checkpoint)).await);
        assert!(message.contains("supervisor ended"), "{message}");
        assert_eq!(world.processes(), [0; 0]);
        assert_eq!(runs(&world), 1);
    }
}

#[tokio::test]
async fn a_script_whose_supervisor_died_can_be_cancelled() {
    let world = World::new();
    let (stage, checkpoint) = start_and_die(&world, world.stage("script", json!({"command": COUNTED}))).await;
    kill(supervisor_of(&checkpoint), "-9");
    stage.cancel().await;
    assert_eq!(world.processes(), [0; 0]);
}

#[tokio::test]
async fn a_supervisor_that_does_not_react_is_ended_with_its_script() {
    let world = World::new();
    let fields = json!({"command": COUNTED, "grace": "0s"});
    let (stage, checkpoint) = start_and_die(&world, world.stage("script", fields)).await;
    kill(supervisor_of(&checkpoint), "-STOP");
    stage.cancel().await;
    assert_eq!(world.processes(), [0; 0]);
}

#[tokio::test]
async fn a_script_whose_files_are_gone_is_not_run_again() {
    let world = World::new();
    let mut stage = world.stage("script", json!({"command": COUNTED}));
    let running = stage.start().await;
    let checkpoint = checkpoint_of(running.clone());
    let_go(&world);
    outputs_of(stage.follow(running).await);
    forget(world.state.path(), world.execution.info.id, &world.deps.locks, async { true }).await.expect("forgotten");
    assert!(!world.workspace().exists());
    let Outcome::Fail(failure) = stage.recover(Some(checkpoint)).await else { panic!("should fail") };
    assert!(failure.message.contains("files are gone"), "{}", failure.message);
    assert!(!world.workspace().exists(), "nothing ran");
    assert!(world.read_log("script", 1, 0, 10).end, "the log is kept, and complete");
}

#[tokio::test]
async fn after_a_power_cut_a_missing_claim_proves_nothing() {
    let mut world = World::new();
    let before_the_boot = Timestamp::from_millis(0);
    Arc::get_mut(&mut world.execution).expect("not shared yet").info.created_at = before_the_boot;
    let fields = |restartable| json!({"command": "echo run >> runs", "restartable": restartable});
    let (message, _) = failure_of(world.stage("script", fields(false)).recover(None).await);
    assert!(message.contains("the machine went down"), "{message}");
    assert_eq!(runs(&world), 0);
    outputs_of(world.stage("script", fields(true)).recover(None).await);
    assert_eq!(runs(&world), 1);
}
