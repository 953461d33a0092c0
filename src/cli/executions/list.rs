//! `longboat executions list`.

use serde_json::Value;

use super::Format;
use crate::cli::remote::Api;
use crate::cli::{Answer, print};
use crate::model::percent_encode_part;

/// List executions, the newest first
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only of this application
    #[arg(long)]
    application: Option<String>,
    /// Only of pipelines with this name
    #[arg(long)]
    pipeline: Option<String>,
    /// Only with this status, like RUNNING
    #[arg(long)]
    status: Option<String>,
    /// Only of this repository
    #[arg(long)]
    repository: Option<String>,
    /// Only of this commit
    #[arg(long)]
    commit: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

pub(super) async fn run(api: &Api, args: &Args) -> anyhow::Result<Answer> {
    let mut path = format!("/executions?limit={}", args.limit);
    for (name, value) in [
        ("application", &args.application),
        ("pipeline", &args.pipeline),
        ("status", &args.status),
        ("repository", &args.repository),
        ("commit", &args.commit),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", percent_encode_part(value)));
        }
    }
    let page: Value = api.get(&path).await?;
    match args.format {
        Format::Json => print(&format!("{page:#}\n"))?,
        Format::Human => print(&table(&page))?,
    }
    if page["nextCursor"].is_string() && args.format == Format::Human {
        eprintln!("there are more; --limit shows up to 500");
    }
    Ok(Answer::Yes)
}

/// One line each, in columns.
fn table(page: &Value) -> String {
    let text = |item: &Value, pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
    let mut rows = vec![["ID", "STATUS", "PIPELINE", "COMMIT", "BRANCH", "CREATED"].map(str::to_owned)];
    for item in page["items"].as_array().into_iter().flatten() {
        rows.push([
            text(item, "/id"),
            text(item, "/status"),
            format!("{}/{}", text(item, "/application"), text(item, "/pipeline")),
            text(item, "/commit").chars().take(7).collect(),
            text(item, "/branch"),
            text(item, "/createdTime"),
        ]);
    }
    let widths: Vec<usize> =
        (0..6).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}
