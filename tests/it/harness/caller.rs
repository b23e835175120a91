//! Callers, typed by authority, so that their rights can be a table.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Value, json};

use super::answer::Answer;
use super::cluster::TENANT;
use super::token::{claims, signed};
use super::{Session, soon, with};

pub type Client = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// As whom a caller asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Authority {
    Anonymous,
    Viewer,
    /// For that participant.
    Participant(&'static str),
    Operator,
    Admin,
    /// An admin of another tenant.
    Foreign,
    /// With exactly that token.
    Token(String),
}

impl Authority {
    fn token(self) -> Option<String> {
        let of = |role| signed(&claims(TENANT, role));
        match self {
            Self::Anonymous => None,
            Self::Viewer => Some(of("viewer")),
            Self::Participant(id) => Some(signed(&with(claims(TENANT, "participant"), json!({"participant_id": id})))),
            Self::Operator => Some(of("operator")),
            Self::Admin => Some(of("admin")),
            Self::Foreign => Some(signed(&claims("rival", "admin"))),
            Self::Token(token) => Some(token),
        }
    }
}

/// A caller of one instance.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    address: SocketAddr,
    token: Option<String>,
}

/// A request that is being put together.
#[derive(Debug)]
pub struct RequestBuilder<'a> {
    caller: &'a Caller,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

pub fn client() -> Client {
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(5))
        .build_http()
}

/// One that speaks HTTP/2 without asking.
pub fn client_of_http2() -> Client {
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .pool_timer(TokioTimer::new())
        .build_http()
}

impl Caller {
    pub fn new(client: Client, address: SocketAddr, authority: Authority) -> Self {
        Self { client, address, token: authority.token() }
    }

    /// The same caller with another authority.
    pub fn being(&self, authority: Authority) -> Self {
        Self { token: authority.token(), ..self.clone() }
    }

    /// The same caller over HTTP/2.
    pub fn over_http2(&self) -> Self {
        Self { client: client_of_http2(), ..self.clone() }
    }

    /// The same caller with exactly these claims.
    pub fn claiming(&self, claims: &Value) -> Self {
        self.being(Authority::Token(signed(claims)))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub fn asking(&self, method: Method, path: impl Into<String>) -> RequestBuilder<'_> {
        RequestBuilder { caller: self, method, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub async fn get(&self, path: impl Into<String>) -> Answer {
        self.asking(Method::GET, path).send().await
    }

    pub async fn post(&self, path: impl Into<String>, body: Value) -> Answer {
        self.asking(Method::POST, path).json(&body).send().await
    }

    /// What a scrape of that listener gives.
    pub async fn scrape(&self, address: SocketAddr) -> String {
        let answer = Self { address, token: None, ..self.clone() }.get("/metrics").await.expect(200);
        String::from_utf8(answer.bytes).unwrap()
    }

    /// Makes a session.
    pub async fn create(&self, body: Value) -> Session {
        let answer = self.post("/v1/sessions", body).await.expect(201);
        Session { id: answer.body["session_id"].as_str().unwrap().to_owned() }
    }

    /// A session that runs.
    pub async fn running(&self, body: Value) -> Session {
        let session = self.create(body).await;
        self.command(&session, "start").await;
        session
    }

    /// A command with nothing to say but its name, which must be done.
    pub async fn command(&self, session: &Session, command: &str) -> Answer {
        self.command_with(session, command, json!({})).await.expect(200)
    }

    /// The status a command with that key is answered with; nothing, where nobody answers.
    pub async fn try_command(&self, session: &Session, command: &str, key: &str) -> Option<u16> {
        let uri = format!("http://{}{}/{command}", self.address, session.path());
        let request = Request::builder().method(Method::POST).uri(uri).header("idempotency-key", key);
        let request = request.header("authorization", format!("Bearer {}", self.token.as_deref()?));
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let answering = async {
            let answer = self.client.request(request).await.ok()?;
            let status = answer.status().as_u16();
            answer.into_body().collect().await.ok()?;
            Some(status)
        };
        soon("an answer, or none", answering).await
    }

    pub async fn command_with(&self, session: &Session, command: &str, body: Value) -> Answer {
        self.post(format!("{}/{command}", session.path()), body).await
    }

    pub async fn snapshot(&self, session: &Session) -> Value {
        self.get(session.path()).await.expect(200).body
    }
}

impl RequestBuilder<'_> {
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").bytes(serde_json::to_vec(body).unwrap())
    }

    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        let answering = async {
            let (parts, body) = self.begin().await.into_parts();
            (parts, body.collect().await.unwrap().to_bytes())
        };
        let (parts, bytes) = soon(&what, answering).await;
        Answer::new(what, parts, &bytes)
    }

    /// The answer's head, and a body that is still to come.
    pub async fn begin(self) -> Response<Incoming> {
        let uri = format!("http://{}{}", self.caller.address, self.path);
        let mut request = Request::builder().method(self.method).uri(&uri);
        *request.headers_mut().unwrap_or_else(|| panic!("{uri} can be asked for")) = self.headers;
        if let Some(token) = &self.caller.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(self.body)).unwrap();
        soon(&uri, self.caller.client.request(request)).await.unwrap()
    }
}
