//! The nginx that this repository ships, in front of several instances.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::eventually;
use crate::harness::process::free_address;

const SHIPPED: &str = include_str!("../../../docker/nginx.conf");

pub struct Nginx {
    pub address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Nginx {
    pub async fn before(instances: impl Iterator<Item = SocketAddr>) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, shipped(address, &instances.collect::<Vec<_>>())).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&file).arg("-e").arg(folder.path().join("error.log"));
        command.args(["-g", "daemon off; master_process off; pid nginx.pid;"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nginx is not installed, and these tests need it");
        let nginx = Self { address, child, _folder: folder };
        eventually("nginx", async || tokio::net::TcpStream::connect(address).await.ok()).await;
        nginx
    }
}

/// As it is shipped, but for where it and the instances are.
fn shipped(address: SocketAddr, instances: &[SocketAddr]) -> String {
    let servers: Vec<_> =
        instances.iter().map(|instance| format!("server {instance} max_fails=1 fail_timeout=1s;")).collect();
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {of};"));
    let line = |line: &str| match line.trim() {
        "http {" => format!("http {{\n{}", folders.join("\n")),
        "listen 8080;" => format!("listen {address};"),
        "zone instances 64k;" => servers.join("\n"),
        // Docker alone finds these.
        server if server.starts_with("server synckairos-") => String::new(),
        _ => line.to_owned(),
    };
    SHIPPED.lines().map(|shipped| line(shipped) + "\n").collect()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
