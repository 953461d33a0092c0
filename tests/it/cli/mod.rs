//! The commands, as a person types them.

mod annotations;
mod demo;
mod files;
mod forge_check;
mod forge_check_bitbucket;
mod init;
mod module_repositories;
mod modules;
mod plan;
mod run;
mod stages;
mod watch;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the binary to its end in `folder`.
pub fn longboat(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longboat"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

/// What a command wrote to standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What a command wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A folder with the given files, and `.git`-less: `.longboat` alone marks its root.
pub fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    folder
}
