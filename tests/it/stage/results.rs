//! What a script sees, and what becomes of its end, its outputs and its log.

use std::fs;
use std::path::PathBuf;

use longboat::engine::Outcome;
use serde_json::json;

use super::{World, failure_of, outputs_of, until};

#[tokio::test]
async fn exit_codes_decide() {
    let world = World::new();
    assert_eq!(outputs_of(world.run(json!({"command": "true"})).await), json!({"exitCode": 0}));
    let failed = world.stage("other", json!({"command": "exit 3"})).finish().await;
    assert_eq!(failure_of(failed), ("exit code 3".to_owned(), json!({"exitCode": 3})));
    let killed = world.stage("killed", json!({"command": "kill -9 $$"})).finish().await;
    assert_eq!(failure_of(killed), ("killed by SIGKILL".to_owned(), json!({"exitCode": 137})));
}

#[tokio::test]
async fn a_long_script_is_followed_to_its_end() {
    let world = World::new();
    let mut stage = world
        .stage("script", json!({"command": "until [ -e go ]; do sleep 0.01; done; echo done=yes > $LONGBOAT_OUTPUT"}));
    let running = stage.start().await;
    assert!(matches!(running, Outcome::Poll { .. }), "{running:?}");
    fs::write(world.workspace().join("go"), "").expect("written");
    assert_eq!(outputs_of(stage.follow(running).await), json!({"done": "yes", "exitCode": 0}));
    until("no process is left", || world.processes().is_empty()).await;
}

#[tokio::test]
async fn lines_of_the_output_file_become_outputs() {
    let world = World::new();
    let command = "echo image=shop:1 >> $LONGBOAT_OUTPUT; echo note='a = b' >> $LONGBOAT_OUTPUT";
    let outputs = outputs_of(world.run(json!({"command": command})).await);
    assert_eq!(outputs, json!({"image": "shop:1", "note": "a = b", "exitCode": 0}));

    let command = "echo half=1 >> $LONGBOAT_OUTPUT; exit 7";
    let failed = world.stage("failing", json!({"command": command})).finish().await;
    assert_eq!(failure_of(failed), ("exit code 7".to_owned(), json!({"half": "1", "exitCode": 7})));

    let command = "echo image=shop:1 > $LONGBOAT_OUTPUT; echo oops >> $LONGBOAT_OUTPUT";
    let (message, outputs) = failure_of(world.stage("bad", json!({"command": command})).finish().await);
    assert!(message.contains("line 2 of the outputs is `oops`"), "{message}");
    assert_eq!(outputs, json!({"image": "shop:1", "exitCode": 0}));
}

#[tokio::test]
async fn a_text_goes_through_a_shell_that_stops_at_errors_and_a_list_does_not() {
    let world = World::new();
    let list = json!({"command": ["printf", "%s|", "a b", "$HOME", "${x}"]});
    outputs_of(world.stage("list", list).finish().await);
    assert_eq!(world.log("list"), "a b|$HOME|${x}|");
    let failed = world.stage("text", json!({"command": "echo before\nfalse\necho after"})).finish().await;
    assert_eq!(failure_of(failed).0, "exit code 1");
    assert_eq!(world.log("text"), "before\n");
}

#[tokio::test]
async fn the_environment_is_clean_and_values_are_no_code() {
    let world = World::new();
    let nasty = "'; touch hacked; echo \"$(touch hacked)` \n${ x }";
    let outcome =
        world.run(json!({"command": "printf '%s' \"$TITLE\" > title; env", "env": {"TITLE": nasty, "N": 5}})).await;
    outputs_of(outcome);
    assert_eq!(fs::read_to_string(world.workspace().join("title")).expect("written"), nasty);
    assert!(!world.workspace().join("hacked").exists());

    let log = world.log("script");
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "this test needs a variable that must not get through");
    assert!(!log.contains("CARGO_") && !log.contains("NEXTEST"), "{log}");
    let expected = [
        "N=5".to_owned(),
        "LONGBOAT_APPLICATION=shop".to_owned(),
        "LONGBOAT_PIPELINE=deploy to prod".to_owned(),
        format!("LONGBOAT_EXECUTION_ID={}", world.execution.info.id),
        "LONGBOAT_STAGE=script".to_owned(),
        format!("LONGBOAT_COMMIT={}", "1a".repeat(20)),
        "LONGBOAT_BRANCH=main".to_owned(),
    ];
    for line in expected {
        assert!(log.lines().any(|found| found == line), "{line} in {log}");
    }
}

#[tokio::test]
async fn a_flood_of_output_is_bounded_and_never_blocks() {
    let mut world = World::new();
    world.deps.log_limit = 1024 * 1024;
    let flood = "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo the error >&2";
    outputs_of(world.run(json!({"command": flood})).await);
    let log = world.log("script");
    assert!(log.len() < 1024 * 1024 + 500, "{}", log.len());
    assert!(log.starts_with("first\nxxx"));
    assert!(log.contains("[longboat] the log has reached its limit of 1048576 bytes"));
    let left_out = 6 + 50_000_000 + 1 + 10 - 1024 * 1024;
    assert!(log.contains(&format!("[longboat] {left_out} bytes are left out here")));
    assert!(log.ends_with("x\nthe error\n"));
}

#[tokio::test]
async fn the_log_can_be_followed_while_it_grows() {
    let world = World::new();
    let command = "echo one; echo two >&2; until [ -e go ]; do sleep 0.01; done; echo three";
    let mut stage = world.stage("deploy/before/a log", json!({"command": command}));
    assert_eq!(world.read_log("deploy/before/a log", 1, 0, 100).bytes, b"");
    let running = stage.start().await;
    until("the first lines are there", || world.log("deploy/before/a log") == "one\ntwo\n").await;
    let chunk = world.read_log("deploy/before/a log", 1, 0, 100);
    assert_eq!((chunk.next, chunk.end), (8, false));
    fs::write(world.workspace().join("go"), "").expect("written");
    outputs_of(stage.follow(running).await);
    let chunk = world.read_log("deploy/before/a log", 1, 8, 100);
    assert_eq!((chunk.bytes.as_slice(), chunk.end), (b"three\n".as_slice(), true));
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let mut world = World::new();
    let (message, outputs) = failure_of(world.run(json!({"command": ["no-such-program", "x"]})).await);
    assert!(message.contains("`no-such-program` can't be started: No such file"), "{message}");
    assert_eq!(outputs, json!({"exitCode": null}));
    assert!(world.log("script").contains("no-such-program"));

    let huge: Vec<String> = (0..40).map(|_| "x".repeat(100_000)).collect();
    let (message, _) = failure_of(world.stage("huge", json!({"command": huge})).finish().await);
    assert!(message.contains("longer than the system passes"), "{message}");

    world.deps.supervisor = PathBuf::from("/no/such/longboat");
    let (message, _) = failure_of(world.stage("none", json!({"command": "true"})).finish().await);
    assert!(message.contains("/no/such/longboat can't be started"), "{message}");

    world.deps.supervisor = PathBuf::from("/bin/false");
    let (message, _) = failure_of(world.stage("false", json!({"command": "true"})).finish().await);
    assert!(message.contains("ended before the script began: exit status: 1"), "{message}");
}

#[tokio::test]
async fn parallel_stages_share_a_workspace_and_a_fresh_one_stands_apart() {
    let world = World::new();
    let meet = |mine: &str, other: &str| json!({"command": format!("cat sub/file; touch {mine}; until [ -e {other} ]; do sleep 0.01; done")});
    let (a, b) =
        tokio::join!(world.stage("a", meet("one", "two")).finish(), world.stage("b", meet("two", "one")).finish());
    outputs_of(a);
    outputs_of(b);
    assert_eq!(world.log("a"), "from the commit");

    let alone = json!({"command": "ls; pwd", "workspace": "fresh"});
    outputs_of(world.stage("c", alone).finish().await);
    let log = world.log("c");
    assert!(log.starts_with("out\nsub\n/") && log.ends_with("/c.1/checkout\n"), "{log}");
}

#[tokio::test]
async fn a_script_runs_in_a_folder_of_its_checkout_only() {
    let world = World::new();
    outputs_of(world.run(json!({"command": "cat file", "dir": "sub"})).await);
    assert_eq!(world.log("script"), "from the commit");
    for bad in ["..", "sub/../..", "/", "out", "out/tmp", "nowhere"] {
        let stage =
            world.stage(&format!("in {}", bad.replace(['/', '.'], "_")), json!({"command": "touch ran", "dir": bad}));
        let Outcome::Fail(failure) = stage.finish().await else { panic!("{bad} should fail") };
        assert!(failure.message.contains(&format!("`dir` is `{bad}`")), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_script_has_no_terminal_and_nothing_to_read() {
    let world = World::new();
    let command = "cat; if (: < /dev/tty) 2>/dev/null; then echo a terminal; fi; cut -d' ' -f6 /proc/$$/stat";
    outputs_of(world.run(json!({"command": command})).await);
    let log = world.log("script");
    let own = nix::unistd::getsid(None).expect("a session").to_string();
    let session: u32 = log.trim().parse().unwrap_or_else(|_| panic!("should be a number alone: {log}"));
    assert_ne!(session.to_string(), own);
}

#[tokio::test]
async fn only_so_many_scripts_run_at_once() {
    let mut world = World::new();
    world.deps.max_scripts = 1;
    let handler = world.handler();
    let script = json!({"command": "mkdir busy; sleep 0.3; rmdir busy"});
    let stages = ["a", "b", "c"].map(|path| {
        let mut stage = world.stage(path, script.clone());
        stage.handler = handler.clone();
        stage.finish()
    });
    for outcome in futures::future::join_all(stages).await {
        outputs_of(outcome);
    }
}
