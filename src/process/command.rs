//! Running one program to its end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use rustix::process::{Pid, getpriority_process, setpriority_process};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::tree::send_to_group;
use super::{KillSignal, ProcessError};

/// How long output is waited for after a program and its group have ended: a process that left the group
/// may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// How much less of the processors a program gets than this process, as `nice` counts it. Programs that are waited for
/// here fetch and look into commits, often many at once; what was asked over HTTP meanwhile should not wait for its turn
/// among them.
const NICENESS: i32 = 10;

/// Where programs are looked for if `env` has no PATH, as the C library does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A program to run. The environment is exactly `env`.
#[derive(Clone)]
pub struct Command {
    /// A path, or a name that is looked up in the folders of the PATH that `env` holds, as far as they are absolute.
    pub program: OsString,
    /// Its arguments, passed on as they are.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs; this process's own folder if `None`.
    pub dir: Option<PathBuf>,
    /// How long it may take; then its whole group is killed.
    pub deadline: Duration,
    /// What it reads from standard input; nothing if `None`.
    pub stdin: Option<Vec<u8>>,
    /// How many bytes of standard output, and how many of standard error, are kept; the rest is read and
    /// thrown away.
    pub max_output: usize,
}

impl Command {
    /// A program with an empty environment, a deadline of a minute and 1 MiB of output.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            deadline: Duration::from_secs(60),
            stdin: None,
            max_output: 1024 * 1024,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

/// Values of the environment and the input may be secret: only names are shown.
impl std::fmt::Debug for Command {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("dir", &self.dir)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What a program that ended left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// The head of its standard output.
    pub stdout: Vec<u8>,
    /// The head of its standard error.
    pub stderr: Vec<u8>,
    /// Whether more than `max_output` came on one of the two.
    pub truncated: bool,
}

/// Runs a program to its end. Its whole process group is killed at the deadline, when the returned future is
/// dropped, and when the program ends and leaves something behind.
///
/// # Errors
/// If it can't be started or doesn't end in time. A bad exit status is no error.
pub async fn run(command: Command) -> Result<Output, ProcessError> {
    let name = command.name();
    let mut child = spawn(&command)?;
    let guard = Group(child.id());
    step_back(&child);
    let io_error = |source| ProcessError::Io { program: name.clone(), source };

    let stdin = child.stdin.take();
    let input = command.stdin.clone();
    let feeder = Task(tokio::spawn(async move {
        if let (Some(mut pipe), Some(input)) = (stdin, input) {
            // A program that doesn't read its input to the end closes the pipe: its own affair.
            let _closed = pipe.write_all(&input).await;
        }
    }));
    let stdout = Capture::of(child.stdout.take(), command.max_output);
    let stderr = Capture::of(child.stderr.take(), command.max_output);

    let status = match tokio::time::timeout(command.deadline, child.wait()).await {
        Ok(status) => Some(status.map_err(io_error)?),
        Err(_) => None,
    };
    drop(guard); // the rest of the group, if there is one
    drop(feeder);
    if status.is_none() {
        child.wait().await.map_err(io_error)?;
    }
    let (stdout, stdout_cut) = stdout.finish().await.map_err(io_error)?;
    let (stderr, stderr_cut) = stderr.finish().await.map_err(io_error)?;
    match status {
        Some(status) => Ok(Output { status, stdout, stderr, truncated: stdout_cut || stderr_cut }),
        None => Err(ProcessError::TimedOut { program: name, after: command.deadline, stderr }),
    }
}

fn spawn(command: &Command) -> Result<tokio::process::Child, ProcessError> {
    let Some(program) = located(command) else { return Err(ProcessError::NotFound { program: command.name() }) };
    let mut builder = tokio::process::Command::new(program);
    builder
        .args(&command.args)
        .env_clear()
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(dir) = &command.dir {
        builder.current_dir(dir);
    }
    builder.spawn().map_err(|source| {
        let folder_missing = command.dir.as_ref().is_some_and(|dir| !dir.is_dir());
        if source.kind() == io::ErrorKind::NotFound && !folder_missing {
            ProcessError::NotFound { program: command.name() }
        } else {
            ProcessError::Start { program: command.name(), source }
        }
    })
}

/// Lowers the priority of a program that was just started; what it starts inherits it. Without, it is only less polite.
fn step_back(child: &tokio::process::Child) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        let niceness = getpriority_process(None).map_or(NICENESS, |own| own.max(NICENESS));
        let _gone_already = setpriority_process(Some(pid), niceness);
    }
}

/// The program's file. A name is looked up here and not left to the standard library: where the environment is
/// replaced as well, that can only look after a fork, which copies the page tables of this whole process and holds up
/// the thread for milliseconds; a path is started without.
fn located(command: &Command) -> Option<OsString> {
    if command.program.as_encoded_bytes().contains(&b'/') {
        return Some(command.program.clone());
    }
    let path = command.env.iter().rev().find(|(name, _)| name == "PATH");
    let files = std::env::split_paths(path.map_or_else(|| OsStr::new(DEFAULT_PATH), |(_, path)| path))
        .map(|folder| folder.join(&command.program));
    let is_program = |file: &PathBuf| file.is_absolute() && file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    files.into_iter().find(is_program).map(PathBuf::into_os_string)
}

/// Kills the group when dropped. If the leader was reaped a moment ago and nothing else is in its group, the
/// number is free and the signal finds nobody: numbers are given out in turn, not again at once.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _nobody_left = send_to_group(group, KillSignal::Kill);
        }
    }
}

/// A task that ends with its owner.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The head of a pipe, read to its end by a task.
struct Capture {
    head: Arc<Mutex<Head>>,
    task: Task<io::Result<()>>,
}

#[derive(Default)]
struct Head {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Capture {
    fn of(pipe: Option<impl AsyncRead + Unpin + Send + 'static>, limit: usize) -> Self {
        let head = Arc::new(Mutex::new(Head::default()));
        let task = Task(tokio::spawn(read_head(pipe, limit, head.clone())));
        Self { head, task }
    }

    /// What came until the pipe ended, or until nobody should write to it any more.
    async fn finish(mut self) -> io::Result<(Vec<u8>, bool)> {
        let ended = match tokio::time::timeout(DRAIN, &mut self.task.0).await {
            Ok(Ok(result)) => result.map(|()| true)?,
            Ok(Err(stopped)) => return Err(io::Error::other(stopped)),
            Err(_) => false,
        };
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((std::mem::take(&mut head.bytes), head.truncated || !ended))
    }
}

async fn read_head(pipe: Option<impl AsyncRead + Unpin>, limit: usize, head: Arc<Mutex<Head>>) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = pipe.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let mut head = head.lock().unwrap_or_else(PoisonError::into_inner);
        let room = limit.saturating_sub(head.bytes.len()).min(read);
        head.bytes.extend_from_slice(&buffer[..room]);
        head.truncated |= room < read;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::{group_members, is_alive, start_time_of};
    use super::*;

    fn sh(script: &str) -> Command {
        Command::new("/bin/sh").args(["-c", script])
    }

    async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < deadline, "{what}");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_environment_is_what_was_given_and_nothing_else() {
        let output = run(Command::new("/usr/bin/env").env("ONLY", "a b")).await.expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ONLY=a b\n");
        assert!(output.status.success());
    }

    #[tokio::test]
    async fn a_program_gets_less_of_the_processors_than_we_do() {
        // It is told to go on only after it was given its priority.
        let mut command = sh("read -r line; nice");
        command.env.push(("PATH".into(), std::env::var_os("PATH").expect("a PATH")));
        command.stdin = Some(b"go\n".to_vec());
        let output = run(command).await.expect("runs");
        let own = getpriority_process(None).expect("has one");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), own.max(NICENESS).to_string());
    }

    #[tokio::test]
    async fn a_bad_exit_status_is_an_answer_and_input_is_passed_on() {
        let mut command = sh("read -r line; echo \"got $line\"; echo bad >&2; exit 3");
        command.stdin = Some(b"hello\n".to_vec());
        let output = run(command).await.expect("runs");
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"got hello\n"[..], &b"bad\n"[..]));
    }

    #[tokio::test]
    async fn output_is_cut_but_read_to_the_end() {
        let mut command = sh("head -c 3000000 /dev/zero; echo done >&2");
        command.env.push(("PATH".into(), std::env::var_os("PATH").expect("a PATH")));
        command.max_output = 1000;
        let output = run(command).await.expect("runs");
        assert_eq!(output.stdout.len(), 1000);
        assert!(output.truncated && output.status.success());
        assert_eq!(output.stderr, b"done\n");
    }

    #[tokio::test]
    async fn the_deadline_ends_the_whole_group() {
        let mut command = sh("sleep 1000 & echo $$ >&2; wait");
        command.env.push(("PATH".into(), std::env::var_os("PATH").expect("a PATH")));
        command.deadline = Duration::from_millis(300);
        let Err(ProcessError::TimedOut { stderr, after, .. }) = run(command).await else { panic!("no time-out") };
        assert_eq!(after, Duration::from_millis(300));
        let pid: u32 = String::from_utf8_lossy(&stderr).trim().parse().expect("a pid");
        eventually("the group is gone", || group_members(pid).is_empty()).await;
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_ends_with_it() {
        let mut command = sh("sleep 1000 & echo $!");
        command.env.push(("PATH".into(), std::env::var_os("PATH").expect("a PATH")));
        let started = Instant::now();
        let output = run(command).await.expect("runs");
        assert!(started.elapsed() < DRAIN, "the pipe that the child held did not hold us up");
        let pid: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a pid");
        eventually("the child is gone", || start_time_of(pid).is_none_or(|started| !is_alive(pid, started))).await;
    }

    #[tokio::test]
    async fn dropping_the_future_ends_the_group() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pid");
        let mut command = sh("sleep 1000 & echo $$ > pid.new; mv pid.new pid; wait");
        command.env.push(("PATH".into(), std::env::var_os("PATH").expect("a PATH")));
        command.dir = Some(folder.path().into());
        let running = tokio::spawn(run(command));
        eventually("it runs", || file.exists()).await;
        let pid: u32 = std::fs::read_to_string(&file).expect("written").trim().parse().expect("a pid");
        running.abort();
        eventually("the group is gone", || group_members(pid).is_empty()).await;
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = run(Command::new("longboat-no-such-program")).await.expect_err("fails");
        assert!(matches!(error, ProcessError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains("longboat-no-such-program"));
    }

    #[test]
    fn values_of_the_environment_are_not_shown() {
        let shown = format!("{:?}", Command::new("git").env("TOKEN", "hunter2"));
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }
}
