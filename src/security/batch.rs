//! The events of a second: repeats of the same kind, principal and address are a count.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use super::event::{EventKind, SecurityEvent};
use crate::domain::id::TenantId;
use crate::domain::time::Timestamp;

/// The most different events of a second. Of more, only the number is known.
const MAX_EVENTS: usize = 1_000;

/// A longer detail or subject is cut.
const MAX_TEXT_CHARS: usize = 256;

type EventKey = (EventKind, Option<TenantId>, Option<String>, Option<IpAddr>);

/// An event of a batch: the first of its repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CountedEvent {
    pub event: SecurityEvent,
    pub at: Timestamp,
    pub times: u64,
}

/// The events of a second.
#[derive(Default)]
pub(super) struct EventBatch {
    events: HashMap<EventKey, CountedEvent>,
}

impl EventBatch {
    /// Adds an event that was noticed at `at`. Returns whether there was room.
    pub fn add(&mut self, mut event: SecurityEvent, at: Timestamp) -> bool {
        let is_full = self.events.len() >= MAX_EVENTS;
        match self.events.entry((event.kind, event.tenant.clone(), event.subject.clone(), event.address)) {
            Entry::Occupied(mut counted) => counted.get_mut().times += 1,
            Entry::Vacant(_) if is_full => return false,
            Entry::Vacant(vacant) => {
                event.detail = cut(event.detail);
                event.subject = event.subject.map(cut);
                vacant.insert(CountedEvent { event, at, times: 1 });
            }
        }
        true
    }

    /// Takes all of them, oldest first.
    pub fn take(&mut self) -> Vec<CountedEvent> {
        let mut events: Vec<_> = self.events.drain().map(|(_, event)| event).collect();
        events.sort_by_key(|counted| counted.at);
        events
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1);

    fn from(last: u8, detail: &str) -> SecurityEvent {
        SecurityEvent::of(EventKind::TokenRefused).from(Some([10, 0, 0, last].into())).detail(detail)
    }

    #[test]
    fn repeats_are_a_count_and_keep_the_first() {
        let mut batch = EventBatch::default();
        for detail in ["a", "b", "c"] {
            assert!(batch.add(from(1, detail), NOW));
        }
        batch.add(from(2, "a"), NOW + 1);
        let taken = batch.take();
        assert_eq!(taken.iter().map(|counted| counted.times).collect::<Vec<_>>(), [3, 1]);
        assert_eq!((taken[0].event.detail.as_str(), taken[0].at), ("a", NOW));
        assert_eq!(batch.take(), []);
    }

    #[test]
    fn a_flood_is_bounded_and_a_known_event_is_still_counted() {
        let mut batch = EventBatch::default();
        let subject = |number: usize| SecurityEvent { subject: Some(number.to_string()), ..from(1, "") };
        let added = (0..2 * MAX_EVENTS).filter(|number| batch.add(subject(*number), NOW)).count();
        assert_eq!(added, MAX_EVENTS);
        assert!(batch.add(subject(0), NOW) && !batch.add(subject(MAX_EVENTS), NOW));
        batch.take();
        batch.add(from(1, &"\u{e9}".repeat(60_000)), NOW);
        assert!(batch.take()[0].event.detail.len() < 600);
    }
}
