//! The front ends that read what anybody may write: no bytes make them panic, hang, or find something at a place that
//! isn't there. `tests/corpus/` holds what to start from.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longboat::diagnostic::Diagnostic;
use longboat::gitops::fuzz::{fuzz_module_header, fuzz_settings, fuzz_template};
use proptest::prelude::*;

/// A front end: bytes in, findings out.
type FrontEnd = fn(&[u8]) -> Vec<Diagnostic>;

/// The front ends, each with the folder of its corpus.
const FRONT_ENDS: [(&str, FrontEnd); 3] =
    [("module", fuzz_module_header), ("template", fuzz_template), ("settings", fuzz_settings)];

/// Far more than any input takes, even on a machine that does other things.
const LONGEST: Duration = Duration::from_secs(20);

/// Signs and words that mean something to one of the front ends.
const WORDS: [&str; 40] = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "---\n",
    "\n",
    ": ",
    "- ",
    "module:",
    "parameters:",
    "type:",
    "default:",
    "enum",
    "list",
    "secret",
    "options: [",
    "]",
    "{",
    "}",
    "pattern: '",
    "min: ",
    "max: ",
    "-1",
    "1e308",
    ".nan",
    "examples:",
    "with:",
    "use: n",
    "module('n')",
    "for x in y",
    "if x",
    "endif",
    "set x = 1",
    "&a",
    "*a",
    "<<: ",
    "!!str ",
    "\u{FDD0}",
];

fn corpus(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let entries = std::fs::read_dir(&folder).expect("a corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(&path).expect("a file"))).collect()
}

fn holds(run: FrontEnd, bytes: &[u8]) {
    let start = Instant::now();
    let findings = run(bytes);
    let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
    assert!(start.elapsed() < LONGEST, "it took {:?}:\n{}", start.elapsed(), shown());
    assert!(findings.len() <= 400, "{} findings:\n{}", findings.len(), shown());
    for finding in &findings {
        assert!(!finding.message.contains("bug in Longboat"), "{finding}\n{}", shown());
        assert!(!finding.message.is_empty() && finding.message.len() < 20_000, "{finding}\n{}", shown());
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 2;
        if let Some(place) = &finding.place {
            assert!(
                place.line >= 1 && place.column >= 1 && place.line as usize <= lines.max(10),
                "{finding}\n{}",
                shown()
            );
        }
    }
}

#[test]
fn the_corpus_holds() {
    for (folder, run) in FRONT_ENDS {
        let files = corpus(folder);
        assert!(files.len() >= 4, "{folder}");
        for (_, bytes) in files {
            holds(run, &bytes);
        }
    }
}

/// What is done to an input of the corpus: where, and by which word; nothing cuts it off there.
type Change = (prop::sample::Index, Option<prop::sample::Index>);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<Option<prop::sample::Index>>()), 1..6)
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for (at, word) in changes {
        let at = at.index(bytes.len() + 1);
        match word {
            Some(word) => drop(bytes.splice(at..at, WORDS[word.index(WORDS.len())].bytes())),
            None => bytes.truncate(at),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_hold(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, run) in FRONT_ENDS {
            holds(run, &bytes);
        }
    }

    #[test]
    fn any_words_hold(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40)) {
        let text = words.concat();
        for (_, run) in FRONT_ENDS {
            holds(run, text.as_bytes());
            holds(run, format!("module:\n  {text}").as_bytes());
        }
    }

    #[test]
    fn a_changed_corpus_holds(which in any::<prop::sample::Index>(), changes in changes()) {
        for (folder, run) in FRONT_ENDS {
            let files = corpus(folder);
            let (_, bytes) = &files[which.index(files.len())];
            holds(run, &changed(bytes.clone(), &changes));
        }
    }
}
