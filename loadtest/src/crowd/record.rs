//! The deliveries of a crowd: counted as they come in, and matched with the commands at the harvest.
//!
//! Only the sender of a write knows when it was sent, perhaps in another process, so deliveries wait here until the
//! harvest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::protocol::{Counts, Harvest, Sent, SubscriberSpec};
use crate::net::socket::Arrival;
use crate::position::{Position, State};
use crate::report::latencies::Latencies;

/// Deliveries kept; past this, only counts go on.
const MAX_DELIVERIES: usize = 20_000_000;

#[derive(Debug, Default)]
pub struct Record {
    pub counts: Counts,
    places: Vec<SubscriberState>,
    deliveries: Vec<Delivery>,
    aim: Option<Aim>,
    recovery: Latencies,
    leaves_next: usize,
}

/// The record, which every subscriber locks for a moment.
#[derive(Clone, Default)]
pub struct SharedRecord(Arc<Mutex<Record>>);

impl SharedRecord {
    /// A panic elsewhere does not make the figures wrong.
    pub fn with<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The progress of a subscriber.
#[derive(Debug, Clone, Copy, Default)]
struct SubscriberState {
    session: usize,
    last: Option<Position>,
    is_open: bool,
    is_right: bool,
}

#[derive(Debug, Clone, Copy)]
struct Delivery {
    session: usize,
    version: u64,
    arrival: Arrival,
}

/// The target of all subscribers, and since when.
#[derive(Debug)]
struct Aim {
    go_ns: u64,
    targets: Vec<u64>,
}

impl Record {
    pub fn make_room(&mut self, specs: &[SubscriberSpec]) {
        self.places
            .extend(specs.iter().map(|spec| SubscriberState { session: spec.session, ..SubscriberState::default() }));
    }

    /// The position it resumes from.
    pub fn last(&self, place: usize) -> Option<Position> {
        self.places[place].last
    }

    /// Its stream is open.
    pub fn opened(&mut self, place: usize) {
        self.counts.open += u64::from(!std::mem::replace(&mut self.places[place].is_open, true));
    }

    /// Its stream has closed.
    pub fn left(&mut self, place: usize) {
        self.counts.open -= u64::from(std::mem::take(&mut self.places[place].is_open));
    }

    pub fn all_left(&mut self) {
        (0..self.places.len()).for_each(|place| self.left(place));
    }

    /// Its stream ended, or did not open, through no request of ours. Returns whether it was open.
    pub fn lost(&mut self, place: usize, why: &str) -> bool {
        let was_open = self.places[place].is_open;
        self.counts.lost += u64::from(was_open);
        self.left(place);
        self.counts.first_error.get_or_insert_with(|| why.to_owned());
        was_open
    }

    pub fn gave_up(&mut self) {
        self.counts.failed += 1;
    }

    pub fn next_to_leave(&mut self) -> usize {
        self.leaves_next = (self.leaves_next + 1) % self.places.len().max(1);
        self.leaves_next
    }

    /// From now on, a subscriber that reaches its target has recovered.
    pub fn aim(&mut self, go_ns: u64, targets: Vec<u64>) {
        self.places.iter_mut().for_each(|place| place.is_right = false);
        self.counts.right = 0;
        self.aim = Some(Aim { go_ns, targets });
    }

    pub fn saw(&mut self, place: usize, state: State, arrival: Arrival) {
        let subscriber = &mut self.places[place];
        let session = subscriber.session;
        let position = state.position;
        let last = subscriber.last.replace(position.max(subscriber.last.unwrap_or_default()));
        match last {
            Some(last) if position <= last => self.counts.repeated += u64::from(!state.is_sync),
            last => {
                self.counts.states += 1;
                self.counts.syncs += u64::from(state.is_sync);
                self.counts.skipped += last.map_or(0, |last| position.version.saturating_sub(last.version + 1));
                self.keep(Delivery { session, version: position.version, arrival });
            }
        }
        self.judge(place, position.version, arrival);
    }

    fn keep(&mut self, delivery: Delivery) {
        if self.deliveries.len() < MAX_DELIVERIES {
            self.deliveries.push(delivery);
        }
    }

    fn judge(&mut self, place: usize, version: u64, arrival: Arrival) {
        let Some(aim) = &self.aim else { return };
        let subscriber = &mut self.places[place];
        if !subscriber.is_right && aim.targets.get(subscriber.session).is_some_and(|target| version >= *target) {
            subscriber.is_right = true;
            self.counts.right += 1;
            self.recovery.record_between(aim.go_ns, arrival.read_ns);
        }
    }

    /// The deliveries of these writes; all others are dropped too.
    pub fn harvest(&mut self, sent: &[Sent]) -> Harvest {
        let places: HashMap<_, _> = sent.iter().zip(0..).map(|(sent, at)| ((sent.session, sent.version), at)).collect();
        let (mut arrival, mut read) = (Latencies::default(), Latencies::default());
        let mut last_ns = vec![0; sent.len()];
        for delivery in std::mem::take(&mut self.deliveries) {
            let Some(&at) = places.get(&(delivery.session, delivery.version)) else { continue };
            let at: usize = at;
            arrival.record_between(sent[at].at_ns, delivery.arrival.kernel_ns);
            read.record_between(sent[at].at_ns, delivery.arrival.read_ns);
            last_ns[at] = delivery.arrival.kernel_ns.max(last_ns[at]);
        }
        let recovery = std::mem::take(&mut self.recovery).counts();
        let delivered = arrival.count();
        Harvest { delivered, arrival: arrival.counts(), read: read.counts(), last_ns, recovery }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Transport;

    fn record(sessions: &[usize]) -> Record {
        let spec = |&session| SubscriberSpec { session, instance: 0, transport: Transport::Ws, from: None };
        let mut record = Record::default();
        record.make_room(&sessions.iter().map(spec).collect::<Vec<_>>());
        record
    }

    fn state(version: u64) -> State {
        State { position: Position { epoch: 1, version }, is_sync: false }
    }

    fn sync(version: u64) -> State {
        State { is_sync: true, ..state(version) }
    }

    fn at(us: u64) -> Arrival {
        Arrival { kernel_ns: us * 1_000, read_ns: us * 1_000 + 500_000 }
    }

    #[test]
    fn gaps_and_repeats_are_told_apart() {
        let mut record = record(&[0]);
        for state in [sync(3), state(4), state(4), state(7), sync(7), state(6), state(8)] {
            record.saw(0, state, at(1));
        }
        let expected = Counts { states: 4, syncs: 1, skipped: 2, repeated: 2, ..Counts::default() };
        assert_eq!(record.counts, expected);
        assert_eq!(record.last(0), Some(Position { epoch: 1, version: 8 }));
    }

    #[test]
    fn the_harvest_has_only_the_requested_writes() {
        let mut record = record(&[0, 0, 1]);
        record.saw(0, state(2), at(100));
        record.saw(1, state(2), at(400));
        record.saw(2, state(2), at(900));
        record.saw(0, state(3), at(999));
        let sent = [Sent { session: 0, version: 2, at_ns: 0 }, Sent { session: 1, version: 9, at_ns: 0 }];
        let harvest = record.harvest(&sent);
        assert_eq!((harvest.delivered, harvest.arrival), (2, vec![(100, 1), (400, 1)]));
        assert_eq!((harvest.read.len(), harvest.last_ns), (2, vec![400_000, 0]));
        assert_eq!(record.harvest(&sent).delivered, 0);
    }

    #[test]
    fn a_subscriber_that_reaches_its_target_counts_once() {
        let mut record = record(&[0, 1]);
        record.saw(0, state(2), at(1));
        record.aim(1_000_000, vec![3, 5]);
        record.saw(0, state(3), at(2_000));
        record.saw(0, state(4), at(3_000));
        record.saw(1, sync(4), at(3_000));
        assert_eq!(record.counts.right, 1);
        record.saw(1, state(5), at(4_000));
        assert_eq!(record.counts.right, 2);
        let recovery = record.harvest(&[]).recovery;
        assert_eq!(recovery.iter().map(|(_, count)| count).sum::<u64>(), 2);
    }

    #[test]
    fn streams_are_open_until_they_are_not() {
        let mut record = record(&[0, 0]);
        record.opened(0);
        record.opened(0);
        record.opened(1);
        assert!(record.lost(1, "gone"));
        assert!(!record.lost(1, "again"));
        assert_eq!((record.counts.open, record.counts.lost), (1, 1));
        assert_eq!(record.counts.first_error.as_deref(), Some("gone"));
        record.all_left();
        assert_eq!(record.counts.open, 0);
    }
}
