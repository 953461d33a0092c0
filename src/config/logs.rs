//! Where the logs of stages and what they save for later ones are kept.

use secrecy::SecretString;

/// Where the logs of stages and what they save for later ones are kept.
#[derive(Debug, Clone)]
pub enum LogStore {
    /// Below the state folder.
    Files,
    /// In the database, where every replica finds them.
    Database,
    /// In a bucket of an S3-compatible store, where every replica finds them.
    S3(Bucket),
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
