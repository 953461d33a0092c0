//! Running the `git` program: what it may do, what it gets to see, and what its failures mean.
//!
//! Its environment is made here from nothing. It reads no configuration but the mirror's own and what stands
//! in this file, asks nobody anything, runs no hooks, and speaks only the protocol of its remote. Credentials
//! travel in its environment, which only Longboat's own user can read, never on its command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use secrecy::ExposeSecret;

use super::remote::{Location, printable};
use super::{GitError, Remote};
use crate::model::CommitSha;
use crate::process::{self, Command, Output, ProcessError};

/// Curl gives up when it sees fewer bytes a second than this ...
const LOW_SPEED_BYTES: &str = "200";
/// ... for this many seconds. Servers that prepare a large answer send five bytes every five seconds, so
/// this is also how long a server may prepare.
const LOW_SPEED_SECONDS: u64 = 120;

/// What this process's own environment may pass on: where programs and certificates are, and proxies.
const PASSED_ON: [&str; 14] = [
    "PATH",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "GIT_EXEC_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// What a remote has at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteHeads {
    /// The branch that its HEAD names, without `refs/heads/`; `None` if there is none (an empty repository)
    /// or if it was not asked for.
    pub default_branch: Option<String>,
    /// The commits of its branches and tags, by full name. Tags are followed to their commits.
    pub refs: BTreeMap<String, CommitSha>,
}

/// The `git` program, ready to be used on one mirror and one remote.
pub(super) struct Network {
    dir: PathBuf,
    remote: Remote,
    location: Location,
    env: Vec<(OsString, OsString)>,
}

impl Network {
    pub(super) fn new(dir: &Path, remote: Remote) -> Result<Self, GitError> {
        let location = Location::of(&remote.url)?;
        let mut network = Self { dir: dir.to_owned(), remote, location, env: Vec::new() };
        network.env = network.environment();
        Ok(network)
    }

    /// The remote as it may be shown.
    pub(super) fn name(&self) -> String {
        printable(&self.remote.url)
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    /// The remote as git gets it: local folders by their absolute path, which has no escapes.
    pub(super) fn address(&self) -> OsString {
        match &self.location {
            Location::Local(path) => path.clone().into_os_string(),
            Location::Http { .. } => self.remote.url.clone().into(),
        }
    }

    /// The file that stands in for the user's own configuration. `git-upload-pack`, which git starts for a
    /// local remote, sees neither `-c` nor `GIT_CONFIG_COUNT`, and must be told here that the folder may
    /// belong to somebody else. Whoever wrote the configuration chose the folder.
    pub(super) fn global_config(&self) -> Option<(PathBuf, &'static str)> {
        match self.location {
            Location::Local(_) => Some((self.dir.join("longboat-global"), "[safe]\n\tdirectory = *\n")),
            Location::Http { .. } => None,
        }
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> =
            PASSED_ON.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect();
        let mut set = |name: &str, value: OsString| env.push((name.into(), value));
        // A redirect may lead from http to https, never back.
        let protocols = match self.location {
            Location::Local(_) => "file",
            Location::Http { secure: false } => "http:https",
            Location::Http { secure: true } => "https",
        };
        set("GIT_ALLOW_PROTOCOL", protocols.into());
        set("GIT_TERMINAL_PROMPT", "0".into());
        set("GIT_CONFIG_NOSYSTEM", "1".into());
        set("GIT_CONFIG_GLOBAL", self.global_config().map_or_else(|| "/dev/null".into(), |(path, _)| path.into()));
        set("GIT_ATTR_NOSYSTEM", "1".into());
        set("GIT_OPTIONAL_LOCKS", "0".into());
        // No .netrc, no ssh keys, no configuration: nothing of the user's is below the mirror.
        set("HOME", self.dir.clone().into());
        set("XDG_CONFIG_HOME", self.dir.clone().into());
        // Failures are told apart by git's words.
        set("LC_ALL", "C".into());

        let config = self.config();
        set("GIT_CONFIG_COUNT", config.len().to_string().into());
        for (number, (key, value)) in config.into_iter().enumerate() {
            set(&format!("GIT_CONFIG_KEY_{number}"), key.into());
            set(&format!("GIT_CONFIG_VALUE_{number}"), value.into());
        }
        env
    }

    fn config(&self) -> Vec<(String, String)> {
        let mut config: Vec<(String, String)> = [
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("core.askPass", ""),
            ("credential.helper", ""),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("fetch.recurseSubmodules", "false"),
            ("fetch.writeCommitGraph", "false"),
            // One pack a fetch, written and flushed once, and not a file for each object.
            ("fetch.unpackLimit", "1"),
            // Hashes are always verified. Form is checked where objects are read; stricter checks here would
            // refuse honest repositories for slips in their oldest commits.
            ("fetch.fsckObjects", "false"),
            ("http.lowSpeedLimit", LOW_SPEED_BYTES),
            ("http.userAgent", concat!("longboat/", env!("CARGO_PKG_VERSION"), " git")),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        config.push(("http.lowSpeedTime".to_owned(), LOW_SPEED_SECONDS.to_string()));
        // Git would send the header on to wherever the server points.
        let follow = if self.remote.credentials.is_some() { "false" } else { "initial" };
        config.push(("http.followRedirects".to_owned(), follow.to_owned()));
        if let (Location::Http { .. }, Some(credentials)) = (&self.location, &self.remote.credentials) {
            let password = credentials.password.expose_secret();
            let authorization = match &credentials.username {
                Some(username) => format!("Basic {}", BASE64.encode(format!("{username}:{password}"))),
                None => format!("Bearer {password}"),
            };
            config.push((format!("http.{}.extraHeader", self.remote.url), format!("Authorization: {authorization}")));
        }
        config
    }

    /// Runs git on the mirror; a bad exit status becomes an error that says what it means.
    pub(super) async fn run<A: Into<OsString>>(
        &self,
        args: impl IntoIterator<Item = A>,
        deadline: Duration,
        max_output: usize,
    ) -> Result<Output, GitError> {
        let mut command = Command::new("git").args(["--git-dir"]).args([self.dir.as_os_str()]).args(args);
        command.env.clone_from(&self.env);
        command.dir = Some(self.dir.clone());
        command.deadline = deadline;
        command.max_output = max_output;
        let output = process::run(command).await.map_err(|error| match error {
            ProcessError::TimedOut { after, .. } => GitError::TimedOut { remote: self.name(), after },
            other => GitError::Program(other),
        })?;
        if output.status.success() { Ok(output) } else { Err(self.failure(&String::from_utf8_lossy(&output.stderr))) }
    }

    /// What the remote has. `with_default` also asks for its default branch, which makes a server name all
    /// its refs, those of pull requests included.
    pub(super) async fn list(
        &self,
        with_default: bool,
        deadline: Duration,
        max_output: usize,
    ) -> Result<RemoteHeads, GitError> {
        let mode: &[&str] = if with_default { &["--symref"] } else { &["--heads", "--tags"] };
        let mut args: Vec<OsString> = vec!["ls-remote".into(), "--quiet".into()];
        args.extend(mode.iter().map(Into::into));
        args.extend(["--".into(), self.address()]);
        let output = self.run(args, deadline, max_output).await?;
        if output.truncated {
            return Err(GitError::TooLarge {
                path: format!("the list of refs of {}", self.name()),
                size: output.stdout.len() as u64 + 1,
                max: max_output as u64,
            });
        }
        Ok(parse_listing(&String::from_utf8_lossy(&output.stdout)))
    }

    fn failure(&self, stderr: &str) -> GitError {
        let remote = self.name();
        let detail = summary(stderr, self.remote.credentials.as_ref().map(|it| it.password.expose_secret()));
        let dir = self.dir.to_string_lossy();
        let says = |texts: &[&str]| texts.iter().any(|text| stderr.contains(text));
        if (says(&["not a git repository"]) && stderr.contains(dir.as_ref()))
            || says(&[
                "is corrupt",
                "bad object",
                "object file",
                "bad config",
                "inflate:",
                "unable to read tree",
                "badRefContent",
                "did not send all necessary objects",
                "missing blob",
                "missing tree",
                "unresolved deltas",
            ])
        {
            return GitError::Corrupt { dir: self.dir.clone(), detail };
        }
        if let Some((_, rest)) = stderr.split_once("couldn't find remote ref ") {
            let git_ref = rest.lines().next().unwrap_or_default().trim().to_owned();
            return GitError::MissingRef { remote, git_ref };
        }
        if says(&[
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "Access denied",
            "error: 401",
            "error: 403",
        ]) {
            return GitError::AuthRefused { remote, detail };
        }
        if says(&[
            "error: 301",
            "error: 302",
            "error: 303",
            "error: 307",
            "error: 308",
            "unable to update url base from redirection",
        ]) {
            return GitError::Moved { remote, detail };
        }
        if says(&[
            "not found",
            "error: 404",
            "does not appear to be a git repository",
            "not a git repository",
            "is this a git repository",
            "dubious ownership",
            "does not exist",
        ]) {
            return GitError::NotARepository { remote, detail };
        }
        if let Some((_, rest)) = stderr.split_once("transport '") {
            let protocol = rest.split('\'').next().unwrap_or_default().to_owned();
            return GitError::ProtocolNotAllowed { remote, protocol };
        }
        if says(&["mismatched algorithms", "unknown object format"]) {
            let detail = "its object ids are SHA-256".to_owned();
            return GitError::Unsupported { remote, detail };
        }
        if says(&["Operation too slow"]) {
            return GitError::TimedOut { remote, after: Duration::from_secs(LOW_SPEED_SECONDS) };
        }
        if says(&[
            "unable to access",
            "Could not resolve",
            "Connection",
            "early EOF",
            "RPC failed",
            "hung up unexpectedly",
            "disconnect",
            "returned error: 5",
            "error: 429",
            "Empty reply",
            "invalid server response",
        ]) {
            return GitError::Unreachable { remote, detail };
        }
        GitError::Failed { remote, detail }
    }
}

/// The last line that says what went wrong, without git's `fatal: `, cut to a readable length. Servers write
/// what they like to standard error, so the password is blanked out should they echo it.
fn summary(stderr: &str, password: Option<&str>) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines()
        .rfind(|line| line.starts_with("fatal:") || line.starts_with("error:"))
        .or_else(|| lines().next_back())
        .unwrap_or("no reason given");
    let line = line.trim_start_matches("fatal: ").trim_start_matches("error: ");
    let line = match password {
        Some(password) if !password.is_empty() => line.replace(password, "***"),
        _ => line.to_owned(),
    };
    line.chars().filter(|letter| !letter.is_control()).take(300).collect()
}

/// `<id> TAB <name>` lines; `ref: <name> TAB HEAD` names the default branch, and `<name>^{}` is what an
/// annotated tag points at.
fn parse_listing(text: &str) -> RemoteHeads {
    let mut heads = RemoteHeads::default();
    for (left, name) in text.lines().filter_map(|line| line.split_once('\t')) {
        if let Some(target) = left.strip_prefix("ref: ") {
            if name == "HEAD" {
                heads.default_branch = target.strip_prefix("refs/heads/").map(str::to_owned);
            }
            continue;
        }
        let plain = name.strip_suffix("^{}").unwrap_or(name);
        if (plain.starts_with("refs/heads/") || plain.starts_with("refs/tags/"))
            && let Ok(commit) = CommitSha::parse(left)
        {
            // The peeled line comes after the tag's own and replaces it.
            heads.refs.insert(plain.to_owned(), commit);
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::super::Credentials;
    use super::*;

    #[test]
    fn a_listing_follows_tags_and_leaves_out_pull_requests() {
        let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
        let text = format!(
            "ref: refs/heads/trunk\tHEAD\n{a}\tHEAD\n{a}\trefs/heads/trunk\n{c}\trefs/pull/1/head\n{b}\trefs/tags/v1\n{a}\trefs/tags/v1^{{}}\n"
        );
        let heads = parse_listing(&text);
        assert_eq!(heads.default_branch.as_deref(), Some("trunk"));
        let a = CommitSha::parse(&a).expect("a commit");
        assert_eq!(heads.refs, [("refs/heads/trunk".to_owned(), a.clone()), ("refs/tags/v1".to_owned(), a)].into());
        assert_eq!(parse_listing(""), RemoteHeads::default());
    }

    #[test]
    fn the_password_is_in_the_environment_and_nowhere_else() {
        let token = Credentials { username: None, password: "hunter2".into() };
        let remote = Remote { url: "http://host/x.git".into(), credentials: Some(token) };
        let network = Network::new(Path::new("/m"), remote).expect("legal");
        assert!(network.env.iter().any(|(_, value)| value == "Authorization: Bearer hunter2"), "{:?}", network.env);

        let credentials = Credentials { username: Some("ann".into()), password: "hunter2".into() };
        let remote = Remote { url: "http://host/x.git".into(), credentials: Some(credentials) };
        let network = Network::new(Path::new("/m"), remote).expect("legal");
        let header = format!("Authorization: Basic {}", BASE64.encode("ann:hunter2"));
        assert!(network.env.iter().any(|(_, value)| *value == *header), "{:?}", network.env);
        assert!(network.env.iter().any(|(_, value)| value == "http.http://host/x.git.extraHeader"));
        let error = network.failure("remote: you said hunter2\nfatal: Authentication failed for 'hunter2'\n");
        assert!(matches!(error, GitError::AuthRefused { .. }) && !error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn failures_are_told_apart() {
        let network = Network::new(Path::new("/m"), Remote::open_to_all("http://host/x.git")).expect("legal");
        let kind = |text: &str| format!("{:?}", network.failure(text)).split(' ').next().unwrap_or_default().to_owned();
        for (text, expected) in [
            ("fatal: unable to access 'x': Could not resolve host: x", "Unreachable"),
            ("fatal: unable to access 'x': The requested URL returned error: 503", "Unreachable"),
            ("fatal: could not read Username for 'x': terminal prompts disabled", "AuthRefused"),
            ("fatal: repository 'x' not found", "NotARepository"),
            ("fatal: transport 'https' not allowed", "ProtocolNotAllowed"),
            ("fatal: not a git repository: '/m'", "Corrupt"),
            ("fatal: mismatched algorithms: client sha1; server sha256", "Unsupported"),
            ("fatal: couldn't find remote ref refs/pull/7/head", "MissingRef"),
            ("fatal: something else", "Failed"),
            ("", "Failed"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
