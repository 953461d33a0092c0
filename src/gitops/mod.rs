//! From a commit's files to documents and pipelines: rendering, modules, validation.
//!
//! Rendering is pure: the same files, variables and branch give the same bytes. It sees neither the commit
//! id nor the event, the clock, the environment or the network. Nothing here changes a repository or starts
//! anything; the result is data.

mod check;
mod commit;
pub mod fuzz;
mod library;
mod limits;
pub mod matching;
mod module_folder;
mod moved;
mod node;
mod plan;
mod removal;
mod render;
mod review;
mod source;
mod writer;

pub use check::{
    Checked, CheckedApplication, CheckedModules, FileUses, Permit, SecretMention, check, check_modules, check_rendered,
    check_some, check_with_documents, summarize,
};
pub use library::{
    Commits, Library, LibraryError, MemoryCommits, ModuleMirror, Pinned, Refs, Resolved, Shelf, ShelfState, Stock,
    resolve,
};
pub use limits::Limits;
pub use module_folder::ModuleFolder;
pub use moved::{moved, summarize_moves};
pub use node::{Key, Node, NodeValue, Origin, Position, Spot};
pub use plan::{Documents, KEPT_PLAN, PRINTED_PLAN, Push, apply, document, documents, plan};
pub use removal::{InForce, Removal, RemovalLimits, RemovalRule};
pub use render::{
    ExampleManual, Explanation, LayerName, LayerOutcome, LayerValue, Manual, ModuleManual, ParameterManual,
    ProposedModules, Rendered, RenderedFile, Request, Settings, Variable, Variables, built_in, explain, list_variables,
    manual, module_manual, render_all, render_file, render_some, settings,
};
pub use review::{Base, Ownership, impact, in_order_of_weight, review, summarize_review, trouble};
pub use source::{FolderSource, MemorySource, Source, SourceError, SourceFile, SubFolder, check_path};
pub use writer::{YamlError, to_yaml};
