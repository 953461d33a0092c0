//! Where the logs of stages and what they save for later ones are kept.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use super::resolve::read_secret;

/// Where the logs of stages and what they save for later ones are kept.
#[derive(Debug, Clone)]
pub enum LogStore {
    /// Below the state folder.
    Files,
    /// In the database, where every replica finds them.
    Database,
    /// In a bucket of an S3-compatible store, where every replica finds them.
    S3(Box<Bucket>),
}

/// A bucket of an S3-compatible store.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The store's address, without a slash at the end.
    pub endpoint: String,
    /// The region, which is part of each signature.
    pub region: String,
    /// The bucket's name.
    pub name: String,
    /// What all names in it begin with; no slash at either end.
    pub prefix: String,
    /// Whether the bucket is named in the path (`https://host/bucket`) rather than in the host's name.
    pub path_style: bool,
    /// The id of the key.
    pub access_key: String,
    /// The key itself.
    pub secret_key: SecretString,
    /// What goes with a key that was given for a while.
    pub session_token: Option<SecretString>,
    /// From which files the key was read.
    pub files: KeyFiles,
}

/// The files that a key was read from, if it was, so that another one can be put there while the server runs. What comes
/// from the environment is not among them: nobody can change that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFiles {
    /// That of its id.
    pub access_key: Option<PathBuf>,
    /// That of the key itself.
    pub secret_key: Option<PathBuf>,
    /// That of what goes with a key that was given for a while.
    pub session_token: Option<PathBuf>,
}

/// A key as it is in its files now: its id, itself, and what goes with it.
pub type Key = (String, SecretString, Option<SecretString>);

impl Bucket {
    /// Reads the key anew; nothing if none of it came from a file.
    ///
    /// # Errors
    /// If a file can't be read, in words that don't hold what is in it.
    pub fn read_key(&self) -> Option<Result<Key, String>> {
        let KeyFiles { access_key, secret_key, session_token } = &self.files;
        if self.files == KeyFiles::default() {
            return None;
        }
        let read = |file: &PathBuf| read_secret(file).map_err(|error| format!("{}: {error}", file.display()));
        let read_all = || {
            let id = match access_key {
                Some(file) => read(file)?.expose_secret().to_owned(),
                None => self.access_key.clone(),
            };
            let key = secret_key.as_ref().map_or_else(|| Ok(self.secret_key.clone()), read)?;
            let token =
                session_token.as_ref().map_or_else(|| Ok(self.session_token.clone()), |file| read(file).map(Some))?;
            Ok((id, key, token))
        };
        Some(read_all())
    }
}

impl LogStore {
    /// What is to be kept out of logs.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let bucket = match self {
            Self::S3(bucket) => Some(bucket),
            Self::Files | Self::Database => None,
        };
        bucket.into_iter().flat_map(|bucket| [Some(&bucket.secret_key), bucket.session_token.as_ref()]).flatten()
    }
}
