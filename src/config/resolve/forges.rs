//! The forges: what kind each is, where it is, and with whose token it is spoken to.

use secrecy::SecretString;

use super::Work;
use crate::config::file::{ForgeSection, ForgeWord};
use crate::config::{Credentials, Forge, ForgeKind};
use crate::diagnostic::Code;

const GITHUB: &str = "https://github.com";
const GITHUB_API: &str = "https://api.github.com";
const BITBUCKET: &str = "https://bitbucket.org";
const BITBUCKET_API: &str = "https://api.bitbucket.org";

impl Work<'_> {
    pub(super) fn forge(&mut self, name: &str, section: ForgeSection) -> Forge {
        let pointer = format!("/forges/{}", name.replace('~', "~0").replace('/', "~1"));
        let kind = match section.kind {
            Some(ForgeWord::GitHub) | None => ForgeKind::GitHub,
            Some(ForgeWord::BitbucketCloud) => ForgeKind::BitbucketCloud,
            Some(ForgeWord::BitbucketDataCenter) => ForgeKind::BitbucketDataCenter,
        };
        let url = self.forge_url(name, &pointer, kind, section.url);
        let api_url = section
            .api_url
            .and_then(|url| self.address(&url, &format!("{pointer}/apiUrl"), &["http", "https"]))
            .map_or_else(|| default_api(kind, &url), |api| written_api(kind, &api));
        let token = section.token.and_then(|source| self.secret(&source, &format!("{pointer}/token")));
        let user = section.user.and_then(|user| self.forge_user(user, &pointer, kind));
        self.check_public_url(name, &pointer, kind);
        let has_secret = self.tree.at(&format!("{pointer}/webhookSecret")).is_some();
        let webhook_secret =
            section.webhook_secret.and_then(|source| self.secret(&source, &format!("{pointer}/webhookSecret")));
        if !has_secret {
            self.warn(
                &pointer,
                Code::MissingKey,
                format!("the forge `{name}` has no `webhookSecret`: its webhooks are refused, its repositories polled"),
                "add `webhookSecret: {env: NAME}` to hear of a push at once",
            );
        }
        Forge { kind, url, api_url, token, user, webhook_secret }
    }

    fn forge_url(&mut self, name: &str, pointer: &str, kind: ForgeKind, written: Option<String>) -> String {
        let default = match kind {
            ForgeKind::GitHub => GITHUB,
            ForgeKind::BitbucketCloud => BITBUCKET,
            ForgeKind::BitbucketDataCenter => "",
        };
        if written.is_none() && default.is_empty() {
            self.error(
                pointer,
                Code::MissingKey,
                format!("the forge `{name}` doesn't say where it is"),
                "add `url: https://git.example.com`, the address that people open it at, with its path if it has one",
            );
        }
        written
            .and_then(|url| self.address(&url, &format!("{pointer}/url"), &["http", "https"]))
            .unwrap_or_else(|| default.to_owned())
    }

    fn forge_user(&mut self, user: String, pointer: &str, kind: ForgeKind) -> Option<String> {
        let pointer = format!("{pointer}/user");
        if kind == ForgeKind::GitHub {
            self.error(
                &pointer,
                Code::ValueNotAllowed,
                "GitHub asks nobody whose token it is".to_owned(),
                "take `user` out; the token is enough",
            );
            return None;
        }
        if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
            self.error(
                &pointer,
                Code::ValueNotAllowed,
                format!("`{}` is not a user", user.escape_debug()),
                "it can't be empty or hold `:` or line breaks",
            );
            return None;
        }
        Some(user)
    }

    /// A status without the address of a page is refused there, so a token could do half of its work at best. Better
    /// to hear that at the start than from each status.
    fn check_public_url(&mut self, name: &str, pointer: &str, kind: ForgeKind) {
        let written = |pointer: &str| self.tree.at(pointer).is_some();
        if !kind.status_needs_url() || written("/server/publicUrl") {
            return;
        }
        let token = format!("{pointer}/token");
        let message = format!(
            "{} takes no status without the address of a page, and `server.publicUrl` is not set",
            kind.product()
        );
        if written(&token) {
            let hint = "add `publicUrl: https://...` to `server`: the address at which people reach Longboat";
            self.error(&token, Code::MissingKey, format!("the forge `{name}`: {message}"), hint);
        } else {
            let hint = "add `publicUrl` to `server` before you give the forge a token";
            self.warn(pointer, Code::MissingKey, format!("the forge `{name}`: {message}"), hint);
        }
    }
}

fn default_api(kind: ForgeKind, url: &str) -> String {
    match kind {
        ForgeKind::GitHub if url == GITHUB => GITHUB_API.to_owned(),
        ForgeKind::GitHub => format!("{url}/api/v3"),
        ForgeKind::BitbucketCloud => BITBUCKET_API.to_owned(),
        ForgeKind::BitbucketDataCenter => url.to_owned(),
    }
}

/// The version of the API is Longboat's affair; people copy it along with the address.
fn written_api(kind: ForgeKind, api: &str) -> String {
    let version = if kind == ForgeKind::BitbucketCloud { "/2.0" } else { "" };
    api.strip_suffix(version).unwrap_or(api).to_owned()
}

/// Where a forge's repository is fetched from, if nothing else is said.
pub(super) fn clone_url(forge: &Forge, name: &str) -> String {
    match forge.kind {
        ForgeKind::GitHub | ForgeKind::BitbucketCloud => format!("{}/{name}.git", forge.url),
        ForgeKind::BitbucketDataCenter => format!("{}/scm/{name}.git", forge.url),
    }
}

/// How a forge's token is presented to its Git server.
pub(super) fn git_credentials(forge: &Forge, token: SecretString) -> Credentials {
    let username = match (forge.kind, forge.user.as_deref()) {
        // GitHub takes any token as the password of this user.
        (ForgeKind::GitHub, _) => Some("x-access-token"),
        // Bitbucket Cloud has one name for access tokens, and one for API tokens, whose accounts have no user name.
        (ForgeKind::BitbucketCloud, None) => Some("x-token-auth"),
        (ForgeKind::BitbucketCloud, Some(user)) if user.contains('@') => Some("x-bitbucket-api-token-auth"),
        (ForgeKind::BitbucketCloud | ForgeKind::BitbucketDataCenter, user) => user,
    };
    Credentials { username: username.map(str::to_owned), password: token }
}
