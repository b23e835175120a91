//! A subscriber: opens its stream, follows it, and comes back when it ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::Shared;
use super::order::{Company, Seat};
use super::streams;
use crate::net::socket::Arrival;
use crate::position::State;
use crate::target::Transport;

/// So often in a row it is tried to open a stream before it is given up.
const ATTEMPTS: u32 = 50;

/// Until it is tried again: so much, and up to twice that as the place has it, so that not all come together.
const PAUSE_MS: u64 = 100;

pub struct Subscriber {
    /// Its number in this process.
    pub place: usize,
    pub seat: Seat,
    pub company: Arc<Company>,
    pub record: Shared,
}

/// Held while a stream is being opened.
pub type Permit = Option<OwnedSemaphorePermit>;

impl Subscriber {
    /// Stays until it is ended, or until nobody lets it in any more.
    pub async fn stay(self, gate: Arc<Semaphore>) {
        let mut attempts = 0;
        while attempts < ATTEMPTS {
            let permit = Arc::clone(&gate).acquire_owned().await.ok();
            let Err(error) = self.follow(permit).await;
            let was_open = self.record.with(|record| record.lost(self.place, &error.to_string()));
            attempts = if was_open { 1 } else { attempts + 1 };
            sleep(self.pause(attempts)).await;
        }
        self.record.with(super::record::Record::gave_up);
    }

    async fn follow(&self, permit: Permit) -> Result<std::convert::Infallible, io::Error> {
        match self.seat.transport {
            Transport::Ws => streams::websocket(self, permit).await,
            Transport::Sse => streams::events(self, permit).await,
            Transport::Poll => streams::polls(self, permit).await,
        }
    }

    fn pause(&self, attempts: u32) -> Duration {
        let place = self.place as u64 + u64::from(attempts);
        Duration::from_millis(PAUSE_MS + place.wrapping_mul(7_919) % PAUSE_MS)
    }

    /// The request that asks for what comes after what it saw last.
    pub fn request(&self) -> Vec<u8> {
        let last = self.record.with(|record| record.last(self.place));
        let session = &self.company.sessions[self.seat.session];
        self.company.target.subscription(&session.id, self.seat.transport, last)
    }

    pub fn opened(&self) {
        self.record.with(|record| record.opened(self.place));
    }

    /// So many bytes came.
    pub fn took(&self, bytes: usize) {
        self.record.with(|record| record.counts.bytes += bytes as u64);
    }

    pub fn saw(&self, state: State, arrival: Arrival) {
        self.record.with(|record| record.saw(self.place, state, arrival));
    }
}
