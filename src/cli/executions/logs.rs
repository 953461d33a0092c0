//! `longboat executions logs`: what a stage printed, to the end or as it comes.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, bail};
use http::Method;

use super::{Which, interesting, view};
use crate::cli::Answer;
use crate::cli::remote::Api;
use crate::clock::Clock;
use crate::model::percent_encode_part;

/// How often the server is asked for more.
const PAUSE: Duration = Duration::from_millis(500);
/// How much is asked for at once, in bytes.
const PART: usize = 1024 * 1024;

/// Print what a stage printed, by default the one that failed or runs
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The stage
    #[arg(value_name = "STAGE")]
    stage: Option<String>,
    /// Which attempt; the latest by default
    #[arg(long)]
    attempt: Option<u32>,
    /// Go on until the stage has ended
    #[arg(long, short)]
    follow: bool,
}

pub(super) async fn run(api: &Api, args: &Args) -> anyhow::Result<Answer> {
    let id = args.which.find(api).await?;
    let stage = match &args.stage {
        Some(stage) => stage.clone(),
        None => {
            let view = view(api, &id).await?;
            match interesting(&view) {
                Some(stage) => {
                    eprintln!("stage {}, attempt {}", stage.path, args.attempt.unwrap_or(stage.attempt));
                    stage.path.to_string()
                }
                None => bail!("no stage of this execution has begun"),
            }
        }
    };
    let clock = Clock::system();
    let mut offset = 0_u64;
    loop {
        let mut path = format!(
            "/executions/{}/stages/{}/log?offset={offset}&max={PART}",
            percent_encode_part(&id),
            percent_encode_part(&stage)
        );
        if let Some(attempt) = args.attempt {
            path.push_str(&format!("&attempt={attempt}"));
        }
        let answer = api.send(Method::GET, &path, None).await?;
        let next = answer.header("x-longboat-next-offset").and_then(|text| text.parse::<u64>().ok());
        let next = next.context("the server doesn't say where the log goes on")?;
        let mut out = std::io::stdout().lock();
        match out.write_all(&answer.body).and_then(|()| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Answer::Yes),
            other => other?,
        }
        drop(out);
        let grew = next > offset;
        offset = next;
        if answer.header("x-longboat-end") == Some("true") || (!grew && !args.follow) {
            return Ok(Answer::Yes);
        }
        if !grew {
            clock.sleep(PAUSE).await;
        }
    }
}
