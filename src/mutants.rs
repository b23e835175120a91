//! Lies on purpose, to show that the tests' checker notices: only in builds with the
//! feature `mutants`, one at a time, named by `SYNCKAIROS_MUTANT`.

use std::sync::LazyLock;

#[expect(clippy::disallowed_methods, reason = "it is no setting of the service, and main must not know it")]
static MUTANT: LazyLock<String> = LazyLock::new(|| std::env::var("SYNCKAIROS_MUTANT").unwrap_or_default());

/// The script of commits, as the mutant has it.
pub fn commit(script: &str) -> String {
    let stale = "stored.position ~= base or stored.generation ~= number";
    let remembers = "string.find(stored.operations, operations, 1, true)";
    let begins = "    local operations = '.' .. operation\n";
    let publishes = "redis.call(publish, channel, message)\n";
    match MUTANT.as_str() {
        "no_compare" => script.replace(stale, "false"),
        "no_operations" => script.replace(remembers, "false"),
        "publish_first" => script.replace(publishes, "").replace(begins, &format!("{begins}{publishes}")),
        _ => script.to_owned(),
    }
}

/// Whether a refusal may rest on what is remembered.
pub fn trusts_memory() -> bool {
    *MUTANT == "trusts_memory"
}
