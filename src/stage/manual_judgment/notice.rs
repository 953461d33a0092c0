//! The notice that a person is waited for: one request to an address that the stage names.
//!
//! It is sent once the wait is recorded, so that whoever reads it can answer, and it holds nothing up: the stage takes an
//! answer whether the notice arrived or not. What went wrong is tried again with growing pauses; after a crash, when nobody
//! knows whether it was sent, it is sent again with the same `Idempotency-Key`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Fields, ManualJudgment};
use crate::clock::Timestamp;
use crate::engine::StageContext;
use crate::model::percent_encode_part;
use crate::outbound::OutboundErrorKind;
use crate::stage::webhook::{HeaderValue, Method, host_of, key, request};
use crate::stage::{fields_of, reveal};

/// How often it is tried; with the pauses between, that takes about ten minutes.
const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Whom to tell that a person is waited for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Notify {
    /// The address that is told, by `POST`: `https://` or `http://`. It may hold a secret. Addresses that aren't of the public
    /// internet are refused unless the configuration allows them (`network.allow`); redirects are not followed.
    #[schemars(extend("x-longboat-secret" = true))]
    url: String,
    /// Headers of the request, which may hold secrets.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, HeaderValue>")]
    headers: Map<String, Value>,
    /// The body, as JSON, in the place of the usual one: `text` for people, `link`, `answer` (where the answer is posted),
    /// `instructions`, `choices`, `requiredRoles`, `until`, and what it is about.
    #[serde(default)]
    payload: Option<Value>,
}

/// What is kept of it while it has not arrived.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notice {
    /// How often it was tried.
    pub(super) tried: u32,
    /// When it is tried again, or for the first time.
    pub(super) next: Option<Timestamp>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) given_up: Option<String>,
}

/// How one try went.
enum Sent {
    /// It arrived.
    Arrived,
    /// It may arrive yet.
    Again(String),
    /// It never will.
    Never(String),
}

impl Notice {
    /// Tries once, and says what there is left to do: nothing, if it arrived.
    pub(super) async fn send(
        mut self,
        judgment: &ManualJudgment,
        ctx: &StageContext,
        until: Option<Timestamp>,
    ) -> Option<Self> {
        let (error, over) = match attempt(judgment, ctx, until).await {
            Sent::Arrived => return None,
            Sent::Again(error) => (error, self.tried + 1 >= TRIES),
            Sent::Never(error) => (error, true),
        };
        self.tried += 1;
        tracing::warn!(
            execution = %ctx.execution.info.id, stage = %ctx.path, tried = self.tried, over, error,
            "nobody could be told that a judgment waits"
        );
        if over {
            self.next = None;
            self.given_up = Some(error);
        } else {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.tried.min(16).saturating_sub(1));
            self.next = Some(ctx.clock.now().plus(pause));
        }
        Some(self)
    }
}

async fn attempt(judgment: &ManualJudgment, ctx: &StageContext, until: Option<Timestamp>) -> Sent {
    let revealed = match reveal(ctx, &judgment.secrets).await {
        Ok(revealed) => revealed,
        Err(error) => return Sent::Again(error),
    };
    let notify = revealed.fields().get("notify").cloned().unwrap_or_default();
    let notify: Notify = match serde_json::from_value(notify) {
        Ok(notify) => notify,
        Err(error) => return Sent::Never(revealed.masker().mask(&format!("`notify` can't be used: {error}"))),
    };
    let body = notify.payload.clone().unwrap_or_else(|| usual(judgment, ctx, until));
    let key = key(ctx, "/notify");
    let request = match request(Method::Post, &notify.url, Some(&body), &notify.headers, Some(&key)) {
        Ok(request) => request,
        Err(error) => return Sent::Never(revealed.masker().mask(&error)),
    };
    let sent = match judgment.client() {
        Ok(client) => client.send(request).await,
        Err(error) => return Sent::Never(error),
    };
    match sent {
        Ok(answer) if answer.status.is_success() => Sent::Arrived,
        Ok(answer) => {
            let said = format!("{} answered {}", host_of(&notify.url), answer.status);
            let code = answer.status.as_u16();
            if code == 429 || code >= 500 { Sent::Again(said) } else { Sent::Never(said) }
        }
        Err(error) => {
            let said = revealed.masker().mask(&error.message);
            match error.kind {
                OutboundErrorKind::Unreachable | OutboundErrorKind::TimedOut => Sent::Again(said),
                OutboundErrorKind::Refused => {
                    Sent::Never(format!("{said}; the configuration can allow it (`network: {{allow: [...]}}`)"))
                }
                // It was taken: what the other side says to that is of no weight.
                OutboundErrorKind::TooLarge => Sent::Arrived,
                OutboundErrorKind::Invalid | OutboundErrorKind::Redirected => Sent::Never(said),
            }
        }
    }
}

/// What is said if the stage doesn't.
fn usual(judgment: &ManualJudgment, ctx: &StageContext, until: Option<Timestamp>) -> Value {
    let info = &ctx.execution.info;
    let name = ctx.stage().map_or_else(|| ctx.path.to_string(), |stage| stage.name.clone());
    let fields = fields_of::<Fields>(ctx).ok();
    let instructions = ctx.fields.get("instructions").and_then(Value::as_str);
    let path = percent_encode_part(ctx.path.as_str());
    let address = |path: String| judgment.public_url.as_ref().map(|url| format!("{}{path}", url.trim_end_matches('/')));
    let link = address(format!("{}#stage-{path}", info.id.page()));
    let pipeline = format!("{}/{}", info.pipeline.application, info.pipeline.name);
    let mut text = format!("{pipeline} waits for approval: {name}");
    for more in [instructions, link.as_deref()].into_iter().flatten() {
        text.push('\n');
        text.push_str(more);
    }
    json!({
        "text": text,
        "event": "judgment",
        "application": info.pipeline.application,
        "pipeline": info.pipeline.name,
        "execution": info.id,
        "stage": ctx.path,
        "name": name,
        "instructions": instructions,
        "choices": fields.as_ref().map(Fields::choices).unwrap_or_default(),
        "requiredRoles": fields.as_ref().map(Fields::roles).unwrap_or_default(),
        "link": link,
        "answer": address(format!("/api/v1{}/stages/{path}/judge", info.id.page())),
        "until": until.map(|until| until.to_rfc3339()),
        "repository": info.repository,
        "commit": info.commit,
    })
}
