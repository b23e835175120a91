//! Processes that kept their sessions in memory, one after the other, and how each ended.

use crate::domain::session::restore::{Gap, Outage};
use crate::domain::time::Timestamp;

/// So many processes are looked back on.
pub const MAX_RUNS: i64 = 10_000;

pub(super) const OPEN: &str = "insert into run (began_at) values ($1) \
    on conflict (began_at) do update set stopped_at = null";

/// Nobody looks back further.
pub(super) const FORGET: &str = "delete from run where began_at < $1";

pub(super) const CLOSE: &str = "update run set stopped_at = $2 where began_at = $1 and began_at <= $2";

pub(super) const RUNS: &str = "select began_at, stopped_at from run where began_at < $1 \
    order by began_at desc limit $2";

pub(super) const ABSENCES: &str = "select gone_at, back_at from absence order by gone_at desc limit $1";

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it began.
    pub began: Timestamp,
    /// From when on nobody could act on what it held, if it stopped in order.
    pub stopped: Option<Timestamp>,
}

/// Processes that ended, oldest first, and when nobody was there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunHistory {
    /// The processes.
    pub runs: Vec<Run>,
    /// Spans of five seconds and more.
    pub absences: Vec<Outage>,
}

/// What happened to a session between two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interruption {
    /// Every process that may have held it stopped in order.
    pub is_orderly: bool,
    /// The first span in which nobody could act on it.
    pub gap: Option<Gap>,
}

impl RunHistory {
    pub(super) fn of(mut runs: Vec<(i64, Option<i64>)>, mut absences: Vec<(i64, i64)>) -> Self {
        runs.reverse();
        absences.reverse();
        let at = Timestamp::from_ms;
        let run = |(began, stopped): (i64, Option<i64>)| Run { began: at(began), stopped: stopped.map(at) };
        let absence = |(gone, back)| Outage { from: at(gone), until: at(back) };
        Self { runs: runs.into_iter().map(run).collect(), absences: absences.into_iter().map(absence).collect() }
    }

    /// What happened since a session was last written, in the epoch that began at `epoch`,
    /// until the process that began at `began`. Where no process is known to have held it,
    /// none is known to have stopped in order.
    #[must_use]
    pub fn since(&self, epoch: Timestamp, began: Timestamp) -> Interruption {
        let first = self.runs.iter().rposition(|run| run.began <= epoch);
        let held = first.map_or(&[][..], |first| &self.runs[first..]);
        let starts = held.iter().skip(1).map(|run| run.began).chain([began]);
        let stops = held.iter().zip(starts).filter_map(|(run, until)| Some(Outage { from: run.stopped?, until }));
        let outages = self.absences.iter().filter(|absence| absence.until > epoch).copied().map(Gap::Outage);
        let gaps = stops.map(Gap::Stop).chain(outages);
        Interruption {
            is_orderly: first.is_some() && held.iter().all(|run| run.stopped.is_some()),
            gap: gaps.min_by_key(|gap| gap.outage().from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(runs: &[(i64, Option<i64>)], absences: &[(i64, i64)], epoch: i64) -> (bool, Option<Gap>) {
        let newest_first = runs.iter().rev().copied().collect();
        let runs = RunHistory::of(newest_first, absences.iter().rev().copied().collect());
        let Interruption { is_orderly, gap } = runs.since(Timestamp::from_ms(epoch), Timestamp::from_ms(900));
        (is_orderly, gap)
    }

    fn span(from: i64, until: i64) -> Outage {
        Outage { from: Timestamp::from_ms(from), until: Timestamp::from_ms(until) }
    }

    #[test]
    fn a_stop_in_order_is_a_gap_and_no_loss() {
        assert_eq!(since(&[(100, Some(200))], &[], 150), (true, Some(Gap::Stop(span(200, 900)))));
        assert_eq!(since(&[(100, Some(200)), (300, Some(400))], &[], 150), (true, Some(Gap::Stop(span(200, 300)))));
        assert_eq!(since(&[(100, Some(200)), (300, Some(400))], &[], 300), (true, Some(Gap::Stop(span(400, 900)))));
    }

    #[test]
    fn a_kill_since_the_session_was_written_is_a_loss() {
        assert_eq!(since(&[(100, None)], &[], 150), (false, None));
        assert_eq!(since(&[(100, None), (300, Some(400))], &[], 150), (false, Some(Gap::Stop(span(400, 900)))));
        assert_eq!(since(&[(100, None), (300, Some(400))], &[], 350), (true, Some(Gap::Stop(span(400, 900)))));
        assert_eq!(since(&[], &[], 150), (false, None));
        assert_eq!(since(&[(300, Some(400))], &[], 150), (false, None), "who held it is not known");
    }

    #[test]
    fn the_first_gap_counts_whatever_it_was() {
        let runs = [(100, None), (300, Some(400))];
        assert_eq!(since(&runs, &[(190, 300)], 150), (false, Some(Gap::Outage(span(190, 300)))));
        assert_eq!(since(&runs, &[(90, 100), (430, 900)], 150), (false, Some(Gap::Stop(span(400, 900)))));
    }
}
