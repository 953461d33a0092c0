//! From the author's form to decided values: defaults, absolute paths, fetched secrets, and the checks that
//! look at more than one key.

mod forges;
mod logs;
mod modules;
mod repositories;
mod secrets;
mod values;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use indexmap::IndexMap;
use secrecy::SecretString;

pub(super) use values::read_secret;

use super::file::{self, File};
use super::tree::{Data, Tree};
use super::{
    Config, DEFAULT_PREFIX, Database, Forge, Holder, Limits, LogFormat, Logging, Retention, Server, default_database,
};
use crate::diagnostic::{Code, Diagnostic, nearest, pointer_step};
use crate::model::is_hook_source;
use crate::outbound::{Allowed, AllowedError};

/// What a size may be where a few bytes would do: from 1 KiB.
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// The most that a stage may be allowed to save.
const MOST_SAVED: usize = 1024 * 1024 * MIB;
/// What the review of a pull request may be given. With less, ordinary files can't be rendered.
const REVIEW_MEMORY: RangeInclusive<usize> = 32 * MIB..=64 * 1024 * MIB;
const MOST_REVIEW_CPU: Duration = Duration::from_secs(600);
const MOST_REVIEW_DEADLINE: Duration = Duration::from_secs(3600);
const MOST_CATCH_UP: Duration = Duration::from_secs(7 * 24 * 3600);

/// The longest name or role of whoever has a token, in characters.
const MAX_HOLDER: usize = 100;
/// The longest name of a server, in characters.
const MAX_SERVER_NAME: usize = 60;
/// Whoever stops a server waits for it.
const LONGEST_DRAIN: Duration = Duration::from_secs(600);

/// What restarts and sub-pipelines that run may still need.
const LEAST_DETAILS: Duration = Duration::from_secs(3600);

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
    let modules = work.modules(written.modules, &repositories, &forges);
    let status_prefix = work.prefix(written.statuses);
    let limits = work.limits(written.limits);
    let retention = work.retention(written.retention);
    let logs = work.logs(written.logs, database.replicas);
    let network = work.network(&written.network);
    let logging = work.logging(written.logging);
    let secrets = work.secrets(written.secrets, repositories.len());
    let webhooks = work.webhooks(written.webhooks);
    if !written.accounts.0.is_empty() {
        work.warn(
            "/accounts",
            Code::NotInThisVersion,
            "`accounts` is part of the format, but this version doesn't act on it".to_owned(),
            "what uses it will fail; leave it out until a version says that it has it",
        );
    }

    let Work { mut findings, warnings, .. } = work;
    if findings.is_empty() {
        return Ok(Config {
            path: absolute,
            server,
            database,
            forges,
            repositories,
            modules,
            vars: written.vars.0,
            secrets,
            webhooks,
            status_prefix,
            limits,
            retention,
            logs,
            network,
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
        let mut tokens = Vec::new();
        let mut holders = Vec::new();
        let groups = self.groups(section.groups, &section.tokens);
        for (index, token) in section.tokens.into_iter().enumerate() {
            let pointer = format!("/server/tokens/{index}");
            let mut holder = self.holder(token.name, token.roles, &pointer);
            for (group, _) in groups.iter().filter(|(_, members)| members.contains(&holder.name)) {
                holder.roles.get_or_insert_default().push(group.clone());
            }
            let source = file::SecretSource { env: token.env, file: token.file };
            if let Some(secret) = self.secret(&source, &pointer) {
                tokens.push(secret);
                holders.push(holder);
            }
        }
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
        let name = section.name;
        if name.as_ref().is_some_and(|name| !is_word(name, MAX_SERVER_NAME)) {
            self.error(
                "/server/name",
                Code::BadIdentifier,
                "the name of the server can't be used".to_owned(),
                &format!("write 1 to {MAX_SERVER_NAME} characters, without control characters and spaces at the ends"),
            );
        }
        let drain = self.duration_up_to(section.drain, "/server/drain", Server::DRAIN, LONGEST_DRAIN);
        Server { listen, public_url, tokens, holders, state_dir, name, drain }
    }

    /// The groups, whose members have to be names of tokens.
    fn groups(
        &mut self,
        groups: IndexMap<String, Vec<String>>,
        tokens: &[file::TokenSection],
    ) -> IndexMap<String, Vec<String>> {
        for (group, members) in &groups {
            let pointer = format!("/server/groups/{}", pointer_step(group));
            if !is_word(group, MAX_HOLDER) {
                self.error(
                    &pointer,
                    Code::BadIdentifier,
                    "the name of a group can't be used".to_owned(),
                    &format!("write 1 to {MAX_HOLDER} characters, without control characters and spaces at the ends"),
                );
            }
            for (index, member) in members.iter().enumerate() {
                let names = || tokens.iter().filter_map(|token| token.name.as_deref());
                if names().any(|name| name == member) {
                    continue;
                }
                let hint = match nearest(member, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "give a token this `name`".to_owned(),
                };
                self.error(
                    &format!("{pointer}/{index}"),
                    Code::ValueNotAllowed,
                    format!("no token has the name `{member}`"),
                    &hint,
                );
            }
        }
        groups
    }

    /// Who has a token.
    fn holder(&mut self, name: Option<String>, roles: Option<Vec<String>>, pointer: &str) -> Holder {
        let bad = name.iter().chain(roles.iter().flatten()).any(|text| !is_word(text, MAX_HOLDER));
        if bad {
            self.error(
                pointer,
                Code::BadIdentifier,
                "the name or a role of whoever has the token can't be used".to_owned(),
                &format!("write 1 to {MAX_HOLDER} characters, without control characters and spaces at the ends"),
            );
        }
        Holder { name: name.unwrap_or_else(|| Holder::default().name), roles }
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
        let pointer = "/database/url";
        let password = section.password.and_then(|source| self.secret(&source, "/database/password"));
        let replicas = section.replicas.unwrap_or(false);
        let url = section.url.unwrap_or_else(|| default_database(state_dir));
        let url = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            self.server_address(&url, pointer);
            return Database { url, password, durable, replicas };
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
            }
            format!("sqlite:{}", self.base.join(path).display())
        } else {
            let shown = url.split(':').next().unwrap_or_default().to_owned();
            self.error(
                pointer,
                Code::ValueNotAllowed,
                format!("`{shown}:` is not a kind of database that Longboat knows"),
                "write `sqlite:PATH` or `postgres://USER@HOST:PORT/DATABASE`",
            );
            default_database(state_dir)
        };
        if password.is_some() {
            self.error(
                "/database/password",
                Code::ConflictingKeys,
                "a database file has no password".to_owned(),
                "leave `password` out, or name a server in `url`",
            );
        }
        if replicas {
            self.error(
                "/database/replicas",
                Code::ConflictingKeys,
                "several servers can't share a database file".to_owned(),
                "name a PostgreSQL server in `url`, like `postgres://USER@HOST:PORT/DATABASE`, or leave `replicas` out",
            );
        }
        Database { url, password: None, durable, replicas: false }
    }

    /// A server's address holds no password: it is shown in logs.
    fn server_address(&mut self, url: &str, pointer: &str) {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (path, query) = after.split_once('?').unwrap_or((after, ""));
        let in_authority = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
        if in_authority || query.split('&').any(|pair| pair.starts_with("password=")) {
            self.error(
                pointer,
                Code::SecretInConfig,
                "the address in `database.url` holds a password".to_owned(),
                "take it out, and write `password: {env: NAME}` or `password: {file: PATH}` beside it",
            );
        } else if path.trim_matches('/').is_empty() {
            self.error(
                pointer,
                Code::ValueNotAllowed,
                "the address in `database.url` names no database".to_owned(),
                "write `postgres://USER@HOST:PORT/DATABASE`",
            );
        }
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
            webhook_body: self.size(section.webhook_body, "/limits/webhookBody", default.webhook_body, KIB..=256 * MIB),
            git_deadline: self.duration(section.git_deadline, "/limits/gitDeadline", default.git_deadline),
            running_stages: count(section.running_stages, default.running_stages),
            requests: count(section.requests, default.requests),
            saved_bytes: {
                let default = usize::try_from(default.saved_bytes).unwrap_or(usize::MAX);
                self.size(section.saved_bytes, "/limits/savedBytes", default, KIB..=MOST_SAVED) as u64
            },
            saved_files: count(section.saved_files, default.saved_files),
            saved_for: self.duration(section.saved_for, "/limits/savedFor", default.saved_for),
            review_memory: {
                let default = usize::try_from(default.review_memory).unwrap_or(usize::MAX);
                self.size(section.review_memory, "/limits/reviewMemory", default, REVIEW_MEMORY) as u64
            },
            review_cpu: {
                let (pointer, default) = ("/limits/reviewCpu", default.review_cpu);
                self.duration_up_to(section.review_cpu, pointer, default, MOST_REVIEW_CPU)
            },
            review_deadline: {
                let (pointer, default) = ("/limits/reviewDeadline", default.review_deadline);
                self.duration_up_to(section.review_deadline, pointer, default, MOST_REVIEW_DEADLINE)
            },
            removal_share: section.removal_share.unwrap_or(default.removal_share),
            removal_from: section.removal_from.unwrap_or(default.removal_from),
            cron_catch_up: {
                let (pointer, default) = ("/limits/cronCatchUp", default.cron_catch_up);
                self.duration_up_to(section.cron_catch_up, pointer, default, MOST_CATCH_UP)
            },
        }
    }

    fn retention(&mut self, section: file::RetentionSection) -> Retention {
        let default = Retention::default();
        let details = self.duration(section.details, "/retention/details", default.details);
        if details < LEAST_DETAILS {
            self.error(
                "/retention/details",
                Code::ValueNotAllowed,
                "details are kept for an hour at least".to_owned(),
                "write `1h` or more; `retention.most` bounds how many executions keep theirs",
            );
        }
        let newest = section.newest.unwrap_or(default.newest);
        let most = section.most.unwrap_or_else(|| default.most.max(newest));
        if most < newest {
            self.error(
                "/retention/most",
                Code::ValueNotAllowed,
                format!("no more than {most} executions of a pipeline keep their details, but the newest {newest} are to keep theirs"),
                "write as much as `retention.newest` (20 by default), or more",
            );
        }
        Retention { details, newest, most }
    }

    fn webhooks(&mut self, sections: IndexMap<String, file::WebhookSection>) -> IndexMap<String, SecretString> {
        let mut webhooks = IndexMap::new();
        for (name, section) in sections {
            let pointer = format!("/webhooks/{}", pointer_step(&name));
            if !is_hook_source(&name) {
                let message = format!("`{name}` can't name the source of webhooks: it is part of an address");
                self.error(&pointer, Code::BadIdentifier, message, "write 1 to 63 letters, digits, `-` and `_`");
            }
            if let Some(secret) = section.secret.and_then(|source| self.secret(&source, &format!("{pointer}/secret"))) {
                webhooks.insert(name, secret);
            }
        }
        webhooks
    }

    fn network(&mut self, section: &file::NetworkSection) -> Vec<Allowed> {
        let mut allowed = Vec::new();
        for (index, text) in section.allow.iter().enumerate() {
            match text.parse() {
                Ok(one) => allowed.push(one),
                Err(error) => self.error(
                    &format!("/network/allow/{index}"),
                    Code::ValueNotAllowed,
                    AllowedError::to_string(&error),
                    "a host is named without scheme and port",
                ),
            }
        }
        allowed
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

/// Whether a text is short, and says nothing that can't be seen.
fn is_word(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control)
}

fn is_local_address(url: &str) -> bool {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}
