//! The fields of a `webhook` stage, with Spinnaker's names.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::path::JsonPath;
use crate::model::Span;
use crate::schema::Dynamic;

/// Spinnaker's own: a gateway that gave up waiting may have passed the request on.
const FAIL_FAST: &[u16] = &[504];

/// The fields of a `webhook` stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::stage) struct Fields {
    /// The address that is called: `https://` or `http://`. Addresses that aren't of the public internet are refused
    /// unless the configuration allows them (`network.allow`); redirects are not followed.
    pub(super) url: String,
    /// `POST` if not given.
    #[serde(default)]
    pub(super) method: Method,
    /// The body, as JSON; text is sent as it stands if `customHeaders` has a `Content-Type` other than JSON.
    #[serde(default)]
    pub(super) payload: Option<Value>,
    /// Headers of the request, which may hold secrets. Status and cancel requests get them, too, if they go to the same scheme, host and port.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, HeaderValue>")]
    pub(super) custom_headers: Map<String, Value>,
    /// Statuses of the answer that fail the stage at once; `[504]` if not given.
    #[serde(default)]
    fail_fast_status_codes: Option<Vec<u16>>,
    /// Statuses of the answer that are tried again, besides 429 and 500 to 599.
    #[serde(default)]
    webhook_retry_status_codes: Vec<u16>,
    /// Whether to ask how it goes until it has ended; otherwise a good answer is the end.
    #[serde(default)]
    wait_for_completion: Option<Dynamic<bool>>,
    /// Where to ask: `getMethod` is `url` itself, `locationHeader` what the answer's `Location` says, `webhookResponse`
    /// what stands in the answer's body at `statusUrlJsonPath`.
    #[serde(default)]
    pub(super) status_url_resolution: StatusUrl,
    /// Where in the answer's body the address to ask stands.
    #[serde(default)]
    status_url_json_path: Option<String>,
    /// Where in a status answer the status stands: text that the lists below hold, or a percentage, of which 100 is
    /// success. Without it, any good answer is success.
    #[serde(default)]
    status_json_path: Option<String>,
    /// Where in a status answer it says how it goes, for people.
    #[serde(default)]
    progress_json_path: Option<String>,
    /// Statuses that are success, with commas between them; upper and lower case are the same.
    #[serde(default)]
    success_statuses: String,
    /// Statuses that are a cancellation, which fails the stage.
    #[serde(default)]
    canceled_statuses: String,
    /// Statuses that are failure.
    #[serde(default)]
    terminal_statuses: String,
    /// Statuses of a status answer that are asked again, besides 429 and 500 to 599.
    #[serde(default)]
    retry_status_codes: Vec<u16>,
    /// How long to wait before the first status request.
    #[serde(default)]
    wait_before_monitor: Option<Dynamic<Span>>,
    /// The address that is called when the stage is cancelled or times out.
    #[serde(default)]
    pub(super) cancel_endpoint: Option<String>,
    /// `POST` if not given.
    #[serde(default)]
    pub(super) cancel_method: Method,
    /// The body of that request, as JSON.
    #[serde(default)]
    pub(super) cancel_payload: Option<Value>,
    /// Whether `cancelEndpoint` is called; `true` is the usual if there is one.
    #[serde(default)]
    signal_cancellation: Option<Dynamic<bool>>,
}

/// A header's value.
// Only the schema needs it: what an expression yields is any value, and is refused in words of our own.
#[derive(JsonSchema)]
#[schemars(untagged, extend("x-longboat-secret" = true))]
#[expect(dead_code, reason = "it's there for its schema")]
pub(in crate::stage) enum HeaderValue {
    Text(String),
    Number(serde_json::Number),
    Truth(bool),
    Several(Vec<String>),
}

/// A method of HTTP.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::stage) enum Method {
    Get,
    Head,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Whether asking twice is the same as asking once.
    pub(super) const fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete)
    }
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum StatusUrl {
    #[default]
    GetMethod,
    LocationHeader,
    WebhookResponse,
}

/// How the end of what the request began is waited for.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) status: Option<JsonPath>,
    pub(super) progress: Option<JsonPath>,
    /// The address in the answer, if it is there.
    pub(super) url: Option<JsonPath>,
    pub(super) pause: std::time::Duration,
}

impl Fields {
    /// Reads and checks the fields, before anything is called.
    pub(super) fn read(fields: &Value) -> Result<Self, String> {
        let fields = Self::deserialize(fields).map_err(|error| format!("the stage's fields can't be used: {error}"))?;
        fields.monitor()?;
        fields.signals_cancellation()?;
        Ok(fields)
    }

    /// How to wait for the end; nothing if it isn't waited for.
    pub(super) fn monitor(&self) -> Result<Option<Monitor>, String> {
        if !flag(self.wait_for_completion.as_ref(), "waitForCompletion", false)? {
            return Ok(None);
        }
        let path = |text: &Option<String>, name: &str| {
            let given = text.as_deref().filter(|text| !text.trim().is_empty());
            given.map(|text| JsonPath::parse(text).map_err(|error| format!("`{name}`: {error}"))).transpose()
        };
        let url = match self.status_url_resolution {
            StatusUrl::WebhookResponse => {
                let url = path(&self.status_url_json_path, "statusUrlJsonPath")?;
                if url.is_none() {
                    return Err(
                        "`statusUrlResolution: webhookResponse` needs `statusUrlJsonPath`, which says where in \
                                the answer the address stands"
                            .to_owned(),
                    );
                }
                url
            }
            StatusUrl::GetMethod | StatusUrl::LocationHeader => None,
        };
        let pause = match &self.wait_before_monitor {
            None => std::time::Duration::ZERO,
            Some(Dynamic::Value(span)) => span.as_duration(),
            Some(Dynamic::Expression(text)) => {
                return Err(format!("`waitBeforeMonitor` is the text `{text}`, which is no duration"));
            }
        };
        Ok(Some(Monitor {
            status: path(&self.status_json_path, "statusJsonPath")?,
            progress: path(&self.progress_json_path, "progressJsonPath")?,
            url,
            pause,
        }))
    }

    pub(super) fn signals_cancellation(&self) -> Result<bool, String> {
        Ok(self.cancel_endpoint.is_some() && flag(self.signal_cancellation.as_ref(), "signalCancellation", true)?)
    }

    pub(super) fn fails_fast(&self, code: u16) -> bool {
        self.fail_fast_status_codes.as_deref().unwrap_or(FAIL_FAST).contains(&code)
    }

    /// Whether the call is made again after such an answer.
    pub(super) fn calls_again(&self, code: u16) -> bool {
        code == 429 || (500..=599).contains(&code) || self.webhook_retry_status_codes.contains(&code)
    }

    /// Whether a status request is made again after such an answer.
    pub(super) fn asks_again(&self, code: u16) -> bool {
        code == 429 || (500..=599).contains(&code) || self.retry_status_codes.contains(&code)
    }

    pub(super) fn is_success(&self, status: &str) -> bool {
        listed(&self.success_statuses, status)
    }

    pub(super) fn is_canceled(&self, status: &str) -> bool {
        listed(&self.canceled_statuses, status)
    }

    pub(super) fn is_terminal(&self, status: &str) -> bool {
        listed(&self.terminal_statuses, status)
    }
}

fn listed(list: &str, status: &str) -> bool {
    list.split(',').any(|one| !one.trim().is_empty() && one.trim().eq_ignore_ascii_case(status.trim()))
}

fn flag(field: Option<&Dynamic<bool>>, name: &str, usual: bool) -> Result<bool, String> {
    match field {
        None => Ok(usual),
        Some(Dynamic::Value(value)) => Ok(*value),
        Some(Dynamic::Expression(text)) => Err(format!("`{name}` is the text `{text}`: write true or false")),
    }
}
