//! `longboat validate --watch`: the answer anew, whenever files change.

use std::io::IsTerminal as _;

use anyhow::bail;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use super::serve::Stop;
use super::validate::{Args, check};
use super::work_tree::WorkTree;
use super::{Answer, print};
use crate::git;

/// Clears a terminal, with what was scrolled away, and goes to its top.
const CLEAR: &str = "\x1b[2J\x1b[3J\x1b[H";

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
        let (text, answer) = looked.await??;
        print(&if terminal { format!("{CLEAR}{text}") } else { text })?;
        eprintln!("watching {}/.longboat; Ctrl-C ends", tree.root.display());
        tokio::select! {
            biased;
            () = stop.wait() => return Ok(answer),
            change = changes.next() => if change.is_none() {
                bail!("{} is gone", tree.root.display());
            },
        }
        tree.see_branch();
    }
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
