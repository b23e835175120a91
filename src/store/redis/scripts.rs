//! The scripts, as they are sent.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::redis::Script;

/// Every script.
pub static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::new);

/// Each says in its file what it takes and gives.
#[derive(Debug)]
pub struct Scripts {
    pub life: Script,
    pub commit: Script,
    pub read: Script,
    pub answered: Script,
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
            commit: Script::new(&[alive, generations, &commit()]),
            read: Script::new(&[alive, include_str!("../lua/read.lua")]),
            answered: Script::new(&[generations, include_str!("../lua/answered.lua")]),
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
fn commit() -> Cow<'static, str> {
    include_str!("../lua/commit.lua").into()
}

#[cfg(feature = "mutants")]
fn commit() -> Cow<'static, str> {
    crate::mutants::commit(include_str!("../lua/commit.lua")).into()
}
