//! Waiting for a condition, with a deadline and a reason, instead of sleeping for a guess.

use std::time::{Duration, Instant};

/// Calls `check` until it yields something; panics with `what` when `limit` has passed.
pub fn eventually<T>(limit: Duration, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting after {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// The same for a check that is asynchronous.
pub async fn eventually_async<T, F>(limit: Duration, what: &str, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting after {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
