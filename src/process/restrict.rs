//! What a process takes from itself before it reads what a stranger wrote.

use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};

/// What a process may use from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restrictions {
    /// How much memory more than it has now, in bytes.
    pub memory: u64,
    /// How long it may compute, counted from its start; seconds are counted.
    pub cpu: Duration,
    /// How many files it may have open at once.
    pub files: u64,
}

/// Room for what is mapped and not written (packs of a repository, a program's own text), in bytes.
const MAPPINGS: u64 = 8 * 1024 * 1024 * 1024;

/// Restricts this process for good: memory, time, open files; no files are written, no core is dumped. On Linux it
/// also ends with the process that started it. What goes beyond the memory fails there and then; beyond the time,
/// the process is killed (SIGXCPU).
///
/// # Errors
/// If the system refuses a limit.
pub fn restrict(restrictions: &Restrictions) -> io::Result<()> {
    let set = |resource, limit| setrlimit(resource, limit, limit).map_err(io::Error::from);
    let seconds = restrictions.cpu.as_secs().max(1);
    setrlimit(Resource::RLIMIT_CPU, seconds, seconds + 2)?;
    set(Resource::RLIMIT_FSIZE, 0)?;
    set(Resource::RLIMIT_CORE, 0)?;
    set(Resource::RLIMIT_NOFILE, restrictions.files)?;
    let (mapped, written) = in_use();
    set(Resource::RLIMIT_DATA, written.saturating_add(restrictions.memory))?;
    set(Resource::RLIMIT_AS, mapped.saturating_add(restrictions.memory).saturating_add(MAPPINGS))?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    Ok(())
}

/// The bytes that this process has mapped, and those of them that it can write; 0 where the system doesn't say.
fn in_use() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let bytes = |name| of(name).unwrap_or(0).saturating_mul(1024);
    (bytes("VmSize:"), bytes("VmData:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_knows_what_it_uses() {
        let (mapped, written) = in_use();
        assert!(mapped > 1024 * 1024 && written > 0 && written < mapped, "{mapped} {written}");
    }
}
