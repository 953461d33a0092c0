//! What is kept from call to call and from render to render changes nothing.

use std::sync::Mutex;

use proptest::prelude::*;

use super::properties::{all_places, document, soup};
use super::*;
use crate::gitops::render::file::File;
use crate::gitops::render::kept::Kept;
use crate::gitops::render::template::Template;
use crate::gitops::{Library, Source, SourceError, SourceFile};

/// Everything that there is to know of a rendered file, as text.
fn all_of(file: &RenderedFile) -> String {
    let mut places = Vec::new();
    file.root.iter().for_each(|root| all_places(root, &mut places));
    let RenderedFile { path, root, findings, modules, files, pins, .. } = file;
    let json = root.as_ref().map(|root| root.to_json().to_string());
    format!("{path}\n{root:?}\n{json:?}\n{places:#?}\n{findings:#?}\n{modules:?}\n{files:?}\n{pins:?}")
}

fn by(kept: &Arc<Kept>, files: &[(&str, &str)], library: &dyn Library) -> String {
    let (source, repository) = (source(files), RepositoryName::parse("acme/shop").expect("a name"));
    let (limits, globals) = (Limits::default(), Map::new());
    let request = Request { library: Some(library), ..request(&source, &repository, &limits, &globals) };
    let rendered = super::super::render(&request, kept, &[FILE.to_owned()], |file| all_of(&file));
    rendered.into_iter().map(|(text, shared)| format!("{text}\n{shared:?}")).collect()
}

/// Modules that take several ways through their statements, and yield what they yield at several places.
const WAYS: &str = "module: {parameters: {p: {}, l: {default: []}}}\n---\na: {% if p %}{{ p }}{% else %}{{ l }}{% endif %}\n\
    b: [{% for x in l %}{{ x }},{% endfor %}{k: {{ p }}, *x : 1}]\nc: &y {{ p }}\nd: [*y, a: {{ p }}]\n\
    e: |\n  {{ p }}\n\n  x\n{% if p == 2 %}use: m\n{% endif %}f: {{ p }}{{ l|length }}\n";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_is_what_is_found_afresh(
        text in prop_oneof![document(true), (soup(), soup()).prop_map(|(a, b)| format!("{a}\n{{{{ module('m', x=1) }}}}\n{b}"))],
        soup in soup(),
        calls in prop::collection::vec(prop::sample::select(vec!["0", "1", "2", "none", "'t'", "[1, 2]", "{'k': 1}"]), 0..5),
    ) {
        let called: String = calls
            .iter()
            .enumerate()
            .map(|(at, value)| format!("\nw{at}: {{{{ module('ways', p={value}, l=[1, {value}][:{}]) }}}}\nu{at}: {{use: m}}", at % 3))
            .collect();
        let again = format!("{text}{called}\n");
        let library = library::shelf();
        let kept = Arc::new(Kept::new(&Limits::default()));
        let fresh = || Arc::new(Kept::forgetful(&Limits::default()));
        // Two texts of one module, which goes by the same name.
        for module in ["a: m1\nb: [{{ 'm2' }}, m3]\n", &soup] {
            let files = [
                ("a", again.as_str()), ("m/m", module), ("m/ways", WAYS), ("f.txt", "one\ntwo\n"),
                ("m/outer", "module: {parameters: {p: {}, q: {default: d}}}\n---\nuse: inner\nwith: {p: {{ p }}, q: {{ q }}}\n"),
                ("m/inner", "{% for x in [p, q] %}\n- {{ x }}\n{% endfor %}\n- {{ p }}\n- {{ {\n 'q': q,\n 's': vars.s} }}\n"),
                ("vars/default", "s: s1\nl: [s2, {k: s3}]\nm: {a: {x: 1}, b: {x: é}}\n"),
            ];
            let expected = by(&fresh(), &files, &library);
            for _ in 0..2 {
                prop_assert_eq!(&by(&kept, &files, &library), &expected, "{}", again);
            }
        }
    }

    #[test]
    fn what_the_engine_takes_as_rewritten_it_takes_as_written(text in soup()) {
        let file = Arc::new(File::new("a", text.clone().into_bytes(), &Limits::default()).map_err(|_| TestCaseError::reject("no file"))?);
        let Ok(template) = Template::to_compile(file.clone(), 0, &[]) else {
            // What is wrong is the same, judged or not.
            prop_assert!(Template::new(file, 0, &[]).is_err());
            return Ok(());
        };
        let kept = Kept::new(&Limits::default());
        let compiled = template.marked.as_deref().map(|marked| kept.environment.template_from_named_str("a", marked));
        if compiled.is_none_or(|compiled| compiled.is_ok()) {
            prop_assert!(Template::new(file, 0, &[]).is_ok(), "{}", text);
        }
    }
}

/// Counts how often each file is read.
struct Counting(MemorySource, Mutex<Vec<String>>);

impl Source for Counting {
    fn list(&self, dir: &str) -> Result<Vec<SourceFile>, SourceError> {
        self.0.list(dir)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        self.1.lock().expect("no panic").push(path.to_owned());
        self.0.read(path)
    }
}

#[test]
fn each_file_is_read_once_though_some_are_read_ahead() {
    let files: Vec<(String, String)> =
        (0..300).map(|number| (format!(".longboat/{number:03}.yaml"), format!("number: {number}\n"))).collect();
    let files = Counting(MemorySource::new(files), Mutex::default());
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let (limits, globals) = (Limits::default(), Map::new());
    let request = Request {
        source: &files,
        repository: &repository,
        branch: "main",
        globals: &globals,
        limits: &limits,
        library: None,
    };
    let rendered = crate::gitops::render_all(&request).files;
    let numbers: Vec<_> = rendered.iter().filter_map(|file| file.root.as_ref()?.to_json()["number"].as_u64()).collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
    let mut read = files.1.into_inner().expect("no panic");
    read.retain(|path| !path.contains("/vars/") && !path.contains("settings"));
    read.sort();
    assert_eq!(read, rendered.iter().map(|file| file.path.clone()).collect::<Vec<_>>());
}
