//! What GitHub's webhooks say about pull requests, over HTTP as the fake sends them.

use longboat::forge::{CommentEvent, CommentId, ForgeEvent, PullRequestAction};
use longboat::model::PullRequestState;

use super::github::{SHOP, clock, fake, receiver};
use crate::support::fake_github::{Delivery, PullOf};

#[tokio::test]
async fn the_life_of_a_pull_request_is_told() {
    let fake = fake(&clock()).await;
    let (url, mut events) = receiver("hook secret").await;
    let [head, next, merge] = ["a", "b", "d"].map(|letter| letter.repeat(40));
    let of = PullOf { title: "Topic", from: "ann/shop", branch: "topic", head: &head, target: "main", author: "ann" };
    let number = fake.open_pull(SHOP, &of);
    let steps: [(&str, &dyn Fn(), PullRequestAction); 7] = [
        ("opened", &|| {}, PullRequestAction::Opened),
        ("synchronize", &|| fake.push_to_pull(SHOP, number, &next), PullRequestAction::Updated),
        ("ready_for_review", &|| {}, PullRequestAction::Updated),
        (
            "edited",
            &|| fake.change_pull(SHOP, number, |pull| pull.target = "next".to_owned()),
            PullRequestAction::Updated,
        ),
        ("closed", &|| fake.close_pull(SHOP, number, None), PullRequestAction::Closed),
        ("reopened", &|| fake.change_pull(SHOP, number, |pull| pull.open = true), PullRequestAction::Reopened),
        ("closed", &|| fake.close_pull(SHOP, number, Some(&merge)), PullRequestAction::Merged),
    ];
    let mut told = Vec::new();
    for (action, change, expected) in steps {
        change();
        let delivery = fake.pull_event(SHOP, number, action, "ann");
        assert_eq!(delivery.send(&url, "hook secret").await.status, 202, "{action}");
        let (id, event) = events.recv().await.expect("an event");
        assert_eq!(id, delivery.id);
        let ForgeEvent::PullRequest(event) = event else { panic!("{event:?}") };
        assert_eq!((event.action, event.number, event.actor.as_deref()), (expected, number, Some("ann")), "{action}");
        told.push(event.pull_request.expect("in full"));
    }
    assert_eq!(told[0].head.as_str(), head);
    assert_eq!((told[1].head.as_str(), told[1].fork), (next.as_str(), true));
    assert_eq!(told[3].target_branch, "next");
    assert_eq!((told[4].state, &told[4].merge_commit), (PullRequestState::Closed, &None));
    assert_eq!(told[6].merge_commit.as_ref().map(|commit| commit.as_str()), Some(merge.as_str()));
    assert_eq!(told[6].state, PullRequestState::Merged);

    let labeled = fake.pull_event(SHOP, number, "labeled", "ann");
    assert_eq!(labeled.send(&url, "hook secret").await.status, 202);
    let event = events.recv().await.expect("an event").1;
    assert_eq!(event, ForgeEvent::Ignored { event: "pull_request labeled".to_owned() });
}

#[tokio::test]
async fn comments_are_told_with_their_id() {
    let fake = fake(&clock()).await;
    let (url, mut events) = receiver("hook secret").await;
    let head = "a".repeat(40);
    let of = PullOf { title: "Topic", from: SHOP, branch: "topic", head: &head, target: "main", author: "ann" };
    let number = fake.open_pull(SHOP, &of);
    let id = fake.comment_as(SHOP, number, "bob", "/longboat check");
    for action in ["created", "edited", "deleted"] {
        let answer = fake.comment_event(SHOP, id, action, "bob").send(&url, "hook secret").await;
        assert_eq!(answer.status, 202, "{action}: {}", answer.body);
        let expected = CommentEvent {
            repository: SHOP.parse().expect("a name"),
            number,
            comment: CommentId(id.to_string()),
            actor: Some("bob".to_owned()),
            text: (action != "deleted").then(|| "/longboat check".to_owned()),
            created: action == "created",
        };
        assert_eq!(events.recv().await.expect("an event").1, ForgeEvent::Comment(expected));
    }
}

#[tokio::test]
async fn a_ping_says_what_is_wrong_with_the_webhook() {
    let (url, mut events) = receiver("hook secret").await;
    let good = Delivery::ping(SHOP);
    let mut payload: serde_json::Value = serde_json::from_slice(&good.body).expect("JSON");
    payload["hook"]["events"] = serde_json::json!(["push"]);
    payload["hook"]["config"]["insecure_ssl"] = serde_json::json!("1");
    assert_eq!(Delivery::of("ping", &payload).send(&url, "hook secret").await.status, 202);
    let ForgeEvent::Ping { complaints } = events.recv().await.expect("an event").1 else { panic!("a ping") };
    assert_eq!(
        complaints,
        [
            "it doesn't send \"Pull requests\" and \"Issue comments\"; tick them in its settings",
            "GitHub doesn't check the certificate of its address; enable SSL verification",
        ]
    );
}
