//! Whether what modules yield stands where such a thing belongs: a stage in a list of stages, a trigger among
//! triggers.
//!
//! While a template runs, nobody knows where its values end up. So what a module yields is remembered, and looked for
//! when the document is complete. What isn't found there was used in another way, which is fine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::header::Yields;
use super::session::lock;
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::{Node, NodeValue, Origin};

/// What modules yielded.
#[derive(Debug, Default)]
pub(super) struct Results(Mutex<HashMap<usize, Yielded>>);

// The addresses are only compared; each result keeps its node alive, so that no other can have its address.
#[derive(Debug)]
struct Yielded {
    _node: Arc<Node>,
    yields: Yields,
    module: Arc<str>,
    site: Origin,
}

fn address(node: &Arc<Node>) -> usize {
    Arc::as_ptr(node).addr()
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum Spot<'a> {
    /// It is the value of this key.
    Value(&'a str),
    /// It is an item of the list that is the value of this key.
    Item(&'a str),
    /// In a list of lists, or at the top.
    Elsewhere,
}

impl Results {
    /// Remembers what a call yielded.
    pub(super) fn add(&self, node: &Arc<Node>, yields: Yields, module: &str, site: &Origin) {
        if yields.list().is_none() || node.is_null() {
            return;
        }
        let module: Arc<str> = module.into();
        let mut results = lock(&self.0);
        let mut add = |node: &Arc<Node>, yields| {
            let yielded = Yielded { _node: node.clone(), yields, module: module.clone(), site: site.clone() };
            results.insert(address(node), yielded);
        };
        add(node, yields);
        // The list's items take the place of the call in the list around it.
        if let (Yields::Stages, NodeValue::List(items)) = (yields, &node.value) {
            items.iter().for_each(|item| add(item, Yields::Stage));
        }
    }

    /// What stands where it doesn't belong in a document.
    pub(super) fn misplaced(&self, root: &Arc<Node>) -> Vec<Diagnostic> {
        let results = lock(&self.0);
        let mut findings = Vec::new();
        if !results.is_empty() {
            walk(&results, root, Spot::Elsewhere, &mut findings);
        }
        findings
    }
}

fn walk(results: &HashMap<usize, Yielded>, node: &Arc<Node>, spot: Spot<'_>, findings: &mut Vec<Diagnostic>) {
    if let Some(yielded) = results.get(&address(node)) {
        let finding = yielded.judge(spot);
        // What is in it is wrong for the same reason.
        if finding.is_some() {
            return findings.extend(finding);
        }
    }
    match &node.value {
        NodeValue::List(items) => {
            let spot = match spot {
                Spot::Value(key) => Spot::Item(key),
                _ => Spot::Elsewhere,
            };
            items.iter().for_each(|item| walk(results, item, spot, findings));
        }
        NodeValue::Map(entries) => {
            entries.iter().for_each(|(key, node)| walk(results, node, Spot::Value(&key.name), findings));
        }
        _ => {}
    }
}

impl Yielded {
    fn judge(&self, spot: Spot<'_>) -> Option<Diagnostic> {
        let list = self.yields.list()?;
        let (here, hint) = match spot {
            Spot::Item(key) if key == list && self.yields != Yields::Stages => return None,
            Spot::Item(key) if key == list => {
                (format!("is one item of `{key}`"), "take the call out of the quotes: then its stages take its place")
            }
            Spot::Value(key) if key == list && self.yields == Yields::Stages => return None,
            Spot::Value(key) if key == list => {
                (format!("is the value of `{key}`, which is a list"), "put it into the list: `- ` before the call")
            }
            Spot::Item(key) => (format!("stands in `{key}`"), "move the call"),
            Spot::Value(key) => (format!("is the value of `{key}`"), "move the call"),
            Spot::Elsewhere => ("stands by itself".to_owned(), "move the call"),
        };
        let message = format!("`{}` yields {}, and {here}", self.module, self.yields.words());
        let finding = Diagnostic::error(Code::ModuleResult, message);
        Some(self.site.locate(finding.hint(format!("{} belongs in a list `{list}`: {hint}", self.yields.words()))))
    }
}
