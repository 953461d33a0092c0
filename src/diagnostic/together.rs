//! Findings that several calls of a module lead to: each once, with the calls.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{ChainLink, Code, Diagnostic, Place};

/// Calls of modules that lead to a finding which another call has led to before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Repeated {
    /// How many there are.
    pub calls: u32,
    /// The first of them, each by its outermost call; one that stands in a loop is one.
    pub first: Vec<ChainLink>,
    /// How many further calls of the module there are that were not tried, because so many have failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub untried: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Repeated {
    /// As people read it: `the same in 7 more calls: .longboat/a.yaml:5, .longboat/b.yaml:3 and 5 more`.
    pub fn text(&self) -> String {
        let calls = |number: u32| if number == 1 { "call" } else { "calls" };
        let at: Vec<String> = self.first.iter().map(|link| format!("{}:{}", link.file, link.line)).collect();
        let more = match self.calls.saturating_sub(u32::try_from(at.len()).unwrap_or(u32::MAX)) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let mut text = format!("the same in {} more {}: {}{more}", self.calls, calls(self.calls), at.join(", "));
        if self.untried > 0 {
            let was = if self.untried == 1 { "was" } else { "were" };
            text.push_str(&format!("; {} further {} {was} not tried", self.untried, calls(self.untried)));
        }
        text
    }
}

/// The most calls that a finding names which lead to it beside the first one.
const MAX_REPEATED: usize = 5;

/// Findings, each once: what is wrong in a module is wrong in each call of it, and is said once, with the other calls.
#[derive(Debug, Default)]
pub struct Together {
    findings: Vec<Diagnostic>,
    /// By code, place and message.
    known: HashMap<(Code, Option<Place>, String), Known>,
}

/// A finding that is among the others.
#[derive(Debug)]
struct Known {
    /// Which of them it is.
    at: usize,
    /// The calls that have led to it.
    chains: HashSet<Vec<ChainLink>>,
}

/// The most calls of one finding that are told apart.
const MAX_CALLS: usize = 1000;

impl Together {
    /// Nothing found yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many different ones there are.
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds a finding, or counts it with an earlier one. Yields whether it is new.
    pub fn add(&mut self, finding: Diagnostic) -> bool {
        let key = (finding.code, finding.place.clone(), finding.message.clone());
        if let Some(Known { at, chains }) = self.known.get_mut(&key) {
            let is_other =
                !finding.chain.is_empty() && chains.len() < MAX_CALLS && chains.insert(finding.chain.clone());
            if let (true, Some(known)) = (is_other, self.findings.get_mut(*at)) {
                known.repeat(finding);
            }
            return false;
        }
        let known = Known { at: self.findings.len(), chains: HashSet::from([finding.chain.clone()]) };
        self.known.insert(key, known);
        self.findings.push(finding);
        true
    }

    /// Whether the same was found before.
    pub fn knows(&self, finding: &Diagnostic) -> bool {
        self.known.contains_key(&(finding.code, finding.place.clone(), finding.message.clone()))
    }

    /// All of them, in the order in which they came.
    pub fn findings(self) -> Vec<Diagnostic> {
        self.findings
    }
}

impl Diagnostic {
    /// Counts a call that leads to the same, with those that are counted with it.
    fn repeat(&mut self, other: Self) {
        let repeated = self.repeated.get_or_insert_default();
        let more = other.repeated.unwrap_or_default();
        repeated.calls = repeated.calls.saturating_add(1).saturating_add(more.calls);
        repeated.untried = repeated.untried.saturating_add(more.untried);
        let room = MAX_REPEATED.saturating_sub(repeated.first.len());
        repeated.first.extend(other.chain.into_iter().take(1).chain(more.first).take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_calls_lead_to_is_one_finding() {
        let call = |line| ChainLink { file: "a.yaml".to_owned(), line, column: 1, module: "m".to_owned() };
        let found = |line| {
            Diagnostic::error(Code::UndefinedValue, "no").at(Place::point("m.yaml", 2, 3)).chain(vec![call(line)])
        };
        let mut together = Together::new();
        // The last is a call in a loop.
        let new: Vec<bool> = [1, 4, 5, 6, 7, 8, 9, 9].into_iter().map(|line| together.add(found(line))).collect();
        assert_eq!(new.iter().filter(|new| **new).count(), 1);
        let [one] = &together.findings()[..] else { panic!("one finding") };
        let text = "the same in 6 more calls: a.yaml:4, a.yaml:5, a.yaml:6, a.yaml:7, a.yaml:8 and 1 more";
        assert_eq!(one.repeated.as_ref().map(Repeated::text).as_deref(), Some(text));
        // What was counted in a file is counted on with that of others.
        let mut commit = Together::new();
        commit.add(found(20));
        commit.add(one.clone());
        commit.add(Diagnostic::error(Code::UndefinedValue, "other").at(Place::point("m.yaml", 2, 3)));
        let found = commit.findings();
        assert_eq!(
            found.iter().map(|one| one.repeated.as_ref().map_or(0, |more| more.calls)).collect::<Vec<_>>(),
            [7, 0]
        );
    }
}
