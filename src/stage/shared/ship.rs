//! Sending logs on while they are written.
//!
//! Each log has one sender at most. It looks twice a second, sends what is new, and when the attempt is over and all of
//! it has arrived, says so in the store and removes the file. If the store can't be reached, the file stays, and is tried
//! again with growing pauses, for as long as this process lives; the next one begins with what it finds.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{END, LOST, Leaving, SharedStore, Shelf, is_text, numbered};
use crate::model::{ExecutionId, StagePath};
use crate::stage::files::{blocking, executions_in, log_name, logs_dir, remove, work_dir};
use crate::stage::script::is_over;

/// The pause between two looks at a log that grows: whoever reads it elsewhere sees it within a second.
const LOOK: Duration = Duration::from_millis(400);
/// The pause after the first failure; each further one is twice as long, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the end of a stage waits for the rest of its log to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends logs into a shared store. Cheap to clone; when the last one goes, sending stops.
#[derive(Clone)]
pub struct Shipper(Arc<Inner>);

struct Inner {
    state_dir: PathBuf,
    store: Arc<dyn SharedStore>,
    under_way: Arc<UnderWay>,
    stop: CancellationToken,
    _stops: DropGuard,
}

/// The logs that have a sender.
type UnderWay = Mutex<HashMap<PathBuf, watch::Receiver<()>>>;

impl Shipper {
    /// Sends the logs of a state folder.
    pub fn new(state_dir: PathBuf, store: Arc<dyn SharedStore>) -> Self {
        let stop = CancellationToken::new();
        let _stops = stop.clone().drop_guard();
        Self(Arc::new(Inner { state_dir, store, under_way: Arc::default(), stop, _stops }))
    }

    /// Where they go.
    pub fn store(&self) -> &dyn SharedStore {
        self.0.store.as_ref()
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Arc<dyn SharedStore> {
        Arc::clone(&self.0.store)
    }

    /// Sends nothing more; what is left is for the next process.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Sends an attempt's log from now on, to its end.
    pub(in crate::stage) fn begin(&self, execution: ExecutionId, path: &StagePath, attempt: u32) {
        let _ended = self.follow(execution, log_name(path, attempt));
    }

    /// Sends what is left of the log of an attempt that is over, and waits for that a while. It goes on afterwards.
    pub(in crate::stage) async fn finish(&self, execution: ExecutionId, path: &StagePath, attempt: u32) {
        let mut ended = self.follow(execution, log_name(path, attempt));
        // The sender's end of it is dropped at the end.
        let sent = tokio::time::timeout(PATIENCE, async { while ended.changed().await.is_ok() {} }).await;
        if sent.is_err() {
            tracing::warn!(%execution, stage = %path, attempt, "a log is still on its way to the shared store");
        }
    }

    /// Notes that no more will come of a log whose node is gone.
    pub(in crate::stage) async fn give_up(&self, execution: ExecutionId, path: &StagePath, attempt: u32) {
        let shelf = Shelf { of: Leaving::Log, execution, name: log_name(path, attempt) };
        if let Err(error) = self.0.store.put(&shelf, LOST, b"{}".to_vec()).await {
            tracing::warn!(%execution, stage = %path, attempt, %error, "the end of a log could not be noted");
        }
    }

    /// Sends the logs that a former process left, one after the other; those of executions that `wanted` doesn't want
    /// any more are removed.
    ///
    /// # Errors
    /// If the folder can't be listed.
    pub async fn send_leftovers<W: Future<Output = bool>>(&self, wanted: impl Fn(ExecutionId) -> W) -> io::Result<()> {
        let root = logs_dir(&self.0.state_dir);
        for (execution, dir) in blocking(move || executions_in(&root)).await? {
            if !wanted(execution).await {
                blocking(move || remove(&dir)).await?;
                continue;
            }
            for name in blocking(move || logs_in(&dir)).await? {
                let mut ended = self.follow(execution, name.clone());
                // A script that runs is sent beside the others.
                let attempt = work_dir(&self.0.state_dir, execution).join(&name);
                if blocking(move || is_over(&attempt)).await? {
                    while ended.changed().await.is_ok() {}
                }
            }
        }
        Ok(())
    }

    fn follow(&self, execution: ExecutionId, name: String) -> watch::Receiver<()> {
        let Inner { state_dir, store, under_way, stop, _stops: _ } = &*self.0;
        let file = logs_dir(state_dir).join(execution.to_string()).join(format!("{name}.log"));
        let mut all = under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ended) = all.get(&file).filter(|ended| ended.has_changed().is_ok()) {
            return ended.clone();
        }
        let (ending, ended) = watch::channel(());
        all.insert(file.clone(), ended.clone());
        let sending = Sending {
            attempt: work_dir(state_dir, execution).join(&name),
            shelf: Shelf { of: Leaving::Log, execution, name },
            store: Arc::clone(store),
            sent: Sent::default(),
            file,
        };
        let (under_way, stop) = (Arc::clone(under_way), stop.clone());
        tokio::spawn(async move {
            let file = sending.file.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = sending.run() => {}
            }
            let mut all = under_way.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever looks sees either that it is under way, or that it has ended.
            drop(ending);
            all.remove(&file);
        });
        ended
    }
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shipper").field("state_dir", &self.0.state_dir).finish_non_exhaustive()
    }
}

/// How much of a log has arrived: whole pieces, and bytes of the one after them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sent {
    whole: usize,
    bytes: usize,
}

/// A log with its sender.
struct Sending {
    /// The attempt's folder.
    attempt: PathBuf,
    file: PathBuf,
    shelf: Shelf,
    store: Arc<dyn SharedStore>,
    sent: Sent,
}

/// What a look at a log led to.
enum Look {
    /// Something was sent, and there may be more.
    More,
    /// All is sent that is there.
    Nothing,
    /// All is sent that will ever be there.
    Done,
}

impl Sending {
    async fn run(mut self) {
        let mut pause = PAUSE;
        let mut known = false;
        loop {
            let looked = async {
                if !known {
                    self.sent = self.arrived().await?;
                    known = true;
                }
                self.look().await
            };
            match looked.await {
                Ok(Look::Done) => return,
                Ok(Look::More) => pause = PAUSE,
                Ok(Look::Nothing) => {
                    pause = PAUSE;
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => {
                    tracing::warn!(log = %self.file.display(), %error, "a log can't be sent on now; it is kept and tried again");
                    tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// What a former process has sent.
    async fn arrived(&self) -> io::Result<Sent> {
        let listed = self.store.list(&self.shelf).await?;
        let whole = listed.iter().enumerate().take_while(|(number, (name, size))| {
            *name == numbered(*number) && *size == self.store.sizes().log_piece as u64
        });
        Ok(Sent { whole: whole.count(), bytes: 0 })
    }

    async fn look(&mut self) -> io::Result<Look> {
        let size = self.store.sizes().log_piece;
        let (file, attempt, from) = (self.file.clone(), self.attempt.clone(), (self.sent.whole * size) as u64);
        let (over, piece) = blocking(move || {
            // Asked before the file is read: what is over by then has printed everything.
            let over = is_over(&attempt)?;
            Ok((over, piece(&file, from, size)?))
        })
        .await?;
        let Some(piece) = piece else { return Ok(if over { Look::Done } else { Look::Nothing }) };
        if piece.len() > self.sent.bytes {
            let bytes = piece.len();
            self.store.put(&self.shelf, &numbered(self.sent.whole), piece).await?;
            self.sent =
                if bytes == size { Sent { whole: self.sent.whole + 1, bytes: 0 } } else { Sent { bytes, ..self.sent } };
            return Ok(if over || bytes == size { Look::More } else { Look::Nothing });
        }
        if !over {
            return Ok(Look::Nothing);
        }
        self.store.put(&self.shelf, END, b"{}".to_vec()).await?;
        let file = self.file.clone();
        blocking(move || remove_sent(&file)).await?;
        Ok(Look::Done)
    }
}

/// At most `max` bytes of a file; nothing if there is no such file.
fn piece(file: &Path, from: u64, max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut file = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(max as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Removes a log, and its folder if it was the last in there.
fn remove_sent(file: &Path) -> io::Result<()> {
    fs::remove_file(file)?;
    if let Some(dir) = file.parent() {
        // Another log may be in it.
        let _kept = fs::remove_dir(dir).is_err();
    }
    Ok(())
}

/// The names of the logs in an execution's folder.
fn logs_in(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".log")).map(str::to_owned));
    }
    Ok(names)
}

/// How many bytes of text a shelf of a log holds, by its list; and the pieces of text with where each begins.
pub(super) fn text_of(listed: &[(String, u64)]) -> (u64, Vec<(&str, u64, u64)>) {
    let mut length = 0;
    let mut pieces = Vec::new();
    for (name, size) in listed.iter().filter(|(name, _)| is_text(name)) {
        pieces.push((name.as_str(), length, *size));
        length += size;
    }
    (length, pieces)
}
