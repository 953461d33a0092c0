//! `longboat serve`: follows the repositories of a configuration file until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Answer, excerpt};
use crate::app::{App, AppOptions};
use crate::config::Config;
use crate::telemetry;

/// Serve the repositories of a configuration file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration
    #[arg(long, env = "LONGBOAT_CONFIG", default_value = "longboat.yaml")]
    config: PathBuf,
    /// Only check the configuration
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(findings) => {
            for finding in &findings {
                eprintln!("{}\n", excerpt(finding, false, &read));
            }
            if args.check {
                return Ok(Answer::No);
            }
            anyhow::bail!("{} has {} mistakes, nothing was started", args.config.display(), findings.len());
        }
    };
    for warning in &config.warnings {
        eprintln!("{}\n", excerpt(warning, false, &read));
    }
    if args.check {
        let count = config.repositories.len();
        let plural = if count == 1 { "repository" } else { "repositories" };
        super::print(&format!("{} is good: {count} {plural}\n", args.config.display()))?;
        return Ok(Answer::Yes);
    }
    let mut stop = Stop::listen()?;
    telemetry::start(&config.logging).map_err(|error| anyhow::anyhow!("can't set up the log: {error}"))?;
    let app = App::start(config, AppOptions::default()).await?;
    super::print(&format!("{}\n", app.url()))?;
    stop.wait().await;
    tracing::info!("stopping: running scripts go on and are adopted at the next start");
    app.shutdown().await;
    Ok(Answer::Yes)
}

/// Somebody's wish that the process ends: Ctrl-C, or a service manager's TERM.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens from now on; until then such a signal ends the process at once.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn listen() -> anyhow::Result<Self> {
        let open = |kind| signal(kind).context("can't listen for signals");
        Ok(Self { terminate: open(SignalKind::terminate())?, interrupt: open(SignalKind::interrupt())? })
    }

    /// Returns when the wish comes.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
