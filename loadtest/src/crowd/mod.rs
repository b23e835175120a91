//! The subscribers of one process: each is a task with a connection, and all write into one record.

pub mod protocol;
mod record;
mod streams;
mod subscriber;
mod task;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use protocol::{CrowdPlan, Reply, Request, SubscriberSpec};
use record::{Record, SharedRecord};
use subscriber::Subscriber;

/// The crowd of this process.
pub struct Crowd {
    plan: Arc<CrowdPlan>,
    gate: Arc<Semaphore>,
    record: SharedRecord,
    specs: Vec<SubscriberSpec>,
    tasks: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// A crowd without subscribers.
    pub fn of(plan: CrowdPlan) -> Self {
        let gate = Arc::new(Semaphore::new(plan.max_opening.max(1)));
        Self { plan: Arc::new(plan), gate, record: SharedRecord::default(), specs: Vec::new(), tasks: Vec::new() }
    }

    /// Carries out a request; none takes long.
    pub fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::Reset(plan) => *self = Self::of(plan),
            Request::Add(specs) => self.add(specs),
            Request::Count => {}
            Request::Harvest(sent) => return Reply::Harvest(self.record.with(|record| record.harvest(&sent))),
            Request::Cut => self.cut(),
            Request::Resume { go_ns, targets } => self.resume(go_ns, targets),
            Request::Recycle(count) => self.recycle(count),
        }
        Reply::Counts(self.record.with(|record| record.counts.clone()))
    }

    fn add(&mut self, specs: Vec<SubscriberSpec>) {
        self.record.with(|record| record.make_room(&specs));
        for spec in specs {
            self.specs.push(spec);
            let task = self.subscribe(self.specs.len() - 1);
            self.tasks.push(task);
        }
    }

    fn subscribe(&self, place: usize) -> JoinHandle<()> {
        let subscriber = Subscriber {
            place,
            spec: self.specs[place].clone(),
            plan: Arc::clone(&self.plan),
            record: self.record.clone(),
        };
        tokio::spawn(task::run(subscriber, Arc::clone(&self.gate)))
    }

    /// Ends every connection at once, like a failing network.
    fn cut(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
        self.record.with(Record::all_left);
    }

    /// All reconnect from their last position, at the same time.
    fn resume(&mut self, go_ns: u64, targets: Vec<u64>) {
        self.gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        self.record.with(|record| record.aim(go_ns, targets));
        self.tasks = (0..self.specs.len()).map(|place| self.subscribe(place)).collect();
    }

    /// Some leave and reconnect; each call takes the next ones.
    fn recycle(&mut self, count: usize) {
        for _ in 0..count.min(self.specs.len()) {
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
