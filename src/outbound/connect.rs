//! Connections: a name is resolved, each of its addresses is held against the policy, and those that pass are tried.
//!
//! Names and literal addresses take the same way, and there is no other, so nothing is connected to that the policy
//! has not seen.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::address::AddressPolicy;

/// Finds the addresses of a name. Tests put their own in.
pub(super) type Lookup = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Makes the TCP connections of one client.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) policy: Arc<AddressPolicy>,
    pub(super) timeout: Duration,
    pub(super) lookup: Lookup,
}

/// What the policy forbids. It is told apart by its type, however deep it lies in an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` leads to {}, which is not an address of the public internet", list(addresses))]
pub(super) struct NotPermitted {
    host: String,
    addresses: Vec<IpAddr>,
}

fn list(addresses: &[IpAddr]) -> String {
    let shown: Vec<String> = addresses.iter().take(3).map(ToString::to_string).collect();
    shown.join(", ")
}

/// Asks the system.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|host, port| async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) }.boxed())
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Connector {
    async fn connect(self, target: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let host = target.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let usual = if target.scheme_str() == Some("https") { 443 } else { 80 };
        let port = target.port_u16().unwrap_or(usual);
        let deadline = Instant::now() + self.timeout;
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {:?}", self.timeout));
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                let found = (self.lookup)(host.clone(), port);
                tokio::time::timeout_at(deadline, found).await.map_err(|_| late())??
            }
        };
        let permitted: Vec<SocketAddr> =
            addresses.iter().copied().filter(|address| self.policy.permits(&host, address.ip())).collect();
        if permitted.is_empty() && !addresses.is_empty() {
            let addresses = addresses.iter().map(SocketAddr::ip).collect();
            return Err(NotPermitted { host, addresses }.into());
        }
        let mut trouble = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for (index, address) in permitted.iter().enumerate() {
            // One address that doesn't answer must not use up the time of the others.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(permitted.len() - index).unwrap_or(u32::MAX);
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => trouble = error,
                Err(_) => trouble = late(),
            }
        }
        Err(trouble.into())
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        self.clone().connect(target).boxed()
    }
}
