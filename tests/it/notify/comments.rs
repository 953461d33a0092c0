//! The one comment of a pull request: never a second one, and in the end the last word, whatever the forge does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longboat::forge::{CommentId, Forges, PlainForge, markdown};
use longboat::model::{
    Block, Comment, CommitSha, Message, Piece, PullRequest, PullRequestState, RepositoryName, pull_request_ref,
};
use longboat::notify::{Composer, Reporter, ReporterOptions};
use longboat::store::Settlement;

use super::{SECOND, SHOP, World, forge_stats, name, sha, until, waiting};
use crate::support::fake_github::{Fault, Limit, PullOf};

/// Says what a test wants to be said; nothing, or why not.
#[derive(Clone)]
struct Says(Arc<Mutex<Result<Option<String>, String>>>);

#[async_trait]
impl Composer for Says {
    async fn compose(&self, repository: &RepositoryName, pull_request: u64) -> Result<Option<Comment>, String> {
        let text = self.0.lock().expect("not poisoned").clone()?;
        Ok(text.map(|text| Comment {
            repository: repository.clone(),
            pull_request,
            blocks: vec![Block::Paragraph(vec![Piece::text(text)])],
            page: None,
        }))
    }
}

/// A pull request of the shop and what its comment is to say.
struct Talk {
    world: World,
    says: Says,
    number: u64,
}

impl Talk {
    async fn new() -> Self {
        let world = World::new().await;
        let number = world.fake.open_pull(
            SHOP,
            &PullOf { title: "Faster", from: SHOP, branch: "faster", head: &sha(1), target: "main", author: "ann" },
        );
        let says = Says(Arc::new(Mutex::new(Ok(None))));
        let talk = Self { world, says, number };
        talk.keep(Vec::new()).await;
        talk
    }

    async fn keep(&self, messages: Vec<Message>) {
        let this = PullRequest {
            repository: name(SHOP),
            number: self.number,
            title: "Faster".to_owned(),
            state: PullRequestState::Open,
            head: CommitSha::parse(&sha(1)).expect("legal"),
            head_branch: "faster".to_owned(),
            head_repository: Some(SHOP.to_owned()),
            fork: false,
            target_branch: "main".to_owned(),
            author: Some("ann".to_owned()),
            merge_commit: None,
        };
        let settlement = Settlement {
            inbox: None,
            also: Vec::new(),
            repository: name(SHOP),
            git_ref: pull_request_ref(self.number),
            commit: None,
            publish: Vec::new(),
            withdraw: Vec::new(),
            removal: None,
            executions: Vec::new(),
            messages,
            pull_request: Some((this, None)),
            findings: None,
            has_files: None,
            uses: None,
        };
        self.world.store.settle(settlement).await.expect("written");
    }

    /// From now on the comment is to say this.
    async fn say(&self, text: &str) {
        *self.says.0.lock().expect("not poisoned") = Ok(Some(text.to_owned()));
        self.mark().await;
    }

    async fn mark(&self) {
        self.keep(vec![Message::Comment { repository: name(SHOP), pull_request: self.number }]).await;
    }

    async fn reporter(&self) -> Reporter {
        self.reporter_with(ReporterOptions::default()).await
    }

    async fn reporter_with(&self, options: ReporterOptions) -> Reporter {
        let mut forges = Forges::new();
        forges.add(self.world.github(), [name(SHOP)]);
        self.start(forges, options).await
    }

    async fn start(&self, forges: Forges, options: ReporterOptions) -> Reporter {
        let World { store, clock, .. } = &self.world;
        let composer: Arc<dyn Composer> = Arc::new(self.says.clone());
        Reporter::start(store.clone(), clock.clone(), forges, Some(composer), options).await.expect("it starts")
    }

    fn marker(&self) -> String {
        markdown::marker(&name(SHOP), self.number, self.world.github().capabilities().markup)
    }

    /// The only comment: all that it said, one after the other.
    fn versions(&self) -> Vec<String> {
        let comments = self.world.fake.comments(SHOP, self.number);
        assert_eq!(comments.len(), 1, "there is one comment: {comments:#?}");
        let end = format!("\n\n{}", self.marker());
        comments[0].versions.iter().map(|text| text.strip_suffix(&end).unwrap_or(text).to_owned()).collect()
    }

    fn id(&self) -> u64 {
        self.world.fake.comments(SHOP, self.number)[0].id
    }

    fn writes(&self) -> usize {
        self.world.fake.seen().iter().filter(|seen| seen.method != "GET").count()
    }

    async fn drain(&self, reporter: &Reporter) {
        self.world.drain(reporter).await;
    }
}

#[tokio::test]
async fn a_comment_is_posted_then_edited_and_not_for_nothing() {
    let talk = Talk::new().await;
    let reporter = talk.reporter().await;
    talk.mark().await;
    talk.drain(&reporter).await;
    assert_eq!(talk.writes(), 0, "there was nothing to say");
    talk.say("2 errors").await;
    talk.drain(&reporter).await;
    talk.say("1 error").await;
    talk.drain(&reporter).await;
    talk.mark().await;
    talk.drain(&reporter).await;
    assert_eq!(talk.versions(), ["2 errors", "1 error"]);
    assert_eq!(talk.writes(), 2, "the same text is not sent again");
    let kept = talk.world.store.pull_request(&name(SHOP), talk.number).await.expect("reads").expect("is there");
    assert_eq!(kept.comment.expect("kept").id, talk.id().to_string());
    reporter.shutdown().await;
}

#[tokio::test]
async fn a_burst_is_one_edit_and_edits_have_their_pace() {
    let talk = Talk::new().await;
    let reporter = talk.reporter().await;
    talk.say("first").await;
    talk.drain(&reporter).await;
    for number in 0..60 {
        talk.say(&format!("state {number}")).await;
    }
    talk.drain(&reporter).await;
    assert_eq!(talk.versions(), ["first", "state 59"]);
    for number in 0..10 {
        talk.say(&format!("round {number}")).await;
        talk.world.clock.advance(SECOND);
    }
    talk.drain(&reporter).await;
    assert_eq!(talk.versions().last().map(String::as_str), Some("round 9"));
    let writes: Vec<_> =
        talk.world.fake.seen().into_iter().filter(|seen| seen.method != "GET").map(|seen| seen.at).collect();
    let gaps = writes.windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(gaps.clone().all(|gap| gap >= Duration::from_secs(5)), "{:?}", gaps.collect::<Vec<_>>());
    reporter.shutdown().await;
}

/// What a forge does while three things are to be said.
type Trouble = (&'static str, fn(&World), Duration);

#[tokio::test]
async fn whatever_the_forge_does_there_is_one_comment_and_it_has_the_last_word() {
    let none = Duration::ZERO;
    let troubles: [Trouble; 12] = [
        ("down for an hour", |world| world.fake.fail_always(Some(Fault::BreakBefore)), Duration::from_secs(3600)),
        ("502 for an hour", |world| world.fake.fail_always(Some(Fault::Answer(502))), Duration::from_secs(3600)),
        ("500 on every second call", |world| world.fake.fail_calls(Some((2, Fault::Answer(500)))), none),
        ("500 on every third call", |world| world.fake.fail_calls(Some((3, Fault::Answer(500)))), none),
        ("every second write is done and answered 502", |world| world.fake.fail_every(2, Fault::FailAfter), none),
        ("a secondary limit", |world| world.fake.limit(Limit::RetryAfter, 120 * SECOND), none),
        ("a primary limit", |world| world.fake.limit(Limit::Reset, 120 * SECOND), none),
        ("too many requests", |world| world.fake.limit(Limit::TooMany, 120 * SECOND), none),
        ("a write hangs", |world| world.fake.fail_next(Fault::HangBefore), none),
        ("a write is done and hangs", |world| world.fake.fail_next(Fault::HangAfter), none),
        ("a write is done and the line breaks", |world| world.fake.fail_next(Fault::BreakAfter), none),
        ("the line breaks", |world| world.fake.fail_next(Fault::BreakBefore), none),
    ];
    for (what, trouble, lasts) in troubles {
        for at_first in [true, false] {
            let talk = Talk::new().await;
            let reporter = talk.reporter().await;
            if at_first {
                trouble(&talk.world);
            }
            for text in ["2 errors", "1 error", "good"] {
                talk.say(text).await;
                let began = talk.world.clock.now();
                let passed = || talk.world.clock.now().since(began) >= lasts;
                talk.world.pass_time_until(20 * SECOND, "the trouble lasts", async || passed()).await;
                if lasts > Duration::ZERO {
                    talk.world.fake.fail_always(None);
                }
                talk.drain(&reporter).await;
                if !at_first && text == "2 errors" {
                    trouble(&talk.world);
                }
            }
            assert_eq!(talk.versions().last().map(String::as_str), Some("good"), "{what}, at first: {at_first}");
            reporter.shutdown().await;
        }
    }
}

#[tokio::test]
async fn a_process_that_dies_after_posting_leaves_one_comment() {
    let talk = Talk::new().await;
    let options = ReporterOptions { grace: Duration::from_millis(20), ..ReporterOptions::default() };
    let reporter = talk.reporter_with(options).await;
    talk.world.fake.fail_next(Fault::HangAfter);
    talk.say("2 errors").await;
    talk.world.fake.eventually("it is posted", |fake| (!fake.comments(SHOP, 1).is_empty()).then_some(())).await;
    drop(reporter);
    let kept = talk.world.store.pull_request(&name(SHOP), talk.number).await.expect("reads").expect("is there");
    assert_eq!(kept.comment, None, "it died before it could write the id down");

    let next = talk.reporter().await;
    talk.drain(&next).await;
    assert_eq!(talk.versions(), ["2 errors"], "found, and as it should be");
    talk.say("good").await;
    talk.drain(&next).await;
    assert_eq!(talk.versions(), ["2 errors", "good"]);
    next.shutdown().await;
}

#[tokio::test]
async fn a_planted_marker_is_not_taken_for_ours() {
    let talk = Talk::new().await;
    let planted = format!("All is well!\n\n{}", talk.marker());
    let id = talk.world.fake.comment_as(SHOP, talk.number, "mallory", &planted);
    let reporter = talk.reporter().await;
    talk.say("2 errors").await;
    talk.drain(&reporter).await;
    let comments = talk.world.fake.comments(SHOP, talk.number);
    assert_eq!(comments.iter().map(|comment| comment.id == id).collect::<Vec<_>>(), [true, false]);
    assert_eq!((&comments[0].body, comments[0].versions.len()), (&planted, 1), "left alone");
    reporter.shutdown().await;
}

#[tokio::test]
async fn who_deletes_the_comment_gets_the_next_one() {
    let talk = Talk::new().await;
    let reporter = talk.reporter().await;
    talk.say("2 errors").await;
    talk.drain(&reporter).await;
    let first = talk.id();
    talk.world.fake.delete_comment(SHOP, first);
    // Nobody told Longboat.
    talk.say("1 error").await;
    talk.drain(&reporter).await;
    assert_eq!(talk.versions(), ["1 error"]);
    let second = talk.id();
    talk.world.fake.delete_comment(SHOP, second);
    // A webhook told it.
    let doubted = talk.world.store.doubt_comment(&name(SHOP), talk.number, &second.to_string()).await;
    assert!(doubted.expect("writes"));
    talk.drain(&reporter).await;
    assert_eq!(talk.versions(), ["1 error"]);
    assert!(talk.id() > second && second > first);
    reporter.shutdown().await;
}

#[tokio::test]
async fn who_edits_the_comment_loses_and_our_own_edits_are_no_news() {
    let talk = Talk::new().await;
    let reporter = talk.reporter().await;
    talk.say("2 errors").await;
    talk.drain(&reporter).await;
    let id = talk.id().to_string();
    let doubt = async || assert!(talk.world.store.doubt_comment(&name(SHOP), talk.number, &id).await.expect("writes"));
    doubt().await;
    talk.drain(&reporter).await;
    assert_eq!(talk.writes(), 1, "it was looked at, and said what it should");

    let graffiti = format!("no errors at all\n\n{}", talk.marker());
    let github = talk.world.github();
    github.edit_comment(SHOP, talk.number, &CommentId(id.clone()), &graffiti).await.expect("edited");
    doubt().await;
    talk.drain(&reporter).await;
    assert_eq!(talk.versions(), ["2 errors", "no errors at all", "2 errors"]);
    reporter.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_told_yet_is_told_later() {
    let talk = Talk::new().await;
    let reporter = talk.reporter().await;
    *talk.says.0.lock().expect("not poisoned") = Err("the database is busy".to_owned());
    talk.mark().await;
    let put_off = async || talk.world.store.due_outbox(10).await.expect("reads").is_empty();
    until("it is put off", put_off).await;
    assert_eq!(waiting(&reporter).await, 1);
    *talk.says.0.lock().expect("not poisoned") = Ok(Some("good".to_owned()));
    talk.drain(&reporter).await;
    assert_eq!(talk.versions(), ["good"]);
    reporter.shutdown().await;
}

#[tokio::test]
async fn where_no_comment_can_be_written_none_waits() {
    let talk = Talk::new().await;
    let mut forges = Forges::new();
    forges.add(Arc::new(PlainForge::new("local")), [name(SHOP)]);
    let reporter = talk.start(forges, ReporterOptions::default()).await;
    talk.say("2 errors").await;
    until("nothing waits", async || waiting(&reporter).await == 0).await;
    assert_eq!(forge_stats(&reporter, "local").await.sent, 0);
    reporter.shutdown().await;
}
