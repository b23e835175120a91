//! What a cluster consists of, and how each part starts.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::getuid;
use testkit::nginx;
use testkit::redis;

use crate::cluster::{Cluster, POSTGRES_PREFIX};
use crate::failure::Failure;
use crate::options::Options;
use crate::programs::Programs;

const REDIS_TIMEOUT: Duration = Duration::from_secs(10);
const POSTGRES_TIMEOUT: Duration = Duration::from_secs(30);
pub const INSTANCE_TIMEOUT: Duration = Duration::from_secs(30);
const NGINX_TIMEOUT: Duration = Duration::from_secs(10);

/// The token that is printed is good for so long: a cluster may stay up for weeks.
const TOKEN_LIFE_MS: i64 = 30 * 24 * 3_600_000;

const KEY_BYTES: usize = 32;

impl Cluster {
    /// Starts Redis; gives its address.
    pub fn start_redis(&self, programs: &Programs, options: &Options) -> Result<String, Failure> {
        let names = self.layout.redis_names();
        for name in &names {
            self.begin_redis(name, programs, options)?;
        }
        for name in &names {
            let answers = || redis::answers(self.layout.port(name), &["PING"], "PONG");
            self.until_ready(name, REDIS_TIMEOUT, answers)?;
        }
        let addresses: Vec<_> = names.iter().map(|name| self.layout.address(name)).collect();
        let [first, second, third] = addresses[..] else { return Ok(format!("redis://{}", addresses[0])) };
        let ports = names.iter().map(|name| (self.layout.port(name), self.layout.port(&format!("bus-{name}"))));
        redis::form_cluster(&ports.collect::<Vec<_>>())?;
        for name in &names {
            let agrees = || redis::answers(self.layout.port(name), &["CLUSTER", "INFO"], "cluster_state:ok");
            self.until_ready(name, REDIS_TIMEOUT, agrees)?;
        }
        Ok(format!("redis-cluster://{first}?node={second}&node={third}"))
    }

    fn begin_redis(&self, name: &str, programs: &Programs, options: &Options) -> Result<(), Failure> {
        let data = self.make_subfolder(&format!("data/{name}"))?;
        let mut words = words(&[&text(&programs.redis), "--bind", "127.0.0.1", "--port"]);
        words.extend([self.layout.port(name).to_string(), "--dir".to_owned(), text(&data)]);
        let aof = if options.has_aof { "yes" } else { "no" };
        words.extend(self::words(&["--save", "", "--appendonly", aof, "--appendfsync", "everysec"]));
        words.extend(self::words(&["--maxmemory-policy", "noeviction"]));
        if options.has_redis_cluster {
            let bus = self.layout.port(&format!("bus-{name}")).to_string();
            let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
            words.extend(self::words(&cluster));
        }
        self.begin(name, &words)
    }

    /// Starts PostgreSQL with an empty database; gives its address.
    pub fn start_postgres(&mut self, programs: &Programs) -> Result<String, Failure> {
        self.postgres_data = tempfile::Builder::new().prefix(POSTGRES_PREFIX).tempdir()?.keep();
        self.save()?;
        let (port, data) = (self.layout.port("postgres").to_string(), text(&self.postgres_data));
        let as_its_user = postgres_user(&self.postgres_data)?;
        let mut initdb = as_its_user.clone();
        initdb.extend(words(&[&text(&programs.initdb), "--no-sync", "--auth=trust", "--encoding=UTF8"]));
        initdb.extend(words(&["--locale=C.UTF-8", "--username=synckairos", "--pgdata", &data]));
        self.run_logged("postgres", &initdb, "is not made")?;
        let mut postgres = as_its_user;
        postgres.extend(words(&[&text(&programs.postgres), "-D", &data, "-p", &port]));
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"] {
            postgres.extend(words(&["-c", setting]));
        }
        self.begin("postgres", &postgres)?;
        let url = |database: &str| format!("postgres://synckairos@127.0.0.1:{port}/{database}");
        self.until_ready("postgres", POSTGRES_TIMEOUT, || testkit::postgres::is_ready(&url("postgres")))?;
        testkit::postgres::execute(&url("postgres"), &["create database synckairos".to_owned()])?;
        Ok(url("synckairos"))
    }

    pub fn write_settings(&self, redis_url: &str, database_url: &str) -> Result<(), Failure> {
        let mut key = [0; KEY_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        let key = key.map(|byte| format!("{byte:02x}")).concat();
        let text = format!(
            "redis_url = \"{redis_url}\"\ndatabase_url = \"{database_url}\"\njwt_secret = \"{key}\"\n\
             max_token_life_ms = {TOKEN_LIFE_MS}\nlog_format = \"text\"\ndrain_grace_ms = 0\n"
        );
        self.write("settings.toml", &text)
    }

    pub fn migrate(&self) -> Result<(), Failure> {
        let log = File::create(self.log("migrate"))?;
        let done = self.synckairos(&["migrate"]).stdout(log.try_clone()?).stderr(log).status()?;
        if done.success() { Ok(()) } else { Err(self.quoted("migrate", "does not succeed")) }
    }

    pub fn start_instance(&self, name: &str, programs: &Programs, options: &Options) -> Result<(), Failure> {
        let number: usize = name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(1);
        let offset = options.offsets.get(number - 1).filter(|offset| *offset != "0");
        let mut words = vec!["env".to_owned()];
        if let Some((offset, library)) = offset.zip(programs.faketime.as_ref()) {
            // Waits are measured on the monotonic clock, and hang where that one is changed, too. What it shares
            // between processes would be left behind by a kill -9.
            words.extend([format!("LD_PRELOAD={}", library.display()), format!("FAKETIME={offset}")]);
            words.extend(self::words(&["FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_DISABLE_SHM=1"]));
        }
        // They share the cores of this machine: more threads than cores would only be in each other's way.
        let cores = std::thread::available_parallelism()?.get();
        let threads = (cores / usize::from(self.layout.instances)).max(1);
        words.extend([format!("TOKIO_WORKER_THREADS={threads}"), text(&self.program), "serve".to_owned()]);
        words.extend(self.layout.has_worker.then(|| "--no-audit".to_owned()));
        let (address, metrics) = (self.layout.address(name), self.layout.address(&format!("metrics-{name}")));
        words.extend(self.common(name, &metrics.to_string(), options));
        words.extend(["--listen-addr".to_owned(), address.to_string()]);
        self.begin(name, &words)
    }

    pub fn start_worker(&self, options: &Options) -> Result<(), Failure> {
        let metrics = self.layout.address("metrics-worker").to_string();
        let mut words = vec![text(&self.program), "worker".to_owned()];
        words.extend(self.common("worker", &metrics, options));
        self.begin("worker", &words)
    }

    fn common(&self, name: &str, metrics: &str, options: &Options) -> Vec<String> {
        let data = text(&self.folder.join("data").join(name));
        let mut words = words(&["--config", &text(&self.settings()), "--instance-id", name]);
        words.extend(self::words(&["--metrics-addr", metrics, "--data-dir", &data]));
        words.extend(options.flags.iter().cloned());
        words
    }

    /// Starts nginx with the configuration of docker/ and the addresses of this cluster.
    pub fn start_nginx(&self, programs: &Programs) -> Result<(), Failure> {
        let instances: Vec<_> = self.layout.instance_names().iter().map(|name| self.layout.address(name)).collect();
        let config = nginx::config(self.layout.address("nginx"), &instances);
        // The limit was raised before anything started.
        let lines = config.lines().filter(|line| !line.starts_with("worker_rlimit_nofile"));
        self.write("nginx.conf", &lines.map(|line| format!("{line}\n")).collect::<Vec<_>>().concat())?;
        let (prefix, config) = (self.make_subfolder("data/nginx")?, self.folder.join("nginx.conf"));
        let options = ["-e", "stderr", "-g", "daemon off; pid nginx.pid;"];
        let mut words = words(&[&text(&programs.nginx), "-p", &text(&prefix), "-c", &text(&config)]);
        words.extend(self::words(&options));
        self.begin("nginx", &words)?;
        self.until_ready("nginx", NGINX_TIMEOUT, || self.is_healthy("nginx"))
    }

    /// An operator's token.
    pub fn make_token(&mut self) -> Result<(), Failure> {
        let arguments = ["token", "--tenant", "local", "--role", "operator", "--sub", "cluster", "--ttl", "30d"];
        let output = self.synckairos(&arguments).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err("no token is made".into());
        }
        String::from_utf8_lossy(&output.stdout).trim().clone_into(&mut self.token);
        self.save()
    }

    fn run_logged(&self, name: &str, words: &[String], otherwise: &str) -> Result<(), Failure> {
        let log = File::options().append(true).create(true).open(self.log(name))?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if command.status()?.success() { Ok(()) } else { Err(self.quoted(name, otherwise)) }
    }
}

/// PostgreSQL refuses to run as root: it gets the folder, and root runs it as the user of its package.
fn postgres_user(data: &Path) -> Result<Vec<String>, Failure> {
    if !getuid().is_root() {
        return Ok(Vec::new());
    }
    if !Command::new("chown").arg("postgres:").arg(data).status()?.success() {
        return Err("there is no user postgres".into());
    }
    Ok(words(&["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
