//! Counts what one file's render uses, its modules included.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::fault::Fault;
use crate::diagnostic::Code;
use crate::gitops::Limits;

/// What is used up so far. One thread renders a file; the atomics only make sharing legal.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    nodes: AtomicUsize,
    module_calls: AtomicUsize,
    output_bytes: AtomicUsize,
    work_bytes: AtomicUsize,
    fuel: AtomicU64,
}

impl Budget {
    /// A full one.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            nodes: AtomicUsize::new(0),
            module_calls: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            work_bytes: AtomicUsize::new(0),
            fuel: AtomicU64::new(0),
        }
    }

    /// The bounds.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Uses values.
    pub(super) fn nodes(&self, count: usize) -> Result<(), Fault> {
        take(&self.nodes, count, self.limits.nodes).map_err(|max| {
            Fault::new(Code::TooManyNodes, format!("the document expands to more than {max} values"))
                .hint("aliases and modules count each time they are used; split the file")
        })
    }

    /// How many values are left.
    pub(super) fn nodes_left(&self) -> usize {
        self.limits.nodes.saturating_sub(self.nodes.load(Ordering::Relaxed))
    }

    /// Uses a module call.
    pub(super) fn module_call(&self) -> Result<(), Fault> {
        take(&self.module_calls, 1, self.limits.module_calls).map_err(|max| {
            Fault::new(Code::ModuleLimit, format!("the file calls modules more than {max} times"))
                .hint("split the file, or call modules outside of loops")
        })
    }

    /// Uses text.
    pub(super) fn output(&self, bytes: usize) -> Result<(), Fault> {
        take(&self.output_bytes, bytes, self.limits.output_bytes).map_err(|max| {
            Fault::new(Code::OutputTooLarge, format!("the templates of the file yield more than {max} bytes"))
                .hint("loop over less, or split the file")
        })
    }

    /// How much text is left.
    pub(super) fn output_left(&self) -> usize {
        self.limits.output_bytes.saturating_sub(self.output_bytes.load(Ordering::Relaxed))
    }

    /// Uses text and lists that are made on the way.
    pub(super) fn work(&self, bytes: usize) -> Result<(), Fault> {
        take(&self.work_bytes, bytes, self.limits.work_bytes).map_err(|max| {
            let message = format!("the templates of the file make more than {max} bytes of texts and lists on the way");
            Fault::new(Code::OutputTooLarge, message).hint("join and filter less, or split the file")
        })
    }

    /// How much of these is left.
    pub(super) fn work_left(&self) -> usize {
        self.limits.work_bytes.saturating_sub(self.work_bytes.load(Ordering::Relaxed))
    }

    /// Uses instructions of the engine.
    pub(super) fn fuel(&self, instructions: u64) -> Result<(), Fault> {
        let used = self.fuel.fetch_add(instructions, Ordering::Relaxed).saturating_add(instructions);
        if used <= self.limits.fuel {
            return Ok(());
        }
        Err(Fault::new(Code::OutOfFuel, "the templates of the file ran for too long")
            .hint("they may run a limited number of steps together: loop over less, or split the file"))
    }
}

fn take(used: &AtomicUsize, count: usize, max: usize) -> Result<(), usize> {
    // What is asked for may be anything: the sum must not begin again at zero.
    let count = count.min(max.saturating_add(1));
    let before = used.fetch_add(count, Ordering::Relaxed);
    if before.saturating_add(count) <= max { Ok(()) } else { Err(max) }
}
