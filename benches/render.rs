//! What rendering and validating costs: `cargo bench --bench render`.
//!
//! 5,000 application files in 20 repositories, with ten calls each of the 50 modules of one module repository: all of
//! them, those alone that use one module after it changed, and one of them.
//!
//! Prints `name = value unit`, the goal, and two limits of the same run with the ratio to each, on as many threads:
//! what the template engine and the YAML parser alone do with the same templates and the text that they amount to, and
//! what it costs to parse that text and to write it as JSON. The limits keep no origins, place no values, and validate
//! nothing. `name.cpu` is the time of processors, of all threads together, which other programs on the machine lengthen
//! less than the time on the clock; `load` is how many of them wanted to run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use longboat::gitops::{
    Limits, MemoryCommits, MemorySource, Refs, Request, Shelf, ShelfState, Stock, check, check_rendered, check_some,
    render_all, to_yaml,
};
use longboat::model::{CommitSha, RepositoryName};
use longboat::stage;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Map;

const FILES: usize = 5_000;
const REPOSITORIES: usize = 20;
const MODULES: usize = 50;
const ROUNDS: usize = 5;

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
    let mut calls = 0;
    for pipeline in ["build", "deploy"] {
        let _ = writeln!(
            text,
            "  - name: {pipeline}\n    description: {pipeline} of {{{{ vars.image }}}} on {{{{ branch }}}}\n    parameters:\n      - name: version\n        type: string\n        default: \"{{{{ vars.tag }}}}\"\n    triggers:\n      - type: git\n        branches: [main]\n        paths: [\"service-{number}/**\"]\n    timeout: 2h\n    stages:"
        );
        for step in 0..5 {
            let _ = writeln!(
                text,
                "      - {{{{ module(\"platform/step-{}\", id=\"step-{step}\", image=vars.image ~ \":\" ~ vars.tag, env={{\"REGION\": vars.region, \"STEP\": {step}}}) }}}}",
                module(number, calls)
            );
            calls += 1;
            let _ = writeln!(
                text,
                "      - id: check-{step}\n        name: Check {{{{ vars.image }}}} {step}\n        type: script\n        command: |\n          curl --fail https://{{{{ vars.domain }}}}/service-{number}/{step}\n          echo \"checked {step}\"\n        env:\n          REGION: {{{{ vars.region }}}}"
            );
        }
    }
    text
}

/// What is measured: repositories with their files, and the module repository that they all use.
struct World {
    sources: Vec<MemorySource>,
    names: Vec<RepositoryName>,
    modules: Vec<(String, String)>,
    /// How often modules were edited.
    edits: u64,
}

impl World {
    fn new() -> Self {
        let mut sources = Vec::new();
        for repository in 0..REPOSITORIES {
            let mut source = MemorySource::default();
            source.insert(".longboat/vars/default.yaml", "region: eu\ndomain: example.com\n");
            for number in numbers(repository) {
                source.insert(path(number), file(number));
            }
            sources.push(source);
        }
        let names = (0..REPOSITORIES).map(|at| RepositoryName::parse(&format!("acme/services-{at}")));
        let modules = (0..MODULES).map(|at| (format!("step-{at}.yaml"), MODULE.to_owned())).collect();
        Self { sources, names: names.collect::<Result<_, _>>().expect("names"), modules, edits: 0 }
    }

    /// Makes the first modules other ones than they ever were.
    fn edit(&mut self, count: usize) {
        self.edits += 1;
        for (_, text) in &mut self.modules[..count] {
            *text = MODULE.replace("backoff: 10s", &format!("backoff: {}s", 20 + self.edits));
        }
    }

    /// The module repository, read afresh.
    fn shelf(&self) -> Shelf {
        let commit = CommitSha::parse(&format!("{:040x}", 1 + self.edits)).expect("a commit");
        let heads = [("refs/tags/v1".to_owned(), commit.clone())].into();
        let files = MemorySource::new(self.modules.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        Shelf::new([(
            "platform".to_owned(),
            Stock {
                address: "https://git.example.com/acme/modules".to_owned(),
                folder: String::new(),
                reference: Some("v1".to_owned()),
                state: ShelfState::Known(Refs { default_branch: None, heads }),
                commits: Arc::new(MemoryCommits::new([(commit, files)])),
                fresh: true,
            },
        )])
    }

    /// Does something with each repository, one after the other, as a server does that asks for one at a time.
    fn each(&self, mut run: impl FnMut(&Request<'_>, usize)) {
        let (limits, globals, shelf) = (Limits::default(), Map::new(), self.shelf());
        for (at, (source, repository)) in self.sources.iter().zip(&self.names).enumerate() {
            let request = Request {
                source,
                repository,
                branch: "main",
                globals: &globals,
                limits: &limits,
                library: Some(&shelf),
            };
            run(&request, at);
        }
    }
}

/// The files of a repository.
fn numbers(repository: usize) -> std::ops::Range<usize> {
    let share = FILES / REPOSITORIES;
    repository * share..(repository + 1) * share
}

fn path(number: usize) -> String {
    format!(".longboat/service-{number}.yaml")
}

/// The module that a call uses: one file in ten uses the first, all others share the rest.
fn module(number: usize, call: usize) -> usize {
    if number.is_multiple_of(10) && call == 0 { 0 } else { 1 + (number * 7 + call) % (MODULES - 1) }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut world = World::new();
    let catalog = stage::catalog();
    println!("load.before = {}", load());
    let before = peak();
    world.each(|request, _| drop(check(request, &catalog, None)));
    let after = peak();
    let (mut texts, mut documents, mut pipelines, mut dependents) = (BTreeMap::new(), Vec::new(), 0, 0);
    let mut used = BTreeSet::new();
    let mut wrong = None;
    world.each(|request, _| {
        let rendered = render_all(request);
        match expanded(&rendered) {
            Ok(more) => texts.extend(more),
            Err(error) => wrong = wrong.take().or_else(|| Some(error.to_string())),
        }
        let checked = check_rendered(rendered, &catalog, None);
        wrong = wrong.take().or_else(|| checked.findings.first().map(ToString::to_string));
        documents.extend(checked.documents.iter().map(|document| document.to_json()));
        pipelines += checked.applications.iter().map(|application| application.pipelines.len()).sum::<usize>();
        used.extend(checked.module_names());
        let uses = |modules: &[longboat::model::ModuleUse]| modules.iter().any(|used| used.module == "platform/step-0");
        dependents += checked.uses.iter().filter(|file| uses(&file.modules)).count();
    });
    if let Some(finding) = wrong {
        return Err(format!("the files to measure are wrong: {finding}").into());
    }
    assert_eq!((texts.len(), pipelines, used.len(), dependents), (FILES, 2 * FILES, MODULES, FILES / 10));
    let bytes: usize = texts.values().map(String::len).sum();
    eprintln!(
        "{FILES} files of {} lines, {} when rendered, {} MB in all, in {REPOSITORIES} repositories with {MODULES} modules; best of {ROUNDS}",
        file(0).lines().count(),
        texts.values().next().map_or(0, |text| text.lines().count()),
        bytes / 1_000_000,
    );

    let whole = best(|| world.each(|request, _| drop(check(request, &catalog, None))));
    let rendering = best(|| world.each(|request, _| drop(render_all(request))));
    let engine = best(|| plain(&texts));
    let reading = best(|| read_and_write(&texts, &documents));
    figure("render.files", whole, 3.0, &[("engine_and_parser", engine), ("yaml_and_json", reading)]);
    figure("render.only", rendering, 3.0, &[("engine_and_parser", engine), ("yaml_and_json", reading)]);
    println!("render.files.rate = {:.0} files/s", FILES as f64 / whole.wall.as_secs_f64());

    let of = |at: usize| -> Vec<String> { numbers(at).filter(|number| number.is_multiple_of(10)).map(path).collect() };
    let mut again = 0;
    let changed = best(|| {
        again = 0;
        world.edit(1);
        world.each(|request, at| {
            let checked = check_some(request, &of(at), &catalog, None);
            again += checked.files;
        });
    });
    assert_eq!(again, FILES / 10);
    let some: BTreeMap<_, _> = (0..FILES)
        .step_by(10)
        .filter_map(|number| texts.get_key_value(&path(number)))
        .map(|(path, text)| (path.clone(), text.clone()))
        .collect();
    let few = best(|| plain(&some));
    let few_read = best(|| read_and_write(&some, &documents[..some.len()]));
    figure("render.dependents", changed, 0.3, &[("engine_and_parser", few), ("yaml_and_json", few_read)]);

    let render_one = |world: &World, number: usize| {
        let (limits, globals, shelf) = (Limits::default(), Map::new(), world.shelf());
        let (source, repository) = (&world.sources[0], &world.names[0]);
        let request =
            Request { source, repository, branch: "main", globals: &globals, limits: &limits, library: Some(&shelf) };
        let mut valid = false;
        let cost = timed(|| valid = check_some(&request, &[path(number)], &catalog, None).is_valid());
        assert!(valid);
        cost
    };
    let mut number = 0;
    let single = median(|| {
        number = (number + 1) % numbers(0).end;
        render_one(&world, number)
    });
    let afresh = median(|| {
        world.edit(MODULES);
        render_one(&world, 1)
    });
    let one: BTreeMap<_, _> =
        texts.get_key_value(&path(1)).map(|(path, text)| (path.clone(), text.clone())).into_iter().collect();
    let one_limit = median(|| timed(|| plain(&one)));
    let one_read = median(|| timed(|| read_and_write(&one, &documents[..1])));
    figure("render.one", single, 0.001, &[("engine_and_parser", one_limit), ("yaml_and_json", one_read)]);
    figure("render.one_afresh", afresh, 0.001, &[("engine_and_parser", one_limit), ("yaml_and_json", one_read)]);

    println!("render.memory.before = {before} MB");
    println!("render.memory.peak = {after} MB");
    println!("load.after = {}", load());
    Ok(())
}

/// What something took.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Cost {
    /// On the clock.
    wall: Duration,
    /// Of the processors, all threads together.
    cpu: Duration,
}

/// Prints a time, its goal in seconds, and how many times a limit it is.
fn figure(name: &str, cost: Cost, goal: f64, limits: &[(&str, Cost)]) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("{name} = {:.2} ms", milliseconds(cost.wall));
    println!("{name}.goal = {:.2} ms", goal * 1000.0);
    println!("{name}.cpu = {:.2} ms", milliseconds(cost.cpu));
    for (limit, least) in limits {
        println!("{name}.{limit} = {:.2} ms", milliseconds(least.wall));
        println!("{name}.{limit}.ratio = {:.2}", cost.wall.as_secs_f64() / least.wall.as_secs_f64());
        println!("{name}.{limit}.cpu = {:.2} ms", milliseconds(least.cpu));
    }
}

/// The time of processors that this process has used.
fn processors() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let of = |seconds: i64, micros: i64| {
        Duration::new(seconds.unsigned_abs(), 0) + Duration::from_micros(micros.unsigned_abs())
    };
    let (user, system) = (usage.user_time(), usage.system_time());
    of(user.tv_sec(), user.tv_usec()) + of(system.tv_sec(), system.tv_usec())
}

/// How many threads of the machine wanted to run in the last minute; nothing where the system doesn't say.
fn load() -> String {
    let all = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split_whitespace().next().unwrap_or_default().to_owned()
}

/// The most memory that the process held, in megabytes; 0 where the system doesn't say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes / 1000)
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

fn timed(run: impl FnOnce()) -> Cost {
    let (start, before) = (Instant::now(), processors());
    run();
    Cost { wall: start.elapsed(), cpu: processors().saturating_sub(before) }
}

/// The median of many short runs.
fn median(mut run: impl FnMut() -> Cost) -> Cost {
    let costs: Vec<Cost> = (0..301).map(|_| run()).collect();
    let middle = |of: fn(&Cost) -> Duration| {
        let mut times: Vec<Duration> = costs.iter().map(of).collect();
        times.sort();
        times[times.len() / 2]
    };
    Cost { wall: middle(|cost| cost.wall), cpu: middle(|cost| cost.cpu) }
}

/// The least of some long runs.
fn best(mut run: impl FnMut()) -> Cost {
    let costs: Vec<Cost> = (0..ROUNDS).map(|_| timed(&mut run)).collect();
    let least = |of: fn(&Cost) -> Duration| costs.iter().map(of).min().unwrap_or_default();
    Cost { wall: least(|cost| cost.wall), cpu: least(|cost| cost.cpu) }
}

/// Compiles and renders every template, modules as text, and parses the text that the documents amount to.
fn plain(texts: &BTreeMap<String, String>) {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let body = MODULE.split("---\n").nth(1).unwrap_or_default();
    environment.add_template("step", body).expect("the module's template");
    environment.add_function("module", |state: &minijinja::State<'_, '_>, _name: &str, values: Kwargs| {
        let values: BTreeMap<String, Value> =
            values.args().map(|key| Ok((key.to_owned(), values.get(key)?))).collect::<Result<_, Error>>()?;
        state.env().get_template("step")?.render(Value::from_pairs(values))
    });
    let variables = |number: usize| {
        let own = [("image", format!("shop/service-{number}")), ("tag", format!("1.{number}"))];
        let shared = [("region", "eu".to_owned()), ("domain", "example.com".to_owned())];
        Value::from_pairs(own.into_iter().chain(shared).map(|(name, text)| (name, Value::from(text))))
    };
    on_all_processors(texts, |path, text, _| {
        let number = path.trim_start_matches(".longboat/service-").trim_end_matches(".yaml").parse().expect("a number");
        let context = Value::from_pairs([("vars", variables(number)), ("branch", Value::from("main"))]);
        let rendered = environment.render_str(&file(number), context).expect("the template");
        assert!(!rendered.is_empty());
        let events = granit_parser::Parser::new_from_str(text).filter(Result::is_ok).count();
        assert!(events > 100);
    });
}

/// Parses the text that the documents amount to, and writes as many documents as JSON.
fn read_and_write(texts: &BTreeMap<String, String>, documents: &[serde_json::Value]) {
    on_all_processors(texts, |_, text, at| {
        let events = granit_parser::Parser::new_from_str(text).filter(Result::is_ok).count();
        let json = serde_json::to_vec(&documents[at]).expect("JSON");
        assert!(events > 100 && json.len() > 100);
    });
}

fn on_all_processors(texts: &BTreeMap<String, String>, run: impl Fn(&str, &str, usize) + Sync) {
    let texts: Vec<_> = texts.iter().collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get).min(texts.len()) {
            scope.spawn(|| {
                while let Some((at, (path, text))) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, texts.get(at)?)))
                {
                    run(path, text, at);
                }
            });
        }
    });
}
