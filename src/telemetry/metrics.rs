//! What Longboat counts about itself, for Prometheus: `GET /metrics`, in the OpenMetrics text format.
//!
//! Two kinds of figures: what rooms count while they work ([`metrics`], one set per process), and how things stand
//! at the moment of the question ([`Snapshot`], put together by whoever answers it). Labels are words of the program
//! and names of the configuration, never texts that others choose, so their number is bounded.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a millisecond to an hour: stages and executions.
const LONG: [f64; 14] = [0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0];
/// From a tenth of a millisecond to half a minute: commits, requests, fetches.
const SHORT: [f64; 12] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];

type Label1 = [(&'static str, String); 1];
type Label2 = [(&'static str, String); 2];

/// What this process counts.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

/// The counters and histograms of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    webhooks: Family<Label2, Counter>,
    noticed: Family<Label1, Counter>,
    checks: Family<Label1, Counter>,
    check_seconds: Histogram,
    fetches: Family<Label1, Counter>,
    fetch_seconds: Histogram,
    executions_started: Counter,
    executions_ended: Family<Label1, Counter>,
    execution_seconds: Histogram,
    stages: Family<Label2, Counter>,
    stage_seconds: Family<Label1, Histogram, fn() -> Histogram>,
    commits: Counter,
    commit_seconds: Histogram,
    commit_writes: Histogram,
    messages: Family<Label2, Counter>,
    requests: Family<Label2, Counter>,
    reconciled: Family<Label2, Counter>,
    shards_taken: Counter,
    shards_lost: Counter,
    duties_taken: Family<Label1, Counter>,
}

impl Metrics {
    fn new() -> Self {
        let long = || Histogram::new(LONG);
        let mut all = Self {
            registry: Registry::with_prefix("longboat"),
            webhooks: Family::default(),
            noticed: Family::default(),
            checks: Family::default(),
            check_seconds: Histogram::new(SHORT),
            fetches: Family::default(),
            fetch_seconds: Histogram::new(SHORT),
            executions_started: Counter::default(),
            executions_ended: Family::default(),
            execution_seconds: long(),
            stages: Family::default(),
            stage_seconds: Family::new_with_constructor(long),
            commits: Counter::default(),
            commit_seconds: Histogram::new(SHORT),
            commit_writes: Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]),
            messages: Family::default(),
            requests: Family::default(),
            reconciled: Family::default(),
            shards_taken: Counter::default(),
            shards_lost: Counter::default(),
            duties_taken: Family::default(),
        };
        all.register();
        all
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "webhooks",
            "Deliveries to /webhooks, by path and what became of them",
            self.webhooks.clone(),
        );
        registry.register(
            "changes",
            "Changes of refs and pull requests that were new, by how they were noticed",
            self.noticed.clone(),
        );
        registry.register("checks", "Commits that were rendered and validated, by result", self.checks.clone());
        registry.register_with_unit(
            "check",
            "How long rendering and validating a commit took",
            Unit::Seconds,
            self.check_seconds.clone(),
        );
        registry.register("git_fetches", "Talks with Git servers, by result", self.fetches.clone());
        registry.register_with_unit(
            "git_fetch",
            "How long a talk with a Git server took",
            Unit::Seconds,
            self.fetch_seconds.clone(),
        );
        registry.register("executions_started", "Executions that began", self.executions_started.clone());
        registry.register("executions_ended", "Executions that ended, by status", self.executions_ended.clone());
        registry.register_with_unit(
            "execution",
            "How long executions took from their begin to their end",
            Unit::Seconds,
            self.execution_seconds.clone(),
        );
        registry.register("stages_ended", "Stages of executions that ended, by type and status", self.stages.clone());
        registry.register_with_unit(
            "stage",
            "How long the last attempts of stages took, by type",
            Unit::Seconds,
            self.stage_seconds.clone(),
        );
        registry.register("store_commits", "Transactions that the one writer committed", self.commits.clone());
        registry.register_with_unit(
            "store_commit",
            "How long a transaction took, the disk included",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        registry.register("store_commit_writes", "How many writes shared a transaction", self.commit_writes.clone());
        registry.register(
            "messages",
            "Statuses and comments for forges, by forge and what became of them",
            self.messages.clone(),
        );
        registry.register(
            "http_requests",
            "Requests to this server, by part and class of status",
            self.requests.clone(),
        );
        registry.register(
            "reconciler_findings",
            "What the reconciler found and mended, by forge and kind",
            self.reconciled.clone(),
        );
        registry.register(
            "shards_taken",
            "Shards of executions that this replica took, from another one or because nobody had them",
            self.shards_taken.clone(),
        );
        registry.register(
            "shards_lost",
            "Shards of executions that this replica had and others have, given away or taken",
            self.shards_lost.clone(),
        );
        registry.register(
            "duties_taken",
            "How often this replica began to do for all what one of them does, by duty",
            self.duties_taken.clone(),
        );
    }

    /// A delivery to `/webhooks/<path>` was answered.
    pub fn webhook(&self, path: &str, result: &str) {
        self.webhooks.get_or_create(&[("path", path.to_owned()), ("result", result.to_owned())]).inc();
    }

    /// Something new was written to the inbox; `source` is how it was noticed (`webhook`, `poll`).
    pub fn noticed(&self, source: &str) {
        self.noticed.get_or_create(&[("source", source.to_owned())]).inc();
    }

    /// A commit was rendered and validated.
    pub fn checked(&self, result: &str, took: Duration) {
        self.checks.get_or_create(&[("result", result.to_owned())]).inc();
        self.check_seconds.observe(took.as_secs_f64());
    }

    /// A talk with a Git server ended.
    pub fn fetched(&self, result: &str, took: Duration) {
        self.fetches.get_or_create(&[("result", result.to_owned())]).inc();
        self.fetch_seconds.observe(took.as_secs_f64());
    }

    /// An execution began.
    pub fn execution_started(&self) {
        self.executions_started.inc();
    }

    /// An execution ended.
    pub fn execution_ended(&self, status: &str, took: Option<Duration>) {
        self.executions_ended.get_or_create(&[("status", status.to_owned())]).inc();
        if let Some(took) = took {
            self.execution_seconds.observe(took.as_secs_f64());
        }
    }

    /// A stage of an execution that ended.
    pub fn stage_ended(&self, kind: &str, status: &str, took: Option<Duration>) {
        self.stages.get_or_create(&[("type", kind.to_owned()), ("status", status.to_owned())]).inc();
        if let Some(took) = took {
            self.stage_seconds.get_or_create(&[("type", kind.to_owned())]).observe(took.as_secs_f64());
        }
    }

    /// The one writer committed.
    pub fn committed(&self, writes: usize, took: Duration) {
        self.commits.inc();
        self.commit_seconds.observe(took.as_secs_f64());
        self.commit_writes.observe(u32::try_from(writes).unwrap_or(u32::MAX).into());
    }

    /// A status or comment for a forge ended: `sent`, `failed`, `put off`.
    pub fn message(&self, forge: &str, result: &str) {
        self.messages.get_or_create(&[("forge", forge.to_owned()), ("result", result.to_owned())]).inc();
    }

    /// A request to this server was answered; `class` is `2xx`.
    pub fn request(&self, part: &str, class: &str) {
        self.requests.get_or_create(&[("part", part.to_owned()), ("class", class.to_owned())]).inc();
    }

    /// The reconciler found something that no event had told.
    pub fn reconciled(&self, forge: &str, kind: &str) {
        self.reconciled.get_or_create(&[("forge", forge.to_owned()), ("kind", kind.to_owned())]).inc();
    }

    /// This replica took so many shards.
    pub fn shards_taken(&self, count: usize) {
        self.shards_taken.inc_by(count as u64);
    }

    /// Others have so many shards that were this replica's.
    pub fn shards_lost(&self, count: usize) {
        self.shards_lost.inc_by(count as u64);
    }

    /// This replica has a duty from now on.
    pub fn duty_taken(&self, duty: &str) {
        self.duties_taken.get_or_create(&[("duty", duty.to_owned())]).inc();
    }

    /// Everything as text, with how things stand at the moment.
    pub fn encode(&self, snapshot: &Snapshot) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &snapshot.registry()))
            .and_then(|()| encode_eof(&mut text))
            .is_ok();
        text
    }
}

/// How things stand at the moment of the question.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Executions that have not ended.
    pub live: u64,
    /// Executions in memory.
    pub in_memory: u64,
    /// Executions that nothing will wake, or that can't be gone on with.
    pub stranded: u64,
    /// Inbox entries that wait to be worked off.
    pub inbox_waiting: u64,
    /// How long the oldest of them has waited.
    pub inbox_oldest: Duration,
    /// Messages that wait to be sent.
    pub outbox_waiting: u64,
    /// How long the oldest of them has waited.
    pub outbox_oldest: Duration,
    /// Messages that were given up, since the database was made.
    pub outbox_failed: u64,
    /// Whether everything is frozen.
    pub frozen_everything: bool,
    /// How many applications are frozen by themselves.
    pub frozen_applications: u64,
    /// One per forge.
    pub forges: Vec<ForgeFigures>,
    /// Of each repository, whether it can be reached and its files are readable.
    pub repositories: Vec<(String, bool)>,
    /// How this replica stands among those that share the database; none: it has it for itself.
    pub replica: Option<ReplicaFigures>,
}

/// How a replica stands.
#[derive(Debug, Clone, Default)]
pub struct ReplicaFigures {
    /// How many replicas may act.
    pub alive: u64,
    /// For how long its lease holds without a renewal.
    pub lease: Duration,
    /// How many shards of executions are its own.
    pub shards: u64,
    /// Of each duty, whether it is its own.
    pub duties: Vec<(String, bool)>,
    /// Whether the configurations of the replicas differ.
    pub differ: bool,
}

/// How a forge stands.
#[derive(Debug, Clone, Default)]
pub struct ForgeFigures {
    /// Its name in the configuration.
    pub name: String,
    /// Requests under way.
    pub in_flight: u64,
    /// Whether nothing goes there for now.
    pub paused: bool,
    /// Requests that it still takes in its present window, if it tells.
    pub budget: Option<u64>,
}

impl Snapshot {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("longboat");
        let mut one = |name: &str, help: &str, value: u64| {
            let gauge = Gauge::<u64, AtomicU64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        one("executions_live", "Executions that have not ended", self.live);
        one(
            "executions_in_memory",
            "Executions in memory; those that wait for a time or a person are not",
            self.in_memory,
        );
        one(
            "executions_stranded",
            "Executions that nothing will wake, or that Longboat can't go on with: somebody has to look at them",
            self.stranded,
        );
        one("inbox_waiting", "Noticed changes that wait to be worked off", self.inbox_waiting);
        one("outbox_waiting", "Statuses and comments that wait to be sent", self.outbox_waiting);
        one("outbox_failed", "Statuses and comments that were given up and are kept", self.outbox_failed);
        one("resident_memory_bytes", "Memory of the server's process", resident_bytes());
        let age = |age: Duration| {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(age.as_secs_f64());
            gauge
        };
        registry.register(
            "inbox_oldest_seconds",
            "How long the oldest change has waited to be worked off",
            age(self.inbox_oldest),
        );
        registry.register(
            "outbox_oldest_seconds",
            "How long the oldest status or comment has waited to be sent",
            age(self.outbox_oldest),
        );
        self.families(&mut registry);
        registry
    }

    fn families(&self, registry: &mut Registry) {
        let in_flight = gauges("forge", self.forges.iter().map(|forge| (forge.name.clone(), forge.in_flight)));
        registry.register("forge_requests_in_flight", "Messages under way to a forge", in_flight);
        let paused = gauges("forge", self.forges.iter().map(|forge| (forge.name.clone(), forge.paused.into())));
        registry.register("forge_paused", "1 while nothing is sent to a forge because it is in trouble", paused);
        let told = self.forges.iter().filter_map(|forge| Some((forge.name.clone(), forge.budget?)));
        let help = "Requests that a forge still takes in its present window, where it tells";
        registry.register("forge_budget", help, gauges("forge", told));
        let well = gauges("repository", self.repositories.iter().map(|(name, well)| (name.clone(), (*well).into())));
        registry.register("repository_up", "1 if the last look at a repository went well", well);
        let frozen = [
            ("everything".to_owned(), self.frozen_everything.into()),
            ("applications".to_owned(), self.frozen_applications),
        ];
        let help = "Freezes in force: 1 for everything while all is frozen, and the number of applications that are";
        registry.register("frozen", help, gauges("scope", frozen));
        if let Some(replica) = &self.replica {
            replica.families(registry);
        }
        let version = gauges("version", [(env!("CARGO_PKG_VERSION").to_owned(), 1)]);
        registry.register("build_info", "The version that runs", version);
    }
}

impl ReplicaFigures {
    fn families(&self, registry: &mut Registry) {
        let gauge = |value: u64| {
            let gauge = Gauge::<u64, AtomicU64>::default();
            gauge.set(value);
            gauge
        };
        registry.register("replicas_alive", "Replicas of the database that may act", gauge(self.alive));
        let lease = Gauge::<f64, AtomicU64>::default();
        lease.set(self.lease.as_secs_f64());
        registry.register(
            "lease_seconds",
            "For how long this replica may act without renewing its lease; 0: it may not",
            lease,
        );
        registry.register("shards_held", "Shards of executions, of 64, that are this replica's", gauge(self.shards));
        let duties = self.duties.iter().map(|(duty, own)| (duty.clone(), (*own).into()));
        registry.register("duty", "1 if it is this replica that does it for all", gauges("duty", duties));
        registry.register(
            "configurations_differ",
            "1 while the configurations of the replicas differ",
            gauge(self.differ.into()),
        );
    }
}

fn gauges(label: &'static str, values: impl IntoIterator<Item = (String, u64)>) -> Family<Label1, Gauge<u64, AtomicU64>>
where
    Label1: EncodeLabelSet,
{
    let family = Family::<Label1, Gauge<u64, AtomicU64>>::default();
    for (name, value) in values {
        family.get_or_create(&[(label, name)]).set(value);
    }
    family
}

/// The process's resident memory, from `/proc`; 0 where there is none.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|text| text.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The documented list: a line of Markdown for each figure, in the order of the output.
pub fn documentation() -> String {
    let text = one_of_each();
    let mut page = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else { continue };
        let mut kind = "";
        let mut labels = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("# HELP ")) {
            match line.strip_prefix("# ") {
                Some(about) => {
                    kind = about.strip_prefix("TYPE ").and_then(|rest| rest.rsplit(' ').next()).unwrap_or(kind)
                }
                None if labels.is_empty() => labels = labels_of(line),
                None => {}
            }
        }
        let suffix = if kind == "counter" { "_total" } else { "" };
        // Writing to a String can't fail.
        let _ = writeln!(page, "| `{name}{suffix}` | {kind} | {} | {help} |", labels.join(", "));
    }
    page
}

/// The names of a sample's labels; the bounds of a histogram's buckets are none of ours.
fn labels_of(sample: &str) -> Vec<String> {
    let inside = sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inside, _)| inside);
    let names = inside.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name);
    names.filter(|name| *name != "le").map(|name| format!("`{name}`")).collect()
}

/// Every figure once: families without a value are not written.
fn one_of_each() -> String {
    let all = Metrics::new();
    let zero = Duration::ZERO;
    all.webhook("", "");
    all.noticed("");
    all.checked("", zero);
    all.fetched("", zero);
    all.execution_ended("", None);
    all.stage_ended("", "", Some(zero));
    all.message("", "");
    all.request("", "");
    all.reconciled("", "");
    all.duty_taken("");
    all.encode(&Snapshot {
        forges: vec![ForgeFigures { budget: Some(0), ..ForgeFigures::default() }],
        repositories: vec![(String::new(), true)],
        replica: Some(ReplicaFigures { duties: vec![(String::new(), true)], ..ReplicaFigures::default() }),
        ..Snapshot::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_can_be_read() {
        let metrics = Metrics::new();
        metrics.webhook("github", "accepted");
        metrics.webhook("github", "accepted");
        metrics.stage_ended("script", "SUCCEEDED", Some(Duration::from_millis(20)));
        metrics.committed(3, Duration::from_millis(2));
        let snapshot = Snapshot {
            live: 2,
            inbox_oldest: Duration::from_millis(1500),
            forges: vec![ForgeFigures { name: "hub \"x\"\n".to_owned(), paused: true, ..ForgeFigures::default() }],
            repositories: vec![("acme/shop".to_owned(), true)],
            frozen_applications: 2,
            replica: Some(ReplicaFigures {
                alive: 3,
                lease: Duration::from_millis(4500),
                shards: 22,
                duties: vec![("triggers".to_owned(), true), ("reports".to_owned(), false)],
                differ: true,
            }),
            ..Snapshot::default()
        };
        let text = metrics.encode(&snapshot);
        for line in [
            "longboat_webhooks_total{path=\"github\",result=\"accepted\"} 2",
            "longboat_stages_ended_total{type=\"script\",status=\"SUCCEEDED\"} 1",
            "longboat_stage_seconds_bucket{le=\"0.1\",type=\"script\"} 1",
            "longboat_store_commit_writes_sum 3.0",
            "longboat_executions_live 2",
            "longboat_inbox_oldest_seconds 1.5",
            "longboat_forge_paused{forge=\"hub \\\"x\\\"\\n\"} 1",
            "longboat_replicas_alive 3",
            "longboat_lease_seconds 4.5",
            "longboat_shards_held 22",
            "longboat_duty{duty=\"triggers\"} 1",
            "longboat_duty{duty=\"reports\"} 0",
            "longboat_configurations_differ 1",
            "longboat_frozen{scope=\"everything\"} 0",
            "longboat_frozen{scope=\"applications\"} 2",
            "longboat_repository_up{repository=\"acme/shop\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn memory_is_known_on_linux() {
        assert!(resident_bytes() > 1 << 20);
    }
}
