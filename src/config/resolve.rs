//! From the author's form to decided values: defaults, absolute paths, fetched secrets, and the checks that
//! look at more than one key.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use indexmap::IndexMap;
use secrecy::{ExposeSecret, SecretString};

use super::file::{self, CredentialsSection, File, ForgeSection, ForgeWord, RepositorySection, SecretSource};
use super::shape::dotted;
use super::tree::{Data, Tree};
use super::{
    Config, Credentials, DEFAULT_PREFIX, Database, Forge, ForgeKind, Limits, Location, LogFormat, Logging, Repository,
    Server, default_database,
};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::model::{ApplicationName, RepositoryName, Span};

/// A longer file is not a secret.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Decides everything; `findings` are those that the shape of the file already had.
pub(super) fn resolve(
    path: &Path,
    tree: &Tree,
    written: File,
    findings: Vec<Diagnostic>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Vec<Diagnostic>> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let base = absolute.parent().map_or_else(PathBuf::new, Path::to_owned);
    let mut work = Work { file: path.display().to_string(), base, tree, environment, findings, warnings: Vec::new() };

    let server = work.server(written.server);
    let database = work.database(written.database, &server.state_dir);
    let forges: IndexMap<String, Forge> =
        written.forges.into_iter().map(|(name, section)| (name.clone(), work.forge(&name, section))).collect();
    let repositories = work.repositories(written.repositories, &forges);
    let status_prefix = work.prefix(written.statuses);
    let limits = work.limits(written.limits);
    let logging = work.logging(written.logging);
    for (key, section) in
        [("modules", &written.modules), ("secrets", &written.secrets), ("accounts", &written.accounts)]
    {
        if !section.0.is_empty() {
            work.warn(
                &format!("/{key}"),
                Code::NotInThisVersion,
                format!("`{key}` is part of the format, but this version doesn't act on it"),
                "what uses it will fail; leave it out until a version says that it has it",
            );
        }
    }

    let Work { mut findings, warnings, .. } = work;
    if findings.is_empty() {
        return Ok(Config {
            path: absolute,
            server,
            database,
            forges,
            repositories,
            status_prefix,
            limits,
            logging,
            warnings,
        });
    }
    findings.extend(warnings);
    findings.sort_by_key(|finding| finding.place.as_ref().map(|place| (place.line, place.column)));
    Err(findings)
}

struct Work<'a> {
    file: String,
    base: PathBuf,
    tree: &'a Tree,
    environment: &'a dyn Fn(&str) -> Option<String>,
    findings: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Work<'_> {
    fn server(&mut self, section: file::ServerSection) -> Server {
        let listen = self.listen(section.listen.as_deref());
        let public_url = section.public_url.and_then(|url| self.address(&url, "/server/publicUrl", &["http", "https"]));
        let tokens: Vec<SecretString> = section
            .tokens
            .iter()
            .enumerate()
            .filter_map(|(index, source)| self.secret(source, &format!("/server/tokens/{index}")))
            .collect();
        // Counted as written: a token that can't be read has been reported for itself.
        let wants_token = self
            .tree
            .at("/server/tokens")
            .is_some_and(|tokens| matches!(&tokens.data, Data::List(list) if !list.is_empty()));
        if !wants_token && !listen.ip().is_loopback() {
            self.error(
                "/server/listen",
                Code::TokenRequired,
                format!("the server would listen on {listen}, where others can reach it, without a token"),
                "add `tokens: [{env: LONGBOAT_TOKEN}]` to `server`, or listen on 127.0.0.1",
            );
        } else if !wants_token && public_url.as_deref().is_some_and(|url| !is_local_address(url)) {
            self.warn(
                "/server/publicUrl",
                Code::TokenRequired,
                "the server has a public address, but no token: whoever reaches that address can use it".to_owned(),
                "add `tokens: [{env: LONGBOAT_TOKEN}]` to `server`",
            );
        }
        let state_dir = self.base.join(section.state_dir.as_deref().unwrap_or("state"));
        Server { listen, public_url, tokens, state_dir }
    }

    fn listen(&mut self, text: Option<&str>) -> SocketAddr {
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8084);
        let Some(text) = text else { return default };
        let parsed = text.parse().ok().or_else(|| {
            let port = text.strip_prefix("localhost:")?.parse().ok()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        });
        parsed.unwrap_or_else(|| {
            self.error(
                "/server/listen",
                Code::WrongType,
                format!("`{text}` is not an address to listen on"),
                "write an IP address and a port, like `127.0.0.1:8084` or `[::1]:8084`",
            );
            default
        })
    }

    fn database(&mut self, section: file::DatabaseSection, state_dir: &Path) -> Database {
        let durable = !matches!(section.sync, Some(file::SyncWord::Normal));
        let Some(url) = section.url else { return Database { url: default_database(state_dir), durable } };
        let pointer = "/database/url";
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            self.error(
                pointer,
                Code::NotInThisVersion,
                "this version keeps executions in SQLite only".to_owned(),
                "write `sqlite:PATH`, or leave `database` out",
            );
        } else if let Some(path) = url.strip_prefix("sqlite:") {
            // `sqlite://path` is sqlx's spelling for the same.
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains(['?', '#']) || path.starts_with(":memory:") {
                self.error(
                    pointer,
                    Code::ValueNotAllowed,
                    format!("`{url}` doesn't name a database file"),
                    "write `sqlite:` and the path of a file",
                );
            } else {
                return Database { url: format!("sqlite:{}", self.base.join(path).display()), durable };
            }
        } else {
            let shown = url.split(':').next().unwrap_or_default().to_owned();
            self.error(
                pointer,
                Code::ValueNotAllowed,
                format!("`{shown}:` is not a kind of database that Longboat knows"),
                "write `sqlite:PATH`",
            );
        }
        Database { url: default_database(state_dir), durable }
    }

    fn forge(&mut self, name: &str, section: ForgeSection) -> Forge {
        let pointer = format!("/forges/{}", name.replace('~', "~0").replace('/', "~1"));
        let kind = match section.kind {
            Some(ForgeWord::GitHub) | None => ForgeKind::GitHub,
        };
        let url = section
            .url
            .and_then(|url| self.address(&url, &format!("{pointer}/url"), &["http", "https"]))
            .unwrap_or_else(|| "https://github.com".to_owned());
        let api_url = section
            .api_url
            .and_then(|url| self.address(&url, &format!("{pointer}/apiUrl"), &["http", "https"]))
            .unwrap_or_else(|| {
                if url == "https://github.com" { "https://api.github.com".to_owned() } else { format!("{url}/api/v3") }
            });
        let token = section.token.and_then(|source| self.secret(&source, &format!("{pointer}/token")));
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
        Forge { kind, url, api_url, token, webhook_secret }
    }

    fn repositories(&mut self, sections: Vec<RepositorySection>, forges: &IndexMap<String, Forge>) -> Vec<Repository> {
        let mut repositories: Vec<Repository> = Vec::new();
        for (index, section) in sections.into_iter().enumerate() {
            let pointer = format!("/repositories/{index}");
            let Some(repository) = self.repository(&pointer, section, forges) else { continue };
            // Forges don't tell upper from lower case, and neither do some file systems.
            let same = |other: &&Repository| other.name.as_str().eq_ignore_ascii_case(repository.name.as_str());
            if let Some(other) = repositories.iter().find(same) {
                self.error(
                    &format!("{pointer}/name"),
                    Code::DuplicateRepository,
                    format!("the repository `{}` is there already, as `{}`", repository.name, other.name),
                    "give each repository once, with all its branches",
                );
            } else {
                repositories.push(repository);
            }
        }
        repositories
    }

    fn repository(
        &mut self,
        pointer: &str,
        section: RepositorySection,
        forges: &IndexMap<String, Forge>,
    ) -> Option<Repository> {
        let name = section.name.and_then(|name| self.named(&name, &format!("{pointer}/name"), RepositoryName::parse));
        let forge = section.forge.as_deref().and_then(|key| {
            let found = forges.get(key);
            if found.is_none() {
                let hint = nearest(key, forges.keys().map(String::as_str))
                    .map_or_else(|| "add it to `forges`".to_owned(), |near| format!("did you mean `{near}`?"));
                let message = format!("the forge `{key}` is not one of `forges`");
                self.error(&format!("{pointer}/forge"), Code::UnknownForge, message, &hint);
            }
            found.map(|forge| (key.to_owned(), forge))
        });
        let place_known = section.path.is_some() || section.url.is_some() || section.forge.is_some();
        let location = match (section.path, section.url, name.as_ref(), &forge) {
            (Some(_), Some(_), ..) => {
                self.error(
                    &format!("{pointer}/path"),
                    Code::ConflictingKeys,
                    "both `path` and `url` say where the repository is".to_owned(),
                    "keep the one that is right",
                );
                None
            }
            (Some(path), None, ..) => Some(Location::Local(tidy_path(&self.base.join(path)))),
            (None, Some(url), ..) => {
                self.address(&url, &format!("{pointer}/url"), &["https", "http", "file"]).map(Location::Remote)
            }
            (None, None, Some(name), Some((_, forge))) => {
                if name.as_str().split('/').count() != 2 {
                    self.error(
                        &format!("{pointer}/name"),
                        Code::BadIdentifier,
                        format!("`{name}` is not the name of a repository on GitHub"),
                        "write `owner/name`",
                    );
                }
                Some(Location::Remote(format!("{}/{name}.git", forge.url)))
            }
            _ => {
                if !place_known {
                    self.error(
                        pointer,
                        Code::MissingKey,
                        format!("`{}` doesn't say where the repository is", dotted(pointer)),
                        "add `forge: NAME`, `url: https://...` or `path: ../folder`",
                    );
                }
                None
            }
        };
        let own = section.credentials.and_then(|section| self.credentials(pointer, section));
        let credentials = own.or_else(|| forge_credentials(location.as_ref()?, forge.as_ref()?.1));
        for (index, branch) in section.branches.iter().enumerate() {
            if !is_branch_name(branch) {
                self.error(
                    &format!("{pointer}/branches/{index}"),
                    Code::BadIdentifier,
                    format!("`{branch}` is not a branch name"),
                    "write the name without `refs/heads/`; patterns are for triggers",
                );
            }
        }
        let applications = section.applications.map(|names| {
            let named = names.iter().enumerate();
            named
                .filter_map(|(index, name)| {
                    self.named(name, &format!("{pointer}/applications/{index}"), ApplicationName::parse)
                })
                .collect()
        });
        let poll = self.duration(section.poll, &format!("{pointer}/poll"), Duration::from_secs(60));
        Some(Repository {
            name: name?,
            forge: forge.map(|(key, _)| key),
            location: location?,
            credentials,
            branches: section.branches,
            applications,
            poll,
        })
    }

    fn credentials(&mut self, pointer: &str, section: CredentialsSection) -> Option<Credentials> {
        let password = self.secret(&section.password?, &format!("{pointer}/credentials/password"))?;
        let username = section.username?;
        if username.is_empty() || username.contains([':', '\n', '\r', '\0']) {
            self.error(
                &format!("{pointer}/credentials/username"),
                Code::ValueNotAllowed,
                format!("`{username}` is not a user name"),
                "it can't be empty or hold `:` or line breaks",
            );
        }
        Some(Credentials { username, password })
    }

    fn prefix(&mut self, section: file::StatusesSection) -> String {
        let prefix = section.prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        if prefix.is_empty() || prefix.len() > 50 || !prefix.bytes().all(legal) {
            self.error(
                "/statuses/prefix",
                Code::BadIdentifier,
                format!("`{prefix}` can't begin a status context"),
                "write 1 to 50 letters, digits, `-`, `_`, `.` and `/`",
            );
        }
        prefix
    }

    fn limits(&mut self, section: file::LimitsSection) -> Limits {
        let default = Limits::default();
        let count = |given: Option<u32>, default: usize| given.map_or(default, |count| count as usize);
        Limits {
            webhook_body: self.size(section.webhook_body, "/limits/webhookBody", default.webhook_body),
            git_deadline: self.duration(section.git_deadline, "/limits/gitDeadline", default.git_deadline),
            running_stages: count(section.running_stages, default.running_stages),
            requests: count(section.requests, default.requests),
        }
    }

    fn logging(&mut self, section: file::LoggingSection) -> Logging {
        let default = Logging::default();
        let format = match section.format {
            Some(file::LogFormatWord::Json) => LogFormat::Json,
            Some(file::LogFormatWord::Text) | None => LogFormat::Text,
        };
        let filter = section.filter.unwrap_or(default.filter);
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&filter) {
            self.error(
                "/logging/filter",
                Code::BadPattern,
                format!("`{filter}` is not a filter for logs: {error}"),
                "write a level (`error`, `warn`, `info`, `debug`, `trace`) or `level,target=level`",
            );
        }
        Logging { format, filter }
    }

    /// At least a second: a shorter pause is a mistake for everything that the file has a duration for.
    fn duration(&mut self, word: Option<file::DurationWord>, pointer: &str, default: Duration) -> Duration {
        let Some(file::DurationWord(text)) = word else { return default };
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

    fn size(&mut self, word: Option<file::SizeWord>, pointer: &str, default: usize) -> usize {
        let Some(file::SizeWord(text)) = word else { return default };
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" | "B" => Some(1),
            "KiB" => Some(1024),
            "MiB" => Some(1024 * 1024),
            _ => None,
        };
        let bytes = number.parse::<usize>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        match bytes.filter(|bytes| (1024..=256 * 1024 * 1024).contains(bytes)) {
            Some(bytes) => bytes,
            None => {
                let message = format!("`{text}` is not a size between 1 KiB and 256 MiB");
                self.error(pointer, Code::ValueNotAllowed, message, "write it like `25MiB`");
                default
            }
        }
    }

    fn secret(&mut self, source: &SecretSource, pointer: &str) -> Option<SecretString> {
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
    fn address(&mut self, url: &str, pointer: &str, schemes: &[&str]) -> Option<String> {
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

    fn named<T>(
        &mut self,
        text: &str,
        pointer: &str,
        parse: impl Fn(&str) -> Result<T, crate::model::IdError>,
    ) -> Option<T> {
        parse(text)
            .map_err(|error| {
                self.error(pointer, Code::BadIdentifier, format!("`{}` is not {}", error.text, error.what), error.rule);
            })
            .ok()
    }

    fn error(&mut self, pointer: &str, code: Code, message: String, hint: &str) {
        let finding = self.finding(Diagnostic::error(code, message), pointer, hint);
        self.findings.push(finding);
    }

    fn warn(&mut self, pointer: &str, code: Code, message: String, hint: &str) {
        let finding = self.finding(Diagnostic::warning(code, message), pointer, hint);
        self.warnings.push(finding);
    }

    fn finding(&self, finding: Diagnostic, pointer: &str, hint: &str) -> Diagnostic {
        // A value that isn't written (a default) is placed at the nearest thing that is.
        let mut written = pointer;
        let place = loop {
            if let Some(tree) = self.tree.at(written) {
                break tree.place(&self.file);
            }
            written = written.rsplit_once('/').map_or("", |(above, _)| above);
        };
        finding.at(place).hint(hint).pointer(pointer)
    }
}

fn read_secret(path: &Path) -> std::io::Result<SecretString> {
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

/// The forge's token for a repository that lies on the forge; a token never goes to another host.
fn forge_credentials(location: &Location, forge: &Forge) -> Option<Credentials> {
    let Location::Remote(url) = location else { return None };
    let (ours, theirs) = (url.parse::<Uri>().ok()?, forge.url.parse::<Uri>().ok()?);
    let same = ours.scheme() == theirs.scheme() && ours.authority() == theirs.authority();
    // GitHub takes any token as the password of this user.
    let token = forge.token.clone().filter(|_| same)?;
    Some(Credentials { username: "x-access-token".to_owned(), password: token })
}

fn is_local_address(url: &str) -> bool {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// What `git check-ref-format --branch` lets through, without patterns.
fn is_branch_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 250
        && !name.starts_with(['-', '/'])
        && !name.starts_with("refs/")
        && !name.ends_with(['/', '.'])
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains("//")
        && name.split('/').all(|part| !part.starts_with('.') && !part.ends_with(".lock"))
        && !name.chars().any(|letter| letter.is_control() || " ~^:?*[\\".contains(letter))
}

/// Takes `.` and `x/..` out of a path without asking the file system, so that messages read well.
fn tidy_path(path: &Path) -> PathBuf {
    use std::path::Component;
    // With symbolic links in it, `x/..` need not be where it seems to be; then only the system knows.
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !tidy.pop() {
                    tidy.push("..");
                }
            }
            other => tidy.push(other),
        }
    }
    tidy
}
