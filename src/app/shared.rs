//! The stores in which logs and saved files can be for all replicas: the database, or a bucket.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::bucket::Bucket;
use crate::config::LogStore;
use crate::engine::LogSource;
use crate::model::ExecutionId;
use crate::stage::{self, Leaving, Logs, SharedLogs, SharedStore, Shelf, Shipper, Sizes};
use crate::store::{PieceKind, PieceName, Store};

/// What one stage may save in the database. All of it goes through the one writer, and into every backup.
const MOST_SAVED: u64 = 64 * 1024 * 1024;

/// The database.
pub(super) struct InDatabase(pub(super) Store);

fn kind(of: Leaving) -> PieceKind {
    match of {
        Leaving::Log => PieceKind::Log,
        Leaving::Files => PieceKind::File,
    }
}

fn at(shelf: &Shelf, name: &str) -> PieceName {
    PieceName { kind: kind(shelf.of), execution: shelf.execution, shelf: shelf.name.clone(), name: name.to_owned() }
}

#[async_trait]
impl SharedStore for InDatabase {
    fn sizes(&self) -> Sizes {
        // A piece of a log is written anew whenever the log has grown; a small one costs little each time.
        Sizes { log_piece: 16 * 1024, file_piece: 512 * 1024, saved: MOST_SAVED }
    }

    async fn put(&self, shelf: &Shelf, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        self.0.put_piece(at(shelf, name), bytes).await.map_err(io::Error::other)
    }

    async fn get(&self, shelf: &Shelf, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.piece(&at(shelf, name)).await.map_err(io::Error::other)
    }

    async fn list(&self, shelf: &Shelf) -> io::Result<Vec<(String, u64)>> {
        self.0.pieces(kind(shelf.of), shelf.execution, &shelf.name).await.map_err(io::Error::other)
    }

    async fn remove(&self, of: Leaving, execution: ExecutionId) -> io::Result<()> {
        self.0.remove_pieces(kind(of), execution).await.map_err(io::Error::other)
    }

    async fn executions(&self, of: Leaving, after: Option<ExecutionId>) -> io::Result<Vec<ExecutionId>> {
        self.0.piece_executions(kind(of), after).await.map_err(io::Error::other)
    }
}

/// What one stage may save in a bucket, besides `limits.savedBytes`.
const MOST_IN_BUCKET: u64 = u64::MAX;
/// The most pieces on a shelf.
const MOST_PIECES: usize = 1_000_000;
/// How many objects are removed at once.
const REMOVED_AT_ONCE: usize = 8;

/// A bucket. Names in it: `logs/<execution>/<attempt>/<number>`, `files/<execution>/<stage>/<attempt>-<number>`.
pub(super) struct InBucket(pub(super) Bucket);

fn folder(shelf: &Shelf) -> String {
    format!("{}/{}/{}/", shelf.of.as_str(), shelf.execution, shelf.name)
}

#[async_trait]
impl SharedStore for InBucket {
    fn sizes(&self) -> Sizes {
        // Requests cost more than bytes.
        Sizes { log_piece: 256 * 1024, file_piece: 8 * 1024 * 1024, saved: MOST_IN_BUCKET }
    }

    async fn put(&self, shelf: &Shelf, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        self.0.put(&format!("{}{name}", folder(shelf)), bytes).await.map_err(io::Error::other)
    }

    async fn get(&self, shelf: &Shelf, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.get(&format!("{}{name}", folder(shelf))).await.map_err(io::Error::other)
    }

    async fn list(&self, shelf: &Shelf) -> io::Result<Vec<(String, u64)>> {
        let listed = self.0.list(&folder(shelf), MOST_PIECES).await.map_err(io::Error::other)?;
        Ok(listed.into_iter().map(|object| (object.name, object.size)).collect())
    }

    async fn remove(&self, of: Leaving, execution: ExecutionId) -> io::Result<()> {
        let folder = format!("{}/{execution}/", of.as_str());
        let listed = self.0.list(&folder, MOST_PIECES).await.map_err(io::Error::other)?;
        let names: Vec<String> = listed.into_iter().map(|object| format!("{folder}{}", object.name)).collect();
        for some in names.chunks(REMOVED_AT_ONCE) {
            let removing = some.iter().map(|name| self.0.delete(name));
            futures::future::try_join_all(removing).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    async fn executions(&self, of: Leaving, after: Option<ExecutionId>) -> io::Result<Vec<ExecutionId>> {
        let mut after = after.map(|id| id.to_string());
        loop {
            let names =
                self.0.folders(&format!("{}/", of.as_str()), after.as_deref()).await.map_err(io::Error::other)?;
            let Some(last) = names.last().cloned() else { return Ok(Vec::new()) };
            let ids: Vec<ExecutionId> = names.iter().filter_map(|name| name.parse().ok()).collect();
            // What somebody else put there is passed over.
            if !ids.is_empty() {
                return Ok(ids);
            }
            after = Some(last);
        }
    }
}

/// The store that the configuration asks for; nothing if logs and saved files stay on this machine.
pub(super) fn store(logs: LogStore, database: &Store) -> anyhow::Result<Option<Arc<dyn SharedStore>>> {
    Ok(match logs {
        LogStore::Files => None,
        LogStore::Database => Some(Arc::new(InDatabase(database.clone()))),
        LogStore::S3(place) => Some(Arc::new(InBucket(Bucket::new(&place)?))),
    })
}

/// What stages leave behind, and how it is reached.
#[derive(Clone)]
pub(super) struct Left {
    pub(super) state_dir: PathBuf,
    pub(super) shipper: Option<Shipper>,
}

impl Left {
    /// The store that replicas share.
    pub(super) fn store(&self) -> Option<&dyn SharedStore> {
        self.shipper.as_ref().map(Shipper::store)
    }

    /// Where logs are read.
    pub(super) fn logs(&self) -> Arc<dyn LogSource> {
        let own = Logs::new(&self.state_dir);
        match &self.shipper {
            Some(shipper) => Arc::new(SharedLogs::new(own, shipper.shared())),
            None => Arc::new(own),
        }
    }

    /// Removes the logs of an execution.
    pub(super) async fn remove_logs(&self, execution: ExecutionId) -> io::Result<()> {
        stage::remove_logs(&self.state_dir, self.store(), execution).await
    }
}

/// Sends the logs on that a former process left, but for those of executions without details.
pub(super) async fn send_leftovers(store: Store, left: Left, stop: CancellationToken) {
    let Some(shipper) = &left.shipper else { return };
    let wanted = |id| {
        let store = store.clone();
        // Better a log too many than one too few.
        async move { store.execution(id).await.map_or(true, |found| found.is_some_and(|stored| stored.summary.is_none())) }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        sent = shipper.send_leftovers(wanted) => {
            if let Err(error) = sent {
                tracing::warn!(%error, "some logs that a former process left could not be sent on");
            }
        }
    }
}
