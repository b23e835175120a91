//! Judges a history: is what clients were told true, in order, and all of it kept?
//!
//! The line of versions is given (each change names its position, each link the one
//! before), so nothing has to be guessed: every version is made again by the rules from
//! the one before it, every answer is held against the versions that were the newest at
//! some instant between question and answer, every frame against the frames before it.
//! A violation is told by the few events that show it.

mod acks;
mod case;
mod expiry;
mod frames;
mod line;
mod order;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use self::case::Case;
use super::history::History;

/// What was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// A change stands before one that had been seen when it was asked for.
    RealTime,
    /// An answer shows a version although a newer one had been seen when it was asked for.
    StaleRead,
    /// A refusal for which no version gives a reason.
    Refusal,
    /// A command was applied on another version than the one it named.
    Expected,
    /// What was acknowledged is not on the line.
    Lost,
    /// One command, or one key, made two versions; or two were acknowledged with one.
    Twice,
    /// A version that nobody asked for.
    Phantom,
    /// A version is missing on the line.
    Hole,
    /// One position with two contents.
    TwoContents,
    /// A frame came before one it follows, or one too many, or one was left out untold.
    Frames,
    /// A client ended elsewhere than the session.
    EndsElsewhere,
    /// The ledger lacks a version, holds one twice, or a link does not fit.
    Ledger,
    /// A branch without a new epoch.
    Fork,
    /// A version is not what the rules make of the one before: time charged included.
    Charged,
    /// A clock ran out before its deadline, twice, or not at all.
    Expiry,
    /// The instant of a change lies outside of the time in which it was asked for.
    Clock,
}

/// One law broken, and how.
#[derive(Debug, Clone)]
pub struct Violation {
    pub law: Law,
    pub session: String,
    /// The few events that show it.
    pub trace: Vec<String>,
}

/// What is let pass.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Acknowledged commands may be lost, if a new epoch tells so.
    pub may_lose: bool,
    /// Cluster time and the recording's may be so far apart.
    pub clock_tolerance_us: i64,
    /// So long after its deadline an expiry may be unnoticed.
    pub expiry_patience_ms: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { may_lose: false, clock_tolerance_us: 100_000, expiry_patience_ms: 2_000 }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    pub figures: Figures,
}

/// How much there was to judge.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub calls: usize,
    pub applied: usize,
    pub refused: usize,
    /// Refusals for which a reason was looked for, and found.
    pub refusals_judged: usize,
    pub unavailable: usize,
    pub unknown: usize,
    pub frames: usize,
    pub versions: usize,
    /// Versions that the rules made again.
    pub versions_judged: usize,
    /// Acknowledged, and not on the line.
    pub lost: usize,
    pub epochs: usize,
    pub expiries: usize,
}

/// Judges everything, a session at a time.
pub fn judge(history: &History, rules: &Rules) -> Verdict {
    let mut verdict = Verdict::default();
    for session in sessions(history) {
        let case = Case::of(history, session, rules, &mut verdict);
        line::judge(&case, &mut verdict);
        order::judge(&case, &mut verdict);
        acks::judge(&case, &mut verdict);
        replay::judge(&case, &mut verdict);
        frames::judge(&case, &mut verdict);
        expiry::judge(&case, &mut verdict);
    }
    verdict
}

fn sessions(history: &History) -> BTreeSet<&str> {
    let of_calls = history.calls.iter().map(|call| call.session.as_str());
    let of_rows = history.rows.iter().map(|row| row.key.session.as_str());
    of_calls.chain(of_rows).chain(history.finals.iter().map(|last| last.session.as_str())).collect()
}

impl Verdict {
    fn broken(&mut self, law: Law, case: &Case<'_>, trace: impl IntoIterator<Item = String>) {
        let trace = trace.into_iter().collect();
        self.violations.push(Violation { law, session: case.session.to_owned(), trace });
    }

    pub fn laws(&self) -> BTreeSet<Law> {
        self.violations.iter().map(|violation| violation.law).collect()
    }

    /// The violation with the shortest trace of each law.
    pub fn shortest(&self) -> Vec<&Violation> {
        let of = |law| self.violations.iter().filter(move |violation| violation.law == law);
        self.laws().into_iter().filter_map(|law| of(law).min_by_key(|violation| violation.trace.len())).collect()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}:", self.law, self.session)?;
        self.trace.iter().try_for_each(|event| write!(f, "\n    {event}"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} violations; {:?}", self.violations.len(), self.figures)?;
        self.shortest().into_iter().try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}
