//! What the rules cost: `cargo bench --bench engine`.

#![expect(clippy::unwrap_used, reason = "a bench is a test: it may fail loudly")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use synckairos::domain::id::SessionId;
use synckairos::domain::session::command::{Command, Switch};
use synckairos::domain::session::event::Step;
use synckairos::domain::session::{Owner, Session};
use synckairos::domain::time::Timestamp;
use synckairos::wire::command::parsed;
use synckairos::wire::create::CreateBody;
use synckairos::wire::frame;

const SIZES: [usize; 2] = [2, 1_024];

fn running(participants: usize) -> Session {
    let participants: Vec<_> = (0..participants).map(|seat| json!({"participant_id": format!("p{seat}")})).collect();
    let body = json!({
        "sync_mode": "per_participant", "total_time_ms": 3_600_000, "increment_ms": 2_000,
        "participants": participants, "warnings_ms": [10_000, 5_000, 1_000],
    });
    let Value::Object(body) = body else { unreachable!("it is an object") };
    let new = parsed::<CreateBody>(body).unwrap().into_new(SessionId::new("bench").unwrap()).unwrap();
    let pending = Session::create(new, Timestamp::from_ms(0)).unwrap().session;
    done(&pending, &Command::Start { at: None, participant: None }, 0)
}

fn done(session: &Session, command: &Command, at: i64) -> Session {
    match session.next(command, Timestamp::from_ms(at)) {
        Step::Done(change) => change.session,
        other => panic!("{other:?}"),
    }
}

fn engine(criterion: &mut Criterion) {
    for size in SIZES {
        let session = running(size);
        let switch = Command::Switch(Switch::default());
        let now = Timestamp::from_ms(30_000);
        criterion.bench_function(&format!("apply switch with {size}"), |bench| {
            bench.iter(|| black_box(&session).next(black_box(&switch), now));
        });
        criterion.bench_function(&format!("project with {size}"), |bench| {
            bench.iter(|| {
                let shown = (0..size).map(|seat| session.remaining(Owner::Participant(seat), now).unwrap_or(0));
                (session.is_due(now), black_box(shown.sum::<i64>()))
            });
        });
        criterion.bench_function(&format!("snapshot with {size}"), |bench| {
            bench.iter(|| frame::snapshot(black_box(&session), now));
        });
        criterion.bench_function(&format!("stored with {size}"), |bench| {
            bench.iter(|| black_box(&session).stored());
        });
    }
}

criterion_group!(benches, engine);
criterion_main!(benches);
