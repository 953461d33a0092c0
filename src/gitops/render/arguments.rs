//! A call's arguments, held against what the module's header asks for. What is wrong is said where the call gives the
//! value; the other places that the value came through are with it.

use std::sync::Arc;

use super::frame::{Argument, Frame};
use super::header::{Header, Parameter};
use super::module::Module;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::gitops::{Node, NodeValue, Origin, Spot};

/// The arguments with defaults filled in, if they are what the module's header asks for. A value that is null counts
/// as not given.
pub(super) fn check_arguments(
    frame: &Frame,
    module: &Module,
    arguments: Vec<Argument>,
    site: &Origin,
) -> Option<Vec<Argument>> {
    let Some(header) = &module.body.header else { return Some(arguments) };
    let mut findings = unknown(module, header, &arguments);
    let mut good = findings.is_empty();
    let mut checked = Vec::with_capacity(header.parameters.len());
    for parameter in &header.parameters {
        let given = arguments.iter().find(|argument| argument.name == parameter.name);
        let Some(argument) = given.filter(|argument| !argument.node.is_null()) else {
            // What a module that failed was to yield is null, and has been reported.
            if parameter.required && !(given.is_some() && frame.work.has_failed()) {
                findings.push(missing(module, parameter, given.map_or(site, |argument| &argument.origin), given));
                good = false;
            } else {
                checked.push(absent(parameter, given));
            }
            continue;
        };
        if let Some(instead) = &parameter.deprecated {
            let message = format!("the parameter `{}` of `{}` is deprecated", parameter.name, module.name);
            let finding = Diagnostic::warning(Code::DeprecatedParameter, message).hint(instead.clone());
            findings.push(argument.origin.locate(finding));
        }
        match parameter.judge(&argument.node) {
            Ok(node) => checked.push(Argument { node, ..argument.clone() }),
            Err(misfit) => {
                good = false;
                let item = misfit.item.and_then(|item| argument.node.as_list()?.get(item));
                let origin = item.map_or(&argument.origin, |item| &item.origin);
                let message = format!("the parameter `{}` of `{}` {}", parameter.name, module.name, misfit.message);
                let mut finding = Diagnostic::error(Code::ArgumentMisfit, message);
                finding.hint = misfit.hint;
                // An item has its own place; the list that holds it has come by others.
                let list =
                    std::iter::once(argument.origin.place()).chain(argument.origin.through().iter().map(Spot::place));
                let own = origin.place();
                let elsewhere = list.filter(|place| place.file != own.file || place.line != own.line);
                findings.push(origin.locate(finding).through(elsewhere));
            }
        }
    }
    findings.into_iter().for_each(|finding| frame.report(finding));
    good.then_some(checked)
}

/// The arguments that the module has no parameter for.
pub(super) fn unknown(module: &Module, header: &Header, arguments: &[Argument]) -> Vec<Diagnostic> {
    let unknown = arguments.iter().filter(|argument| !header.names().any(|name| name == &*argument.name));
    let say = |argument: &Argument| {
        let message = format!("the module `{}` has no parameter `{}`", module.name, argument.name);
        let hint = match (nearest(&argument.name, header.names()), header.parameters.is_empty()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, true) => "it takes none".to_owned(),
            (None, false) => format!("it has {}", header.names().collect::<Vec<_>>().join(", ")),
        };
        argument.origin.locate(Diagnostic::error(Code::ModuleCall, message).hint(hint))
    };
    unknown.map(say).collect()
}

/// That a parameter is not given which has to be.
pub(super) fn missing(module: &Module, parameter: &Parameter, at: &Origin, given: Option<&Argument>) -> Diagnostic {
    let null = if given.is_some() { ", which is null here" } else { "" };
    let message = format!("the module `{}` needs the parameter `{}`{null}", module.name, parameter.name);
    let mut finding = Diagnostic::error(Code::ModuleCall, message);
    let about = parameter.description.as_ref().map(|text| format!("{}: {text}", parameter.name));
    finding.hint = about;
    at.locate(finding)
}

/// What a parameter holds that the caller didn't give.
fn absent(parameter: &Parameter, given: Option<&Argument>) -> Argument {
    match (&parameter.default, given) {
        (Some(node), _) => Argument { name: parameter.name.clone(), node: node.clone(), origin: node.origin.clone() },
        (None, Some(given)) => given.clone(),
        (None, None) => {
            let origin = parameter.origin.clone();
            let node = Arc::new(Node { value: NodeValue::Null, origin: origin.clone() });
            Argument { name: parameter.name.clone(), node, origin }
        }
    }
}
