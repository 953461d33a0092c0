//! One execution on this machine, without a server: what `longboat run` needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;

use super::core::{Core, CoreOptions};
use crate::clock::Clock;
use crate::config::LogStore;
use crate::engine::Handle;
use crate::git::{GitOptions, Remote};
use crate::model::{ExecutionId, NewExecution, Pipeline, RepositoryName, StagePath};
use crate::outbound::AddressPolicy;
use crate::secret::Secrets;
use crate::stage::{Logs, SavedLimits};
use crate::store::{Created, StoreOptions};
use crate::trigger::{Reports, RepositorySet, RepositorySpec};

/// How many stages may do something at the same time.
const RUNNING_STAGES: usize = 16;

/// How much of the end of a log is read for [`Local::log_tail`], in bytes.
const TAIL: u64 = 64 * 1024;

/// A store and an engine in a folder that nobody comes back to.
pub struct Local {
    core: Core,
    logs: Logs,
}

impl Local {
    /// Starts in `state_dir`; checkouts of `repository` come from the bare repository `bare`, and sub-pipelines are
    /// among `pipelines`.
    ///
    /// # Errors
    /// If the folder can't be written.
    pub async fn start(
        state_dir: &Path,
        repository: &RepositoryName,
        bare: &Path,
        pipelines: Vec<Pipeline>,
        secrets: Secrets,
    ) -> anyhow::Result<Self> {
        let spec = RepositorySpec {
            name: repository.clone(),
            forge: None,
            forge_url: None,
            remote: Remote::open_to_all(bare.to_string_lossy()),
            branches: Vec::new(),
            applications: None,
            poll: Duration::from_secs(3600),
        };
        let repositories = RepositorySet::new(vec![spec], &state_dir.join("mirrors"), &GitOptions::default());
        let url = format!("sqlite:{}", state_dir.join("longboat.db").display());
        // The folder goes away with the command, so nothing waits for the disk.
        let store = StoreOptions { durable: false, ..StoreOptions::new(url, "run") };
        let options = CoreOptions {
            secrets,
            running_stages: RUNNING_STAGES,
            drain: Duration::ZERO,
            saved: SavedLimits::default(),
            // Whoever runs it here reaches all that this machine does anyhow.
            network: AddressPolicy::Any,
            public_url: None,
            reports: Reports::default(),
            logs: LogStore::Files,
            definitions: Some(Arc::new(pipelines)),
        };
        let core = Core::start(store, state_dir, &repositories, options, Clock::system()).await?;
        Ok(Self { logs: Logs::new(state_dir), core })
    }

    /// Starts an execution.
    ///
    /// # Errors
    /// If it can't be stored.
    pub async fn create(&self, new: NewExecution) -> anyhow::Result<ExecutionId> {
        let id = new.id;
        let Created::New(key) = self.core.store.create(new).await? else { bail!("the execution exists already") };
        self.core.engine().submit(key).await;
        Ok(id)
    }

    /// The engine.
    pub fn engine(&self) -> Handle {
        self.core.engine()
    }

    /// The last lines of a stage's log; none if it has printed nothing.
    pub fn log_tail(&self, id: ExecutionId, path: &StagePath, attempt: u32, lines: usize) -> Vec<String> {
        let size = self.logs.size(id, path, attempt).ok().flatten().unwrap_or(0);
        let max = usize::try_from(TAIL).unwrap_or(usize::MAX);
        let Ok(chunk) = self.logs.read_now(id, path, attempt, size.saturating_sub(TAIL), max) else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&chunk.bytes).into_owned();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
    }

    /// Stops the engine and closes the store.
    pub async fn shutdown(self) {
        self.core.shutdown().await;
    }
}
