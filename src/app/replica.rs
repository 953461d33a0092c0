//! What this process says of itself to those that share its database.

use uuid::Uuid;

use super::configuration;
use crate::config::Config;
use crate::engine;
use crate::store::Replicas;

/// What it says; none if it has the database for itself. `node` is the id of its state folder.
pub(super) fn said(config: &Config, node: Uuid) -> Option<Replicas> {
    config.database.replicas.then(|| Replicas {
        name: config.server.name.clone().unwrap_or_else(machine),
        node: node.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        journal: engine::JOURNAL_VERSION.into(),
        digest: configuration::digest(config),
    })
}

/// The machine's name, as far as the system tells.
fn machine() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
    let name = told.unwrap_or_default().trim().to_owned();
    if name.is_empty() { "longboat".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_shares_a_database_says_something() {
        let mut config = Config::local(std::path::Path::new("/state"), ([127, 0, 0, 1], 0).into());
        assert_eq!(said(&config, Uuid::nil()), None);
        config.database.replicas = true;
        let said = said(&config, Uuid::nil()).expect("shared");
        assert!(!said.name.is_empty() && said.node.len() == 36 && said.journal > 0, "{said:?}");
    }
}
