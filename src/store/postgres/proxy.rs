//! A network between the store and its server that tests can break.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use sqlx_core::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Weather {
    Fair,
    /// Each connection that carries the word COMMIT breaks before the server gets it. Then the weather is fair.
    BreakBeforeCommit,
    /// As before, but the server gets it, and its answer is lost.
    BreakAfterCommit,
    /// Nobody gets through.
    Closed,
    /// Everything is swallowed, and nobody learns of it.
    Silent,
}

/// A way to the server by another port.
pub(super) struct Proxy {
    pub(super) url: String,
    weather: Arc<AtomicU8>,
    cut: watch::Sender<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Stands between whoever uses [`Proxy::url`] and the server of `url`.
    pub(super) async fn before(url: &str) -> Self {
        let mut own: Url = url.parse().expect("a URL");
        let server = format!("{}:{}", own.host_str().expect("a host"), own.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        own.set_port(Some(listener.local_addr().expect("an address").port())).expect("a port");
        let weather = Arc::new(AtomicU8::new(Weather::Fair as u8));
        let cut = watch::Sender::new(0);
        let (now, cutting) = (Arc::clone(&weather), cut.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if now.load(Ordering::SeqCst) != Weather::Closed as u8
                    && let Ok(upstream) = TcpStream::connect(&server).await
                {
                    tokio::spawn(carry(client, upstream, Arc::clone(&now), cutting.subscribe()));
                }
            }
        });
        Self { url: own.into(), weather, cut, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn set(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::SeqCst);
    }

    pub(super) fn is_fair(&self) -> bool {
        self.weather.load(Ordering::SeqCst) == Weather::Fair as u8
    }

    /// Breaks all connections.
    pub(super) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, weather: Arc<AtomicU8>, mut cut: watch::Receiver<u64>) {
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            _ = cut.changed() => return,
            read = client.read(&mut from_client) => {
                let Some(count) = read.ok().filter(|count| *count > 0) else { return };
                let commits = from_client[..count].windows(6).any(|word| word == b"COMMIT");
                let now = weather.load(Ordering::SeqCst);
                if now == Weather::Silent as u8 {
                    continue;
                }
                let breaks = commits && now != Weather::Fair as u8 && now != Weather::Closed as u8;
                if breaks {
                    weather.store(Weather::Fair as u8, Ordering::SeqCst);
                }
                if breaks && now == Weather::BreakBeforeCommit as u8 {
                    return;
                }
                if server.write_all(&from_client[..count]).await.is_err() {
                    return;
                }
                if breaks {
                    // The answer says that the server has done it; nobody gets it.
                    let _ = server.read(&mut from_server).await.is_ok();
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Some(count) = read.ok().filter(|count| *count > 0) else { return };
                if weather.load(Ordering::SeqCst) == Weather::Silent as u8 {
                    continue;
                }
                if client.write_all(&from_server[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
