//! `longboat forge check` against a GitHub on loopback.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use longboat::clock::Clock;
use serde_json::{Value, json};

use super::{stderr, stdout};
use crate::support::fake_github::{FakeGitHub, TOKEN, hook};
use crate::support::server::write_config;

const ADDRESS: &str = "https://cd.example.com/webhooks/github";

/// A fake whose two repositories are set up well, and a configuration for it.
async fn world(folder: &Path) -> (FakeGitHub, String) {
    let fake = FakeGitHub::start(Clock::system()).await;
    fake.set_scopes("repo, admin:repo_hook");
    for name in ["acme/shop", "acme/bank"] {
        fake.add_repository(name);
        fake.set_hooks(name, vec![hook(ADDRESS, json!({"code": 202, "status": "active", "message": "OK"}))]);
    }
    let config = format!(
        "server: {{publicUrl: 'https://cd.example.com'}}\n\
         forges:\n  github: {{type: github, apiUrl: '{}', token: {{env: TEST_TOKEN}}, webhookSecret: {{env: TEST_SECRET}}}}\n\
         repositories:\n  - {{name: acme/shop, forge: github}}\n  - {{name: acme/bank, forge: github}}\n  - {{name: local/plain, path: .}}\n",
        fake.url()
    );
    let config = write_config(folder, &config);
    (fake, config.to_str().expect("UTF-8").to_owned())
}

/// Runs the command without holding up the fake, which lives in this process.
async fn check(config: &str, token: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longboat"));
    command.args(["forge", "check", "--config", config]).args(more).env("NO_COLOR", "1").stdin(Stdio::null());
    command.env("TEST_TOKEN", token).env("TEST_SECRET", "a secret of the webhook");
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the binary runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_is_set_up_well_is_said_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let (fake, config) = world(folder.path()).await;
    let output = check(&config, TOKEN, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output).replace(&fake.url(), "URL");
    // The allowance ends with the hour.
    let text: Vec<&str> = text.lines().filter(|line| !line.contains("allowance")).collect();
    let of_a_repository = [
        "    good     repository       can be seen",
        "    good     contents         can be read",
        "    good     commit statuses  can be written",
        "    good     pull requests    can be read and commented on",
        "    good     webhook          set up; its last delivery was answered 202",
        "",
    ];
    let mut expected = vec![
        "github",
        "  good     connection  URL answers",
        "  good     token       that of longboat-bot; scopes: repo, admin:repo_hook",
        "",
    ];
    for name in ["  acme/shop", "  acme/bank"] {
        expected.push(name);
        expected.extend(of_a_repository);
    }
    expected.push("13 good, 0 bad, 0 with a warning, 0 that can't be known");
    assert_eq!(text, expected);
    assert!(fake.posted().is_empty(), "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lacks_is_said_with_exit_code_1_and_for_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (fake, config) = world(folder.path()).await;
    let mut form = hook(ADDRESS, Value::Null);
    form["config"]["content_type"] = json!("form");
    fake.set_hooks("acme/bank", vec![form]);
    let output = check(&config, TOKEN, &["--repository", "acme/bank", "--format", "json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let repositories = found["forges"][0]["repositories"].as_array().expect("a list");
    assert_eq!(repositories.len(), 1, "only the one that was asked for");
    let webhook = repositories[0]["items"].as_array().and_then(|items| items.last()).expect("an item");
    let expected = json!({
        "subject": "webhook", "verdict": "bad",
        "message": "its content type is not application/json; choose that in its settings",
    });
    assert_eq!(*webhook, expected);
    assert_eq!(found["summary"]["bad"], 1);

    let output = check(&config, "ghp_wrong", &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("bad      token       GitHub doesn't take it (401)"), "{text}");
    assert!(text.contains("unknown  repository  not looked at"), "{text}");
    assert!(!format!("{text}{}", stderr(&output)).contains("ghp_wrong"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_ends_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_fake, config) = world(folder.path()).await;
    let output = check(&config, TOKEN, &["--repository", "acme/shpo"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("has no repository `acme/shpo`; did you mean `acme/shop`?"),
        "{}",
        stderr(&output)
    );
    let output = check("/nowhere/longboat.yaml", TOKEN, &[]).await;
    assert_eq!(output.status.code(), Some(2));
    let output = check(&config, TOKEN, &["--repository", "local/plain"]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("nothing to ask"), "{}", stdout(&output));
}
