//! What is done with a mapping once it is complete: keys are compared, `<<` is merged, `use` is called.

use std::collections::HashMap;
use std::sync::Arc;

use super::build::{Builder, Built, Entry, Role, Yielded};
use super::clip;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::gitops::render::call;
use crate::gitops::render::fault::Stopped;
use crate::gitops::render::frame::Argument;
use crate::gitops::render::value::measure;
use crate::gitops::{Key, Node, NodeValue, Origin};

impl Builder<'_> {
    /// A mapping's entries: duplicates reported, `<<` replaced by what it merges. Written keys win, then the first
    /// merged mapping.
    pub(super) fn merge(&mut self, entries: Vec<Entry>) -> Result<Vec<(Key, Arc<Node>)>, Stopped> {
        let mut seen: HashMap<Arc<str>, Option<Origin>> = HashMap::with_capacity(entries.len());
        for Entry { key, .. } in entries.iter().filter(|entry| entry.role != Role::Merge) {
            if let Some(Some(first)) = seen.get(&key.name) {
                let place = first.place();
                let finding =
                    Diagnostic::error(Code::DuplicateKey, format!("the key `{}` stands twice", clip(&key.name)))
                        .hint(format!("it stands in line {} already; remove one of them", place.line));
                self.report(finding, &key.origin.clone());
            } else {
                seen.insert(key.name.clone(), Some(key.origin.clone()));
            }
        }
        let mut merged: Vec<(Key, Arc<Node>)> = Vec::with_capacity(entries.len());
        for Entry { key, node, role } in entries {
            if role != Role::Merge {
                // Only the first of two equal keys is kept.
                if seen.get_mut(&key.name).is_some_and(|origin| origin.take().is_some()) {
                    merged.push((key, node));
                }
                continue;
            }
            let sources = match &node.value {
                NodeValue::List(items) => items.iter().collect(),
                _ => vec![&node],
            };
            for source in sources {
                let NodeValue::Map(inner) = &source.value else {
                    if !source.is_null() {
                        let finding =
                            Diagnostic::error(Code::WrongShape, format!("`<<` can't merge {}", source.kind()))
                                .hint("it merges a mapping, or a list of mappings");
                        self.report(finding, &source.origin.clone());
                    }
                    continue;
                };
                self.charge(inner.len(), &key.origin)?;
                for (name, value) in inner {
                    if !seen.contains_key(&name.name) {
                        seen.insert(name.name.clone(), None);
                        merged.push((name.clone(), value.clone()));
                    }
                }
            }
        }
        Ok(merged)
    }

    /// A mapping with `use` is a call of a module.
    pub(super) fn call(&mut self, entries: &[(Key, Arc<Node>)], origin: Origin) -> Result<Built, Stopped> {
        let hole = |origin: Origin| Built {
            node: Arc::new(Node { value: NodeValue::Null, origin }),
            yielded: Yielded::Module,
        };
        let Some(frame) = self.input.frame else { return Ok(hole(origin)) };
        let mut arguments = Vec::new();
        let mut module = None;
        let mut good = true;
        for (key, node) in entries {
            let finding = match (&*key.name, &node.value) {
                ("use", NodeValue::String(name)) => {
                    module = Some((name.clone(), node.origin.clone()));
                    continue;
                }
                ("with", NodeValue::Null) => continue,
                ("with", NodeValue::Map(given)) => {
                    arguments.extend(given.iter().map(|(key, node)| Argument {
                        name: key.name.clone(),
                        node: node.clone(),
                        origin: node.origin.clone(),
                    }));
                    continue;
                }
                ("use", _) => {
                    let message = format!("`use` names a module; this is {}", node.kind());
                    node.origin.locate(Diagnostic::error(Code::ModuleCall, message))
                }
                ("with", _) => {
                    let message = format!("`with` holds a module's parameters; this is {}", node.kind());
                    node.origin.locate(Diagnostic::error(Code::ModuleCall, message))
                }
                (other, _) => {
                    let message = format!("`{}` can't stand beside `use`", clip(other));
                    let hint = match nearest(other, ["with"]) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!(
                            "a call has `use` and `with`; put `{}` under `with` if the module has such a parameter",
                            clip(other)
                        ),
                    };
                    key.origin.locate(Diagnostic::error(Code::ModuleCall, message).hint(hint))
                }
            };
            good = false;
            self.read.findings.push(finding);
        }
        // What a hole would have been is not for the module to judge.
        let is_hole = |(_, node): &(Key, Arc<Node>)| match &node.value {
            NodeValue::Map(given) => given.iter().any(|(_, node)| node.is_null()),
            value => matches!(value, NodeValue::Null),
        };
        if good && frame.work.has_failed() && entries.iter().any(is_hole) {
            return Ok(hole(origin));
        }
        let Some((name, site)) = module.filter(|_| good) else {
            frame.work.failed()?;
            return Ok(hole(origin));
        };
        let Some(node) = call::invoke(frame, &name, arguments, &site, origin.start())? else { return Ok(hole(origin)) };
        let (size, depth) = measure(&node, self.input.budget.nodes_left());
        self.charge(size, &site)?;
        self.check_depth(depth, &site)?;
        Ok(Built { node, yielded: Yielded::Module })
    }
}
