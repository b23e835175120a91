//! A subscriber: its stream's request, and its part of the record.

use std::sync::Arc;

use super::protocol::{CrowdPlan, SubscriberSpec};
use super::record::SharedRecord;
use crate::net::socket::Arrival;
use crate::position::State;

pub struct Subscriber {
    /// Its number in this process.
    pub place: usize,
    pub spec: SubscriberSpec,
    pub plan: Arc<CrowdPlan>,
    pub record: SharedRecord,
}

impl Subscriber {
    /// The request that resumes from its last position.
    pub fn request(&self) -> Vec<u8> {
        let last = self.record.with(|record| record.last(self.place));
        let session = &self.plan.sessions[self.spec.session];
        self.plan.target.subscription(&session.id, self.spec.transport, last)
    }

    pub fn opened(&self) {
        self.record.with(|record| record.opened(self.place));
    }

    /// Counts received bytes.
    pub fn took(&self, bytes: usize) {
        self.record.with(|record| record.counts.bytes += bytes as u64);
    }

    pub fn saw(&self, state: State, arrival: Arrival) {
        self.record.with(|record| record.saw(self.place, state, arrival));
    }
}
