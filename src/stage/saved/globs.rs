//! Which paths a stage saves.

use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher};

/// The most patterns of one stage, and the most bytes of one.
const MAX_PATTERNS: usize = 64;
const MAX_LENGTH: usize = 300;

/// The patterns of one stage, and which of them have matched.
#[derive(Debug)]
pub(in crate::stage) struct Globs(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    text: String,
    matcher: GlobMatcher,
    /// The folders at its beginning that are no pattern: nothing outside of them can match.
    fixed: PathBuf,
    matched: bool,
    /// It matched a symbolic link, which doesn't count.
    matched_link: bool,
}

impl Globs {
    /// Reads patterns; all of them stay within the checkout.
    ///
    /// # Errors
    /// Which one is wrong, in words.
    pub(in crate::stage) fn parse(texts: &[String]) -> Result<Self, String> {
        if texts.len() > MAX_PATTERNS {
            return Err(format!("`files.save` has more than {MAX_PATTERNS} patterns"));
        }
        texts.iter().map(|text| pattern(text)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the path matches; notes that it does.
    pub(super) fn matches(&mut self, path: &Path) -> bool {
        let mut any = false;
        for pattern in self.0.iter_mut().filter(|pattern| pattern.matcher.is_match(path)) {
            pattern.matched = true;
            any = true;
        }
        any
    }

    /// Notes that a symbolic link has this path.
    pub(super) fn meets_link(&mut self, path: &Path) {
        for pattern in self.0.iter_mut().filter(|pattern| pattern.matcher.is_match(path)) {
            pattern.matched_link = true;
        }
    }

    /// Whether something below this folder can match.
    pub(super) fn may_match_below(&self, folder: &Path) -> bool {
        self.0
            .iter()
            .any(|pattern| pattern.fixed.components().zip(folder.components()).all(|(fixed, found)| fixed == found))
    }

    /// The first pattern that matched nothing, in words.
    pub(super) fn complaint(&self) -> Option<String> {
        let pattern = self.0.iter().find(|pattern| !pattern.matched)?;
        let text = &pattern.text;
        Some(if pattern.matched_link {
            format!("`files.save`: `{text}` matches only symbolic links, which are not saved")
        } else {
            format!("`files.save`: `{text}` matches no file of the checkout")
        })
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let wrong = |why: &str| format!("`files.save`: `{}` {why}", text.chars().take(80).collect::<String>());
    let cut = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
    if cut.is_empty() || cut.len() > MAX_LENGTH {
        return Err(wrong("is empty or too long"));
    }
    let path = Path::new(cut);
    if cut.contains('\0') || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(wrong("must be a path inside the checkout, without `..`"));
    }
    let glob: Glob = GlobBuilder::new(cut)
        .literal_separator(true)
        .build()
        .map_err(|error| wrong(&format!("is no pattern: {}", error.kind())))?;
    let is_fixed = |part: &Component<'_>| {
        part.as_os_str().to_str().is_some_and(|part| !part.contains(['*', '?', '[', ']', '{', '}', '\\', ',']))
    };
    let fixed = path.components().take_while(is_fixed).collect();
    Ok(Pattern { text: text.to_owned(), matcher: glob.compile_matcher(), fixed, matched: false, matched_link: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Result<Globs, String> {
        Globs::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_go_below() {
        let mut found = globs(&["dist/*.js", "./reports/**", "a{b,c}/x"]).expect("legal");
        for (path, expected) in [
            ("dist/a.js", true),
            ("dist/deep/a.js", false),
            ("reports/a/b/c.xml", true),
            ("report", false),
            ("ab/x", true),
            ("ac/x", true),
            ("ad/x", false),
        ] {
            assert_eq!(found.matches(Path::new(path)), expected, "{path}");
        }
        assert_eq!(found.complaint(), None);
        assert!(found.may_match_below(Path::new("dist")) && found.may_match_below(Path::new("ab")));
        let only = globs(&["dist/*.js"]).expect("legal");
        assert!(!only.may_match_below(Path::new("node_modules")) && only.may_match_below(Path::new("dist/deep")));
        assert_eq!(only.complaint().as_deref(), Some("`files.save`: `dist/*.js` matches no file of the checkout"));
    }

    #[test]
    fn no_pattern_leads_out() {
        let long = "x".repeat(301);
        for bad in ["", "/", "/etc/passwd", "../x", "a/../../x", "a\0b", "[", "{a", ".", "./", &long, "a/.."] {
            assert!(globs(&[bad]).is_err(), "{bad}");
        }
        assert!(Globs::parse(&vec!["a".to_owned(); 65]).is_err());
    }
}
