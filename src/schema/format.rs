//! An application file as its author writes it. These types are never filled: they are what the published
//! schema is made from, and their keys are those that checking knows ([`keys`]).
#![allow(dead_code, reason = "only the schemas of these types count")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::model::{Artifact, Dialect, OnFailure, OnNew, ParameterType, Span, Workday};

/// Pipelines of one application, in a file `.longboat/*.yaml`.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields, title = "Longboat application file")]
#[schemars(example = serde_json::json!({
    "application": "shop",
    "pipelines": [{
        "name": "deploy",
        "triggers": [{"type": "git", "branches": ["main"]}],
        "stages": [{"id": "test", "type": "script", "command": "make test"}],
    }],
}))]
pub struct ApplicationFile {
    /// The application that owns the pipelines. One application may have several files.
    #[schemars(length(min = 1, max = 100), pattern(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"), example = &"shop")]
    application: String,
    /// Variables of this file, seen by its templates as `vars`.
    #[schemars(default, example = serde_json::json!({"region": "eu", "replicas": 3}))]
    vars: Option<BTreeMap<String, Value>>,
    /// The environment of all pipelines that name none.
    #[schemars(example = &"production")]
    environment: Option<String>,
    /// The application's pipelines.
    pipelines: Vec<PipelineFile>,
}

/// A pipeline: stages, what starts them, and what a start may give.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineFile {
    /// Unique within the application.
    #[schemars(length(min = 1, max = 120), example = &"deploy")]
    name: String,
    /// A UUID; one is made from the names of the application and the pipeline if it is missing.
    #[schemars(extend("format" = "uuid"))]
    id: Option<String>,
    /// What the pipeline is for; people see it beside the name.
    #[schemars(example = &"Tests the shop and ships it")]
    description: Option<String>,
    /// Which spelling the pipeline is written in; told by its keys if it is missing.
    dialect: Option<Dialect>,
    /// Chooses a variable overlay, and names the deployment.
    #[schemars(example = &"production")]
    environment: Option<String>,
    /// What a start may or must give, seen by expressions as `parameters`.
    #[schemars(default)]
    parameters: Vec<ParameterFile>,
    /// What starts the pipeline.
    #[schemars(default)]
    triggers: Vec<TriggerFile>,
    /// The artifacts that the pipeline works on.
    #[schemars(default)]
    expected_artifacts: Vec<ExpectedArtifactFile>,
    /// How many executions may run at once.
    concurrency: Option<ConcurrencyFile>,
    /// How long a whole execution may take.
    #[schemars(example = &"2h")]
    timeout: Option<Span>,
    /// How long an execution may wait to begin, for its turn or the end of a freeze; then it is cancelled.
    #[schemars(example = &"12h")]
    start_expiry: Option<Span>,
    /// The stages. If none says what it needs, they run one after the other.
    #[schemars(length(min = 1, max = 1000))]
    stages: Vec<StageFile>,
}

/// A value that a start gives.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParameterFile {
    /// The name under `parameters`.
    #[schemars(length(min = 1, max = 100), example = &"version")]
    name: String,
    /// The type of its values.
    #[schemars(rename = "type", default)]
    kind: ParameterType,
    /// Whether a start must give it, if there is no default.
    #[schemars(default)]
    required: bool,
    /// The value if none is given.
    default: Option<Value>,
    /// The values that are allowed; all, if it is missing.
    #[schemars(example = serde_json::json!(["eu", "us"]))]
    options: Option<Vec<Value>>,
    /// What people see beside the field when they start the pipeline.
    description: Option<String>,
}

/// What starts a pipeline.
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "snake_case")]
pub enum TriggerFile {
    /// A push. Without filters, a push to any branch.
    Git(GitTriggerFile),
    /// A pull request. Not acted on by this version.
    PullRequest(PullRequestTriggerFile),
    /// A time table. Starts the definition in force for the commit that it was published from.
    Cron(CronTriggerFile),
    /// The end of another pipeline. Starts the definition in force for the commit that it was published from.
    Pipeline(PipelineTriggerFile),
    /// A custom webhook. Starts the definition in force for the commit that it was published from.
    Webhook(WebhookTriggerFile),
}

/// A push.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({"type": "git", "branches": ["main", "release/*"], "paths": ["src/**"]}))]
pub struct GitTriggerFile {
    /// Globs of branch names.
    #[schemars(default, example = serde_json::json!(["main", "release/*"]))]
    branches: Vec<String>,
    /// A regular expression that must match the whole branch name, as Spinnaker has it.
    #[schemars(example = &"release-[0-9]+")]
    branch: Option<String>,
    /// Globs of tag names; without them, tags start nothing.
    #[schemars(default, example = serde_json::json!(["v*"]))]
    tags: Vec<String>,
    /// Globs of paths, one of which must have changed.
    #[schemars(default, example = serde_json::json!(["src/**"]))]
    paths: Vec<String>,
    /// Globs of paths whose change alone starts nothing.
    #[schemars(default, example = serde_json::json!(["docs/**", "*.md"]))]
    ignore_paths: Vec<String>,
    /// The ids of expected artifacts of the pipeline that a start by this trigger needs.
    #[schemars(default)]
    expected_artifact_ids: Vec<String>,
    /// If false, the trigger does nothing.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
}

/// A pull request.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullRequestTriggerFile {
    /// The forge's words for the events, like `opened` and `synchronize`.
    #[schemars(default)]
    events: Vec<String>,
    /// Globs of the target branch's name.
    #[schemars(default)]
    branches: Vec<String>,
    /// If false, the trigger does nothing.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
}

/// A time table.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({"type": "cron", "schedule": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"}))]
pub struct CronTriggerFile {
    /// Minute, hour, day of month, month, day of week; or Quartz's six or seven fields, which begin with seconds.
    #[schemars(example = &"0 9 * * MON-FRI", example = &"0 0 9 ? * MON-FRI", example = &"@daily")]
    schedule: String,
    /// A name of the IANA database; UTC if it is missing.
    #[schemars(example = &"Europe/Berlin", extend("default" = "UTC"))]
    timezone: Option<String>,
    /// The values of the pipeline's parameters.
    #[schemars(example = serde_json::json!({"mode": "full"}))]
    parameters: Option<BTreeMap<String, Value>>,
    /// The ids of expected artifacts of the pipeline that a start by this trigger needs.
    #[schemars(default)]
    expected_artifact_ids: Vec<String>,
    /// Whether the outcome is reported on the commit.
    #[schemars(extend("default" = false))]
    report: Option<bool>,
    /// If false, the trigger does nothing.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
}

/// The end of another pipeline.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({"type": "pipeline", "application": "base", "pipeline": "build", "statuses": ["SUCCEEDED"]}))]
pub struct PipelineTriggerFile {
    /// The other pipeline's application; this file's if it is missing.
    application: Option<String>,
    /// The other pipeline's name, or its id, with which no application is needed.
    pipeline: String,
    /// How it has to end; `SUCCEEDED` alone, if nothing is said.
    #[schemars(default, example = serde_json::json!(["SUCCEEDED"]), example = serde_json::json!(["TERMINAL", "CANCELED"]))]
    statuses: Vec<String>,
    /// The values of the pipeline's parameters; `${ trigger.parentExecution... }` is evaluated at the start.
    #[schemars(example = serde_json::json!({"version": "${ trigger.parentExecution.parameters.version }"}))]
    parameters: Option<BTreeMap<String, Value>>,
    /// The ids of expected artifacts of the pipeline that a start by this trigger needs; what the other execution was
    /// started with and yielded is among those that are looked through.
    #[schemars(default)]
    expected_artifact_ids: Vec<String>,
    /// Whether the outcome is reported on the commit; if nothing is said, then if the other execution reports on the
    /// same commit.
    report: Option<bool>,
    /// If false, the trigger does nothing.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
}

/// A custom webhook.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({
    "type": "webhook", "source": "registry", "payloadConstraints": {"action": "^published$"},
    "parameters": {"version": "${ trigger.payload.package.version }"},
}))]
pub struct WebhookTriggerFile {
    /// The last part of the address to which it is sent, `/webhooks/custom/SOURCE`; one of the server's `webhooks`.
    #[schemars(length(min = 1, max = 63), pattern(r"^[A-Za-z0-9_-]+$"), example = &"registry")]
    source: String,
    /// What the payload has to say: regular expressions that match anywhere in the text, by keys of the payload, JSON
    /// pointers (`/package/name`) or paths (`package.name`). All have to match.
    payload_constraints: Option<BTreeMap<String, String>>,
    /// The values of the pipeline's parameters, before those that the payload gives under `parameters`;
    /// `${ trigger.payload... }` is evaluated at the start.
    #[schemars(example = serde_json::json!({"version": "${ trigger.payload.package.version }"}))]
    parameters: Option<BTreeMap<String, Value>>,
    /// The ids of expected artifacts of the pipeline that a start by this trigger needs; what the payload lists under
    /// `artifacts` is looked through.
    #[schemars(default)]
    expected_artifact_ids: Vec<String>,
    /// Whether the outcome is reported on the commit.
    #[schemars(extend("default" = false))]
    report: Option<bool>,
    /// If false, the trigger does nothing.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
}

/// How many executions of a pipeline may run at once, or of all pipelines that share a lock.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({"max": 1, "lock": "prod-db"}))]
pub struct ConcurrencyFile {
    /// The most that run at once; one more waits for its turn.
    #[schemars(range(min = 1))]
    max: u32,
    /// What one more does to older executions of the same pipeline.
    #[schemars(default)]
    on_new: OnNew,
    /// The name of a lock that pipelines of all applications of the server share. Without it, the executions of this
    /// pipeline alone are counted.
    #[schemars(length(min = 1, max = 100), pattern(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"), example = &"prod-db")]
    lock: Option<String>,
}

/// What all stages have; the fields of the stage's type stand beside.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct StageFile {
    /// Unique within the pipeline; made from the name or type if it is missing.
    #[schemars(length(min = 1, max = 63), pattern(r"^[A-Za-z0-9_-]+$"), example = &"unit-tests")]
    id: Option<String>,
    /// What people see instead of the id.
    #[schemars(length(max = 200), example = &"Unit tests")]
    name: Option<String>,
    /// What the stage does.
    #[schemars(rename = "type")]
    kind: String,
    /// The ids of the stages that must end well before this one starts. If no stage of the pipeline has this
    /// key, stages run in the order of the list.
    #[schemars(example = serde_json::json!(["build", "lint"]))]
    needs: Option<Vec<String>>,
    /// A CEL expression; if it yields false, the stage is skipped.
    #[schemars(example = r#"trigger.branch == "main""#)]
    when: Option<Condition>,
    /// What the failure of the stage means for the pipeline.
    #[schemars(extend("default" = "halt"))]
    on_failure: Option<OnFailure>,
    /// How long the stage may run.
    #[schemars(example = &"30m")]
    timeout: Option<Span>,
    /// Whether and how a failed stage is tried again.
    #[schemars(example = serde_json::json!({"attempts": 3, "backoff": "30s"}))]
    retry: Option<RetryFile>,
    /// The times of the week at which it may start.
    window: Option<WindowFile>,
    /// The stage becomes several, one for each combination of the axes' values. `matrix.<axis>` tells them apart.
    matrix: Option<MatrixFile>,
    /// The stage becomes several, one for each item of a list. `each.item` tells them apart.
    #[schemars(example = serde_json::json!(["eu", "us"]), example = &"${ parameters.regions }")]
    for_each: Option<ForEachFile>,
    /// Whether it runs when all others have ended, whatever became of them, also after a cancellation.
    #[schemars(default)]
    finally: bool,
    /// The artifacts that the stage has to yield: found among its outputs' `artifacts` when it ends well.
    expected_artifacts: Option<Vec<ExpectedArtifactFile>>,
    /// The name of the group that pages show the stage in.
    #[schemars(length(max = 200))]
    group: Option<String>,
}

/// An artifact that is expected.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({
    "id": "image", "matchArtifact": {"type": "docker/image", "name": "ghcr.io/acme/shop"}, "usePriorArtifact": true,
}))]
pub struct ExpectedArtifactFile {
    /// By which triggers name it.
    #[schemars(length(min = 1, max = 200))]
    id: String,
    /// By which people and expressions name it.
    display_name: Option<String>,
    /// What it has to look like: each field is a text or a regular expression for the whole field; one that is
    /// missing matches all.
    match_artifact: Option<Artifact>,
    /// Whether one of the pipeline's newest successful execution does if the start brings none.
    use_prior_artifact: Option<bool>,
    /// Whether `defaultArtifact` does if there is no other.
    use_default_artifact: Option<bool>,
    /// The default.
    default_artifact: Option<Artifact>,
}

/// A condition.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Condition {
    /// A CEL expression.
    Expression(String),
    /// Always or never.
    Fixed(bool),
}

/// When and how often a failed stage is tried again.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryFile {
    /// All attempts, the first included.
    #[schemars(range(min = 1, max = 100))]
    attempts: u32,
    /// The pause before the second attempt, 10 seconds if it is missing; each further pause is twice as long.
    #[schemars(example = &"30s", extend("default" = "10s"))]
    backoff: Option<Span>,
    /// The failures that are worth another attempt: exit codes of a script, `timeout` (the stage's `timeout` is then that
    /// of each attempt), `lost` (nobody knows how far the attempt came: the replica or the machine that ran it is gone), or
    /// regular expressions that are searched for in the message. All that may pass, if it is missing.
    #[schemars(example = serde_json::json!([75, "timeout", "connection (reset|refused)"]))]
    on: Option<Vec<RetryOnFile>>,
}

/// A failure that is worth another attempt.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum RetryOnFile {
    /// An exit code.
    ExitCode(u8),
    /// `timeout`, `lost`, or a regular expression.
    Text(String),
}

/// A stage that becomes several, one for each combination of the axes' values; 256 at most.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({
    "axes": {"os": ["linux", "darwin"], "arch": ["amd64", "arm64"]},
    "exclude": [{"os": "darwin", "arch": "amd64"}],
}))]
pub struct MatrixFile {
    /// Axis to list of values, or to an expression that yields a list when the stage starts. The first changes slowest.
    #[schemars(default, example = serde_json::json!({"os": ["linux", "darwin"], "arch": "${ parameters.architectures }"}))]
    axes: Option<BTreeMap<String, ListOrExpression>>,
    /// Further combinations: each says all axes, and may say more.
    #[schemars(default, example = serde_json::json!([{"os": "windows", "arch": "amd64"}]))]
    include: Option<Vec<BTreeMap<String, Value>>>,
    /// Combinations that are left out: those that have all of these values.
    #[schemars(default, example = serde_json::json!([{"os": "darwin", "arch": "amd64"}]))]
    exclude: Option<Vec<BTreeMap<String, Value>>>,
    /// How many instances run at once; all, if it is missing.
    #[schemars(range(min = 1, max = 256), example = &4)]
    max_parallel: Option<u32>,
    /// Whether the first failure of an instance ends the others; true if it is missing, unless `onFailure` is `ignore`.
    fail_fast: Option<bool>,
}

/// A stage that becomes several, one for each item of a list; 256 at most.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum ForEachFile {
    /// The list.
    List(Vec<Value>),
    /// An expression that yields the list when the stage starts.
    Expression(String),
    /// In detail.
    Detailed(ForEachDetails),
}

/// A stage that becomes several, in detail.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({"in": ["eu", "us"], "as": "region", "maxParallel": 1}))]
pub struct ForEachDetails {
    /// The list, or an expression that yields one when the stage starts.
    #[schemars(rename = "in", example = serde_json::json!(["eu", "us"]), example = &"${ parameters.regions }")]
    items: ListOrExpression,
    /// What expressions call the item: `each.region`.
    #[schemars(rename = "as", extend("default" = "item"), pattern(r"^[A-Za-z_][A-Za-z0-9_]*$"), example = &"region")]
    name: Option<String>,
    /// How many instances run at once; all, if it is missing.
    #[schemars(range(min = 1, max = 256), example = &1)]
    max_parallel: Option<u32>,
    /// Whether the first failure of an instance ends the others; true if it is missing, unless `onFailure` is `ignore`.
    fail_fast: Option<bool>,
}

/// A list, or an expression that yields one.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum ListOrExpression {
    /// The values.
    List(Vec<Value>),
    /// The expression.
    Expression(String),
}

/// The times of the week at which a stage may start; at others it waits.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({
    "days": ["mon", "tue", "wed", "thu"], "hours": ["09:00-12:00", "13:00-16:00"], "timezone": "Europe/Berlin",
}))]
pub struct WindowFile {
    /// The days of the week; all, if it is missing.
    days: Option<Vec<Workday>>,
    /// The times of such a day, by the clock on the wall; the whole day, if it is missing. One that ends before it begins
    /// goes on over midnight.
    #[schemars(example = serde_json::json!(["09:00-12:00", "22:00-04:00"]))]
    hours: Option<Vec<String>>,
    /// A name of the IANA database.
    #[schemars(example = &"Europe/Berlin", extend("default" = "UTC"))]
    timezone: Option<String>,
    /// A pause after the window opened, so that not all that waited for it start at once: up to `10m`, or from one to
    /// another.
    jitter: Option<JitterChoice>,
}

/// How long a pause may be.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum JitterChoice {
    /// The longest.
    Longest(Span),
    /// In detail.
    Detailed(JitterFile),
}

/// How long a pause may be, in detail.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({"min": "1m", "max": "10m"}))]
pub struct JitterFile {
    /// The shortest.
    min: Option<Span>,
    /// The longest.
    max: Span,
    /// Not for executions that a person started.
    #[schemars(default)]
    skip_manual: bool,
}

/// A module's result in place of this item.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = serde_json::json!({"use": "std/notify", "with": {"channel": "#ops"}}))]
pub struct ModuleCall {
    /// The module's name: `std/...` is built in, `NAME/...` is in the module repository of that name, anything else is
    /// a file in `.longboat/modules`.
    #[schemars(example = &"std/test", example = &"platform/deploy@v2", example = &"package")]
    #[schemars(rename = "use")]
    module: String,
    /// Its parameters, by name; `longboat modules show NAME` lists them.
    #[schemars(default, example = serde_json::json!({"command": "make test"}))]
    with: Option<BTreeMap<String, Value>>,
}

/// What a repository says about itself, in its file `.longboat/settings.yaml`.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields, title = "Longboat settings")]
#[schemars(example = serde_json::json!({"modules": {"platform": {"url": "https://github.com/acme/modules", "ref": "v2"}}}))]
pub struct SettingsFile {
    /// The module repositories that its files use, by the first part of the names of their modules. On a laptop they
    /// are used as they stand here; on a server the operator's configuration decides.
    #[schemars(default)]
    modules: Option<BTreeMap<String, ModuleRepositoryFile>>,
}

/// A module repository.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleRepositoryFile {
    /// Where it is: an address, or a path on this machine, relative to the repository.
    #[schemars(example = &"https://github.com/acme/modules")]
    url: String,
    /// What a name without `@` means: a tag, branch, commit or range of versions; the default branch if it is missing.
    #[schemars(rename = "ref", example = &"v2")]
    reference: Option<String>,
    /// The folder of its modules; `.` is the whole repository.
    #[schemars(example = &"modules")]
    path: Option<String>,
}

/// The keys of one of this module's types, in the author's order.
pub fn keys<T: JsonSchema>() -> Vec<String> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schema = generator.root_schema_for::<T>().to_value();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
}
