//! What `longboat forge check` finds out about a GitHub.

use std::time::Duration;

use longboat::clock::Clock;
use longboat::forge::github::{GitHub, GitHubOptions};
use longboat::forge::{CheckItem, CheckVerdict, Forge};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::github::{SHOP, clock, fake};
use crate::support::fake_github::{FakeGitHub, Limit, TOKEN, hook};

const ADDRESS: &str = "https://cd.example/webhooks/github";

fn github(fake: &FakeGitHub, token: &str, clock: &Clock) -> GitHub {
    let mut options = GitHubOptions::new("github", fake.url(), SecretString::from(token));
    options.webhook_secret = Some(SecretString::from("s"));
    options.public_url = Some("https://cd.example".to_owned());
    GitHub::new(options, clock.clone()).expect("set up")
}

async fn check(fake: &FakeGitHub, clock: &Clock) -> Vec<CheckItem> {
    github(fake, TOKEN, clock).check(&SHOP.parse().expect("a name")).await
}

fn of<'a>(items: &'a [CheckItem], subject: &str) -> (CheckVerdict, &'a str) {
    let item = items.iter().find(|item| item.subject == subject).unwrap_or_else(|| panic!("{subject}: {items:#?}"));
    (item.verdict, &item.message)
}

#[tokio::test]
async fn all_is_well_and_nothing_was_changed() {
    let clock = clock();
    let fake = fake(&clock).await;
    fake.set_scopes("repo, read:org");
    fake.set_hooks(SHOP, vec![hook(ADDRESS, json!({"code": 202, "status": "active", "message": "OK"}))]);
    let access = github(&fake, TOKEN, &clock).check_access().await;
    assert_eq!(of(&access, "token"), (CheckVerdict::Good, "that of longboat-bot; scopes: repo, read:org"));
    assert_eq!(of(&access, "allowance").0, CheckVerdict::Good);
    let items = check(&fake, &clock).await;
    let verdicts: Vec<_> = items.iter().map(|item| (item.subject.as_str(), item.verdict)).collect();
    let subjects = ["repository", "contents", "commit statuses", "pull requests", "webhook"];
    assert_eq!(verdicts, subjects.map(|subject| (subject, CheckVerdict::Good)), "{items:#?}");
    assert!(fake.posted().is_empty());
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_said_first() {
    let clock = clock();
    let fake = fake(&clock).await;
    let access = github(&fake, "ghp_wrong", &clock).check_access().await;
    let refused = "GitHub doesn't take it (401): it is wrong, expired or revoked";
    assert_eq!(of(&access, "token"), (CheckVerdict::Bad, refused));
    fake.limit(Limit::Reset, Duration::from_secs(90));
    let access = github(&fake, TOKEN, &clock).check_access().await;
    assert_eq!(of(&access, "token").0, CheckVerdict::Warning);
    let url = fake.url();
    fake.stop().await;
    let options = GitHubOptions::new("github", url, SecretString::from(TOKEN));
    let access = GitHub::new(options, clock).expect("set up").check_access().await;
    assert_eq!((access.len(), of(&access, "connection").0), (1, CheckVerdict::Bad));
}

#[tokio::test]
async fn each_missing_permission_is_named() {
    let clock = clock();
    for (denied, subject, said) in [
        ("contents=read", "contents", "\"Contents: read\""),
        ("statuses=write", "commit statuses", "\"Commit statuses: write\""),
        ("pull_requests=read", "pull requests", "\"Pull requests: write\""),
        ("metadata=read", "repository", "\"Metadata: read\""),
    ] {
        let fake = fake(&clock).await;
        fake.deny(denied);
        let items = check(&fake, &clock).await;
        let (verdict, message) = of(&items, subject);
        assert_eq!(verdict, CheckVerdict::Bad, "{denied}");
        assert!(message.contains("Resource not accessible by personal access token"), "{message}");
        assert!(message.contains(said), "{message}");
    }
    let other = fake(&clock).await;
    other.set_scopes("read:org");
    let items = check(&other, &clock).await;
    assert_eq!(of(&items, "commit statuses").0, CheckVerdict::Bad);
    assert!(of(&items, "pull requests").1.ends_with("give the token the scope \"repo\""));
    assert!(!other.seen().iter().any(|seen| seen.method == "POST"), "the scopes say enough");
}

#[tokio::test]
async fn what_a_token_does_not_tell_is_not_made_up() {
    let clock = clock();
    let fake = fake(&clock).await;
    let items = check(&fake, &clock).await;
    assert_eq!(of(&items, "commit statuses"), (CheckVerdict::Good, "can be written"));
    assert_eq!(of(&items, "pull requests").0, CheckVerdict::Unknown);
    let (verdict, message) = of(&items, "webhook");
    assert_eq!(verdict, CheckVerdict::Unknown);
    assert!(
        message.ends_with("look yourself at https://github.example/acme/shop/html/settings/hooks")
            || message.contains("/settings/hooks"),
        "{message}"
    );
    fake.act_as("longboat[bot]");
    let access = github(&fake, TOKEN, &clock).check_access().await;
    assert_eq!(of(&access, "token"), (CheckVerdict::Good, "that of a GitHub App"));
}

#[tokio::test]
async fn a_webhook_that_fails_and_a_repository_that_moved_are_named() {
    let clock = clock();
    let fake = fake(&clock).await;
    let mut form =
        hook(ADDRESS, json!({"code": 415, "status": "misconfigured", "message": "Invalid HTTP Response: 415"}));
    form["config"]["content_type"] = json!("form");
    fake.set_hooks(SHOP, vec![hook("https://ci.example/x", Value::Null), form]);
    let items = check(&fake, &clock).await;
    assert_eq!(
        of(&items, "webhook"),
        (
            CheckVerdict::Bad,
            "its content type is not application/json; choose that in its settings; its last delivery was answered 415"
        )
    );
    fake.rename(SHOP, "acme/store");
    let items = check(&fake, &clock).await;
    let (verdict, message) = of(&items, "repository");
    assert!(verdict == CheckVerdict::Bad && message.starts_with("it is called acme/store now"), "{message}");
}
