//! One PostgreSQL server.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::client::{execute, is_ready, query};
use super::disk::Disk;
use super::installation::{USER, as_its_user, binary, copy, template};
use crate::ports::{free_port, is_listening};
use crate::process::{children, signal_all};

/// A start, crash recovery included, takes no longer.
const START_TIMEOUT: Duration = Duration::from_secs(20);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How many ports are tried: a program outside the tests may take one.
const MAX_START_ATTEMPTS: usize = 5;

/// What the names of the tests' databases begin with; the process id and a number follow.
const DATABASE_PREFIX: &str = "sk_test_";

/// One server and its folder; both end when the last owner drops it.
pub struct Server {
    place: Place,
}

enum Place {
    Local(Local),
    External { url: String },
}

struct Local {
    disk: Option<Disk>,
    folder: TempDir,
    port: u16,
    running: Mutex<Option<Running>>,
    settings: Vec<String>,
}

/// A process, and the thread that spawned it. The process is killed when that thread ends, so
/// that a test which is killed itself leaves nothing behind.
struct Running {
    pid: u32,
    waits: JoinHandle<()>,
}

impl Server {
    /// The one that the tests of this process share.
    pub async fn shared() -> Arc<Self> {
        static SHARED: tokio::sync::Mutex<Weak<Server>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(match external() {
            Some(url) => Self { place: Place::External { url } },
            None => Self::own(&[]).await,
        });
        *shared = Arc::downgrade(&server);
        server
    }

    /// One for a test that stops or kills it, with settings of its own.
    pub async fn own(settings: &[&str]) -> Self {
        Self { place: Place::Local(Local::start(folder(), None, settings).await) }
    }

    /// One whose disk can be filled.
    pub async fn on_small_disk(mib: u32) -> Self {
        let folder = folder();
        let disk = Disk::over(folder.path(), mib);
        Self { place: Place::Local(Local::start(folder, Some(disk), &[]).await) }
    }

    fn local(&self) -> &Local {
        let Place::Local(local) = &self.place else { panic!("the tests did not start it") };
        local
    }

    fn disk(&self) -> &Disk {
        self.local().disk.as_ref().expect("it has a disk of its own")
    }

    /// Fills its disk.
    pub fn fill_disk(&self) {
        self.disk().fill();
    }

    /// Makes room again, and starts the server if it had ended for want of it, as a supervisor would.
    pub async fn free_disk(&self) {
        self.disk().free();
        if self.local().has_ended() {
            self.start().await;
        }
    }

    /// Starts it again, and waits until it answers.
    pub async fn start(&self) {
        let until = Instant::now() + START_TIMEOUT;
        // After a kill, processes of the old server may hold its memory for a moment: then the new one ends at once.
        while !self.local().answers(until).await {
            sleep(POLL_INTERVAL).await;
        }
    }

    /// SIGKILL: no goodbye, and what was not written is gone as after a crash.
    pub fn kill(&self) {
        self.local().end("KILL");
    }

    /// Ends connections and stops in order, as an administrator would.
    pub fn stop(&self) {
        self.local().end("INT");
    }

    /// Holds it still: connections stay, and nothing is answered.
    pub fn freeze(&self) {
        self.local().signal_all("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.local().signal_all("CONT");
    }

    /// Everything that it logged.
    pub fn log(&self) -> String {
        self.local().log()
    }

    /// The address of a database of that name.
    pub fn url(&self, database: &str) -> String {
        match &self.place {
            Place::Local(local) => local.url(database),
            Place::External { url } => with_database(url, database),
        }
    }

    /// A database of its own for a test; gives its address.
    pub async fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{DATABASE_PREFIX}{}_{number}", std::process::id());
        let maintenance = match &self.place {
            Place::Local(local) => local.url("postgres"),
            Place::External { url } => url.clone(),
        };
        let statements = [format!("drop database if exists {name}"), format!("create database {name}")];
        let is_external = matches!(self.place, Place::External { .. });
        let create = move || {
            if is_external {
                drop_abandoned(&maintenance);
            }
            execute(&maintenance, &statements)
        };
        tokio::task::spawn_blocking(create).await.unwrap().unwrap();
        self.url(&name)
    }
}

impl Local {
    async fn start(folder: TempDir, disk: Option<Disk>, settings: &[&str]) -> Self {
        copy(&template(), &folder.path().join("data"));
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut local = Self { disk, folder, port: 0, running: Mutex::new(None), settings };
        for _ in 0..MAX_START_ATTEMPTS {
            local.port = free_port();
            if local.answers(Instant::now() + START_TIMEOUT).await {
                return local;
            }
        }
        panic!("PostgreSQL does not start: {}", local.log());
    }

    /// Runs it, and waits until this process answers. False if it ends before that.
    async fn answers(&self, until: Instant) -> bool {
        let pid = {
            let running = run(self.folder.path(), self.port, &self.settings);
            self.running.lock().unwrap().insert(running).pid
        };
        while !(is_listening(pid, self.port) && self.is_ready().await) {
            assert!(Instant::now() < until, "PostgreSQL does not answer: {}", self.log());
            if self.has_ended() {
                return false;
            }
            sleep(POLL_INTERVAL).await;
        }
        true
    }

    async fn is_ready(&self) -> bool {
        let url = self.url("postgres");
        tokio::task::spawn_blocking(move || is_ready(&url)).await.unwrap()
    }

    fn has_ended(&self) -> bool {
        self.running.lock().unwrap().as_ref().is_none_or(|running| running.waits.is_finished())
    }

    fn end(&self, signal: &str) {
        let running = self.running.lock().unwrap().take().expect("it runs");
        signal_all(signal, &[running.pid]);
        running.waits.join().unwrap();
    }

    fn signal_all(&self, signal: &str) {
        let pid = self.running.lock().unwrap().as_ref().expect("it runs").pid;
        let mut all = vec![pid];
        all.extend(children(pid));
        signal_all(signal, &all);
    }

    fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            // At once, with all it has started, so that the folder can go.
            signal_all("QUIT", &[running.pid]);
            let _ = running.waits.join();
        }
    }
}

/// Drops the databases of test processes that have ended. Another process may do the same at once, so a failure is
/// left to the next one.
fn drop_abandoned(maintenance: &str) {
    let names = query(maintenance, &format!("select datname from pg_database where datname like '{DATABASE_PREFIX}%'"));
    for name in names.iter().flat_map(|names| names.lines()).filter(|name| is_abandoned(name)) {
        let _ = execute(maintenance, &[format!("drop database if exists {name} with (force)")]);
    }
}

/// Whether the process that made a database has ended.
fn is_abandoned(database: &str) -> bool {
    let pid = database.strip_prefix(DATABASE_PREFIX).and_then(|rest| rest.split('_').next());
    pid.and_then(|pid| pid.parse::<u32>().ok()).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the service")]
fn external() -> Option<String> {
    std::env::var("SYNCKAIROS_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty())
}

/// The same address, but for the database: `scheme://authority/database?parameters`.
fn with_database(url: &str, database: &str) -> String {
    let (url, parameters) = url.split_at(url.find('?').unwrap_or(url.len()));
    let authority = url.find("://").map_or(0, |at| at + "://".len());
    let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    format!("{}/{database}{parameters}", &url[..end])
}

fn run(folder: &Path, port: u16, settings: &[String]) -> Running {
    let log = File::options().append(true).create(true).open(folder.join("log")).unwrap();
    let mut command = as_its_user(&binary("postgres"));
    command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
    let quick = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "full_page_writes=off",
        "shared_buffers=32MB",
        "max_connections=60",
    ];
    let settings = settings.iter().map(String::as_str);
    for setting in quick.into_iter().chain(settings) {
        command.args(["-c", setting]);
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let (sender, pid) = mpsc::channel();
    let waits = std::thread::spawn(move || {
        let mut child = command.spawn().unwrap();
        sender.send(child.id()).unwrap();
        child.wait().unwrap();
    });
    Running { pid: pid.recv().unwrap(), waits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_outlives_its_process_by_little() {
        assert!(!is_abandoned(&format!("{DATABASE_PREFIX}{}_0", std::process::id())));
        // No process has the largest number.
        assert!(is_abandoned(&format!("{DATABASE_PREFIX}{}_0", u32::MAX)));
        for other in ["postgres", "sk_test_", "sk_test_x_1", "production_1_2"] {
            assert!(!is_abandoned(other), "{other}");
        }
    }

    #[test]
    fn the_database_of_an_address_is_replaced() {
        for (url, other) in [
            ("postgres://u:p@h:1/a?sslmode=disable", "postgres://u:p@h:1/b?sslmode=disable"),
            ("postgres://h", "postgres://h/b"),
            ("postgres://h/a", "postgres://h/b"),
        ] {
            assert_eq!(with_database(url, "b"), other);
        }
    }
}
