//! Which pushes start which pipelines: what a trigger says, without looking at anything else.

use globset::{GlobBuilder, GlobMatcher};

use crate::git::Changed;
use crate::model::{GitTrigger, Pipeline, Trigger};

/// A branch or a tag, by its short name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefName<'a> {
    /// A branch.
    Branch(&'a str),
    /// A tag.
    Tag(&'a str),
}

impl<'a> RefName<'a> {
    /// From the full name; other refs (notes, pull requests) start nothing.
    pub fn of(git_ref: &'a str) -> Option<Self> {
        let name = |prefix| git_ref.strip_prefix(prefix).filter(|name: &&str| !name.is_empty());
        name("refs/heads/").map(Self::Branch).or_else(|| name("refs/tags/").map(Self::Tag))
    }

    /// The name, if it is a branch.
    pub fn branch(self) -> Option<&'a str> {
        match self {
            Self::Branch(name) => Some(name),
            Self::Tag(_) => None,
        }
    }
}

/// The git triggers of a pipeline.
pub fn git_triggers(pipeline: &Pipeline) -> impl Iterator<Item = &GitTrigger> {
    pipeline.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Git(git) => Some(git),
        Trigger::Cron(_) | Trigger::Pipeline(_) | Trigger::Webhook(_) | Trigger::Other(_) => None,
    })
}

/// Whether a trigger is for this branch or tag. A trigger that names tags and no branches is for tags alone; one
/// that names neither is for all branches. In globs, `*` stops at a `/` and `**` doesn't; Spinnaker's `branch`
/// has to match the whole name. Patterns that can't be read match nothing: validation has reported them.
pub fn is_for(trigger: &GitTrigger, name: RefName<'_>) -> bool {
    match name {
        RefName::Tag(tag) => any(&trigger.tags, tag),
        RefName::Branch(_) if !names_branches(trigger) => trigger.tags.is_empty(),
        RefName::Branch(branch) => {
            let regex = |pattern: &String| whole(pattern).is_some_and(|regex| regex.is_match(branch));
            (trigger.branches.is_empty() || any(&trigger.branches, branch)) && trigger.branch.as_ref().is_none_or(regex)
        }
    }
}

/// Whether a trigger says for which branches it is.
pub fn names_branches(trigger: &GitTrigger) -> bool {
    !trigger.branches.is_empty() || trigger.branch.is_some()
}

/// Whether a trigger asks which paths changed. Tags have no paths.
pub fn asks_for_paths(trigger: &GitTrigger, name: RefName<'_>) -> bool {
    matches!(name, RefName::Branch(_)) && !(trigger.paths.is_empty() && trigger.ignore_paths.is_empty())
}

/// Whether the changed paths let a trigger start: one must be among `paths` and not among `ignorePaths`. A push
/// that changes nothing is held back by `paths` alone. Where not all paths are known, any of them could be it.
pub fn lets_through(trigger: &GitTrigger, changed: &Changed) -> bool {
    let (wanted, ignored) = (globs(&trigger.paths), globs(&trigger.ignore_paths));
    if changed.truncated || changed.paths.is_empty() && trigger.paths.is_empty() {
        return true;
    }
    let hit = |globs: &[GlobMatcher], path: &str| globs.iter().any(|glob| glob.is_match(path));
    changed.paths.iter().any(|path| (trigger.paths.is_empty() || hit(&wanted, path)) && !hit(&ignored, path))
}

/// A pattern that has to match the whole text. It must be a pattern by itself, or its parentheses could close
/// those around it.
fn whole(pattern: &str) -> Option<regex::Regex> {
    let compile = |text: &str| regex::RegexBuilder::new(text).size_limit(1 << 20).build().ok();
    compile(pattern).and_then(|_| compile(&format!("^(?:{pattern})$")))
}

fn any(patterns: &[String], name: &str) -> bool {
    globs(patterns).iter().any(|glob| glob.is_match(name))
}

fn globs(patterns: &[String]) -> Vec<GlobMatcher> {
    let compile = |pattern: &String| {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build().ok()?;
        Some(glob.compile_matcher())
    };
    patterns.iter().filter_map(compile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn branch(name: &str) -> RefName<'_> {
        RefName::Branch(name)
    }

    #[test]
    fn only_branches_and_tags_have_names() {
        assert_eq!(RefName::of("refs/heads/a/b"), Some(branch("a/b")));
        assert_eq!(RefName::of("refs/tags/v1"), Some(RefName::Tag("v1")));
        for other in ["refs/heads/", "refs/pull/1/head", "HEAD", "refs/notes/commits"] {
            assert_eq!(RefName::of(other), None, "{other}");
        }
    }

    #[test]
    fn branches_are_globs() {
        let trigger = GitTrigger { branches: texts(&["main", "release/*", "team/**"]), ..GitTrigger::default() };
        for good in ["main", "release/1", "team/a/b"] {
            assert!(is_for(&trigger, branch(good)), "{good}");
        }
        for bad in ["mainly", "release/1/2", "x/main", "Main"] {
            assert!(!is_for(&trigger, branch(bad)), "{bad}");
        }
        assert!(!is_for(&trigger, RefName::Tag("main")), "a tag needs `tags`");
    }

    #[test]
    fn spinnaker_s_branch_matches_the_whole_name() {
        let trigger = GitTrigger { branch: Some("main|release-.*".to_owned()), ..GitTrigger::default() };
        assert!(is_for(&trigger, branch("main")) && is_for(&trigger, branch("release-1")));
        assert!(!is_for(&trigger, branch("domain")) && !is_for(&trigger, branch("main2")));
        let broken = GitTrigger { branch: Some("(".to_owned()), ..GitTrigger::default() };
        assert!(!is_for(&broken, branch("main")), "what can't be read is no filter that lets everything through");
        let escaping = GitTrigger { branch: Some("x)|(.*".to_owned()), ..GitTrigger::default() };
        assert!(!is_for(&escaping, branch("main")));
    }

    #[test]
    fn tags_start_only_who_asks_for_tags() {
        let open = GitTrigger::default();
        assert!(is_for(&open, branch("any/thing")) && !is_for(&open, RefName::Tag("v1")));
        let tags = GitTrigger { tags: texts(&["v*"]), ..GitTrigger::default() };
        assert!(is_for(&tags, RefName::Tag("v1")) && !is_for(&tags, RefName::Tag("x1")));
        assert!(!is_for(&tags, branch("v1")), "who names tags alone doesn't mean branches");
        let both = GitTrigger { tags: texts(&["v*"]), branches: texts(&["main"]), ..GitTrigger::default() };
        assert!(is_for(&both, RefName::Tag("v1")) && is_for(&both, branch("main")) && !is_for(&both, branch("x")));
    }

    #[test]
    fn paths_let_through_what_is_wanted_and_not_ignored() {
        let changed = |paths: &[&str]| Changed { paths: texts(paths), truncated: false };
        let trigger =
            GitTrigger { paths: texts(&["src/**"]), ignore_paths: texts(&["src/doc/**"]), ..GitTrigger::default() };
        assert!(lets_through(&trigger, &changed(&["README", "src/a/b.rs"])));
        assert!(!lets_through(&trigger, &changed(&["README", "src/doc/x"])));
        assert!(!lets_through(&trigger, &changed(&[])));
        let ignore = GitTrigger { ignore_paths: texts(&["docs/**", "*.md"]), ..GitTrigger::default() };
        assert!(!lets_through(&ignore, &changed(&["docs/a", "README.md"])));
        assert!(lets_through(&ignore, &changed(&["docs/a", "src/README.md"])), "`*` stops at a folder");
        assert!(lets_through(&ignore, &changed(&[])), "an empty commit is not a change of what is ignored");
        let unknown = Changed { paths: Vec::new(), truncated: true };
        assert!(lets_through(&trigger, &unknown) && lets_through(&ignore, &unknown));
        assert!(asks_for_paths(&ignore, branch("main")) && !asks_for_paths(&ignore, RefName::Tag("v1")));
        assert!(!asks_for_paths(&GitTrigger::default(), branch("main")));
    }
}
