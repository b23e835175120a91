//! `process_*`: the resources of this process, under the names of every Prometheus client.
//!
//! Each scrape reads them from `/proc`; a host without it has none of them.

use std::fmt::Write as _;
use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// The resources that the process uses.
#[derive(Debug, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    start_time_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: u64,
}

/// The metrics, as the text of a scrape.
pub fn render() -> String {
    let mut text = String::new();
    if let Some(usage) = usage() {
        write_usage(&mut text, &usage);
    }
    if let Some(open) = open_descriptors() {
        write_metric(&mut text, "process_open_fds", "gauge", "File descriptors that are open", open);
    }
    if let Some(max) = getrlimit(Resource::Nofile).current {
        write_metric(&mut text, "process_max_fds", "gauge", "File descriptors that may be open", max);
    }
    text
}

fn write_usage(text: &mut String, usage: &Usage) {
    let Usage { cpu_seconds, start_time_seconds, resident_bytes, virtual_bytes, threads } = usage;
    write_metric(text, "process_cpu_seconds_total", "counter", "Processor time that was used, in seconds", cpu_seconds);
    write_metric(
        text,
        "process_start_time_seconds",
        "gauge",
        "When it began, in seconds since 1970",
        start_time_seconds,
    );
    write_metric(text, "process_resident_memory_bytes", "gauge", "Memory that it has, in bytes", resident_bytes);
    write_metric(
        text,
        "process_virtual_memory_bytes",
        "gauge",
        "Memory that it has asked for, in bytes",
        virtual_bytes,
    );
    write_metric(text, "process_threads", "gauge", "Threads of the system", threads);
}

fn write_metric(text: &mut String, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

fn usage() -> Option<Usage> {
    let booted = fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    read(&fs::read_to_string("/proc/self/stat").ok()?, booted)
}

/// See `proc_pid_stat(5)`. The second field is a name, which may hold anything.
#[expect(clippy::cast_precision_loss, reason = "nobody counts on the last bit")]
fn read(stat: &str, booted: f64) -> Option<Usage> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // The third field follows the name.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
    Some(Usage {
        cpu_seconds: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        start_time_seconds: booted + seconds(field(22)?),
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page_size() as u64,
    })
}

/// Without the descriptor that lists them.
fn open_descriptors() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "ticks are few")]
    fn a_stat_line_is_read_with_any_process_name() {
        let line = "7 (a b) c) S 1 7 7 0 -1 4194560 9 0 0 0 300 200 0 0 20 0 11 0 4200 8192 3 18446744073709551615";
        let ticks = clock_ticks_per_second() as f64;
        let expected = Usage {
            cpu_seconds: 500.0 / ticks,
            start_time_seconds: 1_000.0 + 4_200.0 / ticks,
            resident_bytes: 3 * page_size() as u64,
            virtual_bytes: 8_192,
            threads: 11,
        };
        assert_eq!(read(line, 1_000.0), Some(expected));
        assert_eq!(read("", 0.0), None);
    }

    #[test]
    fn this_process_has_descriptors_memory_and_a_beginning() {
        let text = render();
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
        ] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value >= 0.0), "{name} in {text}");
            assert!(text.contains(&format!("# HELP {name} ")), "{text}");
        }
    }
}
