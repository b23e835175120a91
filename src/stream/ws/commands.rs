//! Commands on a connection: one after the other, while frames go on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::domain::id::SessionId;
use crate::domain::principal::Principal;
use crate::stream::frames::Regarding;
use crate::stream::{Commands, SignedFrame};
use crate::wire::problem::Problem;

/// So many wait; what comes then waits in the client's socket.
const MAX_QUEUED_COMMANDS: usize = 16;

/// A command as it was asked for.
pub struct QueuedCommand {
    pub regarding: Regarding,
    pub session: SessionId,
    pub by: Arc<Principal>,
    pub body: Map<String, Value>,
    pub signed: Option<SignedFrame>,
    pub lag_ms: i64,
}

/// What came of a command.
pub type CommandReply = Result<Bytes, Box<Problem>>;

type Running = Pin<Box<dyn Future<Output = CommandReply> + Send>>;

/// The command under way and those behind it: in the order they came, so that a client
/// may send the next without waiting for the last.
#[derive(Default)]
pub struct CommandQueue {
    running: Option<(Regarding, Running)>,
    waiting: VecDeque<QueuedCommand>,
}

impl CommandQueue {
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MAX_QUEUED_COMMANDS
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    pub fn ask(&mut self, asked: QueuedCommand) {
        self.waiting.push_back(asked);
    }

    /// The next answer; pending also if nothing was asked.
    pub fn poll_answer(
        &mut self,
        commands: &Arc<dyn Commands>,
        context: &mut Context<'_>,
    ) -> Poll<(Regarding, CommandReply)> {
        loop {
            if let Some((_, running)) = &mut self.running {
                let answer = std::task::ready!(running.as_mut().poll(context));
                let regarding = self.running.take().map(|(regarding, _)| regarding).unwrap_or_default();
                return Poll::Ready((regarding, answer));
            }
            let Some(asked) = self.waiting.pop_front() else { return Poll::Pending };
            self.running = Some(begin(Arc::clone(commands), asked));
        }
    }
}

fn begin(commands: Arc<dyn Commands>, asked: QueuedCommand) -> (Regarding, Running) {
    let QueuedCommand { regarding, session, by, body, signed, lag_ms } = asked;
    (regarding, Box::pin(async move { commands.command(&by, &session, body, signed, lag_ms).await }))
}
