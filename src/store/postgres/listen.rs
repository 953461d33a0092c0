//! Hearing of what other processes committed.
//!
//! The writer says in each transaction that made work for somebody that it did (`NOTIFY`), and the server passes
//! it on with the commit. That only makes things sooner: whoever waits for a bell looks into the tables as well.
//! Replicas say more to one another: of other queues, of what is to be taken, and in words of the engine's (`tell`).

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio_util::task::AbortOnDropHandle;

use super::{Server, round};
use crate::store::bell::{Bell, Bells};
use crate::store::lease::Lease;
use crate::store::{StoreError, word};

/// What replicas tell one another.
pub(super) const WORDS: &str = "longboat_words";

/// The pause before another attempt to listen.
const PAUSE: Duration = Duration::from_secs(2);

/// Rings the bells when another process's commit says so, until the handle goes. What `own` sends is left out: its
/// writer rings by itself. It listens when this returns.
pub(in crate::store) async fn listen(
    server: &Server,
    bells: Bells,
    own: String,
    lease: Lease,
) -> Result<AbortOnDropHandle<()>, StoreError> {
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.acquire_timeout(PAUSE).connect_lazy_with(server.options.clone());
    let shared = lease.is_shared();
    let mut listener = begin(&pool, shared).await.map_err(|error| server.no_connection(&error))?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            hear(&mut listener, &bells, &own, &lease).await;
            listener = loop {
                match begin(&pool, shared).await {
                    Ok(listener) => break listener,
                    Err(error) => tracing::debug!(%error, "other processes' commits are not heard of for now"),
                }
                tokio::time::sleep(PAUSE).await;
            };
            // What was committed meanwhile was not heard.
            bells.ring(Bell::ALL);
            if shared {
                word::MISSED.into_iter().for_each(|word| lease.heard(word));
                lease.nudge();
            }
        }
    })))
}

async fn begin(pool: &PgPool, shared: bool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    let bells = Bell::ALL.into_iter().filter(|bell| shared || !bell.is_for_replicas()).map(Bell::channel);
    let others = [WORDS, round::CHANNEL].into_iter().filter(|_| shared);
    listener.listen_all(bells.chain(others)).await?;
    Ok(listener)
}

/// Returns when the connection is lost, or when this process had to join the other replicas anew: what kept it from
/// renewing its lease may have taken this connection as well, without a word.
async fn hear(listener: &mut PgListener, bells: &Bells, own: &str, lease: &Lease) {
    let mut owned = lease.shards();
    let known = owned.borrow().term.max(1);
    loop {
        let said = tokio::select! {
            biased;
            said = listener.try_recv() => said,
            _ = owned.wait_for(|now| now.term > known) => return,
        };
        let Ok(Some(said)) = said else { return };
        let (from, words) = word::read(said.payload());
        if from == own {
            continue;
        }
        let bell = Bell::ALL.into_iter().find(|bell| bell.channel() == said.channel());
        match (bell, said.channel()) {
            (Some(bell), _) => bells.ring([bell]),
            (None, WORDS) => words.for_each(|word| lease.heard(word)),
            (None, _) => lease.nudge(),
        }
    }
}
