//! Streams over a source and commands that do as a test says, and a client.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::addresses::Addresses;
use crate::auth::Authenticator;
use crate::control::MemoryTickets;
use crate::domain::id::{SessionId, TenantId};
use crate::domain::principal::{Principal, Provenance, Role};
use crate::domain::time::Timestamp;
use crate::fanout::Settings;
use crate::fanout::tests::house::{House, START, settings};
use crate::limits::{RateLimits, StreamLimits};
use crate::net::admission::{Connections, Limits};
use crate::net::deadlines::ConnectionTimeouts;
use crate::net::front::Front;
use crate::security::NoSecurity;
use crate::stream::status::{StatusPublisher, StatusSource};
use crate::stream::{Commands, Streams, StreamsParts, Timing};
use crate::wire::error_code::Code;
use crate::wire::problem::Problem;
use crate::wire::status::InstanceStatus;
use crate::{http, net};

pub const LONG: Duration = Duration::from_secs(10);
const SECRET: &[u8] = b"a key of thirty-two bytes or more";

/// An instance that never changes.
struct StubStatus;

#[async_trait]
impl StatusSource for StubStatus {
    async fn status(&self) -> InstanceStatus {
        InstanceStatus {
            instance_id: "a".into(),
            store: true,
            ledger: true,
            uncertainty_ms: 0,
            subscribers: [("websocket", 0)].into(),
        }
    }
}

/// Answers every command with what it was, `refuse` with a problem.
pub struct Echo {
    /// Each command takes one.
    pub gate: Semaphore,
    pub asked: AtomicUsize,
    pub lag_ms: AtomicI64,
}

#[async_trait]
impl Commands for Echo {
    async fn command(
        &self,
        principal: &Arc<Principal>,
        session: &SessionId,
        body: Map<String, Value>,
        lag_ms: i64,
    ) -> Result<Bytes, Box<Problem>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.lag_ms.store(lag_ms, Ordering::Relaxed);
        self.gate.acquire().await.unwrap().forget();
        if body["command"] == "refuse" {
            return Err(Box::new(Problem::new(Code::NotRunning, None)));
        }
        let answer = json!({"session_id": session, "by": principal.subject, "body": body});
        Ok(answer.to_string().into())
    }
}

pub struct Served {
    pub house: House,
    pub echo: Arc<Echo>,
    authenticator: Arc<Authenticator>,
    address: std::net::SocketAddr,
}

pub fn timing() -> Timing {
    // Nothing comes by itself, unless a test wants it.
    Timing { drain: Duration::from_millis(200), ping: LONG * 60, ..Timing::default() }
}

pub async fn served() -> Served {
    served_with(timing(), settings()).await
}

pub async fn served_with(timing: Timing, settings: Settings) -> Served {
    served_to(timing, settings, false).await
}

/// The same, to clients of a reverse proxy.
pub async fn served_behind_a_proxy() -> Served {
    served_to(timing(), settings(), true).await
}

async fn served_to(timing: Timing, settings: Settings, is_proxy: bool) -> Served {
    let house = House::new(settings);
    let echo = Arc::new(Echo { gate: Semaphore::new(1_000), asked: AtomicUsize::new(0), lag_ms: AtomicI64::new(-1) });
    let authenticator = Arc::new(Authenticator::new(Some(SECRET)).unwrap());
    let streams = Streams::start(StreamsParts {
        hub: Arc::clone(&house.hub),
        status: StatusPublisher::start(1, Arc::new(StubStatus), &house.shutdown),
        commands: Arc::clone(&echo) as _,
        authenticator: Arc::clone(&authenticator),
        limits: Arc::new(RateLimits::none()),
        stream_limits: Arc::new(StreamLimits::none()),
        addresses: Arc::new(Addresses::none()),
        tickets: Arc::new(MemoryTickets::default()),
        security: Arc::new(NoSecurity),
        clock: Arc::clone(&house.clock) as _,
        shutdown: house.shutdown.clone(),
        timing,
    });
    let router: Router = Router::new().nest("/v1", http::stream_routes().with_state(streams));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, shutdown) = (house.shutdown.soft(), house.shutdown.clone());
    let front = Arc::new(Front { handler: router, deadlines: ConnectionTimeouts::default(), stop: stop.clone() });
    let connections =
        Connections::new("test", Limits { connections: 1_000, unauthenticated: 1_000, per_address: 1_000 });
    house.shutdown.spawn("listener", async move {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            let (stream, address) = accepted.unwrap();
            let place = connections.admit(address, is_proxy);
            shutdown.spawn("connection", net::serve(stream, place, Arc::clone(&front)));
        }
    });
    Served { house, echo, authenticator, address }
}

pub fn caller(sessions: Option<&[&str]>) -> Principal {
    let name = |name: &&str| SessionId::new(name).unwrap();
    Principal {
        tenant: TenantId::new("t").unwrap(),
        subject: "somebody".to_owned(),
        role: Role::Viewer,
        participant_id: None,
        sessions: sessions.map(|sessions| sessions.iter().map(name).collect::<BTreeSet<_>>()),
        locations: None,
        expires_at: None,
        provenance: Provenance::default(),
    }
}

impl Served {
    pub fn token(&self, principal: &Principal, for_ms: i64) -> String {
        let now = Timestamp::from_ms(START);
        self.authenticator.sign(principal, now + for_ms).unwrap().token
    }

    /// Opens a stream at `path`, which begins with `/v1`.
    pub async fn open(&self, path: &str) -> Client {
        self.open_as(path, &caller(None)).await
    }

    pub async fn open_as(&self, path: &str, principal: &Principal) -> Client {
        let token = self.token(principal, 3_600_000);
        self.open_with(path, &[("authorization", &format!("Bearer {token}"))]).await.unwrap()
    }

    pub async fn open_with(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
        use tokio_tungstenite::tungstenite::Error;
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match timeout(LONG, connect_async(request)).await.unwrap() {
            Ok((stream, response)) => Ok(Client { stream, protocol: header(&response) }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub async fn close(self) {
        self.house.close().await;
    }
}

fn header<T>(response: &::http::Response<T>) -> Option<String> {
    response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap().to_owned())
}

pub struct Client {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub protocol: Option<String>,
}

impl Client {
    /// The next text frame.
    pub async fn next(&mut self) -> Value {
        loop {
            match timeout(LONG, self.stream.next()).await.expect("a frame comes") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame's type and position.
    pub async fn word(&mut self) -> String {
        let frame = self.next().await;
        let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("type"), text("position")).trim().to_owned()
    }

    pub async fn say(&mut self, frame: Value) {
        self.send(Message::text(frame.to_string())).await;
    }

    pub async fn send(&mut self, message: Message) {
        timeout(LONG, self.stream.send(message)).await.unwrap().unwrap();
    }

    /// The code it is closed with, whatever comes before; the goodbye is answered.
    pub async fn closed(&mut self) -> u16 {
        let mut code = 0;
        while let Some(Ok(message)) = timeout(LONG, self.stream.next()).await.expect("it is closed") {
            if let Message::Close(Some(frame)) = message {
                code = frame.code.into();
            }
        }
        code
    }
}
