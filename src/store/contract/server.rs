//! Databases of their own on a real PostgreSQL server, for the tests of this crate.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use sqlx_core::Url;

/// The address of a superuser on the server that the tests may use (`tests/postgres` starts one).
pub(crate) const SERVER: &str = "LONGBOAT_TEST_POSTGRES";

/// Runs a test with the URL of a new, empty database, and drops the database afterwards however the test ended.
/// Without a server the test says so and passes, unless `LONGBOAT_REQUIRE_PEERS=1` wants every peer.
pub(crate) async fn with_database<F: Future<Output = ()>>(test: impl FnOnce(String) -> F) {
    let Ok(server) = std::env::var(SERVER) else {
        assert!(std::env::var("LONGBOAT_REQUIRE_PEERS").as_deref() != Ok("1"), "{SERVER} is not set");
        eprintln!("left out: {SERVER} is not set; `tests/postgres run COMMAND` sets it");
        return;
    };
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("longboat_test_{}_{number}_{:08x}", std::process::id(), fastrand::u32(..));
    // In a language whose order of letters is not that of bytes, as servers often have it.
    let language = "LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C.UTF-8'";
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {language}");
    administer(&server, create).await;
    let mut url: Url = server.parse().expect("a URL");
    url.set_path(&name);
    let outcome = AssertUnwindSafe(Box::pin(test(url.into()))).catch_unwind().await;
    administer(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a statement as the superuser, on the database that the server's address names.
pub(crate) async fn administer(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.expect("the server answers");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("the server does it");
    connection.close().await.expect("closes");
}
