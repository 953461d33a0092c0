//! `longboat modules dependents` and `dependencies`: the graph of dependencies, as a server keeps it.

use serde_json::Value;

use super::table;
use crate::cli::executions::Format;
use crate::cli::remote::ServerArgs;
use crate::cli::{Answer, print};
use crate::model::{counted, percent_encode_part};

/// Ask a server who uses a module, directly or through other modules
///
/// What is known is what the files of tracked branches used when the server looked at them last. How much is told of the
/// users of a module repository is up to its `dependents` in the server's configuration.
#[derive(Debug, clap::Args)]
pub struct DependentsArgs {
    /// The module, like platform/deploy, without a reference; or a module repository, like platform
    name: String,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// Ask a server what the files of a repository use
///
/// Modules, directly or through others, variable files, and files that templates read, of all tracked branches.
#[derive(Debug, clap::Args)]
pub struct DependenciesArgs {
    /// The repository's name, as in the server's configuration
    repository: String,
    /// Only of this branch
    #[arg(long)]
    branch: Option<String>,
    /// Only of this file, like .longboat/shop.yaml
    #[arg(long)]
    file: Option<String>,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs `longboat modules dependents`.
///
/// # Errors
/// If the server can't be asked, or says no.
pub(super) async fn dependents(args: DependentsArgs) -> anyhow::Result<Answer> {
    let api = args.server.connect()?;
    let name = args.name.split('@').next().unwrap_or_default();
    let answer: Value = api.get(&format!("/modules/{}/dependents", percent_encode_part(name))).await?;
    match args.format {
        Format::Json => print(&format!("{answer:#}\n"))?,
        Format::Human => {
            print(&users(&answer))?;
            if let Some(note) = note(&answer) {
                eprintln!("{note}");
            }
        }
    }
    Ok(Answer::Yes)
}

/// Runs `longboat modules dependencies`.
///
/// # Errors
/// If the server can't be asked, or says no.
pub(super) async fn dependencies(args: DependenciesArgs) -> anyhow::Result<Answer> {
    let api = args.server.connect()?;
    let mut path = format!("/repositories/{}/dependencies", percent_encode_part(&args.repository));
    for (mark, (key, value)) in ["?", "&"].into_iter().zip(
        [("branch", &args.branch), ("file", &args.file)]
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.as_ref()?))),
    ) {
        path.push_str(&format!("{mark}{key}={}", percent_encode_part(value)));
    }
    let answer: Value = api.get(&path).await?;
    let nothing = format!("{}: nothing is used, or nothing was looked at yet", args.repository);
    args.format.show(&answer, used, &nothing)?;
    if args.format == Format::Human && answer["cut"] == Value::Bool(true) {
        eprintln!("there is more than the server tells at once");
    }
    Ok(Answer::Yes)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

fn number(value: &Value, key: &str) -> u32 {
    u32::try_from(value[key].as_u64().unwrap_or_default()).unwrap_or(u32::MAX)
}

/// A name as a call writes it.
fn called(name: &str, reference: &Value) -> String {
    reference.as_str().map_or_else(|| name.to_owned(), |reference| format!("{name}@{reference}"))
}

/// Words joined by commas; a dash if there are none.
fn words(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// How many use a module, at which commits, and who they are as far as that is told.
fn users(answer: &Value) -> String {
    let name = text(answer, "module");
    if number(answer, "files") == 0 {
        return format!("Nobody uses {name}, or nothing was looked at yet.\n");
    }
    let count = |value: &Value| {
        let (repositories, files) = (number(value, "repositories"), number(value, "files"));
        format!("{} of {}", counted(files, "file"), repositories_of(repositories))
    };
    // What is not of a module repository has no commits to tell apart.
    let at_commits = |one: &&Value| !one["commit"].is_null() || !one["reference"].is_null();
    let end = if list(&answer["references"]).any(|one| at_commits(&one)) { ":" } else { "" };
    let verb = if number(answer, "files") == 1 { "uses" } else { "use" };
    let mut out = format!("{} {verb} {name}{end}\n", count(answer));
    for one in list(&answer["references"]).filter(at_commits) {
        let at = one["commit"].as_str().map(|commit| format!(" at {}", short(commit))).unwrap_or_default();
        out.push_str(&format!("  {}{at}: {}\n", called(name, &one["reference"]), count(one)));
    }
    let rows: Vec<Vec<String>> = list(&answer["items"]).map(row).collect();
    if !rows.is_empty() {
        let head = ["REPOSITORY", "BRANCH", "FILE", "CALLED AS", "COMMIT", "PIPELINES OF THE FILE", "THROUGH"];
        // A column that says nothing of anybody takes no room.
        let told: Vec<bool> = (0..head.len()).map(|at| rows.iter().any(|row| row[at] != "-")).collect();
        let keep =
            |row: Vec<String>| row.into_iter().zip(&told).filter(|(_, told)| **told).map(|(cell, _)| cell).collect();
        out.push('\n');
        out.push_str(&table(keep(head.map(str::to_owned).into()), rows.into_iter().map(keep)));
    }
    out
}

/// `1 repository`, `2 repositories`
fn repositories_of(number: u32) -> String {
    if number == 1 { "1 repository".to_owned() } else { format!("{number} repositories") }
}

fn row(item: &Value) -> Vec<String> {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let application = text(item, "application");
    let pipelines = list(&item["pipelines"]).filter_map(Value::as_str).map(|name| format!("{application}/{name}"));
    let file = match (item["file"].as_str(), item["line"].as_u64()) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.to_owned(),
        (None, _) => "-".to_owned(),
    };
    let through = list(&item["through"]).filter_map(Value::as_str).map(str::to_owned);
    vec![
        text(item, "repository").to_owned(),
        text(item, "branch").to_owned(),
        file,
        item["module"].as_str().map_or_else(|| "-".to_owned(), |name| called(name, &item["reference"])),
        or_dash(short(text(item, "commit"))),
        words(pipelines),
        words(through),
    ]
}

/// What the answer doesn't tell, and why.
fn note(answer: &Value) -> Option<String> {
    let name = text(answer, "module");
    if let Some(near) = answer["near"].as_str() {
        return Some(format!("did you mean `{near}`?"));
    }
    if answer["cut"] == Value::Bool(true) {
        return Some("there are more than the server tells at once".to_owned());
    }
    let modules = name.split('/').next().unwrap_or_default();
    match (text(answer, "detail"), number(answer, "files")) {
        (_, 0) => None,
        ("counts", _) => Some(format!(
            "which these are isn't told: `dependents` of `modules.{modules}` in the server's configuration is `counts`"
        )),
        ("names", _) => Some(format!(
            "in which files isn't told: `dependents` of `modules.{modules}` in the server's configuration is `names`"
        )),
        _ => None,
    }
}

/// What files use, under the name of each.
fn used(answer: &Value) -> String {
    let mut out = String::new();
    let mut under = (String::new(), String::new());
    for item in list(&answer["items"]) {
        let here = (text(item, "branch").to_owned(), text(item, "file").to_owned());
        if here != under {
            let application = item["application"].as_str().map(|name| format!(" ({name})")).unwrap_or_default();
            out.push_str(&format!("{}:{}{application}\n", here.0, here.1));
            under = here;
        }
        out.push_str(&format!("  {}\n", dependency(item)));
    }
    out
}

fn dependency(item: &Value) -> String {
    let at = item["commit"].as_str().map(|commit| format!(" at {}", short(commit))).unwrap_or_default();
    let line = item["line"].as_u64().map(|line| format!(", line {line}")).unwrap_or_default();
    let through: Vec<&str> = list(&item["through"]).filter_map(Value::as_str).collect();
    let through = if through.is_empty() { String::new() } else { format!(", through {}", through.join(", ")) };
    let repository = item["moduleRepository"].as_str();
    let what = match (item["module"].as_str(), item["usedFile"].as_str(), repository) {
        (Some(module), ..) => called(module, &item["reference"]),
        (None, Some(file), Some(repository)) => format!("{file} of {}", called(repository, &item["reference"])),
        (None, Some(file), None) => file.to_owned(),
        (None, None, repository) => {
            format!(
                "something of {}; the file could not be rendered",
                called(repository.unwrap_or("?"), &item["reference"])
            )
        }
    };
    format!("{what}{at}{line}{through}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn users_are_counted_by_what_they_call_and_listed() {
        let answer = json!({
            "module": "platform/deploy", "detail": "plans", "repositories": 2, "branches": 2, "files": 2, "cut": false,
            "references": [
                {"reference": null, "commit": "1a2b3c4d5e6f", "repositories": 1, "branches": 1, "files": 1},
                {"reference": "v1", "commit": "5d6e7f8091a2", "repositories": 1, "branches": 1, "files": 1},
            ],
            "items": [
                {"repository": "acme/shop", "branch": "main", "application": "shop", "pipelines": ["a", "b"],
                 "module": "platform/deploy", "reference": null, "commit": "1a2b3c4d5e6f",
                 "file": ".longboat/shop.yaml", "line": 7, "through": []},
                {"repository": "acme/tea", "branch": "main", "application": null, "pipelines": [],
                 "module": "platform/deploy", "reference": "v1", "commit": "5d6e7f8091a2",
                 "file": ".longboat/tea.yaml", "line": 3, "through": ["release", "platform/all@v1"]},
            ],
        });
        let expected = "\
2 files of 2 repositories use platform/deploy:
  platform/deploy at 1a2b3c4: 1 file of 1 repository
  platform/deploy@v1 at 5d6e7f8: 1 file of 1 repository

REPOSITORY  BRANCH  FILE                   CALLED AS           COMMIT   PIPELINES OF THE FILE  THROUGH
acme/shop   main    .longboat/shop.yaml:7  platform/deploy     1a2b3c4  shop/a, shop/b         -
acme/tea    main    .longboat/tea.yaml:3   platform/deploy@v1  5d6e7f8  -                      release, platform/all@v1
";
        assert_eq!(users(&answer), expected);
        assert_eq!(note(&answer), None);
        let mut counts = answer;
        (counts["items"], counts["detail"]) = (json!([]), json!("counts"));
        assert!(!users(&counts).contains("REPOSITORY"));
        assert!(note(&counts).is_some_and(|note| note.contains("`modules.platform`")), "{:?}", note(&counts));
    }

    #[test]
    fn nobody_is_said_and_a_name_that_is_near() {
        let nobody = json!({"module": "std/tset", "detail": "plans", "files": 0, "near": "std/test"});
        assert_eq!(users(&nobody), "Nobody uses std/tset, or nothing was looked at yet.\n");
        assert_eq!(note(&nobody).as_deref(), Some("did you mean `std/test`?"));
    }

    #[test]
    fn what_files_use_stands_under_their_names() {
        let item = |module: Option<&str>, repository: Option<&str>, file: Option<&str>| {
            json!({"branch": "main", "file": ".longboat/a.yaml", "application": "shop", "module": module,
                   "moduleRepository": repository, "usedFile": file, "reference": null, "commit": null})
        };
        let mut deploy = item(Some("platform/deploy"), Some("platform"), Some("deploy.yaml"));
        deploy["reference"] = json!("v1");
        deploy["commit"] = json!("1a2b3c4d5e6f");
        deploy["line"] = json!(4);
        deploy["through"] = json!(["release"]);
        let answer = json!({"items": [
            deploy,
            item(None, None, Some(".longboat/vars/default.yaml")),
            item(None, Some("platform"), Some("notes.txt")),
            item(None, Some("platform"), None),
        ]});
        let expected = "\
main:.longboat/a.yaml (shop)
  platform/deploy@v1 at 1a2b3c4, line 4, through release
  .longboat/vars/default.yaml
  notes.txt of platform
  something of platform; the file could not be rendered
";
        assert_eq!(used(&answer), expected);
    }
}
