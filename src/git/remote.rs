//! Where a repository is fetched from, and as whom.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::GitError;

/// Where a repository is fetched from.
#[derive(Clone)]
pub struct Remote {
    /// A path, or an address that starts with `file://`, `http://` or `https://`. Without credentials.
    pub url: String,
    /// As whom; HTTP only.
    pub credentials: Option<Credentials>,
}

/// A name and a password or token for HTTP's basic authentication, or a token alone.
#[derive(Clone)]
pub struct Credentials {
    /// The name; forges that take tokens say which one they want (GitHub: `x-access-token`). None if the token is sent
    /// as it is, as `Bearer` (the tokens of projects and repositories on Bitbucket Data Center).
    pub username: Option<String>,
    /// The password or token.
    pub password: SecretString,
}

impl fmt::Debug for Remote {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Remote")
            .field("url", &printable(&self.url))
            .field("with_credentials", &self.credentials.is_some())
            .finish()
    }
}

impl Remote {
    /// A remote that needs no credentials.
    pub fn open_to_all(url: impl Into<String>) -> Self {
        Self { url: url.into(), credentials: None }
    }

    /// Checks the form of the address, without looking whether anything is there.
    ///
    /// # Errors
    /// If the protocol is not allowed, or the address holds a password or can't be read.
    pub fn check(&self) -> Result<(), GitError> {
        Location::of(&self.url).map(|_| ())
    }

    /// The folder of a repository on this machine.
    pub fn local_path(&self) -> Option<PathBuf> {
        match Location::of(&self.url) {
            Ok(Location::Local(path)) => Some(path),
            _ => None,
        }
    }
}

/// What kind of place an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A folder of this machine, absolute.
    Local(PathBuf),
    /// A server, by `http` or `https`.
    Http { secure: bool },
}

impl Location {
    pub(super) fn of(url: &str) -> Result<Self, GitError> {
        let bad = |reason: &str| Err(GitError::BadRemote { reason: reason.to_owned() });
        if url.is_empty() || url.len() > 4096 || url.chars().any(char::is_control) {
            return bad("it is empty, too long, or has control characters");
        }
        if let Some(path) = url.strip_prefix("file://") {
            let Some(path) = percent_decoded(path) else { return bad("its %-escapes are not UTF-8") };
            return if path.starts_with('/') {
                Ok(Self::Local(path.into()))
            } else {
                bad("after file:// an absolute path must follow, as in file:///srv/git/shop.git")
            };
        }
        if let Some((scheme, rest)) = url.split_once("://") {
            let secure = match scheme {
                "http" => false,
                "https" => true,
                other => return Err(not_allowed(url, other)),
            };
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if authority.is_empty() {
                return bad("it names no server");
            }
            if authority.contains('@') {
                return bad(
                    "it holds a user name or password: give them as credentials, read from the environment or a file",
                );
            }
            return Ok(Self::Http { secure });
        }
        // `ext::sh -c ...` runs programs, and `host:path` is SSH.
        let head = url.split('/').next().unwrap_or_default();
        if let Some((before, after)) = head.split_once(':') {
            return Err(not_allowed(url, if after.starts_with(':') { before } else { "ssh" }));
        }
        std::path::absolute(url).map(Self::Local).map_err(GitError::local("could not resolve", Path::new(url)))
    }
}

fn not_allowed(url: &str, protocol: &str) -> GitError {
    GitError::ProtocolNotAllowed { remote: printable(url), protocol: protocol.chars().take(40).collect() }
}

/// The address as it may be shown: what stands before an `@` could be a password.
pub(super) fn printable(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let host = authority.rsplit('@').next().unwrap_or(authority);
            let path = path.split(['?', '#']).next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' && tail.len() >= 2 && tail[..2].iter().all(u8::is_ascii_hexdigit) {
            bytes.extend(hex::decode(&tail[..2]).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_files_and_http_are_remotes() {
        assert_eq!(Location::of("/srv/a b.git").expect("path"), Location::Local("/srv/a b.git".into()));
        assert_eq!(Location::of("file:///srv/a%20b.git").expect("file"), Location::Local("/srv/a b.git".into()));
        assert_eq!(Location::of("https://h/x.git").expect("https"), Location::Http { secure: true });
        assert!(matches!(Location::of("../shop").expect("relative"), Location::Local(path) if path.is_absolute()));
        for (url, protocol) in [
            ("ssh://git@host/x", "ssh"),
            ("git@host:x.git", "ssh"),
            ("ext::sh -c evil", "ext"),
            ("git://host/x", "git"),
            ("HTTP://host/x", "HTTP"),
        ] {
            match Location::of(url) {
                Err(GitError::ProtocolNotAllowed { protocol: found, .. }) => assert_eq!(found, protocol, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
        }
        for bad in ["", "https://", "file://host/x", "a\nb"] {
            assert!(matches!(Location::of(bad), Err(GitError::BadRemote { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_never_shown() {
        let remote = Remote::open_to_all("https://ann:hunter2@host/x?token=hunter2");
        let error = remote.check().expect_err("refused");
        assert!(!format!("{remote:?} {error} {error:?}").contains("hunter2"));
        let error = Remote::open_to_all("ssh://ann:hunter2@host/x").check().expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
