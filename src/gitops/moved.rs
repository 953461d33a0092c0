//! References to module repositories that mean another commit than before, told to the authors of a commit.

use super::Checked;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{ModuleUse, Pin, PinMove, Pins};

/// What is said about references that mean another commit now than they did in `before`. `when` says when that was, as in
/// "when #12 was reviewed". `told` are the moves that were told already; those found here are added.
pub fn moved(checked: &Checked, before: &Pins, when: &str, told: &mut Vec<PinMove>) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let is_new = |one: &PinMove, told: &[PinMove]| !told.iter().any(|other| other.after == one.after);
    for one in before.moved_tags(&checked.pins) {
        if is_new(&one, told) {
            let PinMove { before, after } = &one;
            let (tag, repository) = (after.tag().unwrap_or_default(), &after.repository);
            let message = format!(
                "the tag `{tag}` of the module repository `{repository}` was moved: it is {} now, and was {} {when}",
                after.commit.short(),
                before.commit.short()
            );
            let hint = "tags are meant to stay: ask who keeps the modules, and name a commit until then";
            findings.push(placed(Diagnostic::warning(Code::MovedTag, message).hint(hint), checked, after));
            told.push(one);
        }
    }
    for one in before.moved(&checked.pins) {
        if is_new(&one, told) {
            let PinMove { before, after } = &one;
            let message = format!(
                "`{after}` is {} now, and was {} {when}: {} read from there",
                after.commit.short(),
                before.commit.short(),
                modules(checked, after)
            );
            let hint = "to choose the moment yourself, name a tag or a commit behind the `@`";
            findings.push(placed(Diagnostic::info(Code::ModuleMoved, message).hint(hint), checked, after));
            told.push(one);
        }
    }
    findings
}

/// The moves in a few words, for a status: `platform@main moved from 1a2b3c4 to 5d6e7f8`.
pub fn summarize_moves(moves: &[PinMove]) -> Option<String> {
    let (first, others) = moves.split_first()?;
    let PinMove { before, after } = first;
    let text = format!("{after} moved from {} to {}", before.commit.short(), after.commit.short());
    Some(match others.len() {
        0 => text,
        more => format!("{text}, and {more} more"),
    })
}

fn uses<'c>(checked: &'c Checked, pin: &'c Pin) -> impl Iterator<Item = &'c ModuleUse> {
    let is_by =
        |used: &&ModuleUse| used.repository.as_ref() == Some(&pin.repository) && used.reference == pin.reference;
    checked.uses.iter().flat_map(|uses| &uses.modules).filter(is_by)
}

/// The modules that were read by a pin, with the verb.
fn modules(checked: &Checked, pin: &Pin) -> String {
    let mut names: Vec<&str> = uses(checked, pin).map(|used| used.module.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match &names[..] {
        [one] => format!("`{one}` is"),
        few if few.len() <= 5 => format!("{} are", quoted(few)),
        many => format!("{} and {} more are", quoted(&many[..4]), many.len() - 4),
    }
}

fn placed(finding: Diagnostic, checked: &Checked, pin: &Pin) -> Diagnostic {
    match uses(checked, pin).next() {
        Some(used) => finding.at(used.call.clone()),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;
    use crate::gitops::FileUses;
    use crate::model::{CommitSha, PinKind};

    fn sha(number: u32) -> CommitSha {
        CommitSha::parse(&format!("{number:07x}{}", "0".repeat(33))).expect("a commit")
    }

    fn pin(reference: &str, commit: u32, kind: PinKind) -> Pin {
        Pin { repository: "platform".to_owned(), reference: Some(reference.to_owned()), commit: sha(commit), kind }
    }

    fn used(module: &str, reference: &str, line: u32) -> ModuleUse {
        ModuleUse {
            module: format!("platform/{module}"),
            reference: Some(reference.to_owned()),
            repository: Some("platform".to_owned()),
            commit: None,
            file: format!("{module}.yaml"),
            call: Place::point(".longboat/a.yaml", line, 3),
            through: Vec::new(),
        }
    }

    #[test]
    fn a_move_says_which_module_went_from_where_to_where_and_only_once() {
        let branch = || PinKind::Branch("main".to_owned());
        let tag = || PinKind::Tag("v1".to_owned());
        let before: Pins =
            [pin("main", 1, branch()), pin("v1", 2, tag()), pin("same", 3, branch())].into_iter().collect();
        let modules = vec![used("deploy", "main", 7), used("leaf", "main", 7), used("deploy", "v1", 9)];
        let uses = vec![FileUses {
            file: ".longboat/a.yaml".to_owned(),
            modules,
            files: Vec::new(),
            pins: Pins::default(),
            valid: true,
        }];
        let pins = [pin("main", 4, branch()), pin("v1", 5, tag()), pin("same", 3, branch())].into_iter().collect();
        let checked = Checked { uses, pins, ..Checked::default() };
        let mut told = Vec::new();
        let findings = moved(&checked, &before, "when #12 was reviewed", &mut told);
        let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                ".longboat/a.yaml:9:3: warning[LB0225]: the tag `v1` of the module repository `platform` was moved: it is 0000005 now, and was 0000002 when #12 was reviewed",
                ".longboat/a.yaml:7:3: info[LB0224]: `platform@main` is 0000004 now, and was 0000001 when #12 was reviewed: `platform/deploy`, `platform/leaf` are read from there",
            ]
        );
        assert_eq!(moved(&checked, &before, "when `shop` was published last", &mut told), []);
        assert_eq!(summarize_moves(&told).expect("moves"), "platform@v1 moved from 0000002 to 0000005, and 1 more");
        assert_eq!(summarize_moves(&[]), None);
    }
}
