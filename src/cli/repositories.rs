//! `longboat repositories`: how a server's repositories stand, and the word that a commit may remove many pipelines.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Answer;
use super::executions::{Format, items};
use super::remote::{Api, ServerArgs};
use crate::model::{counted, percent_encode_part};

/// The most pipelines that are listed of one removal.
const LISTED: usize = 50;

/// See the repositories of a server, and approve what one of their commits removes
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the repositories that the server follows, and what waits for an approval
    List {
        /// How they are printed
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Let a commit remove the pipelines that it was refused for; it is published as if it had just been pushed. What the
    /// server's configuration takes away is approved likewise, by the commit that the list names
    ApproveRemoval {
        /// The repository's name, as in the server's configuration
        #[arg(value_name = "REPOSITORY")]
        repository: String,
        /// The commit, or at least the first seven digits of its id
        #[arg(value_name = "COMMIT")]
        commit: String,
    },
}

/// Runs the command.
///
/// # Errors
/// If the server can't be asked, or says no.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    let api = args.server.connect()?;
    match args.command {
        Command::List { format } => list(&api, format).await,
        Command::ApproveRemoval { repository, commit } => approve(&api, &repository, &commit).await,
    }
}

async fn list(api: &Api, format: Format) -> anyhow::Result<Answer> {
    let page: Value = api.get("/repositories").await?;
    format.show(&page, |page| items(page, entry), "no repository is configured")?;
    Ok(Answer::Yes)
}

/// A repository in a line, and what waits there in further ones.
fn entry(repository: &Value) -> String {
    let text = |key: &str| repository[key].as_str();
    let name = text("name").unwrap_or_default();
    let state = match (text("error"), text("commit"), &repository["hasFiles"]) {
        (Some(error), ..) => format!("can't be worked with: {error}"),
        (None, None, _) => "not looked at yet".to_owned(),
        (None, Some(commit), has_files) => {
            let place = text("ref").unwrap_or_default();
            let place = place.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/");
            let files = if *has_files == Value::Bool(false) { ", no pipeline files" } else { "" };
            format!("{place} at {}{files}", short(commit))
        }
    };
    let waiting = repository["removals"].as_array().into_iter().flatten().map(|removal| {
        let commit = short(removal["commit"].as_str().unwrap_or_default());
        let what = match is_by_configuration(removal) {
            true => format!("the configuration would take away {}", removed(removal)),
            false => format!("{commit} would remove {}", removed(removal)),
        };
        format!("  {what}; if that is meant: longboat repositories approve-removal {name} {commit}\n")
    });
    format!("{name}: {state}\n{}", waiting.collect::<String>())
}

/// `12 of 15 pipelines`
fn removed(removal: &Value) -> String {
    let all = u32::try_from(removal["of"].as_u64().unwrap_or_default()).unwrap_or(u32::MAX);
    format!("{} of {}", removal["pipelines"].as_array().map_or(0, Vec::len), counted(all, "pipeline"))
}

fn is_by_configuration(removal: &Value) -> bool {
    removal["cause"] == "configuration"
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

async fn approve(api: &Api, repository: &str, commit: &str) -> anyhow::Result<Answer> {
    let path =
        format!("/repositories/{}/removals/{}/approve", percent_encode_part(repository), percent_encode_part(commit));
    let answer: Value = api.post(&path, &json!({})).await?;
    for removal in answer["removals"].as_array().into_iter().flatten() {
        let what = match removal["ref"].as_str() {
            Some(branch) => {
                let commit = short(removal["commit"].as_str().unwrap_or_default());
                format!("{commit} on {} may remove", branch.trim_start_matches("refs/heads/"))
            }
            None => "the configuration may take away".to_owned(),
        };
        eprintln!(
            "{repository}: {what} {} (approved by {}):",
            removed(removal),
            removal["approvedBy"].as_str().unwrap_or_default()
        );
        let pipelines: Vec<&str> =
            removal["pipelines"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for pipeline in pipelines.iter().take(LISTED) {
            eprintln!("  {pipeline}");
        }
        if let Some(more) = pipelines.len().checked_sub(LISTED).filter(|more| *more > 0) {
            eprintln!("  and {more} more");
        }
    }
    Ok(Answer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_line_and_each_thing_that_waits_another() {
        let well = json!({"name": "acme/shop", "error": null, "commit": "1a2b3c4d5e", "ref": "refs/heads/main", "hasFiles": true,
            "removals": [{"commit": "1a2b3c4d5e", "pipelines": ["a/b", "a/c"], "of": 3}]});
        assert_eq!(
            entry(&well),
            "acme/shop: main at 1a2b3c4\n  1a2b3c4 would remove 2 of 3 pipelines; if that is meant: longboat repositories approve-removal acme/shop 1a2b3c4\n"
        );
        let taken = json!({"name": "old", "error": "it is not in the configuration any more",
            "removals": [{"cause": "configuration", "commit": "1a2b3c4d5e", "pipelines": ["a/b"], "of": 1}]});
        assert_eq!(
            entry(&taken),
            "old: can't be worked with: it is not in the configuration any more\n  the configuration would take away 1 of 1 pipeline; if that is meant: longboat repositories approve-removal old 1a2b3c4\n"
        );
        let empty =
            json!({"name": "a", "commit": "1a2b3c4d5e", "ref": "refs/tags/v1", "hasFiles": false, "removals": []});
        assert_eq!(entry(&empty), "a: v1 at 1a2b3c4, no pipeline files\n");
        assert_eq!(entry(&json!({"name": "a", "error": "gone"})), "a: can't be worked with: gone\n");
        assert_eq!(entry(&json!({"name": "a"})), "a: not looked at yet\n");
    }
}
