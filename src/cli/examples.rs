//! The example repository that ships inside the program, for the demo.

use std::path::Path;

use anyhow::Context;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "examples-repo/"]
struct Example;

/// Writes the example repository's files into `folder`, which exists and is empty.
///
/// # Errors
/// If a file can't be written.
pub fn write_to(folder: &Path) -> anyhow::Result<()> {
    for name in Example::iter() {
        let Some(file) = Example::get(&name) else { continue };
        let path = folder.join(name.as_ref());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("can't make the folder {}", parent.display()))?;
        }
        std::fs::write(&path, &file.data).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}
