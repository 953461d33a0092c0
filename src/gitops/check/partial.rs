//! Documents with holes: where a module failed, nothing is known of what it would have yielded, and likewise of variables
//! that can't be read; the file is not published. What is wrong beside the holes is said all the same, so that it need not wait for another commit.

use std::sync::Arc;

use super::{Permit, application};
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::node::steps;
use crate::gitops::render::Partial;
use crate::gitops::{Key, Node, RenderedFile};
use crate::schema::Catalog;

/// What is certainly wrong with a document with holes, which are null: findings about one value or one mapping that has
/// no hole. What depends on others, like the names of stages, may be mended by what isn't there yet.
pub(super) fn findings(file: &RenderedFile, catalog: &Catalog, permit: Option<Permit<'_>>) -> Vec<Diagnostic> {
    let Some(Partial { root, has_holes }) = &file.partial else { return Vec::new() };
    let mut found = application::read(&file.path, Some(root), catalog, permit).findings;
    found.retain(|finding| !has_holes || (is_local(finding.code) && is_whole(root, finding)));
    found
}

fn is_local(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownKey
            | Code::WrongType
            | Code::MissingKey
            | Code::UnknownStageType
            | Code::ValueNotAllowed
            | Code::ConflictingKeys
            | Code::BadDuration
            | Code::BadIdentifier
            | Code::BadPattern
            | Code::ForeignApplication
    )
}

/// Whether what a finding is about is there, as a value that is no hole and holds none.
fn is_whole(root: &Arc<Node>, finding: &Diagnostic) -> bool {
    let Some(steps) = finding.pointer.as_deref().and_then(steps) else { return false };
    let mut node: &Node = root;
    for step in &steps {
        match node.child(step) {
            Some(child) => node = child,
            None => return false,
        }
    }
    let no_hole = |entries: &[(Key, Arc<Node>)]| entries.iter().all(|(_, value)| !value.is_null());
    !node.is_null() && node.as_map().is_none_or(no_hole)
}
