//! Which processes a cluster has, and where each listens.

use std::net::{Ipv4Addr, SocketAddr};

use testkit::ports::{free_range, is_free};

use crate::failure::Failure;

pub const MAX_INSTANCES: u16 = 40;

/// How many ports belong to a cluster: its base, and those behind it.
const PORT_SPAN: u16 = 100;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    pub base: u16,
    pub instances: u16,
    pub masters: u16,
    pub has_worker: bool,
}

impl Layout {
    pub fn redis_names(&self) -> Vec<String> {
        (1..=self.masters).map(|number| format!("redis-{number}")).collect()
    }

    pub fn instance_names(&self) -> Vec<String> {
        (1..=self.instances).map(|number| format!("instance-{number}")).collect()
    }

    /// The names of all processes, in the order in which they start.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.redis_names();
        names.push("postgres".to_owned());
        names.extend(self.instance_names());
        names.extend(self.has_worker.then(|| "worker".to_owned()));
        names.push("nginx".to_owned());
        names
    }

    pub fn port(&self, name: &str) -> u16 {
        let (kind, number) = name.rsplit_once('-').unwrap_or((name, ""));
        let number: u16 = number.parse().unwrap_or(0);
        let offset = match kind {
            "postgres" => 1,
            "redis" => 1 + number,
            "bus-redis" => 5 + number,
            // Of the worker.
            "metrics" => 9,
            "instance" => 10 + number,
            "metrics-instance" => 50 + number,
            _ => 0,
        };
        self.base + offset
    }

    pub fn address(&self, name: &str) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(name)).into()
    }

    /// Every port that it may want.
    fn ports(&self) -> Vec<u16> {
        let buses = (1..=self.masters).map(|number| format!("bus-redis-{number}"));
        let metrics = self.instance_names().into_iter().chain(["worker".to_owned()]);
        let metrics = metrics.map(|name| format!("metrics-{name}"));
        let names = self.names().into_iter().filter(|name| name != "worker").chain(buses).chain(metrics);
        names.map(|name| self.port(&name)).collect()
    }

    /// Checks the ports that were named, or chooses free ones.
    pub fn choose_ports(&mut self) -> Result<(), Failure> {
        if self.base == 0 {
            self.base = free_range(PORT_SPAN).ok_or("there are no free ports")?;
            return Ok(());
        }
        let taken = self.ports().into_iter().find(|port| !is_free(*port));
        let refusal = |port| format!("127.0.0.1:{port} is taken; --port names another range");
        taken.map_or(Ok(()), |port| Err(refusal(port).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listener_has_a_port_of_its_own() {
        let layout = Layout { base: 20_000, instances: MAX_INSTANCES, masters: 3, has_worker: true };
        let mut ports = layout.ports();
        ports.sort_unstable();
        assert!(ports.is_sorted_by(|one, next| one < next), "{ports:?}");
        assert!(ports.iter().all(|port| (20_000..20_000 + PORT_SPAN).contains(port)), "{ports:?}");
    }
}
