//! What the README and the settings' page show is what the service does.

use std::process::Command;

use super::harness::cluster::Cluster;

const README: &str = include_str!("../../README.md");
const CONFIGURATION: &str = include_str!("../../docs/CONFIGURATION.md");

/// Command lines of the README's console blocks, each with what it says they print.
fn shown() -> Vec<(String, String)> {
    let blocks = README.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = blocks.flat_map(|block| block.split("$ ").skip(1));
    let command =
        |text: &str| text.split_once('\n').map(|(line, printed)| (line.to_owned(), printed.trim().to_owned()));
    commands.filter_map(command).collect()
}

fn printed(line: &str) -> String {
    let ran = Command::new("sh").args(["-c", line]).output().unwrap();
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_lines_print_the_documented_output() {
    let cluster = Cluster::of(1).open().start().await;
    let address = cluster.instance(0).address.to_string();
    let shown = shown();
    assert_eq!(shown.len(), 3, "the README shows three command lines");
    for (line, expected) in shown {
        let here = line.replace("127.0.0.1:8080", &address);
        let came = tokio::task::spawn_blocking(move || printed(&here)).await.unwrap();
        assert_eq!(came, expected, "{line}");
    }
}

#[test]
fn the_settings_are_the_ones_there_are() {
    let reference = synckairos::config::reference();
    assert!(CONFIGURATION.contains(reference.trim()), "paste config::reference() into docs/CONFIGURATION.md");
}
