//! Batches concurrent commits: they go to Redis in one script, and share its fixed cost on
//! either side. A single commit is sent at once.
//!
//! On a cluster each commit is a script of its own, as the keys of a script stand in one slot.

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Key, Value};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::scripts::SCRIPTS;
use crate::domain::idempotency::IDEMPOTENCY_TTL_MS;
use crate::redis::{Argument, Redis, RedisError, Reply};

/// Commits in one script. Redis does nothing else meanwhile, so the script must be short.
const MAX_BATCH_COMMITS: usize = 32;

/// Scripts under way: while Redis runs one, another travels.
const MAX_BATCHES_IN_FLIGHT: usize = 2;

/// Commits that may wait to be sent; past it they are rejected unsent.
const MAX_UNSENT: usize = 10_000;

/// A commit that has waited longer is rejected unsent.
const QUEUE_TIMEOUT: Duration = Duration::from_millis(500);

/// The queue to Redis that commits share.
pub struct CommitBatcher {
    redis: Arc<Redis>,
    queue: mpsc::Sender<QueuedCommit>,
    _task: AbortOnDropHandle<()>,
}

/// A commit, as the script takes it.
struct QueuedCommit {
    keys: Vec<Key>,
    arguments: Vec<Argument>,
    queued_at: Instant,
    reply: oneshot::Sender<Result<Reply, RedisError>>,
}

impl CommitBatcher {
    /// Commits over that connection.
    pub fn new(redis: Arc<Redis>) -> Self {
        let (queue, commits) = mpsc::channel(MAX_UNSENT);
        let task = tokio::spawn(run(Arc::clone(&redis), commits));
        Self { redis, queue, _task: AbortOnDropHandle::new(task) }
    }

    /// Runs the commit script with the keys and arguments of one commit.
    pub async fn ask(&self, keys: Vec<Key>, arguments: Vec<Argument>) -> Result<Reply, RedisError> {
        if self.redis.is_cluster() {
            let arguments = common(&self.redis).chain(arguments).collect();
            let replies = self.redis.run(&SCRIPTS.commit, &keys, arguments).await?;
            return split_replies(replies, 1).pop().unwrap_or_else(|| Err(RedisError::protocol()));
        }
        let (reply, replied) = oneshot::channel();
        let commit = QueuedCommit { keys, arguments, queued_at: Instant::now(), reply };
        self.queue.try_send(commit).map_err(|full| RedisError::NotApplied(full.to_string().into()))?;
        replied.await.unwrap_or_else(|ended| Err(RedisError::Indeterminate(ended.into())))
    }
}

/// Sends queued commits until the last sender is dropped.
async fn run(redis: Arc<Redis>, mut queue: mpsc::Receiver<QueuedCommit>) {
    let mut in_flight = FuturesUnordered::new();
    let mut commits = Vec::with_capacity(MAX_BATCH_COMMITS);
    loop {
        tokio::select! {
            Some(()) = in_flight.next() => {}
            count = queue.recv_many(&mut commits, MAX_BATCH_COMMITS), if in_flight.len() < MAX_BATCHES_IN_FLIGHT => {
                if count == 0 {
                    return;
                }
                let batch = std::mem::replace(&mut commits, Vec::with_capacity(MAX_BATCH_COMMITS)).into_iter();
                in_flight.push(send(&redis, batch.filter_map(unless_expired).collect()));
            }
        }
    }
}

fn unless_expired(commit: QueuedCommit) -> Option<QueuedCommit> {
    if commit.queued_at.elapsed() < QUEUE_TIMEOUT {
        return Some(commit);
    }
    let _ = commit.reply.send(Err(RedisError::NotApplied("it waited too long behind others".into())));
    None
}

async fn send(redis: &Redis, commits: Vec<QueuedCommit>) {
    let (mut keys, mut arguments, mut callers) = (Vec::new(), common(redis).collect::<Vec<_>>(), Vec::new());
    for commit in commits {
        keys.extend(commit.keys);
        arguments.extend(commit.arguments);
        callers.push(commit.reply);
    }
    if callers.is_empty() {
        return;
    }
    let replies = match redis.run(&SCRIPTS.commit, &keys, arguments).await {
        Ok(replies) => split_replies(replies, callers.len()),
        Err(error) => callers.iter().map(|_| Err(error.duplicate())).collect(),
    };
    for (caller, reply) in callers.into_iter().zip(replies) {
        // A caller that has gone away needs no reply.
        let _ = caller.send(reply);
    }
}

/// The arguments that all commits of a script share.
fn common(redis: &Redis) -> impl Iterator<Item = Argument> {
    let publish = if redis.is_cluster() { "spublish" } else { "publish" };
    [Argument::from_static_str(publish), Argument::from(IDEMPOTENCY_TTL_MS)].into_iter()
}

fn split_replies(replies: Value, commits: usize) -> Vec<Result<Reply, RedisError>> {
    match replies {
        Value::Array(replies) if replies.len() == commits => replies.into_iter().map(parse_reply).collect(),
        _ => (0..commits).map(|_| Err(RedisError::protocol())).collect(),
    }
}

fn parse_reply(reply: Value) -> Result<Reply, RedisError> {
    let reply = Reply::read(reply)?;
    match reply.tag.as_str() {
        "failed" => Err(RedisError::from_reply(&reply.only::<String>()?)),
        _ => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(tag: &str, field: &str) -> Value {
        Value::Array([tag, field].map(Value::from).into())
    }

    #[test]
    fn each_commit_gets_its_own_reply() {
        let full = "@user_script: 57: -OOM command not allowed when used memory > 'maxmemory'.";
        let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
        let all = [reply("stored", "1-1"), reply("failed", full), reply("failed", wrong)];
        let replies = split_replies(Value::Array(all.into()), 3);
        let [Ok(stored), Err(RedisError::NotApplied(_)), Err(RedisError::Indeterminate(_))] = &replies[..] else {
            panic!("{replies:?}")
        };
        assert_eq!(stored.tag, "stored");
    }

    #[test]
    fn replies_of_a_wrong_number_are_indeterminate() {
        for replies in [Value::Null, Value::Array(vec![reply("stored", "1-1")])] {
            let replies = split_replies(replies, 2);
            assert!(matches!(replies[..], [Err(RedisError::Indeterminate(_)), Err(RedisError::Indeterminate(_))]));
        }
    }
}
