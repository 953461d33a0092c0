//! A plan for people at a terminal.

use std::fmt::Write as _;

use crate::model::{
    ChangeKind, Line, LineChange, Piece, Pin, PinKind, Pins, PipelineChange, Plan, PlannedStart, counted, told,
};

/// Where the colours come from, if there are any.
#[derive(Debug, Clone, Copy)]
struct Paint(bool);

/// The codes of the colours of a terminal.
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const BOLD: &str = "1";
const FAINT: &str = "2";

impl Paint {
    fn put(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn kind(self, kind: ChangeKind, text: &str) -> String {
        let code = match kind {
            ChangeKind::Added => GREEN,
            ChangeKind::Changed => YELLOW,
            ChangeKind::Removed => RED,
        };
        self.put(code, text)
    }

    /// A line of pieces, names between backticks. Nothing in it is acted on by a terminal.
    fn line(self, line: &Line) -> String {
        let mut out = String::new();
        for piece in line {
            match piece {
                Piece::Text(text) => out.push_str(&inert(text)),
                Piece::Strong(text) | Piece::Link { text, .. } => out.push_str(&self.put(BOLD, &inert(text))),
                Piece::Code(text) => {
                    let _ = write!(out, "`{}`", inert(text));
                }
                Piece::Mark(_) => {}
            }
        }
        out
    }
}

/// Text that is one line and moves no cursor.
fn inert(text: &str) -> String {
    let odd = |letter: char| matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|letter| {
            if letter.is_control() {
                ' '
            } else if odd(letter) {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}

/// The plan; `errors` is how many the change has, `about` says what was compared.
/// `pins`: those before and after.
pub(super) fn written(
    plan: &Plan,
    pins: (&Pins, &Pins),
    errors: usize,
    about: &Line,
    branch: &str,
    color: bool,
) -> String {
    let paint = Paint(color);
    let mut out = format!("{}\n", paint.line(about));
    for change in &plan.pipelines {
        out.push('\n');
        pipeline(change, paint, &mut out);
    }
    let listed = u32::try_from(plan.pipelines.len()).unwrap_or(u32::MAX);
    if let Some(more) = plan.all_changed().checked_sub(listed).filter(|more| *more > 0) {
        let _ = writeln!(out, "\nand {} more", counted(more, "pipeline"));
    }
    if !plan.hidden.is_empty() {
        let names: Vec<&str> = plan.hidden.iter().map(|name| name.as_str()).collect();
        let _ = writeln!(out, "\nNot compared, because of errors before or after: {}", names.join(", "));
    }
    module_repositories(pins, paint, &mut out);
    starts(plan, branch, paint, &mut out);
    let _ = writeln!(out, "\n{}", summary(plan, errors));
    out
}

fn pipeline(change: &PipelineChange, paint: Paint, out: &mut String) {
    let name = format!("{}/{}", change.application, change.pipeline);
    let kind = paint.kind(change.kind, &format!("{} {}", change.kind.sign(), change.kind.as_str()));
    let _ = writeln!(out, "{kind} {}  {}", paint.put(BOLD, &name), paint.put(FAINT, &change.place.to_string()));
    let all = told(change);
    let shown: Vec<String> = all.iter().map(|told| paint.line(&told.line)).collect();
    for (told, line) in all.iter().zip(shown) {
        let sign = paint.kind(told.kind, &told.kind.sign().to_string());
        let place = told.where_it_is().map(|place| paint.put(FAINT, &format!("  {place}"))).unwrap_or_default();
        let _ = writeln!(out, "    {sign} {line}{place}");
        for line in &told.lines {
            let text = inert(&line.written());
            let text = match line {
                LineChange::Added(_) => paint.put(GREEN, &text),
                LineChange::Removed(_) => paint.put(RED, &text),
                LineChange::LeftOut(_) => paint.put(FAINT, &text),
            };
            let _ = writeln!(out, "          {text}");
        }
    }
    if change.left_out > 0 {
        let _ = writeln!(out, "      and {} more", change.left_out);
    }
}

/// The commits at which module repositories were read: those that come and go by the change, and those that stay.
fn module_repositories((before, after): (&Pins, &Pins), paint: Paint, out: &mut String) {
    if before.is_empty() && after.is_empty() {
        return;
    }
    out.push_str("\nModule repositories\n");
    let had = |pins: &Pins, pin: &Pin| pins.get(&pin.repository, pin.reference.as_deref()).cloned();
    for pin in after.iter() {
        let sign = match had(before, pin) {
            Some(same) if same.commit == pin.commit => " ".to_owned(),
            Some(_) => paint.kind(ChangeKind::Changed, "~"),
            None => paint.kind(ChangeKind::Added, "+"),
        };
        let from = had(before, pin).filter(|before| before.commit != pin.commit);
        let from = from.map(|before| format!(", moved from {}", before.commit.short())).unwrap_or_default();
        let _ = writeln!(out, "    {sign} {}{from}", inert(&pin_line(pin)));
    }
    for pin in before.iter().filter(|pin| had(after, pin).is_none()) {
        let _ = writeln!(out, "    {} {}", paint.kind(ChangeKind::Removed, "-"), inert(&pin_line(pin)));
    }
}

fn pin_line(pin: &Pin) -> String {
    let kind = match &pin.kind {
        PinKind::Tag(tag) if pin.reference.as_deref() != Some(tag) => format!(" (tag {tag})"),
        PinKind::Branch(branch) if pin.reference.as_deref() != Some(branch) => format!(" (branch {branch})"),
        PinKind::Tag(_) | PinKind::Branch(_) | PinKind::Commit => String::new(),
    };
    format!("{pin} at {}{kind}", pin.commit.short())
}

fn starts(plan: &Plan, branch: &str, paint: Paint, out: &mut String) {
    if plan.starts.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nA push of this to `{}`", inert(branch));
    for start in &plan.starts {
        let name = format!("{}/{}", start.application, start.pipeline);
        if start.starts {
            let _ = writeln!(out, "    {} {name}", paint.put(GREEN, "starts        "));
        } else {
            let _ = writeln!(out, "    {} {name}: {}", paint.put(FAINT, "does not start"), reason(start));
        }
    }
    let shown = plan.starts.iter().filter(|start| start.starts).count();
    if let Some(more) = plan.starting.checked_sub(u32::try_from(shown).unwrap_or(u32::MAX)).filter(|more| *more > 0) {
        let _ = writeln!(out, "    and starts {} more", counted(more, "pipeline"));
    }
}

fn reason(start: &PlannedStart) -> String {
    let why = inert(&start.reason());
    if start.parameters.is_empty() { why } else { format!("{why} ({})", inert(&start.parameters.join(", "))) }
}

fn summary(plan: &Plan, errors: usize) -> String {
    let mut counts = Vec::new();
    for (number, word) in [(plan.added, "added"), (plan.changed, "changed"), (plan.removed, "removed")] {
        if number > 0 {
            counts.push(format!("{number} {word}"));
        }
    }
    let pipelines = match (counts.as_slice(), errors) {
        ([], 0) => "No pipeline changes".to_owned(),
        ([], _) => String::new(),
        (counts, _) => format!("Pipelines: {}", counts.join(", ")),
    };
    let failed = match errors {
        0 => String::new(),
        errors => format!("Failed: {}", counted(u32::try_from(errors).unwrap_or(u32::MAX), "error")),
    };
    let parts: Vec<String> = [failed, pipelines].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(". ")
}
