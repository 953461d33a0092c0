//! The form of `longboat.yaml`, as its author writes it (FORMAT section 5).
//!
//! From these types come the published JSON Schema *and* the list of keys that the reader accepts, so the
//! two can't differ. Everything is optional here; what is required is said by the schema, so that one
//! wrong value doesn't hide the findings about the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Longboat's configuration.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(title = "longboat.yaml", deny_unknown_fields)]
pub(super) struct File {
    /// How the server listens, and who may use it.
    pub(super) server: ServerSection,
    /// Where executions are kept.
    pub(super) database: DatabaseSection,
    /// The places that host repositories, by a name of your choice.
    #[schemars(with = "BTreeMap<String, ForgeSection>")]
    pub(super) forges: IndexMap<String, ForgeSection>,
    /// The repositories that Longboat follows.
    pub(super) repositories: Vec<RepositorySection>,
    /// How Longboat speaks on commits.
    pub(super) statuses: StatusesSection,
    /// Bounds on what others can make Longboat do.
    pub(super) limits: LimitsSection,
    /// How long what is known of executions is kept.
    pub(super) retention: RetentionSection,
    /// Where the logs of stages, and what they save for later ones, are kept.
    pub(super) logs: LogsSection,
    /// Where stages may reach.
    pub(super) network: NetworkSection,
    /// What goes to standard error.
    pub(super) logging: LoggingSection,
    /// Module repositories, by the name with which calls of their modules begin: `platform/deploy@v2`.
    #[schemars(with = "BTreeMap<String, ModulesSection>")]
    pub(super) modules: IndexMap<String, ModulesSection>,
    /// Variables that the files of all repositories see as `vars.NAME`: the lowest layer, on which those of a repository
    /// lie. Whoever can write a pipeline file can read them.
    pub(super) vars: Vars,
    /// Secrets for pipelines, by name.
    #[schemars(with = "BTreeMap<String, SecretSection>")]
    pub(super) secrets: IndexMap<String, SecretSection>,
    /// Where custom webhooks may come from (`/webhooks/custom/NAME`), by name.
    #[schemars(with = "BTreeMap<String, WebhookSection>")]
    pub(super) webhooks: IndexMap<String, WebhookSection>,
    /// Accounts of providers, by name. This version doesn't act on them.
    pub(super) accounts: Later,
}

/// How the server listens, and who may use it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub(super) struct ServerSection {
    /// Address and port, `127.0.0.1:8084` by default. Another address than loopback needs `tokens`.
    pub(super) listen: Option<String>,
    /// The address under which people and forges reach the server, for links: `https://cd.example.com`.
    pub(super) public_url: Option<String>,
    /// Tokens that give access to the API and the pages; one is enough, several allow a change of token, or tell people apart.
    pub(super) tokens: Vec<TokenSection>,
    /// Groups of people, each a list of the `name`s of tokens. A `manualJudgment` may ask for a group as for a role; who has
    /// no `roles` and is in a group has the groups' roles alone.
    #[schemars(with = "BTreeMap<String, Vec<String>>", example = serde_json::json!({"release-managers": ["ann", "bob"]}))]
    pub(super) groups: IndexMap<String, Vec<String>>,
    /// The folder for mirrors, logs and workspaces, `state` by default; relative to this file.
    pub(super) state_dir: Option<String>,
    /// What people call this server where several share a database (`database.replicas`); by default the machine's name.
    pub(super) name: Option<String>,
    /// How long a server that stops lets running stages come to their end before others take its work over, `20s` by default
    /// and `10m` at most; of use where several share a database (`database.replicas`).
    pub(super) drain: Option<DurationWord>,
}

/// Where executions are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub(super) struct DatabaseSection {
    /// `sqlite:PATH`, relative to this file, or `postgres://USER@HOST:PORT/DATABASE`;
    /// `sqlite:<stateDir>/longboat.db` by default. A server needs PostgreSQL 14 or later; `?sslmode=verify-full` and
    /// `sslrootcert=FILE` say how its certificate is checked.
    pub(super) url: Option<String>,
    /// The password for a server.
    pub(super) password: Option<SecretSource>,
    /// `full` (the default) survives a power cut; `normal` is faster and may lose the last moments to one.
    pub(super) sync: Option<SyncWord>,
    /// Whether several servers share this database and its work, so that each takes over from another that fails. It needs
    /// PostgreSQL, and all of them have it; by default, one server has the database for itself.
    pub(super) replicas: Option<bool>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SyncWord {
    Full,
    Normal,
}

/// A place that hosts repositories.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct ForgeSection {
    /// What kind of place it is; `bitbucket` is Bitbucket Cloud.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(super) kind: Option<ForgeWord>,
    /// Its address; by default `https://github.com` or `https://bitbucket.org`. A Bitbucket Data Center has one of its
    /// own, with its path if there is one: `https://git.example.com/bitbucket`.
    pub(super) url: Option<String>,
    /// The address of its API; by default `https://api.github.com`, `<url>/api/v3` for another GitHub,
    /// `https://api.bitbucket.org`, or the address of the Bitbucket Data Center itself.
    pub(super) api_url: Option<String>,
    /// Reads repositories, writes commit statuses and comments. On Bitbucket it needs `server.publicUrl` beside it.
    pub(super) token: Option<SecretSource>,
    /// Bitbucket: the user whose token it is, for Bitbucket Cloud the e-mail address of the account. Leave it out for
    /// the access token of a repository, project or workspace, which stands for itself.
    pub(super) user: Option<String>,
    /// The secret of its webhooks. Without one, webhooks are refused and repositories are polled.
    pub(super) webhook_secret: Option<SecretSource>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(super) enum ForgeWord {
    #[serde(rename = "github")]
    GitHub,
    #[serde(rename = "bitbucket")]
    BitbucketCloud,
    #[serde(rename = "bitbucketDataCenter")]
    BitbucketDataCenter,
}

/// A repository that Longboat follows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct RepositorySection {
    /// `owner/name` for a repository of a forge (on Bitbucket `workspace/repository`, `PROJECT/repository` or
    /// `~user/repository`), else a name of your choice.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// The forge that hosts it, one of `forges`.
    pub(super) forge: Option<String>,
    /// Where Git fetches it (`https://`, `http://` or `file://`); by default from its forge.
    pub(super) url: Option<String>,
    /// A repository on this machine, relative to this file.
    pub(super) path: Option<String>,
    /// User and password for Git, if they are not the forge's token.
    pub(super) credentials: Option<CredentialsSection>,
    /// The branches whose pipelines are published; the default branch if empty.
    #[serde(default)]
    pub(super) branches: Vec<String>,
    /// The applications that this repository may define, each by its name or with the branches that may: `[shop,
    /// {name: infra, branches: [release]}]`; any if absent.
    pub(super) applications: Option<Vec<ApplicationWord>>,
    /// How often to look for changes that no webhook told of, `60s` by default, `1s` at least.
    pub(super) poll: Option<DurationWord>,
}

/// A repository whose modules the pipelines of others use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub(super) struct ModulesSection {
    /// Where Git fetches it (`https://`, `http://` or `file://`), or its path on this machine (`../modules`, relative to
    /// this file). Its pull requests are not looked at.
    pub(super) url: Option<String>,
    /// One of `repositories`, instead of `url`: its webhooks then count here too, and its pull requests say what they
    /// would do to those who use the modules.
    pub(super) repository: Option<String>,
    /// The forge whose token fetches `url`, one of `forges`.
    pub(super) forge: Option<String>,
    /// User and password for Git, if they are not the forge's token.
    pub(super) credentials: Option<CredentialsSection>,
    /// What a name without `@` means: a tag, a branch, a commit, or a range of versions like `^1.2`; the default branch
    /// if absent.
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
    /// The folder of its modules, `.longboat/modules` by default; `.` for the whole repository.
    pub(super) path: Option<String>,
    /// What a pull request on it, and whoever asks the server for its dependents, may be told about the repositories
    /// that use it: how many there are (`counts`, the default), their names (`names`), or also what would change and
    /// where they use it (`plans`). Whoever reads the pull request may not be allowed to read those repositories.
    pub(super) dependents: Option<DependentsWord>,
    /// How often to look for changes, `60s` by default, `1s` at least.
    pub(super) poll: Option<DurationWord>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DependentsWord {
    Counts,
    Names,
    Plans,
}

/// Applications that a repository may define: a name, or a name with the branches that may.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum ApplicationWord {
    Name(String),
    Rule { name: Option<String>, branches: Option<Vec<String>> },
}

impl JsonSchema for ApplicationWord {
    fn schema_name() -> Cow<'static, str> {
        "Application".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "description": "A name, which may be a glob (`infra-*`), stands for `{name: ...}`.",
            "properties": {
                "name": {"type": "string", "description": "The application's name, or a glob for several: `infra-*`."},
                "branches": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Globs of the branches whose files may define it; if absent, each of the repository's `branches`.",
                },
            },
            "required": ["name"],
            "additionalProperties": false,
        })
    }
}

/// User and password for Git.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct CredentialsSection {
    /// The user's name.
    #[schemars(required)]
    pub(super) username: Option<String>,
    /// The password or token.
    #[schemars(required)]
    pub(super) password: Option<SecretSource>,
}

/// How Longboat speaks on commits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub(super) struct StatusesSection {
    /// The first part of every status context, `longboat` by default.
    pub(super) prefix: Option<String>,
}

/// Bounds on what others can make Longboat do.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub(super) struct LimitsSection {
    /// The largest webhook, `25MiB` by default, which is GitHub's own limit.
    pub(super) webhook_body: Option<SizeWord>,
    /// How long one talk with a Git server may take, `5m` by default.
    pub(super) git_deadline: Option<DurationWord>,
    /// How many stages may do something at the same time, 16 by default; waiting stages don't count.
    #[schemars(range(min = 1, max = 10000))]
    pub(super) running_stages: Option<u32>,
    /// How much one stage may save for later ones (`files.save`), `256MiB` by default.
    pub(super) saved_bytes: Option<SizeWord>,
    /// How many files one stage may save, 10000 by default.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) saved_files: Option<u32>,
    /// How long saved files are kept after the end of their execution, so that a restart finds them; `24h` by default.
    pub(super) saved_for: Option<DurationWord>,
    /// How much memory rendering the files of one pull request may take, `256MiB` by default, 32 MiB at least. What
    /// needs more is not looked at, and the pull request says so.
    pub(super) review_memory: Option<SizeWord>,
    /// How long it may compute, `20s` by default, `10m` at most.
    pub(super) review_cpu: Option<DurationWord>,
    /// How long it may take in all, `60s` by default, `1h` at most.
    pub(super) review_deadline: Option<DurationWord>,
    /// What share of a repository's pipelines one commit may remove without somebody's approval, in percent: 50 by
    /// default, 100 lets all go. What is refused changes nothing until it is approved.
    #[schemars(range(min = 0, max = 100))]
    pub(super) removal_share: Option<u32>,
    /// A commit that removes fewer pipelines than this needs no approval, whatever their share; 5 by default.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) removal_from: Option<u32>,
    /// How long ago a moment of a time table (`cron`) may be that was missed, because the server was down, for example, and is
    /// made up for: `1h` by default, `7d` at most. Of several only the latest is. What comes up to a minute late was not
    /// missed, so `1s` makes up for nothing.
    pub(super) cron_catch_up: Option<DurationWord>,
    /// How many requests are worked on at the same time, 256 by default.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) requests: Option<u32>,
}

/// How long what is known of executions is kept. An execution that has ended stays in the lists for ever; its details
/// are its parameters, what its stages yielded, their evaluated fields, and their logs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub(super) struct RetentionSection {
    /// How long details are kept after the end of an execution: `30d` by default, `1h` at least.
    pub(super) details: Option<DurationWord>,
    /// Of each pipeline, the newest executions keep their details however old they are, so many of them; 20 by default.
    #[schemars(range(min = 0, max = 100_000))]
    pub(super) newest: Option<u32>,
    /// Of each pipeline, no more executions than so many keep their details, however young they are; 500 by default.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) most: Option<u32>,
}

/// Where the logs of stages, and what they save for later ones (`files.save`), are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub(super) struct LogsSection {
    /// `files` below `stateDir` (the default for one server), in the `database` (the default with `database.replicas`), or in a
    /// bucket of an S3-compatible store (`s3`).
    pub(super) store: Option<LogStoreWord>,
    /// The bucket, with `store: s3`.
    pub(super) s3: Option<BucketSection>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogStoreWord {
    Files,
    Database,
    S3,
}

/// A bucket of an S3-compatible store.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct BucketSection {
    /// The bucket's name.
    #[schemars(required)]
    pub(super) bucket: Option<String>,
    /// The region, `us-east-1` by default.
    pub(super) region: Option<String>,
    /// The store's address, if it isn't Amazon's: `https://minio.internal:9000`. It may be a private one.
    pub(super) endpoint: Option<String>,
    /// Whether the bucket is named in the path (`https://host/bucket`) rather than in the host's name: yes by default with
    /// an `endpoint`, no without.
    pub(super) path_style: Option<bool>,
    /// What all names in the bucket begin with, `longboat` by default: several servers can share a bucket.
    pub(super) prefix: Option<String>,
    /// The id of the key; by default the environment variable `AWS_ACCESS_KEY_ID`.
    pub(super) access_key: Option<SecretSource>,
    /// The key itself; by default the environment variable `AWS_SECRET_ACCESS_KEY`.
    pub(super) secret_key: Option<SecretSource>,
    /// What goes with a key that was given for a while; by default the environment variable `AWS_SESSION_TOKEN`, if it is
    /// set and the key is from the environment too. Give such a key in files (`{file: PATH}`): they are read anew when the
    /// store refuses it. The environment of a process can't change.
    pub(super) session_token: Option<SecretSource>,
}

/// Where stages may reach.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub(super) struct NetworkSection {
    /// What `webhook` stages may call beside the public internet: networks (`10.1.0.0/16`), addresses (`10.1.2.3`), or
    /// hosts by their exact name (`build.internal`), whatever they resolve to. Without it, private addresses are
    /// refused: this machine's own, those of the local network, and metadata services of clouds.
    pub(super) allow: Vec<String>,
}

/// A program that sends custom webhooks, which start the pipelines with a `webhook` trigger for it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct WebhookSection {
    /// The secret under which it signs: what isn't signed is refused.
    #[schemars(required)]
    pub(super) secret: Option<SecretSource>,
}

/// What goes to standard error.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub(super) struct LoggingSection {
    /// `text` (the default) or `json`, one event a line.
    pub(super) format: Option<LogFormatWord>,
    /// What to log: `info` by default, or a list like `info,longboat::git=debug`. The environment variable
    /// `LONGBOAT_LOG` goes before it.
    pub(super) filter: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormatWord {
    Text,
    Json,
}

/// A token: where it is kept, and who has it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields, extend("x-longboat-secret" = true))]
pub(super) struct TokenSection {
    /// The name of an environment variable of the server.
    pub(super) env: Option<String>,
    /// The path of a file, relative to this one; a line break at its end is left out.
    pub(super) file: Option<String>,
    /// Who has the token, as executions, judgments and freezes name them; `operator` if absent.
    pub(super) name: Option<String>,
    /// The roles of whoever has it, which a `manualJudgment` may ask for; any if absent.
    pub(super) roles: Option<Vec<String>>,
}

/// A secret that pipelines use as `${ secret("name") }`: where it is kept, and who may use it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields, extend("x-longboat-secret" = true))]
pub(super) struct SecretSection {
    /// The name of an environment variable of the server.
    pub(super) env: Option<String>,
    /// The path of a file, relative to this one; a line break at its end is left out. It is read at each use.
    pub(super) file: Option<String>,
    /// Globs of the repositories whose pipelines may use it; any if absent.
    pub(super) repositories: Option<Vec<String>>,
    /// Globs of the applications whose pipelines may use it; any if absent.
    pub(super) applications: Option<Vec<String>>,
    /// Globs of the branches whose commits may use it; any if absent.
    pub(super) branches: Option<Vec<String>>,
}

/// Where a secret is kept; never the secret itself.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct SecretSource {
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
}

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Where a secret is kept, never the secret itself.",
            "properties": {
                "env": {"type": "string", "description": "The name of an environment variable."},
                "file": {"type": "string", "description": "The path of a file, relative to this one; a line break at its end is left out."},
            },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
            "x-longboat-secret": true,
        })
    }
}

/// A duration: `90s`, `5m`, or whole seconds.
#[derive(Debug, Clone)]
pub(super) struct DurationWord(pub(super) String);

/// A size: `10MiB`, `512KiB`, or whole bytes.
#[derive(Debug, Clone)]
pub(super) struct SizeWord(pub(super) String);

macro_rules! text_or_number {
    ($name:ident, $description:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self(match Value::deserialize(deserializer)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                }))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).trim_end_matches("Word").into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": ["string", "integer"], "description": $description})
            }
        }
    };
}

text_or_number!(DurationWord, "`90s`, `5m`, `2h`, or whole seconds");
text_or_number!(SizeWord, "`10MiB`, `512KiB`, or whole bytes");

/// Values by name, as their author wrote them.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Vars(pub(super) serde_json::Map<String, Value>);

impl JsonSchema for Vars {
    fn schema_name() -> Cow<'static, str> {
        "Vars".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

/// A section of the format that this version doesn't act on.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Later(pub(super) BTreeMap<String, Value>);

impl JsonSchema for Later {
    fn schema_name() -> Cow<'static, str> {
        "Later".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

/// The JSON Schema of [`File`].
pub(super) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    tidy(&mut schema);
    schema
}

/// "Absent by default" goes without saying, and what the file is comes first.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            entries.retain(|key, value| key != "default" || !value.is_null());
            for (place, key) in ["$schema", "title", "description"]
                .into_iter()
                .filter(|key| entries.contains_key(*key))
                .enumerate()
                .collect::<Vec<_>>()
            {
                if let Some(value) = entries.shift_remove(key) {
                    entries.shift_insert(place, key.to_owned(), value);
                }
            }
            entries.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
