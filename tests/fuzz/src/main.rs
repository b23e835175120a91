//! Calls one target of `synckairos::fuzzing` with what libFuzzer makes up: the one that `SYNCKAIROS_FUZZ_TARGET` names.
//!
//! One program for all, because linking the library takes minutes with the fuzzer's flags.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use synckairos::fuzzing::{Check, TARGETS};

static CHECK: LazyLock<Check> = LazyLock::new(|| {
    let wanted = std::env::var("SYNCKAIROS_FUZZ_TARGET").unwrap_or_default();
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("SYNCKAIROS_FUZZ_TARGET must be one of {}", names.join(", "))).1
});

fuzz_target!(|input: &[u8]| CHECK(input));
