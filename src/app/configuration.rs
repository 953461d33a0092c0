//! A digest of what the servers that share a database should be configured with alike.
//!
//! What one of them publishes by its configuration, another one may take away by its own; so they compare. The digest is of
//! meanings, not of texts: order of keys and comments don't count, nor does what may well differ from machine to machine.
//! No secret goes into it.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::config::{Config, Location, LogStore, ModuleSource};

/// The digest, in hexadecimal digits.
pub(super) fn digest(config: &Config) -> String {
    let mut text = String::new();
    write(&common(config), &mut text);
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// What should be the same everywhere.
fn common(config: &Config) -> Value {
    let repositories = config.repositories.iter().map(|one| {
        json!({
            "name": one.name, "forge": one.forge, "location": place(&one.location), "branches": one.branches,
            "applications": one.applications,
        })
    });
    let modules = config.modules.iter().map(|one| {
        let source = match &one.source {
            ModuleSource::Followed(name) => json!({"followed": name}),
            ModuleSource::Own { location, .. } => json!({"location": place(location)}),
        };
        json!({
            "name": one.name, "source": source, "reference": one.reference, "folder": one.folder,
            "tells": format!("{:?}", one.dependents),
        })
    });
    let forges = config.forges.iter().map(
        |(name, forge)| json!({"name": name, "type": forge.kind.as_str(), "url": forge.url, "apiUrl": forge.api_url}),
    );
    let logs = match &config.logs {
        LogStore::Files => json!("files"),
        LogStore::Database => json!("database"),
        LogStore::S3(bucket) => json!([bucket.endpoint, bucket.name, bucket.prefix]),
    };
    let (limits, retention) = (&config.limits, &config.retention);
    json!({
        "repositories": repositories.collect::<Vec<_>>(),
        "modules": modules.collect::<Vec<_>>(),
        "forges": forges.collect::<Vec<_>>(),
        "logs": logs,
        "vars": config.vars,
        "statusPrefix": config.status_prefix,
        "publicUrl": config.server.public_url,
        "webhooks": config.webhooks.keys().collect::<Vec<_>>(),
        "removals": [limits.removal_share, limits.removal_from],
        "cronCatchUp": limits.cron_catch_up.as_millis().to_string(),
        "retention": [retention.details.as_millis().to_string(), retention.newest.to_string(), retention.most.to_string()],
    })
}

fn place(location: &Location) -> String {
    location.to_url()
}

/// A value as text, with its keys in order.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for key in keys {
                text.push_str(&json!(key).to_string());
                text.push(':');
                write(&map[key], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut config = Config::local(std::path::Path::new("/state"), ([127, 0, 0, 1], 0).into());
        config.vars = json!({"region": "eu", "sizes": {"a": 1, "b": [1, 2]}}).as_object().expect("a map").clone();
        config
    }

    #[test]
    fn it_is_of_meanings_and_of_what_all_should_have() {
        let (one, mut other) = (config(), config());
        other.vars = json!({"sizes": {"b": [1, 2], "a": 1}, "region": "eu"}).as_object().expect("a map").clone();
        other.server.state_dir = "/elsewhere".into();
        other.server.listen = ([127, 0, 0, 1], 9).into();
        other.limits.running_stages = 99;
        other.database.password = Some("secret".to_owned().into());
        assert_eq!(digest(&one), digest(&other));
        assert_eq!(digest(&one).len(), 64);
        let changes: [fn(&mut Config); 5] = [
            |config| config.logs = LogStore::Database,
            |config| drop(config.vars.insert("region".to_owned(), json!("us"))),
            |config| config.status_prefix = "cd".to_owned(),
            |config| config.limits.removal_from = 99,
            |config| config.retention.newest = 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = config();
            change(&mut other);
            assert_ne!(digest(&one), digest(&other), "change {number}");
        }
    }
}
