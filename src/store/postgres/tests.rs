//! What only a server can do to the store: vanish, come back, be taken, refuse, and tell of others.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::timeout;

use super::proxy::{Proxy, Weather};
use crate::clock::{Clock, Timestamp};
use crate::model::{ExecutionKey, RepositoryName, Status};
use crate::store::contract::server::{SERVER, administer, with_database};
use crate::store::{Append, RefChange, RepositoryNote, Seen, Shard, Source, Store, StoreError, StoreOptions};

const SOON: Duration = Duration::from_secs(30);

async fn open(url: &str) -> Store {
    let options = StoreOptions { durable: false, ..StoreOptions::new(url, "first") };
    Store::open(options, Clock::system()).await.expect("opens")
}

fn shop() -> RepositoryName {
    RepositoryName::parse("acme/shop").expect("legal")
}

async fn note(store: &Store, text: &str) -> Result<(), StoreError> {
    store.note_repository(&shop(), RepositoryNote { error: Some(text.to_owned()), has_files: None }).await
}

/// What was noted last.
async fn noted(store: &Store) -> Option<String> {
    store.repository_states().await.expect("reads").pop().and_then(|state| state.error)
}

fn push(branch: &str) -> RefChange {
    RefChange {
        repository: shop(),
        git_ref: format!("refs/heads/{branch}"),
        old: Seen::Claimed(None),
        new: Some(crate::model::CommitSha::parse(&"a".repeat(40)).expect("legal")),
        delivery: None,
        source: Source::Webhook,
        actor: None,
        event: None,
        checking: None,
        tracked: true,
    }
}

fn row(key: i64) -> Append {
    Append {
        key: ExecutionKey(key),
        shard: Shard::of_key(ExecutionKey(key)),
        seq: 1,
        at: Timestamp::from_millis(1),
        body: "{}".to_owned(),
        status: Status::Running,
        due_at: None,
        started_at: None,
        ended_at: None,
        report: None,
        revives: false,
    }
}

#[tokio::test]
async fn a_session_that_was_ended_is_replaced_before_anything_is_written() {
    with_database(|url| async move {
        let store = open(&url).await;
        note(&store, "before").await.expect("writes");
        let mut other = PgConnection::connect(&url).await.expect("connects");
        for round in 0..3 {
            let ended = sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
            ended.execute(&mut other).await.expect("ends them");
            let text = format!("after {round}");
            note(&store, &text).await.expect("a new session takes it");
            assert_eq!(noted(&store).await, Some(text));
        }
    })
    .await;
}

#[tokio::test]
async fn a_write_that_was_cut_off_did_not_happen_and_the_next_one_does() {
    with_database(|url| async move {
        let proxy = Proxy::before(&url).await;
        let store = open(&proxy.url).await;
        note(&store, "before").await.expect("writes");
        proxy.set(Weather::BreakBeforeCommit);
        let error = note(&store, "cut off").await.expect_err("is lost");
        assert!(matches!(error, StoreError::Disconnected { .. }), "{error}");
        assert!(proxy.is_fair());
        assert_eq!(noted(&store).await.as_deref(), Some("before"));
        note(&store, "after").await.expect("writes");
        assert_eq!(noted(&store).await.as_deref(), Some("after"));
    })
    .await;
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_asked_for_and_acknowledged() {
    with_database(|url| async move {
        let proxy = Proxy::before(&url).await;
        let store = open(&proxy.url).await;
        let inbox = store.inbox_changed();
        proxy.set(Weather::BreakAfterCommit);
        store.accept(push("main")).await.expect("it holds, and the server says so");
        assert!(proxy.is_fair(), "the network broke");
        assert!(inbox.has_changed().expect("open"));
        assert_eq!(store.due_inbox(10).await.expect("reads").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_away_fails_writes_with_words_and_is_found_again() {
    with_database(|url| async move {
        let proxy = Proxy::before(&url).await;
        let store = open(&proxy.url).await;
        note(&store, "before").await.expect("writes");
        proxy.set(Weather::Closed);
        proxy.cut();
        let error = note(&store, "away").await.expect_err("nobody is there");
        assert!(matches!(error, StoreError::Disconnected { .. }), "{error}");
        assert!(error.to_string().contains("connects again by itself"), "{error}");
        // Neither is anybody there for the next one, which finds no connection at all.
        let error = note(&store, "still away").await.expect_err("nobody is there");
        assert!(matches!(error, StoreError::Disconnected { .. }), "{error}");
        assert!(error.is_outage());
        proxy.set(Weather::Fair);
        let back = async {
            while note(&store, "back").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, back).await.expect("connects again");
        assert_eq!(noted(&store).await.as_deref(), Some("back"));
    })
    .await;
}

#[tokio::test]
async fn a_database_that_was_taken_meanwhile_is_lost_for_good() {
    with_database(|url| async move {
        let proxy = Proxy::before(&url).await;
        let first = open(&proxy.url).await;
        proxy.set(Weather::Closed);
        proxy.cut();
        let options = StoreOptions { durable: false, ..StoreOptions::new(&url, "second") };
        let second = loop {
            match Store::open(options.clone(), Clock::system()).await {
                Ok(store) => break store,
                Err(StoreError::Taken { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        proxy.set(Weather::Fair);
        let lost = timeout(SOON, first.lost()).await.expect("notices though nobody writes");
        assert!(matches!(&lost, StoreError::Taken { holder, .. } if holder.contains("second")), "{lost}");
        assert!(matches!(note(&first, "late").await, Err(StoreError::Taken { .. })));
        assert!(matches!(first.append(vec![row(1)]).await, Err(StoreError::Fenced)));
        note(&second, "mine").await.expect("writes");
        // Even after it is free again, what the first knows is out of date.
        second.close().await;
        assert!(matches!(note(&first, "late").await, Err(StoreError::Taken { .. })));
    })
    .await;
}

#[tokio::test]
async fn what_others_commit_is_heard_of_at_once() {
    with_database(|url| async move {
        let store = open(&url).await;
        let (mut inbox, mut outbox) = (store.inbox_changed(), store.outbox_changed());
        let mut other = PgConnection::connect(&url).await.expect("connects");
        let mut transaction = other.begin().await.expect("begins");
        sqlx::query("NOTIFY longboat_inbox, 'somebody'").execute(&mut *transaction).await.expect("says it");
        assert!(!inbox.has_changed().expect("open"), "not before the commit");
        transaction.commit().await.expect("commits");
        timeout(SOON, inbox.changed()).await.expect("heard").expect("open");
        assert!(!outbox.has_changed().expect("open"));
        sqlx::query("NOTIFY longboat_outbox, 'somebody'").execute(&mut other).await.expect("says it");
        timeout(SOON, outbox.changed()).await.expect("heard").expect("open");

        // The store's own commits are told to others, and to itself once.
        let mut listener = sqlx::postgres::PgListener::connect(&url).await.expect("connects");
        listener.listen("longboat_inbox").await.expect("listens");
        let before = *store.inbox_changed().borrow();
        store.accept(push("main")).await.expect("accepts");
        let word = timeout(SOON, listener.recv()).await.expect("heard").expect("open");
        assert_eq!(word.channel(), "longboat_inbox");
        sqlx::query("NOTIFY longboat_inbox, 'last'").execute(&mut other).await.expect("says it");
        let both = timeout(SOON, inbox.wait_for(|count| *count == before + 2)).await;
        assert!(both.is_ok_and(|heard| heard.is_ok()), "its own word is not heard a second time");
        // Nothing is said about a write that adds nothing.
        note(&store, "quiet").await.expect("writes");
        assert_eq!(timeout(SOON, listener.recv()).await.expect("heard").expect("open").payload(), "last");
        assert!(listener.next_buffered().is_none());
    })
    .await;
}

/// The message of an opening that must fail.
async fn refusal(options: StoreOptions) -> String {
    let error = Store::open(options, Clock::system()).await.expect_err("is refused");
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn who_is_not_let_in_learns_what_to_do() {
    with_database(|url| async move {
        let server = std::env::var(SERVER).expect("set");
        let user = format!("longboat_user_{:08x}", fastrand::u32(..));
        administer(&server, format!("CREATE ROLE {user} LOGIN PASSWORD 'hunter22'")).await;
        let of_user = url.replacen("postgres@", &format!("{user}@"), 1);
        let with = |url: &str, password: Option<&str>| StoreOptions {
            password: password.map(|password| password.to_owned().into()),
            ..StoreOptions::new(url, "first")
        };
        let mut said = Vec::new();
        for password in [None, Some("hunter2")] {
            said.push((refusal(with(&of_user, password)).await, "password is missing or wrong", "`database.password`"));
        }
        // Let in, it may not make tables in a database of somebody else.
        said.push((refusal(with(&of_user, Some("hunter22"))).await, "may not make tables", "ALTER DATABASE"));
        said.push((refusal(with(&format!("{url}_not"), None)).await, "has no database", "CREATE DATABASE"));
        let nowhere = "postgres://ann:hunter2@127.0.0.1:1/longboat";
        said.push((refusal(with(nowhere, None)).await, "nothing answers at 127.0.0.1:1", "`database.url`"));
        said.push((refusal(with("postgres://ann@127.0.0.1:1/x?sslmode=perhaps", None)).await, "after `?`", "value"));
        let tls = format!("{url}?sslmode=require");
        said.push((refusal(with(&tls, None)).await, "TLS", "`sslmode`"));
        said.iter().for_each(|(text, ..)| eprintln!("{text}"));
        for (text, what, advice) in &said {
            assert!(text.contains(what) && text.contains(advice), "{text}");
        }
        // With the right password and rights, it works.
        let database = url.rsplit('/').next().expect("a name");
        administer(&server, format!("ALTER DATABASE {database} OWNER TO {user}")).await;
        let store = Store::open(with(&of_user, Some("hunter22")), Clock::system()).await.expect("opens");
        note(&store, "mine").await.expect("writes");
        assert!(!format!("{store:?}").contains("hunter2"));
        store.close().await;
        let mut own = PgConnection::connect(&url).await.expect("connects");
        let dropped = format!("DROP OWNED BY {user} CASCADE");
        administer(&server, format!("ALTER DATABASE {database} OWNER TO postgres")).await;
        sqlx::query(AssertSqlSafe(dropped)).execute(&mut own).await.expect("drops");
        administer(&server, format!("DROP ROLE {user}")).await;
    })
    .await;
}

#[tokio::test]
async fn a_commit_is_as_durable_as_the_options_say() {
    with_database(|url| async move {
        for (durable, expected) in [(true, "on"), (false, "off")] {
            let server = super::Server::new(&StoreOptions { durable, ..StoreOptions::new(&url, "x") }).expect("a URL");
            let mut connection = server.connect().await.expect("connects");
            let level: String =
                sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut connection).await.expect("answers");
            assert_eq!(level, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_job_that_hides_a_failed_statement_is_not_acknowledged() {
    with_database(|url| async move {
        let store = open(&url).await;
        let hidden = store
            .write(|tx| {
                Box::pin(async move {
                    sqlx::query("UPDATE counter SET value = 77 WHERE name = 'inbox'")
                        .execute(&mut tx.connection)
                        .await?;
                    let _ = sqlx::query("SELECT no_such_column").execute(&mut tx.connection).await.is_ok();
                    Ok(())
                })
            })
            .await;
        assert!(matches!(hidden, Err(StoreError::Database(_))), "the server took all of it back: {hidden:?}");
        note(&store, "after").await.expect("the connection is well");
    })
    .await;
}
