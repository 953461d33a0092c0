//! `webhook`: calls an address, and if it is asked to, waits until what the call began has ended (Spinnaker's stage of
//! the same name).
//!
//! - **The call.** A good answer is 200 to 299. 429, 500 to 599 and `webhookRetryStatusCodes` are tried again with
//!   growing pauses, for five minutes; a server that can't be reached, too. What can't be told apart from success, an
//!   answer that got lost, is tried again only if the method allows it; a `POST` fails then, and says so. A redirect is
//!   an answer like others: it fails, unless it is the `Location` that is asked for the status. (Spinnaker takes every
//!   redirect for success.)
//! - **Once.** Each attempt's call carries `Idempotency-Key`, the same however often it is sent: after a crash of
//!   Longboat, when nobody knows whether it was sent, it is sent again with the same key.
//! - **The wait.** The status is asked for every second, after a minute every 15 seconds, for an hour (or the stage's
//!   own `timeout`). Between two requests nothing but a time is kept, so a restart of Longboat goes on.
//! - **The end.** Cancelled, or out of time: `cancelEndpoint` is called.
//!
//! Where a request may go is decided when it connects (`outbound`), for the status address as well. Headers go only to
//! the origin of `url`: an address that an answer names must not get the secrets of another.

mod answer;
mod call;
mod fields;
mod monitor;
mod path;

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::reveal;
use crate::clock::Timestamp;
use crate::engine::{CancelReason, Effect, Failure, Outcome, StageContext, StageHandler, Wake};
use crate::outbound::{Client, ClientOptions, OutboundError};
use crate::secret::{Masker, Secrets};
use answer::Kept;
pub(super) use call::{host_of, key, request};
pub(super) use fields::{Fields, HeaderValue, Method};

/// For people.
pub(super) const DESCRIPTION: &str = "Calls an address over HTTP, and waits for what that began.";

/// For the page of stage types.
pub(super) const EXAMPLE: &str = "\
id: scan
type: webhook
url: https://scanner.example.com/scans
customHeaders: {Authorization: \"Bearer ${ secret(\\\"scanner\\\") }\"}
payload: {image: \"shop:${ parameters.tag }\"}
waitForCompletion: true
statusUrlResolution: locationHeader
statusJsonPath: $.state
successStatuses: done
terminalStatuses: failed, broken
";

/// How long the call is tried.
const CALL_TIME: Duration = Duration::from_secs(300);
/// The pause after the first failed try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The bounds of a request if nobody says others: 30 s in all, of which 10 s to connect, and 1 MiB of answer.
pub(super) fn usual_calls() -> ClientOptions {
    ClientOptions {
        deadline: Duration::from_secs(30),
        connect: Duration::from_secs(10),
        body_limit: 1024 * 1024,
        ..ClientOptions::default()
    }
}

/// What the stage is resumed with.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "camelCase")]
enum Checkpoint {
    /// The call failed in a way that may pass.
    Call {
        /// How often it was tried.
        tried: u32,
        /// When it was tried first.
        since: Timestamp,
        /// What went wrong the last time.
        error: String,
    },
    /// The end of what it began is waited for.
    Monitor(Watching),
}

/// What is known while the end is waited for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Watching {
    /// The address that is asked.
    url: String,
    /// Since when.
    since: Timestamp,
    /// The answer to the call.
    call: Kept,
    /// How it goes, in the server's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<String>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
}

/// The handler.
pub(super) struct Webhook {
    options: ClientOptions,
    secrets: Secrets,
    client: OnceLock<Result<Client, OutboundError>>,
}

impl Webhook {
    pub(super) fn new(options: ClientOptions, secrets: Secrets) -> Self {
        Self { options, secrets, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&Client, String> {
        let client = self.client.get_or_init(|| Client::new(self.options.clone()));
        client.as_ref().map_err(|error| format!("no requests can be sent from here: {error}"))
    }

    /// The stage's fields with the values of its secrets, and what keeps these out of all that is kept.
    async fn fields(&self, ctx: &StageContext) -> Result<(Fields, Masker), String> {
        let revealed = reveal(ctx, &self.secrets).await?;
        Ok((Fields::read(revealed.fields())?, revealed.masker().clone()))
    }

    async fn proceed(&self, ctx: &StageContext, checkpoint: Option<Checkpoint>) -> Outcome {
        let (fields, masker) = match self.fields(ctx).await {
            Ok(found) => found,
            Err(message) => return Outcome::fail_retryable(message),
        };
        let calls = Calls { webhook: self, ctx, fields: &fields, masker: &masker };
        let done = match checkpoint {
            Some(Checkpoint::Monitor(watching)) => calls.look(watching).await,
            Some(Checkpoint::Call { tried, since, error: _ }) => calls.call(tried, since).await,
            None => calls.call(0, ctx.clock.now()).await,
        };
        done.unwrap_or_else(|failure| failure)
    }
}

/// One stage's calls, with all that they need.
struct Calls<'a> {
    webhook: &'a Webhook,
    ctx: &'a StageContext,
    fields: &'a Fields,
    masker: &'a Masker,
}

/// An answer for the engine, or a failure: both are one, and `?` leads out.
type Step = Result<Outcome, Outcome>;

/// The stage's outputs, in Spinnaker's form: everything stands under `webhook`.
fn outputs(call: &Kept, watching: Option<(&Watching, Option<&Kept>)>) -> Map<String, Value> {
    let mut webhook = call.outputs();
    if let Some((watching, latest)) = watching {
        webhook.insert("statusEndpoint".to_owned(), json!(watching.url));
        let mut monitor = latest.map(Kept::outputs).unwrap_or_default();
        monitor.shift_remove("headers");
        if let Some(progress) = &watching.progress {
            monitor.insert("progressMessage".to_owned(), json!(progress));
        }
        if let Some(percent) = watching.percent {
            monitor.insert("percentComplete".to_owned(), json!(percent));
        }
        webhook.insert("monitor".to_owned(), Value::Object(monitor));
    }
    Map::from_iter([("webhook".to_owned(), Value::Object(webhook))])
}

fn failed(message: String, outputs: Map<String, Value>) -> Outcome {
    Outcome::Fail(Failure { message, retryable: true, outputs, on_failure: None })
}

fn growing_pause(tried: u32) -> Duration {
    let factor = 1_u32.checked_shl(tried.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[async_trait]
impl StageHandler for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn effect(&self) -> Effect {
        Effect::AtLeastOnce
    }

    async fn start(&self, ctx: &StageContext) -> Outcome {
        self.proceed(ctx, None).await
    }

    async fn resume(&self, ctx: &StageContext, checkpoint: Option<Value>, _: Wake) -> Outcome {
        self.proceed(ctx, checkpoint_of(checkpoint)).await
    }

    async fn cancel(&self, ctx: &StageContext, checkpoint: Option<Value>, _: CancelReason) {
        // Before a call that failed is made again, there is nothing to cancel.
        if matches!(checkpoint_of(checkpoint), Some(Checkpoint::Call { .. })) {
            return;
        }
        match self.fields(ctx).await {
            Ok((fields, masker)) => {
                Calls { webhook: self, ctx, fields: &fields, masker: &masker }.signal_cancellation().await;
            }
            Err(error) => {
                tracing::error!(execution = %ctx.execution.info.id, stage = %ctx.path, error, "a webhook can't be cancelled");
            }
        }
    }
}

fn checkpoint_of(checkpoint: Option<Value>) -> Option<Checkpoint> {
    serde_json::from_value(checkpoint?).ok()
}

#[cfg(test)]
mod tests;
