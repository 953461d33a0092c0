//! Waiting for the end of what a call began.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{Kept, excerpt, json_of, retry_after};
use super::call::{headers_for, host_of, request};
use super::fields::{Fields, Method, Monitor, StatusUrl};
use super::path::text_of;
use super::{Calls, Checkpoint, Step, Watching, failed, outputs};
use crate::engine::{Failure, Outcome};
use crate::outbound::{Answer, OutboundErrorKind};

/// How long the end is waited for if the stage has no timeout of its own: Spinnaker's hour.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often the status is asked for, at first and later.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(15);
const AT_FIRST: Duration = Duration::from_secs(60);

/// The longest words on how it goes, in characters.
const MAX_PROGRESS: usize = 300;
/// The longest address.
const MAX_URL: usize = 4000;

/// After the call was answered: where to ask, and when first.
pub(super) fn begin(calls: &Calls<'_>, monitor: &Monitor, answer: &Answer) -> Step {
    let (ctx, fields) = (calls.ctx, calls.fields);
    let call = Kept::of(&calls.shown(answer));
    let fail = |message: String| failed(message, outputs(&call, None));
    let url = match fields.status_url_resolution {
        StatusUrl::GetMethod => fields.url.clone(),
        StatusUrl::LocationHeader => {
            let location = answer.header("location").ok_or_else(|| {
                fail(format!("{} answered without a `Location`, which would say where to ask", host_of(&fields.url)))
            })?;
            join(&fields.url, location).ok_or_else(|| fail("the answer's `Location` is no address".to_owned()))?
        }
        StatusUrl::WebhookResponse => {
            let body = json_of(answer).unwrap_or_default();
            let path = monitor.url.as_ref();
            let found =
                path.map_or_else(|| Err("`statusUrlJsonPath` is missing".to_owned()), |path| path.scalar(&body));
            let found = found.map_err(|error| fail(format!("`statusUrlJsonPath`: {error}")))?;
            join(&fields.url, &text_of(found))
                .ok_or_else(|| fail("what stands at `statusUrlJsonPath` is no address".to_owned()))?
        }
    };
    let watching = Watching { url, since: ctx.clock.now(), call, progress: None, percent: None };
    Ok(Outcome::Poll { after: monitor.pause.max(OFTEN), checkpoint: json!(Checkpoint::Monitor(watching)) })
}

/// An address as an answer gives it: whole, or from the root of the server, or beside what was asked.
fn join(base: &str, text: &str) -> Option<String> {
    if text.len() > MAX_URL {
        return None;
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return text.parse::<http::Uri>().ok().map(|_| text.to_owned());
    }
    let base: http::Uri = base.parse().ok()?;
    let origin = format!("{}://{}", base.scheme_str()?, base.authority()?);
    let full = match text {
        _ if text.is_empty() || text.starts_with("//") || text.contains("://") => return None,
        _ if text.starts_with('/') => format!("{origin}{text}"),
        _ if text.starts_with('?') => format!("{origin}{}{text}", base.path()),
        _ => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{origin}{folder}/{text}")
        }
    };
    full.parse::<http::Uri>().ok().map(|_| full)
}

/// What a status answer says.
enum Word {
    Success,
    Canceled(String),
    Terminal(String),
    Running,
}

impl Calls<'_> {
    /// Asks for the status once.
    pub(super) async fn look(&self, mut watching: Watching) -> Step {
        let fields = self.fields;
        let monitor = fields.monitor().map_err(Outcome::fail)?;
        let Some(monitor) = monitor else { return Err(Outcome::fail("nothing is waited for")) };
        let headers = headers_for(&watching.url, fields);
        let request = request(Method::Get, &watching.url, None, headers, None).map_err(Outcome::fail)?;
        let answer = match self.webhook.client().map_err(Outcome::fail)?.send(request).await {
            Ok(answer) => answer,
            Err(error) => match error.kind {
                OutboundErrorKind::Unreachable | OutboundErrorKind::TimedOut => {
                    return self.again(watching, &error.message, None).await;
                }
                OutboundErrorKind::Refused => {
                    let hint = "the configuration can allow it (`network: {allow: [...]}`)";
                    let message = format!("the status can't be asked for: {}; {hint}", error.message);
                    return Err(failed(message, outputs(&watching.call, Some((&watching, None)))));
                }
                OutboundErrorKind::Invalid | OutboundErrorKind::TooLarge | OutboundErrorKind::Redirected => {
                    let message = format!("the status can't be asked for: {}", error.message);
                    return Err(failed(message, outputs(&watching.call, Some((&watching, None)))));
                }
            },
        };
        let shown = self.shown(&answer);
        let said = format!("{} answered {}{}", host_of(&watching.url), answer.status, excerpt(&shown));
        if fields.asks_again(answer.status.as_u16()) {
            return self.again(watching, &said, retry_after(&answer)).await;
        }
        let kept = Kept::of(&shown);
        let all = |watching: &Watching| outputs(&watching.call, Some((watching, Some(&kept))));
        if !answer.status.is_success() {
            return Err(failed(format!("the status can't be asked for: {said}"), all(&watching)));
        }
        let body = json_of(&answer).unwrap_or_default();
        if let Some(progress) = monitor.progress.as_ref().and_then(|path| path.scalar(&body).ok()) {
            watching.progress = Some(text_of(progress).chars().take(MAX_PROGRESS).collect());
        }
        let how = |watching: &Watching| {
            watching.progress.as_ref().map(|progress| format!(": {progress}")).unwrap_or_default()
        };
        match word(fields, &monitor, &body, &mut watching) {
            Ok(Word::Success) => Ok(Outcome::Done { outputs: all(&watching) }),
            Ok(Word::Running) => self.again(watching, "", None).await,
            Ok(Word::Terminal(status)) => {
                Err(failed(format!("{} says `{status}`{}", host_of(&watching.url), how(&watching)), all(&watching)))
            }
            Ok(Word::Canceled(status)) => {
                let message = format!("{} says `{status}`: it was cancelled there", host_of(&watching.url));
                Err(Outcome::Fail(Failure { message, retryable: false, outputs: all(&watching), on_failure: None }))
            }
            Err(error) => Err(failed(format!("`statusJsonPath`: {error}"), all(&watching))),
        }
    }

    /// Asks again later, unless it took too long.
    async fn again(&self, watching: Watching, trouble: &str, pause: Option<Duration>) -> Step {
        let ctx = self.ctx;
        let waited = ctx.clock.now().since(watching.since);
        let own_timeout = ctx.stage().is_some_and(|stage| stage.timeout.is_some());
        if waited >= PATIENCE && !own_timeout {
            self.signal_cancellation().await;
            let trouble = if trouble.is_empty() { String::new() } else { format!("; the last time, {trouble}") };
            let message = format!("{} has not ended within an hour{trouble}", host_of(&watching.url));
            return Err(failed(message, outputs(&watching.call, Some((&watching, None)))));
        }
        if !trouble.is_empty() {
            tracing::info!(execution = %ctx.execution.info.id, stage = %ctx.path, trouble, "the status of a webhook is asked for again");
        }
        let usual = if waited < AT_FIRST { OFTEN } else { SELDOM };
        let after = pause.unwrap_or(usual).max(usual);
        Ok(Outcome::Poll { after, checkpoint: json!(Checkpoint::Monitor(watching)) })
    }
}

fn word(fields: &Fields, monitor: &Monitor, body: &Value, watching: &mut Watching) -> Result<Word, String> {
    let Some(path) = &monitor.status else { return Ok(Word::Success) };
    let value = path.scalar(body)?;
    if let Some(percent) = value.as_f64() {
        watching.percent = Some(percent);
        return Ok(if percent >= 100.0 { Word::Success } else { Word::Running });
    }
    let status = text_of(value);
    Ok(if fields.is_success(&status) {
        Word::Success
    } else if fields.is_canceled(&status) {
        Word::Canceled(status)
    } else if fields.is_terminal(&status) {
        Word::Terminal(status)
    } else {
        Word::Running
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_an_answer_may_be_relative() {
        let base = "https://ci.example.com:8443/jobs/start?x=1";
        for (given, expected) in [
            ("https://other.example/1", Some("https://other.example/1")),
            ("/status/7", Some("https://ci.example.com:8443/status/7")),
            ("7", Some("https://ci.example.com:8443/jobs/7")),
            ("?id=7", Some("https://ci.example.com:8443/jobs/start?id=7")),
            ("//other.example/1", None),
            ("ftp://x/y", None),
            ("", None),
            ("https://", None),
            ("/a b", None),
        ] {
            assert_eq!(join(base, given).as_deref(), expected, "{given}");
        }
    }
}
