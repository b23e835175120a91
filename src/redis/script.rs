//! Scripts: run by their digest, sent as text only to a server that does not know them.

use std::time::Duration;

use fred::bytes_utils::Str;
use fred::error::Error;
use fred::interfaces::LuaInterface as _;
use fred::types::{Key, Value};
use fred::util::sha1_hash;
use tokio::time::{Instant, sleep};

use super::failure::is_moving;
use super::{ABSENCE, Failure, Redis};

/// Between two tries while keys move.
const MOVING: Duration = Duration::from_millis(20);

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
pub struct Answer {
    /// What kind of answer it is.
    pub word: String,
    /// The rest.
    pub parts: Vec<Value>,
}

impl Script {
    /// A script of several files, the last of which is run.
    #[must_use]
    pub fn new(files: &[&str]) -> Self {
        let text = files.concat();
        Self { digest: sha1_hash(&text).into(), text }
    }
}

impl Answer {
    /// An answer, as the client library has it.
    pub fn read(answer: Value) -> Result<Self, Failure> {
        let Value::Array(mut parts) = answer else { return Err(Failure::garbled()) };
        if parts.is_empty() {
            return Err(Failure::garbled());
        }
        let word = parts.remove(0).convert().map_err(|_| Failure::garbled())?;
        Ok(Self { word, parts })
    }

    /// The only part it has.
    pub fn only<T: fred::types::FromValue>(mut self) -> Result<T, Failure> {
        match (self.parts.pop(), self.parts.is_empty()) {
            (Some(part), true) => part.convert().map_err(|_| Failure::garbled()),
            _ => Err(Failure::garbled()),
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
    ) -> Result<Value, Failure> {
        let until = Instant::now() + ABSENCE;
        loop {
            match self.attempt(script, keys, &arguments).await? {
                Err(declined) if is_moving(&declined) && Instant::now() < until => sleep(MOVING).await,
                answer => return answer.map_err(Failure::of),
            }
        }
    }

    async fn attempt(
        &self,
        script: &Script,
        keys: &[impl Into<Key> + Clone],
        arguments: &[Argument],
    ) -> Result<Result<Value, Error>, Failure> {
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
    pub async fn ask(&self, script: &Script, keys: &[String], arguments: Vec<Argument>) -> Result<Answer, Failure> {
        Answer::read(self.run(script, keys, arguments).await?)
    }
}
