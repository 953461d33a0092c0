//! What a module says it yields, and whether it does.

use crate::gitops::{Node, NodeValue};

/// What a module yields, by its name in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yields {
    /// One stage.
    Stage,
    /// A list of stages, which take the place of the call in the list around it.
    Stages,
    /// What starts a pipeline.
    Trigger,
    /// A notification.
    Notification,
    /// A whole pipeline.
    Pipeline,
    /// Anything.
    Value,
}

impl Yields {
    /// All of them, by their names.
    pub(in crate::gitops) const ALL: [(&'static str, Self); 6] = [
        ("stage", Self::Stage),
        ("stages", Self::Stages),
        ("trigger", Self::Trigger),
        ("notification", Self::Notification),
        ("pipeline", Self::Pipeline),
        ("value", Self::Value),
    ];

    /// What is called by this name.
    pub(in crate::gitops) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, yields)| *yields)
    }

    /// Its name in headers.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, yields)| *yields == self).map_or("", |(name, _)| name)
    }

    /// As messages say it: `a stage`.
    pub(in crate::gitops::render) fn words(self) -> &'static str {
        match self {
            Self::Stage => "a stage",
            Self::Stages => "a list of stages",
            Self::Trigger => "a trigger",
            Self::Notification => "a notification",
            Self::Pipeline => "a pipeline",
            Self::Value => "a value",
        }
    }

    /// The key of the list in which it belongs; nothing, if it may stand anywhere.
    pub(in crate::gitops::render) fn list(self) -> Option<&'static str> {
        match self {
            Self::Stage | Self::Stages => Some("stages"),
            Self::Trigger => Some("triggers"),
            Self::Notification => Some("notifications"),
            Self::Pipeline => Some("pipelines"),
            Self::Value => None,
        }
    }

    /// Says where and how a value is something else. Nothing at all may always be yielded: a module may leave out what
    /// it is for.
    pub(in crate::gitops::render) fn mismatch(self, node: &Node) -> Option<(&Node, String)> {
        if node.is_null() {
            return None;
        }
        match self {
            Self::Value => None,
            Self::Stages => match &node.value {
                NodeValue::List(items) => items.iter().find_map(|item| Self::Stage.mismatch(item)),
                NodeValue::Map(_) => {
                    Some((node, "yields one mapping; put `- ` before it, or say `yields: stage`".to_owned()))
                }
                _ => Some((node, format!("yields {}", node.kind()))),
            },
            Self::Pipeline => lacks(node, "stages"),
            Self::Stage | Self::Trigger | Self::Notification => {
                if self == Self::Stage && node.as_list().is_some() {
                    return Some((node, "yields a list; say `yields: stages` if it is one of stages".to_owned()));
                }
                if self != Self::Stage || node.get("stages").is_none() {
                    return lacks(node, "type");
                }
                Some((node, "yields a mapping with `stages`; say `yields: pipeline` if it is one".to_owned()))
            }
        }
    }
}

/// A mapping that isn't one, or that lacks what every such thing has.
fn lacks<'a>(node: &'a Node, key: &str) -> Option<(&'a Node, String)> {
    match &node.value {
        NodeValue::Map(_) if node.get(key).is_some() => None,
        NodeValue::Map(_) => Some((node, format!("yields a mapping without `{key}`"))),
        _ => Some((node, format!("yields {}", node.kind()))),
    }
}
