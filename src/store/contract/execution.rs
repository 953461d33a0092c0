//! Executions: created once, read back, listed.

use super::Fixture;
use super::sample::{append, application, created, finish, pipeline, pipeline_name, quiet_run, repository, run, sha};
use crate::model::{CauseKind, Concurrency, ExecutionId, ExecutionKey, NewExecution, OnNew, Parent, StagePath, Status};
use crate::store::birth::{self, Birth};
use crate::store::{Created, ExecutionFilter, Store, StoreError};

pub(super) async fn what_was_created_can_be_read(fixture: Fixture) {
    let store = fixture.open().await;
    let mut new = run();
    new.parameters.insert("version".to_owned(), serde_json::json!({"a: b": ["\u{1F6A3}", null, 1.5]}));
    let key = created(&store, new.clone()).await;
    let stored = store.execution(new.id).await.expect("reads").expect("exists");
    assert_eq!((stored.execution.key, &stored.execution.info), (key, &new));
    assert_eq!((stored.status, stored.seq, stored.started_at), (Status::NotStarted, 0, None));
    assert_eq!(store.execution_by_key(key).await.expect("reads"), Some(stored));
    assert_eq!(store.execution(ExecutionId::generate()).await.expect("reads"), None);
    assert_eq!(store.execution_by_key(ExecutionKey(77)).await.expect("reads"), None);
    assert_eq!(store.journal(key).await.expect("reads"), []);
    let said = store.due_outbox(10).await.expect("reads");
    let status = said[0].message.status().expect("a status");
    assert_eq!((status.description.as_str(), said[0].execution), ("Queued", Some(key)));
    assert_eq!(status.page, new.id.page());
    let listed = store.executions(ExecutionFilter::default()).await.expect("reads").items.remove(0);
    assert_eq!((listed.id, listed.cause, listed.branch.as_deref()), (new.id, new.trigger, Some("main")));
}

pub(super) async fn a_correlation_id_starts_once(fixture: Fixture) {
    let store = fixture.open().await;
    let same = || NewExecution { correlation_id: Some("nightly-1".to_owned()), ..run() };
    let first = same();
    let key = created(&store, first.clone()).await;
    assert_eq!(store.create(same()).await.expect("creates"), Created::Existing(key, first.id));
    created(&store, run()).await;
    created(&store, run()).await;
    assert_eq!(store.live().await.expect("reads").len(), 3);
}

pub(super) async fn those_that_stand_in_a_lane_are_known_until_they_end(fixture: Fixture) {
    let store = fixture.open().await;
    let of = |name: &str, lock: Option<&str>| {
        let mut pipeline = pipeline("shop", name);
        let lock = lock.map(|lock| lock.parse().expect("a name"));
        pipeline.concurrency = Some(Concurrency { max: 1, on_new: OnNew::Queue, lock });
        NewExecution { pipeline, ..run() }
    };
    let keys = [
        created(&store, of("deploy", None)).await,
        created(&store, run()).await,
        created(&store, of("deploy", None)).await,
        created(&store, of("migrate", Some("prod-db"))).await,
    ];
    let members = store.lane_members(None).await.expect("reads");
    let lanes: Vec<_> = members.iter().map(|member| (member.key, member.lane.to_string())).collect();
    let deploy = "pipeline shop/deploy".to_owned();
    let expected = [(keys[0], deploy.clone()), (keys[2], deploy.clone()), (keys[3], "lock prod-db".to_owned())];
    assert_eq!(lanes, expected);
    assert_eq!((members[0].status, members[2].pipeline.as_str()), (Status::NotStarted, "migrate"));
    assert_eq!((members[0].most, members[0].awaited_by.len()), (1, 0));
    assert_eq!(store.awaited_lanes().await.expect("reads"), [], "nobody waits for the end of any of them");
    finish(&store, keys[0], 1).await;
    let lane = deploy.parse().expect("a lane");
    let left = store.lane_members(Some(&lane)).await.expect("reads");
    assert_eq!(left.iter().map(|member| member.key).collect::<Vec<_>>(), [keys[2]]);
}

async fn keys(store: &Store, filter: ExecutionFilter) -> Vec<i64> {
    store.executions(filter).await.expect("reads").items.iter().map(|execution| execution.key.0).collect()
}

pub(super) async fn lists_are_filtered_and_come_in_pages(fixture: Fixture) {
    let store = fixture.open().await;
    for number in 1..=7_u64 {
        let name = if number % 2 == 0 { "build" } else { "deploy" };
        let of = if number < 6 { "shop" } else { "other" };
        let at = Some(sha(number.div_ceil(2)));
        let owner = (number != 7).then(|| repository("acme/shop"));
        created(&store, NewExecution { pipeline: pipeline(of, name), commit: at, repository: owner, ..run() }).await;
    }
    finish(&store, ExecutionKey(2), 1).await;
    let all = ExecutionFilter::default;
    assert_eq!(keys(&store, all()).await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(keys(&store, ExecutionFilter { application: Some(application("other")), ..all() }).await, [7, 6]);
    assert_eq!(keys(&store, ExecutionFilter { pipeline: Some(pipeline_name("build")), ..all() }).await, [6, 4, 2]);
    assert_eq!(keys(&store, ExecutionFilter { commit: Some(sha(2)), ..all() }).await, [4, 3]);
    assert_eq!(keys(&store, ExecutionFilter { status: Some(Status::Succeeded), ..all() }).await, [2]);
    let narrow = ExecutionFilter {
        application: Some(application("shop")),
        pipeline: Some(pipeline_name("build")),
        repository: Some(repository("acme/shop")),
        status: Some(Status::NotStarted),
        ..all()
    };
    assert_eq!(keys(&store, narrow).await, [4]);

    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let filter = ExecutionFilter { limit: 3, cursor, repository: Some(repository("acme/shop")), ..all() };
        let page = store.executions(filter).await.expect("reads");
        seen.push(page.items.iter().map(|execution| execution.key.0).collect::<Vec<_>>());
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, [vec![6, 5, 4], vec![3, 2, 1]]);
}

/// The pages of a list, each of two, as they follow one another.
async fn in_pages(store: &Store, filter: &ExecutionFilter) -> Vec<i64> {
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let page = store.executions(ExecutionFilter { limit: 2, cursor, ..filter.clone() }).await.expect("reads");
        seen.extend(page.items.iter().map(|execution| execution.key.0));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return seen;
        }
    }
}

async fn any_combination_lists_what_fits(fixture: Fixture) {
    let store = fixture.open().await;
    let parents = [ExecutionId::generate(), ExecutionId::generate(), ExecutionId::generate()];
    let parent = |execution| Parent {
        execution,
        stage: StagePath::parse("child").expect("a path"),
        application: application("shop"),
        pipeline: pipeline_name("deploy"),
        root: CauseKind::Git,
        files: Vec::new(),
        awaited_by: Vec::new(),
    };
    let statuses = [Status::Succeeded, Status::Terminal, Status::NotStarted, Status::Succeeded, Status::Running];
    let mut news = Vec::new();
    for number in 0..40_usize {
        let of = ["shop", "other", "third"][number / 7 % 3];
        let mut new = NewExecution {
            pipeline: pipeline(of, ["build", "deploy"][number / 2 % 2]),
            repository: [Some("acme/shop"), Some("acme/moved"), None][number / 13 % 3].map(repository),
            commit: (number % 4 > 0).then(|| sha(number as u64 % 4)),
            ..quiet_run()
        };
        new.trigger.parent = (number % 3 < 2).then(|| parent(parents[number % 3]));
        let status = statuses[number / 3 % 5];
        let key = created(&store, new.clone()).await;
        if status != Status::NotStarted {
            store.append(vec![append(key, 1, status)]).await.expect("appends");
        }
        news.push((key, new, status));
    }
    // One that had ended goes on: it is not among those that have ended.
    let (key, _, status) = news.iter_mut().find(|(_, _, status)| *status == Status::Terminal).expect("one failed");
    let mut again = append(*key, 2, Status::Running);
    again.revives = true;
    store.append(vec![again]).await.expect("appends");
    *status = Status::Running;

    let statuses =
        [None, Some(Status::Succeeded), Some(Status::Terminal), Some(Status::Canceled), Some(Status::Running)];
    for parts in 0..32_u32 {
        // What is there, and in the other rounds something that isn't, or not together with the rest.
        for (round, status) in (0..3).flat_map(|round| statuses.map(|status| (round, status))) {
            let has = |part: u32| parts & (1 << part) != 0;
            let filter = ExecutionFilter {
                application: has(0).then(|| application(["shop", "third", "nobody"][round])),
                pipeline: has(1).then(|| pipeline_name(["deploy", "build", "none"][round])),
                repository: has(2).then(|| repository(["acme/shop", "acme/moved", "acme/none"][round])),
                commit: has(3).then(|| sha([2, 3, 99][round])),
                parent: has(4).then(|| parents[round]),
                status,
                ..ExecutionFilter::default()
            };
            let fits = |new: &NewExecution, stands: Status| {
                filter.application.as_ref().is_none_or(|it| *it == new.pipeline.application)
                    && filter.pipeline.as_ref().is_none_or(|it| *it == new.pipeline.name)
                    && (filter.repository.is_none() || filter.repository == new.repository)
                    && (filter.commit.is_none() || filter.commit == new.commit)
                    && filter
                        .parent
                        .is_none_or(|it| new.trigger.parent.as_ref().is_some_and(|parent| parent.execution == it))
                    && filter.status.is_none_or(|it| it == stands)
            };
            let expected: Vec<i64> =
                news.iter().rev().filter(|(_, new, stands)| fits(new, *stands)).map(|(key, ..)| key.0).collect();
            assert_eq!(in_pages(&store, &filter).await, expected, "{filter:?}");
        }
    }
}

async fn what_an_earlier_version_created_is_found_after_a_start(fixture: Fixture) {
    let store = fixture.open().await;
    let of = |name: &str| NewExecution { pipeline: pipeline(name, "deploy"), ..quiet_run() };
    created(&store, of("shop")).await;
    let second = created(&store, of("shop")).await;
    created(&store, of("new")).await;
    finish(&store, second, 1).await;
    store
        .write(|tx| {
            Box::pin(async move {
                // As a replica leaves it that knows of no series.
                sqlx::query("UPDATE execution SET series = NULL WHERE id > 1").execute(&mut tx.connection).await?;
                sqlx::query("DELETE FROM series WHERE application = 'new'").execute(&mut tx.connection).await?;
                Ok(())
            })
        })
        .await
        .expect("writes");
    store.close().await;
    let store = fixture.open().await;
    let shop = || ExecutionFilter { application: Some(application("shop")), ..ExecutionFilter::default() };
    assert_eq!(keys(&store, shop()).await, [2, 1]);
    assert_eq!(keys(&store, ExecutionFilter { status: Some(Status::Succeeded), ..shop() }).await, [2]);
    assert_eq!(keys(&store, ExecutionFilter { application: Some(application("new")), ..shop() }).await, [3]);
    created(&store, of("new")).await;
    assert_eq!(keys(&store, ExecutionFilter { application: Some(application("new")), ..shop() }).await, [4, 3]);
}

/// What is taken back with a transaction is not remembered.
async fn a_series_that_was_taken_back_is_made_anew(fixture: Fixture) {
    let store = fixture.open().await;
    let failed = store
        .write(|tx| {
            Box::pin(async move {
                let birth = Birth::new(quiet_run())?;
                birth::create(tx, &birth, None).await?;
                Err::<(), _>(StoreError::Closed)
            })
        })
        .await;
    assert!(failed.is_err());
    let key = created(&store, quiet_run()).await;
    let filter = ExecutionFilter { application: Some(application("shop")), ..ExecutionFilter::default() };
    assert_eq!(keys(&store, filter).await, [key.0]);
}

pub(super) async fn a_strange_cursor_is_refused(fixture: Fixture) {
    let store = fixture.open().await;
    let filter = ExecutionFilter { cursor: Some("'; DROP TABLE journal".to_owned()), ..ExecutionFilter::default() };
    assert!(matches!(store.executions(filter).await, Err(StoreError::BadCursor { .. })));
}

pub(super) async fn a_document_that_is_too_large_is_refused(fixture: Fixture) {
    let store = fixture.open().await;
    let mut new = run();
    new.parameters.insert("much".to_owned(), "x".repeat(17 * 1024 * 1024).into());
    let error = store.create(new).await.expect_err("is refused");
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert_eq!(store.live().await.expect("reads"), []);
}

pub(super) async fn what_a_start_led_to_is_known_once_it_was_queued(fixture: Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.started_by("a/b/1").await.expect("reads"), None);
    let new = NewExecution { correlation_id: Some("a/b/1".to_owned()), ..quiet_run() };
    let id = new.id;
    // Whoever created it has gone away without waiting for the answer.
    let release = super::writing::hold(&store).await;
    let waiting = store.clone();
    let mut start = Box::pin(async move { waiting.create(new).await });
    assert!(futures::poll!(&mut start).is_pending());
    drop(start);
    let asked = store.started_by("a/b/1");
    let (asked, ()) = tokio::join!(asked, async { release.send(()).expect("held") });
    assert_eq!(asked.expect("reads").map(|(_, id)| id), Some(id));
}

pub(super) async fn children_are_found_by_their_parent(fixture: Fixture) {
    let store = fixture.open().await;
    let parent = quiet_run();
    let of_parent = |stage: &str| {
        let mut child = quiet_run();
        child.trigger.parent = Some(Parent {
            execution: parent.id,
            stage: StagePath::parse(stage).expect("a path"),
            application: parent.pipeline.application.clone(),
            pipeline: parent.pipeline.name.clone(),
            root: CauseKind::Git,
            files: Vec::new(),
            awaited_by: Vec::new(),
        });
        child
    };
    let children = [of_parent("first"), of_parent("second")];
    created(&store, parent.clone()).await;
    for child in &children {
        created(&store, child.clone()).await;
    }
    let found = store.children(parent.id).await.expect("reads");
    assert_eq!(found.iter().map(|child| child.id).collect::<Vec<_>>(), [children[0].id, children[1].id]);
    assert_eq!(found[1].cause.parent, children[1].trigger.parent);
    assert_eq!(store.children(children[0].id).await.expect("reads"), []);
}

/// What lists find, on a file.
mod sqlite {
    use super::Fixture;

    #[tokio::test]
    async fn any_combination_lists_what_fits() {
        Fixture::sqlite(super::any_combination_lists_what_fits).await;
    }

    #[tokio::test]
    async fn what_an_earlier_version_created_is_found_after_a_start() {
        Fixture::sqlite(super::what_an_earlier_version_created_is_found_after_a_start).await;
    }

    #[tokio::test]
    async fn a_series_that_was_taken_back_is_made_anew() {
        Fixture::sqlite(super::a_series_that_was_taken_back_is_made_anew).await;
    }
}

/// What lists find, on a server.
mod postgres {
    use super::Fixture;

    #[tokio::test]
    async fn any_combination_lists_what_fits() {
        Fixture::postgres(super::any_combination_lists_what_fits).await;
    }

    #[tokio::test]
    async fn what_an_earlier_version_created_is_found_after_a_start() {
        Fixture::postgres(super::what_an_earlier_version_created_is_found_after_a_start).await;
    }

    #[tokio::test]
    async fn a_series_that_was_taken_back_is_made_anew() {
        Fixture::postgres(super::a_series_that_was_taken_back_is_made_anew).await;
    }
}
