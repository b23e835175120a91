//! Loopback ports: one for each server, and the proof that a server is the one that listens.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that the system gives to outgoing connections, so that a restarted server finds its own free again.
const FIRST_PORT: u32 = 20_000;
const PORT_COUNT: u32 = 12_000;

/// A socket's state in `/proc/net/tcp` when it listens.
const LISTENING: &str = "0A";

/// A free loopback port. No other process that asks here gets it while this one runs.
pub fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    loop {
        // Tests run side by side, each a process: they begin apart.
        let number = std::process::id().wrapping_mul(37).wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST_PORT + number % PORT_COUNT).unwrap();
        if try_take(port) {
            return port;
        }
    }
}

/// The same as an address.
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A range of `length` free loopback ports that begins at a multiple of it, or none if there is none.
pub fn free_range(length: u16) -> Option<u16> {
    let ranges = PORT_COUNT / u32::from(length);
    let begin = std::process::id() % ranges;
    let bases = (0..ranges).map(|each| FIRST_PORT + (begin + each) % ranges * u32::from(length));
    bases.filter_map(|base| u16::try_from(base).ok()).find(|base| (*base..base + length).all(try_take))
}

/// Whether that loopback port is free.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn try_take(port: u16) -> bool {
    try_reserve(port) && is_free(port)
}

/// Whether process `pid` listens on that port. Another server that answers there is not mistaken for it.
pub fn is_listening(pid: u32, port: u16) -> bool {
    let inodes = listeners(port);
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let targets = descriptors.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.into_iter().any(|target| inodes.contains(&target))
}

/// What `/proc/PID/fd` calls the sockets that listen on a port.
fn listeners(port: u16) -> Vec<PathBuf> {
    let port = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    let inode = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_listener = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTENING;
        is_listener.then(|| format!("socket:[{}]", fields[9]).into())
    };
    lines.filter_map(inode).collect()
}

/// Takes the port's lock file, unless a process of these tests has it. It is held until this process ends.
fn try_reserve(port: u16) -> bool {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join(format!("synckairos-test-ports-{}", rustix::process::getuid().as_raw()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = File::create(folder.join(port.to_string())).unwrap();
    let is_ours = file.try_lock().is_ok();
    if is_ours {
        HELD.lock().unwrap().push(file);
    }
    is_ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let ports = [free_port(), free_port(), free_port()];
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
        assert!(!try_reserve(ports[0]));
    }

    #[test]
    fn only_the_process_that_bound_a_port_listens_on_it() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_listening(std::process::id(), port));
        assert!(!is_listening(std::process::id(), free_port()));
        let mut other = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let is_taken_for_it = is_listening(other.id(), port);
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(!is_taken_for_it);
    }
}
