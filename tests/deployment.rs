//! What the deployment files name, held against what there is: metrics and their labels, settings, commands, ports.
//!
//! `scripts/check-deploy` asks the tools that will read these files whether they can.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use synckairos::cli;
use synckairos::config::{Address, Config, SETTINGS};
use synckairos::telemetry::metrics::{Kind, METRICS, Metric};

/// What Prometheus and its histograms add to our own labels.
const ADDED: &[&str] = &["job", "instance", "le", "alertname", "alertstate"];

fn read(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What asks for metrics: name and text.
fn askers() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/dashboards");
    let files = fs::read_dir(folder).expect("there is such a folder").flatten().map(|entry| entry.path());
    let dashboards: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "json")).collect();
    assert!(!dashboards.is_empty(), "there is no dashboard");
    let alerts = ["docker/alerts.yml", "docker/alerts.test.yml"].map(PathBuf::from);
    let texts = alerts.into_iter().chain(dashboards).map(|file| {
        let name = file.display().to_string();
        // In JSON, quotes within a text have a backslash before them.
        (name.clone(), read(&name).replace("\\\"", "\""))
    });
    texts.collect()
}

/// Every `synckairos_...` of `text`, with what follows it.
fn asked(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.match_indices("synckairos_").map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        rest.split_at(end)
    })
}

/// The metric that a scrape shows under this name.
fn metric(shown: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| match metric.kind {
        Kind::Counter | Kind::Gauge => metric.name == shown,
        Kind::Histogram(_) => {
            shown.strip_prefix(metric.name).is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part))
        }
    })
}

/// The labels of a selector right behind a metric's name: `{a="1", b!="2"}`.
fn selected(rest: &str) -> Vec<&str> {
    let Some(inside) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(inside, _)| inside) else {
        return Vec::new();
    };
    inside.split(',').filter_map(|pair| pair.split(['=', '!']).next().map(str::trim)).collect()
}

#[test]
fn alerts_and_dashboards_ask_for_metrics_and_labels_that_exist() {
    for (file, text) in askers() {
        assert!(asked(&text).count() > 10, "{file} asks for next to nothing");
        for (shown, rest) in asked(&text) {
            let metric = metric(shown).unwrap_or_else(|| panic!("{file}: there is no {shown}"));
            for label in selected(rest) {
                assert!(metric.labels.contains(&label) || ADDED.contains(&label), "{file}: {shown} has no {label}");
            }
        }
    }
}

#[test]
fn every_grouping_is_a_label() {
    let known: BTreeSet<&str> = METRICS.iter().flat_map(|metric| metric.labels).chain(ADDED).copied().collect();
    for (file, text) in askers() {
        let lists = text.split(" by (").skip(1).filter_map(|rest| rest.split_once(')'));
        for label in lists.flat_map(|(list, _)| list.split(", ")) {
            assert!(known.contains(label), "{file}: nothing has a label {label}");
        }
    }
}

#[test]
fn every_metric_is_on_the_dashboard() {
    let text = read("docker/dashboards/synckairos.json");
    let shown: BTreeSet<&str> = asked(&text).filter_map(|(shown, _)| metric(shown)).map(|metric| metric.name).collect();
    let missing: Vec<&str> = METRICS.iter().map(|metric| metric.name).filter(|name| !shown.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn is_setting(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.name == name && setting.is_built())
}

/// What a line `NAME=VALUE NAME=VALUE` or the lines `NAME: VALUE` set.
fn names(text: &str) -> Vec<&str> {
    let words = text.split([' ', '\n']).map(|word| word.split(['=', ':']).next().unwrap_or_default());
    words
        .filter(|word| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'))
        .collect()
}

#[test]
fn containers_are_given_settings_that_exist() {
    let (image, compose) = (read("docker/Dockerfile"), read("docker/compose.yml"));
    let image = image.lines().find_map(|line| line.strip_prefix("ENV ")).expect("the image has settings");
    let compose =
        compose.split("x-settings:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("so has compose");
    for text in [image, compose] {
        let names = names(text);
        assert!(names.len() >= 3, "{names:?}");
        for name in names {
            assert!(is_setting(name), "there is no setting {name}");
        }
    }
}

#[test]
fn redis_gives_the_service_what_the_documentation_lists() {
    let documented = read("docs/RELIABILITY.md").replace(['\\', '\''], " ");
    let documented =
        documented.split("ACL SETUSER").nth(1).and_then(|rest| rest.split("```").next()).unwrap().to_owned();
    let users = read("docker/redis.acl");
    let given =
        users.lines().find_map(|line| line.strip_prefix("user ")?.starts_with("synckairos ").then_some(line)).unwrap();
    let rights = |text: &str| -> BTreeSet<String> {
        text.split_whitespace().filter(|word| word.starts_with(['+', '-', '~', '&'])).map(str::to_owned).collect()
    };
    assert!(rights(given).len() > 40, "{given}");
    assert_eq!(rights(given), rights(&documented));
    assert!(users.starts_with("user default off\n"), "{users}");
}

/// That the program understands this command line.
fn is_command(line: &str) {
    if let Err(error) = cli::command().try_get_matches_from(line.split(' ')) {
        panic!("{line}: {error}");
    }
}

#[test]
fn containers_are_told_commands_that_exist() {
    let (image, compose) = (read("docker/Dockerfile"), read("docker/compose.yml"));
    let lists = image.split("CMD [").skip(1).chain(compose.split("command: [").skip(1));
    let lists: Vec<&str> = lists.filter_map(|rest| rest.split(']').next()).collect();
    let ours: Vec<String> = lists.iter().map(|list| list.replace(['"', ','], "")).collect();
    let ours: BTreeSet<&str> = ours.iter().map(String::as_str).filter(|line| line.starts_with("synckairos")).collect();
    assert_eq!(ours, BTreeSet::from(["synckairos healthcheck --alive", "synckairos migrate", "synckairos serve"]));
    ours.into_iter().for_each(is_command);
}

#[test]
fn fly_has_the_ports_of_the_service() {
    let fly: toml::Table = read("fly.toml").parse().expect("it is TOML");
    let env = fly["env"].as_table().unwrap();
    for name in env.keys() {
        assert!(is_setting(name), "there is no setting {name}");
    }
    let ends_in = |name: &str, port: &toml::Value| env[name].as_str().unwrap().ends_with(&format!(":{port}"));
    assert!(ends_in("LISTEN_ADDR", &fly["http_service"]["internal_port"]));
    assert!(ends_in("LISTEN_ADDR", &fly["checks"]["alive"]["port"]));
    assert!(ends_in("METRICS_ADDR", &fly["metrics"]["port"]));
    is_command(fly["deploy"]["release_command"].as_str().unwrap());
    let ms = |name: &str| -> i64 { env[name].as_str().unwrap().parse().unwrap() };
    let kill_ms = fly["kill_timeout"].as_integer().unwrap() * 1_000;
    assert!(kill_ms >= longest_stop_ms(ms("DRAIN_GRACE_MS"), ms("DRAIN_TIMEOUT_MS")));
    // A readiness probe has asked once more before it goes.
    let check = &fly["http_service"]["checks"][0];
    assert_eq!((check["path"].as_str(), check["interval"].as_str()), (Some("/ready"), Some("5s")));
    assert!(ms("DRAIN_GRACE_MS") > 5_000);
    assert_eq!(fly["checks"]["alive"]["path"].as_str(), Some("/health"));
}

/// An instance is announced, then waits three times at most (for its streams, for its deadlines, for
/// the audit), and lets go of what it reached.
fn longest_stop_ms(grace_ms: i64, drain_ms: i64) -> i64 {
    grace_ms + 3 * drain_ms + 5_000
}

#[test]
fn containers_are_given_time_to_stop() {
    let compose = read("docker/compose.yml");
    let given = compose.split("stop_grace_period: ").nth(1).and_then(|rest| rest.split('s').next()).unwrap();
    let config = Config { redis: Some(Address::new("redis://h")), ..Config::default() };
    let ms = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap();
    let longest = longest_stop_ms(ms(config.drain_grace()), ms(config.drain_timeout));
    assert!(given.parse::<i64>().unwrap() * 1_000 >= longest, "{given} s, and a stop may take {longest} ms");
}
