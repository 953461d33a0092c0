//! The forges of a configuration, ready to be spoken to. The one place that asks what kind a forge is.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{self, Config, ForgeKind};
use crate::forge::bitbucket::{BitbucketCloud, BitbucketDataCenter, BitbucketOptions};
use crate::forge::github::{GitHub, GitHubOptions};
use crate::forge::{Forge, Forges, PlainForge, SetupError};
use crate::model::RepositoryName;

/// The name under which repositories without a forge are kept.
const PLAIN: &str = "git";

/// Sets up every forge of a configuration, with and without a token. To be called within the runtime.
///
/// # Errors
/// If an address or token can't be used.
pub fn forges(config: &Config, clock: &Clock) -> Result<Forges, SetupError> {
    let mut forges = Forges::new();
    let public_url = config.server.public_url.as_deref();
    for (name, section) in &config.forges {
        if section.token.is_none() {
            tracing::warn!(forge.name = %name, "the forge has no token: no commit statuses are posted there");
        }
        forges.add(forge(name, section, public_url, clock)?, of_forge(config, Some(name)));
    }
    forges.add(Arc::new(PlainForge::new(PLAIN)), of_forge(config, None));
    Ok(forges)
}

fn forge(
    name: &str,
    section: &config::Forge,
    public_url: Option<&str>,
    clock: &Clock,
) -> Result<Arc<dyn Forge>, SetupError> {
    Ok(match section.kind {
        ForgeKind::GitHub => {
            let mut options = GitHubOptions::new(name, section.api_url.as_str(), section.token.clone());
            options.webhook_secret.clone_from(&section.webhook_secret);
            options.public_url = public_url.map(str::to_owned);
            Arc::new(GitHub::new(options, clock.clone())?)
        }
        ForgeKind::BitbucketCloud => {
            Arc::new(BitbucketCloud::new(bitbucket(name, section, public_url), clock.clone())?)
        }
        ForgeKind::BitbucketDataCenter => {
            Arc::new(BitbucketDataCenter::new(bitbucket(name, section, public_url), clock.clone())?)
        }
    })
}

fn bitbucket(name: &str, section: &config::Forge, public_url: Option<&str>) -> BitbucketOptions {
    BitbucketOptions {
        token: section.token.clone(),
        user: section.user.clone(),
        webhook_secret: section.webhook_secret.clone(),
        public_url: public_url.map(str::to_owned),
        ..BitbucketOptions::new(name, section.url.as_str(), section.api_url.as_str())
    }
}

fn of_forge(config: &Config, forge: Option<&str>) -> Vec<RepositoryName> {
    config
        .repositories
        .iter()
        .filter(|repository| repository.forge.as_deref() == forge)
        .map(|repository| repository.name.clone())
        .collect()
}
