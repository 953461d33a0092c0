//! Trying modules: each worked example is rendered, and put into an application of its own, so that it can be checked
//! like one that somebody has written.

use std::sync::Arc;

use super::super::call;
use super::super::crew;
use super::super::file::File;
use super::super::frame::{Argument, Frame, Uses, Work};
use super::super::header::{Example, Header, Yields};
use super::super::lookup::Found;
use super::super::module::Module;
use super::super::session::Session;
use super::super::template::Template;
use super::super::variables::{Trouble, Variables};
use super::super::{RenderedFile, Request};
use super::{built_in, lost, of_repository, statics};
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::{Key, Node, NodeValue, Origin};

/// Modules, tried.
#[derive(Debug, Default)]
pub struct Trials {
    /// One for each module.
    pub modules: Vec<Trial>,
    /// What concerns no single module.
    pub findings: Vec<Diagnostic>,
}

/// A module, tried.
#[derive(Debug)]
pub struct Trial {
    /// What is wrong with its text.
    pub findings: Vec<Diagnostic>,
    /// Its examples, each as a file. One whose module yields a part of a pipeline is a whole application; of others there
    /// is no document, only findings.
    pub examples: Vec<RenderedFile>,
}

/// Tries the repository's own modules, or those that are built in.
pub fn try_modules(request: &Request<'_>, standard: bool) -> Trials {
    let list =
        |session: &Arc<Session>, (): &()| if standard { (built_in(), Vec::new()) } else { of_repository(session) };
    let (found, findings) = crew::work(request, &[()], list).into_iter().flatten().next().unwrap_or_default();
    let tried = crew::work(request, &found, try_one);
    let trial = |(found, trial): (&Found, Result<Trial, crew::Lost>)| {
        trial.unwrap_or_else(|_| Trial { findings: vec![lost(&found.name, &found.file)], examples: Vec::new() })
    };
    Trials { modules: found.iter().zip(tried).map(trial).collect(), findings }
}

fn try_one(session: &Arc<Session>, found: &Found) -> Trial {
    let mut trial = Trial { findings: Vec::new(), examples: Vec::new() };
    let module = match session.load_module(found) {
        Ok(module) => module,
        Err(findings) => return Trial { findings: findings.to_vec(), ..trial },
    };
    trial.findings = statics::check(session, &module);
    let Some(header) = &module.body.header else { return trial };
    let needed: Vec<&str> =
        header.parameters.iter().filter(|parameter| parameter.required).map(|parameter| &*parameter.name).collect();
    if !header.examples.is_empty() {
        trial.examples = header.examples.iter().map(|example| render(session, &module, header, example)).collect();
    } else if needed.is_empty() {
        let alone = Example { description: None, with: Vec::new(), before: Vec::new(), origin: header.origin.clone() };
        trial.examples = vec![render(session, &module, header, &alone)];
    } else {
        let message = format!("the module `{}` has no example, so that it can't be tried", module.name);
        let with: Vec<String> = needed.iter().map(|name| format!("{name}: ...")).collect();
        let hint = format!("add `examples: [{{with: {{{}}}}}]` to its header", with.join(", "));
        trial.findings.push(header.origin.locate(Diagnostic::warning(Code::ModuleUntried, message).hint(hint)));
    }
    trial
}

/// Renders an example. Its findings say that they are about an example by where they are: in the header, or below it.
fn render(session: &Arc<Session>, module: &Module, header: &Header, example: &Example) -> RenderedFile {
    let path = &*module.body.template.file.name;
    let variables =
        match File::new(path, Vec::new(), &session.limits).map(|file| Variables::new(session, &Arc::new(file))) {
            Ok(Ok(variables)) => variables,
            Ok(Err(Trouble { own, shared })) => {
                return RenderedFile::failed(path, shared.iter().cloned().chain(own).collect());
            }
            Err(findings) => return RenderedFile::failed(path, findings),
        };
    let work = Arc::new(Work::new(session.clone()));
    let stacks = variables.stacks.clone();
    let around = Arc::new(Template::plain(module.body.template.file.clone(), 0));
    let frame = Arc::new(Frame::of_file(work.clone(), around, variables));
    let arguments = example
        .with
        .iter()
        .map(|(key, node)| Argument { name: key.name.clone(), node: node.clone(), origin: node.origin.clone() })
        .collect();
    let called = call::invoke(&frame, &module.name, arguments, &example.origin, example.origin.start());
    let root = called.ok().flatten().and_then(|node| application(header.yields?, node, example));
    if let Some(root) = &root {
        work.yielded.misplaced(root).into_iter().for_each(|finding| work.report(finding));
    }
    let (findings, Uses { modules, files, pins }) = work.results();
    let root = root.filter(|_| !work.has_failed());
    let (modules, files) = (modules.into_values().collect(), files.into_iter().collect());
    RenderedFile { path: path.to_owned(), root, partial: None, findings, modules, files, pins, stacks }
}

/// An application around what a module yields; nothing, if that is no part of one.
fn application(yields: Yields, node: Arc<Node>, example: &Example) -> Option<Arc<Node>> {
    let at = &example.origin;
    let noop = |id: &str| map(at, vec![("id", text(at, id)), ("type", text(at, "noop"))]);
    let pipeline =
        |entries: Vec<(&str, Arc<Node>)>| map(at, [("name", text(at, "example"))].into_iter().chain(entries).collect());
    let pipeline = match yields {
        Yields::Pipeline => node,
        Yields::Trigger => {
            pipeline(vec![("triggers", list(at, vec![node])), ("stages", list(at, vec![noop("example")]))])
        }
        Yields::Stage | Yields::Stages => {
            let mut stages = example.before.clone();
            let there: Vec<&str> = stages.iter().filter_map(|stage| stage.get("id")?.as_str()).collect();
            // The stages that the example needs, if it doesn't say what they are.
            let missing: Vec<Arc<Node>> =
                needs(example).into_iter().filter(|id| !there.contains(id)).map(noop).collect();
            stages.extend(missing);
            match &node.value {
                NodeValue::List(items) => stages.extend(items.iter().cloned()),
                NodeValue::Null => {}
                _ => stages.push(node),
            }
            if stages.is_empty() {
                stages.push(noop("nothing"));
            }
            pipeline(vec![("stages", list(at, stages))])
        }
        // This version has no list of notifications in which one could be tried.
        Yields::Notification | Yields::Value => return None,
    };
    Some(map(at, vec![("application", text(at, "example")), ("pipelines", list(at, vec![pipeline]))]))
}

fn needs(example: &Example) -> Vec<&str> {
    let given = example.with.iter().find(|(key, _)| &*key.name == "needs");
    given.and_then(|(_, node)| node.as_list()).unwrap_or_default().iter().filter_map(|id| id.as_str()).collect()
}

fn text(origin: &Origin, text: &str) -> Arc<Node> {
    Arc::new(Node { value: NodeValue::String(text.into()), origin: origin.clone() })
}

fn list(origin: &Origin, items: Vec<Arc<Node>>) -> Arc<Node> {
    Arc::new(Node { value: NodeValue::List(items), origin: origin.clone() })
}

fn map(origin: &Origin, entries: Vec<(&str, Arc<Node>)>) -> Arc<Node> {
    let key = |name: &str| Key { name: name.into(), origin: origin.clone() };
    let entries = entries.into_iter().map(|(name, node)| (key(name), node)).collect();
    Arc::new(Node { value: NodeValue::Map(entries), origin: origin.clone() })
}
