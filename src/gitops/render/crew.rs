//! The threads that render: each with a large stack, all with one session, while the thread that asked hands them the
//! files of the source.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Request;
use super::kept::Kept;
use super::session::{Session, connect, lock};

/// The stack of a renderer. The engine frees nested values and compiles nested expressions by recursion, modules call
/// modules by recursion, and what a template may nest is bounded so that this is enough in a debug build, too. Only
/// what is used takes memory.
const STACK: usize = 64 * 1024 * 1024;

/// Why a job has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It panicked.
    Panicked,
    /// The system had no thread for it.
    NoThread,
}

/// Does a job for each item, and returns the results in the items' order. Blocks until all are done.
pub(super) fn work<I: Sync, T: Send>(
    request: &Request<'_>,
    items: &[I],
    job: impl Fn(&Arc<Session>, &I) -> T + Sync,
) -> Vec<Result<T, Lost>> {
    work_on_files(request, &Kept::of(request.limits), items, &[], job)
}

/// The same, where each item begins with reading a file: `files` are their paths, which are read ahead.
pub(super) fn work_on_files<I: Sync, T: Send>(
    request: &Request<'_>,
    kept: &Arc<Kept>,
    items: &[I],
    files: &[&str],
    job: impl Fn(&Arc<Session>, &I) -> T + Sync,
) -> Vec<Result<T, Lost>> {
    let (client, server) = connect();
    let session = Arc::new(Session::new(request, client.clone(), kept.clone()));
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<T, Lost>)>> = Mutex::default();
    let renderers =
        thread::available_parallelism().map_or(1, NonZero::get).min(request.limits.renderers.max(1)).min(items.len());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = catch_unwind(AssertUnwindSafe(|| job(&session, item))).map_err(|_| Lost::Panicked);
            lock(&done).push((at, result));
        }
    };
    thread::scope(|scope| {
        let mut started = 0;
        for _ in 0..renderers {
            let working = client.working();
            let body = || {
                let _working = working;
                work();
            };
            // If the system has no thread for us, `working` is dropped with the body, and counts as done.
            started += 1;
            let _ =
                thread::Builder::new().name("render".to_owned()).stack_size(STACK).spawn_scoped(scope, body).is_ok();
        }
        server.serve(request.source, request.library, started, (files, &next));
    });
    let mut done = std::mem::take(&mut *lock(&done));
    done.sort_by_key(|(at, _)| *at);
    let mut done = done.into_iter().peekable();
    (0..items.len())
        .map(|at| done.next_if(|(index, _)| *index == at).map_or(Err(Lost::NoThread), |(_, result)| result))
        .collect()
}
