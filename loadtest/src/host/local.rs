//! One instance of the service, embedded, started here where no deployment was named.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;

/// What its tokens are signed with. It listens on loopback, and ends with the run.
pub const SECRET: &str = "loadtest signs its own tokens with this key";

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Longer than the service takes to drain.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

const PROGRAM: &str = "synckairos";

/// A deployment that ends with the run.
pub struct Local {
    server: Server,
    folder: TempDir,
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Local {
    /// Starts the program.
    pub async fn start(program: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let mut local = Self { server: Server::start(program, folder.path())?, folder };
        local.wait_until_ready().await?;
        Ok(local)
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn pid(&self) -> u32 {
        self.server.child.id()
    }

    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let by = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(self.server.address).is_err() {
            let ended = self.server.child.try_wait()?;
            if ended.is_some() || Instant::now() > by {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(Failure::Local(format!("it did not start: {log}")));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> Result<(), Failure> {
        self.server.terminate()?;
        let by = Instant::now() + STOP_TIMEOUT;
        while self.server.child.try_wait()?.is_none() {
            if Instant::now() > by {
                return Err(Failure::Local("it did not stop when asked".to_owned()));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Server {
    /// With settings of its own and none of this shell's.
    fn start(program: &Path, folder: &Path) -> Result<Self, Failure> {
        let [address, metrics] = [free_address()?, free_address()?];
        let log = File::create(folder.join("log"))?;
        let mut command = Command::new(program);
        command.arg("serve").env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.env("LISTEN_ADDR", address.to_string()).env("METRICS_ADDR", metrics.to_string());
        command.env("DATA_DIR", folder.join("data")).env("JWT_SECRET", SECRET).env("RUST_LOG", "warn");
        let child = command.spawn().map_err(|error| Failure::Local(format!("{}: {error}", program.display())))?;
        Ok(Self { child, address })
    }

    fn terminate(&self) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id()).map_err(std::io::Error::other)?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(std::io::Error::from)?;
        Ok(())
    }
}

impl Drop for Server {
    /// Where a run ended early. A server that has stopped already takes no harm.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The program that `--program` names, or the one built beside this one, the most optimised first.
pub fn program(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.to_path_buf());
    }
    let own = std::env::current_exe()?;
    let targets = own.ancestors().skip(2).take(2).map(Path::to_path_buf).chain([PathBuf::from("target")]);
    let builds =
        targets.flat_map(|target| ["dist", "release", "debug"].map(|profile| target.join(profile).join(PROGRAM)));
    let found = builds.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| Failure::Usage("no synckairos was built here; build it, or name it with --program".to_owned()))
}
