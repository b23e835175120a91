//! What streams say by themselves; states and warnings come written from the fan-out.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::clock::Clock;
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::fanout::Health;
use crate::wire::instant::Instant;
use crate::wire::problem::Problem;
use crate::wire::status::InstanceStatus;

/// Whom a frame answers, and about which session.
#[derive(Debug, Clone, Default)]
pub struct Regarding {
    /// The `id` of the client's frame.
    pub id: Option<Value>,
    /// The session it is about.
    pub session: Option<SessionId>,
}

#[derive(Serialize)]
struct Frame<'a, P: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    payload: P,
}

fn written<P: Serialize>(kind: &'static str, regarding: &Regarding, position: Option<Position>, payload: P) -> Bytes {
    let Regarding { id, session } = regarding;
    let position = position.map(|position| position.to_string());
    let frame = Frame { kind, id: id.as_ref(), session_id: session.as_ref(), position, payload };
    // Numbers, texts and maps with text keys: it always serialises.
    serde_json::to_vec(&frame).unwrap_or_default().into()
}

#[derive(Serialize)]
#[serde(untagged)]
enum Store {
    Ok(&'static str),
    Stale { stale_since: Instant },
}

/// `HEARTBEAT`.
pub fn heartbeat(session: Option<&SessionId>, position: Option<Position>, now: Timestamp, health: Health) -> Bytes {
    #[derive(Serialize)]
    struct Body {
        now_ms: i64,
        store: Store,
    }
    let store = match health {
        Health::Ok => Store::Ok("ok"),
        Health::StaleSince(since) => Store::Stale { stale_since: Instant(since) },
    };
    let regarding = Regarding { id: None, session: session.cloned() };
    written("HEARTBEAT", &regarding, position, Body { now_ms: now.as_ms(), store })
}

/// `PONG`; it is sent as soon as it is written, so its last stamp is taken here.
pub fn pong(regarding: &Regarding, timestamp: &Value, received_us: i64, clock: &dyn Clock) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        timestamp: &'a Value,
        received_at_ms: f64,
        sent_at_ms: f64,
        uncertainty_ms: f64,
    }
    let body = Body {
        timestamp,
        received_at_ms: in_ms(received_us),
        sent_at_ms: in_ms(clock.now_us()),
        uncertainty_ms: clock.uncertainty_ms(),
    };
    written("PONG", regarding, None, body)
}

/// Exact to the microsecond for some centuries.
#[expect(clippy::cast_precision_loss, reason = "a float's 53 bits hold microseconds since 1970 until the year 2255")]
fn in_ms(us: i64) -> f64 {
    us as f64 / 1_000.0
}

/// `RECONNECT_ACK`.
pub fn reconnect_ack(regarding: &Regarding, resumed: bool) -> Bytes {
    #[derive(Serialize)]
    struct Body {
        resumed: bool,
    }
    written("RECONNECT_ACK", regarding, None, Body { resumed })
}

/// `SESSION_NOT_FOUND`: of several sessions asked for, this one is not there.
pub fn session_not_found(session: &SessionId) -> Bytes {
    let regarding = Regarding { id: None, session: Some(session.clone()) };
    written("SESSION_NOT_FOUND", &regarding, None, serde_json::Map::new())
}

/// `STATUS`.
pub fn status(position: Position, status: &InstanceStatus) -> Bytes {
    written("STATUS", &Regarding::default(), Some(position), status)
}

/// `ACK`, with the answer's JSON object.
pub fn ack(regarding: &Regarding, answer: &[u8]) -> Bytes {
    match serde_json::from_slice::<&RawValue>(answer) {
        Ok(answer) => written("ACK", regarding, None, answer),
        Err(_) => written("ACK", regarding, None, serde_json::Map::new()),
    }
}

/// `ERROR`, with the problem.
pub fn error(regarding: &Regarding, problem: &Problem) -> Bytes {
    written("ERROR", regarding, None, problem)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::ManualClock;
    use crate::wire::error_code::Code;

    fn read(frame: &Bytes) -> Value {
        serde_json::from_slice(frame).unwrap()
    }

    #[test]
    fn frames_are_as_the_contract_has_them() {
        let session = SessionId::new("s").unwrap();
        let about = Regarding { id: Some(json!("7")), session: Some(session.clone()) };
        let position = Some(Position { epoch: 1, version: 2 });
        let now = Timestamp::from_ms(1_767_225_600_123);
        assert_eq!(
            read(&heartbeat(Some(&session), position, now, Health::Ok)),
            json!({"type": "HEARTBEAT", "session_id": "s", "position": "1-2", "payload": {"now_ms": 1_767_225_600_123_i64, "store": "ok"}})
        );
        let stale = read(&heartbeat(None, None, now, Health::StaleSince(now)));
        assert_eq!(stale["payload"]["store"], json!({"stale_since": "2026-01-01T00:00:00.123Z"}));
        let pong = pong(&Regarding::default(), &json!(5), 1_767_225_600_123_456, &ManualClock::at(now));
        let text = std::str::from_utf8(&pong).unwrap();
        assert!(text.contains("\"received_at_ms\":1767225600123.456"), "{text}");
        assert_eq!(read(&pong)["payload"]["timestamp"], 5);
        assert_eq!(
            read(&reconnect_ack(&about, true)),
            json!({"type": "RECONNECT_ACK", "id": "7", "session_id": "s", "payload": {"resumed": true}})
        );
        assert_eq!(
            read(&session_not_found(&session)),
            json!({"type": "SESSION_NOT_FOUND", "session_id": "s", "payload": {}})
        );
        assert_eq!(
            read(&ack(&about, br#"{"version":3}"#)),
            json!({"type": "ACK", "id": "7", "session_id": "s", "payload": {"version": 3}})
        );
        let refused = read(&error(&about, &Problem::new(Code::NotRunning, None)));
        assert_eq!((&refused["type"], &refused["payload"]["code"]), (&json!("ERROR"), &json!("not_running")));
    }
}
