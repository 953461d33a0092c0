//! What two replicas on one PostgreSQL database do together, beside one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longboat::engine::{Engine, EngineOptions};
use longboat::store::{Replicas, Shard, Store, StoreOptions};

use crate::ground::{Bench, Database, Failure, STAGES, TASK, against, figure, median, registry};

/// Executions of a run.
const TOTAL: u64 = 4_000;
/// Live at once, of all replicas together.
const LIVE: usize = 1_000;
/// Runs of each kind; they take turns.
const ROUNDS: usize = 3;

/// Prints the medians of runs that take turns: one process that has the database for itself, one replica, and two.
pub async fn print(prefix: &str, server: &str) -> Result<(), Failure> {
    let (mut alone, mut one, mut two) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(run(server, 0).await?);
        one.push(run(server, 1).await?);
        two.push(run(server, 2).await?);
    }
    let (alone, one, two) = (median(&mut alone), median(&mut one), median(&mut two));
    let name = format!("{prefix}.replicas");
    figure(&format!("{name}.alone"), alone, 0, "stages/s");
    figure(&format!("{name}.one"), one, 0, "stages/s");
    figure(&format!("{name}.two"), two, 0, "stages/s");
    against(&format!("{name}.two"), "one", two, one, 0, "stages/s");
    println!("{name}.two.one.ratio.goal = 0.85");
    Ok(())
}

/// Returns when each has its share of the shards. As long as no engine runs, nobody else gives back what is too much.
async fn even(stores: &[Store]) -> Result<(), Failure> {
    let share = Shard::COUNT / stores.len();
    loop {
        let mut uneven = false;
        for store in stores {
            let owned = *store.shards().borrow();
            if !owned.leaving.is_empty() {
                store.release(owned.leaving);
            }
            uneven |= owned.held.len() != share || !owned.leaving.is_empty();
        }
        if !uneven {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Stages a second of so many replicas; of a process that has the database for itself, if there are none.
async fn run(server: &str, replicas: usize) -> Result<f64, Failure> {
    let bench = Bench::open(Database::Postgres(server), "pair").await?;
    bench.create(TOTAL, TASK, false).await?;
    let mut stores = vec![bench.store.clone()];
    if replicas > 0 {
        bench.store.close().await;
        stores.clear();
        for number in 0..replicas {
            let said = Some(Replicas::named(format!("replica-{number}")));
            let options = StoreOptions { replicas: said, ..StoreOptions::new(bench.url.clone(), format!("{number}")) };
            stores.push(Store::open(options, bench.clock.clone()).await?);
        }
        tokio::time::timeout(Duration::from_secs(30), even(&stores)).await??;
    }
    let calls = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut engines = Vec::new();
    for store in &stores {
        let options = EngineOptions { max_live: LIVE / stores.len(), ..EngineOptions::default() };
        engines.push(Engine::start(store.clone(), bench.clock.clone(), registry(&calls), options).await?);
    }
    while calls.load(Ordering::Relaxed) < TOTAL * STAGES || !stores[0].live().await?.is_empty() {
        if began.elapsed() > Duration::from_secs(120) {
            return Err("the executions don't come to an end".into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    for engine in engines {
        engine.shutdown().await;
    }
    for store in stores {
        store.close().await;
    }
    bench.close().await?;
    Ok((TOTAL * STAGES) as f64 / seconds)
}
