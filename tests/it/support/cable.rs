//! The network between a server and its database, which can swallow everything.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    swallows: bool,
    /// Connections made under another number are gone.
    age: u64,
}

/// A way to a database by a port of its own.
pub struct Cable {
    /// The database, through the cable.
    pub url: String,
    state: watch::Sender<State>,
    _task: AbortOnDropHandle<()>,
}

impl Cable {
    /// Stands between whoever uses [`Cable::url`] and the server of a database.
    pub async fn before(url: &str) -> Self {
        let (user, rest) = url.split_once('@').expect("a user");
        let (server, database) = rest.split_once('/').expect("a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let state = watch::Sender::new(State { swallows: false, age: 0 });
        let (server, states) = (server.to_owned(), state.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.clone(), states.subscribe()));
            }
        });
        Self { url: format!("{user}@{address}/{database}"), state, _task: AbortOnDropHandle::new(task) }
    }

    /// From now on nothing comes through, and nobody is told.
    pub fn swallow(&self) {
        self.state.send_modify(|state| state.swallows = true);
    }

    /// All comes through again. Either what was on its way arrives now, late, or the connections of before are gone.
    pub fn heal(&self, gone: bool) {
        self.state.send_modify(|state| *state = State { swallows: false, age: state.age + u64::from(gone) });
    }
}

async fn carry(mut client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let born = state.borrow_and_update().age;
    let mut upstream: Option<TcpStream> = None;
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let now = *state.borrow_and_update();
        if now.age != born {
            return;
        }
        if now.swallows {
            if state.changed().await.is_err() {
                return;
            }
            continue;
        }
        let server = match &mut upstream {
            Some(server) => server,
            none => match TcpStream::connect(&server).await {
                Ok(stream) => none.insert(stream),
                Err(_) => return,
            },
        };
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            read = client.read(&mut from_client) => {
                let Some(count) = read.ok().filter(|count| *count > 0) else { return };
                if server.write_all(&from_client[..count]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Some(count) = read.ok().filter(|count| *count > 0) else { return };
                if client.write_all(&from_server[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
