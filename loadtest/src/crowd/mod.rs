//! Subscribers, as many as one process may have: each a task with a connection, all writing into one record.

pub mod order;
mod record;
mod streams;
mod subscriber;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use order::{Answer, Ask, Company, Seat};
use record::Record;
use subscriber::Subscriber;

/// The crowd of this process.
pub struct Crowd {
    company: Arc<Company>,
    gate: Arc<Semaphore>,
    record: Shared,
    seats: Vec<Seat>,
    tasks: Vec<JoinHandle<()>>,
}

/// The record, which every subscriber writes into for a moment.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Record>>);

impl Shared {
    /// A panic elsewhere does not make the figures wrong.
    fn with<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Crowd {
    /// Nobody yet.
    pub fn of(company: Company) -> Self {
        let gate = Arc::new(Semaphore::new(company.at_once.max(1)));
        Self { company: Arc::new(company), gate, record: Shared::default(), seats: Vec::new(), tasks: Vec::new() }
    }

    /// Does what is asked; nothing here takes long.
    pub fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Gather(company) => *self = Self::of(company),
            Ask::Seat(seats) => self.seat(seats),
            Ask::Count => {}
            Ask::Harvest(sent) => return Answer::Harvest(self.record.with(|record| record.harvest(&sent))),
            Ask::Cut => self.cut(),
            Ask::Resume { go_ns, targets } => self.resume(go_ns, targets),
            Ask::Recycle(count) => self.recycle(count),
        }
        Answer::Counts(self.record.with(|record| record.counts.clone()))
    }

    fn seat(&mut self, seats: Vec<Seat>) {
        self.record.with(|record| record.make_room(&seats));
        for seat in seats {
            self.seats.push(seat);
            let task = self.subscribe(self.seats.len() - 1);
            self.tasks.push(task);
        }
    }

    fn subscribe(&self, place: usize) -> JoinHandle<()> {
        let subscriber = Subscriber {
            place,
            seat: self.seats[place].clone(),
            company: Arc::clone(&self.company),
            record: self.record.clone(),
        };
        tokio::spawn(subscriber.stay(Arc::clone(&self.gate)))
    }

    /// Ends every connection at once, as a network does.
    fn cut(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
        self.record.with(Record::all_left);
    }

    /// All come back from where each stood, and none waits for another.
    fn resume(&mut self, go_ns: u64, targets: Vec<u64>) {
        self.gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        self.record.with(|record| record.aim(go_ns, targets));
        self.tasks = (0..self.seats.len()).map(|place| self.subscribe(place)).collect();
    }

    /// Some leave and come back; the next time it is others.
    fn recycle(&mut self, count: usize) {
        for _ in 0..count.min(self.seats.len()) {
            let place = self.record.with(Record::next_to_leave);
            self.tasks[place].abort();
            self.record.with(|record| record.left(place));
            self.tasks[place] = self.subscribe(place);
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.cut();
    }
}
