//! An execution as lines in the terminal: redrawn in place where there is a terminal, one line a change where
//! the output goes to a file or another program.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::model::{ExecutionView, HoldView, StagePath, StageView, Status, humanize, shorten};

/// The longest item of a list that is shown, in characters.
const LONGEST_ITEM: usize = 60;

/// Shows one execution after the other.
pub struct Progress {
    lines: Lines,
    color: bool,
}

enum Lines {
    /// A line per stage, redrawn while its spinner turns.
    Live { area: MultiProgress, bars: HashMap<StagePath, ProgressBar> },
    /// A line per change.
    Plain { shown: HashMap<StagePath, (Status, u32, Option<String>)> },
}

impl Progress {
    /// Lines on standard output; live ones only if it is a terminal.
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let lines = if terminal {
            Lines::Live { area: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()), bars: HashMap::new() }
        } else {
            Lines::Plain { shown: HashMap::new() }
        };
        Self { lines, color: terminal && std::env::var_os("NO_COLOR").is_none() }
    }

    /// Prints a line above whatever is being redrawn.
    pub fn say(&self, text: &str) {
        match &self.lines {
            Lines::Live { area, .. } => {
                // A terminal that went away is no reason to stop working.
                let _ = area.println(text).is_ok();
            }
            Lines::Plain { .. } => {
                let mut out = std::io::stdout().lock();
                let _ = writeln!(out, "{text}").and_then(|()| out.flush()).is_ok();
            }
        }
    }

    /// Brings the lines in step with `view`.
    pub fn show(&mut self, view: &ExecutionView, now: Timestamp) {
        let width = view.stages.iter().map(|stage| stage.path.as_str().chars().count()).max().unwrap_or(0);
        for stage in &view.stages {
            match &mut self.lines {
                Lines::Live { area, bars } => {
                    let bar = bars.entry(stage.path.clone()).or_insert_with(|| area.add(new_bar()));
                    redraw(bar, stage, width, now, self.color);
                }
                Lines::Plain { shown } => {
                    let state = (stage.status, stage.attempt, stage.waiting_for.clone());
                    if stage.status == Status::NotStarted || shown.get(&stage.path) == Some(&state) {
                        continue;
                    }
                    shown.insert(stage.path.clone(), state);
                    let text = line(stage, width, now, false);
                    self.say(&text);
                }
            }
        }
    }

    /// Leaves the lines as they stand and starts afresh, for the next execution.
    pub fn finish(&mut self) {
        match &mut self.lines {
            Lines::Live { bars, .. } => bars.drain().for_each(|(_, bar)| bar.abandon()),
            Lines::Plain { shown } => shown.clear(),
        }
    }

    /// Takes the lines away while `ask` talks with a person.
    pub fn suspend<T>(&self, ask: impl FnOnce() -> T) -> T {
        match &self.lines {
            Lines::Live { area, .. } => area.suspend(ask),
            Lines::Plain { .. } => ask(),
        }
    }

    /// Text in a colour of the terminal, if it has any.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        colored(paint, text, self.color)
    }
}

/// The few colours that lines use; meaning never hangs on them alone.
#[derive(Debug, Clone, Copy)]
pub enum Paint {
    /// Ended well.
    Good,
    /// Ended badly.
    Bad,
    /// In between.
    Busy,
    /// Of less weight.
    Faint,
    /// Of more weight.
    Strong,
}

fn colored(paint: Paint, text: &str, color: bool) -> String {
    if !color {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Good => "32",
        Paint::Bad => "31",
        Paint::Busy => "33",
        Paint::Faint => "2",
        Paint::Strong => "1",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_style(waiting_style());
    bar
}

/// Without a spinner: for stages that wait or have ended.
fn waiting_style() -> ProgressStyle {
    // The template is a constant, so the fallback is never taken.
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn running_style() -> ProgressStyle {
    ProgressStyle::with_template("  {spinner:.yellow} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

fn redraw(bar: &ProgressBar, stage: &StageView, width: usize, now: Timestamp, color: bool) {
    if stage.status == Status::Running && stage.waiting_for.is_none() {
        bar.set_style(running_style());
        bar.enable_steady_tick(Duration::from_millis(80));
        bar.set_message(format!("{:width$}", stage.path.as_str()));
    } else {
        bar.disable_steady_tick();
        bar.set_style(waiting_style());
        bar.set_message(line(stage, width, now, color));
        bar.tick();
    }
}

/// Who holds an execution back: who froze, and which executions are before it.
pub fn hold(hold: &HoldView) -> String {
    let mut text = String::new();
    if let Some(by) = &hold.by {
        let until = hold.until.map_or_else(|| "until somebody ends it".to_owned(), |until| format!("until {until}"));
        text.push_str(&format!("frozen by {by}, {until}\n"));
    }
    for holder in &hold.holders {
        text.push_str(&format!("before it: {}/{}  {}\n", holder.application, holder.pipeline, holder.id));
    }
    text
}

/// `  ✓ unit  succeeded  120ms`, and the error behind it if there is one.
pub fn line(stage: &StageView, width: usize, now: Timestamp, color: bool) -> String {
    let (sign, word, paint) = match stage.status {
        Status::Succeeded => ("✓", "succeeded", Paint::Good),
        Status::Skipped => ("-", "skipped", Paint::Faint),
        Status::FailedContinue => ("!", "failed, ignored", Paint::Busy),
        Status::Stopped | Status::Terminal => ("✗", "failed", Paint::Bad),
        Status::Canceled => ("✗", "cancelled", Paint::Bad),
        Status::NotStarted | Status::Buffered => ("·", "", Paint::Faint),
        Status::Running | Status::Paused | Status::Suspended | Status::Redirect => ("…", "running", Paint::Busy),
    };
    let mut text = format!("  {} {:width$}", colored(paint, sign, color), stage.path.as_str());
    if !word.is_empty() {
        text.push_str(&format!("  {word:9}"));
    }
    if let (Some(start), true) = (stage.start_time, stage.status.is_complete()) {
        let took = humanize(stage.end_time.unwrap_or(now).since(start));
        text.push_str(&format!("  {}", colored(Paint::Faint, &took, color)));
    }
    if stage.attempt > 1 {
        text.push_str(&format!("  attempt {}", stage.attempt));
    }
    if let Some(instances) = &stage.instances {
        text.push_str(&format!("  {}", instances.in_words()));
    }
    if let Some(item @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) = &stage.instance {
        let item = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
        text.push_str(&format!("  {}", colored(Paint::Faint, &shorten(&item, LONGEST_ITEM), color)));
    }
    if let Some(waiting) = &stage.waiting_for {
        text.push_str(&format!("  waiting for {waiting}"));
    }
    if let (Some(error), true) = (&stage.error, stage.status.is_complete()) {
        text.push_str(&format!("  {}", colored(paint, error, color)));
    }
    text.trim_end().to_owned()
}
