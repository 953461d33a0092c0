//! The front ends that read what anybody may write, each as a function of bytes: for a coverage fuzzer, and for the
//! property tests that drive them on every change (`tests/it/fuzz.rs`).
//!
//! None of them panics, and each is bounded in time and memory, whatever the bytes. What a function returns is what was
//! found. Should the renderer panic, then on a thread of its own, and a finding says so: a coverage fuzzer sees it by
//! its hook, which runs before that, and the property tests by the finding's words.

use serde_json::Map;

use super::render::inspect_module;
use super::{Limits, MemorySource, Rendered, Request, check_rendered, render_file, settings};
use crate::diagnostic::Diagnostic;
use crate::model::RepositoryName;
use crate::schema::Catalog;

/// What one input may use: enough to get everywhere, and little enough for thousands of inputs a second.
fn limits() -> Limits {
    Limits {
        file_bytes: 16 * 1024,
        nodes: 5_000,
        module_calls: 50,
        output_bytes: 256 * 1024,
        work_bytes: 1024 * 1024,
        fuel: 2_000,
        renderers: 1,
        findings: 50,
        ..Limits::default()
    }
}

/// The module that a template can call.
const MODULE: &str =
    "module: {yields: stage, parameters: {n: {type: integer, default: 1}}}\n---\ntype: wait\nn: {{ n }}\n";

fn with<T>(files: &[(&str, &[u8])], work: impl FnOnce(&Request<'_>) -> T) -> Option<T> {
    let repository = RepositoryName::parse("acme/shop").ok()?;
    let source = MemorySource::new(files.iter().map(|(path, bytes)| (*path, *bytes)));
    let (globals, limits) = (Map::new(), limits());
    Some(work(&Request {
        source: &source,
        repository: &repository,
        branch: "main",
        globals: &globals,
        limits: &limits,
        library: None,
    }))
}

/// Bytes as a module's file: its header is read and checked, and its body is looked over.
pub fn fuzz_module_header(bytes: &[u8]) -> Vec<Diagnostic> {
    let files = [(".longboat/modules/m.yaml", bytes), (".longboat/modules/n.yaml", MODULE.as_bytes())];
    with(&files, |request| inspect_module(request, "m")).unwrap_or_default()
}

/// Bytes as an application file: its template runs, its YAML is read, and what comes out is checked.
pub fn fuzz_template(bytes: &[u8]) -> Vec<Diagnostic> {
    let files = [(".longboat/a.yaml", bytes), (".longboat/modules/n.yaml", MODULE.as_bytes())];
    let check = |request: &Request<'_>| {
        let file = render_file(request, ".longboat/a.yaml");
        let rendered = Rendered { files: vec![file], findings: Vec::new() };
        check_rendered(rendered, &Catalog::new(Vec::new()), None).findings
    };
    with(&files, check).unwrap_or_default()
}

/// Bytes as the settings of a repository.
pub fn fuzz_settings(bytes: &[u8]) -> Vec<Diagnostic> {
    let files = [(".longboat/settings.yaml", bytes)];
    with(&files, |request| settings(request.source, request.limits).1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_grow_without_bound_is_stopped() {
        for text in [
            "{{ '%0100000000d'|format(1) }}",
            "{% macro f(x) %}{{ f(x ~ x) ~ 1 }}{% endmacro %}{{ f('x' * 90000) }}",
            "{% set x = 'x' * 9999 %}{% for n in range(999) %}{% set y = x ~ x ~ x ~ x ~ x ~ x ~ x ~ x %}{% endfor %}",
            "{{ ('a' * 9999)|replace('', 'b' * 9999) }}",
        ] {
            let findings = fuzz_template(text.as_bytes());
            assert_eq!(findings[0].code, crate::diagnostic::Code::OutputTooLarge, "{text}: {findings:?}");
        }
    }

    #[test]
    fn each_front_end_says_what_is_wrong() {
        assert_eq!(fuzz_module_header(b"module: {}\n---\nx: {{ module('n', n=1) }}\n"), []);
        assert_eq!(fuzz_module_header(b"module: 1\n---\n").len(), 1);
        assert!(fuzz_template(b"application: shop\npipelines: [{name: p, stages: [{use: n}]}]").len() == 1);
        assert!(!fuzz_template(b"{{").is_empty());
        assert!(!fuzz_settings(b"modules: 1").is_empty());
        assert_eq!(fuzz_settings(b"modules: {}"), []);
    }
}
