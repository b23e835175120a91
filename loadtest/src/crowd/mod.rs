//! Subscribers, as many as one process may have: each a task with a connection, all writing into one record.

pub mod order;
mod record;
mod streams;
mod subscriber;
mod task;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use order::{Answer, Ask, Company, Seat};
use record::{Record, SharedRecord};
use subscriber::Subscriber;

/// The crowd of this process.
pub struct Crowd {
    company: Arc<Company>,
    gate: Arc<Semaphore>,
    record: SharedRecord,
    seats: Vec<Seat>,
    tasks: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Nobody yet.
    pub fn of(company: Company) -> Self {
        let gate = Arc::new(Semaphore::new(company.at_once.max(1)));
        Self { company: Arc::new(company), gate, record: SharedRecord::default(), seats: Vec::new(), tasks: Vec::new() }
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
        tokio::spawn(task::run(subscriber, Arc::clone(&self.gate)))
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
