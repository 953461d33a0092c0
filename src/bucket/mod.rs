//! A bucket of an S3-compatible store: objects by name, over our own connections.
//!
//! - Each request is signed in its address (Signature Version 4), and is thrown away with it: neither the address nor the
//!   key is in an error. What is written goes with its digest in a header that is signed: a store that knows such digests
//!   refuses bytes that were changed on the way.
//! - A key that was given for a while is replaced in its files by whoever gives it. When the store refuses the key, the
//!   files are read anew, and if it is another one by now, the request is made with that.
//! - Requests end by the bounds of `outbound`. What may pass soon is tried again with growing pauses, four times in all:
//!   no connection, no answer in time, the store's own failures, and "slow down". Every request can be repeated: an
//!   object is replaced as a whole.
//! - The address is the operator's, so it may be a private one. Redirects are not followed: a bucket of another region
//!   says so in its error.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Credentials, S3Action, UrlStyle};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::config;
use crate::outbound::{AddressPolicy, Answer, Client, ClientOptions, OutboundErrorKind, Request};

/// How long one request may take: an object of the size that is used here goes through a slow line in that time.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a signature holds. A clock may differ by some minutes.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// The longest answer: an object, or a list.
const LONGEST_ANSWER: usize = 32 * 1024 * 1024;
/// How often a request is made.
const TRIES: u32 = 4;
/// The pause after the first try; each further one is three times as long.
const PAUSE: Duration = Duration::from_millis(200);

/// Says what the bytes of an object are; signed with the request.
const DIGEST: &str = "x-amz-checksum-sha256";

/// A bucket; cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    bucket: rusty_s3::Bucket,
    /// The key as it was read last; all clones have the same.
    credentials: Arc<RwLock<Arc<Credentials>>>,
    place: Arc<config::Bucket>,
    prefix: String,
    client: Client,
}

/// Without the key.
impl fmt::Debug for Bucket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bucket")
            .field("name", &self.bucket.name())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Why the store didn't do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bucket `{bucket}`: {reason}")]
pub struct BucketError {
    /// The bucket's name.
    pub bucket: String,
    /// What happened, for people. Holds neither an address nor a key.
    pub reason: String,
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name below the folder that was listed.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Bucket {
    /// The bucket of a configuration; nothing is asked of it yet. To be called within the runtime.
    ///
    /// # Errors
    /// If its address can't be one.
    pub fn new(place: &config::Bucket) -> Result<Self, BucketError> {
        let fault = |reason: String| BucketError { bucket: place.name.clone(), reason };
        let style = if place.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let endpoint =
            place.endpoint.parse().map_err(|_| fault(format!("its address `{}` can't be read", place.endpoint)))?;
        let bucket = rusty_s3::Bucket::new(endpoint, style, place.name.clone(), place.region.clone())
            .map_err(|error| fault(format!("its address can't be made of `{}`: {error}", place.endpoint)))?;
        let credentials =
            credentials((place.access_key.clone(), place.secret_key.clone(), place.session_token.clone()));
        let options = ClientOptions {
            deadline: DEADLINE,
            body_limit: LONGEST_ANSWER,
            policy: AddressPolicy::Any,
            ..ClientOptions::default()
        };
        let client = Client::new(options).map_err(|error| fault(error.message))?;
        let credentials = Arc::new(RwLock::new(Arc::new(credentials)));
        Ok(Self { bucket, credentials, place: Arc::new(place.clone()), prefix: place.prefix.clone(), client })
    }

    /// Writes an object, in place of what had its name.
    ///
    /// # Errors
    /// If the store can't be reached, or refuses.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), BucketError> {
        let name = self.full(name);
        let digest = STANDARD.encode(Sha256::digest(&bytes));
        let sign = |key: &Credentials| {
            let mut put = self.bucket.put_object(Some(key), &name);
            put.headers_mut().insert(DIGEST, digest.as_str());
            put.sign(SIGNED_FOR).to_string()
        };
        let answer = self.asked(Method::PUT, sign, bytes, Some(&digest)).await?;
        self.good(answer).map(drop)
    }

    /// An object; nothing if there is none of that name.
    ///
    /// # Errors
    /// As [`Bucket::put`].
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, BucketError> {
        let name = self.full(name);
        let sign = |key: &Credentials| self.bucket.get_object(Some(key), &name).sign(SIGNED_FOR).to_string();
        match self.asked(Method::GET, sign, Vec::new(), None).await? {
            // A bucket that isn't there is another matter than an object that isn't.
            answer if answer.status == StatusCode::NOT_FOUND && code(&answer.body) != Some("NoSuchBucket") => Ok(None),
            answer => self.good(answer).map(|answer| Some(answer.body)),
        }
    }

    /// Removes an object; one that isn't there is removed already.
    ///
    /// # Errors
    /// As [`Bucket::put`].
    pub async fn delete(&self, name: &str) -> Result<(), BucketError> {
        let name = self.full(name);
        let sign = |key: &Credentials| self.bucket.delete_object(Some(key), &name).sign(SIGNED_FOR).to_string();
        match self.asked(Method::DELETE, sign, Vec::new(), None).await? {
            answer if answer.status == StatusCode::NOT_FOUND && code(&answer.body) != Some("NoSuchBucket") => Ok(()),
            answer => self.good(answer).map(drop),
        }
    }

    /// The objects whose names begin with a folder's (`logs/1/`), at most `most`, in the order of their names.
    ///
    /// # Errors
    /// As [`Bucket::put`].
    pub async fn list(&self, folder: &str, most: usize) -> Result<Vec<Object>, BucketError> {
        let folder = self.full(folder);
        let mut objects = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let sign = |key: &Credentials| {
                let mut list = self.bucket.list_objects_v2(Some(key));
                list.with_prefix(folder.as_str());
                if let Some(token) = &token {
                    list.with_continuation_token(token.as_str());
                }
                list.sign(SIGNED_FOR).to_string()
            };
            let page = self.page(self.ask(Method::GET, sign).await?)?;
            for object in page.contents {
                let Some(name) = object.key.strip_prefix(&folder) else { continue };
                objects.push(Object { name: name.to_owned(), size: object.size.unwrap_or(0) });
            }
            token = page.next_continuation_token;
            if token.is_none() || objects.len() >= most {
                objects.sort_by(|one, other| one.name.cmp(&other.name));
                objects.truncate(most);
                return Ok(objects);
            }
        }
    }

    /// The names of folders directly below a folder (`logs/`), those after `after`: as many as the store says at once, in
    /// their order; none: no more.
    ///
    /// # Errors
    /// As [`Bucket::put`].
    pub async fn folders(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, BucketError> {
        let folder = self.full(folder);
        // Behind all names in that folder.
        let after = after.map(|after| format!("{folder}{after}/\u{7f}"));
        let sign = |key: &Credentials| {
            let mut list = self.bucket.list_objects_v2(Some(key));
            list.with_prefix(folder.as_str());
            list.with_delimiter("/");
            if let Some(after) = &after {
                list.with_start_after(after.as_str());
            }
            list.sign(SIGNED_FOR).to_string()
        };
        let page = self.page(self.ask(Method::GET, sign).await?)?;
        let names = page.common_prefixes.iter().filter_map(|common| {
            let name = common.prefix.strip_prefix(&folder)?.trim_end_matches('/');
            (!name.is_empty()).then(|| name.to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        Ok(names)
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    fn page(&self, answer: Answer) -> Result<rusty_s3::actions::ListObjectsV2Response, BucketError> {
        let text = String::from_utf8_lossy(&answer.body);
        ListObjectsV2::parse_response(&text).map_err(|error| self.fault(format!("its list can't be read: {error}")))
    }

    /// Asks, and takes a good answer only.
    async fn ask(&self, method: Method, sign: impl Fn(&Credentials) -> String) -> Result<Answer, BucketError> {
        let answer = self.asked(method, sign, Vec::new(), None).await?;
        self.good(answer)
    }

    /// Asks until there is an answer that another try wouldn't change. `digest` is that of the body.
    async fn asked(
        &self,
        method: Method,
        sign: impl Fn(&Credentials) -> String,
        body: Vec<u8>,
        digest: Option<&str>,
    ) -> Result<Answer, BucketError> {
        let mut pause = PAUSE;
        let mut renewed = false;
        let mut tried = 0;
        loop {
            tried += 1;
            let key = self.key();
            let mut request = Request::new(method.clone(), sign(&key));
            request.body.clone_from(&body);
            if let Some(digest) = digest.and_then(|digest| HeaderValue::from_str(digest).ok()) {
                request.headers.insert(HeaderName::from_static(DIGEST), digest);
            }
            let answered = self.client.send(request).await;
            if let Ok(answer) = &answered
                && !renewed
                && refuses_key(answer)
                && self.renew(&key).await
            {
                renewed = true;
                continue;
            }
            match answered {
                Ok(answer) if tried >= TRIES || !passes(answer.status) => return Ok(answer),
                Err(error) if tried >= TRIES || !may_pass(error.kind) => return Err(self.fault(error.message)),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            pause *= 3;
        }
    }

    fn key(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the key anew that was refused; whether there is another one by now.
    async fn renew(&self, refused: &Credentials) -> bool {
        let place = Arc::clone(&self.place);
        // The task doesn't panic.
        let read = tokio::task::spawn_blocking(move || place.read_key()).await.unwrap_or_default();
        match read {
            Some(Ok(key)) => {
                let found = credentials(key);
                let before = self.key();
                let same = |one: &Credentials, other: &Credentials| {
                    (one.key(), one.secret(), one.token()) == (other.key(), other.secret(), other.token())
                };
                if !same(&found, &before) {
                    *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
                    tracing::info!(bucket = self.bucket.name(), "the key of the bucket was read anew");
                    return true;
                }
                // Somebody else may have read it meanwhile.
                !same(&before, refused)
            }
            Some(Err(reason)) => {
                tracing::warn!(bucket = self.bucket.name(), reason, "the key of the bucket can't be read anew");
                false
            }
            None => false,
        }
    }

    fn good(&self, answer: Answer) -> Result<Answer, BucketError> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        let said = code(&answer.body).map(|code| format!(" ({code})")).unwrap_or_default();
        let what = match answer.status.as_u16() {
            301 | 302 | 307 | 308 => "it is in another region or at another address than the configuration says",
            403 => "the key may not do that, or isn't right; a clock that is wrong has the same effect",
            404 => "there is no such bucket",
            _ => "the store refused",
        };
        Err(self.fault(format!("{what}: status {}{said}", answer.status.as_u16())))
    }

    fn fault(&self, reason: String) -> BucketError {
        BucketError { bucket: self.bucket.name().to_owned(), reason }
    }
}

fn credentials((id, key, token): config::Key) -> Credentials {
    let key = key.expose_secret().to_owned();
    match token {
        Some(token) => Credentials::new_with_token(id, key, token.expose_secret().to_owned()),
        None => Credentials::new(id, key),
    }
}

/// Whether the store says that it is the key that is wrong, or over.
fn refuses_key(answer: &Answer) -> bool {
    let about_key = || {
        let words = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"];
        code(&answer.body).is_some_and(|code| words.contains(&code))
    };
    matches!(answer.status.as_u16(), 401 | 403) || (answer.status == StatusCode::BAD_REQUEST && about_key())
}

/// Whether a status may be another one soon.
fn passes(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 429)
}

fn may_pass(kind: OutboundErrorKind) -> bool {
    matches!(kind, OutboundErrorKind::Unreachable | OutboundErrorKind::TimedOut)
}

/// The store's word for what is wrong (`SlowDown`).
fn code(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}
