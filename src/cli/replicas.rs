//! `longboat replicas`: the servers that share a database, and who does what.

use clap::Subcommand;
use serde_json::Value;

use super::executions::Format;
use super::remote::ServerArgs;
use super::{Answer, print};
use crate::clock::Timestamp;
use crate::model::{counted, humanize};

/// See the servers that share a database, and who does what
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them: since when each runs, how much of the work it has, and what it does for all
    List {
        /// How they are printed
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
}

/// Runs the command. Any of the servers knows all of them.
///
/// # Errors
/// If the server can't be asked, or says no.
pub async fn run(args: Args) -> anyhow::Result<Answer> {
    let api = args.server.connect()?;
    let Command::List { format } = args.command;
    let page: Value = api.get("/replicas").await?;
    match format {
        Format::Json => print(&format!("{page:#}\n"))?,
        Format::Human => {
            let replicas = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let now = page["time"].as_str().and_then(Timestamp::from_rfc3339);
            let text: String = replicas.iter().map(|replica| format!("{}\n", line(replica, now))).collect();
            print(&text)?;
            if page["shared"] != Value::Bool(true) {
                eprintln!("the server has its database for itself (`database.replicas` is not set)");
            }
            if page["configurationsDiffer"] == Value::Bool(true) {
                eprintln!("their configurations differ: what they do depends on which of them does it");
            }
        }
    }
    Ok(Answer::Yes)
}

/// `blue, 1.2.0: alive for 3h, 22 shards, triggers, reports (it answers here)`
fn line(replica: &Value, now: Option<Timestamp>) -> String {
    let text = |key: &str| replica[key].as_str().unwrap_or_default();
    let time = |key: &str| Timestamp::from_rfc3339(text(key));
    let shards = u32::try_from(replica["shards"].as_u64().unwrap_or_default()).unwrap_or(u32::MAX);
    let mut parts = Vec::new();
    match (text("state"), now) {
        ("lost", Some(now)) => {
            let over =
                time("leaseUntil").map(|until| format!(" {} ago", humanize(now.since(until)))).unwrap_or_default();
            parts.push(format!("lost, its lease ended{over}"));
        }
        ("lost", None) => parts.push("lost".to_owned()),
        (state, Some(now)) => {
            let since = time("startedTime").map(|at| format!(" for {}", humanize(now.since(at)))).unwrap_or_default();
            parts.push(if state == "leaving" { "about to stop".to_owned() } else { format!("{state}{since}") });
        }
        (state, None) => parts.push(state.to_owned()),
    }
    parts.push(counted(shards, "shard"));
    let duties: Vec<&str> = replica["duties"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !duties.is_empty() {
        parts.push(duties.join(", "));
    }
    let own = if replica["own"] == Value::Bool(true) { " (it answers here)" } else { "" };
    format!("{}, {}: {}{own}", text("name"), text("version"), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replica_is_one_line() {
        let now = Timestamp::from_rfc3339("2026-03-06T10:00:00Z");
        let replica = json!({"name": "blue", "version": "0.1.0", "own": true, "state": "alive", "shards": 22,
            "startedTime": "2026-03-06T07:00:00.000Z", "leaseUntil": "2026-03-06T10:00:05.000Z",
            "duties": ["triggers", "reports"]});
        assert_eq!(line(&replica, now), "blue, 0.1.0: alive for 3h, 22 shards, triggers, reports (it answers here)");
        let replica = json!({"name": "green", "version": "0.1.0", "own": false, "state": "lost", "shards": 1,
            "startedTime": "2026-03-06T07:00:00.000Z", "leaseUntil": "2026-03-06T09:59:50.000Z", "duties": []});
        assert_eq!(line(&replica, now), "green, 0.1.0: lost, its lease ended 10s ago, 1 shard");
        let replica = json!({"name": "red", "version": "0.2.0", "state": "leaving", "shards": 0, "duties": []});
        assert_eq!(line(&replica, now), "red, 0.2.0: about to stop, 0 shards");
    }
}
