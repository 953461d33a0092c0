//! `longboat forge check`: what token, permissions or webhooks lack, asked of the forges themselves.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use futures::StreamExt as _;
use serde::Serialize;

use super::{Answer, serve};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::diagnostic::nearest;
use crate::forge::{CheckItem, CheckVerdict, Forge, Forges};
use crate::model::RepositoryName;

/// How many repositories of a forge are looked at together.
const AT_ONCE: usize = 4;

/// Look at the forges of a configuration
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: ForgeCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ForgeCommand {
    /// Say what token, permissions or webhook lack; changes nothing
    Check(CheckArgs),
}

/// Say what token, permissions or webhook lack; changes nothing
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration
    #[arg(long, env = "LONGBOAT_CONFIG", default_value = "longboat.yaml")]
    config: PathBuf,
    /// Only this repository, as the configuration names it
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table
    Human,
    /// JSON, for programs
    Json,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    let ForgeCommand::Check(args) = args.command;
    let config = match serve::load(&args.config) {
        Ok(config) => config,
        Err(mistakes) => bail!("{} has {mistakes} mistakes, nothing was asked", args.config.display()),
    };
    let only = args.repository.as_deref().map(|name| find(&config, name)).transpose()?;
    let forges = app::forges(&config, &Clock::system())?;
    let result = check(&forges, only.as_ref()).await;
    super::print(&match args.format {
        Format::Human => result.to_text(super::color()),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&result)?),
    })?;
    Ok(if result.summary.bad == 0 { Answer::Yes } else { Answer::No })
}

fn find(config: &Config, name: &str) -> anyhow::Result<RepositoryName> {
    if let Some(found) = config.repositories.iter().find(|repository| repository.name.as_str() == name) {
        return Ok(found.name.clone());
    }
    match nearest(name, config.repositories.iter().map(|repository| repository.name.as_str())) {
        Some(near) => bail!("the configuration has no repository `{name}`; did you mean `{near}`?"),
        None => bail!("the configuration has no repository `{name}`"),
    }
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Found {
    forges: Vec<OfForge>,
    summary: Summary,
}

#[derive(Debug, Serialize)]
struct OfForge {
    name: String,
    items: Vec<CheckItem>,
    repositories: Vec<OfRepository>,
}

#[derive(Debug, Serialize)]
struct OfRepository {
    name: RepositoryName,
    items: Vec<CheckItem>,
}

/// How many things stand how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Summary {
    good: usize,
    warning: usize,
    bad: usize,
    unknown: usize,
}

/// Asks one forge after the other; those that nothing can be asked about (folders, plain Git servers) are left out.
async fn check(forges: &Forges, only: Option<&RepositoryName>) -> Found {
    let mut found = Found::default();
    for (index, forge) in forges.all().iter().enumerate() {
        let repositories: Vec<&RepositoryName> =
            forges.repositories_of(index).iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
        if only.is_some() && repositories.is_empty() {
            continue;
        }
        let items = forge.check_access().await;
        let usable = items.iter().all(|item| item.verdict != CheckVerdict::Bad);
        let repositories: Vec<OfRepository> = futures::stream::iter(repositories)
            .map(|name| of_repository(forge.as_ref(), name, usable))
            .buffered(AT_ONCE)
            .collect()
            .await;
        if !items.is_empty() || repositories.iter().any(|repository| !repository.items.is_empty()) {
            found.forges.push(OfForge { name: forge.name().to_owned(), items, repositories });
        }
    }
    for item in found
        .forges
        .iter()
        .flat_map(|forge| forge.items.iter().chain(forge.repositories.iter().flat_map(|repository| &repository.items)))
    {
        match item.verdict {
            CheckVerdict::Good => found.summary.good += 1,
            CheckVerdict::Warning => found.summary.warning += 1,
            CheckVerdict::Bad => found.summary.bad += 1,
            CheckVerdict::Unknown => found.summary.unknown += 1,
        }
    }
    found
}

async fn of_repository(forge: &dyn Forge, name: &RepositoryName, usable: bool) -> OfRepository {
    let items = if usable {
        forge.check(name).await
    } else {
        let message = "not looked at: the forge can't be used as it is";
        vec![CheckItem::new("repository", CheckVerdict::Unknown, message)]
    };
    OfRepository { name: name.clone(), items }
}

impl Found {
    fn to_text(&self, color: bool) -> String {
        let mut text = String::new();
        for forge in &self.forges {
            let _ = writeln!(text, "{}", forge.name);
            rows(&mut text, &forge.items, "  ", color);
            for repository in &forge.repositories {
                let _ = writeln!(text, "\n  {}", repository.name);
                rows(&mut text, &repository.items, "    ", color);
            }
            text.push('\n');
        }
        if self.forges.is_empty() {
            text.push_str("nothing to ask: no repository here lives on a forge that can be asked\n");
            return text;
        }
        let Summary { good, warning, bad, unknown } = self.summary;
        let _ = writeln!(text, "{good} good, {bad} bad, {warning} with a warning, {unknown} that can't be known");
        text
    }
}

fn rows(text: &mut String, items: &[CheckItem], indent: &str, color: bool) {
    let width = items.iter().map(|item| item.subject.chars().count()).max().unwrap_or_default();
    for item in items {
        let (word, code) = match item.verdict {
            CheckVerdict::Good => ("good", "32"),
            CheckVerdict::Warning => ("warning", "33"),
            CheckVerdict::Bad => ("bad", "31"),
            CheckVerdict::Unknown => ("unknown", "36"),
        };
        let word = if color { format!("\x1b[{code}m{word:<7}\x1b[0m") } else { format!("{word:<7}") };
        // What a forge said stands in here: nothing that a terminal would act on.
        let message: String =
            item.message.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let _ = writeln!(text, "{indent}{word}  {:<width$}  {message}", item.subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up_and_nothing_foreign_moves_the_cursor() {
        let items = vec![
            CheckItem::new("token", CheckVerdict::Good, "that of bot"),
            CheckItem::new("commit statuses", CheckVerdict::Bad, "no\x1b[2J"),
        ];
        let name: RepositoryName = "acme/shop".parse().expect("a name");
        let found = Found {
            forges: vec![OfForge {
                name: "github".to_owned(),
                items: items[..1].to_vec(),
                repositories: vec![OfRepository { name, items }],
            }],
            summary: Summary { good: 2, bad: 1, ..Summary::default() },
        };
        assert_eq!(
            found.to_text(false),
            "github\n  good     token  that of bot\n\n  acme/shop\n    good     token            that of bot\n    \
             bad      commit statuses  no [2J\n\n2 good, 1 bad, 0 with a warning, 0 that can't be known\n"
        );
    }
}
