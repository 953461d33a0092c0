//! Replicas on one server: how they share, and what becomes of what one of them had.

use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlSafeStr as _};
use tokio::time::timeout;

use super::proxy::{Proxy, Weather};
use crate::clock::Clock;
use crate::model::{RepositoryName, Status};
use crate::store::contract::sample::{append, created, quiet_run, webhook};
use crate::store::contract::server::with_database;
use crate::store::open::{Held, MIGRATIONS};
use crate::store::{Duty, Owned, Replicas, RepositoryNote, Shards, Store, StoreError, StoreOptions, Word};

const SOON: Duration = Duration::from_secs(30);

fn options(url: &str, name: &str) -> StoreOptions {
    StoreOptions { durable: false, replicas: Some(Replicas::named(name)), ..StoreOptions::new(url, name) }
}

async fn open(url: &str, name: &str) -> Store {
    Store::open(options(url, name), Clock::system()).await.expect("opens")
}

/// Waits until a replica's part is as wanted. What is to leave is given back at once, as by an engine without work.
async fn settled(store: &Store, wanted: impl Fn(Owned) -> bool) -> Owned {
    let mut shards = store.shards();
    let waiting = async {
        loop {
            let owned = *shards.borrow_and_update();
            store.release(owned.leaving);
            if owned.leaving.is_empty() && wanted(owned) {
                return owned;
            }
            shards.changed().await.expect("open");
        }
    };
    timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{:?} of {store:?}", *store.shards().borrow()))
}

async fn has(store: &Store, count: usize) -> Shards {
    settled(store, |owned| owned.held.len() == count).await.held
}

async fn all(statement: String, url: &str) {
    let mut other = PgConnection::connect(url).await.expect("connects");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut other).await.expect("does it");
}

async fn note(store: &Store, text: &str) -> Result<(), StoreError> {
    let shop = RepositoryName::parse("acme/shop").expect("legal");
    store.note_repository(&shop, RepositoryNote { error: Some(text.to_owned()), has_files: None }).await
}

/// Ends the lease of a replica in the database, as if it had not been renewed; the row of its present term.
async fn expire(url: &str, name: &str) {
    all(format!("UPDATE replica SET expires_at = 0 WHERE name = '{name}'"), url).await;
}

#[tokio::test]
async fn the_shards_are_shared_evenly_and_move_when_replicas_come_and_go() {
    with_database(|url| async move {
        let first = open(&url, "first").await;
        assert_eq!(first.shards().borrow().held, Shards::ALL, "alone, it has all from the start");
        let second = open(&url, "second").await;
        let (a, b) = tokio::join!(has(&first, 32), has(&second, 32));
        assert_eq!((a.both(b), a.and(b)), (Shards::NONE, Shards::ALL));
        let third = open(&url, "third").await;
        let parts = tokio::join!(has(&first, 22), has(&second, 21), has(&third, 21));
        assert_eq!(parts.0.and(parts.1).and(parts.2), Shards::ALL);
        let fourth = open(&url, "fourth").await;
        tokio::join!(has(&first, 16), has(&second, 16), has(&third, 16), has(&fourth, 16));

        let known = first.replicas().await.expect("reads");
        let names: Vec<&str> = known.iter().map(|replica| replica.said.name.as_str()).collect();
        assert_eq!(names, ["first", "second", "third", "fourth"]);
        assert!(
            known.iter().all(|replica| replica.alive && replica.shards.len() == 16 && !replica.leaving),
            "{known:?}"
        );
        assert_eq!(known.iter().map(|replica| replica.own).collect::<Vec<_>>(), [true, false, false, false]);

        // One leaves cleanly: the others have its part without waiting for a lease to end.
        let before = std::time::Instant::now();
        fourth.close().await;
        let parts = tokio::join!(has(&first, 22), has(&second, 21), has(&third, 21));
        assert_eq!(parts.0.and(parts.1).and(parts.2), Shards::ALL);
        assert!(before.elapsed() < Duration::from_secs(5), "at once, not after six seconds");
        assert_eq!(first.replicas().await.expect("reads").len(), 3);
    })
    .await;
}

#[tokio::test]
async fn duties_are_spread_and_move_with_a_higher_number() {
    with_database(|url| async move {
        let first = open(&url, "first").await;
        let of = |store: &Store| Duty::ALL.into_iter().filter(|duty| store.is_on_duty(*duty)).count();
        assert_eq!(of(&first), 3, "alone, it has all from the start");
        let term = *first.duty(Duty::Triggers).borrow();
        let second = open(&url, "second").await;
        let spread = async {
            while of(&first) + of(&second) < 3 || of(&first) == 3 || of(&second) == 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                assert!(of(&first) + of(&second) <= 3);
                assert!(Duty::ALL.into_iter().all(|duty| !first.is_on_duty(duty) || !second.is_on_duty(duty)));
            }
        };
        timeout(SOON, spread).await.expect("in time");
        let known = first.replicas().await.expect("reads");
        assert_eq!(known.iter().map(|replica| replica.duties.len()).sum::<usize>(), 3);

        let moved = Duty::ALL.into_iter().find(|duty| second.is_on_duty(*duty)).expect("one of them");
        let over = second.duty(moved).borrow().expect("it has it");
        let bound = second.for_duty(over);
        assert!(bound.may_act());
        note(&bound, "on duty").await.expect("writes");
        expire(&url, "second").await;
        let mut taken = first.duty(moved);
        timeout(SOON, taken.wait_for(|now| now.is_some())).await.expect("in time").expect("open");
        assert_ne!(*taken.borrow(), Some(over));
        assert!(matches!(note(&bound, "late").await, Err(StoreError::Fenced)));
        assert_ne!(term, None);
        second.close().await;
        let all = async {
            while of(&first) < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, all).await.expect("it has all again");
    })
    .await;
}

#[tokio::test]
async fn one_that_is_about_to_stop_takes_nothing_more() {
    with_database(|url| async move {
        let (first, second) = (open(&url, "first").await, open(&url, "second").await);
        tokio::join!(has(&first, 32), has(&second, 32));
        second.leave();
        let owned = *second.shards().borrow();
        assert_eq!((owned.leaving, owned.held.len()), (owned.held, 32), "all of it is to leave");
        tokio::join!(has(&first, 64), has(&second, 0));
        let known = first.replicas().await.expect("reads");
        assert_eq!(known.iter().map(|replica| replica.leaving).collect::<Vec<_>>(), [false, true]);
        assert!(second.has_lease(), "it may still write what it has to");
        note(&second, "last words").await.expect("writes");
    })
    .await;
}

#[tokio::test]
async fn what_a_replica_writes_late_is_refused() {
    with_database(|url| async move {
        let (first, second) = (open(&url, "first").await, open(&url, "second").await);
        let (a, _) = tokio::join!(has(&first, 32), has(&second, 32));
        // One in each shard.
        futures::future::join_all((0..64).map(|_| created(&first, quiet_run()))).await;
        let live = first.live_in(a).await.expect("reads");
        let others = first.live_in(Shards::ALL.without(a)).await.expect("reads");
        assert_eq!((live.len(), others.len()), (32, 32));
        assert_eq!(first.live_in(Shards::NONE).await.expect("reads"), []);
        let (mine, theirs) = (live[0], others[0]);
        assert_eq!(mine.key.0.rem_euclid(64), mine.shard.number());

        // Each writes what is its own, and nothing else.
        first.append(vec![append(mine.key, 1, Status::Running)]).await.expect("its own");
        second.append(vec![append(theirs.key, 1, Status::Running)]).await.expect("its own");
        let late = first.append(vec![append(theirs.key, 2, Status::Running)]).await;
        assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
        // A batch that nobody waits for together with good ones spoils only itself.
        let (bad, good) = tokio::join!(
            first.append(vec![append(theirs.key, 2, Status::Running)]),
            first.append(vec![append(mine.key, 2, Status::Running)]),
        );
        assert!(matches!((&bad, &good), (Err(StoreError::Fenced), Ok(()))), "{bad:?} {good:?}");

        // Another takes it by force, whatever the first believes. It lives, or a round would take it back at once.
        let thief = "WITH thief AS (INSERT INTO replica (id, name, node, version, journal, digest, leaving, started_at, \
             expires_at) VALUES ('thief', 'thief', 'elsewhere', '1', 1, '', 1, 0, 9e15)) \
             UPDATE shard SET owner = 'thief', epoch = epoch + 1 WHERE shard = ";
        all(format!("{thief}{}", mine.shard.number()), &url).await;
        let late = first.append(vec![append(mine.key, 3, Status::Running)]).await;
        assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
        assert_eq!(first.journal(mine.key).await.expect("reads").len(), 2);
    })
    .await;
}

#[tokio::test]
async fn one_whose_lease_is_over_joins_anew_with_nothing_of_what_it_had() {
    with_database(|url| async move {
        let (first, second) = (open(&url, "first").await, open(&url, "second").await);
        let (before, _) = tokio::join!(has(&first, 32), has(&second, 32));
        let term = first.shards().borrow().term;
        let key = loop {
            let key = created(&first, quiet_run()).await;
            if first.live_in(before).await.expect("reads").iter().any(|live| live.key == key) {
                break key;
            }
        };
        expire(&url, "first").await;
        let owned = tokio::select! {
            owned = settled(&first, |owned| owned.term > term && owned.held.len() == 32) => owned,
            owned = settled(&second, |_| false) => owned,
        };
        assert_eq!(owned.since(Owned { held: before, leaving: Shards::NONE, term }), (before, owned.held));
        let shard = first.live().await.expect("reads")[0].shard;
        let outcomes = (
            first.append(vec![append(key, 1, Status::Running)]).await,
            second.append(vec![append(key, 1, Status::Running)]).await,
        );
        let mine = first.shards().borrow().held.contains(shard);
        assert_eq!((outcomes.0.is_ok(), outcomes.1.is_ok()), (mine, !mine), "one of them, and only one: {outcomes:?}");
        note(&first, "it goes on").await.expect("writes");
    })
    .await;
}

#[tokio::test]
async fn one_that_stopped_in_the_middle_of_a_transaction_holds_nobody_up() {
    with_database(|url| async move {
        let first = open(&url, "first").await;
        let key = created(&first, quiet_run()).await;
        // It stops for good after it has locked everything that there is to lock.
        let (stuck, stopped) = tokio::sync::oneshot::channel();
        let held = first.clone();
        let writing = tokio::spawn(async move {
            held.write(move |tx| {
                Box::pin(async move {
                    sqlx::query("SELECT shard FROM shard FOR UPDATE").fetch_all(&mut tx.connection).await?;
                    sqlx::query("UPDATE counter SET value = value + 1").execute(&mut tx.connection).await?;
                    let _ = stuck.send(()).is_ok();
                    std::future::pending::<()>().await;
                    Ok(())
                })
            })
            .await
        });
        stopped.await.expect("it began");
        first.inner.lease.stop_the_keeper();
        expire(&url, "first").await;
        let second = open(&url, "second").await;
        has(&second, 64).await;
        second.append(vec![append(key, 1, Status::Running)]).await.expect("it is its own now");
        created(&second, quiet_run()).await;
        note(&second, "and everything else works").await.expect("writes");
        writing.abort();
    })
    .await;
}

#[tokio::test]
async fn one_that_is_cut_off_ends_by_itself_and_comes_back() {
    with_database(|url| async move {
        let proxy = Proxy::before(&url).await;
        let (first, second) = (open(&proxy.url, "first").await, open(&url, "second").await);
        tokio::join!(has(&first, 32), has(&second, 32));
        proxy.set(Weather::Silent);
        let began = std::time::Instant::now();
        let lost = settled(&first, |owned| owned.held.is_empty());
        let (_, taken) = tokio::join!(lost, has(&second, 64));
        assert_eq!(taken, Shards::ALL);
        eprintln!("taken over after {:?}", began.elapsed());
        assert!(!first.has_lease());
        assert!(matches!(first.append(vec![append(created(&second, quiet_run()).await, 1, Status::Running)]).await, Err(error) if error.is_outage() || matches!(error, StoreError::Fenced)));
        proxy.set(Weather::Fair);
        proxy.cut();
        tokio::join!(has(&first, 32), has(&second, 32));
        let writes = async {
            while note(&first, "back").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, writes).await.expect("it writes again");
    })
    .await;
}

#[tokio::test]
async fn replicas_and_others_keep_each_other_out() {
    with_database(|url| async move {
        let first = open(&url, "blue").await;
        let alone = StoreOptions { durable: false, ..StoreOptions::new(&url, "alone") };
        let error = Store::open(alone.clone(), Clock::system()).await.expect_err("is turned away").to_string();
        assert!(
            error.contains("replica") && error.contains("blue") && error.contains("`database.replicas`"),
            "{error}"
        );
        first.close().await;
        let single = Store::open(alone, Clock::system()).await.expect("it is free");
        assert_eq!((*single.shards().borrow(), single.is_shared()), (Owned::ALL, false));
        assert_eq!(single.replicas().await.expect("reads"), []);
        let error = Store::open(options(&url, "blue"), Clock::system()).await.expect_err("is turned away").to_string();
        assert!(error.contains("which has it for itself"), "{error}");
        single.close().await;
        has(&open(&url, "blue").await, 64).await;
        let file = StoreOptions { replicas: Some(Replicas::named("x")), ..StoreOptions::new("sqlite:/tmp/x.db", "x") };
        let error = Store::open(file, Clock::system()).await.expect_err("a file").to_string();
        assert!(error.contains("need a PostgreSQL server"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn words_reach_the_others_and_not_oneself() {
    with_database(|url| async move {
        let (first, second) = (open(&url, "first").await, open(&url, "second").await);
        let (mut here, mut there) = (first.words(), second.words());
        let id = crate::model::ExecutionId::generate();
        let changed = Word::Changed { id, status: Status::Running, seq: 3 };
        for word in [changed, Word::Wishes, Word::Wishes, Word::Work(Shards::ALL)] {
            first.tell(word);
        }
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(timeout(SOON, there.recv()).await.expect("in time").expect("open"));
        }
        assert!(heard.contains(&changed) && heard.contains(&Word::Wishes) && heard.contains(&Word::Work(Shards::ALL)), "{heard:?}");
        second.tell(Word::Catalog);
        assert_eq!(timeout(SOON, here.recv()).await.expect("in time").expect("open"), Word::Catalog);
        assert!(here.is_empty() && there.is_empty());
        // Who could not listen for a while is told to look at everything.
        all("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'".to_owned(), &url).await;
        let missed = timeout(SOON, async { while there.recv().await.expect("open") != Word::Catalog {} });
        missed.await.expect("it listens again");
    })
    .await;
}

#[tokio::test]
async fn tables_that_another_version_brings_further_are_worked_with() {
    with_database(|url| async move {
        let store = open(&url, "old").await;
        let key = created(&store, quiet_run()).await;
        store.execution_by_key(key).await.expect("reads").expect("exists");
        note(&store, "before").await.expect("writes");
        // What a later version does when it joins: columns more, a step more.
        for statement in [
            "ALTER TABLE execution_info ADD COLUMN more BIGINT",
            "ALTER TABLE inbox ADD COLUMN more BIGINT",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'later', TRUE, '', 0)",
            "NOTIFY longboat_lease, 'later'",
        ] {
            all(statement.to_owned(), &url).await;
        }
        let reads = async {
            while store.execution_by_key(key).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, reads).await.expect("it reads again");
        for round in 0..10 {
            store.execution_by_key(key).await.expect("each connection reads");
            note(&store, &format!("after {round}")).await.expect("writes");
        }
        // One that is started anew, and one more, work beside it.
        let again = open(&url, "again").await;
        tokio::join!(has(&store, 32), has(&again, 32));
        note(&again, "beside").await.expect("writes");
        store.close().await;
        let store = open(&url, "old").await;
        assert!(store.execution_by_key(key).await.expect("reads").is_some());
        tokio::join!(has(&store, 32), has(&again, 32));
    })
    .await;
}

#[tokio::test]
async fn a_step_that_running_replicas_can_t_follow_waits_until_they_are_gone() {
    with_database(|url| async move {
        let sql = "ALTER TABLE execution_info DROP COLUMN parent; \
            INSERT INTO counter (name, value) VALUES ('oldest_step', 9999) \
                ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let mut later: Vec<Migration> = MIGRATIONS.iter().cloned().collect();
        later.push(Migration::new(9999, "later".into(), MigrationType::Simple, sql.into_sql_str(), false));
        let later = Migrator::with_migrations(later);
        let old = open(&url, "old").await;
        // As a replica of that version does when it starts.
        let begin = async || {
            let server = Held::open(&options(&url, "new")).await;
            server.expect("beside the others").bring_along(&later, 9999).await
        };
        let error = begin().await.expect_err("is refused");
        assert!(
            matches!(&error, StoreError::InUse { step: 9999, replicas } if replicas.starts_with("old (")),
            "{error}"
        );
        note(&old, "undisturbed").await.expect("writes");
        old.close().await;
        assert_eq!(begin().await.expect("the tables are brought there"), 9999);
        let error = Store::open(options(&url, "old"), Clock::system()).await.expect_err("is refused");
        assert!(matches!(error, StoreError::Newer { step: 9999, oldest: 9999, .. }), "{error}");
    })
    .await;
}

/// The queues are everybody's.
#[tokio::test]
async fn what_one_takes_up_is_heard_of_by_all() {
    with_database(|url| async move {
        let (first, second) = (open(&url, "first").await, open(&url, "second").await);
        let mut inbox = second.inbox_changed();
        let pushes = (1..20).map(|number| {
            let store = if number % 2 == 0 { &first } else { &second };
            store.accept(webhook(number - 1, number))
        });
        for outcome in futures::future::join_all(pushes).await {
            outcome.expect("both write, one after the other");
        }
        inbox.borrow_and_update();
        first.accept(webhook(19, 20)).await.expect("writes");
        timeout(SOON, inbox.changed()).await.expect("heard").expect("open");
    })
    .await;
}
