//! The scripts, as they are sent.

use std::sync::LazyLock;

#[cfg(feature = "mutants")]
use crate::mutants::commit;
use crate::redis::Script;

/// Every script.
pub static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::new);

/// Each file says what its script takes and returns.
#[derive(Debug)]
pub struct Scripts {
    pub generation: Script,
    pub commit: Script,
    pub read: Script,
    pub read_watched: Script,
    pub retain: Script,
    pub idempotency_get: Script,
    pub idempotency_set: Script,
    pub restore: Script,
    pub due: Script,
    pub outbox_bounds: Script,
    pub outbox_read: Script,
    pub outbox_ack: Script,
    pub outbox_size: Script,
    pub outbox_shed: Script,
    pub clock_get: Script,
    pub clock_set: Script,
}

impl Scripts {
    fn new() -> Self {
        let fence = include_str!("../lua/fence.lua");
        let idempotency = include_str!("../lua/idempotency.lua");
        Self {
            generation: Script::new(&[include_str!("../lua/generation.lua")]),
            commit: Script::new(&[fence, idempotency, &commit(include_str!("../lua/commit.lua"))]),
            read: Script::new(&[fence, include_str!("../lua/read.lua")]),
            read_watched: Script::new(&[fence, include_str!("../lua/read_watched.lua")]),
            retain: Script::new(&[fence, include_str!("../lua/retain.lua")]),
            idempotency_get: Script::new(&[idempotency, include_str!("../lua/idempotency_get.lua")]),
            idempotency_set: Script::new(&[fence, idempotency, include_str!("../lua/idempotency_set.lua")]),
            restore: Script::new(&[fence, idempotency, include_str!("../lua/restore.lua")]),
            due: Script::new(&[fence, include_str!("../lua/due.lua")]),
            outbox_bounds: Script::new(&[fence, include_str!("../lua/outbox_bounds.lua")]),
            outbox_read: Script::new(&[fence, include_str!("../lua/outbox_read.lua")]),
            outbox_ack: Script::new(&[fence, include_str!("../lua/outbox_ack.lua")]),
            outbox_size: Script::new(&[fence, include_str!("../lua/outbox_size.lua")]),
            outbox_shed: Script::new(&[fence, include_str!("../lua/outbox_shed.lua")]),
            clock_get: Script::new(&[include_str!("../lua/clock_get.lua")]),
            clock_set: Script::new(&[include_str!("../lua/clock_set.lua")]),
        }
    }
}

#[cfg(not(feature = "mutants"))]
fn commit(script: &str) -> String {
    script.to_owned()
}
