//! Module repositories: repositories whose modules the pipelines of others use, each with a name.

use std::time::Duration;

use super::{Credentials, Location};
use crate::model::{ImpactDetail, RepositoryName};

/// The folder of modules of a repository that keeps them beside other things.
pub const MODULE_FOLDER: &str = ".longboat/modules";

/// A module repository.
#[derive(Debug, Clone)]
pub struct ModuleRepository {
    /// The first part of the names of its modules.
    pub name: String,
    /// Where it is.
    pub source: ModuleSource,
    /// What a name without `@` means; none: the default branch.
    pub reference: Option<String>,
    /// The folder of its modules, without a slash at the end; empty: the whole repository.
    pub folder: String,
    /// What a pull request there tells about the repositories that use it.
    pub dependents: Dependents,
}

/// Where a module repository is.
#[derive(Debug, Clone)]
pub enum ModuleSource {
    /// It is one of [`super::Config::repositories`], with whose mirror, webhooks and pull requests it shares.
    Followed(RepositoryName),
    /// It is a repository of its own.
    Own {
        /// Where it is fetched from.
        location: Location,
        /// For the fetch.
        credentials: Option<Credentials>,
        /// The pause between two looks for changes.
        poll: Duration,
    },
}

/// What a pull request on a module repository may tell about other repositories: whoever may read the one may not be
/// allowed to read the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dependents {
    /// How many repositories and pipelines would change.
    #[default]
    Counts,
    /// Their names, too.
    Names,
    /// What would change in them, too.
    Plans,
}

impl Dependents {
    /// What the impact of a merge may have.
    pub const fn detail(self) -> ImpactDetail {
        match self {
            Self::Counts => ImpactDetail::Counts,
            Self::Names => ImpactDetail::Names,
            Self::Plans => ImpactDetail::Plans,
        }
    }
}

/// The folder of modules that a `path` names: `.` is the whole repository. Nothing if it leads elsewhere.
pub fn module_folder(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let path = path.strip_prefix("./").unwrap_or(path);
    let inside = |path: &str| {
        path.len() <= 1000
            && !path.chars().any(|letter| letter.is_control() || letter == '\\')
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
    };
    match path {
        "." => Some(String::new()),
        path => inside(path).then(|| path.to_owned()),
    }
}

/// What a module repository may be called.
pub const MODULE_REPOSITORY_RULE: &str =
    "1 to 60 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`, and not `std`";

/// Whether a text follows [`MODULE_REPOSITORY_RULE`].
pub fn is_module_repository_name(name: &str) -> bool {
    (1..=60).contains(&name.len())
        && name != "std"
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_stay_inside() {
        for (path, folder) in [
            (".", Some("")),
            ("./", Some("")),
            ("modules/", Some("modules")),
            ("./a/b", Some("a/b")),
            ("", None),
            ("/", None),
            ("../x", None),
            ("/x", None),
            ("a/../b", None),
        ] {
            assert_eq!(module_folder(path).as_deref(), folder, "{path}");
        }
    }

    #[test]
    fn names_are_words_and_not_the_built_in_library_s() {
        for (name, good) in
            [("platform", true), ("a.b-c_d", true), ("std", false), ("", false), ("a/b", false), (".a", false)]
        {
            assert_eq!(is_module_repository_name(name), good, "{name}");
        }
    }
}
