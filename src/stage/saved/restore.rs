//! Putting saved files into a checkout.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::folder::Folder;
use super::save::manifest;

/// Puts what lies in `source` (as `save` left it) into the checkout, each file at its path, in place of what is there.
/// False: nothing was saved there, or it is gone.
///
/// # Errors
/// If the disk fails, or something in the checkout is in the way; the error names it.
pub(in crate::stage) fn restore(source: &Path, checkout: &Path) -> io::Result<bool> {
    if manifest(source).is_none() {
        return Ok(false);
    }
    let saved = Folder::open(&source.join("files"))?;
    folder(&saved, &Folder::open(checkout)?, Path::new(""))?;
    Ok(true)
}

fn folder(saved: &Folder, target: &Folder, path: &Path) -> io::Result<()> {
    for entry in saved.entries()? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let path = path.join(&name);
        let placed =
            if kind.is_dir() { target.make_folder(&name).map(Some) } else { file(saved, target, &name).map(|()| None) };
        let below = placed.map_err(|error| in_the_way(&path, &error))?;
        if let Some(below) = below {
            folder(&saved.folder(&name)?, &below, &path)?;
        }
    }
    Ok(())
}

fn in_the_way(path: &Path, error: &io::Error) -> io::Error {
    let what = match error.raw_os_error() {
        Some(code) if code == nix::errno::Errno::ENOTDIR as i32 || code == nix::errno::Errno::ELOOP as i32 => {
            "the checkout has something else than a folder there, a symbolic link perhaps".to_owned()
        }
        Some(code) if code == nix::errno::Errno::EISDIR as i32 => "the checkout has a folder there".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("`{}`: {what}", path.display()))
}

/// Under another name first, so that a link of that name is replaced and not followed.
fn file(saved: &Folder, target: &Folder, name: &OsStr) -> io::Result<()> {
    let mut source = saved.file(name)?;
    let executable = source.metadata()?.permissions().mode() & 0o100 != 0;
    let draft = OsString::from(format!(".longboat-{:016x}", fastrand::u64(..)));
    let mut copy = target.new_file(&draft, executable)?;
    let placed = io::copy(&mut source, &mut copy)
        .and_then(|_| copy.set_permissions(fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 })))
        .and_then(|()| target.rename(&draft, name));
    placed.inspect_err(|_| {
        // Nobody asked for it.
        let _gone = target.remove_file(&draft);
    })
}
