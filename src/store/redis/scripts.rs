//! The scripts, as they are sent.

use std::sync::LazyLock;

#[cfg(feature = "mutants")]
use crate::mutants::commit;
use crate::redis::Script;

/// Every script.
pub static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::new);

/// Each says in its file what it takes and gives.
#[derive(Debug)]
pub struct Scripts {
    pub life: Script,
    pub commit: Script,
    pub read: Script,
    pub read_watched: Script,
    pub keep: Script,
    pub answered: Script,
    pub idempotency_set: Script,
    pub restore: Script,
    pub due: Script,
    pub waiting: Script,
    pub oldest: Script,
    pub acknowledge: Script,
    pub weigh: Script,
    pub shed: Script,
    pub clock: Script,
    pub claim: Script,
}

impl Scripts {
    fn new() -> Self {
        let alive = include_str!("../lua/alive.lua");
        let generations = include_str!("../lua/generations.lua");
        Self {
            life: Script::new(&[include_str!("../lua/life.lua")]),
            commit: Script::new(&[alive, generations, &commit(include_str!("../lua/commit.lua"))]),
            read: Script::new(&[alive, include_str!("../lua/read.lua")]),
            read_watched: Script::new(&[alive, include_str!("../lua/read_watched.lua")]),
            keep: Script::new(&[alive, include_str!("../lua/keep.lua")]),
            answered: Script::new(&[generations, include_str!("../lua/answered.lua")]),
            idempotency_set: Script::new(&[alive, generations, include_str!("../lua/idempotency_set.lua")]),
            restore: Script::new(&[alive, generations, include_str!("../lua/restore.lua")]),
            due: Script::new(&[alive, include_str!("../lua/due.lua")]),
            waiting: Script::new(&[alive, include_str!("../lua/waiting.lua")]),
            oldest: Script::new(&[alive, include_str!("../lua/oldest.lua")]),
            acknowledge: Script::new(&[alive, include_str!("../lua/acknowledge.lua")]),
            weigh: Script::new(&[alive, include_str!("../lua/weigh.lua")]),
            shed: Script::new(&[alive, include_str!("../lua/shed.lua")]),
            clock: Script::new(&[include_str!("../lua/clock.lua")]),
            claim: Script::new(&[include_str!("../lua/claim.lua")]),
        }
    }
}

#[cfg(not(feature = "mutants"))]
fn commit(script: &str) -> String {
    script.to_owned()
}
