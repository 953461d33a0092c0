//! Which process a number stands for: its start time tells it from a later one with the same number.

use std::fs;

/// What `/proc/<pid>/stat` says about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) state: char,
    pub(super) start_time: u64,
}

impl Stat {
    /// A zombie has ended; only its parent hasn't asked for its status yet.
    pub(super) fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// When a process started, as an opaque number that no other process with this pid has: clock ticks since
/// the machine's start (field 22 of `/proc/<pid>/stat`), with bits of the machine's boot id above them, so
/// that a number kept across a reboot fits nobody. It stays below 2^53. `None` if there is no such process.
pub fn start_time_of(pid: u32) -> Option<u64> {
    stat_of(pid).map(|stat| stat.start_time)
}

/// Whether the process with this number and this start time still runs. A zombie does not.
pub fn is_alive(pid: u32, start_time: u64) -> bool {
    stat_of(pid).is_some_and(|stat| stat.start_time == start_time && stat.runs())
}

#[cfg(target_os = "linux")]
pub(super) fn stat_of(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?, boot_mark())
}

/// Every process that this one may see.
#[cfg(target_os = "linux")]
pub(super) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(stat_of) // gone in between: not there
        .collect()
}

/// Thirteen bits of the boot's id, placed above forty bits of ticks (three hundred years at 100 Hz).
#[cfg(target_os = "linux")]
fn boot_mark() -> u64 {
    static MARK: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *MARK.get_or_init(|| {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let bits = id.get(..4).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
        (bits & 0x1fff) << 40
    })
}

/// The second field is the program's name in parentheses and may hold anything, so counting starts after
/// the last closing one.
#[cfg(target_os = "linux")]
fn parse_stat(text: &[u8], boot_mark: u64) -> Option<Stat> {
    let text = String::from_utf8_lossy(text);
    let (head, tail) = text.rsplit_once(')')?;
    let pid = head.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let ticks: u64 = fields.get(19)?.parse().ok()?;
    Some(Stat {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        start_time: (ticks & ((1 << 40) - 1)) | boot_mark,
    })
}

/// Elsewhere `ps` is asked; the start time is then a hash of its text, to the second.
#[cfg(not(target_os = "linux"))]
pub(super) fn stat_of(pid: u32) -> Option<Stat> {
    ps(&["-p", &pid.to_string()]).into_iter().next()
}

/// Every process that this one may see.
#[cfg(not(target_os = "linux"))]
pub(super) fn all() -> Vec<Stat> {
    ps(&["-A"])
}

#[cfg(not(target_os = "linux"))]
fn ps(which: &[&str]) -> Vec<Stat> {
    let Ok(output) =
        std::process::Command::new("ps").args(["-o", "pid=,ppid=,pgid=,stat=,lstart="]).args(which).output()
    else {
        return Vec::new();
    };
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let mut number = || fields.next()?.parse::<u32>().ok();
        let (pid, parent, group) = (number()?, number()?, number()?);
        let state = fields.next()?.chars().next()?;
        let start = fields.flat_map(str::bytes).fold(5381_u64, |hash, byte| hash.wrapping_mul(33) ^ u64::from(byte));
        Some(Stat { pid, parent, group, state, start_time: start & ((1 << 53) - 1) })
    };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_s_name_cannot_shift_the_fields() {
        let line = b"42 (evil) S 1 (x) Z 7 41 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 12345 0";
        let stat = parse_stat(line, 0).expect("parses");
        assert_eq!((stat.pid, stat.state, stat.parent, stat.group, stat.start_time), (42, 'Z', 7, 41, 12345));
        assert_eq!(parse_stat(b"42 (cut", 0), None);
    }

    #[test]
    fn this_process_is_alive_only_under_its_own_start_time() {
        let pid = std::process::id();
        let started = start_time_of(pid).expect("runs");
        assert!(started < 1 << 53, "fits a JSON number");
        assert!(is_alive(pid, started));
        assert!(!is_alive(pid, started + 1));
        assert!(!is_alive(u32::MAX, started));
    }
}
