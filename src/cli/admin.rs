//! `longboat admin`: moves everything that a server keeps from one database to another, by a file.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Answer, excerpt, print};
use crate::config::{Config, LogStore};
use crate::store::{self, Moved, StoreOptions};

/// Move everything that a server keeps; the server must be stopped
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write everything in the database to a file
    Export {
        #[command(flatten)]
        which: Which,
        /// The file; it must not exist
        #[arg(long, value_name = "PATH")]
        to: PathBuf,
    },
    /// Read a file into a database that is empty
    Import {
        #[command(flatten)]
        which: Which,
        /// The file that an export wrote
        #[arg(long, value_name = "PATH")]
        from: PathBuf,
    },
}

/// Which database
#[derive(Debug, clap::Args)]
struct Which {
    /// The configuration that names the database
    #[arg(long, env = "LONGBOAT_CONFIG", default_value = "longboat.yaml")]
    config: PathBuf,
}

impl Which {
    fn config(&self) -> anyhow::Result<Config> {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        Config::load(&self.config).map_err(|findings| {
            for finding in &findings {
                eprintln!("{}\n", excerpt(finding, false, &read));
            }
            anyhow::anyhow!("{} has {} mistakes, nothing was done", self.config.display(), findings.len())
        })
    }
}

fn options(config: &Config) -> StoreOptions {
    StoreOptions {
        url: config.database.url.clone(),
        password: config.database.password.clone(),
        durable: config.database.durable,
        owner: format!("longboat admin, process {}", std::process::id()),
        // What moves a database has it for itself.
        replicas: None,
    }
}

/// What becomes of the logs of stages and what they saved, which needn't be in the database.
fn about_logs(config: &Config) -> String {
    let state = config.server.state_dir.display();
    match &config.logs {
        LogStore::Files => format!("logs and saved files are not in it: they are in {state}/logs and {state}/files"),
        LogStore::Database => "logs and saved files are in it".to_owned(),
        LogStore::S3(bucket) => format!("logs and saved files are not in it: they stay in the bucket {}", bucket.name),
    }
}

/// Runs the command.
///
/// # Errors
/// If the database is in use or can't be reached, or the file can't be written, or isn't whole.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    match args.command {
        Command::Export { which, to } => {
            let config = which.config()?;
            let moved = store::export(&options(&config), &to, &mut progress).await?;
            eprintln!("{}", about_logs(&config));
            say(&moved, &format!("are in {}", to.display()))
        }
        Command::Import { which, from } => {
            let moved = store::import(&options(&which.config()?), &from, &mut progress).await?;
            say(&moved, "are in the database")
        }
    }
}

fn progress(table: &str, rows: u64) {
    eprintln!("{table}: {rows} rows");
}

fn say(moved: &Moved, where_now: &str) -> anyhow::Result<Answer> {
    print(&format!("{} rows of {} tables {where_now}; sha256 {}\n", moved.rows, moved.tables, moved.sha256))?;
    Ok(Answer::Yes)
}
