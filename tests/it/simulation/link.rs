//! What lies between an instance and what it asks: delays, losses, cuts.
//!
//! What is asked over one link arrives in order. Whether it arrives, and whether the
//! answer does, is random; who asks learns of a loss at once (a connection
//! was reset) or by its own patience (nobody says a word).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::harness::rng::Rng;

/// The same as a connection to Redis has.
const REPLY_TIMEOUT: Duration = Duration::from_millis(750);

/// How bad it is out there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// No way takes longer, but for the slow ones.
    pub delay_ms: usize,
    /// In a hundred: a way that takes up to a second.
    pub slow: usize,
    /// In a thousand: it is lost on the way.
    pub lost: usize,
}

impl Weather {
    pub const FAIR: Self = Self { delay_ms: 1, slow: 0, lost: 0 };
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It did not get there.
    Undone,
    /// Nobody knows whether it did.
    Unknown,
}

/// A link, as its owner has it.
#[derive(Debug, Clone)]
pub struct Link(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rng: Rng,
    weather: Weather,
    /// What is sent arrives after what was sent before.
    newest: Instant,
    cut_until: Instant,
    /// Counts the cuts: what is under way across one is lost.
    cuts: u64,
    was_cut: Arc<Notify>,
}

/// What becomes of a question.
struct Fate {
    arrives: Instant,
    back: Duration,
    is_lost: bool,
    is_answer_lost: bool,
    is_told: bool,
    cuts: u64,
}

impl Link {
    pub fn new(rng: Rng, weather: Weather) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            rng,
            weather,
            newest: now,
            cut_until: now,
            cuts: 0,
            was_cut: Arc::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing comes through until then, and what is under way is lost.
    pub fn cut(&self, span: Duration) {
        let mut state = self.state();
        state.cut_until = Instant::now() + span;
        state.cuts += 1;
        state.was_cut.notify_one();
    }

    /// Tells one who waits of cuts.
    pub fn was_cut(&self) -> Arc<Notify> {
        Arc::clone(&self.state().was_cut)
    }

    /// What is sent from now on arrives after that.
    pub fn hold(&self, span: Duration) {
        let mut state = self.state();
        state.newest = state.newest.max(Instant::now() + span);
    }

    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    pub fn is_cut(&self) -> bool {
        Instant::now() < self.state().cut_until
    }

    /// How many cuts there have been.
    pub fn cuts(&self) -> u64 {
        self.state().cuts
    }

    /// When something that is sent now arrives, if it does.
    pub fn sends(&self) -> Option<Instant> {
        let mut state = self.state();
        let arrives = state.arrival();
        let is_lost = state.is_lost();
        (!is_lost).then_some(arrives)
    }

    /// Asks. `act` happens when the question arrives, if it does, and says nothing if
    /// nobody is there. It happens also if the asking task is gone by then.
    pub async fn ask<T: Send + 'static>(&self, act: impl FnOnce() -> Option<T> + Send + 'static) -> Result<T, Failure> {
        if self.is_cut() {
            sleep(Duration::from_millis(2)).await;
            return Err(Failure::Undone);
        }
        let (tell, told) = oneshot::channel();
        let (link, fate) = (self.clone(), self.state().fate());
        tokio::spawn(async move { link.carry(fate, act, tell).await });
        match timeout(REPLY_TIMEOUT, told).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(Failure::Undone),
            Ok(Err(_)) | Err(_) => Err(Failure::Unknown),
        }
    }

    async fn carry<T>(&self, fate: Fate, act: impl FnOnce() -> Option<T>, tell: oneshot::Sender<Option<T>>) {
        sleep_until(fate.arrives).await;
        if fate.is_lost || self.cuts() != fate.cuts {
            return Self::lose(tell, fate.is_told).await;
        }
        let answer = act();
        sleep(fate.back).await;
        if fate.is_answer_lost || self.cuts() != fate.cuts {
            return Self::lose(tell, fate.is_told).await;
        }
        let _ = tell.send(answer);
    }

    /// Who waits is told, or waits in vain.
    async fn lose<T>(tell: oneshot::Sender<Option<T>>, is_told: bool) {
        if !is_told {
            sleep(REPLY_TIMEOUT).await;
        }
        drop(tell);
    }
}

impl State {
    fn fate(&mut self) -> Fate {
        Fate {
            arrives: self.arrival(),
            back: self.delay(),
            is_lost: self.is_lost(),
            is_answer_lost: self.is_lost(),
            is_told: self.rng.chance(50),
            cuts: self.cuts,
        }
    }

    fn arrival(&mut self) -> Instant {
        let least = self.newest + Duration::from_millis(1);
        self.newest = least.max(Instant::now() + self.delay());
        self.newest
    }

    fn delay(&mut self) -> Duration {
        let most = if self.rng.chance(self.weather.slow) { 1_000 } else { self.weather.delay_ms };
        Duration::from_millis(1 + self.rng.below(most.max(1)) as u64)
    }

    fn is_lost(&mut self) -> bool {
        self.rng.below(1_000) < self.weather.lost
    }
}
