//! The banner of pages that a freeze is about.

use serde::Serialize;

use super::Moment;
use super::PageLink;
use crate::model::{ApplicationName, Freeze, HoldKind, HoldView};

/// One freeze in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct FreezeNote {
    what: String,
    reason: String,
    by: String,
    since: Moment,
    until: Option<String>,
}

impl From<&Freeze> for FreezeNote {
    fn from(freeze: &Freeze) -> Self {
        Self {
            what: freeze.application.as_ref().map_or_else(|| "Everything".to_owned(), ApplicationName::to_string),
            reason: freeze.reason.clone(),
            by: freeze.by.clone(),
            since: Moment::new(freeze.since),
            until: freeze.until.map(|until| Moment::new(until).text),
        }
    }
}

/// Why an execution waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct HoldNote {
    /// Whether it is a freeze, and not the executions before it.
    freeze: bool,
    reason: String,
    by: String,
    until: Option<String>,
    /// The executions before it.
    holders: Vec<PageLink>,
}

impl From<&HoldView> for HoldNote {
    fn from(hold: &HoldView) -> Self {
        let until = hold.until.map(|until| Moment::new(until).text);
        let holders = hold.holders.iter().map(|holder| PageLink {
            url: holder.id.page(),
            name: format!("{}/{}", holder.application, holder.pipeline),
        });
        Self {
            freeze: hold.kind == HoldKind::Freeze,
            reason: hold.reason.clone(),
            by: hold.by.clone().unwrap_or_default(),
            until,
            holders: holders.collect(),
        }
    }
}
