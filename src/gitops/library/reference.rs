//! What a reference means: a tag, a branch, a commit, or the highest tag of a range of versions.

use std::collections::BTreeMap;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::diagnostic::nearest;
use crate::model::{CommitSha, PinKind};

/// The shortest prefix of a commit that counts as one, in digits.
const SHORTEST_COMMIT: usize = 7;
/// The longest reference, in bytes.
const LONGEST: usize = 250;

/// The branches and tags of a repository at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refs {
    /// The default branch, without `refs/heads/`.
    pub default_branch: Option<String>,
    /// Commits by full name of the ref: `refs/heads/main`, `refs/tags/v1`.
    pub heads: BTreeMap<String, CommitSha>,
}

/// What a reference means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The commit.
    pub commit: CommitSha,
    /// As what it was found.
    pub kind: PinKind,
    /// The commit of a branch of the same name, if a tag was chosen and the branch is elsewhere.
    pub also_branch: Option<CommitSha>,
}

/// What a repository doesn't have, and what to write instead.
pub type Unresolved = (String, Option<String>);

/// Decides what a reference means. `commits` yields the commits of these refs' histories that begin with some digits,
/// two at most.
///
/// In this order: a whole commit id, a tag, a branch, the beginning of a commit id, a range of versions.
///
/// # Errors
/// In words what there is not.
pub fn resolve(
    refs: &Refs,
    reference: &str,
    commits: &dyn Fn(&str) -> Result<Vec<CommitSha>, String>,
) -> Result<Resolved, Unresolved> {
    let found = |commit: &CommitSha, kind| Resolved { commit: commit.clone(), kind, also_branch: None };
    if !is_sane(reference) {
        return Err(("no such reference: it is empty, too long, or has control characters".to_owned(), None));
    }
    if let Ok(commit) = CommitSha::parse(reference) {
        return Ok(found(&commit, PinKind::Commit));
    }
    let tag = refs.heads.get(&format!("refs/tags/{reference}"));
    let branch = refs.heads.get(&format!("refs/heads/{reference}"));
    match (tag, branch) {
        (Some(tag), branch) => {
            let also_branch = branch.filter(|branch| *branch != tag).cloned();
            return Ok(Resolved { also_branch, ..found(tag, PinKind::Tag(reference.to_owned())) });
        }
        (None, Some(branch)) => return Ok(found(branch, PinKind::Branch(reference.to_owned()))),
        (None, None) => {}
    }
    if is_commit_prefix(reference) {
        return match &commits(reference)
            .map_err(|why| (format!("no commit {reference} that can be read: {why}"), None))?[..]
        {
            [one] => Ok(found(one, PinKind::Commit)),
            [] => Err(missing(refs, reference)),
            _ => Err((
                format!("several commits that begin with {reference}"),
                Some("write more digits of the commit".to_owned()),
            )),
        };
    }
    match range(reference) {
        Some(Ok(range)) => highest(refs, reference, &range),
        Some(Err(why)) => Err((
            format!("no versions by the range `{reference}`: {why}"),
            Some("ranges are written `^1.2`, `~1.4`, `1.x` or `>=1, <2`".to_owned()),
        )),
        None => Err(missing(refs, reference)),
    }
}

/// Whether a text can be a reference at all.
fn is_sane(reference: &str) -> bool {
    !reference.trim().is_empty() && reference.len() <= LONGEST && !reference.chars().any(char::is_control)
}

fn is_commit_prefix(reference: &str) -> bool {
    (SHORTEST_COMMIT..40).contains(&reference.len())
        && reference.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The range that a reference writes; nothing if it has none of the signs of one.
fn range(reference: &str) -> Option<Result<VersionReq, String>> {
    let wildcard = |part: &str| matches!(part, "x" | "X" | "*");
    let bare = reference.strip_prefix('v').unwrap_or(reference);
    let parts: Vec<&str> = bare.split('.').collect();
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_wild = parts.iter().any(|part| wildcard(part)) && parts.iter().all(|part| wildcard(part) || number(part));
    if !is_wild && !reference.starts_with(['^', '~', '<', '>', '=']) {
        return None;
    }
    // Tags are called `v1.2`, and so people write ranges.
    let plain: Vec<String> = reference
        .split(',')
        .map(|part| {
            let part = part.trim();
            let version = part.trim_start_matches(['^', '~', '<', '>', '=', ' ']);
            let operator = &part[..part.len() - version.len()];
            format!("{}{}", operator.trim(), version.strip_prefix('v').unwrap_or(version))
        })
        .collect();
    Some(VersionReq::parse(&plain.join(", ")).map_err(|error| error.to_string()))
}

/// The version that a tag names: `v1.2.3` or `1.2.3`.
fn version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

fn tags(refs: &Refs) -> impl Iterator<Item = (&str, &CommitSha)> {
    refs.heads.iter().filter_map(|(name, commit)| Some((name.strip_prefix("refs/tags/")?, commit)))
}

/// The highest version in a range; of two tags of one version, the one with the `v`.
fn highest(refs: &Refs, reference: &str, range: &VersionReq) -> Result<Resolved, Unresolved> {
    let versions = || tags(refs).filter_map(|(tag, commit)| Some((version(tag)?, tag, commit)));
    let best = versions().filter(|(version, ..)| range.matches(version)).max();
    if let Some((_, tag, commit)) = best {
        return Ok(Resolved { commit: commit.clone(), kind: PinKind::Tag(tag.to_owned()), also_branch: None });
    }
    let newest = versions().max().map(|(_, tag, _)| tag);
    let hint = match newest {
        Some(newest) => format!("its newest version is `{newest}`"),
        None => "it has no tags that are versions, like `v1.2.0`".to_owned(),
    };
    Err((format!("no version in the range `{reference}`"), Some(hint)))
}

fn missing(refs: &Refs, reference: &str) -> Unresolved {
    let what = format!("no tag, branch or commit `{reference}`");
    let short =
        |name: &'_ str| name.strip_prefix("refs/tags/").or_else(|| name.strip_prefix("refs/heads/")).map(str::to_owned);
    let names: Vec<String> = refs.heads.keys().filter_map(|name| short(name)).collect();
    let partial = reference.strip_prefix('v').unwrap_or(reference);
    let is_partial = partial.split('.').count() < 3
        && partial.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let in_range = is_partial
        && VersionReq::parse(&format!("{partial}.*"))
            .is_ok_and(|range| tags(refs).filter_map(|(tag, _)| version(tag)).any(|version| range.matches(&version)));
    let hint = if in_range {
        Some(format!("for the highest of its versions write `{partial}.x`"))
    } else if let Some(near) = nearest(reference, names.iter().map(String::as_str)) {
        Some(format!("did you mean `{near}`?"))
    } else if reference.len() < SHORTEST_COMMIT && reference.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Some(format!("of a commit, {SHORTEST_COMMIT} digits are the least"))
    } else {
        None
    };
    (what, hint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sha(number: u32) -> CommitSha {
        CommitSha::parse(&format!("{number:040x}")).expect("a commit")
    }

    fn refs(heads: &[(&str, u32)]) -> Refs {
        let heads = heads.iter().map(|(name, number)| (format!("refs/{name}"), sha(*number))).collect();
        Refs { default_branch: Some("main".to_owned()), heads }
    }

    const REFS: [(&str, u32); 12] = [
        ("heads/main", 1),
        ("heads/both", 2),
        ("heads/feature/x", 3),
        ("heads/deadbeef", 14),
        ("tags/both", 4),
        ("tags/v1.0.0", 5),
        ("tags/v1.4.2", 6),
        ("tags/v1.10.0", 7),
        ("tags/2.0.0", 8),
        ("tags/v3.0.0-rc.1", 9),
        ("tags/v1", 10),
        ("tags/release", 11),
    ];

    fn commits(prefix: &str) -> Result<Vec<CommitSha>, String> {
        let all = [CommitSha::parse(&"ab12345".repeat(6)[..40]).expect("a commit"), sha(0x00ff)];
        if prefix == "fffffff" {
            return Err("no disk".to_owned());
        }
        Ok(all.into_iter().chain([sha(0x00fe)]).filter(|commit| commit.as_str().starts_with(prefix)).take(2).collect())
    }

    #[test]
    fn each_kind_of_reference_is_found() {
        let refs = refs(&REFS);
        let tag = |name: &str| PinKind::Tag(name.to_owned());
        let branch = |name: &str| PinKind::Branch(name.to_owned());
        for (reference, commit, kind) in [
            ("main", sha(1), branch("main")),
            ("feature/x", sha(3), branch("feature/x")),
            ("v1", sha(10), tag("v1")),
            ("both", sha(4), tag("both")),
            ("deadbeef", sha(14), branch("deadbeef")),
            ("^1", sha(7), tag("v1.10.0")),
            ("^1.0", sha(7), tag("v1.10.0")),
            ("~1.4", sha(6), tag("v1.4.2")),
            ("~v1.4", sha(6), tag("v1.4.2")),
            ("1.x", sha(7), tag("v1.10.0")),
            ("v1.4.x", sha(6), tag("v1.4.2")),
            ("=1.0.0", sha(5), tag("v1.0.0")),
            (">=1, <2", sha(7), tag("v1.10.0")),
            (">= v1 , < v1.10", sha(6), tag("v1.4.2")),
            ("*", sha(8), tag("2.0.0")),
            ("^3.0.0-rc", sha(9), tag("v3.0.0-rc.1")),
        ] {
            let resolved = resolve(&refs, reference, &commits).expect(reference);
            assert_eq!((resolved.commit, resolved.kind), (commit, kind), "{reference}");
        }
        let whole = "c".repeat(40);
        assert_eq!(resolve(&refs, &whole, &commits).expect("a commit").kind, PinKind::Commit);
        let short = resolve(&refs, "ab12345", &commits).expect("a commit");
        assert_eq!((short.kind, short.commit.short()), (PinKind::Commit, "ab12345"));
    }

    #[test]
    fn a_tag_wins_over_the_branch_of_its_name_and_says_so() {
        assert_eq!(resolve(&refs(&REFS), "both", &commits).expect("found").also_branch, Some(sha(2)));
        let same = refs(&[("heads/both", 4), ("tags/both", 4)]);
        assert_eq!(resolve(&same, "both", &commits).expect("found").also_branch, None);
    }

    #[test]
    fn a_whole_commit_id_means_the_commit_whatever_tags_are_called() {
        let id = "a".repeat(40);
        let refs = refs(&[(&format!("tags/{id}"), 1)]);
        assert_eq!(resolve(&refs, &id, &commits).expect("found").commit.as_str(), id);
    }

    #[test]
    fn what_there_is_not_comes_with_a_hint() {
        let refs = refs(&REFS);
        for (reference, what, hint) in [
            ("releese", "no tag, branch or commit `releese`", "did you mean `release`?"),
            ("1.4", "no tag, branch or commit `1.4`", "write `1.4.x`"),
            ("^4", "no version in the range `^4`", "its newest version is `v3.0.0-rc.1`"),
            (">=1 <2", "no versions by the range", "`>=1, <2`"),
            ("abcd", "no tag, branch or commit `abcd`", "7 digits are the least"),
            ("bbbbbbb", "no tag, branch or commit `bbbbbbb`", ""),
            ("0000000", "several commits that begin with 0000000", "more digits"),
            ("fffffff", "no disk", ""),
            (" ", "no such reference", ""),
        ] {
            let (said, advice) = resolve(&refs, reference, &commits).expect_err(reference);
            assert!(said.contains(what), "{reference}: {said}");
            assert!(advice.as_deref().unwrap_or_default().contains(hint), "{reference}: {advice:?}");
        }
        let none = Refs::default();
        assert!(resolve(&none, "^1", &commits).expect_err("none").1.expect("a hint").contains("no tags"));
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_only_from_the_refs(
            reference in "[\\^~<>=v0-9.x*, a-f/@-]{0,20}|.{0,30}",
            versions in prop::collection::vec((0_u32..3, 0_u32..3, 0_u32..3), 0..8),
        ) {
            let tags: Vec<(String, u32)> = versions
                .iter()
                .map(|(major, minor, patch)| (format!("tags/v{major}.{minor}.{patch}"), major * 9 + minor * 3 + patch + 1))
                .collect();
            let refs = refs(&tags.iter().map(|(name, number)| (name.as_str(), *number)).collect::<Vec<_>>());
            if let Ok(resolved) = resolve(&refs, &reference, &|_| Ok(Vec::new())) {
                match &resolved.kind {
                    PinKind::Tag(tag) => {
                        prop_assert_eq!(refs.heads.get(&format!("refs/tags/{tag}")), Some(&resolved.commit));
                    }
                    other => prop_assert!(*other == PinKind::Commit && reference.len() >= 40, "{:?}", other),
                }
                prop_assert_eq!(resolve(&refs, &reference, &|_| Ok(Vec::new())), Ok(resolved));
            }
        }

        #[test]
        fn a_range_chooses_the_highest_tag_that_it_holds(
            versions in prop::collection::btree_set((0_u64..3, 0_u64..12, 0_u64..4), 1..12),
            major in 0_u64..3,
        ) {
            let tags: Vec<String> =
                versions.iter().map(|(major, minor, patch)| format!("refs/tags/v{major}.{minor}.{patch}")).collect();
            let heads = tags.iter().zip(1_u32..).map(|(tag, number)| (tag.clone(), sha(number))).collect();
            let refs = Refs { default_branch: None, heads };
            let best = versions.iter().rfind(|version| version.0 == major);
            let found = resolve(&refs, &format!("{major}.x"), &|_| Ok(Vec::new())).ok().map(|found| found.kind);
            let expected = best.map(|(major, minor, patch)| PinKind::Tag(format!("v{major}.{minor}.{patch}")));
            prop_assert_eq!(found, expected);
        }
    }
}
