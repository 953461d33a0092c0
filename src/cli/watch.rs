//! `longboat validate --watch`: the answer anew, whenever files change.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use super::serve::Stop;
use super::validate::{Args, Looked, check};
use super::work_tree::WorkTree;
use super::{Answer, print};
use crate::git;

/// Clears a terminal, with what was scrolled away, and goes to its top.
const CLEAR: &str = "\x1b[2J\x1b[3J\x1b[H";

/// How often files outside of the watched folder are looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// Validates until somebody stops it; the answer is the last one.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    let mut stop = Stop::listen()?;
    let mut tree = WorkTree::find(&args.path)?;
    // Watched before the first look, so that nothing is missed in between.
    let mut changes = changes(&tree)?;
    let terminal = std::io::stdout().is_terminal();
    loop {
        // On a disk that hangs, a look can take long; the wish to stop is heard all the same.
        let looked = tokio::task::spawn_blocking({
            let (args, tree) = (args.clone(), tree.clone());
            move || check(&args, &tree)
        });
        let Looked { text, answer, read, modules } = looked.await??;
        // Before anybody is told that it watches.
        let outside = Outside::of(&tree, &read).await;
        let mut commits = commits(&modules);
        print(&if terminal { format!("{CLEAR}{text}") } else { text })?;
        eprintln!("watching {}/.longboat; Ctrl-C ends", tree.root.display());
        tokio::select! {
            biased;
            () = stop.wait() => return Ok(answer),
            change = changes.next() => if change.is_none() {
                bail!("{} is gone", tree.root.display());
            },
            () = outside.change() => {}
            _ = commits.next() => {}
        }
        tree.see_branch();
    }
}

/// The files that `file(...)` reads outside of the watched folder, and the server's configuration. There are few of them,
/// anywhere in the tree or beside it, and they may not be there yet: they are looked at from time to time.
struct Outside {
    files: Vec<PathBuf>,
    stamps: Vec<Option<(SystemTime, u64)>>,
}

impl Outside {
    /// As they are now.
    async fn of(tree: &WorkTree, read: &[String]) -> Self {
        let outside = read.iter().filter(|path| !path.starts_with(".longboat/"));
        let files: Vec<PathBuf> = outside.map(|path| tree.root.join(path)).collect();
        Self { stamps: stamps(&files).await, files }
    }

    /// Returns when one of them is not what it was.
    async fn change(&self) {
        if self.files.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(PAUSE).await;
            if stamps(&self.files).await != self.stamps {
                return;
            }
        }
    }
}

/// When each file was changed last, and its size; nothing of one that isn't there.
async fn stamps(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = async |file| {
        let facts = tokio::fs::metadata(file).await.ok()?;
        Some((facts.modified().ok()?, facts.len()))
    };
    futures::future::join_all(files.iter().map(stamp)).await
}

/// Hints that something was committed to one of these repositories. One that isn't there (yet) says nothing.
fn commits(repositories: &[PathBuf]) -> BoxStream<'static, ()> {
    let watched = repositories.iter().filter_map(|folder| git::watch_local(folder).ok());
    stream::select_all(watched.map(|hints| hints.boxed())).chain(stream::pending()).boxed()
}

/// Hints that pipeline files changed, or, in a Git repository, that another branch was checked out.
fn changes(tree: &WorkTree) -> anyhow::Result<BoxStream<'static, ()>> {
    let files = git::watch_folder(&tree.root, ".longboat")?;
    // The end of the files is the end; a repository that is none, or none any more, is no loss.
    let Ok(refs) = git::watch_local(&tree.root) else { return Ok(files.boxed()) };
    let refs = refs.chain(stream::pending());
    Ok(stream::select_with_strategy(files.map(Some).chain(stream::iter([None])), refs.map(Some), |(): &mut ()| {
        stream::PollNext::Left
    })
    .take_while(|hint| futures::future::ready(hint.is_some()))
    .map(|_| ())
    .boxed())
}
