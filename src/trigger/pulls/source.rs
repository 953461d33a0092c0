//! Where the head of a pull request is fetched from, and from where it is not.

use std::sync::Arc;

use crate::forge::{Forge, HeadSource};
use crate::git::{GitError, Head, Remote};
use crate::model::PullRequest;
use crate::trigger::RepositorySpec;

/// Where the head is, or in words why it can't be fetched.
pub(super) fn of(
    forge: Option<&Arc<dyn Forge>>,
    spec: &RepositorySpec,
    pull_request: &PullRequest,
) -> Result<Head, String> {
    let source = forge.map_or_else(
        || HeadSource::Ref(format!("refs/heads/{}", pull_request.head_branch)),
        |forge| forge.head_of(pull_request),
    );
    match source {
        HeadSource::Ref(git_ref) => Ok(Head::Own(git_ref)),
        HeadSource::Gone => Err("the repository that the branch comes from is gone".to_owned()),
        HeadSource::Repository { url, git_ref } => {
            // The credentials are the forge's: they must not go anywhere else, whatever a payload says.
            if !spec.forge_url.as_deref().is_some_and(|base| is_below(&url, base)) {
                return Err("the branch comes from a repository that is not on the same forge".to_owned());
            }
            let credentials = spec.remote.credentials.clone();
            Ok(Head::Other { remote: Remote { url, credentials }, git_ref })
        }
    }
}

/// Whether an address is below another one, without a way out of it.
fn is_below(url: &str, base: &str) -> bool {
    let base = base.trim_end_matches('/');
    let Some(rest) = url.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')) else { return false };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '~' | '{' | '}');
    base.contains("://")
        && !rest.is_empty()
        && rest.split('/').all(|part| !matches!(part, "" | "." | "..") && part.chars().all(plain))
}

/// Whether trying again would not help: it is not a matter of time.
pub(super) fn is_final(error: &GitError) -> bool {
    matches!(
        error,
        GitError::ProtocolNotAllowed { .. }
            | GitError::BadRemote { .. }
            | GitError::Moved { .. }
            | GitError::Unsupported { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_forge_s_address_is_fetched() {
        let base = "https://git.example.com/context";
        for good in ["https://git.example.com/context/ann/shop.git", "https://git.example.com/context/scm/~ann/shop"] {
            assert!(is_below(good, base) && is_below(good, &format!("{base}/")), "{good}");
        }
        for bad in [
            "https://git.example.com/context",
            "https://git.example.com/context/",
            "https://git.example.com/contextual/ann/shop",
            "https://git.example.com/other/ann/shop",
            "https://git.example.com/context/../other/shop",
            "https://git.example.com/context/%2e%2e/shop",
            "https://git.example.com/context/shop?x=y",
            "http://git.example.com/context/ann/shop",
            "https://git.example.com@evil.example/context/ann/shop",
            "https://evil.example/https://git.example.com/context/a",
            "file:///etc",
        ] {
            assert!(!is_below(bad, base), "{bad}");
        }
    }
}
