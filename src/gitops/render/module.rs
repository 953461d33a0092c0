//! Modules, ready to be called (FORMAT section 2).

use std::sync::Arc;

use super::file::File;
use super::header::{Header, split};
use super::lookup::Home;
use super::template::Template;
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::Limits;

/// A module, ready to be called.
#[derive(Debug)]
pub(super) struct Module {
    /// Its full name.
    pub(super) name: String,
    /// Where the modules that it calls are looked up.
    pub(super) home: Home,
    /// What its text comes to.
    pub(super) body: Arc<Body>,
}

/// What the text of a module comes to, whoever calls it by whatever name.
#[derive(Debug)]
pub(super) struct Body {
    /// What it says about itself; without one, it takes any parameter.
    pub(super) header: Option<Header>,
    /// Its body.
    pub(super) template: Arc<Template>,
    /// The name of its compiled template.
    pub(super) compiled: String,
}

impl Body {
    /// Reads a module's file, which places call `file`.
    pub(super) fn read(file: &str, bytes: Vec<u8>, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        let file = Arc::new(File::new(file, bytes, limits)?);
        let (header, body) = match split(&file.text) {
            None => (None, 0),
            Some(parts) => {
                let body = parts.body.ok_or_else(|| {
                    let message = "the module's header is not followed by a body";
                    vec![
                        Diagnostic::error(Code::ModuleHeader, message)
                            .at(file.place(parts.header.start, parts.header.start))
                            .hint("put a line `---` behind the header, and the body behind that"),
                    ]
                })?;
                (Some(Header::read(&file, parts.header, limits)?), body)
            }
        };
        let template = Arc::new(Template::new(file, body, &[])?);
        Ok(Self { header, template, compiled: String::new() })
    }
}
