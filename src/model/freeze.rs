//! A freeze: until it is over, nothing begins.

use serde::{Deserialize, Serialize};

use super::ApplicationName;
use crate::clock::Timestamp;

/// A freeze of one application, or of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Freeze {
    /// Whose executions don't begin; none: nobody's.
    pub application: Option<ApplicationName>,
    /// Why, for people: it stands on every commit that waits.
    pub reason: String,
    /// Who froze, as the API authenticated them.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

impl Freeze {
    /// The longest reason, in characters.
    pub const MAX_REASON: usize = 200;

    /// Whether it is in force.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Whether it is about this application.
    pub fn is_about(&self, application: &ApplicationName) -> bool {
        self.application.as_ref().is_none_or(|frozen| frozen == application)
    }
}
