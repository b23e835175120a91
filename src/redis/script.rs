//! Scripts: run by their digest, sent as text only to a server that does not know them.

use std::time::Duration;

use fred::bytes_utils::Str;
use fred::error::Error;
use fred::interfaces::LuaInterface as _;
use fred::types::{Key, Value};
use fred::util::sha1_hash;
use tokio::time::{Instant, sleep};

use super::client::RECONNECT_TIMEOUT;
use super::connection::Redis;
use super::error::{RedisError, is_moving};

/// Between two tries while keys move.
const MOVED_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// What a script is given: texts, numbers, bytes.
pub type Argument = Value;

/// A script, and what it is known by.
#[derive(Debug)]
pub struct Script {
    text: String,
    digest: Str,
}

/// What a script gave: a word, and what belongs to it.
#[derive(Debug)]
pub struct Reply {
    /// What kind of answer it is.
    pub tag: String,
    /// The rest.
    pub fields: Vec<Value>,
}

impl Script {
    /// A script of several files, the last of which is run.
    #[must_use]
    pub fn new(files: &[&str]) -> Self {
        let text = files.concat();
        Self { digest: sha1_hash(&text).into(), text }
    }
}

impl Reply {
    /// An answer, as the client library has it.
    pub fn read(answer: Value) -> Result<Self, RedisError> {
        let Value::Array(mut parts) = answer else { return Err(RedisError::protocol()) };
        if parts.is_empty() {
            return Err(RedisError::protocol());
        }
        let word = parts.remove(0).convert().map_err(|_| RedisError::protocol())?;
        Ok(Self { tag: word, fields: parts })
    }

    /// The only part it has.
    pub fn only<T: fred::types::FromValue>(mut self) -> Result<T, RedisError> {
        match (self.fields.pop(), self.fields.is_empty()) {
            (Some(part), true) => part.convert().map_err(|_| RedisError::protocol()),
            _ => Err(RedisError::protocol()),
        }
    }
}

impl Redis {
    /// Runs a script once, on the server that holds its keys. While these are on their way
    /// to another server it is declined, and asked for again a little later.
    pub async fn run(
        &self,
        script: &Script,
        keys: &[impl Into<Key> + Clone],
        arguments: Vec<Argument>,
    ) -> Result<Value, RedisError> {
        let until = Instant::now() + RECONNECT_TIMEOUT;
        loop {
            match self.attempt(script, keys, &arguments).await? {
                Err(declined) if is_moving(&declined) && Instant::now() < until => sleep(MOVED_RETRY_INTERVAL).await,
                answer => return answer.map_err(RedisError::of),
            }
        }
    }

    async fn attempt(
        &self,
        script: &Script,
        keys: &[impl Into<Key> + Clone],
        arguments: &[Argument],
    ) -> Result<Result<Value, Error>, RedisError> {
        let client = self.commands().await?;
        let names = || keys.iter().cloned().map(Into::into).collect::<Vec<Key>>();
        // The library's futures are of ten kilobytes each.
        let asked = Box::pin(client.evalsha::<Value, _, _, _>(script.digest.clone(), names(), arguments.to_vec()));
        Ok(match asked.await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                Box::pin(client.eval(&*script.text, names(), arguments.to_vec())).await
            }
            answer => answer,
        })
    }

    /// Runs a script that answers with a word and what belongs to it.
    pub async fn ask(&self, script: &Script, keys: &[String], arguments: Vec<Argument>) -> Result<Reply, RedisError> {
        Reply::read(self.run(script, keys, arguments).await?)
    }
}
