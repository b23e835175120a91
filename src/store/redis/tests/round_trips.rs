//! The cost of a write, as figures that must not get worse unnoticed.

use super::{Setup, switching};
use crate::store::keys::Keys;
use crate::store::partition::Partition;
use testkit::redis::Keeps;

/// The number of calls of a command.
pub fn calls(stats: &str, command: &str) -> u64 {
    figure(stats, command, "calls").map_or(0, |calls| calls.parse().unwrap())
}

fn figure<'a>(stats: &'a str, command: &str, name: &str) -> Option<&'a str> {
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")))?;
    line.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

#[tokio::test]
async fn a_write_is_one_round_trip() {
    const WRITES: u64 = 1_000;
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let (key, mut base) = setup.running("a").await;
    let body = base.session.stored().len();
    server.say(&["CONFIG", "RESETSTAT"]);
    let began = tokio::time::Instant::now();
    for _ in 0..WRITES {
        base = setup.stored(switching(&key, &base)).await;
    }
    let took = began.elapsed();
    let stats = server.say(&["INFO", "commandstats"]).concat();
    let traffic = server.say(&["INFO", "stats"]).concat();
    let field = |name: &str| traffic.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    println!(
        "body {body} bytes, {:?} a write, script {} us",
        took / 1_000,
        figure(&stats, "evalsha", "usec_per_call").unwrap()
    );
    println!("received {} bytes, sent {}", field("total_net_input_bytes:"), field("total_net_output_bytes:"));
    let keys = Keys::default();
    for name in [keys.state(&key), keys.outbox(Partition::of(&key)), keys.bodies(Partition::of(&key))] {
        println!("{name}: {} bytes", server.say(&["MEMORY", "USAGE", &name])[0]);
    }
    // Once a second the outbox measures all partitions.
    let measurements = 64 * (took.as_secs() + 1) + 64;
    assert!((WRITES..=WRITES + measurements).contains(&calls(&stats, "evalsha")), "{stats}");
    assert_eq!(calls(&stats, "xadd"), WRITES);
}
