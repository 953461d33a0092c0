//! Telling other replicas: what `Lease::tell` gathers is sent, on a connection of its own and outside of transactions.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{Process, Server, listen};
use crate::store::StoreError;
use crate::store::lease::Lease;

/// How long words are gathered before they are sent.
const GATHERING: Duration = Duration::from_millis(50);
/// How long the server may take, the connection included.
const REQUEST: Duration = Duration::from_secs(2);

/// Sends what there is to tell, until the handle goes. What can't be sent is lost: who needs it looks as well.
pub(in crate::store) fn tell(server: Server, process: Process, lease: Lease) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut connection = None;
        loop {
            lease.outgoing().grew().await;
            tokio::time::sleep(GATHERING).await;
            let payloads = lease.outgoing().take(process.as_str());
            if payloads.is_empty() {
                continue;
            }
            match timeout(REQUEST, send(&server, &mut connection, &payloads)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the other replicas are not told for now");
                    connection = None;
                }
                Err(_) => connection = None,
            }
        }
    }))
}

async fn send(server: &Server, connection: &mut Option<PgConnection>, payloads: &[String]) -> Result<(), StoreError> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(server.connect_plainly().await?),
    };
    sqlx::query("SELECT pg_notify($1, it) FROM UNNEST($2::TEXT[]) AS it")
        .bind(listen::WORDS)
        .bind(payloads)
        .execute(connection)
        .await?;
    Ok(())
}
