//! An honest history passes, and each lie is caught.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use synckairos::domain::chain::{Digest, Link};
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::position::Position;
use synckairos::domain::session::Session;
use synckairos::domain::session::event::{Change, Step};
use synckairos::domain::time::Timestamp;
use synckairos::ledger::Row;
use synckairos::wire::change::Details;
use synckairos::wire::create::CreateBody;
use synckairos::wire::{frame, history as wire};

use super::replay::command_of;
use super::{Law, Rules, judge};
use crate::harness::blitz;
use crate::harness::history::{Answer, Call, End, Final, FrameRecord, History, Invocation, ShownSession};

const BEGAN_MS: i64 = 1_767_225_600_000;

/// A service that tells the truth, a call at a time; what comes of it may be bent then.
struct Honest {
    history: History,
    session: Session,
    head: Digest,
    now_ms: i64,
}

impl Honest {
    fn new() -> Self {
        let body: CreateBody = serde_json::from_value(blitz()).unwrap();
        let now = Timestamp::from_ms(BEGAN_MS);
        let change = Session::create(body.into_new("s".parse::<SessionId>().unwrap()).unwrap(), now).unwrap();
        let history = History { began_us: Some(BEGAN_MS * 1_000), ..History::default() };
        let mut honest = Self { history, session: change.session.clone(), head: Digest::NONE, now_ms: 0 };
        honest.write("create", &change);
        honest.answer(asked("create"), done(&change));
        honest
    }

    /// Versions 1 to 6, a refusal, a watcher, and then a clock that runs out.
    fn played() -> Self {
        let mut honest = Self::new();
        honest.watch("w", None);
        for command in ["start", "switch", "pause", "switch", "resume", "switch"] {
            honest.asks(asked(command));
        }
        honest.now_ms += 120_000;
        honest.settle();
        honest.asks(asked("switch"));
        honest
    }

    fn asks(&mut self, asked: Invocation) -> usize {
        self.now_ms += 1_000;
        let command = command_of(&asked).unwrap();
        let answer = match self.session.next(&command, self.now()) {
            Step::Done(change) => {
                self.write(command.name(), &change);
                done(&change)
            }
            Step::Refused(why) => {
                let code = synckairos::wire::error_code::Code::from(why).as_str().to_owned();
                Answer::Refused { code, shown: ShownSession::of(&snapshot(&self.session)) }
            }
            Step::Due(..) => panic!("settle first"),
        };
        self.answer(asked, answer)
    }

    fn change(&self, command: &str) -> Change {
        let Step::Done(change) = self.session.next(&command_of(&asked(command)).unwrap(), self.now()) else {
            panic!("{command} is refused");
        };
        *change
    }

    fn settle(&mut self) {
        let change = self.session.settled(self.now());
        self.write("settle", &change);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(BEGAN_MS + self.now_ms)
    }

    fn write(&mut self, command: &'static str, change: &Change) {
        self.link(command, change);
        if self.history.seen.is_empty() {
            return;
        }
        let frames = frame::of_change(command, &Details::default(), None, change);
        for line in frame::lines(&frames) {
            self.tell("w", &serde_json::from_slice(&line).unwrap());
        }
    }

    fn link(&mut self, command: &'static str, change: &Change) {
        let session = Session { previous: self.head, ..change.session.clone() };
        let body = Bytes::from(session.stored());
        let link =
            Link { position: session.position, at: session.updated_at, previous: self.head, body: Digest::of(&body) };
        let key = SessionKey { tenant: TenantId::new("acme").unwrap(), session: session.session_id.clone() };
        let change = wire::changed(command, &Details::default(), None, change, None);
        self.history.rows.push(Row { key, link, body: Some(body), change, superseded: false });
        (self.session, self.head) = (session, link.digest());
    }

    fn answer(&mut self, asked: Invocation, answer: Answer) -> usize {
        let (client, session) = ("c".to_owned(), "s".to_owned());
        let (invoked_us, returned_us) = (self.now_ms * 1_000, self.now_ms * 1_000 + 500);
        self.history.calls.push(Call { client, instance: 0, session, asked, invoked_us, returned_us, answer });
        self.history.calls.len() - 1
    }

    fn watch(&mut self, client: &str, last: Option<Position>) {
        let opened =
            FrameRecord { at_us: self.now_ms * 1_000 + 600, ..FrameRecord::opened(client, "ws", 0, "s", last) };
        self.history.seen.push(opened);
        let sync = frame::state_sync(
            &self.session.session_id,
            self.session.position,
            &frame::snapshot(&self.session, self.now()),
        );
        self.tell(client, &serde_json::from_slice(&sync).unwrap());
    }

    fn tell(&mut self, client: &str, frame: &Value) {
        let at_us = self.now_ms * 1_000 + 700;
        self.history.seen.push(FrameRecord { at_us, ..FrameRecord::of(client, "ws", 0, "s", frame) });
    }

    /// A store that was lost: the same version in a new epoch.
    fn restored(&mut self, from: usize) {
        self.now_ms += 1_000;
        let row = &self.history.rows[from];
        self.head = row.link.digest();
        let kept = Session::from_stored(row.body.as_deref().unwrap()).unwrap();
        self.session = kept.restored(None, self.now());
        self.history.rows[from + 1..].iter_mut().for_each(|row| row.superseded = true);
    }

    fn ends(mut self) -> History {
        let snapshot = snapshot(&self.session);
        let at_us = self.now_ms * 1_000 + 900;
        self.history.finals = Final::of("s", &snapshot, at_us).into_iter().collect();
        let position = Some(self.session.position);
        let (client, session) = ("w".to_owned(), "s".to_owned());
        self.history.ends.push(End { client, session, position });
        self.history
    }
}

fn asked(command: &str) -> Invocation {
    Invocation { command: command.to_owned(), ..Invocation::default() }
}

fn snapshot(session: &Session) -> Value {
    serde_json::from_slice(&frame::snapshot(session, session.updated_at)).unwrap()
}

fn done(change: &Change) -> Answer {
    let shown = ShownSession::of(&snapshot(&change.session));
    Answer::Applied { made: change.session.position, shown, is_replay: false }
}

#[track_caller]
fn breaks(history: &History, laws: &[Law]) {
    let verdict = judge(history, &Rules::default());
    let found = verdict.laws();
    assert!(laws.iter().all(|law| found.contains(law)), "{laws:?} in {verdict}");
    assert!(laws.is_empty() == found.is_empty(), "{verdict}");
}

#[track_caller]
fn caught(law: Law, bend: impl FnOnce(&mut History)) {
    let mut history = Honest::played().ends();
    bend(&mut history);
    breaks(&history, &[law]);
}

#[test]
fn the_truth_passes_and_is_counted() {
    let history = Honest::played().ends();
    let verdict = judge(&history, &Rules::default());
    assert_eq!(verdict.violations.len(), 0, "{verdict}");
    let figures = verdict.figures;
    assert_eq!((figures.applied, figures.refused, figures.refusals_judged), (6, 2, 2), "{figures:?}");
    assert_eq!((figures.versions, figures.versions_judged, figures.expiries), (7, 6, 1), "{figures:?}");
}

#[test]
fn a_lost_acknowledgement_and_a_hole_are_caught() {
    caught(Law::Lost, |history| {
        history.rows.truncate(4);
        history.finals.clear();
    });
    caught(Law::Hole, |history| drop(history.rows.remove(2)));
    caught(Law::Ledger, |history| drop(history.rows.pop()));
}

#[test]
fn a_command_applied_twice_is_caught() {
    // A call that was sent again by the service itself.
    let mut honest = Honest::new();
    honest.asks(asked("start"));
    let change = honest.change("switch");
    honest.link("switch", &change);
    honest.asks(asked("switch"));
    honest.history.seen.clear();
    let mut history = honest.ends();
    history.ends.clear();
    breaks(&history, &[Law::Phantom]);
    // The same, where somebody was told nothing: then it was that one.
    history.calls.push(Call { answer: Answer::Unknown, returned_us: i64::MAX, ..history.calls[1].clone() });
    history.calls.last_mut().unwrap().asked = asked("switch");
    breaks(&history, &[]);
    // But not if both had the same key.
    for call in history.calls.iter_mut().filter(|call| call.asked.command == "switch") {
        call.asked.key = Some("k".to_owned());
    }
    breaks(&history, &[Law::Phantom]);
}

#[test]
fn one_key_at_two_positions_and_two_calls_at_one_are_caught() {
    caught(Law::Twice, |history| {
        history.calls[2].asked.key = Some("k".to_owned());
        history.calls[6].asked.key = Some("k".to_owned());
    });
    caught(Law::Twice, |history| history.calls.push(history.calls[2].clone()));
}

#[test]
fn an_order_against_real_time_is_caught() {
    caught(Law::RealTime, |history| {
        let later = history.calls[6].returned_us + 1;
        (history.calls[2].invoked_us, history.calls[2].returned_us) = (later, later + 10);
    });
    caught(Law::StaleRead, |history| {
        let Answer::Applied { shown: Some(shown), .. } = history.calls[1].answer.clone() else { panic!("applied") };
        let late = history.calls[3].returned_us + 1;
        let look = Call { asked: asked("look"), answer: Answer::Looked(shown), ..history.calls[1].clone() };
        history.calls.push(Call { invoked_us: late, returned_us: late + 1, ..look });
    });
}

#[test]
fn a_refusal_without_a_reason_is_caught() {
    // The switch while it was paused, said to have been judged when it ran.
    caught(Law::Refusal, |history| {
        let Answer::Applied { shown: earlier, .. } = history.calls[2].answer.clone() else { panic!("applied") };
        let call = &mut history.calls[4];
        (call.invoked_us, call.returned_us) = (2_000_000, 2_000_600);
        let Answer::Refused { shown, .. } = &mut call.answer else { panic!("refused") };
        *shown = earlier;
    });
    // The same, shown as it stood long before.
    caught(Law::StaleRead, |history| {
        let Answer::Refused { shown, .. } = history.calls[4].answer.clone() else { panic!("refused") };
        let late = history.calls[6].returned_us + 1;
        let answer = Answer::Refused { code: "not_running".to_owned(), shown };
        history.calls.push(Call { invoked_us: late, returned_us: late + 1, answer, ..history.calls[4].clone() });
    });
}

#[test]
fn a_version_that_was_named_and_is_another_is_caught() {
    caught(Law::Expected, |history| {
        history.calls[3].asked.expected = Some(Position { epoch: BEGAN_MS, version: 1 });
    });
    caught(Law::Refusal, |history| {
        let Answer::Refused { shown, .. } = history.calls[4].answer.clone() else { panic!("refused") };
        history.calls[4].asked.expected = shown.as_ref().map(|shown| shown.position);
        history.calls[4].answer = Answer::Refused { code: "stale_version".to_owned(), shown };
    });
}

#[test]
fn time_charged_wrongly_is_caught() {
    let mut honest = Honest::new();
    honest.asks(asked("start"));
    honest.now_ms += 1_000;
    let mut change = honest.change("pause");
    let white = Arc::make_mut(&mut change.session.participants[0]);
    white.bank.used_ms -= 1;
    white.bank.left_ms = white.bank.left_ms.map(|left| left + 1);
    honest.write("pause", &change);
    honest.answer(asked("pause"), done(&change));
    let mut history = honest.ends();
    history.seen.clear();
    history.ends.clear();
    breaks(&history, &[Law::Charged]);
}

#[test]
fn one_position_with_two_contents_is_caught() {
    caught(Law::TwoContents, |history| {
        let told = history.seen.iter_mut().find(|seen| seen.kind == "STATE_UPDATE").unwrap();
        told.content = Some("otherwise".to_owned());
    });
}

#[test]
fn frames_out_of_order_twice_or_left_out_are_caught() {
    let updates = |history: &History| {
        let all = history.seen.iter().enumerate().filter(|(_, seen)| seen.kind == "STATE_UPDATE");
        all.map(|(at, _)| at).collect::<Vec<_>>()
    };
    caught(Law::Frames, |history| {
        let twice = history.seen[updates(history)[1]].clone();
        history.seen.push(FrameRecord { at_us: 500_000_000, ..twice });
    });
    caught(Law::Frames, |history| drop(history.seen.remove(updates(history)[2])));
    caught(Law::Frames, |history| {
        let [one, other] = [1, 2].map(|at| updates(history)[at]);
        let at_us = history.seen[one].at_us;
        history.seen[one].at_us = history.seen[other].at_us;
        history.seen[other].at_us = at_us;
    });
    caught(Law::Frames, |history| {
        let twice = history.seen.iter().find(|seen| seen.kind == "TIME_EXPIRED").unwrap().clone();
        history.seen.push(FrameRecord { at_us: twice.at_us + 1, ..twice });
    });
}

#[test]
fn a_client_with_another_final_state_is_caught() {
    caught(Law::EndsElsewhere, |history| history.ends[0].position = Some(Position { epoch: BEGAN_MS, version: 2 }));
    caught(Law::EndsElsewhere, |history| history.ends[0].position = None);
}

#[test]
fn expiries_that_are_early_twice_or_missing_are_caught() {
    caught(Law::Expiry, |history| {
        let row = history.rows.iter_mut().find(|row| row.change.starts_with(br#"{"command":"settle""#)).unwrap();
        let mut change: Value = serde_json::from_slice(&row.change).unwrap();
        change["expired"][0]["at"] = json!("2026-01-02T00:00:00.000Z");
        row.change = serde_json::to_vec(&change).unwrap().into();
    });
    caught(Law::Expiry, |history| {
        let seen = history.seen.iter_mut().find(|seen| seen.kind == "TIME_EXPIRED").unwrap();
        seen.expired_at_ms = Some(BEGAN_MS + 500_000);
    });
    caught(Law::Expiry, |history| {
        history.finals[0].status = "running".to_owned();
        history.finals[0].deadline_ms = Some(BEGAN_MS + 60_000);
        history.finals[0].at_us = 70_000_000;
    });
    let mut history = Honest::played().ends();
    let at = history.rows.iter().position(|row| row.change.starts_with(br#"{"command":"settle""#)).unwrap();
    history.rows[at - 1].change = history.rows[at].change.clone();
    assert!(judge(&history, &Rules::default()).laws().contains(&Law::Expiry));
}

#[test]
fn a_clock_that_is_off_is_caught() {
    caught(Law::Clock, |history| {
        let call = &mut history.calls[2];
        (call.invoked_us, call.returned_us) = (call.invoked_us - 500_000, call.invoked_us - 400_000);
    });
}

#[test]
fn a_rolled_back_store_may_lose_only_if_announced() {
    let lossy = |is_told: bool| {
        let mut honest = Honest::new();
        for command in ["start", "switch", "switch"] {
            honest.asks(asked(command));
        }
        honest.restored(2);
        if !is_told {
            honest.session.position.epoch = BEGAN_MS;
            honest.session.recovered = None;
        }
        honest.watch("w", None);
        honest.asks(asked("pause"));
        honest.ends()
    };
    let told = lossy(true);
    breaks(&told, &[Law::Lost]);
    let verdict = judge(&told, &Rules { may_lose: true, ..Rules::default() });
    assert!(verdict.violations.is_empty(), "{verdict}");
    assert_eq!((verdict.figures.lost, verdict.figures.epochs), (1, 2));
    let silent = judge(&lossy(false), &Rules { may_lose: true, ..Rules::default() });
    assert!(silent.laws().contains(&Law::Twice) && silent.laws().contains(&Law::Fork), "{silent}");
}

#[test]
fn a_violation_is_short_and_names_the_client() {
    let mut history = Honest::played().ends();
    history.calls[2].asked.key = Some("k".to_owned());
    history.calls[6].asked.key = Some("k".to_owned());
    let verdict = judge(&history, &Rules::default());
    let trace = verdict.shortest()[0].to_string();
    assert!(trace.contains("c at instance 0: switch") && trace.lines().count() <= 3, "{trace}");
}
