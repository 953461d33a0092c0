//! Three replicas of the real binary on one database, each with a state folder and a network of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::journey::world::World;
use crate::support::cable::Cable;
use crate::support::server::{Server, signal};

/// What they are called.
pub const NAMES: [&str; 3] = ["red", "green", "blue"];

/// How long a request may take: the replica that is asked may be stopped.
const REQUEST: Duration = Duration::from_secs(12);

/// Where the replicas answer at the moment; for whoever has something to ask while they come and go.
#[derive(Clone)]
pub struct Addresses {
    urls: Arc<Mutex<[Option<String>; 3]>>,
    client: reqwest::Client,
}

impl Addresses {
    /// Asks one that isn't known to be gone, by chance; `None`: it gave no answer.
    pub async fn ask(&self, post: Option<&Value>, path: &str) -> Option<(u16, Value)> {
        let up: Vec<String> = self.urls.lock().expect("whole").iter().flatten().cloned().collect();
        let url = format!("{}{path}", fastrand::choice(up)?);
        let request = match post {
            Some(body) => self.client.post(url).json(body),
            None => self.client.get(url),
        };
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.unwrap_or(Value::Null)))
    }

    fn set(&self, replica: usize, url: Option<String>) {
        self.urls.lock().expect("whole")[replica] = url;
    }
}

/// The replicas.
pub struct Fleet<'w> {
    world: &'w World,
    cables: Vec<Cable>,
    servers: [Option<Server>; 3],
    /// Where they answer.
    pub addresses: Addresses,
}

impl<'w> Fleet<'w> {
    /// Starts all of them.
    pub async fn start(world: &'w World, database: &str) -> Self {
        let mut cables = Vec::new();
        for _ in NAMES {
            cables.push(Cable::before(database).await);
        }
        let client = reqwest::Client::builder().timeout(REQUEST).build().expect("a client");
        let addresses = Addresses { urls: Arc::default(), client };
        let mut fleet = Self { world, cables, servers: [None, None, None], addresses };
        for replica in 0..NAMES.len() {
            fleet.begin(replica);
        }
        fleet
    }

    /// Starts one that is gone.
    pub fn begin(&mut self, replica: usize) {
        let (name, url) = (NAMES[replica], &self.cables[replica].url);
        let server = self.world.serve_otherwise(&format!("{name}.yaml"), |text| {
            format!(
                "{}database: {{url: '{url}', replicas: true}}\n",
                text.replace("stateDir: state}", &format!("stateDir: '{name}', name: '{name}'}}"))
            )
        });
        self.addresses.set(replica, Some(server.url.clone()));
        self.servers[replica] = Some(server);
    }

    /// `kill -9`.
    pub fn kill(&mut self, replica: usize) {
        self.addresses.set(replica, None);
        if let Some(server) = self.servers[replica].take() {
            server.kill();
        }
    }

    /// `SIGSTOP`.
    pub fn pause(&self, replica: usize) {
        signal(self.server(replica).pid(), "STOP");
    }

    /// `SIGCONT`.
    pub fn resume(&self, replica: usize) {
        signal(self.server(replica).pid(), "CONT");
    }

    /// Its network to the database.
    pub fn cable(&self, replica: usize) -> &Cable {
        &self.cables[replica]
    }

    /// One that runs.
    pub fn server(&self, replica: usize) -> &Server {
        self.servers[replica].as_ref().expect("it runs")
    }

    /// Stops all of them in good order.
    pub fn stop(mut self) {
        for server in self.servers.iter_mut().filter_map(Option::take) {
            let log = server.log();
            assert!(server.stop().success(), "{log}");
        }
    }

    /// What all of them wrote to their logs, for a failure.
    pub fn logs(&self) -> String {
        let logs = self.servers.iter().zip(NAMES).filter_map(|(server, name)| Some((name, server.as_ref()?.log())));
        logs.map(|(name, log)| format!("== {name}\n{log}")).collect()
    }
}
