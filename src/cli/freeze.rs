//! `longboat freeze`: keeps a server from beginning anything new, and lets it go on.

use anyhow::bail;
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::Answer;
use super::executions::{Format, items};
use super::remote::{Api, ServerArgs};
use crate::clock::{Clock, Timestamp};
use crate::model::{Span, percent_encode_part};

/// Keep a server from beginning anything new, and let it go on
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Freeze an application, or everything; what runs goes on, what is started waits
    On {
        #[command(flatten)]
        what: What,
        /// Why, in a line: it stands on every commit that waits
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// When it ends by itself: a time like 2026-12-24T18:00:00Z, or how long it lasts, like 2h
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// End a freeze: what waited begins
    Off {
        #[command(flatten)]
        what: What,
    },
    /// List the freezes in force
    List {
        /// How they are printed
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
}

/// What is frozen
#[derive(Debug, clap::Args)]
struct What {
    /// The application; without one, everything
    #[arg(value_name = "APPLICATION")]
    application: Option<String>,
}

impl What {
    fn path(&self) -> String {
        match &self.application {
            Some(application) => format!("/freezes/{}", percent_encode_part(application)),
            None => "/freezes".to_owned(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If the server can't be asked, or says no.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    let api = args.server.connect()?;
    match args.command {
        Command::On { what, reason, until } => on(&api, &what, &reason, until.as_deref()).await,
        Command::Off { what } => off(&api, &what).await,
        Command::List { format } => list(&api, format).await,
    }
}

async fn on(api: &Api, what: &What, reason: &str, until: Option<&str>) -> anyhow::Result<Answer> {
    let until = until.map(|text| end(text, Clock::system().now())).transpose()?;
    let body = json!({ "reason": reason, "until": until.map(Timestamp::to_rfc3339) });
    let answer = api.send(Method::PUT, &what.path(), Some(&body)).await?;
    let freeze: Value = serde_json::from_slice(&answer.body)?;
    eprintln!("{}", line(&freeze));
    Ok(Answer::Yes)
}

/// When a freeze ends that lasts until a time, or for some time.
fn end(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Some(time) = Timestamp::from_rfc3339(text) {
        return Ok(time);
    }
    match Span::parse(text) {
        Ok(span) if span.as_millis() > 0 => Ok(now.plus(span.as_duration())),
        _ => bail!("`{text}` is neither a time like 2026-12-24T18:00:00Z nor how long it lasts, like 90m, 2h or 3d"),
    }
}

async fn off(api: &Api, what: &What) -> anyhow::Result<Answer> {
    api.send(Method::DELETE, &what.path(), Some(&json!({}))).await?;
    match &what.application {
        Some(application) => eprintln!("the freeze of {application} has ended"),
        None => eprintln!("the freeze of everything has ended"),
    }
    let left: Value = api.get("/freezes").await?;
    for freeze in left["items"].as_array().into_iter().flatten() {
        eprintln!("still in force: {}", line(freeze));
    }
    Ok(Answer::Yes)
}

async fn list(api: &Api, format: Format) -> anyhow::Result<Answer> {
    let page: Value = api.get("/freezes").await?;
    let text = |page: &Value| items(page, |freeze| format!("{}\n", line(freeze)));
    format.show(&page, text, "nothing is frozen")?;
    Ok(Answer::Yes)
}

/// `shop is frozen by ann until 2026-12-24T18:00:00.000Z: holidays`
fn line(freeze: &Value) -> String {
    let text = |key: &str| freeze[key].as_str();
    let what = text("application").unwrap_or("everything");
    let until = text("until").map(|until| format!(" until {until}")).unwrap_or_default();
    format!("{what} is frozen by {}{until}: {}", text("by").unwrap_or_default(), text("reason").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_ends_at_a_time_or_after_one() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let ends = |text: &str| end(text, now).map(Timestamp::to_rfc3339).map_err(|error| error.to_string());
        assert_eq!(ends("2h").expect("a length"), "2023-11-15T00:13:20.000Z");
        assert_eq!(ends("2026-12-24T18:00:00+01:00").expect("a time"), "2026-12-24T17:00:00.000Z");
        for wrong in ["tomorrow", "", "0s", "2026-12-24"] {
            assert!(ends(wrong).expect_err("refused").contains("like 90m, 2h or 3d"), "{wrong}");
        }
    }

    #[test]
    fn a_freeze_is_one_line() {
        let freeze = json!({"application": null, "by": "ann", "reason": "audit", "until": null});
        assert_eq!(line(&freeze), "everything is frozen by ann: audit");
        let freeze =
            json!({"application": "shop", "by": "ann", "reason": "audit", "until": "2026-12-24T18:00:00.000Z"});
        assert_eq!(line(&freeze), "shop is frozen by ann until 2026-12-24T18:00:00.000Z: audit");
    }
}
