//! The process between Longboat and a script: `longboat supervise`.
//!
//! It lives as long as the script's whole tree of processes, whatever becomes of Longboat: it captures what they
//! print, notices how the command ends, ends what the command left behind, and writes down the result. To end a
//! script, Longboat sends it SIGTERM. It is told everything on its command line and by its environment and folder,
//! which are the script's, and answers through the files of the attempt; on its standard output it says one
//! word, so that Longboat needn't look for the claim. Secrets come through its standard input, before it claims the
//! attempt; it keeps them in memory alone, gives the script its variables, and masks what the script says in log and
//! outputs, also when Longboat itself is gone.
//!
//! A service manager that ends a service with all its processes (systemd does, unless the unit says
//! `KillMode=process`) reaches supervisors as well: each then ends its script, whose stage fails and says so.
//!
//! It adopts every process below it (`PR_SET_CHILD_SUBREAPER`), so none can leave its tree by `setsid`, `nohup` or a
//! second fork; while it has a child, something of the script is there. Where the system has no such thing (not
//! Linux), only what still hangs together is found.

mod arguments;
mod log;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};
use tokio::time::Instant;

use super::attempt::{Attempt, End, Ended, Process};
use super::handover::Handover;
use super::outputs;
use crate::process::descendants;
use crate::secret::Masker;
pub(super) use arguments::Arguments;
use log::MaskedLog;

/// What the supervisor says when it has the claim.
pub(super) const CLAIMED: &str = "claimed";
/// What it says when somebody else has it.
pub(super) const LOST: &str = "lost";

/// How long processes that a command left behind have to end by themselves after SIGTERM.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);
/// The pause between two rounds of SIGKILL: who forks faster than it is killed needs several.
const KILL_ROUND: Duration = Duration::from_millis(20);
/// The most looks for processes that appeared while others were stopped.
const STOP_ROUNDS: u32 = 16;
/// How long SIGKILL is tried. Only a process that hangs inside the kernel survives the first rounds.
const KILL_TIME: Duration = Duration::from_secs(5);
/// The most that a pipe can hold (Linux's `pipe-max-size` for ordinary users), read after all writers are gone.
const PIPE_CAPACITY: usize = 1024 * 1024;

/// Runs a supervisor; `args` is what follows `supervise`. To be called before anything else is set up.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::parse(args).and_then(|arguments| supervise(&arguments).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is a file in the attempt's folder, and nobody is left to hear of its failure.
            let _lost = writeln!(io::stderr(), "the script's supervisor failed: {error}");
            ExitCode::from(2)
        }
    }
}

fn supervise(arguments: &Arguments) -> io::Result<()> {
    // A session of its own: no terminal, and no part in what happens to Longboat's process group. It is refused
    // to a process that leads a group already, which is as good.
    let _ = nix::unistd::setsid();
    // Whoever may read the memory or the environment of this user's processes gets nothing here.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    let secrets = if arguments.secrets { Handover::read(io::stdin().lock())? } else { Handover::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the claim: from here on SIGTERM is a request, and no child's end goes unnoticed.
        let arrivals = Signals::listen()?;
        let attempt = Attempt::new(&arguments.dir);
        let Some(_claim) = attempt.claim()? else {
            say(LOST);
            return Ok(());
        };
        say(CLAIMED);
        let masker = secrets.masker();
        let ended = run(arguments, &secrets, &masker, &attempt, arrivals).await?;
        outputs::mask(&attempt.output(), &masker)?;
        attempt.note_end(&ended)
    })
}

/// Longboat may be gone by now, which is no reason to stop.
fn say(word: &str) {
    let mut out = io::stdout();
    let _lost = writeln!(out, "{word}").and_then(|()| out.flush());
}

struct Signals {
    child: Arrivals,
    terminate: Arrivals,
    interrupt: Arrivals,
    hangup: Arrivals,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when somebody wants the script to end.
    async fn stop(terminate: &mut Arrivals, interrupt: &mut Arrivals, hangup: &mut Arrivals) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

async fn run(
    arguments: &Arguments,
    secrets: &Handover,
    masker: &Masker,
    attempt: &Attempt,
    arrivals: Signals,
) -> io::Result<Ended> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut log = MaskedLog::new(log::open(&arguments.log)?, arguments.log_limit, masker);
    let (reader, writer) = io::pipe()?;
    let command = match start(&arguments.argv, secrets, writer) {
        Ok(command) => command,
        Err(error) => {
            let reason = format!("`{}` can't be started: {error}", arguments.argv[0].display());
            log.note(&reason);
            let log_error = log.finish();
            return Ok(Ended { end: End::NotStarted(reason), cancelled: false, survivors: Vec::new(), log_error });
        }
    };
    if let Some(process) = Process::of(command.as_raw().unsigned_abs()) {
        attempt.note_command(process)?;
    }
    let watch = Watch {
        command,
        output: pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?,
        output_open: true,
        log,
        end: None,
        cancelled: false,
        phase: Phase::Running,
        grace: arguments.grace,
    };
    watch.finish(arrivals).await
}

/// Starts the command in a process group of its own; everything it prints goes to `output`. Its environment is this
/// process's, and the variables with secrets.
fn start(argv: &[OsString], secrets: &Handover, output: io::PipeWriter) -> io::Result<Pid> {
    let mut command = Command::new(&argv[0]);
    command
        .envs(&secrets.env)
        .args(&argv[1..])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0);
    // Never waited for through this handle: `Watch::reap` collects every child, own and adopted.
    let pid = command.spawn()?.id();
    i32::try_from(pid).map(Pid::from_raw).map_err(io::Error::other)
}

enum Phase {
    /// The command runs.
    Running,
    /// Everything was sent SIGTERM; SIGKILL follows at this time.
    Asked(Instant),
    /// SIGKILL is sent in rounds: the next one, and when to give up.
    Killing { round: Instant, until: Instant },
}

struct Watch {
    command: Pid,
    output: pipe::Receiver,
    output_open: bool,
    log: MaskedLog,
    end: Option<End>,
    cancelled: bool,
    phase: Phase,
    grace: Duration,
}

impl Watch {
    async fn finish(mut self, arrivals: Signals) -> io::Result<Ended> {
        let Signals { mut child, mut terminate, mut interrupt, mut hangup } = arrivals;
        let mut buffer = vec![0; 64 * 1024];
        let survivors = loop {
            if !self.reap()? {
                break Vec::new();
            }
            if self.end.is_some() && matches!(self.phase, Phase::Running) {
                self.log.note("ending the processes that the command left behind");
                self.ask(LEFTOVER_GRACE);
            }
            if self.kill_if_due() {
                break descendants(std::process::id());
            }
            let due = self.due();
            tokio::select! {
                _ = child.recv() => {}
                () = Signals::stop(&mut terminate, &mut interrupt, &mut hangup), if !self.cancelled => {
                    // A command that has ended by itself wasn't cancelled, even if that wasn't noticed yet.
                    if self.reap()? && self.end.is_none() {
                        self.cancelled = true;
                        self.ask(self.grace);
                    }
                }
                ready = self.output.readable(), if self.output_open => {
                    ready?;
                    self.read(&mut buffer)?;
                }
                () = sleep_until(due) => {}
            }
        };
        drain(self.output, &mut self.log, &mut buffer)?;
        // Not there only if the command itself survived SIGKILL.
        let end = self.end.unwrap_or(End::Killed(Signal::SIGKILL as i32));
        Ok(Ended { end, cancelled: self.cancelled, survivors, log_error: self.log.finish() })
    }

    /// Collects every child that has ended. Yields whether any is left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            let (pid, end) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return Ok(true),
                Ok(WaitStatus::Exited(pid, code)) => (pid, End::Exited(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, End::Killed(signal as i32)),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            };
            if pid == self.command {
                self.end = Some(end);
            }
        }
    }

    /// Asks everything below to end. Who starts more processes to clean up isn't disturbed in that.
    fn ask(&mut self, grace: Duration) {
        send_to_all(Signal::SIGTERM);
        self.phase = Phase::Asked(Instant::now() + grace);
    }

    /// Kills everything below if the time for it has come. Yields whether there is no more hope.
    fn kill_if_due(&mut self) -> bool {
        let now = Instant::now();
        let until = match self.phase {
            Phase::Running => return false,
            Phase::Asked(kill_at) if now < kill_at => return false,
            Phase::Asked(_) => now + KILL_TIME,
            Phase::Killing { round, .. } if now < round => return false,
            Phase::Killing { until, .. } if now >= until => return true,
            Phase::Killing { until, .. } => until,
        };
        kill_all();
        self.phase = Phase::Killing { round: now + KILL_ROUND, until };
        false
    }

    fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => None,
            Phase::Asked(at) | Phase::Killing { round: at, .. } => Some(at),
        }
    }

    /// Takes one piece of output.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match self.output.try_read(buffer) {
            Ok(0) => self.output_open = false,
            Ok(count) => self.log.write(&buffer[..count]),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Takes what is still in the pipe after the last process is gone. Read directly, because the runtime knows only of
/// the pipe's past. A writer that isn't of the script (somebody was handed the pipe) is not waited for.
fn drain(output: pipe::Receiver, log: &mut MaskedLog, buffer: &mut [u8]) -> io::Result<()> {
    let mut pipe = File::from(output.into_nonblocking_fd()?);
    for _ in 0..=PIPE_CAPACITY / buffer.len() {
        match pipe.read(buffer) {
            Ok(0) => break,
            Ok(count) => log.write(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends a signal to every process below this one. Yields them.
fn send_to_all(signal: Signal) -> BTreeSet<u32> {
    let all: BTreeSet<u32> = descendants(std::process::id()).into_iter().collect();
    for pid in &all {
        if let Ok(pid) = i32::try_from(*pid) {
            // Gone in between, or not ours to kill (a set-user-id program): the next round sees.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
    all
}

/// Kills every process below this one. All are stopped before: who is stopped starts no more processes, so that
/// even those that fork without end are caught.
fn kill_all() {
    let mut known = BTreeSet::new();
    for _ in 0..STOP_ROUNDS {
        let found = send_to_all(Signal::SIGSTOP);
        if found.is_subset(&known) {
            break;
        }
        known.extend(found);
    }
    send_to_all(Signal::SIGKILL);
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
