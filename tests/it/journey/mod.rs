//! The whole journey with the real binary, real Git over HTTP and a GitHub that refuses what GitHub refuses.

/// Tests of journeys that get a world: one whose server uses SQLite, one whose server uses PostgreSQL.
macro_rules! on_both_databases {
    ($($journey:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $journey() {
                super::$journey(super::World::new().await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $journey() {
                crate::support::postgres::with_database(|url| async move {
                    super::$journey(super::World::kept_in(&url).await).await;
                })
                .await;
            })+
        }
    };
}

mod admin;
mod artifacts;
mod bad;
mod bitbucket;
mod commit;
mod cron;
mod endings;
mod freeze;
mod hooks;
mod hostile;
mod judgments;
mod kill;
mod lanes;
mod limits;
mod logs;
mod lost;
mod matrix;
mod modules;
mod pipelines;
mod removal;
mod replicas;
mod retention;
mod secrets;
mod story;
mod terminal;
mod together;
#[cfg(feature = "otlp")]
mod traces;
mod webhooks;
pub mod world;
