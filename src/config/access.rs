//! Who may use the server: a token for programs, a session made from it for people with a browser.
//!
//! It stands here, because the API guards with it and the pages let people in with it, and the two never
//! import each other.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Config;
use crate::clock::Timestamp;

/// How long a browser stays signed in.
pub const SESSION_LENGTH: Duration = Duration::from_secs(7 * 24 * 3600);

/// The cookie that holds a session.
pub const SESSION_COOKIE: &str = "longboat_session";

/// Who has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// How executions, judgments and freezes name them.
    pub name: String,
    /// Their roles; none: any.
    pub roles: Option<Vec<String>>,
}

impl Default for Holder {
    fn default() -> Self {
        Self { name: "operator".to_owned(), roles: None }
    }
}

/// Checks tokens and sessions. Both are compared in constant time, and against every configured token, so
/// that an answer's delay tells nothing about either.
#[derive(Debug, Clone)]
pub struct Access {
    tokens: Vec<(SecretString, Holder)>,
}

impl Access {
    /// The access that a configuration grants.
    pub fn new(config: &Config) -> Self {
        let holders = config.server.holders.iter().cloned().chain(std::iter::repeat_with(Holder::default));
        Self { tokens: config.server.tokens.iter().cloned().zip(holders).collect() }
    }

    /// Whether no token is asked for: a person's own machine.
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether this is one of the tokens.
    pub fn admits(&self, token: &str) -> bool {
        self.matching(token).is_some()
    }

    /// Who has this token, if it is one.
    pub fn holder(&self, token: &str) -> Option<&Holder> {
        self.matching(token).map(|(_, holder)| holder)
    }

    /// A session for whoever has this token, valid for [`SESSION_LENGTH`] from `now`. It doesn't hold the
    /// token, and ends early if the token is taken out of the configuration.
    pub fn open_session(&self, token: &str, now: Timestamp) -> Option<String> {
        let (token, _) = self.matching(token)?;
        let end = now.plus(SESSION_LENGTH).as_millis().to_string();
        Some(format!("{end}.{}", hex::encode(seal(token, &end))))
    }

    /// Whether this is a session that one of the tokens opened and that has not ended.
    pub fn admits_session(&self, session: &str, now: Timestamp) -> bool {
        self.session_holder(session, now).is_some()
    }

    /// Who has the token that opened this session, if it is one that has not ended.
    pub fn session_holder(&self, session: &str, now: Timestamp) -> Option<&Holder> {
        let (end, seal_text) = session.split_once('.')?;
        let end_millis = end.parse::<i64>().ok()?;
        let found = hex::decode(seal_text).ok()?;
        let mut holder = None;
        for (token, own) in &self.tokens {
            if bool::from(seal(token, end)[..].ct_eq(&found)) {
                holder = Some(own);
            }
        }
        holder.filter(|_| now < Timestamp::from_millis(end_millis))
    }

    fn matching(&self, token: &str) -> Option<&(SecretString, Holder)> {
        // Digests have one length, whatever was sent.
        let sent = Sha256::digest(token.as_bytes());
        let mut found = None;
        for own in &self.tokens {
            let digest = Sha256::digest(own.0.expose_secret().as_bytes());
            if bool::from(digest[..].ct_eq(&sent[..])) {
                found = Some(own);
            }
        }
        found
    }
}

fn seal(token: &SecretString, end: &str) -> Vec<u8> {
    // HMAC takes keys of every length, so there is always a seal.
    Hmac::<Sha256>::new_from_slice(token.expose_secret().as_bytes())
        .map(|mut mac| {
            mac.update(b"longboat session until ");
            mac.update(end.as_bytes());
            mac.finalize().into_bytes().to_vec()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(tokens: &[&str]) -> Access {
        Access { tokens: tokens.iter().map(|token| (SecretString::from(*token), Holder::default())).collect() }
    }

    #[test]
    fn every_configured_token_is_good_and_no_other() {
        let two = access(&["first", "second"]);
        assert!(two.admits("first") && two.admits("second"));
        for wrong in ["", "firs", "first ", "FIRST", "third"] {
            assert!(!two.admits(wrong), "{wrong:?}");
        }
        assert!(!access(&[]).admits(""));
    }

    #[test]
    fn a_session_ends_with_its_time_or_its_token() {
        let now = Timestamp::from_millis(1_000_000);
        let session = access(&["first", "second"]).open_session("second", now).expect("a session");
        assert!(!session.contains("second"));
        assert!(access(&["second"]).admits_session(&session, now));
        assert!(!access(&["first"]).admits_session(&session, now), "the token is gone");
        assert!(!access(&["second"]).admits_session(&session, now.plus(SESSION_LENGTH)), "the time is over");
        let (end, seal) = session.split_once('.').expect("two parts");
        let later = format!("{}.{seal}", end.parse::<i64>().expect("a time") + 1);
        for forged in [later.as_str(), end, "", ".", "9999999999999.", "9999999999999.00", &format!("{end}.{seal}00")] {
            assert!(!access(&["second"]).admits_session(forged, now), "{forged}");
        }
        assert!(access(&["first"]).open_session("third", now).is_none());
    }
}
