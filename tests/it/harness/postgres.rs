//! A PostgreSQL of the tests' own, on a free loopback port: killed, stopped, started again.
//!
//! It stands on the binaries of the machine and touches no server that runs already.
//! `SYNCKAIROS_TEST_POSTGRES_URL` names another for the tests that only need a database.
//! The library's own tests include this file too.
#![allow(dead_code, reason = "the library's tests and those from outside each use a part of it")]

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use tokio::time::Instant;

/// Who owns its tables.
const USER: &str = "synckairos";

/// A start, crash recovery included, takes no longer.
const START: Duration = Duration::from_secs(20);

/// One server and its folder; gone with the last who holds it.
pub struct Server {
    place: Place,
}

enum Place {
    Own { disk: Option<Disk>, folder: TempDir, port: u16, running: Mutex<Option<Running>>, settings: Vec<String> },
    Elsewhere(String),
}

/// A disk in memory over a folder, small enough to be filled.
struct Disk(PathBuf);

impl Disk {
    /// # Panics
    /// Only root may mount.
    fn over(folder: &Path, mib: u32) -> Self {
        let size = format!("size={mib}m,mode=755");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output().unwrap();
        assert!(done.status.success(), "no small disk: {}", String::from_utf8_lossy(&done.stderr));
        Self(folder.to_owned())
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.ballast()).unwrap();
        let block = [0; 4096];
        let error = loop {
            if let Err(error) = file.write_all(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever the server had started may hold a file for a moment; the name goes at once.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A process, and the thread it belongs to. It is killed when that thread ends, so
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
        let server = Arc::new(match elsewhere() {
            Some(url) => Self { place: Place::Elsewhere(url) },
            None => Self::own(&[]).await,
        });
        *shared = Arc::downgrade(&server);
        server
    }

    /// One for a test that stops or kills it, with settings of its own.
    pub async fn own(settings: &[&str]) -> Self {
        Self::at(folder(), None, settings).await
    }

    /// One whose disk can be filled.
    pub async fn on_small_disk(mib: u32) -> Self {
        let folder = folder();
        let disk = Disk::over(folder.path(), mib);
        Self::at(folder, Some(disk), &[]).await
    }

    async fn at(folder: TempDir, disk: Option<Disk>, settings: &[&str]) -> Self {
        copy(&template(), &folder.path().join("data"));
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let place = Place::Own { disk, folder, port: free_port(), running: Mutex::new(None), settings };
        let server = Self { place };
        server.start().await;
        server
    }

    /// Nothing more fits on its disk.
    pub fn fill_disk(&self) {
        self.disk().fill();
    }

    /// There is room again. What had ended for want of it is started, as a supervisor would.
    pub async fn free_disk(&self) {
        std::fs::remove_file(self.disk().ballast()).unwrap();
        let Place::Own { running, .. } = &self.place else { panic!("it is not ours") };
        let has_ended = running.lock().unwrap().as_ref().is_none_or(|running| running.waits.is_finished());
        if has_ended {
            self.start().await;
        }
    }

    fn disk(&self) -> &Disk {
        let Place::Own { disk: Some(disk), .. } = &self.place else { panic!("it has no disk of its own") };
        disk
    }

    /// Starts it, and waits until it answers.
    pub async fn start(&self) {
        let Place::Own { folder, port, running, settings, .. } = &self.place else { panic!("it is not ours") };
        let until = Instant::now() + START;
        *running.lock().unwrap() = Some(run(folder.path(), *port, settings));
        let mut every = tokio::time::interval(Duration::from_millis(20));
        while let Err(error) = connect(&self.url("postgres")).await {
            every.tick().await;
            assert!(Instant::now() < until, "PostgreSQL does not answer: {error}\n{}", self.log());
            // After a kill, those it had started may hold its memory for a moment.
            let mut running = running.lock().unwrap();
            if running.as_ref().is_none_or(|running| running.waits.is_finished()) {
                *running = Some(run(folder.path(), *port, settings));
            }
        }
    }

    /// SIGKILL: no goodbye, and what was not written is gone as after a crash.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// Ends connections and stops in order, as an administrator would.
    pub fn stop(&self) {
        self.end("INT");
    }

    /// Holds it still: connections stay, and nothing is answered.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    fn end(&self, signal: &str) {
        let Place::Own { running, .. } = &self.place else { panic!("it is not ours") };
        let running = running.lock().unwrap().take().expect("it runs");
        send(signal, &[running.pid]);
        running.waits.join().unwrap();
    }

    fn signal_all(&self, signal: &str) {
        let Place::Own { running, .. } = &self.place else { panic!("it is not ours") };
        let pid = running.lock().unwrap().as_ref().expect("it runs").pid;
        let mut all = vec![pid];
        all.extend(children(pid));
        send(signal, &all);
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        let Place::Own { folder, .. } = &self.place else { panic!("it is not ours") };
        let log = std::fs::read(folder.path().join("log")).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The address of a database of that name.
    pub fn url(&self, database: &str) -> String {
        match &self.place {
            Place::Own { port, .. } => format!("postgres://{USER}@127.0.0.1:{port}/{database}?sslmode=disable"),
            Place::Elsewhere(url) => {
                let options = PgConnectOptions::from_str(url).unwrap().database(database);
                options.to_url_lossy().to_string()
            }
        }
    }

    /// A database of its own for a test; gives its address.
    pub async fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sk_test_{}_{number}", std::process::id());
        let maintenance = match &self.place {
            Place::Own { .. } => self.url("postgres"),
            Place::Elsewhere(url) => url.clone(),
        };
        let mut connection = connect(&maintenance).await.unwrap();
        for statement in [format!("drop database if exists {name}"), format!("create database {name}")] {
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        self.url(&name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Place::Own { running, .. } = &mut self.place else { return };
        let running = running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            // At once, with all it has started, so that the folder can go.
            send("QUIT", &[running.pid]);
            let _ = running.waits.join();
        }
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// A connection that asks for nothing special.
pub async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    PgConnectOptions::from_str(url)?.disable_statement_logging().connect().await
}

#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the service")]
fn elsewhere() -> Option<String> {
    std::env::var("SYNCKAIROS_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty())
}

/// Debian keeps the binaries off the path, a folder a version; the newest is taken.
fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.filter_map(|entry| Some((version(&entry.path())?, entry.path()))).collect();
    found.sort();
    let debian = found.pop().map(|(_, path)| path.join("bin").join(name)).filter(|path| path.exists());
    let elsewhere = ["/usr/bin", "/usr/local/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin"];
    let on_path = || elsewhere.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    debian.or_else(on_path).unwrap_or_else(|| {
        panic!("PostgreSQL is not installed: no {name} in /usr/lib/postgresql (install the package postgresql)")
    })
}

fn version(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.parse().ok()
}

/// PostgreSQL refuses to run as root, so it runs as who it was installed for.
fn as_its_user(binary: &Path) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
        return command;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig", "KILL", "--"]).arg(binary);
    command
}

/// A fresh folder of data, made once a machine and copied for each server.
fn template() -> PathBuf {
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    let initdb = binary("initdb");
    let version = Command::new(&initdb).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let version = version.split_whitespace().nth(2).expect("`initdb (PostgreSQL) 15.4`");
    let folder = std::env::temp_dir().join(format!("synckairos-test-postgres-{uid}-{version}"));
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(std::fs::metadata(&folder).unwrap().uid(), uid, "{} is somebody else's", folder.display());
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let template = folder.join("data");
    if !template.exists() {
        make(&initdb, &folder, &template);
    }
    template
}

fn make(initdb: &Path, folder: &Path, template: &Path) {
    let begun = folder.join("begun");
    // What an initdb that was killed left over.
    let _ = std::fs::remove_dir_all(&begun);
    std::fs::create_dir(&begun).unwrap();
    own(&begun);
    let mut command = as_its_user(initdb);
    command.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=1"]);
    let done = command.arg("--username").arg(USER).arg("--pgdata").arg(&begun).output().unwrap();
    assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
    std::fs::rename(&begun, template).unwrap();
}

/// Gives a folder to who PostgreSQL runs as.
fn own(folder: &Path) {
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let done = Command::new("chown").arg("postgres:postgres").arg(folder).status().unwrap();
        assert!(done.success());
    }
}

fn copy(template: &Path, data: &Path) {
    let done = Command::new("cp").args(["-a", "--reflink=auto"]).arg(template).arg(data).status().unwrap();
    assert!(done.success());
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
    let (told, pid) = mpsc::channel();
    let waits = std::thread::spawn(move || {
        let mut child = command.spawn().unwrap();
        told.send(child.id()).unwrap();
        child.wait().unwrap();
    });
    Running { pid: pid.recv().unwrap(), waits }
}

fn send(signal: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    // One of them may have ended already.
    let _ = Command::new("kill").arg(format!("-{signal}")).args(pids).stderr(Stdio::null()).status();
}

fn children(pid: u32) -> Vec<u32> {
    let file = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
