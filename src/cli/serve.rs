//! `longboat serve`: follows the repositories of a configuration file until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;

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
    telemetry::start(&config.logging).map_err(|error| anyhow::anyhow!("can't set up the log: {error}"))?;
    let app = App::start(config, AppOptions::default()).await?;
    super::print(&format!("{}\n", app.url()))?;
    stopped().await.context("can't listen for signals")?;
    tracing::info!("stopping: running scripts go on and are adopted at the next start");
    app.shutdown().await;
    Ok(Answer::Yes)
}

/// Returns when somebody wants the process to end: Ctrl-C, or a service manager's TERM.
pub async fn stopped() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
