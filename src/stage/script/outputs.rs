//! What a script wrote to the file named by `LONGBOAT_OUTPUT`: lines `key=value`, which become outputs. A line
//! `artifact={"type": ..., "name": ...}` is an artifact that the script made; all of them stand under `artifacts`.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use serde_json::{Map, Value, json};

use crate::model::Artifact;

use crate::secret::Masker;

/// The most bytes that a script may write. Outputs stand in the journal; data goes into files.
const LIMIT: u64 = 64 * 1024;

/// The output that Longboat gives itself.
pub(super) const EXIT_CODE: &str = "exitCode";

/// What stands before an artifact, and where the artifacts stand.
const ARTIFACT: &str = "artifact";
const ARTIFACTS: &str = "artifacts";
const RESOLVED: &str = "resolvedExpectedArtifacts";
/// The most artifacts of a script.
const MAX_ARTIFACTS: usize = 100;

/// Reads the outputs: those that are fine, and what is wrong with the first that isn't.
pub(super) fn read(file: &Path) -> (Map<String, Value>, Option<String>) {
    match bytes_of(file) {
        Err(error) => (Map::new(), Some(format!("the file of outputs can't be read: {error}"))),
        Ok(bytes) if bytes.len() as u64 > LIMIT => {
            (Map::new(), Some("the outputs are larger than 64 KiB: pass large things on in files".to_owned()))
        }
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => parse(&text),
            Err(_) => (Map::new(), Some("the outputs are not UTF-8 text".to_owned())),
        },
    }
}

/// Takes secrets out of the outputs, once nobody writes them any more. What [`read`] refuses is left for it to refuse.
pub(super) fn mask(file: &Path, masker: &Masker) -> io::Result<()> {
    let Ok(bytes) = bytes_of(file) else { return Ok(()) };
    if bytes.is_empty() || masker.is_empty() || bytes.len() as u64 > LIMIT {
        return Ok(());
    }
    let mut stream = masker.stream();
    let mut masked = stream.push(&bytes);
    masked.extend(stream.finish());
    if masked == bytes {
        return Ok(());
    }
    let mut draft = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(file))?;
    draft.write_all(&masked)?;
    draft.persist(file)?;
    Ok(())
}

/// A script can put anything in the file's place: neither a link nor a pipe is read.
fn bytes_of(file: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a plain file any more"));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(text: &str) -> (Map<String, Value>, Option<String>) {
    let mut outputs = Map::new();
    let mut artifacts: Vec<Artifact> = Vec::new();
    let mut fault = None;
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match line.split_once('=') {
            Some((ARTIFACT, value)) => match serde_json::from_str::<Artifact>(value) {
                Ok(artifact) if artifacts.len() < MAX_ARTIFACTS => artifacts.push(artifact),
                Ok(_) => {
                    fault.get_or_insert_with(|| format!("the outputs have more than {MAX_ARTIFACTS} artifacts"));
                }
                Err(error) => {
                    fault.get_or_insert_with(|| {
                        format!("line {} of the outputs is no artifact in JSON: {error}", index + 1)
                    });
                }
            },
            Some((own @ (EXIT_CODE | ARTIFACTS | RESOLVED), _)) => {
                fault.get_or_insert_with(|| {
                    format!("line {} of the outputs sets {own}, which isn't a script's to set", index + 1)
                });
            }
            Some((name, value)) if is_name(name) => {
                outputs.insert(name.to_owned(), value.into());
            }
            _ => {
                let shown: String = line.chars().take(40).collect();
                fault.get_or_insert_with(|| format!("line {} of the outputs is `{shown}`, not `key=value` with a key of letters, digits, `_` and `-`", index + 1));
            }
        }
    }
    if !artifacts.is_empty() {
        outputs.insert(ARTIFACTS.to_owned(), json!(artifacts));
    }
    (outputs, fault)
}

fn is_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn read_text(text: impl AsRef<[u8]>) -> (Value, Option<String>) {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("output");
        fs::write(&file, text).expect("written");
        let (outputs, fault) = read(&file);
        (outputs.into(), fault)
    }

    #[test]
    fn lines_become_outputs() {
        let (outputs, fault) = read_text("image=shop:1\nurl=http://a?b=c\n\nempty=\nimage=shop:2\nspace= a b \n");
        assert_eq!(outputs, json!({"image": "shop:2", "url": "http://a?b=c", "empty": "", "space": " a b "}));
        assert_eq!(fault, None);
        assert_eq!(read(Path::new("/nowhere/output")), (Map::new(), None));
    }

    #[test]
    fn artifacts_are_collected() {
        let (outputs, fault) = read_text(
            "artifact={\"type\": \"docker/image\", \"name\": \"shop\"}\nimage=shop\nartifact={\"name\": \"b\"}\n",
        );
        assert_eq!(fault, None);
        let artifacts = json!([{"type": "docker/image", "name": "shop"}, {"name": "b"}]);
        assert_eq!(outputs, json!({"image": "shop", "artifacts": artifacts}));
    }

    #[test]
    fn bad_lines_are_named_and_good_ones_kept() {
        for (text, part) in [
            ("a=1\nnonsense", "line 2 of the outputs is `nonsense`"),
            ("a=1\nb c=2\nmore nonsense", "line 2"),
            ("a=1\n=2", "line 2"),
            ("a=1\nexitCode=0", "exitCode"),
            ("a=1\nartifacts=[]", "artifacts"),
            ("a=1\nartifact=shop:1", "line 2 of the outputs is no artifact in JSON"),
            ("a=1\nartifact={\"nmae\": \"shop\"}", "nmae"),
        ] {
            let (outputs, fault) = read_text(text);
            assert_eq!(outputs, json!({"a": "1"}));
            assert!(fault.as_deref().is_some_and(|fault| fault.contains(part)), "{fault:?}");
        }
    }

    #[test]
    fn what_is_no_bounded_text_file_is_refused() {
        assert!(read_text(b"a=\xff").1.is_some_and(|fault| fault.contains("UTF-8")));
        assert!(read_text("a=".to_owned() + &"x".repeat(64 * 1024)).1.is_some_and(|fault| fault.contains("64 KiB")));
        let dir = tempfile::tempdir().expect("a folder");
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/hostname", &link).expect("linked");
        for file in [pipe, link] {
            let (outputs, fault) = read(&file);
            assert!(outputs.is_empty() && fault.is_some(), "{}", file.display());
        }
    }
}
