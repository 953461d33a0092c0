//! A call's arguments, held against what the module's header asks for.

use std::sync::Arc;

use super::frame::{Argument, Frame};
use super::header::Parameter;
use super::module::Module;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::gitops::{Node, NodeValue, Origin};

/// The arguments with defaults filled in, if they are what the module's header asks for.
pub(super) fn check_arguments(
    frame: &Frame,
    module: &Module,
    mut arguments: Vec<Argument>,
    site: &Origin,
) -> Option<Vec<Argument>> {
    let Some(header) = &module.header else { return Some(arguments) };
    let mut good = true;
    let mut refuse = |finding: Diagnostic| {
        good = false;
        frame.report(finding);
    };
    for argument in &arguments {
        let known = || header.parameters.iter().map(|parameter| &*parameter.name);
        if !known().any(|name| *name == *argument.name) {
            let message = format!("the module `{}` has no parameter `{}`", module.name, argument.name);
            let hint = nearest(&argument.name, known()).map_or_else(
                || format!("it has {}", known().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            refuse(argument.origin.locate(Diagnostic::error(Code::ModuleCall, message).hint(hint)));
        }
    }
    for parameter in &header.parameters {
        if arguments.iter().any(|argument| argument.name == parameter.name) {
            continue;
        }
        match default(parameter) {
            Some(argument) => arguments.push(argument),
            None => {
                let message = format!("the module `{}` needs the parameter `{}`", module.name, parameter.name);
                let mut finding = Diagnostic::error(Code::ModuleCall, message);
                finding.hint = parameter.description.as_ref().map(|text| format!("{}: {text}", parameter.name));
                refuse(site.locate(finding));
            }
        }
    }
    good.then_some(arguments)
}

/// What a parameter holds that the caller didn't give; nothing if it must be given.
fn default(parameter: &Parameter) -> Option<Argument> {
    if parameter.required && parameter.default.is_none() {
        return None;
    }
    let node = match &parameter.default {
        Some(node) => node.clone(),
        None => Arc::new(Node { value: NodeValue::Null, origin: parameter.origin.clone() }),
    };
    let origin = node.origin.clone();
    Some(Argument { name: parameter.name.clone(), node, origin })
}
