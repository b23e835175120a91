//! The nginx that this repository ships, in front of several instances.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::ports::free_address;
use crate::process::Process;

const SHIPPED: &str = include_str!("../../docker/nginx.conf");

/// One nginx without worker processes, killed when dropped.
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl Nginx {
    /// Starts one in front of those instances.
    pub async fn before(instances: impl Iterator<Item = SocketAddr>) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let (file, log) = (folder.path().join("nginx.conf"), folder.path().join("error.log"));
        std::fs::write(&file, config(address, &instances.collect::<Vec<_>>())).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&file).arg("-e").arg(&log);
        command.args(["-g", "daemon off; master_process off; pid nginx.pid;"]).stdin(Stdio::null());
        let mut process = Process::spawn(command, &folder.path().join("log"));
        process.until_listening(address.port()).await;
        Self { address, process, _folder: folder }
    }

    /// Everything that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// The shipped configuration with these addresses, and its temporary files below nginx's own folder.
pub fn config(address: SocketAddr, instances: &[SocketAddr]) -> String {
    let servers: Vec<_> =
        instances.iter().map(|instance| format!("server {instance} max_fails=1 fail_timeout=1s;")).collect();
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {of};"));
    let line = |line: &str| match line.trim() {
        "http {" => format!("http {{\n{}", folders.join("\n")),
        "listen 8080;" => format!("listen {address};"),
        "zone instances 64k;" => servers.join("\n"),
        // Only Docker resolves these.
        server if server.starts_with("server synckairos-") => String::new(),
        _ => line.to_owned(),
    };
    SHIPPED.lines().map(|shipped| line(shipped) + "\n").collect()
}
