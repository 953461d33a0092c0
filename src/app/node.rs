//! The node: a state folder, by an id that it keeps, so that a process that is started anew finds its scripts again.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use uuid::Uuid;

/// The file in the state folder that holds the id.
const FILE: &str = "node";

/// The id of a state folder; made at the first call.
pub(super) fn node(state_dir: &Path) -> anyhow::Result<Uuid> {
    let file = state_dir.join(FILE);
    let known = read(&file).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => make(state_dir, &file),
        _ => Err(error),
    });
    known.with_context(|| format!("the id of this node can't be read from {}", file.display()))
}

fn read(file: &Path) -> io::Result<Uuid> {
    let text = fs::read_to_string(file)?;
    text.trim().parse().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it doesn't hold an id; if scripts of this folder need not be found again, remove the file",
        )
    })
}

/// Of two that make it at once, the first counts. It is on the disk before anything refers to it.
fn make(state_dir: &Path, file: &Path) -> io::Result<Uuid> {
    let draft = tempfile::NamedTempFile::new_in(state_dir)?;
    fs::write(draft.path(), format!("{}\n", Uuid::now_v7()))?;
    draft.as_file().sync_all()?;
    match draft.persist_noclobber(file) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(error.error),
        Ok(_) | Err(_) => {}
    }
    read(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_id() {
        let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let id = node(one.path()).expect("made");
        assert_eq!(node(one.path()).expect("read"), id);
        assert_ne!(node(other.path()).expect("made"), id);
        assert_eq!(fs::read_dir(one.path()).expect("listed").count(), 1, "no draft is left");
        fs::write(one.path().join(FILE), "").expect("written");
        let error = format!("{:#}", node(one.path()).expect_err("refused"));
        assert!(error.contains("remove the file"), "{error}");
    }
}
