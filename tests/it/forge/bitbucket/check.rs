//! `longboat forge check`: what the token, its permissions or the webhook lack.

use longboat::forge::{CheckItem, CheckVerdict};
use serde_json::{Value, json};

use super::{BOTH, clock, fake, forge, name, shop, with};
use crate::support::fake_bitbucket::Kind;

const ADDRESS: &str = "https://cd.example/webhooks/bitbucket";

fn hook(kind: Kind, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    let mut hook = crate::support::fake_bitbucket::hook(kind, ADDRESS);
    change(&mut hook);
    vec![json!({"url": "https://elsewhere.example", "active": true, "events": []}), hook]
}

/// What is wrong with a webhook, how bad that is, and what is said about it.
type Flaw = (fn(&mut Value), CheckVerdict, &'static str);

fn of<'a>(items: &'a [CheckItem], subject: &str) -> &'a CheckItem {
    items.iter().find(|item| item.subject == subject).unwrap_or_else(|| panic!("{subject}: {items:?}"))
}

#[tokio::test]
async fn what_is_well_is_said_to_be() {
    let clock = clock();
    for kind in BOTH {
        let fake = fake(kind, &clock).await;
        fake.set_hooks(shop(kind), hook(kind, |_| ()));
        let bitbucket = forge(&fake, &clock);
        let items = bitbucket.check(&name(shop(kind))).await;
        for subject in ["repository", "pull requests", "webhook"] {
            assert_eq!(of(&items, subject).verdict, CheckVerdict::Good, "{kind:?}: {items:?}");
        }
        assert!(!format!("{items:?}").contains("hunter2"), "a webhook's secret isn't repeated");
        let access = bitbucket.check_access().await;
        assert_eq!(of(&access, "connection").verdict, CheckVerdict::Good, "{access:?}");
        // The access token of a repository may not say whose it is.
        let expected = if kind == Kind::Cloud { CheckVerdict::Unknown } else { CheckVerdict::Good };
        assert_eq!(of(&access, "token").verdict, expected, "{access:?}");
        assert!(fake.seen().iter().all(|seen| seen.method == "GET"), "it only reads");
    }
}

#[tokio::test]
async fn each_flaw_of_a_webhook_is_named() {
    let clock = clock();
    for kind in BOTH {
        let fake = fake(kind, &clock).await;
        let push = if kind == Kind::Cloud { "repo:push" } else { "repo:refs_changed" };
        let flaws: [Flaw; 5] = [
            (|hook| hook["active"] = json!(false), CheckVerdict::Bad, "is switched off"),
            (
                |hook| {
                    hook["secret_set"] = json!(false);
                    hook["configuration"] = json!({});
                },
                CheckVerdict::Bad,
                "has no secret: give it the forge's `webhookSecret`",
            ),
            (|hook| hook["events"] = json!([hook["events"][0]]), CheckVerdict::Warning, "doesn't send "),
            (|hook| hook["events"] = json!([]), CheckVerdict::Bad, push),
            (
                |hook| hook["url"] = json!("https://cd.example/webhooks/github"),
                CheckVerdict::Warning,
                "no webhook of the repository points to https://cd.example/webhooks/bitbucket",
            ),
        ];
        for (flaw, verdict, text) in flaws {
            fake.set_hooks(shop(kind), hook(kind, flaw));
            let items = forge(&fake, &clock).check(&name(shop(kind))).await;
            let item = of(&items, "webhook");
            assert_eq!(item.verdict, verdict, "{kind:?}: {item:?}");
            assert!(item.message.contains(text), "{kind:?}: {item:?}");
        }
    }
}

#[tokio::test]
async fn what_the_token_may_not_do_is_named() {
    let clock = clock();
    let fake = fake(Kind::Cloud, &clock).await;
    fake.deny("webhook");
    fake.deny("pullrequest");
    let items = forge(&fake, &clock).check(&name(shop(Kind::Cloud))).await;
    assert_eq!(of(&items, "webhook").verdict, CheckVerdict::Unknown, "{items:?}");
    let pulls = of(&items, "pull requests");
    assert_eq!(pulls.verdict, CheckVerdict::Bad);
    assert!(pulls.message.contains("the scope `pullrequest`"), "{pulls:?}");

    let fake = self::fake(Kind::DataCenter, &clock).await;
    fake.deny("admin");
    let items = forge(&fake, &clock).check(&name(shop(Kind::DataCenter))).await;
    assert_eq!(of(&items, "webhook").verdict, CheckVerdict::Unknown, "{items:?}");
    fake.deny("read");
    let items = forge(&fake, &clock).check(&name(shop(Kind::DataCenter))).await;
    assert_eq!(of(&items, "repository").verdict, CheckVerdict::Bad, "{items:?}");
}

#[tokio::test]
async fn a_bad_token_a_missing_one_and_a_server_that_is_away_are_told_apart() {
    let clock = clock();
    for kind in BOTH {
        let fake = fake(kind, &clock).await;
        let repository = name(shop(kind));
        let none = with(&fake, &clock, |options| options.token = None).check(&repository).await;
        assert_eq!(of(&none, "token").verdict, CheckVerdict::Bad);
        let wrong = with(&fake, &clock, |options| options.token = Some("hunter2".into()));
        let items = wrong.check(&repository).await;
        assert_eq!(of(&items, "token").verdict, CheckVerdict::Bad, "{items:?}");
        assert!(!format!("{items:?}").contains("hunter2"));
        let deaf = with(&fake, &clock, |options| options.webhook_secret = None).check(&repository).await;
        assert!(of(&deaf, "webhook").message.contains("no `webhookSecret`"), "{deaf:?}");
        let gone = forge(&fake, &clock);
        fake.stop().await;
        assert_eq!(of(&gone.check(&repository).await, "connection").verdict, CheckVerdict::Bad);
        assert_eq!(of(&gone.check_access().await, "connection").verdict, CheckVerdict::Bad);
    }
}
