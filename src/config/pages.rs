//! Where forges have pages for people: addresses made from the configuration alone.

use super::{Config, ForgeKind};
use crate::model::{CommitSha, RepositoryName, percent_encode};

/// The pages of one repository on its forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    kind: ForgeKind,
    /// The repository's own page.
    base: String,
}

impl Config {
    /// The pages of a repository; none if no forge hosts it.
    pub fn pages(&self, repository: &RepositoryName) -> Option<Pages> {
        let forge = self.forges.get(self.repository(repository)?.forge.as_ref()?)?;
        let (url, name) = (&forge.url, repository.as_str());
        let base = match (forge.kind, name.split_once('/')) {
            (ForgeKind::BitbucketDataCenter, Some((owner, slug))) => match owner.strip_prefix('~') {
                Some(user) => format!("{url}/users/{user}/repos/{slug}"),
                None => format!("{url}/projects/{owner}/repos/{slug}"),
            },
            _ => format!("{url}/{name}"),
        };
        Some(Pages { kind: forge.kind, base })
    }
}

impl Pages {
    /// The repository.
    pub fn repository(&self) -> &str {
        &self.base
    }

    /// A commit.
    pub fn commit(&self, commit: &CommitSha) -> String {
        let commits = if self.kind == ForgeKind::GitHub { "commit" } else { "commits" };
        format!("{}/{commits}/{commit}", self.base)
    }

    /// A pull request.
    pub fn pull_request(&self, number: u64) -> String {
        let pulls = if self.kind == ForgeKind::GitHub { "pull" } else { "pull-requests" };
        format!("{}/{pulls}/{number}", self.base)
    }

    /// A line of a file as it is in a commit.
    pub fn line(&self, commit: &CommitSha, file: &str, line: u32) -> String {
        let file = percent_encode(file, "/-_.");
        match self.kind {
            ForgeKind::GitHub => format!("{}/blob/{commit}/{file}#L{line}", self.base),
            ForgeKind::BitbucketCloud => format!("{}/src/{commit}/{file}#lines-{line}", self.base),
            ForgeKind::BitbucketDataCenter => format!("{}/browse/{file}?at={commit}#{line}", self.base),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_forge_has_its_pages_where_it_has_them() {
        let text = "server: {publicUrl: 'https://cd.example.com', tokens: [{env: X}]}\nforges:\n  hub: {type: github}\n  \
                    cloud: {type: bitbucket}\n  center: {type: bitbucketDataCenter, url: 'https://git.example.com/bb'}\n\
                    repositories:\n  - {name: acme/hub, forge: hub}\n  - {name: acme/cloud, forge: cloud}\n  \
                    - {name: SHOP/center, forge: center}\n  - {name: ~ann/own, forge: center}\n  - {name: plain, path: /x}\n";
        let config = Config::parse(Path::new("/etc/longboat.yaml"), text, |_| Some("a-long-token".to_owned()));
        let config = config.expect("legal");
        let commit: CommitSha = "1a2b3c4d5e".repeat(4).parse().expect("a commit");
        let pages = |name: &str| {
            let pages = config.pages(&name.parse().expect("a name"))?;
            Some([pages.commit(&commit), pages.pull_request(7), pages.line(&commit, ".longboat/a b.yaml", 3)])
        };
        let of = |name: &str, expected: [&str; 3]| {
            let expected = expected.map(|text| text.replace('$', commit.as_str()));
            assert_eq!(pages(name), Some(expected), "{name}");
        };
        of(
            "acme/hub",
            [
                "https://github.com/acme/hub/commit/$",
                "https://github.com/acme/hub/pull/7",
                "https://github.com/acme/hub/blob/$/.longboat/a%20b.yaml#L3",
            ],
        );
        of(
            "acme/cloud",
            [
                "https://bitbucket.org/acme/cloud/commits/$",
                "https://bitbucket.org/acme/cloud/pull-requests/7",
                "https://bitbucket.org/acme/cloud/src/$/.longboat/a%20b.yaml#lines-3",
            ],
        );
        let center = "https://git.example.com/bb/projects/SHOP/repos/center";
        of(
            "SHOP/center",
            [
                &format!("{center}/commits/$"),
                &format!("{center}/pull-requests/7"),
                &format!("{center}/browse/.longboat/a%20b.yaml?at=$#3"),
            ],
        );
        let own = config.pages(&"~ann/own".parse().expect("a name")).expect("on the forge");
        assert_eq!(own.repository(), "https://git.example.com/bb/users/ann/repos/own");
        assert_eq!(pages("plain"), None);
        assert_eq!(pages("no/such"), None);
    }
}
