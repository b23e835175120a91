//! Memory and processor time of processes, from /proc.

use std::fs;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// How many bytes are resident, and how many of them are its own share where pages are shared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    pub resident: u64,
    pub proportional: u64,
}

/// The processes and all that descend from them: a proxy's and a database's workers count as it.
pub fn family(roots: &[u32]) -> Vec<u32> {
    let mut found = roots.to_vec();
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        let new: Vec<_> = children(pid).into_iter().filter(|child| !found.contains(child)).collect();
        found.extend(new);
        next += 1;
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Processor time used so far. A process that has ended counts as nothing.
pub fn cpu(pids: &[u32]) -> Duration {
    let stats = pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    span(stats.map(|stat| ticks(&stat)).sum())
}

/// Processor time that all of the machine has used so far.
pub fn machine_cpu() -> Duration {
    span(fs::read_to_string("/proc/stat").map_or(0, |stat| busy_ticks(&stat)))
}

fn span(ticks: u64) -> Duration {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
    Duration::from_millis(ticks * 1_000 / per_second.unwrap_or(100))
}

/// User and system time. A process may call itself what it likes, so fields are counted from behind its name.
fn ticks(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// All but the fourth and fifth, which are idle, and the guests' at the end, which are in the first two already.
fn busy_ticks(stat: &str) -> u64 {
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let busy = fields.enumerate().filter(|(nth, _)| !matches!(nth, 3 | 4));
    busy.filter_map(|(_, field)| field.parse::<u64>().ok()).sum()
}

pub fn memory(pids: &[u32]) -> Memory {
    let of = |file: &str, field: &str| -> u64 {
        let texts = pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/{file}")).ok());
        texts.map(|text| kilobytes(&text, field) * 1_024).sum()
    };
    Memory { resident: of("status", "VmRSS:"), proportional: of("smaps_rollup", "Pss:") }
}

fn kilobytes(text: &str, field: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 9 9 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), 300);
        assert_eq!(ticks(""), 0);
    }

    #[test]
    fn a_machine_that_waits_is_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 32 64 64\ncpu0 9 9 9 9\n"), 63);
        assert!(machine_cpu() > Duration::ZERO);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let own = memory(&[std::process::id()]);
        assert!(own.resident > 100_000 && own.proportional > 100_000, "{own:?}");
        assert_eq!(memory(&[]), Memory::default());
        assert_eq!(kilobytes("VmSize:\t 9 kB\nVmRSS:\t  123 kB\n", "VmRSS:"), 123);
    }

    #[test]
    fn children_belong_to_the_family() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let family = family(&[std::process::id()]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&child.id()), "{family:?}");
    }
}
