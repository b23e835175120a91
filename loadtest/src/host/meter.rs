//! Processor time over a part of a run, of each group of processes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::process;

/// Processes by what they are: `server`, `redis`, `worker`.
pub type Groups = BTreeMap<String, Vec<u32>>;

/// The group of the drivers, which share the machine with the servers.
pub const DRIVER: &str = "driver";

/// A part of a run that has begun.
pub struct Meter {
    groups: Groups,
    before: BTreeMap<String, Duration>,
    machine_before: Duration,
    began: Instant,
}

/// What a part of a run took.
#[derive(Debug, Default)]
pub struct Usage {
    pub wall: Duration,
    pub cpu: BTreeMap<String, Duration>,
    /// What the rest of the machine took. Much of it makes a run worthless.
    pub others: Duration,
}

impl Meter {
    /// Begins. Processes that start later are not counted.
    pub fn start(groups: &Groups) -> Self {
        let mut groups: Groups = groups.iter().map(|(name, pids)| (name.clone(), process::family(pids))).collect();
        let measured: Vec<_> = groups.values().flatten().copied().collect();
        // A server that was started here is a child of the driver, and must not count twice.
        let driver = process::family(&[std::process::id()]).into_iter().filter(|pid| !measured.contains(pid));
        groups.insert(DRIVER.to_owned(), driver.collect());
        Self { before: spent(&groups), groups, machine_before: process::machine_cpu(), began: Instant::now() }
    }

    pub fn stop(&self) -> Usage {
        let used = |(name, after): (String, Duration)| {
            let before = self.before.get(&name).copied().unwrap_or_default();
            (name, after.saturating_sub(before))
        };
        let cpu: BTreeMap<_, _> = spent(&self.groups).into_iter().map(used).collect();
        let machine = process::machine_cpu().saturating_sub(self.machine_before);
        let others = machine.saturating_sub(cpu.values().sum());
        Usage { wall: self.began.elapsed(), cpu, others }
    }
}

fn spent(groups: &Groups) -> BTreeMap<String, Duration> {
    groups.iter().map(|(name, pids)| (name.clone(), process::cpu(pids))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_not_part_of_the_driver() {
        let own = Groups::from([("server".to_owned(), vec![std::process::id()])]);
        let usage = Meter::start(&own).stop();
        assert_eq!(usage.cpu.keys().collect::<Vec<_>>(), ["driver", "server"]);
        assert_eq!(usage.cpu[DRIVER], Duration::ZERO);
    }
}
