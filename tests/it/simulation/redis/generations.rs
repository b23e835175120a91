//! What an instance knows of store generations, and how it names them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use synckairos::domain::time::Timestamp;
use synckairos::store::partition::{Partition, Partitions};
use synckairos::store::{Error, Now};
use tokio::sync::watch;

use super::image::Generation;
use super::server::{Server, State};
use crate::simulation::link::{Failure, Link};

/// A generation that was gone when it was named is asked for anew so many times.
const MAX_ATTEMPTS: usize = 3;

/// By partition, as far as they are known.
type Known = BTreeMap<Partition, Generation>;

/// The generations that are known over one connection.
pub struct Generations {
    server: Server,
    link: Link,
    now: Now,
    known: Mutex<Known>,
    /// The waiters for new generations, in the order they are told: a channel that many wait
    /// on wakes them in any order.
    noticed: Vec<watch::Sender<u64>>,
}

impl Generations {
    pub fn new(server: Server, link: Link, now: Now) -> Self {
        let noticed = (0..2).map(|_| watch::channel(0).0).collect();
        Self { server, link, now, known: Mutex::default(), noticed }
    }

    /// One of the two that count new generations.
    pub fn noticed(&self, which: usize) -> watch::Receiver<u64> {
        self.noticed[which].subscribe()
    }

    pub const fn server(&self) -> &Server {
        &self.server
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation a partition is in, as far as is known, or else the server's answer.
    pub async fn of(&self, partition: Partition) -> Result<Generation, Failure> {
        if let Some(generation) = self.known().get(&partition).cloned() {
            return Ok(generation);
        }
        let began = (self.now)();
        let generation = self.ask_anything(move |state| state.live(partition, began)).await?;
        self.known().insert(partition, generation.clone());
        Ok(generation)
    }

    /// What rests on no generation.
    pub async fn ask_anything<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let server = self.server.clone();
        self.link.ask(move || server.step(act)).await
    }

    /// Asks in one generation; nothing, if it is over.
    pub async fn ask_in<T: Send + 'static>(
        &self,
        generation: &Generation,
        partition: Partition,
        act: impl FnOnce(&mut State, &Generation) -> T + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        let named = generation.clone();
        let asked = self.ask_anything(move |state| state.is_alive(partition, &named).then(|| act(state, &named)));
        let answer = asked.await?;
        if answer.is_none() {
            self.forget(partition, generation);
        }
        Ok(answer)
    }

    /// The same in whatever generation there is.
    pub async fn ask<T: Send + 'static>(
        &self,
        partition: Partition,
        act: impl FnOnce(&mut State, &Generation) -> T + Clone + Send + 'static,
    ) -> Result<(T, Generation), Failure> {
        for _ in 0..MAX_ATTEMPTS {
            let generation = self.of(partition).await?;
            if let Some(answer) = self.ask_in(&generation, partition, act.clone()).await? {
                return Ok((answer, generation));
            }
        }
        Err(Failure::Undone)
    }

    /// Asks of some partitions at once. Of those that hold nothing, and of whose generations
    /// nothing is known here, there is nothing to tell.
    pub async fn ask_of<T: Send + 'static>(
        &self,
        partitions: Partitions,
        act: impl Fn(&State, Partition, &Generation) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>, Failure> {
        for _ in 0..MAX_ATTEMPTS {
            let (known, began, act) = (self.known().clone(), (self.now)(), act.clone());
            let told = self.ask_anything(move |state| ask_each(state, partitions, &known, began, &act)).await?;
            match told {
                Ok((generations, answers)) => {
                    self.known().extend(generations);
                    return Ok(answers);
                }
                Err(gone) => gone.iter().for_each(|(partition, generation)| self.forget(*partition, generation)),
            }
        }
        Err(Failure::Undone)
    }

    fn forget(&self, partition: Partition, generation: &Generation) {
        let mut known = self.known();
        if known.get(&partition) == Some(generation) {
            known.remove(&partition);
            drop(known);
            self.noticed.iter().for_each(|noticed| noticed.send_modify(|count| *count += 1));
        }
    }
}

type GenerationAnswer<T> = Result<(Vec<(Partition, Generation)>, Vec<T>), Vec<(Partition, Generation)>>;

fn ask_each<T>(
    state: &mut State,
    partitions: Partitions,
    known: &Known,
    began: Timestamp,
    act: &impl Fn(&State, Partition, &Generation) -> T,
) -> GenerationAnswer<T> {
    let is_used =
        |partition: &Partition| known.contains_key(partition) || state.image.partitions.contains_key(partition);
    let used: Vec<_> = partitions.iter().filter(is_used).collect();
    let named = used.iter().filter_map(|each| Some((*each, known.get(each)?.clone())));
    let gone: Vec<_> = named.filter(|(partition, generation)| !state.is_alive(*partition, generation)).collect();
    if !gone.is_empty() {
        return Err(gone);
    }
    let generations: Vec<_> = used.into_iter().map(|each| (each, state.live(each, began))).collect();
    let answers = generations.iter().map(|(partition, generation)| act(state, *partition, generation)).collect();
    Ok((generations, answers))
}

/// A question that came to nothing: it may be asked again, whatever became of it.
pub fn away(failure: Failure) -> Error {
    Error::Unavailable(format!("{failure:?}").into())
}
