//! What a replica notices about itself and the others: for the log and the figures.

use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::store::{Duty, ReplicaState, Store, Terms, disagree};
use crate::telemetry::metrics;

/// How often it looks at the others.
const LOOK: Duration = Duration::from_secs(10);

/// Watches until it is stopped; alone, there is nothing to watch.
pub(super) async fn watch(store: Store, stop: CancellationToken) {
    if !store.is_shared() {
        return;
    }
    let work = async {
        let duties = join_all(Duty::ALL.map(|duty| count_terms(duty, store.duty(duty))));
        tokio::join!(count_shards(&store), duties, compare(&store));
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Counts what is taken and lost.
async fn count_shards(store: &Store) {
    let mut shards = store.shards();
    let mut before = *shards.borrow_and_update();
    metrics().shards_taken(before.held.len());
    while shards.changed().await.is_ok() {
        let now = *shards.borrow_and_update();
        let (lost, gained) = now.since(before);
        metrics().shards_taken(gained.len());
        metrics().shards_lost(lost.len());
        before = now;
    }
}

async fn count_terms(duty: Duty, mut terms: Terms) {
    loop {
        let begun = *terms.borrow_and_update();
        if begun.is_some() {
            metrics().duty_taken(duty.as_str());
            tracing::info!(duty = duty.as_str(), "this replica has the duty");
        }
        if terms.changed().await.is_err() {
            return;
        }
    }
}

/// Says when the configurations begin and cease to differ.
async fn compare(store: &Store) {
    let mut differed = false;
    loop {
        // Whether the database can be read is said by others.
        if let Ok(replicas) = store.replicas().await {
            let differ = disagree(&replicas);
            if differ != differed {
                say(differ, &replicas);
                differed = differ;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn say(differ: bool, replicas: &[ReplicaState]) {
    if !differ {
        tracing::info!("the configurations of all replicas are the same again");
        return;
    }
    let each: Vec<String> = replicas
        .iter()
        .filter(|replica| replica.alive)
        .map(|replica| format!("{} {}", replica.said.name, replica.said.digest.chars().take(8).collect::<String>()))
        .collect();
    tracing::warn!(
        replicas = each.join(", "),
        "the configurations of the replicas differ (repositories, modules, vars, prefix of statuses, ...): what is done \
         depends on which of them does it; that is as it should be only while a new configuration is being rolled out"
    );
}
