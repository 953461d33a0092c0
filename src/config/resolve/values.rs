//! Single values: durations, sizes, addresses, names, and secrets fetched from where they are kept.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use http::Uri;
use secrecy::{ExposeSecret as _, SecretString};

use super::Work;
use crate::config::file::{DurationWord, SecretSource, SizeWord};
use crate::config::shape::dotted;
use crate::config::tree::Data;
use crate::diagnostic::Code;
use crate::model::{IdError, Span, humanize};

/// A longer file is not a secret.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

impl Work<'_> {
    /// At least a second: a shorter pause is a mistake for everything that the file has a duration for.
    pub(super) fn duration(&mut self, word: Option<DurationWord>, pointer: &str, default: Duration) -> Duration {
        let Some(DurationWord(text)) = word else { return default };
        match Span::parse(&text) {
            Ok(span) if span.as_millis() >= 1000 => span.as_duration(),
            Ok(_) => {
                let message = format!("`{}` is `{text}`, where a second is the least", dotted(pointer));
                self.error(pointer, Code::ValueNotAllowed, message, "write `1s` or more");
                default
            }
            Err(error) => {
                let message = format!("`{}`: {error}", dotted(pointer));
                self.error(pointer, Code::BadDuration, message, "the usual forms are `30s` and `5m`");
                default
            }
        }
    }

    /// The same with an upper end.
    pub(super) fn duration_up_to(
        &mut self,
        word: Option<DurationWord>,
        pointer: &str,
        default: Duration,
        most: Duration,
    ) -> Duration {
        let text = word.as_ref().map(|word| word.0.clone()).unwrap_or_default();
        let found = self.duration(word, pointer, default);
        if found <= most {
            return found;
        }
        let most = humanize(most);
        let message = format!("`{}` is `{text}`, where {most} is the most", dotted(pointer));
        self.error(pointer, Code::ValueNotAllowed, message, &format!("write `{most}` or less"));
        default
    }

    pub(super) fn size(
        &mut self,
        word: Option<SizeWord>,
        pointer: &str,
        default: usize,
        allowed: RangeInclusive<usize>,
    ) -> usize {
        let Some(SizeWord(text)) = word else { return default };
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" | "B" => Some(1),
            "KiB" => Some(1024),
            "MiB" => Some(1024 * 1024),
            _ => None,
        };
        let bytes = number.parse::<usize>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        match bytes.filter(|bytes| allowed.contains(bytes)) {
            Some(bytes) => bytes,
            None => {
                let (least, most) = (in_words(*allowed.start()), in_words(*allowed.end()));
                let message = format!("`{text}` is not a size between {least} and {most}");
                self.error(pointer, Code::ValueNotAllowed, message, "write it like `25MiB`");
                default
            }
        }
    }

    pub(super) fn secret(&mut self, source: &SecretSource, pointer: &str) -> Option<SecretString> {
        let (value, whence) = match (&source.env, &source.file) {
            (Some(name), None) => {
                let Some(value) = (self.environment)(name) else {
                    self.error(
                        pointer,
                        Code::SecretUnavailable,
                        format!("the environment variable `{name}` is not set"),
                        &format!("set it before Longboat starts; `{}` is read from it", dotted(pointer)),
                    );
                    return None;
                };
                (SecretString::from(value), format!("the environment variable `{name}`"))
            }
            (None, Some(path)) => {
                let path = self.base.join(path);
                match read_secret(&path) {
                    Ok(value) => (value, format!("the file `{}`", path.display())),
                    Err(error) => {
                        self.error(
                            pointer,
                            Code::SecretUnavailable,
                            format!("the file `{}` can't be read: {error}", path.display()),
                            &format!("`{}` is read from it", dotted(pointer)),
                        );
                        return None;
                    }
                }
            }
            // Neither, or both, unless the shape of it was wrong and reported already.
            _ => {
                let written = self.tree.at(pointer).map(|tree| &tree.data);
                if let Some(Data::Map(keys)) = written
                    && keys.iter().all(|(key, value)| {
                        ["env", "file"].contains(&key.name.as_str()) && matches!(value.data, Data::Text(_))
                    })
                {
                    self.error(
                        pointer,
                        Code::ConflictingKeys,
                        format!("`{}` needs exactly one of `env` and `file`", dotted(pointer)),
                        "write `{env: NAME}` or `{file: PATH}`",
                    );
                }
                return None;
            }
        };
        if value.expose_secret().is_empty() {
            self.error(
                pointer,
                Code::SecretUnavailable,
                format!("{whence} is empty"),
                &format!("`{}` is read from it, and an empty secret protects nothing", dotted(pointer)),
            );
            return None;
        }
        Some(value)
    }

    /// An address without user, password, query and closing slash.
    pub(super) fn address(&mut self, url: &str, pointer: &str, schemes: &[&str]) -> Option<String> {
        let allowed: Vec<String> = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect();
        let mut hint = format!("write an address that begins with {}", allowed.join(" or "));
        if url.starts_with("ssh:") || url.starts_with("git@") {
            hint.push_str("; ssh is not supported, `credentials` are for https");
        }
        if let Some(path) = url.strip_prefix("file://").filter(|_| schemes.contains(&"file")) {
            if path.starts_with('/') {
                return Some(url.to_owned());
            }
            self.error(
                pointer,
                Code::ValueNotAllowed,
                format!("`{url}` is not an absolute path"),
                "write `file:///path`",
            );
            return None;
        }
        let uri =
            url.parse::<Uri>().ok().filter(|uri| uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)));
        let Some(uri) = uri else {
            // Whatever it is, what stands before an `@` may be a password.
            let shown = url.rsplit('@').next().unwrap_or_default();
            self.error(
                pointer,
                Code::ValueNotAllowed,
                format!("`{shown}` is not an address for `{}`", dotted(pointer)),
                &hint,
            );
            return None;
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            self.error(
                pointer,
                Code::SecretInConfig,
                format!("the address in `{}` holds a user or password", dotted(pointer)),
                "take it out; a repository has `credentials`, a forge has `token`",
            );
            return None;
        }
        if uri.query().is_some() || uri.host().is_none_or(str::is_empty) {
            self.error(
                pointer,
                Code::ValueNotAllowed,
                format!("`{url}` is not an address for `{}`", dotted(pointer)),
                &hint,
            );
            return None;
        }
        Some(url.trim_end_matches('/').to_owned())
    }

    pub(super) fn named<T>(
        &mut self,
        text: &str,
        pointer: &str,
        parse: impl Fn(&str) -> Result<T, IdError>,
    ) -> Option<T> {
        parse(text)
            .map_err(|error| {
                self.error(pointer, Code::BadIdentifier, format!("`{}` is not {}", error.text, error.what), error.rule);
            })
            .ok()
    }
}

pub(in crate::config) fn read_secret(path: &Path) -> std::io::Result<SecretString> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err(std::io::Error::other("it is larger than 64 KiB"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8 text"))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(SecretString::from(text))
}

/// A size in the largest unit that the file knows.
fn in_words(bytes: usize) -> String {
    if bytes.is_multiple_of(1024 * 1024) { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}
