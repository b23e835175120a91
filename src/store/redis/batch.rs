//! Writes that come at the same time go to Redis in one script: what a script costs
//! whatever it does, on either side, is then paid once for all of them. Who comes alone
//! is sent at once.
//!
//! A cluster takes each by itself, since the keys of a script stand in one slot.

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Key, Value};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::scripts::SCRIPTS;
use crate::domain::entry::IDEMPOTENCY_TTL_MS;
use crate::redis::{Argument, Redis, RedisError, Reply};

/// In one script. Redis does nothing else meanwhile, so it must not be long.
const MAX_BATCH: usize = 32;

/// Scripts under way: while one is on its road, another is at work.
const MAX_BATCHES_IN_FLIGHT: usize = 2;

/// Writes that may wait to be sent; past it they are turned away unsent.
const MAX_UNSENT: usize = 10_000;

/// What has waited longer to be sent is turned away unsent.
const QUEUE_TIMEOUT: Duration = Duration::from_millis(500);

/// The way to Redis that writes share.
pub struct CommitBatcher {
    redis: Arc<Redis>,
    waiting: mpsc::Sender<QueuedCommit>,
    _task: AbortOnDropHandle<()>,
}

/// One of them, as the script takes it.
struct QueuedCommit {
    keys: Vec<Key>,
    arguments: Vec<Argument>,
    since: Instant,
    answered: oneshot::Sender<Result<Reply, RedisError>>,
}

impl CommitBatcher {
    /// Writes over that connection.
    pub fn new(redis: Arc<Redis>) -> Self {
        let (waiting, taken) = mpsc::channel(MAX_UNSENT);
        let task = tokio::spawn(send(Arc::clone(&redis), taken));
        Self { redis, waiting, _task: AbortOnDropHandle::new(task) }
    }

    /// Runs the script of commits with what it takes for one.
    pub async fn ask(&self, keys: Vec<Key>, arguments: Vec<Argument>) -> Result<Reply, RedisError> {
        if self.redis.is_cluster() {
            let arguments = common(&self.redis).chain(arguments).collect();
            let answers = self.redis.run(&SCRIPTS.commit, &keys, arguments).await?;
            return split_replies(answers, 1).pop().unwrap_or_else(|| Err(RedisError::protocol()));
        }
        let (answered, answer) = oneshot::channel();
        let write = QueuedCommit { keys, arguments, since: Instant::now(), answered };
        self.waiting.try_send(write).map_err(|full| RedisError::NotApplied(full.to_string().into()))?;
        answer.await.unwrap_or_else(|ended| Err(RedisError::Indeterminate(ended.into())))
    }
}

/// Sends what waits, until nobody is left who might write.
async fn send(redis: Arc<Redis>, mut waiting: mpsc::Receiver<QueuedCommit>) {
    let mut under_way = FuturesUnordered::new();
    let mut writes = Vec::with_capacity(MAX_BATCH);
    loop {
        tokio::select! {
            Some(()) = under_way.next() => {}
            taken = waiting.recv_many(&mut writes, MAX_BATCH), if under_way.len() < MAX_BATCHES_IN_FLIGHT => {
                if taken == 0 {
                    return;
                }
                let timely = std::mem::replace(&mut writes, Vec::with_capacity(MAX_BATCH)).into_iter();
                under_way.push(write(&redis, timely.filter_map(unless_expired).collect()));
            }
        }
    }
}

fn unless_expired(write: QueuedCommit) -> Option<QueuedCommit> {
    if write.since.elapsed() < QUEUE_TIMEOUT {
        return Some(write);
    }
    let _ = write.answered.send(Err(RedisError::NotApplied("others were in the way for too long".into())));
    None
}

async fn write(redis: &Redis, writes: Vec<QueuedCommit>) {
    let (mut keys, mut arguments, mut who) = (Vec::new(), common(redis).collect::<Vec<_>>(), Vec::new());
    for write in writes {
        keys.extend(write.keys);
        arguments.extend(write.arguments);
        who.push(write.answered);
    }
    if who.is_empty() {
        return;
    }
    let answers = match redis.run(&SCRIPTS.commit, &keys, arguments).await {
        Ok(answers) => split_replies(answers, who.len()),
        Err(failure) => who.iter().map(|_| Err(failure.duplicate())).collect(),
    };
    for (who, answer) in who.into_iter().zip(answers) {
        // Who has gone meanwhile wants no answer.
        let _ = who.send(answer);
    }
}

/// What the script takes once, for all of them.
fn common(redis: &Redis) -> impl Iterator<Item = Argument> {
    let publish = if redis.is_cluster() { "spublish" } else { "publish" };
    [Argument::from_static_str(publish), Argument::from(IDEMPOTENCY_TTL_MS)].into_iter()
}

fn split_replies(answers: Value, writes: usize) -> Vec<Result<Reply, RedisError>> {
    match answers {
        Value::Array(answers) if answers.len() == writes => answers.into_iter().map(parse_reply).collect(),
        _ => (0..writes).map(|_| Err(RedisError::protocol())).collect(),
    }
}

fn parse_reply(answer: Value) -> Result<Reply, RedisError> {
    let answer = Reply::read(answer)?;
    match answer.tag.as_str() {
        "failed" => Err(RedisError::from_reply(&answer.only::<String>()?)),
        _ => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(word: &str, part: &str) -> Value {
        Value::Array([word, part].map(Value::from).into())
    }

    #[test]
    fn each_gets_its_own_answer() {
        let full = "@user_script: 57: -OOM command not allowed when used memory > 'maxmemory'.";
        let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
        let all = [answer("stored", "1-1"), answer("failed", full), answer("failed", wrong)];
        let answers = split_replies(Value::Array(all.into()), 3);
        let [Ok(stored), Err(RedisError::NotApplied(_)), Err(RedisError::Indeterminate(_))] = &answers[..] else {
            panic!("{answers:?}")
        };
        assert_eq!(stored.tag, "stored");
    }

    #[test]
    fn answers_to_others_are_nobodys() {
        for answers in [Value::Null, Value::Array(vec![answer("stored", "1-1")])] {
            let answers = split_replies(answers, 2);
            assert!(matches!(answers[..], [Err(RedisError::Indeterminate(_)), Err(RedisError::Indeterminate(_))]));
        }
    }
}
