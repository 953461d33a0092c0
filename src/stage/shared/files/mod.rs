//! Saved files on their way through the shared store.
//!
//! What a stage saved becomes one stream: of each file a line of JSON with its path, size and mode, and its bytes. The
//! stream goes in pieces `<attempt>-<number>`; a piece `manifest` that names the attempt, its sizes and the digest comes
//! last, so that files are there as a whole or not at all. On the way back the stream is held against all of that.

mod stream;

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{SharedStore, Shelf, numbered};
use crate::stage::files::blocking;
use crate::stage::saved::{Manifest, manifest, put_in_place};
use stream::{Packer, Unpacker};

/// The piece that says what the others are.
const MANIFEST: &str = "manifest";

/// What the pieces are.
#[derive(Debug, Serialize, Deserialize)]
struct Sent {
    #[serde(flatten)]
    saved: Manifest,
    pieces: usize,
    sha256: String,
}

fn piece_name(attempt: u32, number: usize) -> String {
    format!("{attempt}-{}", numbered(number))
}

/// Sends what lies in `dir`, as `save` left it there. If it has been sent before, it isn't sent again.
///
/// # Errors
/// If the disk or the store fails.
pub(in crate::stage) async fn send(store: &dyn SharedStore, shelf: &Shelf, dir: &Path) -> io::Result<()> {
    let (dir, size) = (dir.to_owned(), store.sizes().file_piece);
    let (saved, mut packer) = blocking(move || {
        let saved = manifest(&dir).ok_or_else(|| io::Error::other("what was saved is gone"))?;
        Ok((saved, Packer::new(dir.join("files"), size)?))
    })
    .await?;
    if sent(store, shelf).await?.is_some_and(|sent| sent.saved == saved) {
        return Ok(());
    }
    let mut pieces = 0;
    loop {
        let (piece, rest) = blocking(move || packer.next().map(|piece| (piece, packer))).await?;
        packer = rest;
        let Some(piece) = piece else { break };
        store.put(shelf, &piece_name(saved.attempt, pieces), piece).await?;
        pieces += 1;
    }
    let sent = Sent { saved, pieces, sha256: packer.digest() };
    store.put(shelf, MANIFEST, serde_json::to_vec(&sent).map_err(io::Error::other)?).await
}

async fn sent(store: &dyn SharedStore, shelf: &Shelf) -> io::Result<Option<Sent>> {
    let Some(bytes) = store.get(shelf, MANIFEST).await? else { return Ok(None) };
    let sent = serde_json::from_slice(&bytes);
    sent.map(Some).map_err(|_| io::Error::other("what the shared store says about the files can't be read"))
}

/// What a look for saved files led to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::stage) enum Fetched {
    /// The store knows of none.
    Nothing,
    /// They lie in the folder now, or did before.
    There,
}

/// Fetches what a stage saved into `dir`, unless it lies there already.
///
/// # Errors
/// If disk or store fail, or what comes is not what was sent.
pub(in crate::stage) async fn fetch(store: &dyn SharedStore, shelf: &Shelf, dir: &Path) -> io::Result<Fetched> {
    let Some(sent) = sent(store, shelf).await? else { return Ok(Fetched::Nothing) };
    let (target, wanted) = (dir.to_owned(), sent.saved.clone());
    let begun = blocking(move || {
        if manifest(&target).is_some_and(|there| there == wanted) {
            return Ok(None);
        }
        let parent = target.parent().unwrap_or(&target);
        std::fs::create_dir_all(parent)?;
        let draft = tempfile::Builder::new().prefix(".fetching-").tempdir_in(parent)?;
        let files = draft.path().join("files");
        std::fs::create_dir(&files)?;
        Ok(Some((draft, Unpacker::new(files, &wanted))))
    });
    let Some((draft, mut unpacker)) = begun.await? else { return Ok(Fetched::There) };
    for number in 0..sent.pieces {
        let piece = store.get(shelf, &piece_name(sent.saved.attempt, number)).await?;
        let piece = piece.ok_or_else(|| io::Error::other("a piece of them is gone from the shared store"))?;
        unpacker = blocking(move || unpacker.take(&piece).map(|()| unpacker)).await?;
    }
    let target = dir.to_owned();
    blocking(move || {
        unpacker.finish(&sent.sha256)?;
        put_in_place(draft, &sent.saved, &target)
    })
    .await?;
    Ok(Fetched::There)
}
