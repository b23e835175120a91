//! The figures that each scenario must report.

use crate::harness::{assert_all_delivered, count, figure, run};

#[test]
fn hotpath_in_a_closed_loop() {
    let report = run("hotpath -c 4 --seconds 1 --warmup 0.2");
    assert!(figure(&report, "commands_per_s") > 0.0);
    assert!(figure(&report, "command_p50_ms") <= figure(&report, "command_max_ms"));
}

#[test]
fn hotpath_in_an_open_loop_over_both() {
    for over in ["http", "ws"] {
        let report = run(&format!("hotpath -c 4 --rate 100 --seconds 1 --warmup 0.2 --over {over}"));
        assert_eq!(count(&report, "commands_per_s"), "100");
        assert!(figure(&report, "command_p50_ms") >= figure(&report, "command_from_sent_p50_ms"));
    }
}

#[test]
fn fanout_by_every_transport() {
    let report = run("fanout -s 30 --transport ws,sse,poll --rate 10 --seconds 1 --warmup 0.2");
    assert_all_delivered(&report);
    assert_eq!(count(&report, "delivered"), "300");
    assert!(figure(&report, "arrival_p50_ms") <= figure(&report, "last_subscriber_p50_ms"));
}

#[test]
fn many_over_several_drivers() {
    let report = run("many -m 6 -k 3 -r 5 --transport ws,sse,poll --seconds 1 --warmup 0.2 --drivers 3");
    assert_all_delivered(&report);
    assert_eq!(count(&report, "delivered"), "90");
}

#[test]
fn idle_connections_have_a_cost() {
    let report = run("idle -n 60 --sessions 6 --transport ws,sse,poll --hold 0.4");
    assert_eq!(count(&report, "open"), "60");
    assert!(figure(&report, "server_resident_per_connection_bytes") > 0.0);
}

#[test]
fn each_expiry_is_announced_once() {
    let report = run("expiry -m 40 --seconds 0.5 --lead 2");
    let counts = ["told", "repeated", "missing", "over_before"].map(|name| count(&report, name));
    assert_eq!(counts, ["40", "0", "0", "0"]);
}

#[test]
fn after_a_storm_all_subscribers_recover() {
    let report = run("storm -s 60 --sessions 6 --transport ws,sse,poll --rate 50 --seconds 1 --drivers 2");
    assert_eq!(count(&report, "right"), "60");
    assert!(figure(&report, "command_max_ms") > 0.0);
}

#[test]
fn soak_watches_memory() {
    let report = run("soak -m 4 -k 3 --seconds 2 --round 1 --recycled 3 --short 2");
    assert!(figure(&report, "server_resident_last_bytes") > 1e6);
    assert_eq!(count(&report, "repeated"), "0");
}
