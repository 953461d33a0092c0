//! Nothing that a script started outlives it.

use serde_json::json;

use super::{World, failure_of, outputs_of, processes_with, until};

/// A shell script that starts processes in every way in which they have ever been lost, and the duration that they
/// sleep, by which they are found even without an environment.
fn scattering() -> (String, String) {
    let token = format!("{}", 1_000_000 + fastrand::u32(..1_000_000_000));
    let script = format!(
        "sleep {token} &
         nohup sleep {token} >/dev/null 2>&1 &
         setsid sleep {token} >/dev/null 2>&1 < /dev/null &
         (setsid sh -c '(sleep {token} &)' &)
         env -i setsid sleep {token} &
         (trap '' TERM HUP INT; sleep {token}) &
         setsid sh -c 'trap \"\" TERM; while :; do sleep {token}; done' &
         "
    );
    (script, token)
}

/// How many sleepers the script starts.
const SCATTERED: usize = 7;

fn sleepers(token: &str) -> usize {
    processes_with("cmdline", &format!("sleep\0{token}\0")).len()
}

fn everything(token: &str) -> Vec<u32> {
    processes_with("cmdline", token)
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_ended() {
    let world = World::new();
    let (script, token) = scattering();
    let command = format!("{script} until [ -e go ]; do sleep 0.01; done; echo n=1 > $LONGBOAT_OUTPUT");
    let mut stage = world.stage("script", json!({"command": command}));
    let running = stage.start().await;
    until("all sleepers run", || sleepers(&token) == SCATTERED).await;
    std::fs::write(world.workspace().join("go"), "").expect("written");
    let outputs = outputs_of(stage.follow(running).await);
    assert_eq!(outputs, json!({"n": "1", "exitCode": 0}));
    assert_eq!(everything(&token), [0; 0], "the supervisor ends after everything else");
    assert!(world.log("script").contains("[longboat] ending the processes that the command left behind"));
    until("the supervisor is gone", || world.processes().is_empty()).await;
}

#[tokio::test]
async fn a_cancelled_script_is_gone_with_its_whole_tree_when_cancel_returns() {
    let world = World::new();
    let (script, token) = scattering();
    let stage = world.stage("script", json!({"command": format!("{script} wait"), "grace": "200ms"}));
    stage.start_long().await;
    until("all sleepers run", || sleepers(&token) == SCATTERED).await;
    stage.cancel().await;
    assert_eq!(everything(&token), [0; 0]);
    assert_eq!(world.processes(), [0; 0]);
    stage.cancel().await;
    let (message, outputs) = failure_of(stage.recover(None).await);
    assert!(message.contains("ended by a signal"), "{message}");
    assert_eq!(outputs, json!({"exitCode": 143}));
}

#[tokio::test]
async fn a_script_may_clean_up_before_it_ends() {
    let world = World::new();
    let command = "trap 'sh -c \"sleep 0.1; echo cleaned\"; exit 5' TERM; echo ready; while :; do sleep 0.01; done";
    let stage = world.stage("script", json!({"command": command, "grace": "30s"}));
    stage.start_long().await;
    until("it is ready", || world.log("script") == "ready\n").await;
    stage.cancel().await;
    assert!(world.log("script").ends_with("cleaned\n"), "{}", world.log("script"));
}

#[tokio::test]
async fn a_script_that_is_cancelled_before_it_began_never_begins() {
    let world = World::new();
    let stage = world.stage("script", json!({"command": "touch ran"}));
    stage.cancel().await;
    let outcome = stage.start().await;
    assert!(format!("{outcome:?}").contains("cancelled before it began"), "{outcome:?}");
    assert!(!world.workspace().join("ran").exists() && world.processes().is_empty());
}

#[tokio::test]
async fn a_script_that_forks_without_end_is_ended() {
    let world = World::new();
    // Each generation starts the next and goes; the chain leaves its group and session at every step.
    let token = format!("chain-{}", fastrand::u32(..));
    let link = format!(": {token}; sleep 0.02; setsid sh \"$0\" & exit 0");
    let command = format!("cat > link <<'END'\n{link}\nEND\nsh ./link; touch {token}; while :; do sleep 1; done");
    let stage = world.stage("script", json!({"command": command, "grace": "0s"}));
    stage.start_long().await;
    until("the chain runs", || world.workspace().join(&token).exists()).await;
    stage.cancel().await;
    assert_eq!(world.processes(), [0; 0]);
}
