//! `longboat demo`: the whole journey on a sample repository, on this machine, with nothing set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::broadcast::error::RecvError;

use super::progress::{Paint, Progress};
use super::serve::Stop;
use super::{Answer, examples};
use crate::app::{App, AppOptions};
use crate::clock::Clock;
use crate::config::{Config, Location, Repository};
use crate::model::{ExecutionId, ExecutionView, RepositoryName, Status, StatusState, humanize};
use crate::trigger::Notice;
use crate::{git, telemetry};

/// The file that says that a folder is the demo's own.
const MARKER: &str = ".longboat-demo";

/// The folder of the repository inside the demo's folder.
const REPOSITORY: &str = "shop";

/// Show the whole journey on a sample repository: a commit becomes a pipeline, an execution, a status
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End after the first pipeline has ended: with 0 if it succeeded, else with 1
    #[arg(long)]
    exit: bool,
    /// The folder for the demo: it must not exist yet, be empty, or be an earlier demo's
    #[arg(long, default_value = "longboat-demo")]
    dir: PathBuf,
    /// The port of the page; 0 takes a free one
    #[arg(long, default_value_t = 8084)]
    port: u16,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let mut stop = Stop::listen()?;
    let again = prepare(&args.dir)?;
    let dir = args.dir.canonicalize().with_context(|| format!("can't find {}", args.dir.display()))?;
    let repository = dir.join(REPOSITORY);
    if !again {
        examples::write_to(&repository)?;
        git::first_commit(&repository, "The boat shop opens").await?;
    }
    let mut config = Config::local(&dir.join("state"), SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), args.port));
    config.repositories.push(followed(&repository)?);
    config.logging.filter = "error".to_owned();
    telemetry::start(&config.logging).map_err(|error| anyhow::anyhow!("can't set up the log: {error}"))?;
    let app = App::start(config, AppOptions { run_first: true, ..AppOptions::default() }).await?;

    let mut demo = Demo { dir: args.dir.display().to_string(), progress: Progress::new(), current: None, first: None };
    demo.greet(&args, &app, started, again);
    let answer = if args.exit {
        if again {
            app.repeat_newest().await.context("no earlier run to repeat")?;
        }
        demo.follow(&app, true).await
    } else {
        tokio::select! {
            answer = demo.follow(&app, false) => answer,
            () = stop.wait() => {
                demo.progress.say("\nThe demo has stopped. `longboat demo` goes on with it; delete its folder to start afresh.");
                Ok(Answer::Yes)
            }
        }
    };
    app.shutdown().await;
    answer
}

/// Makes the demo's folder, or sees that it is an earlier demo's; nothing of anybody else is touched.
fn prepare(dir: &Path) -> anyhow::Result<bool> {
    let shown = dir.display();
    if dir.join(MARKER).is_file() && dir.join(REPOSITORY).join(".git").is_dir() {
        return Ok(true);
    }
    match std::fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("{shown} has something else in it, which the demo won't touch; choose another folder with --dir");
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("can't use {shown} as the demo's folder")),
    }
    std::fs::create_dir_all(dir.join(REPOSITORY)).with_context(|| format!("can't make the folder {shown}"))?;
    std::fs::write(dir.join(MARKER), "The folder of a Longboat demo; delete it when you are done.\n")?;
    Ok(false)
}

fn followed(path: &Path) -> anyhow::Result<Repository> {
    Ok(Repository {
        name: RepositoryName::parse("local/shop")?,
        forge: None,
        location: Location::Local(path.to_owned()),
        credentials: None,
        branches: vec!["main".to_owned()],
        applications: None,
        poll: Duration::from_secs(2),
    })
}

/// What the demo has shown so far.
struct Demo {
    /// Its folder, as the person named it.
    dir: String,
    progress: Progress,
    /// The execution whose lines are being drawn.
    current: Option<ExecutionId>,
    /// How the first execution ended.
    first: Option<Status>,
}

impl Demo {
    fn greet(&self, args: &Args, app: &App, started: Instant, again: bool) {
        let ready = humanize(started.elapsed());
        let dir = args.dir.display();
        let title = self.progress.paint(Paint::Strong, "Longboat");
        let goes_on = if again { ", going on with an earlier one" } else { "" };
        self.progress.say(&format!("{title} demo in {dir}{goes_on}, ready after {ready}"));
        self.progress.say(&format!("  repository  {dir}/{REPOSITORY}"));
        self.progress.say(&format!("  page        {}\n", app.url()));
    }

    /// Shows commits and executions as they come. Returns when the first execution has ended if `only_first`.
    async fn follow(&mut self, app: &App, only_first: bool) -> anyhow::Result<Answer> {
        let clock = Clock::system();
        let mut notices = app.notices();
        let mut changes = app.engine().subscribe();
        loop {
            // A notice is shown before the executions that it starts.
            tokio::select! {
                biased;
                notice = notices.recv() => match notice {
                    Ok(notice) => {
                        let failed = self.show_notice(&notice);
                        if only_first && failed {
                            return Ok(Answer::No);
                        }
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(Answer::No),
                },
                change = changes.recv() => match change {
                    Ok(change) => {
                        if let Some(view) = app.engine().view(change.id).await? {
                            self.show_execution(app, &view, &clock);
                        }
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(Answer::No),
                },
            }
            if let (true, Some(status)) = (only_first, self.first) {
                return Ok(if status == Status::Succeeded { Answer::Yes } else { Answer::No });
            }
        }
    }

    /// Says which commit was seen and what it holds; whether it has mistakes.
    fn show_notice(&mut self, notice: &Notice) -> bool {
        let say = |what: &str, text: &str| self.progress.say(&format!("  {what:<11} {text}"));
        let commit = self.progress.paint(Paint::Strong, notice.commit.short());
        say("commit", &format!("{commit} {:?} on {}", notice.message, notice.branch));
        if !notice.modules.is_empty() {
            say("modules", &notice.modules.join(", "));
        }
        let failed = notice.validate.state == StatusState::Failure;
        let paint = if failed { Paint::Bad } else { Paint::Good };
        say("validate", &self.progress.paint(paint, &notice.validate.description));
        for finding in &notice.findings {
            self.progress.say(&format!("    {finding}"));
        }
        failed
    }

    fn show_execution(&mut self, app: &App, view: &ExecutionView, clock: &Clock) {
        if self.current != Some(view.id) {
            if view.status.is_complete() && self.current.is_some() {
                return;
            }
            self.progress.finish();
            self.current = Some(view.id);
            let name = format!("{}/{}", view.application, view.pipeline);
            self.progress.say(&format!("\n  {}", self.progress.paint(Paint::Strong, &name)));
        }
        self.progress.show(view, clock.now());
        if !view.status.is_complete() {
            return;
        }
        self.progress.finish();
        let good = view.status == Status::Succeeded;
        let sign = self.progress.paint(if good { Paint::Good } else { Paint::Bad }, if good { "✓" } else { "✗" });
        let context = format!("longboat/{}/{}", view.application, view.pipeline);
        let commit = view.commit.as_ref().map_or("", |commit| commit.short());
        self.progress.say(&format!("\n  status on {commit}  {sign} {context}: {}", view.description));
        self.progress.say(&format!("  page  {}/executions/{}", app.url(), view.id));
        if self.first.is_none() {
            self.first = Some(view.status);
            self.progress.say(&TRY_NEXT.replace("{dir}", &self.dir));
        }
        self.current = None;
    }
}

const TRY_NEXT: &str = "
  Try next, in another terminal:
    cd {dir}/shop
    echo 1.1.0 > VERSION && git commit -am 'Sail on'          another run, within a second
    sed -i 's/each=120/each=12O/' src/price.sh && git commit -am 'A slip'   a test fails, and the status says which
    sed -i 's/type: script/type: scirpt/' .longboat/shop.yaml && git commit -am 'A typo'   file, line, hint
    open the page and start `promote`: it waits for your approval there
  Ctrl-C ends the demo.
";
