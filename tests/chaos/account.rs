//! The truth about a run: what was sent and acknowledged, and what the apps did.

use crate::wire::{Micros, now};
use std::collections::BTreeMap;

/// What a sender learns of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// An answer: its status, and its `Hookward-Outcome` if that is one of [`NAMES`].
    Answer(u16, &'static str),
    /// No sidecar took the connection.
    Refused,
    /// The connection broke.
    Broken,
    /// Nothing came in time.
    NoAnswer,
    /// The sender itself went away.
    HungUp,
}

/// Outcomes that honest traffic and its replays may meet, whatever happens to Redis, apps and replicas.
pub const NAMES: &[&str] = &[
    "delivered",
    "duplicate",
    "replayed",
    "conflict",
    "in_flight",
    "rate_limited",
    "too_slow",
    "overloaded",
    "ledger_unavailable",
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_failed",
];

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub from: Micros,
    /// 0: under way.
    pub to: Micros,
    pub sidecar: u8,
    pub outcome: Outcome,
}

/// An app's work for one event.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub at: Micros,
    /// `Hookward-Attempt`.
    pub attempt: u32,
    /// It was let through by a sidecar that found Redis out.
    pub local: bool,
}

/// One event.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub attempts: Vec<Attempt>,
    /// By app.
    pub work: [Vec<Work>; 2],
    /// When its provider was first told that all is done; 0: never.
    pub acked: Micros,
    /// As the apps were told; all alike.
    delivery: Option<Box<str>>,
}

/// Everything that happened.
#[derive(Default)]
pub struct Account {
    pub events: Vec<Event>,
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Answers that an app did not give after its work: app, when, event.
    pub lost_answers: Vec<(usize, Micros, u32)>,
    /// Sabotage: does not hear of every thousandth event's work, as if it had never been done.
    pub deaf: bool,
    /// What must not happen and is neither a loss nor a duplicate.
    pub strange: Vec<String>,
}

impl Outcome {
    pub fn of(status: u16, name: &str) -> Self {
        let known = NAMES.iter().find(|known| **known == name);
        Self::Answer(status, known.unwrap_or(&"unexpected"))
    }

    /// The provider takes it for delivered.
    pub fn is_ack(self) -> bool {
        matches!(self, Self::Answer(200..=299, _))
    }
}

impl Account {
    pub fn new(events: u32) -> Self {
        Self {
            events: vec![Event::default(); events as usize],
            ..Self::default()
        }
    }

    /// An attempt begins; gives its number.
    pub fn sent(&mut self, event: u32, sidecar: usize) -> usize {
        let attempts = &mut self.events[event as usize].attempts;
        attempts.push(Attempt {
            from: now(),
            to: 0,
            sidecar: u8::try_from(sidecar).expect("a few sidecars"),
            outcome: Outcome::NoAnswer,
        });
        attempts.len() - 1
    }

    pub fn answered(&mut self, event: u32, attempt: usize, outcome: Outcome) {
        *self.outcomes.entry(outcome).or_default() += 1;
        let at = now();
        let noted = &mut self.events[event as usize];
        (noted.attempts[attempt].to, noted.attempts[attempt].outcome) = (at, outcome);
        if outcome.is_ack() && noted.acked == 0 {
            noted.acked = at;
        }
        if let Outcome::Answer(status, "unexpected") = outcome {
            self.strange.push(format!(
                "event {event}: an answer {status} that none of its attempts asks for"
            ));
        }
    }

    /// A line that an app wrote.
    pub fn hear(&mut self, app: usize, line: &str) {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or("");
        let (kind, at) = (word(), word().parse().unwrap_or(0));
        let event: u32 = word().parse().unwrap_or(u32::MAX);
        match (kind, self.events.get_mut(event as usize)) {
            ("work", Some(_)) if self.deaf && event % 1_000 == 7 => {}
            ("work", Some(noted)) => {
                let (attempt, ledger, delivery) = (word(), word(), word());
                noted.work[app].push(Work {
                    at,
                    attempt: attempt.parse().unwrap_or(0),
                    local: ledger == "local",
                });
                if **noted.delivery.get_or_insert_with(|| delivery.into()) != *delivery {
                    self.strange
                        .push(format!("event {event}: its Hookward-Delivery changed to {delivery}"));
                }
            }
            ("lost", Some(_)) => self.lost_answers.push((app, at, event)),
            _ => self
                .strange
                .push(format!("an app got what nobody sent, or not to the last byte: {line}")),
        }
    }
}
