//! Puts the keys of a source in force, and tells people: in the security log and in the metrics.

use crate::auth::key_fault::KeyFaultCounts;
use crate::auth::key_list::KeyList;
use crate::auth::{Authenticator, KeyFault, Source};
use crate::telemetry::metrics;

/// Puts the keys of `source` in force.
pub fn apply(authenticator: &Authenticator, source: Source, list: KeyList) {
    let KeyList { keys, left_out } = list;
    metrics::count_token_key_load(source.as_str(), "loaded");
    tell_metrics(source, keys.len(), &left_out);
    let known = keys.len();
    let change = authenticator.replace(source, keys);
    if change.is_none() {
        return;
    }
    let source = source.as_str();
    tracing::info!(
        target: "security",
        source, keys = known, added = ?change.added, gone = ?change.gone,
        "the keys of tokens have changed"
    );
    if left_out.total() > 0 {
        tracing::warn!(target: "security", source, left_out = %left_out, "keys of tokens were left out");
    }
}

fn tell_metrics(source: Source, keys: usize, left_out: &KeyFaultCounts) {
    metrics::set_token_keys(source.as_str(), keys);
    for why in KeyFault::ALL {
        metrics::set_token_keys_left_out(source.as_str(), why.as_str(), left_out.of(why));
    }
}
