//! `longboat serve`: follows the repositories of a configuration file until it is told to stop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Answer, excerpt};
use crate::app::{App, AppOptions};
use crate::config::{Config, ModuleSource};
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
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(_) if args.check => return Ok(Answer::No),
        Err(mistakes) => anyhow::bail!("{} has {mistakes} mistakes, nothing was started", args.config.display()),
    };
    if args.check {
        let count = config.repositories.len();
        let plural = if count == 1 { "repository" } else { "repositories" };
        super::print(&format!("{} is good: {count} {plural}\n", args.config.display()))?;
        for note in notes(&config) {
            eprintln!("note: {note}");
        }
        return Ok(Answer::Yes);
    }
    let mut stop = Stop::listen()?;
    telemetry::start(&config.logging).map_err(|error| anyhow::anyhow!("can't set up the log: {error}"))?;
    let stops = stopping(config.database.replicas, config.server.drain);
    let app = App::start(config, AppOptions::default()).await?;
    super::print(&format!("{}\n", app.url()))?;
    let lost = tokio::select! {
        () = stop.wait() => None,
        lost = app.lost() => Some(lost),
    };
    match &lost {
        None => tracing::info!("stopping: {stops}"),
        Some(_) => tracing::info!("stopping: another process has the database by now, and goes on with the executions"),
    }
    app.shutdown().await;
    // The library waits with the thread that it is called on.
    tokio::task::spawn_blocking(telemetry::stop).await?;
    // Who took the database over goes on with the executions.
    lost.map_or(Ok(Answer::Yes), |lost| Err(lost.into()))
}

/// What becomes of what runs when this server stops, in words.
fn stopping(replicas: bool, drain: Duration) -> String {
    if !replicas {
        return "running scripts go on and are adopted at the next start".to_owned();
    }
    let given = if drain.is_zero() { "no time".to_owned() } else { format!("{} s", drain.as_secs()) };
    format!(
        "nothing new begins here; what runs has {given} (`server.drain`) to come to its end, then scripts that still run are \
         ended, and other replicas go on with the executions"
    )
}

/// Reads a configuration; says what is wrong with it, and what is odd.
///
/// # Errors
/// The number of mistakes.
pub fn load(path: &Path) -> Result<Config, usize> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let said = Config::load(path);
    let findings = said.as_ref().map_or_else(|findings| findings, |config| &config.warnings);
    for finding in findings {
        eprintln!("{}\n", excerpt(finding, false, &read));
    }
    said.map_err(|findings| findings.len())
}

/// What is right, and does less than one might think.
fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    for modules in &config.modules {
        let ModuleSource::Own { location, .. } = &modules.source else { continue };
        let name = &modules.name;
        if config.repositories.iter().any(|repository| repository.location.is_same_as(location)) {
            continue;
        }
        notes.push(format!(
            "`modules.{name}` is fetched by its `url`: its pull requests are not looked at, so they don't say what they \
             would do to those who use the modules. For that, add the repository to `repositories`, with its forge"
        ));
    }
    notes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_stops_says_what_becomes_of_scripts() {
        assert!(stopping(false, Duration::from_secs(20)).contains("are adopted"));
        let told = stopping(true, Duration::from_secs(20));
        assert!(told.contains("has 20 s") && told.contains("are ended") && !told.contains("adopted"), "{told}");
        assert!(stopping(true, Duration::ZERO).contains("has no time"));
    }
}
