//! Statuses: posted, read back, refused, and sent once whatever goes wrong.

use std::time::Duration;

use longboat::forge::{Capabilities, ForgeErrorKind};
use longboat::model::{CommitSha, StatusState};

use super::{BOTH, CONTEXT, PAGE, clock, fake, forge, hasty, sha, shop, status, with};
use crate::support::fake_bitbucket::{API_TOKEN, Fault, Kind, Limit, USER};

#[tokio::test]
async fn a_status_is_posted_and_read_back() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let bitbucket = forge(&fake, &clock);
        for (state, text) in [
            (StatusState::Pending, "Queued"),
            (StatusState::Success, "Succeeded in 2m 10s ✓"),
            (StatusState::Failure, "Failed: bake, exit code 1"),
            // There's one word for both, and what is read back must count as what was sent.
            (StatusState::Error, "Longboat error: out of disk"),
        ] {
            let sent = status(state, text);
            bitbucket.post_status(repo, &sent, Some(PAGE)).await.expect("taken");
            let found = bitbucket.newest_status(repo, &sha(), CONTEXT).await.expect("read").expect("there");
            assert!(found.says(&sent, Some(PAGE)), "{kind:?}: {found:?}");
            assert!(!found.says(&sent, Some("https://cd.example/other")));
            assert!(!found.says(&status(state, "other"), Some(PAGE)));
        }
        // A new status takes the place of the old.
        let all = bitbucket.statuses(repo, &sha()).await.expect("read");
        assert_eq!(all.len(), 1, "{kind:?}: {all:?}");
        assert_eq!(all[0].context, CONTEXT);
        assert_eq!(fake.posted().len(), 4);
        assert_eq!(bitbucket.newest_status(repo, &sha(), "none").await.expect("read"), None, "{kind:?}");
    }
}

#[tokio::test]
async fn a_long_context_has_a_short_key_and_its_own_name() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let bitbucket = forge(&fake, &clock);
        let contexts = [
            "longboat/a-team/a pipeline with a longer name & more".to_owned(),
            "longboat/a-team/a pipeline with a longer name & less".to_owned(),
            format!("longboat/{}", "ä".repeat(300)),
        ];
        for context in &contexts {
            let mut sent = status(StatusState::Success, "1");
            sent.target.context.clone_from(context);
            bitbucket.post_status(repo, &sent, Some(PAGE)).await.expect("taken");
            let found = bitbucket.newest_status(repo, &sha(), context).await.expect("read").expect("there");
            assert!(found.says(&sent, Some(PAGE)), "{kind:?}: {found:?}");
        }
        assert_eq!(bitbucket.statuses(repo, &sha()).await.expect("read").len(), 3, "{kind:?}: none hides another");
    }
}

#[tokio::test]
async fn a_status_is_found_among_hundreds() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let bitbucket = forge(&fake, &clock);
        for number in 0..130 {
            let mut sent = status(StatusState::Pending, "Queued");
            sent.target.context = format!("longboat/shop/{number}");
            bitbucket.post_status(repo, &sent, Some(PAGE)).await.expect("taken");
        }
        assert!(bitbucket.newest_status(repo, &sha(), "longboat/shop/0").await.expect("read").is_some());
        assert_eq!(bitbucket.statuses(repo, &sha()).await.expect("read").len(), 130);
    }
}

#[tokio::test]
async fn what_bitbucket_refuses_is_told_apart_and_what_it_would_refuse_is_not_sent() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let good = forge(&fake, &clock);
        assert!(good.capabilities().status_needs_url);
        let queued = status(StatusState::Pending, "Queued");
        let error = good.post_status(repo, &queued, None).await.expect_err("no page");
        assert_eq!((error.kind, error.may_have_arrived), (ForgeErrorKind::Refused, false));
        assert!(error.message.contains("server.publicUrl"), "{error}");
        let error = good.post_status("no/more/parts", &queued, Some(PAGE)).await.expect_err("no such name");
        assert_eq!(error.kind, ForgeErrorKind::Refused);
        assert!(fake.seen().is_empty(), "nothing was sent");

        let error = good.post_status(repo, &queued, Some("cd.example")).await.expect_err("not full");
        assert_eq!(error.kind, ForgeErrorKind::Refused, "{error}");
        assert!(error.message.contains("valid URL"), "{error}");
        let mut unknown = status(StatusState::Pending, "Queued");
        unknown.target.commit = CommitSha::parse(&"e".repeat(40)).expect("a commit id");
        let error = good.post_status(repo, &unknown, Some(PAGE)).await.expect_err("no such commit");
        assert_eq!(error.kind, ForgeErrorKind::NotFound, "{error}");
        let error = good.post_status("acme/other", &queued, Some(PAGE)).await.expect_err("no such repository");
        assert_eq!(error.kind, ForgeErrorKind::NotFound, "{error}");
        assert!(error.message.contains("acme/other"), "{error}");

        let bad = with(&fake, &clock, |options| options.token = Some("hunter2".into()));
        let error = bad.post_status(repo, &queued, Some(PAGE)).await.expect_err("bad token");
        assert_eq!(error.kind, ForgeErrorKind::Auth, "{error}");
        assert!(error.message.contains("check the forge's `token`"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));

        fake.deny(if kind == Kind::Cloud { "repository" } else { "read" });
        let error = good.post_status(repo, &queued, Some(PAGE)).await.expect_err("forbidden");
        assert_eq!(error.kind, ForgeErrorKind::Forbidden, "{error}");
        assert!(error.message.contains("the token needs "), "{error}");
        assert!(fake.posted().is_empty());
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_said_and_nobody_called() {
    let clock = clock();
    for kind in BOTH {
        let fake = fake(kind, &clock).await;
        let mute = with(&fake, &clock, |options| options.token = None);
        assert_eq!(mute.capabilities(), Capabilities::NONE);
        mute.post_status(shop(kind), &status(StatusState::Pending, "Queued"), Some(PAGE)).await.expect("done");
        assert_eq!(mute.newest_status(shop(kind), &sha(), CONTEXT).await, Ok(None));
        let error = mute.post_comment(shop(kind), 1, "x").await.expect_err("unsupported");
        assert_eq!(error.kind, ForgeErrorKind::Refused);
        assert!(fake.seen().is_empty());
    }
}

#[tokio::test]
async fn an_api_token_goes_with_its_user() {
    let clock = clock();
    let fake = fake(Kind::Cloud, &clock).await;
    let bitbucket = with(&fake, &clock, |options| {
        options.token = Some(API_TOKEN.into());
        options.user = Some(USER.to_owned());
    });
    let queued = status(StatusState::Pending, "Queued");
    bitbucket.post_status(shop(Kind::Cloud), &queued, Some(PAGE)).await.expect("taken");
    assert_eq!(fake.texts(sha().as_str(), CONTEXT), ["INPROGRESS Queued"]);
    // Another token may not write over what this one wrote.
    let other =
        forge(&fake, &clock).post_status(shop(Kind::Cloud), &queued, Some(PAGE)).await.expect_err("not its own");
    assert_eq!(other.kind, ForgeErrorKind::Forbidden, "{other}");
}

#[tokio::test]
async fn limits_say_when_to_go_on() {
    let clock = clock();
    for kind in BOTH {
        let fake = fake(kind, &clock).await;
        for (limit, expected) in [(Limit::TooMany, 90), (Limit::Silent, 60)] {
            let bitbucket = forge(&fake, &clock);
            fake.limit(limit, Duration::from_secs(90));
            let queued = status(StatusState::Pending, "Queued");
            let error = bitbucket.post_status(shop(kind), &queued, Some(PAGE)).await.expect_err("limited");
            let until = clock.now().plus(Duration::from_secs(expected));
            assert_eq!(error.kind, ForgeErrorKind::RateLimited { until }, "{kind:?}");
            clock.advance(Duration::from_secs(90));
            bitbucket.post_status(shop(kind), &queued, Some(PAGE)).await.expect("taken");
        }
    }
}

#[tokio::test]
async fn a_request_is_sent_once_whatever_happens() {
    let clock = clock();
    for kind in BOTH {
        for (fault, expected, arrived) in [
            (Fault::Answer(500), ForgeErrorKind::Server, 0),
            (Fault::Answer(503), ForgeErrorKind::Server, 0),
            (Fault::FailAfter, ForgeErrorKind::Server, 1),
            (Fault::BreakBefore, ForgeErrorKind::Unreachable, 0),
            (Fault::BreakAfter, ForgeErrorKind::Unreachable, 1),
            (Fault::HangBefore, ForgeErrorKind::Unreachable, 0),
            (Fault::HangAfter, ForgeErrorKind::Unreachable, 1),
        ] {
            let fake = fake(kind, &clock).await;
            fake.fail_next(fault.clone());
            let queued = status(StatusState::Pending, "Queued");
            let error = hasty(&fake, &clock).post_status(shop(kind), &queued, Some(PAGE)).await.expect_err("it fails");
            assert_eq!(error.kind, expected, "{kind:?} {fault:?}: {error}");
            assert!(error.may_have_arrived, "{fault:?}: nobody can know");
            assert_eq!(fake.seen().len(), 1, "{fault:?}: no second try");
            assert_eq!(fake.posted().len(), arrived, "{fault:?}");
        }
        let fake = fake(kind, &clock).await;
        let bitbucket = forge(&fake, &clock);
        fake.stop().await;
        let queued = status(StatusState::Pending, "Queued");
        let error = bitbucket.post_status(shop(kind), &queued, Some(PAGE)).await.expect_err("nobody there");
        assert_eq!((error.kind, error.may_have_arrived), (ForgeErrorKind::Unreachable, false), "{error}");
    }
}

#[tokio::test]
async fn a_server_from_before_7_4_gets_statuses_at_its_old_address() {
    let clock = clock();
    let (fake, repo) = (fake(Kind::DataCenter, &clock).await, shop(Kind::DataCenter));
    fake.grow_old();
    let bitbucket = forge(&fake, &clock);
    let queued = status(StatusState::Pending, "Queued");
    bitbucket.post_status(repo, &queued, Some(PAGE)).await.expect("taken");
    bitbucket.post_status(repo, &status(StatusState::Success, "Done"), Some(PAGE)).await.expect("taken");
    let posts: Vec<String> =
        fake.seen().into_iter().filter(|seen| seen.method == "POST").map(|seen| seen.path).collect();
    let old = format!("/bitbucket/rest/build-status/1.0/commits/{}", sha());
    assert_eq!(posts.len(), 3, "it is tried out once: {posts:?}");
    assert_eq!((&posts[1], &posts[2]), (&old, &old));
    let found = bitbucket.newest_status(repo, &sha(), CONTEXT).await.expect("read").expect("there");
    assert!(found.says(&status(StatusState::Success, "Done"), Some(PAGE)));
    // Who looks first knows it then.
    let another = forge(&fake, &clock);
    another.newest_status(repo, &sha(), CONTEXT).await.expect("read");
    let asked = fake.seen().len();
    another.post_status(repo, &status(StatusState::Success, "Done again"), Some(PAGE)).await.expect("taken");
    assert_eq!(fake.seen().len(), asked + 1);
    // A repository that isn't there is no reason to look elsewhere.
    let newer = self::fake(Kind::DataCenter, &clock).await;
    let error = forge(&newer, &clock).post_status("SHOP/none", &queued, Some(PAGE)).await.expect_err("not there");
    assert_eq!((error.kind, newer.seen().len()), (ForgeErrorKind::NotFound, 1), "{error}");
}
