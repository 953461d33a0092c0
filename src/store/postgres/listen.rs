//! Hearing of what other processes committed.
//!
//! The writer says in each transaction that added to inbox or outbox that it did (`NOTIFY`), and the server passes
//! it on with the commit. That only makes things sooner: whoever waits for a bell looks into the tables as well.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio_util::task::AbortOnDropHandle;

use super::Server;
use crate::store::StoreError;
use crate::store::writer::Bells;

/// The channels. They belong to one database.
pub(in crate::store) const INBOX: &str = "longboat_inbox";
/// As [`INBOX`], for the outbox.
pub(in crate::store) const OUTBOX: &str = "longboat_outbox";

/// The pause before another attempt to listen.
const PAUSE: Duration = Duration::from_secs(2);

/// Rings the bells when another process's commit says so, until the handle goes. What `own` sends is left out: its
/// writer rings by itself. It listens when this returns.
pub(in crate::store) async fn listen(
    server: &Server,
    bells: Bells,
    own: String,
) -> Result<AbortOnDropHandle<()>, StoreError> {
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.acquire_timeout(PAUSE).connect_lazy_with(server.options.clone());
    let mut listener = begin(&pool).await.map_err(|error| server.no_connection(&error))?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            hear(&mut listener, &bells, &own).await;
            listener = loop {
                match begin(&pool).await {
                    Ok(listener) => break listener,
                    Err(error) => tracing::debug!(%error, "other processes' commits are not heard of for now"),
                }
                tokio::time::sleep(PAUSE).await;
            };
            // What was committed meanwhile was not heard.
            bells.ring(true, true);
        }
    })))
}

async fn begin(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen_all([INBOX, OUTBOX]).await?;
    Ok(listener)
}

/// Returns when the connection is lost.
async fn hear(listener: &mut PgListener, bells: &Bells, own: &str) {
    while let Ok(Some(word)) = listener.try_recv().await {
        if word.payload() != own {
            bells.ring(word.channel() == INBOX, word.channel() == OUTBOX);
        }
    }
}
