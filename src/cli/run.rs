//! `longboat run`: one pipeline, here and now, with the files as they are, committed or not.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use tokio::sync::broadcast::error::RecvError;

use super::given::{Given, rehearsed};
use super::library::ModuleArgs;
use super::progress::{Paint, Progress};
use super::serve::Stop;
use super::work_tree::{Files, WorkTree};
use super::{Answer, excerpt, print, secrets};
use crate::app::Local;
use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::engine::{Judgment, Verdict};
use crate::model::{
    Cause, CauseKind, ExecutionId, ExecutionView, NewExecution, Pipeline, StageView, Status, check_parameters, humanize,
};
use crate::{git, trigger};

/// How many lines of a failed stage's log are shown.
const LOG_LINES: usize = 20;

/// Run a pipeline here, with the files as they are, committed or not
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, like .longboat/deploy.yaml
    file: PathBuf,
    /// The pipeline, if the file has several
    #[arg(long)]
    pipeline: Option<String>,
    #[command(flatten)]
    given: Given,
    /// Where a secret of the pipeline is kept: an environment variable, or a file behind an @; may be given several
    /// times
    #[arg(long = "secret", value_name = "NAME=VARIABLE|@FILE")]
    secrets: Vec<String>,
    #[command(flatten)]
    modules: ModuleArgs,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    let tree = WorkTree::find(&args.file)?;
    let Some((pipeline, pipelines)) = choose(&args, &tree)? else { return Ok(Answer::No) };
    let parameters = parameters(&args.given, &pipeline)?;
    let given = args.given.artifacts()?;
    let secrets = secrets::given(&args.secrets, &pipeline)?;

    let stop = Stop::listen()?;
    let state = tempfile::Builder::new().prefix("longboat-run-").tempdir().context("can't make a folder to work in")?;
    let bare = state.path().join("snapshot.git");
    std::fs::create_dir_all(&bare)?;
    let commit = git::snapshot(&tree.root, &bare).await?;
    let own = trigger::commit_artifact(&tree.name, &commit, Some(&tree.branch));
    let artifacts = trigger::resolve_given(&pipeline, given, Some(own), &[]).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}; give it with --artifact", problems.join("; "))
    })?;
    let local = Local::start(state.path(), &tree.name, &bare, pipelines, secrets).await?;
    let mut changes = local.engine().subscribe();
    let new = NewExecution {
        id: ExecutionId::generate(),
        trigger: Cause {
            kind: CauseKind::Manual,
            repository: Some(tree.name.clone()),
            branch: Some(tree.branch.clone()),
            commit: Some(commit.clone()),
            event: Some("run".to_owned()),
            ..Cause::default()
        },
        pipeline,
        revision: None,
        parameters,
        repository: Some(tree.name.clone()),
        commit: Some(commit),
        report: None,
        artifacts,
        correlation_id: None,
        created_at: Clock::system().now(),
    };
    if args.given.dry_run {
        let outcomes = args.given.outcomes()?;
        let told = local.engine().dry_run(new, &outcomes, Clock::system().now()).await?;
        print(&rehearsed(&told))?;
        local.shutdown().await;
        return Ok(if told.status == Status::Succeeded { Answer::Yes } else { Answer::No });
    }
    let id = local.create(new).await?;

    let mut session = Session { progress: Progress::new(), clock: Clock::system(), stop, cancelled: false };
    let view = loop {
        let view = local.engine().view(id).await?.context("the execution has vanished from its database")?;
        session.progress.show(&view, session.clock.now());
        if view.status.is_complete() {
            break view;
        }
        if let Some(stage) = view.stages.iter().find(|stage| asks(stage)) {
            session.ask(&local, &view, stage).await?;
            continue;
        }
        tokio::select! {
            change = changes.recv() => match change {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => bail!("the engine stopped before the pipeline ended"),
            },
            () = session.stop.wait() => {
                if session.cancelled {
                    bail!("stopped before the pipeline had ended");
                }
                session.cancelled = true;
                session.progress.say("cancelling; once more to stop waiting for it");
                local.engine().cancel(id, "you", Some("interrupted")).await?;
            }
        }
    };
    session.progress.finish();
    session.sum_up(&local, &view);
    local.shutdown().await;
    Ok(if view.status == Status::Succeeded { Answer::Yes } else { Answer::No })
}

/// The pipeline that is meant, and all that the file has; none if the file has mistakes, which are printed.
fn choose(args: &Args, tree: &WorkTree) -> anyhow::Result<Option<(Pipeline, Vec<Pipeline>)>> {
    let mut files = Files::new(tree, None, &args.modules);
    let path = tree.relative(&args.file)?;
    let checked = files.with_modules(|files| files.check(&path));
    for finding in &checked.findings {
        eprintln!("{}\n", excerpt(finding, false, &|path| files.read(path)));
    }
    if checked.findings.iter().any(Diagnostic::is_error) {
        return Ok(None);
    }
    let pipelines: Vec<Pipeline> =
        checked.applications.into_iter().flat_map(|application| application.pipelines).collect();
    let names = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect::<Vec<_>>().join(", ");
    match &args.pipeline {
        Some(name) => match pipelines.iter().find(|pipeline| pipeline.name.as_str() == name) {
            Some(pipeline) => Ok(Some((pipeline.clone(), pipelines))),
            None => bail!("{path} has no pipeline `{name}`; it has: {names}"),
        },
        None if pipelines.is_empty() => bail!("{path} has no pipelines"),
        None if pipelines.len() == 1 => Ok(pipelines.first().cloned().map(|pipeline| (pipeline, pipelines))),
        None => bail!("{path} has several pipelines; choose one with --pipeline: {names}"),
    }
}

/// The parameters, as the pipeline declares them.
fn parameters(given: &Given, pipeline: &Pipeline) -> anyhow::Result<Map<String, Value>> {
    check_parameters(pipeline, given.parameters(&pipeline.parameters)?).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}

/// Whether a stage waits for a person.
fn asks(stage: &StageView) -> bool {
    stage.kind == "manualJudgment" && stage.waiting_for.is_some() && !stage.status.is_complete()
}

/// One run, as the person at the terminal sees it.
struct Session {
    progress: Progress,
    clock: Clock,
    stop: Stop,
    cancelled: bool,
}

impl Session {
    /// Asks the person for a judgment and hands it on.
    async fn ask(&mut self, local: &Local, view: &ExecutionView, stage: &StageView) -> anyhow::Result<()> {
        let instructions = stage.context.get("instructions").and_then(Value::as_str).unwrap_or(&stage.name).to_owned();
        let choices: Vec<String> = stage
            .context
            .get("judgmentInputs")
            .and_then(Value::as_array)
            .map(|inputs| {
                inputs
                    .iter()
                    .filter_map(|input| input.get("value").unwrap_or(input).as_str())
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default();
        let name = stage.name.clone();
        let asked =
            self.progress.suspend(|| tokio::task::spawn_blocking(move || question(&name, &instructions, &choices)));
        let answer = tokio::select! {
            answer = asked => answer??,
            () = self.stop.wait() => {
                local.engine().cancel(view.id, "you", Some("interrupted")).await?;
                return Ok(());
            }
        };
        let Some((verdict, input)) = answer else {
            local.engine().cancel(view.id, "you", Some("nobody there to answer")).await?;
            return Ok(());
        };
        let by = std::env::var("USER").unwrap_or_else(|_| "you".to_owned());
        local.engine().judge(view.id, &stage.path, Judgment { verdict, input, by, roles: None }).await?;
        Ok(())
    }

    /// Says how it ended, and for a failure shows the end of the log.
    fn sum_up(&self, local: &Local, view: &ExecutionView) {
        let failed = view.stages.iter().filter(|stage| matches!(stage.status, Status::Terminal | Status::Stopped));
        for stage in failed {
            let log = local.log_tail(view.id, &stage.path, stage.attempt, LOG_LINES);
            if !log.is_empty() {
                self.progress.say(&format!("\n  the end of the log of {}:", stage.path));
                log.iter().for_each(|line| self.progress.say(&format!("    {line}")));
            }
        }
        let good = view.status == Status::Succeeded;
        let paint = if good { Paint::Good } else { Paint::Bad };
        let took = view.end_time.map(|end| humanize(end.since(view.created_time))).unwrap_or_default();
        let text = self.progress.paint(paint, &view.description);
        self.progress.say(&format!("\n  {}/{}: {text} ({took} in all)", view.application, view.pipeline));
    }
}

/// Asks on the terminal; none if there is nobody (standard input has ended).
fn question(name: &str, instructions: &str, choices: &[String]) -> std::io::Result<Option<(Verdict, Option<String>)>> {
    let mut err = std::io::stderr().lock();
    let mut lines = std::io::stdin().lock().lines();
    writeln!(err, "\n{name}: {instructions}")?;
    let verdict = loop {
        write!(err, "continue or stop? ")?;
        err.flush()?;
        match lines.next().transpose()?.as_deref().map(str::trim) {
            Some("continue" | "c" | "yes" | "y") => break Verdict::Continue,
            Some("stop" | "s" | "no" | "n") => break Verdict::Stop,
            Some(_) => writeln!(err, "please answer `continue` or `stop`")?,
            None => return Ok(None),
        }
    };
    if choices.is_empty() || verdict == Verdict::Stop {
        return Ok(Some((verdict, None)));
    }
    loop {
        write!(err, "which one ({})? ", choices.join(", "))?;
        err.flush()?;
        match lines.next().transpose()? {
            Some(line) if choices.iter().any(|choice| choice == line.trim()) => {
                return Ok(Some((verdict, Some(line.trim().to_owned()))));
            }
            Some(_) => {}
            None => return Ok(None),
        }
    }
}
