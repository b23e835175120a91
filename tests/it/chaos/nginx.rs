//! An nginx in front of several instances, set up as the README says.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::eventually;
use crate::harness::process::free_address;

pub struct Nginx {
    pub address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Nginx {
    pub async fn before(instances: impl Iterator<Item = SocketAddr>) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let servers = instances.fold(String::new(), |mut servers, instance| {
            // Which instance is away must be found out anew each time: it may be back.
            let _ = write!(servers, "server {instance} max_fails=0; ");
            servers
        });
        let here = folder.path().display();
        let written = format!(
            "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log; worker_rlimit_nofile 65536;\n\
             events {{ worker_connections 30000; }}\n\
             http {{ access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; \
             fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
             upstream instances {{ {servers} keepalive 16; }}\n\
             server {{ listen {address}; location / {{ proxy_pass http://instances; proxy_http_version 1.1; \
             proxy_connect_timeout 1s; proxy_read_timeout 60s; \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; \
             proxy_set_header Host $http_host; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, written).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&file).arg("-e").arg(folder.path().join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nginx is not installed, and these tests need it");
        let nginx = Self { address, child, _folder: folder };
        eventually("nginx", async || tokio::net::TcpStream::connect(address).await.ok()).await;
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
