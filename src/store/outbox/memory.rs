//! The outbox of a single process; its entries die with it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{Backlog, EntryId, Outbox, OutboxEntry, OutboxError};
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::telemetry::metrics::OUTBOX_SHED_TOTAL;

/// While the oldest entry is older than this, answers wait: the process could take commits
/// with it that it has acknowledged.
const MAX_LAG: Duration = Duration::from_millis(10);

/// A ledger that is this far behind counts as away, and is not waited for.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Entries in the order they were committed, in memory.
#[derive(Debug)]
pub struct MemoryOutbox {
    queue: Mutex<Queue>,
    appended: Notify,
    /// Number of the first entry that is not acknowledged.
    first: watch::Sender<u64>,
}

impl MemoryOutbox {
    /// An empty outbox that sheds bodies past `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self { queue: Mutex::new(Queue::new(max_bytes)), appended: Notify::new(), first: watch::channel(0).0 }
    }

    /// Appends an entry and wakes the consumer. Never waits, as it is called with the
    /// session locked.
    pub fn append(&self, entry: Arc<Entry>) -> EntryId {
        let (number, shed) = {
            let mut queue = self.queue.lock();
            (queue.push(entry), queue.shed())
        };
        self.appended.notify_one();
        if shed > 0 {
            metrics::counter!(OUTBOX_SHED_TOTAL).increment(shed);
        }
        entry_id(number)
    }

    /// Waits until that entry is acknowledged: in the ledger, or among the dead letters.
    pub async fn recorded(&self, id: EntryId) {
        // Cannot fail: the sender is ours.
        let _ = self.first.subscribe().wait_for(|first| entry_id(*first) > id).await;
    }

    /// Returns once the ledger is hardly behind, or counts as away.
    pub async fn wait_for_ledger(&self) {
        if self.lag().is_none() {
            return;
        }
        let mut first = self.first.subscribe();
        while let Some(lag) = self.lag() {
            // Either way the lag is read again.
            let _ = tokio::time::timeout(LEDGER_TIMEOUT.saturating_sub(lag), first.changed()).await;
        }
    }

    /// How far behind the ledger is, if it is worth waiting for.
    fn lag(&self) -> Option<Duration> {
        let lag = self.queue.lock().appended_at.front()?.elapsed();
        (MAX_LAG..LEDGER_TIMEOUT).contains(&lag).then_some(lag)
    }

    /// Waits until the outbox is empty, also of later entries.
    pub async fn wait_drained(&self) {
        let is_empty = |first: &u64| *first == self.queue.lock().end();
        let _ = self.first.subscribe().wait_for(is_empty).await;
    }
}

/// There is one outbox and one generation: the number is enough.
fn entry_id(number: u64) -> EntryId {
    EntryId { partition: None, generation: 0, number: (0, number) }
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn oldest(&self, max: usize, timeout: Duration) -> Result<Vec<OutboxEntry>, OutboxError> {
        let first_entries = async {
            loop {
                let entries = self.queue.lock().oldest(max);
                if !entries.is_empty() {
                    return entries;
                }
                // Remembers an append since then: the next turn finds it.
                self.appended.notified().await;
            }
        };
        Ok(tokio::time::timeout(timeout, first_entries).await.unwrap_or_default())
    }

    async fn acknowledge(&self, done: &[OutboxEntry]) -> Result<(), OutboxError> {
        let Some(last) = done.last() else { return Ok(()) };
        let (first, done) = {
            let mut queue = self.queue.lock();
            let done = queue.pop(last.id);
            (queue.first, done)
        };
        // Freed here, outside the lock.
        drop(done);
        self.first.send_replace(first);
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        let queue = self.queue.lock();
        Ok(Backlog { entries: queue.entries.len() as u64, bytes: queue.bytes as u64 })
    }
}

#[derive(Debug)]
struct Queue {
    entries: VecDeque<Arc<Entry>>,
    /// When each of them was appended.
    appended_at: VecDeque<Instant>,
    /// Number of the front entry.
    first: u64,
    bytes: usize,
    max_bytes: usize,
    /// Number of each session's newest entry, which keeps its body.
    newest: HashMap<SessionKey, u64>,
    /// Every entry before this number was examined for shedding.
    examined: u64,
    /// Of those, the ones that were a session's newest then and no longer are.
    superseded: BTreeSet<u64>,
}

impl Queue {
    fn new(max_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            appended_at: VecDeque::new(),
            first: 0,
            bytes: 0,
            max_bytes,
            newest: HashMap::new(),
            examined: 0,
            superseded: BTreeSet::new(),
        }
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn push(&mut self, entry: Arc<Entry>) -> u64 {
        let number = self.end();
        self.bytes += entry.size_bytes();
        let before = self.newest.insert(entry.key.clone(), number);
        self.superseded.extend(before.filter(|before| *before < self.examined));
        self.entries.push_back(entry);
        self.appended_at.push_back(Instant::now());
        number
    }

    fn oldest(&self, max: usize) -> Vec<OutboxEntry> {
        let numbered = (self.first..).zip(&self.entries).take(max);
        numbered.map(|(number, entry)| OutboxEntry { id: entry_id(number), entry: Arc::clone(entry) }).collect()
    }

    fn pop(&mut self, last: EntryId) -> Vec<Arc<Entry>> {
        let mut done = Vec::new();
        while entry_id(self.first) <= last
            && let Some(entry) = self.entries.pop_front()
        {
            self.appended_at.pop_front();
            self.bytes -= entry.size_bytes();
            if self.newest.get(&entry.key) == Some(&self.first) {
                self.newest.remove(&entry.key);
            }
            self.superseded.remove(&self.first);
            self.first += 1;
            done.push(entry);
        }
        self.examined = self.examined.max(self.first);
        done
    }

    /// Sheds bodies, oldest first, until few enough bytes are left or none can be shed.
    fn shed(&mut self) -> u64 {
        let mut shed = 0;
        while self.bytes > self.max_bytes
            && let Some(number) = self.next_to_examine()
        {
            shed += u64::from(self.shed_body(number));
        }
        shed
    }

    fn next_to_examine(&mut self) -> Option<u64> {
        let superseded = self.superseded.pop_first();
        superseded.or_else(|| {
            let number = self.examined;
            (number < self.end()).then(|| {
                self.examined += 1;
                number
            })
        })
    }

    fn shed_body(&mut self, number: u64) -> bool {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else {
            return false;
        };
        let is_newest = self.newest.get(&entry.key) == Some(&number);
        let body = entry.body.as_ref().map_or(0, Bytes::len);
        if is_newest || body == 0 {
            return false;
        }
        *entry = Arc::new(Entry { body: None, ..Entry::clone(entry) });
        self.bytes -= body;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chain::{Digest, Link};
    use crate::domain::id::{SessionId, TenantId};
    use crate::domain::position::Position;
    use crate::domain::time::Timestamp;

    const BODY: usize = 1000;

    fn entry(session: &str, version: u64) -> Arc<Entry> {
        let key = SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(session).unwrap() };
        let position = Position { epoch: 1, version };
        let link = Link { position, at: Timestamp::default(), previous: Digest::NONE, body: Digest::NONE };
        Arc::new(Entry { key, link, body: Some(vec![b'x'; BODY].into()), change: Bytes::new(), idempotency: None })
    }

    /// The ledger holds that entry and all before it.
    async fn acknowledge(outbox: &MemoryOutbox, id: EntryId) {
        outbox.acknowledge(&[OutboxEntry { id, entry: entry("any", 1) }]).await.unwrap();
    }

    async fn rows(outbox: &MemoryOutbox) -> Vec<(String, u64, bool)> {
        let entries = outbox.oldest(usize::MAX, Duration::ZERO).await.unwrap();
        let row = |OutboxEntry { entry, .. }: OutboxEntry| {
            (entry.key.session.to_string(), entry.link.position.version, entry.body.is_some())
        };
        entries.into_iter().map(row).collect()
    }

    fn row(session: &str, version: u64, body: bool) -> (String, u64, bool) {
        (session.to_owned(), version, body)
    }

    #[tokio::test]
    async fn entries_stay_in_order_until_acknowledged() {
        let outbox = MemoryOutbox::new(usize::MAX);
        let ids: Vec<_> = (1..=5).map(|version| outbox.append(entry("a", version))).collect();
        let two = outbox.oldest(2, Duration::ZERO).await.unwrap();
        assert_eq!(two.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids[..2]);
        assert_eq!(rows(&outbox).await.len(), 5);
        acknowledge(&outbox, ids[2]).await;
        acknowledge(&outbox, ids[0]).await;
        assert_eq!(rows(&outbox).await, [row("a", 4, true), row("a", 5, true)]);
        assert_eq!(outbox.backlog().await.unwrap(), Backlog { entries: 2, bytes: 2 * 1256 });
        acknowledge(&outbox, ids[4]).await;
        assert_eq!(outbox.backlog().await.unwrap(), Backlog::default());
        assert!(outbox.queue.lock().newest.is_empty());
    }

    #[tokio::test]
    async fn a_waiting_consumer_wakes_on_append() {
        let outbox = Arc::new(MemoryOutbox::new(usize::MAX));
        let consumer = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.oldest(9, Duration::from_secs(20)).await.unwrap().len() }
        });
        tokio::task::yield_now().await;
        outbox.append(entry("a", 1));
        assert_eq!(consumer.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn recorded_waits_for_its_own_entry_and_drained_for_all() {
        let outbox = MemoryOutbox::new(usize::MAX);
        outbox.wait_drained().await;
        let (first, second) = (outbox.append(entry("a", 1)), outbox.append(entry("a", 2)));
        acknowledge(&outbox, first).await;
        outbox.recorded(first).await;
        let later = futures::future::join(outbox.recorded(second), outbox.wait_drained());
        let mut later = Box::pin(later);
        assert!(futures::poll!(&mut later).is_pending());
        acknowledge(&outbox, second).await;
        later.await;
    }

    #[tokio::test]
    async fn bodies_are_shed_oldest_first_but_never_a_sessions_newest() {
        let outbox = MemoryOutbox::new(4 * 1256);
        for (session, version) in [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2), ("a", 4)] {
            outbox.append(entry(session, version));
        }
        let expected = [
            row("a", 1, false),
            row("b", 1, false),
            row("a", 2, false),
            row("a", 3, true),
            row("b", 2, true),
            row("a", 4, true),
        ];
        assert_eq!(rows(&outbox).await, expected);
        assert!(outbox.backlog().await.unwrap().bytes <= 4 * 1256);
    }

    #[tokio::test]
    async fn an_entry_is_shed_once_it_is_not_the_newest() {
        let outbox = MemoryOutbox::new(0);
        for version in 1..=3 {
            outbox.append(entry("a", version));
            outbox.append(entry("b", version));
        }
        let bodies: Vec<_> = rows(&outbox).await.into_iter().map(|row| row.2).collect();
        assert_eq!(bodies, [false, false, false, false, true, true]);
        let first = outbox.oldest(4, Duration::ZERO).await.unwrap();
        acknowledge(&outbox, first[3].id).await;
        outbox.append(entry("a", 4));
        let bodies: Vec<_> = rows(&outbox).await.into_iter().map(|row| row.2).collect();
        assert_eq!(bodies, [false, true, true]);
    }
}
