//! From one database to the other and back.

use std::collections::BTreeSet;
use std::path::Path;

use sqlx::AssertSqlSafe;

use super::tables::tables;
use super::{Moved, export, import};
use crate::clock::{Clock, Timestamp};
use crate::model::{ExecutionKey, Freeze, Status};
use crate::store::contract::sample::{
    accept_new, append, created, finish, publication, quiet_run, run, settlement, webhook,
};
use crate::store::contract::server::with_database;
use crate::store::open::Held;
use crate::store::{Settlement, Store, StoreError, StoreOptions};

fn options(url: &str) -> StoreOptions {
    StoreOptions { durable: false, ..StoreOptions::new(url, "mover") }
}

fn file(folder: &Path, name: &str) -> StoreOptions {
    options(&format!("sqlite:{}", folder.join(name).display()))
}

async fn open(options: &StoreOptions) -> Store {
    Store::open(options.clone(), Clock::manual(Timestamp::from_millis(1_700_000_000_000))).await.expect("opens")
}

async fn quietly_out(from: &StoreOptions, to: &Path) -> Result<Moved, StoreError> {
    export(from, to, &mut |_, _| {}).await
}

async fn quietly_in(to: &StoreOptions, from: &Path) -> Result<Moved, StoreError> {
    import(to, from, &mut |_, _| {}).await
}

/// A freeze that is carried along.
fn frozen() -> Freeze {
    let since = Timestamp::from_millis(1_700_000_000_000);
    let until = Some(Timestamp::from_millis(4_000_000_000_000));
    Freeze { application: None, reason: "release week".to_owned(), by: "ann".to_owned(), since, until }
}

/// A history with something in most tables; answers with the execution that has not ended.
async fn live(options: &StoreOptions) -> ExecutionKey {
    let store = open(options).await;
    let inbox = accept_new(&store, webhook(0, 1)).await;
    let publish = vec![publication("shop", "acme/shop", &["deploy", "build"], 1)];
    let settlement = Settlement { publish, executions: vec![run()], ..settlement(Some(inbox), 1) };
    let ended = store.settle(settlement).await.expect("settles").executions[0];
    finish(&store, ended, 1).await;
    accept_new(&store, webhook(1, 2)).await;
    store.freeze(frozen()).await.expect("freezes");
    let key = created(&store, quiet_run()).await;
    let mut row = append(key, 1, Status::Running);
    row.body = "{\"text\":\"a \\\"quoted\\\" line\\nand \u{1F6A3}\"}".to_owned();
    store.append(vec![row]).await.expect("appends");
    // More rows than a statement takes.
    for seq in 2..400 {
        store.append(vec![append(key, seq, Status::Running)]).await.expect("appends");
    }
    store.close().await;
    key
}

/// It goes on where it was, and new keys lie above the old ones.
async fn goes_on(options: &StoreOptions, key: ExecutionKey, seq: i64) {
    let store = open(options).await;
    assert_eq!(store.live().await.expect("reads").iter().map(|live| live.key).collect::<Vec<_>>(), [key]);
    assert_eq!(store.journal(key).await.expect("reads").len() as i64, seq - 1);
    store.append(vec![append(key, seq, Status::Running)]).await.expect("appends");
    assert_eq!(store.due_inbox(10).await.expect("reads").len(), 1);
    assert_eq!(store.freezes().await.expect("reads"), [frozen()]);
    store.close().await;
}

/// The lines about rows, without those whose sense is the process that has the database open.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("reads");
    let rows = text.lines().filter(|line| !line.starts_with("{\"tables\"") && !line.contains("\"mover\","));
    rows.map(str::to_owned).collect()
}

#[tokio::test]
async fn everything_goes_to_the_other_database_and_back() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    with_database(|url| async move {
        let folder = tempfile::tempdir().expect("temporary folder");
        let at = |name: &str| folder.path().join(name);
        let (first, server, second) = (file(folder.path(), "a.db"), options(&url), file(folder.path(), "b.db"));
        let key = live(&first).await;
        let out = quietly_out(&first, &at("one")).await.expect("exports");
        assert!(out.rows > 400 && out.tables > 10, "{out:?}");
        assert_eq!(quietly_in(&server, &at("one")).await.expect("imports"), out);
        assert_eq!(quietly_out(&server, &at("two")).await.expect("exports"), out, "the same bytes");
        goes_on(&server, key, 400).await;
        quietly_out(&server, &at("three")).await.expect("exports");
        quietly_in(&second, &at("three")).await.expect("imports");
        quietly_out(&second, &at("four")).await.expect("exports");
        assert_eq!(lines(&at("three")), lines(&at("four")));
        goes_on(&second, key, 401).await;
    })
    .await;
    // And from SQLite to SQLite, whether there is a server or not.
    let (first, second) = (file(folder.path(), "a.db"), file(folder.path(), "b.db"));
    let key = live(&first).await;
    let out = quietly_out(&first, &at("one")).await.expect("exports");
    assert_eq!(quietly_in(&second, &at("one")).await.expect("imports"), out);
    goes_on(&second, key, 400).await;
}

/// Both databases name the same tables and columns as the migrations do, so that none is left behind.
#[tokio::test]
async fn each_table_of_the_migrations_is_carried() {
    let mut written = BTreeSet::new();
    for migration in std::fs::read_dir("src/store/migrations").expect("a folder") {
        let text = std::fs::read_to_string(migration.expect("a file").path()).expect("reads");
        let made = text.lines().filter_map(|line| line.trim_start().strip_prefix("CREATE TABLE "));
        written.extend(made.filter_map(|rest| rest.split_whitespace().next().map(str::to_owned)));
        let dropped = text.lines().filter_map(|line| line.trim_start().strip_prefix("DROP TABLE "));
        dropped.for_each(|name| {
            written.remove(name.trim_end_matches(';'));
        });
    }
    let mut memory = Held::in_memory(Held::last_step()).await.expect("opens");
    let here = tables(&mut memory).await.expect("reads");
    assert_eq!(here.iter().map(|table| table.name.clone()).collect::<BTreeSet<_>>(), written);
    assert!(here.iter().all(|table| !table.key.is_empty()), "rows need a primary key: {here:?}");
    with_database(|url| async move {
        let mut held = Held::open(&options(&url)).await.expect("opens");
        held.bring_up_to_date().await.expect("makes the tables");
        assert_eq!(tables(&mut held.connection).await.expect("reads"), here);
    })
    .await;
}

#[tokio::test]
async fn only_an_empty_database_that_nobody_has_open_is_filled() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (first, second) = (file(folder.path(), "a.db"), file(folder.path(), "b.db"));
    let path = folder.path().join("export");
    live(&first).await;
    quietly_out(&first, &path).await.expect("exports");

    let error = quietly_in(&first, &path).await.expect_err("it holds something");
    assert!(matches!(error, StoreError::NotEmpty { .. }) && error.to_string().contains("import into a new one"));
    let store = open(&second).await;
    assert!(matches!(quietly_in(&second, &path).await, Err(StoreError::Taken { .. })));
    assert!(matches!(quietly_out(&second, &folder.path().join("other")).await, Err(StoreError::Taken { .. })));
    store.close().await;
    assert!(!folder.path().join("other").exists() && !folder.path().join("other.part").exists());
    let error = quietly_out(&first, &path).await.expect_err("there is a file already");
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_file_changes_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (first, second) = (file(folder.path(), "a.db"), file(folder.path(), "b.db"));
    let path = folder.path().join("export");
    live(&first).await;
    quietly_out(&first, &path).await.expect("exports");
    let text = std::fs::read_to_string(&path).expect("reads");
    let without_a_row = {
        let place = text.find("[\"execution\",").expect("a row");
        let end = place + text[place..].find('\n').expect("an end") + 1;
        format!("{}{}", &text[..place], &text[end..])
    };
    let damaged = [
        (text.replacen("acme/shop", "evil/shop", 1), "digest"),
        (without_a_row, "does not end as it should"),
        (text[..text.len() / 2].to_owned(), "cut off"),
        (text.replacen("{\"table\":\"journal\"", "{\"table\":\"diary\"", 1), "`diary`"),
        (format!("{text}{text}"), "another number"),
        (text.replacen("\"format\":1", "\"format\":2", 1), "form 2"),
        ("{\"not\": \"ours\"}\n".to_owned(), "no export"),
    ];
    for (text, reason) in damaged {
        std::fs::write(&path, text).expect("writes");
        let error = quietly_in(&second, &path).await.expect_err(reason);
        assert!(matches!(error, StoreError::BadExport { .. }) && error.to_string().contains(reason), "{error}");
    }
    let later = text.replacen(&format!("\"step\":{}", Held::last_step()), "\"step\":9999", 1);
    std::fs::write(&path, later).expect("writes");
    assert!(matches!(quietly_in(&second, &path).await, Err(StoreError::Newer { step: 9999, .. })));
    // Nothing of all that is left.
    std::fs::write(&path, &text).expect("writes");
    quietly_in(&second, &path).await.expect("imports");
}

#[tokio::test]
async fn an_export_of_an_earlier_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (old, new) = (file(folder.path(), "a.db"), file(folder.path(), "b.db"));
    let mut held = Held::open(&old).await.expect("opens");
    assert_eq!(held.bring_to(1).await.expect("makes the first tables"), 1);
    let tables = tables(&mut held.connection).await.expect("reads");
    held.close().await.expect("closes");
    // As that version would have written it.
    let mut text = String::from("{\"longboat\":\"export\",\"format\":1,\"step\":1}\n");
    let mut rows = 0;
    for table in &tables {
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        text.push_str(&serde_json::json!({"table": table.name, "columns": columns}).to_string());
        text.push('\n');
        let count = if table.name == "outbox" {
            text.push_str("[1,\"k\",null,\"pending\",0,null,1,1,null,\"{}\"]\n");
            1
        } else {
            0
        };
        text.push_str(&serde_json::json!({"end": table.name, "rows": count}).to_string());
        text.push('\n');
        rows += count;
    }
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&text));
    let end = serde_json::json!({"tables": tables.len(), "rows": rows, "sha256": digest});
    let path = folder.path().join("export");
    std::fs::write(&path, format!("{text}{end}\n")).expect("writes");
    quietly_in(&new, &path).await.expect("imports");
    let mut held = Held::open(&new).await.expect("opens");
    assert_eq!(held.bring_up_to_date().await.expect("is up to date"), Held::last_step());
    let query = AssertSqlSafe("SELECT document FROM outbox".to_owned());
    let document: String = sqlx::query_scalar(query).fetch_one(&mut held.connection).await.expect("reads");
    assert_eq!(document, "{\"status\":{}}", "the later steps see what was imported");
}
