//! Saving and restoring with real files, and with what somebody put in the way.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::stage::saved::save::Manifest;

fn write(root: &Path, path: &str, text: &str) {
    let full = root.join(path);
    fs::create_dir_all(full.parent().expect("a parent")).expect("folders");
    fs::write(full, text).expect("written");
}

fn read(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

fn try_save(
    checkout: &Path,
    globs: &[&str],
    target: &Path,
    attempt: u32,
    limits: &SavedLimits,
) -> Result<Manifest, String> {
    let globs = Globs::parse(&globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>())?;
    save(checkout, globs, target, attempt, limits).map_err(|error| match error {
        SaveError::Refused(message) => message,
        SaveError::Io(error) => format!("io: {error}"),
    })
}

fn saved(checkout: &Path, globs: &[&str], target: &Path) -> Result<Manifest, String> {
    try_save(checkout, globs, target, 1, &SavedLimits::default())
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["checkout", "other", "outside"] {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        Self { folder }
    }
    fn checkout(&self) -> PathBuf {
        self.folder.path().join("checkout")
    }
    fn other(&self) -> PathBuf {
        self.folder.path().join("other")
    }
    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }
    fn target(&self) -> PathBuf {
        self.folder.path().join("files/build")
    }
}

#[test]
fn what_matches_comes_back_at_its_path() {
    let place = Place::new();
    for path in ["dist/app", "dist/deep/lib", "dist/.hidden", "report.xml", "src/main"] {
        write(&place.checkout(), path, path);
    }
    fs::set_permissions(place.checkout().join("dist/app"), fs::Permissions::from_mode(0o4777)).expect("set");
    let manifest = saved(&place.checkout(), &["dist", "*.xml"], &place.target()).expect("saved");
    assert_eq!((manifest.files, manifest.bytes), (4, 43));

    write(&place.other(), "report.xml", "an older one");
    write(&place.other(), "dist/kept", "stays");
    assert!(restore(&place.target(), &place.other()).expect("restored"));
    for path in ["dist/app", "dist/deep/lib", "dist/.hidden", "report.xml"] {
        assert_eq!(read(&place.other(), path).as_deref(), Some(path));
    }
    assert_eq!(read(&place.other(), "dist/kept").as_deref(), Some("stays"));
    assert_eq!(read(&place.other(), "src/main"), None);
    let mode = |path: &str| fs::metadata(place.other().join(path)).expect("there").permissions().mode() & 0o7777;
    assert_eq!((mode("dist/app"), mode("dist/deep/lib")), (0o755, 0o644), "executable stays, set-user-id doesn't");
    let left = fs::read_dir(place.other().join("dist")).expect("listed").count();
    assert_eq!(left, 4, "no draft is left");
}

#[test]
fn a_pattern_that_matches_nothing_is_said_and_nothing_is_left() {
    let place = Place::new();
    write(&place.checkout(), "a", "1");
    let error = saved(&place.checkout(), &["a", "dist/**"], &place.target()).expect_err("refused");
    assert_eq!(error, "`files.save`: `dist/**` matches no file of the checkout");
    assert!(!restore(&place.target(), &place.other()).expect("asked"));
    assert_eq!(fs::read_dir(place.folder.path().join("files")).expect("listed").count(), 0);
}

#[test]
fn links_are_neither_saved_nor_followed() {
    let place = Place::new();
    write(&place.outside(), "secret", "secret");
    write(&place.checkout(), "dist/good", "good");
    symlink(place.outside(), place.checkout().join("dist/way")).expect("linked");
    symlink(place.outside().join("secret"), place.checkout().join("dist/file")).expect("linked");
    symlink("..", place.checkout().join("dist/loop")).expect("linked");
    symlink(place.outside(), place.checkout().join("linked")).expect("linked");
    nix::unistd::mkfifo(&place.checkout().join("dist/pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    let manifest =
        saved(&place.checkout(), &["dist/**"], &place.target()).expect("saved, and doesn't hang at the pipe");
    assert_eq!(manifest.files, 1);
    let error = saved(&place.checkout(), &["linked"], &place.target().with_file_name("b")).expect_err("only a link");
    assert!(error.contains("only symbolic links"), "{error}");
    let error = saved(&place.checkout(), &["linked/*"], &place.target().with_file_name("c")).expect_err("not below");
    assert!(error.contains("matches no file"), "{error}");
}

#[test]
fn nothing_is_written_through_a_link() {
    let place = Place::new();
    for path in ["out/file", "file", "folder"] {
        write(&place.checkout(), path, "new");
    }
    saved(&place.checkout(), &["**"], &place.target()).expect("saved");

    // A file that is a link is replaced; what it led to stays as it is.
    write(&place.outside(), "precious", "old");
    symlink(place.outside().join("precious"), place.other().join("file")).expect("linked");
    symlink(place.outside(), place.other().join("out")).expect("linked");
    let error = restore(&place.target(), &place.other()).expect_err("a link is no folder").to_string();
    assert!(error.starts_with("`out`: ") && error.contains("symbolic link"), "{error}");
    assert_eq!(fs::read_dir(place.outside()).expect("listed").count(), 1, "nothing came out");

    fs::remove_file(place.other().join("out")).expect("removed");
    assert!(restore(&place.target(), &place.other()).expect("restored"));
    assert_eq!(read(&place.other(), "file").as_deref(), Some("new"));
    assert_eq!(read(&place.outside(), "precious").as_deref(), Some("old"));

    fs::remove_file(place.other().join("folder")).expect("removed");
    fs::create_dir(place.other().join("folder")).expect("made");
    let error = restore(&place.target(), &place.other()).expect_err("a folder is in the way").to_string();
    assert!(error.starts_with("`folder`: ") && error.contains("a folder there"), "{error}");
}

#[test]
fn sizes_are_bounded_in_bytes_and_files() {
    let place = Place::new();
    for number in 0..5 {
        write(&place.checkout(), &format!("many/{number}"), &"x".repeat(100));
    }
    let limits = |bytes, files| SavedLimits { bytes, files, ..SavedLimits::default() };
    let with = |bytes, files| try_save(&place.checkout(), &["many"], &place.target(), 1, &limits(bytes, files));
    let error = with(499, 10).expect_err("a byte too many");
    assert!(
        error.contains("`many/4`") && error.contains("499 bytes") && error.contains("limits.savedBytes"),
        "{error}"
    );
    let error = with(1000, 4).expect_err("a file too many");
    assert!(error.contains("4 files") && error.contains("limits.savedFiles"), "{error}");
    assert_eq!(with(500, 5).expect("just right").bytes, 500);

    let mut deep = place.checkout();
    for _ in 0..70 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).expect("made");
    let error = try_save(&place.checkout(), &["d"], &place.target(), 2, &limits(500, 5)).expect_err("too deep");
    assert!(error.contains("deeper than 64"), "{error}");
}

#[test]
fn an_attempt_saves_once_and_a_later_one_anew() {
    let place = Place::new();
    write(&place.checkout(), "a", "first");
    let first = saved(&place.checkout(), &["*"], &place.target()).expect("saved");
    write(&place.checkout(), "a", "changed since");
    write(&place.checkout(), "b", "new");
    assert_eq!(saved(&place.checkout(), &["*"], &place.target()), Ok(first), "asked again after a crash");
    restore(&place.target(), &place.other()).expect("restored");
    assert_eq!((read(&place.other(), "a").as_deref(), read(&place.other(), "b")), (Some("first"), None));

    fs::remove_file(place.checkout().join("a")).expect("removed");
    try_save(&place.checkout(), &["*"], &place.target(), 2, &SavedLimits::default()).expect("saved");
    assert_eq!(read(&place.target().join("files"), "a"), None, "the older attempt's files are gone");
    assert_eq!(fs::read_dir(place.folder.path().join("files")).expect("listed").count(), 1, "nothing else is left");
}

#[test]
fn what_was_handed_down_has_a_name_of_its_own() {
    let (ctx, _signals) = crate::stage::tests::Stage::of("script", serde_json::json!({})).context();
    let mut info = ctx.execution.info.clone();
    let state = Path::new("/state");
    let source_dir = |state: &Path, info: &NewExecution, from: &str| {
        source(info, from).map(|(execution, stage)| stage_dir(state, execution, &stage))
    };
    let own = source_dir(state, &info, "build").expect("a folder");
    assert_eq!(own, state.join(format!("files/{}/build", info.id)));
    let error = source_dir(state, &info, "parent/build").expect_err("nobody started it");
    assert!(error.contains("no other pipeline started this one"), "{error}");
    let parent = ExecutionId::generate();
    info.trigger.parent = Some(crate::model::Parent {
        execution: parent,
        stage: "sub".parse().expect("a path"),
        application: "shop".parse().expect("a name"),
        pipeline: "all".parse().expect("a name"),
        root: crate::model::CauseKind::Git,
        files: vec![StageId::parse("build").expect("an id")],
        awaited_by: Vec::new(),
    });
    let handed = source_dir(state, &info, "parent/build").expect("a folder");
    assert_eq!(handed, state.join(format!("files/{parent}/build")));
    let error = source_dir(state, &info, "parent/other").expect_err("not handed down");
    assert!(error.contains("hands down no files of a stage `other`"), "{error}");
    for hostile in ["../x", "..", "/etc", "a/../../b"] {
        let place = source_dir(state, &info, hostile);
        assert!(place.as_ref().map_or(true, |dir| dir.parent() == own.parent()), "{hostile}: {place:?}");
    }
}
