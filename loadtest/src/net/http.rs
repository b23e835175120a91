//! A keep-alive connection: one call at a time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::timeout;

use super::response::Response;
use super::socket::{Arrival, Socket};

/// Longer than a long-poll.
const CALL_TIMEOUT: Duration = Duration::from_secs(75);

/// Connects on the first call, and again after a failure.
pub struct Http {
    to: SocketAddr,
    from: Option<IpAddr>,
    socket: Option<Socket>,
    response: Response,
}

impl Http {
    pub fn new(to: SocketAddr, from: Option<IpAddr>) -> Self {
        Self { to, from, socket: None, response: Response::default() }
    }

    /// Sends a written request and waits for all of the answer.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<(&Response, Arrival)> {
        let answered = timeout(CALL_TIMEOUT, self.exchange(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if answered.is_err() || self.response.closes() {
            self.socket = None;
        }
        Ok((&self.response, answered?))
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Arrival> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::connect(self.to, self.from).await?,
        };
        let socket = self.socket.insert(socket);
        let response = &mut self.response;
        response.begin();
        socket.send(request).await?;
        let take = |bytes: &[u8], arrival| match response.feed(bytes) {
            Ok(false) => ControlFlow::Continue(()),
            Ok(true) => ControlFlow::Break(Ok(arrival)),
            Err(error) => ControlFlow::Break(Err(error)),
        };
        socket.receive(take).await?
    }
}
