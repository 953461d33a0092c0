//! The forges of a configuration, ready to be spoken to.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, ForgeKind};
use crate::forge::github::{GitHub, GitHubOptions, SetupError};
use crate::forge::{Forge, Forges, PlainForge};
use crate::model::RepositoryName;

/// The name under which repositories without a forge are kept.
const PLAIN: &str = "git";

/// Sets up every forge that has a token; the others, and repositories without a forge, have nowhere to post to.
///
/// # Errors
/// If an address or token can't be used.
pub(super) fn forges(config: &Config, clock: &Clock) -> Result<Forges, SetupError> {
    let mut forges = Forges::new();
    for (name, forge) in &config.forges {
        let repositories = of_forge(config, Some(name));
        let client: Arc<dyn Forge> = match (forge.kind, &forge.token) {
            (ForgeKind::GitHub, Some(token)) => {
                let options = GitHubOptions::new(name.as_str(), forge.api_url.as_str(), token.clone());
                Arc::new(GitHub::new(options, clock.clone())?)
            }
            (ForgeKind::GitHub, None) => {
                tracing::warn!(forge.name = %name, "the forge has no token: no commit statuses are posted there");
                Arc::new(PlainForge::new(name.as_str()))
            }
        };
        forges.add(client, repositories);
    }
    forges.add(Arc::new(PlainForge::new(PLAIN)), of_forge(config, None));
    Ok(forges)
}

fn of_forge(config: &Config, forge: Option<&str>) -> Vec<RepositoryName> {
    config
        .repositories
        .iter()
        .filter(|repository| repository.forge.as_deref() == forge)
        .map(|repository| repository.name.clone())
        .collect()
}
