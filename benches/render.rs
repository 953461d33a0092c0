//! How many application files of a commit are rendered and validated: `cargo bench --bench render`.
//!
//! Prints one line a figure, `name = value unit`, and the limit of the same run as `name.limit = value unit`: what the
//! template engine and the YAML parser alone do with the same templates and the same resulting text, on as many
//! threads. The limit keeps no origins, places no values, and validates nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use longboat::gitops::{Limits, MemorySource, Request, check, check_rendered, render_all, to_yaml};
use longboat::model::RepositoryName;
use longboat::stage;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error};
use serde_json::Map;

const FILES: usize = 1_000;
const ROUNDS: usize = 7;

const MODULE: &str = "\
module:
  description: Runs one step of a build
  yields: stage
  parameters:
    id: {type: string, required: true}
    image: {type: string, required: true}
    retries: {type: integer, default: 2}
    env: {type: object}
---
id: {{ id }}
type: script
name: Step {{ id }}
command: |
  docker run --rm {{ image }} make {{ id }}
retry: {attempts: {{ retries }}, backoff: 10s}
{% if env %}
env: {{ env }}
{% endif %}
";

/// An application file of about a hundred lines with ten calls.
fn file(number: usize) -> String {
    let mut text = format!(
        "# The pipelines of service {number}\napplication: service-{number}\nvars:\n  image: shop/service-{number}\n  tag: \"1.{number}\"\n\npipelines:\n"
    );
    for pipeline in ["build", "deploy"] {
        let _ = writeln!(
            text,
            "  - name: {pipeline}\n    description: {pipeline} of {{{{ vars.image }}}} on {{{{ branch }}}}\n    parameters:\n      - name: version\n        type: string\n        default: \"{{{{ vars.tag }}}}\"\n    triggers:\n      - type: git\n        branches: [main]\n        paths: [\"service-{number}/**\"]\n    timeout: 2h\n    stages:"
        );
        for step in 0..5 {
            let _ = writeln!(
                text,
                "      - {{{{ module(\"step\", id=\"step-{step}\", image=vars.image ~ \":\" ~ vars.tag, env={{\"REGION\": vars.region, \"STEP\": {step}}}) }}}}"
            );
            let _ = writeln!(
                text,
                "      - id: check-{step}\n        name: Check {{{{ vars.image }}}} {step}\n        type: script\n        command: |\n          curl --fail https://{{{{ vars.domain }}}}/service-{number}/{step}\n          echo \"checked {step}\"\n        env:\n          REGION: {{{{ vars.region }}}}"
            );
        }
    }
    text
}

fn source() -> MemorySource {
    let mut source = MemorySource::default();
    source.insert(".longboat/modules/step.yaml", MODULE);
    source.insert(".longboat/vars/default.yaml", "region: eu\ndomain: example.com\n");
    for number in 0..FILES {
        source.insert(format!(".longboat/service-{number}.yaml"), file(number));
    }
    source
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = source();
    let repository = RepositoryName::parse("acme/services")?;
    let (limits, globals) = (Limits::default(), Map::new());
    let request = Request {
        source: &source,
        repository: &repository,
        branch: "main",
        globals: &globals,
        limits: &limits,
        library: None,
    };
    let catalog = stage::catalog();

    let rendered = render_all(&request);
    let texts = expanded(&rendered)?;
    let checked = check_rendered(rendered, &catalog, None);
    if let Some(finding) = checked.findings.first() {
        return Err(format!("the files to measure are wrong: {finding}").into());
    }
    let pipelines: usize = checked.applications.iter().map(|application| application.pipelines.len()).sum();
    assert_eq!((checked.files, pipelines), (FILES, 2 * FILES));
    eprintln!(
        "{FILES} files of {} lines, {} when rendered; best of {ROUNDS}",
        file(0).lines().count(),
        texts.values().next().map_or(0, |text| text.lines().count())
    );

    let whole = best(|| drop(check(&request, &catalog, None)));
    let rendering = best(|| drop(render_all(&request)));
    let limit = best(|| plain(&texts));
    let rate = |time: Duration| format!("{:.0} files/s", FILES as f64 / time.as_secs_f64());
    println!("render.files = {}", rate(whole));
    println!("render.files.limit = {}", rate(limit));
    println!("render.only = {}", rate(rendering));
    println!("render.only.limit = {}", rate(limit));
    Ok(())
}

/// The text that each file's document amounts to.
fn expanded(rendered: &longboat::gitops::Rendered) -> Result<BTreeMap<String, String>, Box<dyn std::error::Error>> {
    let mut texts = BTreeMap::new();
    for file in &rendered.files {
        let root = file.root.as_ref().ok_or_else(|| format!("`{}` is not rendered: {:?}", file.path, file.findings))?;
        texts.insert(file.path.clone(), to_yaml(root.as_ref())?);
    }
    Ok(texts)
}

fn best(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        run();
        times.push(start.elapsed());
    }
    times.into_iter().min().unwrap_or_default()
}

/// Compiles and renders every template, modules as text, and parses the text that the documents amount to.
fn plain(texts: &BTreeMap<String, String>) {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let body = MODULE.split("---\n").nth(1).unwrap_or_default();
    environment.add_template("step", body).expect("the module's template");
    environment.add_function("module", |state: &minijinja::State<'_, '_>, name: &str, values: Kwargs| {
        let values: BTreeMap<String, Value> =
            values.args().map(|key| Ok((key.to_owned(), values.get(key)?))).collect::<Result<_, Error>>()?;
        state.env().get_template(name)?.render(Value::from_pairs(values))
    });
    let variables = |number: usize| {
        let own = [("image", format!("shop/service-{number}")), ("tag", format!("1.{number}"))];
        let shared = [("region", "eu".to_owned()), ("domain", "example.com".to_owned())];
        Value::from_pairs(own.into_iter().chain(shared).map(|(name, text)| (name, Value::from(text))))
    };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(text) = texts.get(&format!(".longboat/service-{number}.yaml")) else { break };
                    let context = Value::from_pairs([("vars", variables(number)), ("branch", Value::from("main"))]);
                    let rendered = environment.render_str(&file(number), context).expect("the template");
                    assert!(!rendered.is_empty());
                    let events = granit_parser::Parser::new_from_str(text).filter(Result::is_ok).count();
                    assert!(events > 100);
                }
            });
        }
    });
}
