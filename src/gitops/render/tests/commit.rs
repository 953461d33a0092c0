//! All files of a commit.

use super::*;
use crate::gitops::{Source, SourceError, SourceFile, render_all};

fn repository() -> RepositoryName {
    RepositoryName::parse("acme/shop").expect("a name")
}

#[test]
fn application_files_are_those_directly_in_the_folder() {
    let files = source(&[
        (".longboat/b.yml", "{{ module('m') }}"),
        (".longboat/a.json", "{}"),
        (".longboat/c.yaml", "x: {{ nope }}"),
        (".longboat/c.txt", ""),
        (".longboat/settings.yaml", ""),
        (".longboat/.hidden.yaml", ""),
        (".longboat/folder/d.yaml", ""),
        (".longboat/modules/m.yaml", "x: 1"),
        (".longboat/vars/default.yaml", "x: 1"),
        ("e.yaml", ""),
    ]);
    let (repository, limits, globals) = (repository(), Limits::default(), Map::new());
    let rendered = render_all(&request(&files, &repository, &limits, &globals));
    let paths: Vec<&str> = rendered.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, [".longboat/a.json", ".longboat/b.yml", ".longboat/c.yaml"]);
    assert_eq!(rendered.findings, []);
    let broken: Vec<bool> = rendered.files.iter().map(|file| file.root.is_none()).collect();
    assert_eq!(broken, [false, false, true]);
    assert_eq!(rendered.files[1].modules[0].module, "m");
    assert!(render_all(&request(&MemorySource::default(), &repository, &limits, &globals)).files.is_empty());
}

#[test]
fn the_same_files_give_the_same_documents_and_origins() {
    let mut files = source(&[("m/m", "a: {{ p }}\nb: {{ vars.v }}\n"), ("vars/default", "v: [1, {w: 2}]\n")]);
    for number in 0..40 {
        let text = format!(
            "x: {{{{ module('m', p={number}) }}}}\ny: {{use: m, with: {{p: {{{{ vars.v }}}}}}}}\nz: {{{{ q{number} }}}}\n"
        );
        files.insert(format!(".longboat/f{number}.yaml"), text.as_bytes());
    }
    let (repository, limits, globals) = (repository(), Limits::default(), Map::new());
    let once = || format!("{:?}", render_all(&request(&files, &repository, &limits, &globals)));
    let first = once();
    assert!(first.contains("`q39` is undefined"));
    for _ in 0..10 {
        assert_eq!(once(), first);
    }
}

#[test]
fn too_many_files_are_cut_off_with_a_finding() {
    let files = MemorySource::new((0..5).map(|number| (format!(".longboat/{number}.yaml"), "x: 1")));
    let (repository, globals) = (repository(), Map::new());
    let limits = Limits { files: 3, ..Limits::default() };
    let rendered = render_all(&request(&files, &repository, &limits, &globals));
    assert_eq!((rendered.files.len(), rendered.findings.len()), (3, 1));
}

/// A source that fails for some paths.
struct Broken;

impl Source for Broken {
    fn list(&self, dir: &str) -> Result<Vec<SourceFile>, SourceError> {
        match dir {
            ".longboat" => {
                Ok(["a", "b"].map(|name| SourceFile { path: format!(".longboat/{name}.yaml"), size: 1 }).into())
            }
            _ => Err(SourceError::Unreadable { path: dir.to_owned(), message: "no disk".to_owned() }),
        }
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        match path {
            ".longboat/a.yaml" => Ok(Some(b"x: 1\ny: {{ module('m') }}\n".to_vec())),
            ".longboat/b.yaml" => Err(SourceError::SymbolicLink(path.to_owned())),
            _ => Ok(None),
        }
    }
}

#[test]
fn a_source_that_fails_ends_in_findings() {
    let (repository, limits, globals) = (repository(), Limits::default(), Map::new());
    let request = Request {
        source: &Broken,
        repository: &repository,
        branch: "main",
        globals: &globals,
        limits: &limits,
        library: None,
    };
    let rendered = render_all(&request);
    let found: Vec<(Code, String)> =
        rendered.files.iter().flat_map(|file| &file.findings).map(|finding| (finding.code, at(finding))).collect();
    assert_eq!(
        found,
        [(Code::UnreadablePath, "a.yaml:2:7".to_owned()), (Code::UnreadablePath, "b.yaml:1:1".to_owned())]
    );
}
