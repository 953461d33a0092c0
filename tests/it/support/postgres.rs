//! Databases on a real PostgreSQL server, each for one test, and a gate before them that can be closed.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The address of a superuser on the server that the tests may use (`tests/postgres` starts one).
const SERVER: &str = "LONGBOAT_TEST_POSTGRES";

/// Runs a test with the URL of a new, empty database, and drops the database afterwards however the test ended.
/// Without a server the test says so and passes, unless `LONGBOAT_REQUIRE_PEERS=1` wants every peer.
pub async fn with_database<F: Future<Output = ()>>(test: impl FnOnce(String) -> F) {
    let Ok(server) = std::env::var(SERVER) else {
        assert!(std::env::var("LONGBOAT_REQUIRE_PEERS").as_deref() != Ok("1"), "{SERVER} is not set");
        eprintln!("left out: {SERVER} is not set; `tests/postgres run COMMAND` sets it");
        return;
    };
    let name = format!("longboat_journey_{}_{:08x}", std::process::id(), fastrand::u32(..));
    administer(&server, format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).await;
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    let outcome = AssertUnwindSafe(Box::pin(test(format!("{base}/{name}")))).catch_unwind().await;
    administer(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a statement as the superuser, on the database that the server's address names.
async fn administer(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.expect("the server answers");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("the server does it");
    connection.close().await.expect("closes");
}

/// An address of its own for a server: closed, it is a server that was stopped. Nobody is let in, and who is in is
/// thrown out.
pub struct Gate {
    address: SocketAddr,
    server: String,
    shut: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Gate {
    /// A gate before the server of a database, open, and the URL that leads through it.
    pub async fn before(url: &str) -> (Self, String) {
        let (user, rest) = url.split_once('@').expect("a user");
        let (server, database) = rest.split_once('/').expect("a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut gate = Self { address, server: server.to_owned(), shut: CancellationToken::new(), task: None };
        gate.serve(listener);
        (gate, format!("{user}@{address}/{database}"))
    }

    /// As if the server were stopped.
    pub async fn close(&mut self) {
        self.shut.cancel();
        if let Some(task) = self.task.take() {
            task.await.expect("the gate works");
        }
    }

    /// As if it were started again.
    pub async fn open(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the same port");
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        self.shut = CancellationToken::new();
        self.task = Some(tokio::spawn(serve(listener, self.server.clone(), self.shut.clone())));
    }
}

/// Passes on until the gate is closed.
async fn serve(listener: TcpListener, server: String, shut: CancellationToken) {
    let mut passages = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = shut.cancelled() => break,
            Ok((mut client, _)) = listener.accept() => {
                let mut server = TcpStream::connect(&server).await.expect("the server answers");
                passages.spawn(async move {
                    // However it ends, both sides are closed.
                    let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        }
    }
    passages.shutdown().await;
}
