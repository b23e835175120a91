//! What a fault strikes: three processes behind nginx, over a Redis and a PostgreSQL of
//! their own, each behind a door that can be cut.

use std::net::SocketAddr;

use bytes::Bytes;
use futures::future::join_all;
use sqlx::PgConnection;
use synckairos::domain::chain::Link;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::session::restore::Outage;
use synckairos::domain::time::Timestamp;
use synckairos::ledger::postgres::PostgresLedger;
use synckairos::ledger::{HistoryRow, Ledger as _, Row};
use testkit::nginx::Nginx;
use testkit::postgres;
use testkit::process::Process;
use testkit::proxy::Proxy;
use testkit::redis::{Keeps, Server, Trio};

use crate::harness::cluster::TENANT;
use crate::harness::process::Host;
use crate::harness::sql::connect;
use crate::harness::{eventually, soon};

/// What PostgreSQL has when it is new, and little more.
const SMALL_DISK_MIB: u32 = 160;

/// How all is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployed {
    /// It keeps nothing when it is killed.
    Forgetful,
    /// It appends to a file, `everysec`.
    Appending,
    /// The same, and PostgreSQL has a small disk.
    Cramped,
    /// Three masters, and a replica of the first.
    Cluster,
    /// A master, a replica, and a sentinel.
    Sentinel,
}

/// Redis, and the door before it where there is one.
pub enum Redis {
    One { server: Server, door: Proxy },
    Cluster { trio: Trio, replica: Server },
    WithSentinel { master: Server, replica: Server, sentinel: Server },
}

pub struct Testbed {
    pub redis: Redis,
    pub postgres: postgres::Server,
    pub postgres_door: Proxy,
    pub database: String,
    pub hosts: Vec<Host>,
    pub processes: Vec<Option<Process>>,
    pub nginx: Nginx,
}

impl Redis {
    async fn start(deployed: Deployed) -> Self {
        match deployed {
            Deployed::Forgetful => Self::one(Server::start(Keeps::Nothing)).await,
            Deployed::Appending | Deployed::Cramped => {
                Self::one(Server::with(Keeps::All, &["--appendfsync", "everysec"])).await
            }
            Deployed::Cluster => {
                let trio = Trio::start();
                let replica = trio.replica_of_first();
                Self::Cluster { trio, replica }
            }
            Deployed::Sentinel => {
                let master = Server::start(Keeps::Nothing);
                let port = master.port().to_string();
                let replica = Server::with(Keeps::Nothing, &["--replicaof", "127.0.0.1", &port]);
                master.set_clock_offset_ms(0);
                master.until_copied();
                let sentinel = Server::sentinel(&master);
                Self::WithSentinel { master, replica, sentinel }
            }
        }
    }

    async fn one(server: Server) -> Self {
        // Without an offset, the first instance waits for one with a better clock.
        server.set_clock_offset_ms(0);
        let door = Proxy::to(server.port()).await;
        Self::One { server, door }
    }

    fn url(&self) -> String {
        match self {
            Self::One { door, .. } => format!("redis://{}", door.address),
            Self::Cluster { trio, .. } => trio.url(),
            Self::WithSentinel { sentinel, .. } => {
                format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=main", sentinel.port())
            }
        }
    }
}

impl Testbed {
    /// With hosts as `change` makes them.
    pub async fn of(deployed: Deployed, change: impl Fn(usize, Host) -> Host) -> Self {
        let redis = Redis::start(deployed).await;
        let postgres = match deployed {
            Deployed::Cramped => postgres::Server::on_small_disk(SMALL_DISK_MIB).await,
            _ => postgres::Server::own(&[]).await,
        };
        let database = postgres.database().await;
        PostgresLedger::migrate(&database, "chaos").await.unwrap();
        let port = port_in(&database);
        let postgres_door = Proxy::to(port).await;
        let through = database.replace(&format!(":{port}/"), &format!(":{}/", postgres_door.address.port()));
        let log = super::setting("LOG").unwrap_or_default();
        let led =
            |host: Host| host.with("REDIS_URL", &redis.url()).with("DATABASE_URL", &through).with("RUST_LOG", &log);
        let hosts: Vec<_> = (0..3).map(|number| change(number, led(Host::new()))).collect();
        let processes = join_all(hosts.iter().map(Host::serve)).await.into_iter().map(Some).collect();
        let nginx = Nginx::before(hosts.iter().map(Host::address)).await;
        let testbed = Self { redis, postgres, postgres_door, database, hosts, processes, nginx };
        testbed.until_members().await;
        testbed
    }

    /// An instance knows its share of the partitions only once it knows all members.
    async fn until_members(&self) {
        for host in &self.hosts {
            let all = "synckairos_members 3";
            eventually("all are seen", async || host.scrape().await.contains(all).then_some(())).await;
        }
    }

    /// Where clients may knock: the instances, and nginx as the fourth.
    pub fn doors(&self) -> Vec<SocketAddr> {
        self.hosts.iter().map(Host::address).chain([self.nginx.address]).collect()
    }

    pub fn process(&self, number: usize) -> &Process {
        self.processes[number].as_ref().expect("it runs")
    }

    /// The Redis that is alone.
    pub fn server(&mut self) -> &mut Server {
        let Redis::One { server, .. } = &mut self.redis else { panic!("there are several") };
        server
    }

    pub fn redis_door(&self) -> &Proxy {
        let Redis::One { door, .. } = &self.redis else { panic!("there is none") };
        door
    }

    /// All rows of a session, and what the ledger says of absences.
    pub async fn recorded(&self, sessions: &[String]) -> (Vec<Row>, Vec<Outage>) {
        let ledger = PostgresLedger::open(&self.database, "chaos").await.unwrap();
        let mut connection = connect(&self.database).await.unwrap();
        let mut rows = Vec::new();
        for session in sessions {
            let key = SessionKey {
                tenant: TenantId::new(TENANT).unwrap(),
                session: SessionId::new(session.as_str()).unwrap(),
            };
            let mut after = None;
            loop {
                let page = ledger.history(&key, after, 1_000).await.unwrap().rows;
                let Some(last) = page.last() else { break };
                after = Some(last.link.position);
                for HistoryRow { link, change, superseded } in page {
                    let body = body(&mut connection, session, &link).await;
                    rows.push(Row { key: key.clone(), link, body, change, superseded });
                }
            }
        }
        ledger.close().await;
        (rows, self.absences().await)
    }

    /// The newest version that the ledger holds of a session.
    pub async fn holds(&self, session: &str) -> Option<i64> {
        let mut connection = connect(&self.database).await.ok()?;
        let question = "select max(version) from session_snapshot where session_id = $1";
        sqlx::query_scalar(question).bind(session).fetch_one(&mut connection).await.ok()?
    }

    pub async fn in_ledger(&self, statement: &'static str) {
        let mut connection = connect(&self.database).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    async fn absences(&self) -> Vec<Outage> {
        let mut connection = connect(&self.database).await.unwrap();
        let question = "select gone_at, back_at from absence";
        let rows: Vec<(i64, i64)> = sqlx::query_as(question).fetch_all(&mut connection).await.unwrap();
        let at = Timestamp::from_ms;
        rows.into_iter().map(|(from, until)| Outage { from: at(from), until: at(until) }).collect()
    }

    /// Puts the logs where they outlive the testbed, and says where.
    pub fn keep_logs(&self, name: &str) -> String {
        let folder = std::env::temp_dir().join(format!("synckairos-chaos-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (number, process) in self.processes.iter().enumerate() {
            let log = process.as_ref().map(Process::log).unwrap_or_default();
            std::fs::write(folder.join(format!("{name}-{number}.log")), log).unwrap();
        }
        folder.display().to_string()
    }

    /// Ends all in order; gives who did not end well.
    pub async fn end(mut self) -> Vec<String> {
        let ending = self.processes.drain(..).flatten().map(Process::terminate);
        let ended = soon("the end of all", join_all(ending)).await;
        ended.into_iter().filter(|status| !status.success()).map(|status| format!("ended with {status}")).collect()
    }
}

fn port_in(url: &str) -> u16 {
    let (_, rest) = url.split_once("@127.0.0.1:").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// A history comes without bodies.
async fn body(connection: &mut PgConnection, session: &str, link: &Link) -> Option<Bytes> {
    let question = "select body from session_snapshot \
        where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 and digest = $5";
    let digest = link.digest();
    let asked = sqlx::query_scalar(question).bind(TENANT).bind(session).bind(link.position.epoch);
    let asked = asked.bind(link.position.version.cast_signed()).bind(digest.as_bytes().as_slice());
    let body: Option<Vec<u8>> = asked.fetch_one(connection).await.unwrap();
    body.map(Bytes::from)
}
