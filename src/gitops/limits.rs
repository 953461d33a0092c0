//! What rendering may use. The template engine's own fuel counts per call and bounds no memory, so these
//! are counted across everything that one file needs, its modules included.

use serde::{Deserialize, Serialize};

/// Bounds of one render; every one of them ends in a finding, never in a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The largest file that is read, in bytes.
    pub file_bytes: usize,
    /// The most lines of a file; the template engine counts them in 16 bits.
    pub file_lines: usize,
    /// The most application files of a commit.
    pub files: usize,
    /// The most values of one file's document, values that aliases and modules repeat included.
    pub nodes: usize,
    /// How deep lists and mappings may nest.
    pub depth: usize,
    /// The most module calls of one file.
    pub module_calls: usize,
    /// How deep modules may call modules. A level costs about 20 kB of stack.
    pub module_depth: usize,
    /// The most text that the templates of one file may yield together, in bytes.
    pub output_bytes: usize,
    /// The most that operators and filters of one file's templates may make on their way, in bytes: a text counts its
    /// length each time that it is joined, filtered or cut, an item of a list 32.
    pub work_bytes: usize,
    /// The most instructions that the templates of one file may run together.
    pub fuel: u64,
    /// The most files that are rendered at the same time, each on a thread of its own.
    pub renderers: usize,
    /// The most findings that are kept of one file.
    pub findings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 1024 * 1024,
            file_lines: 60_000,
            files: 10_000,
            nodes: 200_000,
            depth: 128,
            module_calls: 5_000,
            module_depth: 30,
            output_bytes: 16 * 1024 * 1024,
            work_bytes: 128 * 1024 * 1024,
            fuel: 5_000_000,
            renderers: 8,
            findings: 200,
        }
    }
}
