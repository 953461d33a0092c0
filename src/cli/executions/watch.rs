//! `longboat executions watch`: lines that follow an execution until it ends.

use std::time::Duration;

use super::{Which, view};
use crate::cli::Answer;
use crate::cli::progress::Progress;
use crate::cli::remote::Api;
use crate::clock::Clock;
use crate::model::Status;

/// How often the server is asked.
const PAUSE: Duration = Duration::from_millis(700);
/// How many failures in a row are put up with: a server that is started anew is away for a moment.
const PATIENCE: u32 = 20;

pub(super) async fn run(api: &Api, which: &Which) -> anyhow::Result<Answer> {
    let id = which.find(api).await?;
    let clock = Clock::system();
    let mut progress = Progress::new();
    let mut failures = 0;
    let mut known = view(api, &id).await?;
    progress.say(&format!("{}/{}  {}", known.application, known.pipeline, known.id));
    let mut held = None;
    loop {
        if known.held != held {
            if known.held.is_some() {
                progress.say(&known.description);
            }
            held.clone_from(&known.held);
        }
        progress.show(&known, clock.now());
        if known.status.is_complete() {
            break;
        }
        clock.sleep(PAUSE).await;
        match view(api, &id).await {
            Ok(view) => (known, failures) = (view, 0),
            Err(error) if failures >= PATIENCE => return Err(error),
            Err(_) => failures += 1,
        }
    }
    progress.finish();
    progress.say(&known.description);
    Ok(if known.status == Status::Succeeded { Answer::Yes } else { Answer::No })
}
