//! Where logs are kept: files, the database, or a bucket with the key to it.

use secrecy::{ExposeSecret as _, SecretString};

use super::Work;
use crate::config::file::{BucketSection, LogStoreWord, LogsSection, SecretSource};
use crate::config::{Bucket, KeyFiles, LogStore};
use crate::diagnostic::Code;

const DEFAULT_REGION: &str = "us-east-1";
const DEFAULT_PREFIX: &str = "longboat";

/// The longest prefix: names have 1024 bytes, and what follows takes some.
const MAX_PREFIX: usize = 200;

impl Work<'_> {
    /// Several servers share what they leave for one another; one alone needs no more than files.
    pub(super) fn logs(&mut self, section: LogsSection, replicas: bool) -> LogStore {
        let LogsSection { store, s3 } = section;
        if s3.is_some() && store != Some(LogStoreWord::S3) {
            self.error(
                "/logs/s3",
                Code::ConflictingKeys,
                "`logs.s3` says where a bucket is, but the logs are not kept in one".to_owned(),
                "add `store: s3` to `logs`, or take `s3` out",
            );
        }
        if replicas && store == Some(LogStoreWord::Files) {
            self.error(
                "/logs/store",
                Code::ConflictingKeys,
                "several servers share the database (`database.replicas`), and none reads the files of another"
                    .to_owned(),
                "write `store: database` (the default for several servers) or `store: s3`",
            );
        }
        let usual = if replicas { LogStoreWord::Database } else { LogStoreWord::Files };
        match store.unwrap_or(usual) {
            LogStoreWord::Files => LogStore::Files,
            LogStoreWord::Database => LogStore::Database,
            LogStoreWord::S3 => match s3 {
                Some(section) => self.bucket(section).map_or(LogStore::Files, |bucket| LogStore::S3(Box::new(bucket))),
                None => {
                    self.error(
                        "/logs/store",
                        Code::MissingKey,
                        "the logs are to be kept in a bucket, and `logs.s3` doesn't say which".to_owned(),
                        "add `s3: {bucket: NAME, region: REGION}` to `logs`",
                    );
                    LogStore::Files
                }
            },
        }
    }

    fn bucket(&mut self, section: BucketSection) -> Option<Bucket> {
        let name = section.bucket.and_then(|name| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            let sound = (3..=255).contains(&name.len()) && name.bytes().all(legal) && !name.starts_with('.');
            if !sound {
                self.error(
                    "/logs/s3/bucket",
                    Code::BadIdentifier,
                    format!("`{}` is not the name of a bucket", name.escape_debug()),
                    "write the name alone: letters, digits, `-`, `_` and `.`",
                );
            }
            sound.then_some(name)
        });
        let region = section.region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            self.error(
                "/logs/s3/region",
                Code::BadIdentifier,
                format!("`{}` is not a region", region.escape_debug()),
                "write it like `eu-central-1`; a store without regions takes any",
            );
        }
        let prefix = section.prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
        let prefix = prefix.trim_matches('/').to_owned();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
        let steps = || prefix.split('/').all(|step| !step.is_empty() && step != "." && step != "..");
        if prefix.len() > MAX_PREFIX || !prefix.bytes().all(legal) || !(prefix.is_empty() || steps()) {
            self.error(
                "/logs/s3/prefix",
                Code::BadIdentifier,
                format!("names in a bucket can't begin with `{}`", prefix.escape_debug()),
                &format!("write up to {MAX_PREFIX} letters, digits, `-`, `_`, `.`, and `/` between them"),
            );
        }
        let path_style = section.path_style.unwrap_or_else(|| section.endpoint.is_some());
        let endpoint = match section.endpoint {
            Some(url) => self.address(&url, "/logs/s3/endpoint", &["https", "http"]),
            None => Some(format!("https://s3.{region}.amazonaws.com")),
        };
        let own_key = section.secret_key.is_some();
        let file = |source: &Option<SecretSource>| Some(self.base.join(source.as_ref()?.file.as_ref()?));
        let files = KeyFiles {
            access_key: file(&section.access_key),
            secret_key: file(&section.secret_key),
            session_token: file(&section.session_token),
        };
        let access_key = self.key(section.access_key, "accessKey", "AWS_ACCESS_KEY_ID");
        let secret_key = self.key(section.secret_key, "secretKey", "AWS_SECRET_ACCESS_KEY");
        let session_token = match section.session_token {
            Some(source) => self.secret(&source, "/logs/s3/sessionToken"),
            None if own_key => None,
            None => (self.environment)("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()).map(SecretString::from),
        };
        Some(Bucket {
            endpoint: endpoint?,
            region,
            name: name?,
            prefix,
            path_style,
            access_key: access_key?.expose_secret().to_owned(),
            secret_key: secret_key?,
            session_token,
            files,
        })
    }

    /// A part of the key: as it is written, or out of the environment under its usual name.
    fn key(&mut self, source: Option<SecretSource>, name: &str, variable: &str) -> Option<SecretString> {
        let source = source.unwrap_or_else(|| SecretSource { env: Some(variable.to_owned()), file: None });
        self.secret(&source, &format!("/logs/s3/{name}"))
    }
}
