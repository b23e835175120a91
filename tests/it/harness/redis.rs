//! Redis servers of a test's own: on free loopback ports, in folders of their own, killed
//! when dropped. A test may do to them what happens to Redis at its worst.
//!
//! `SYNCKAIROS_TEST_REDIS_URL` may name one that is there already; it is emptied by every
//! test that asks for it, one at a time.
#![allow(dead_code, reason = "two crates include this file, and each needs a part of it")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// So often a server is asked whether it is ready, every 10 ms.
const TRIES: usize = 1_000;

/// A Redis that is not ours.
pub struct Named {
    pub url: String,
    _alone: File,
}

/// The Redis that the environment names, if it does; waits for its turn.
#[expect(clippy::disallowed_methods, reason = "it is the tests' own setting, and no Config is made for them")]
pub fn named() -> Option<Named> {
    let url = std::env::var("SYNCKAIROS_TEST_REDIS_URL").ok()?;
    let alone = File::create(std::env::temp_dir().join("synckairos-test-redis.lock")).unwrap();
    alone.lock().unwrap();
    Some(Named { url, _alone: alone })
}

/// What a server keeps when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing.
    Nothing,
    /// What it answered, all of it.
    All,
}

/// One server.
pub struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
    keeps: Keeps,
    more: Vec<String>,
}

impl Server {
    /// A plain one.
    pub fn start(keeps: Keeps) -> Self {
        Self::with(keeps, &[])
    }

    /// One with more options.
    pub fn with(keeps: Keeps, more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        // A port that was free a moment ago may be taken by now.
        for _ in 0..5 {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let child = spawn(&folder, port, keeps, &more);
            let mut server = Self { child, folder, port, keeps, more: more.clone() };
            if server.is_ready() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// A sentinel that watches over `master`, and decides alone.
    pub fn sentinel(master: &Self) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("sentinel.conf");
        let watched = format!(
            "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 2000\n",
            master.port
        );
        std::fs::write(&file, watched).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).args(["--sentinel", "--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server is not installed, and the tests need it");
        let mut server = Self { child, folder, port, keeps: Keeps::Nothing, more: Vec::new() };
        assert!(server.is_ready(), "the sentinel does not start");
        let knows_replica = |server: &Self| server.say(&["SENTINEL", "REPLICAS", "main"]).contains(&"slave".to_owned());
        server.until("the sentinel knows of no replica", knows_replica);
        server
    }

    /// Returns once a replica has all that was written here.
    pub fn until_copied(&self) {
        self.until("the replica lags behind", |server| server.say(&["WAIT", "1", "100"]) == ["1"]);
    }

    fn until(&self, otherwise: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..TRIES * 2 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{otherwise}");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGKILL: no goodbye.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same server again, with what it kept.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.folder, self.port, self.keeps, &self.more);
        assert!(self.is_ready(), "redis-server does not start again");
    }

    /// Cluster time is so much ahead of this server's, as after a failover from another host.
    pub fn is_behind_by(&self, ms: i64) {
        let said = self.say(&["INFO", "server"]).concat();
        let run_id = said.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap().trim().to_owned();
        self.say(&["HSET", "sk:{clock}", "run_id", &run_id, "offset_ms", &ms.to_string()]);
    }

    /// It neither answers nor goes away.
    pub fn freeze(&self) {
        signal(&self.child, "-STOP");
    }

    pub fn thaw(&self) {
        signal(&self.child, "-CONT");
    }

    /// What it answers to a command, each part of it a text.
    pub fn say(&self, words: &[&str]) -> Vec<String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        say(stream, words).unwrap()
    }

    fn is_ready(&mut self) -> bool {
        for _ in 0..TRIES {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let tls = self.more.iter().any(|option| option == "--tls-port");
            let asked = TcpStream::connect(("127.0.0.1", self.port));
            if asked.is_ok_and(|stream| tls || say(stream, &["PING"]).is_ok_and(|answer| answer == ["PONG"])) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three masters that share the slots.
pub struct Trio(pub [Server; 3]);

impl Trio {
    pub fn start() -> Self {
        let nodes = [0, 1, 2].map(|_| {
            let bus = free_port().to_string();
            Server::with(Keeps::Nothing, &of_cluster(&bus))
        });
        for (number, node) in nodes.iter().enumerate() {
            let slots = [16_384 * number / 3, 16_384 * (number + 1) / 3 - 1].map(|slot| slot.to_string());
            node.say(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            node.say(&["CLUSTER", "ADDSLOTSRANGE", &slots[0], &slots[1]]);
            nodes[0].say(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &node.more[3]]);
        }
        let trio = Self(nodes);
        assert!((0..TRIES).any(|_| trio.agrees()), "the cluster does not come about");
        trio
    }

    /// Another node, which takes the first one's place when that is gone.
    pub fn replica_of_first(&self) -> Server {
        let bus = free_port().to_string();
        let (first, replica) = (&self.0[0], Server::with(Keeps::Nothing, &of_cluster(&bus)));
        let id = first.say(&["CLUSTER", "MYID"]);
        first.say(&["CLUSTER", "MEET", "127.0.0.1", &replica.port.to_string(), &bus]);
        replica.until("the replica does not know of its master", |replica| {
            replica.say(&["CLUSTER", "REPLICATE", &id[0]]) == ["OK"]
        });
        let nodes = |server: &Server| server.say(&["CLUSTER", "INFO"]).concat().contains("cluster_known_nodes:4");
        for node in self.0.iter().chain([&replica]) {
            node.until("the nodes do not know each other", nodes);
        }
        replica.until("the replica does not follow", |replica| {
            replica.say(&["INFO", "replication"]).concat().contains("master_link_status:up")
        });
        replica
    }

    pub fn url(&self) -> String {
        let [first, second, third] = &self.0;
        format!("redis-cluster://127.0.0.1:{}?node=127.0.0.1:{}&node=127.0.0.1:{}", first.port, second.port, third.port)
    }

    fn agrees(&self) -> bool {
        std::thread::sleep(Duration::from_millis(10));
        let knows_all = |node: &Server| {
            let info = node.say(&["CLUSTER", "INFO"]).concat();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3") && info.contains("size:3")
        };
        self.0.iter().all(knows_all)
    }
}

fn of_cluster(bus: &str) -> [&str; 6] {
    ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1500"]
}

/// A server that speaks TLS only, and who signed for it.
pub struct Secret {
    pub server: Server,
    folder: TempDir,
}

impl Secret {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (ca, ca_key, key, asked, signed) = (file("ca"), file("ca-key"), file("key"), file("asked"), file("signed"));
        let extensions = file("extensions");
        std::fs::write(&extensions, "subjectAltName=IP:127.0.0.1").unwrap();
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        openssl(&[&["req", "-x509", "-subj", "/CN=ca", "-keyout", &ca_key, "-out", &ca], &curve[..]].concat());
        openssl(&[&["req", "-subj", "/CN=redis", "-keyout", &key, "-out", &asked], &curve[..]].concat());
        let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-extfile", &extensions];
        openssl(&[&["x509", "-req", "-in", &asked, "-out", &signed], &by[..]].concat());
        let files = ["--tls-cert-file", &signed, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        let options = [&files[..], &["--tls-auth-clients", "no", "--tls-port"]].concat();
        Self { server: Server::with(Keeps::Nothing, &options), folder }
    }

    pub fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.server.port)
    }

    /// Who may sign for it.
    pub fn trusted(&self) -> PathBuf {
        self.folder.path().join("ca")
    }
}

fn openssl(arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn spawn(folder: &TempDir, port: u16, keeps: Keeps, more: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(folder.path());
    command.args(["--appendonly", if keeps == Keeps::All { "yes" } else { "no" }, "--appendfsync", "always"]);
    // `--tls-port` comes last, and takes the port; there is no other then.
    let port = port.to_string();
    match more.last() {
        Some(last) if last == "--tls-port" => command.args(["--port", "0"]).args(more).arg(port),
        _ => command.args(["--port", &port]).args(more),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is not installed, and the tests need it")
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn say(mut stream: TcpStream, words: &[&str]) -> std::io::Result<Vec<String>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "*{}\r\n", words.len())?;
    for word in words {
        write!(stream, "${}\r\n{word}\r\n", word.len())?;
    }
    let mut said = Vec::new();
    hear(&mut BufReader::new(stream), &mut said)?;
    Ok(said)
}

/// Every text of an answer, in order, however deep it stands.
fn hear(from: &mut BufReader<TcpStream>, said: &mut Vec<String>) -> std::io::Result<()> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).unwrap_or(("-", "no answer"));
    match (kind, rest.parse::<i64>()) {
        ("*", Ok(parts)) => (0..parts).try_for_each(|_| hear(from, said))?,
        ("$", Ok(length)) if length >= 0 => {
            let mut text = vec![0; usize::try_from(length).unwrap() + 2];
            from.read_exact(&mut text)?;
            text.truncate(text.len() - 2);
            said.push(String::from_utf8_lossy(&text).into_owned());
        }
        _ => said.push(rest.to_owned()),
    }
    Ok(())
}
