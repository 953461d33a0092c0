//! A duty that a test gives and takes, as the database of several replicas would.

use std::path::Path;

use longboat::clock::Clock;
use longboat::store::{Duty, Store, StoreOptions, Term, Terms};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::watch;

/// The duty, and who is told of it.
pub struct ByHand {
    duty: Duty,
    told: watch::Sender<Option<Term>>,
    database: String,
}

impl ByHand {
    /// A duty that nobody has yet.
    pub fn new(duty: Duty, database: &Path) -> Self {
        Self { duty, told: watch::Sender::new(None), database: url(database) }
    }

    /// For whoever does the work.
    pub fn terms(&self) -> Terms {
        self.told.subscribe()
    }

    /// A term begins.
    pub async fn begin(&self) {
        let epoch = self.pass_on().await;
        self.told.send_replace(Some(Term::shared(self.duty, epoch)));
    }

    /// It ends.
    pub fn end(&self) {
        self.told.send_replace(None);
    }

    /// Another process takes the duty, of which this one isn't told. Its number.
    pub async fn pass_on(&self) -> i64 {
        let mut connection = SqliteConnection::connect(&self.database).await.expect("opens");
        let epoch = sqlx::query_scalar(
            "INSERT INTO duty (duty, owner, epoch) VALUES ($1, 'test', 1) \
             ON CONFLICT (duty) DO UPDATE SET epoch = duty.epoch + 1 RETURNING epoch",
        )
        .bind(self.duty.as_str())
        .fetch_one(&mut connection)
        .await
        .expect("written");
        connection.close().await.expect("closes");
        epoch
    }
}

/// A store in a file, so that others can reach its tables.
pub async fn store_in(database: &Path, clock: &Clock) -> Store {
    let options = StoreOptions { durable: false, ..StoreOptions::new(url(database), "test") };
    Store::open(options, clock.clone()).await.expect("a store")
}

fn url(database: &Path) -> String {
    format!("sqlite:{}", database.display())
}
