//! The process in which the files of a pull request are rendered: `longboat examine`.
//!
//! What a stranger wrote is bounded by the renderer itself, with one exception: a string operation inside of one
//! expression can make a text as large as memory. So it is rendered in a process that takes memory, time and files
//! from itself first ([`restrict`]), has no environment, and is ended with its whole group when its time is up. What it
//! is to do comes on standard input, what it found goes to standard output. It reads the mirror and nothing else.
//! Whatever becomes of it, the server goes on, and the pull request shows why there is no answer.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::git::{GitError, Snapshot};
use crate::gitops::{Base, Limits, ModuleMirror, Ownership, Request, Shelf, impact, review};
use crate::model::{CommitSha, RepositoryName, Review, humanize};
use crate::process::{self, Command, Output, ProcessError, Restrictions, own_program, restrict};
use crate::schema::Catalog;
use crate::trigger::failure::WorkError;

/// The subcommand.
pub const EXAMINE: &str = "examine";

/// The longest request and the longest answer, in bytes.
const LONGEST_TALK: usize = 16 * 1024 * 1024;
/// How many files the child may have open: the packs of a mirror, each with its index.
const OPEN_FILES: u64 = 512;
/// What a renderer's thread takes before it does anything: its stack.
const OVERHEAD: u64 = 96 * 1024 * 1024;

/// How the files of pull requests are looked at.
#[derive(Debug, Clone)]
pub struct ReviewOptions {
    /// The program whose `examine` subcommand does it: Longboat itself.
    pub program: PathBuf,
    /// How much memory the files of one pull request may need, in bytes.
    pub memory: u64,
    /// How long they may be computed with.
    pub cpu: Duration,
    /// How long it may take by the clock on the wall.
    pub deadline: Duration,
    /// How many pull requests are looked at at the same time.
    pub at_once: usize,
}

impl Default for ReviewOptions {
    fn default() -> Self {
        Self {
            program: own_program(),
            memory: 256 * 1024 * 1024,
            cpu: Duration::from_secs(20),
            deadline: Duration::from_secs(60),
            at_once: std::thread::available_parallelism().map_or(1, std::num::NonZero::get).div_ceil(2),
        }
    }
}

/// What the child is to look at.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) mirror: PathBuf,
    pub(super) head: CommitSha,
    pub(super) base: Option<CommitSha>,
    pub(super) repository: RepositoryName,
    pub(super) branch: String,
    pub(super) globals: Map<String, Value>,
    pub(super) limits: Limits,
    pub(super) ownership: Ownership,
    pub(super) modules: Vec<ModuleMirror>,
    /// Instead of with `base`, the head is compared with itself and other module repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) instead_of: Option<Before>,
}

/// The module repositories that a head is compared with.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Before {
    pub(super) modules: Vec<ModuleMirror>,
    /// What the plan may take, in bytes of JSON.
    pub(super) room: usize,
}

/// The module repositories before and after the merge of a pull request on one of them.
#[derive(Debug, Clone)]
pub(super) struct Library {
    pub(super) before: Vec<ModuleMirror>,
    pub(super) after: Vec<ModuleMirror>,
}

/// What was found, and the module repositories that would have to be looked at for a better answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Looked {
    pub(super) review: Review,
    pub(super) wanted: Vec<String>,
}

/// What the child answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Reviewed(Box<Looked>),
    Missing(CommitSha),
    Unreadable(String),
}

/// Looks at a pull request in a child process; yields what was found, or in words why the files can't be rendered.
pub(super) async fn run(options: &ReviewOptions, job: &Job) -> Result<Result<Looked, String>, WorkError> {
    let broken = |why: String| WorkError::Broken(why);
    let mut command = Command::new(&options.program);
    let cpu = options.cpu.as_millis().div_ceil(1000); // the system counts whole seconds
    command.args = vec![EXAMINE.into(), options.memory.to_string().into(), cpu.to_string().into()];
    // Memory that the allocator takes in advance would count as written, and the limit would come on top of it.
    command = command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
    command.stdin = Some(serde_json::to_vec(job).map_err(|error| broken(error.to_string()))?);
    command.deadline = options.deadline;
    command.max_output = LONGEST_TALK;
    let output = match process::run(command).await {
        Ok(output) => output,
        Err(ProcessError::TimedOut { .. }) => return Ok(Err(too_slow(options.deadline))),
        Err(error) => return Err(broken(error.to_string())),
    };
    if !output.status.success() {
        return ending(options, &output).map(Err);
    }
    match serde_json::from_slice(&output.stdout) {
        Ok(Answer::Reviewed(looked)) => Ok(Ok(*looked)),
        Ok(Answer::Missing(commit)) => Err(GitError::MissingCommit { commit }.into()),
        Ok(Answer::Unreadable(detail)) => Err(GitError::Corrupt { dir: job.mirror.clone(), detail }.into()),
        Err(error) => Err(broken(format!("the answer can't be read: {error}"))),
    }
}

fn too_slow(after: Duration) -> String {
    format!("the files need more than {} to render", humanize(after))
}

/// What it means that the child ended as it did: in words for the author, if it was the files that did it.
fn ending(options: &ReviewOptions, output: &Output) -> Result<String, WorkError> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mebibytes = options.memory / (1024 * 1024);
    let too_large = format!("the files need more than {mebibytes} MiB to render");
    if stderr.contains("memory allocation of") || stderr.contains("out of memory") {
        return Ok(too_large);
    }
    let signal = output.status.signal().and_then(|number| Signal::try_from(number).ok());
    match signal {
        Some(Signal::SIGXCPU) => Ok(too_slow(options.cpu)),
        Some(_) if stderr.contains("overflowed its stack") => {
            Ok("the files are nested more deeply than can be rendered".to_owned())
        }
        // The system ends what takes too much of it.
        Some(Signal::SIGKILL | Signal::SIGSEGV | Signal::SIGBUS) => Ok(too_large),
        _ => {
            let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
            Err(WorkError::Broken(format!("{}: {}", output.status, last.chars().take(200).collect::<String>())))
        }
    }
}

/// The child; `args` is what follows `examine`. To be called before anything else is set up.
pub fn main(args: impl IntoIterator<Item = OsString>, catalog: &Catalog) -> ExitCode {
    match examine(args, catalog) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _lost = writeln!(io::stderr(), "the files can't be examined: {error}");
            ExitCode::from(2)
        }
    }
}

fn examine(args: impl IntoIterator<Item = OsString>, catalog: &Catalog) -> io::Result<()> {
    let mut numbers = args.into_iter().map(|arg| arg.to_str().and_then(|text| text.parse::<u64>().ok()));
    let (Some(Some(memory)), Some(Some(cpu))) = (numbers.next(), numbers.next()) else {
        return Err(io::Error::other("this command is Longboat's own: it reviews pull requests with it"));
    };
    let (memory, cpu) = (memory.saturating_add(OVERHEAD), Duration::from_secs(cpu));
    restrict(&Restrictions { memory, cpu, files: OPEN_FILES })?;
    let mut text = Vec::new();
    io::stdin().lock().take(LONGEST_TALK as u64).read_to_end(&mut text)?;
    let job: Job = serde_json::from_slice(&text)?;
    drop(text);
    let answer = look(&job, catalog);
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &answer)?;
    out.flush()
}

fn look(job: &Job, catalog: &Catalog) -> Answer {
    let reviewed = || {
        let head = Snapshot::open(&job.mirror, &job.head)?;
        let base = job.base.as_ref().map(|base| Snapshot::open(&job.mirror, base)).transpose()?;
        let shelf = Shelf::of_mirrors(job.modules.iter().cloned());
        // One renderer: what one file may use is what all may use together.
        let limits = Limits { renderers: 1, ..job.limits.clone() };
        let request = Request {
            source: &head,
            repository: &job.repository,
            branch: &job.branch,
            globals: &job.globals,
            limits: &limits,
            library: Some(&shelf),
        };
        if let Some(before) = &job.instead_of {
            let shelf = Shelf::of_mirrors(before.modules.iter().cloned());
            let was = Request { library: Some(&shelf), ..request };
            let review = impact(&job.head, &was, &request, catalog, &job.ownership, before.room);
            return Ok(Looked { review, wanted: Vec::new() });
        }
        let changed = base.as_ref().map(|base| head.changed_since(base)).transpose()?.unwrap_or_default();
        let base = base.as_ref().map(|base| Base { commit: base.commit(), source: base, changed: &changed });
        let review = review(&job.head, &request, base, catalog, &job.ownership);
        Ok(Looked { review, wanted: shelf.wanted() })
    };
    match reviewed() {
        Ok(looked) => Answer::Reviewed(Box::new(looked)),
        Err(GitError::MissingCommit { commit }) => Answer::Missing(commit),
        Err(error) => Answer::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn ended(raw: i32, stderr: &str) -> Result<String, WorkError> {
        let status = ExitStatus::from_raw(raw);
        let output = Output { status, stdout: Vec::new(), stderr: stderr.as_bytes().to_vec(), truncated: false };
        ending(&ReviewOptions::default(), &output)
    }

    #[test]
    fn an_end_is_told_in_the_author_s_words() {
        let (abort, xcpu, kill) = (6, 24, 9);
        assert_eq!(
            ended(abort, "memory allocation of 99 bytes failed").expect("theirs"),
            "the files need more than 256 MiB to render"
        );
        assert_eq!(ended(xcpu, "").expect("theirs"), "the files need more than 20s to render");
        assert_eq!(ended(kill, "").expect("theirs"), "the files need more than 256 MiB to render");
        let deep = ended(abort, "thread 'render' has overflowed its stack").expect("theirs");
        assert_eq!(deep, "the files are nested more deeply than can be rendered");
        let ours = ended(2 << 8, "x\nthe files can't be examined: no\n").expect_err("ours");
        assert!(ours.to_string().contains("can't be examined"), "{ours}");
    }
}
