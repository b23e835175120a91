//! Deployments under load, and refused command lines.

use crate::harness::{SECRET, Service, assert_all_delivered, ended, figure, found, loadtest, program};

#[test]
fn a_named_deployment_is_loaded_and_runs_are_compared() {
    let service = Service::start();
    let file = service.folder.path().join("runs.jsonl");
    for label in ["a", "b"] {
        let line = format!(
            "hotpath -c 2 --seconds 0.5 --warmup 0 --json --label {label} --to http://{} --pid web={}",
            service.address,
            service.child.id()
        );
        let mut command = loadtest(&line);
        command.arg("--jwt-secret").arg(SECRET).arg("--out").arg(&file);
        let report = found(command);
        assert_eq!(report["label"], label);
        assert!(figure(&report, "web_cpu_cores") >= 0.0);
    }
    let mut compare = loadtest("compare");
    compare.arg(&file).arg(&file);
    let compared = String::from_utf8(ended(compare).stdout).unwrap();
    assert!(compared.contains("commands_per_s") && compared.contains("1.00"), "{compared}");
}

#[test]
fn a_cluster_is_started_where_none_is_named_and_ends_with_the_run() {
    let mut command = loadtest("fanout -s 4 --rate 10 --seconds 1 --warmup 0.2 --json");
    command.arg("--program").arg(program());
    let report = found(command);
    assert!(figure(&report, "redis_cpu_cores") > 0.0 && figure(&report, "postgres_cpu_cores") >= 0.0, "{report:#}");
    assert_all_delivered(&report);
}

#[test]
fn invalid_command_lines_are_refused() {
    for (line, says) in [
        ("hotpath --to http://192.0.2.1:80", "--allow-remote"),
        ("hotpath --program /nowhere/synckairos", "/nowhere/synckairos"),
        ("hotpath --instances 17", "must be a number from 1 to 16"),
        ("hotpath --seconds 9999999", "up to a week"),
        ("compare /nowhere/a /nowhere/b", "No such file"),
    ] {
        let mut command = loadtest(line);
        if !line.contains("--to") && !line.contains("--program") && line.starts_with("hotpath") {
            command.arg("--program").arg(program());
        }
        let output = ended(command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(says), "{line}: {said}");
    }
}
