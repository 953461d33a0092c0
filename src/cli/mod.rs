//! The command line: data on standard output, talk on standard error.
//!
//! Exit codes: 0 good, 1 the answer is no (findings, a failed run), 2 it could not be done.

mod admin;
mod completions;
mod demo;
mod examples;
mod executions;
mod explain;
mod findings;
mod forge;
mod freeze;
mod given;
mod init;
mod library;
mod modules;
mod plan;
mod progress;
mod remote;
mod render;
mod replicas;
mod repositories;
mod run;
mod schema;
mod secrets;
mod serve;
mod validate;
mod watch;
mod work_tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use findings::{Format, Report, excerpt};

/// Continuous delivery driven by Git, in one binary.
#[derive(Debug, Parser)]
#[command(name = "longboat", version, about, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole journey on a sample repository: a commit becomes a pipeline, an execution, a status
    Demo(demo::Args),
    /// Serve the repositories of a configuration file
    Serve(serve::Args),
    /// Write a first pipeline file that runs
    Init(init::Args),
    /// Check the pipeline files of a work tree
    Validate(validate::Args),
    /// Say what a change does to the pipelines, and what its merge would start
    Plan(plan::Args),
    /// Print a pipeline file as its templates and modules make it
    Render(render::Args),
    /// Say where a value of a rendered file comes from
    Explain(explain::Args),
    /// List, show and check modules, and ask a server who uses them
    Modules(modules::Args),
    /// Run a pipeline here, with the files as they are, committed or not
    Run(run::Args),
    /// Print a JSON Schema, for editors that complete and check YAML
    Schema(schema::Args),
    /// See and steer the executions of a server
    Executions(executions::Args),
    /// Answer a stage of a server that waits for a person
    Judge(executions::JudgeArgs),
    /// Keep a server from beginning anything new, and let it go on
    Freeze(freeze::Args),
    /// See the repositories of a server, and approve what one of their commits removes
    Repositories(repositories::Args),
    /// See the servers that share a database, and who does what
    Replicas(replicas::Args),
    /// Move everything that a server keeps from one database to another, by a file
    Admin(admin::Args),
    /// Print completions for a shell, to be sourced or put where it looks for them
    Completions(completions::Args),
    /// Look at the forges of a configuration
    Forge(forge::Args),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Good.
    Yes,
    /// The answer is no: findings, a failed run.
    No,
}

/// Reads the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => block_on(demo::run(args)),
        Command::Serve(args) => block_on(serve::run(args)),
        Command::Init(args) => init::run(&args),
        Command::Validate(args) if args.watch => block_on(watch::run(args)),
        Command::Validate(args) => validate::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Modules(args) => modules::run(args),
        Command::Run(args) => block_on(run::run(args)),
        Command::Schema(args) => schema::run(&args),
        Command::Executions(args) => block_on(executions::run(args)),
        Command::Judge(args) => block_on(executions::judge(args)),
        Command::Freeze(args) => block_on(freeze::run(args)),
        Command::Repositories(args) => block_on(repositories::run(args)),
        Command::Replicas(args) => block_on(replicas::run(args)),
        Command::Admin(args) => block_on(admin::run(args)),
        Command::Completions(args) => completions::run(&args),
        Command::Forge(args) => block_on(forge::run(args)),
    };
    match result {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(error) => {
            eprintln!("longboat: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<Answer>>) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // A thread that waits for a person's answer would keep the process alive for ever.
    runtime.shutdown_background();
    result
}

/// Whether standard output takes colours: a terminal, and nobody said no.
fn color() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Writes data to standard output. A reader that closed its end early (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
