//! The plan of a run: events, their attempts, and what an attacker does with those that he captures. All of it is dice.

use super::{
    app::Reaction,
    catalog::{Sender, Written},
    dice::Dice,
};
use hookward::{event::Timestamp, provider::IdentityKind};
use std::{net::IpAddr, time::Duration};

/// An attacker repeats one content at most so often in a round, within every budget.
const MAX_ATTACKS: usize = 4;

/// Events whose bodies are equal, byte for byte.
pub struct Group {
    pub sender: usize,
    pub written: Written,
    pub events: Vec<Event>,
    /// The events are sent at the same time.
    pub together: bool,
}

/// One honest event.
pub struct Event {
    pub number: u64,
    /// Events with one content share a record of the ledger.
    pub content: u64,
    pub id: String,
    pub topic: Option<String>,
    /// Another subscription to the same event: reached if its content is.
    pub alias: bool,
    /// The signed times of its attempts; one that does not sign anew keeps the first.
    pub times: Vec<Timestamp>,
    pub attempts: Vec<Attempt>,
    pub attacks: Vec<Attack>,
}

/// One attempt of the honest sender.
#[derive(Clone, Copy)]
pub struct Attempt {
    pub reaction: Reaction,
    /// A second copy at the same time.
    pub twice: bool,
    /// The sender hangs up after this.
    pub hangs_up: Option<Duration>,
}

/// One request of the attacker.
#[derive(Clone)]
pub struct Attack {
    pub when: When,
    pub disguise: Disguise,
    pub reaction: Reaction,
    pub client: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the first attempt, byte for byte: the attacker sits on the way.
    Before,
    /// Beside the first attempt.
    During,
    /// After the first attempt, whether it was delivered or not.
    Between,
    /// After the last attempt.
    After,
    /// A minute later.
    Later,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disguise {
    /// Byte for byte as captured.
    None,
    /// Other values in the headers of id, event and tenant.
    Labels {
        id: Option<String>,
        topic: Option<String>,
        tenant: bool,
    },
}

/// Numbers that are given once.
#[derive(Default)]
pub struct Numbers(u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl Group {
    pub fn plan(senders: &[Sender], index: usize, dice: &mut Dice, numbers: &mut Numbers, now: Timestamp) -> Self {
        let sender = &senders[index];
        let template = &sender.templates[dice.index(sender.templates.len())];
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&dice.next().to_le_bytes());
        nonce[8..].copy_from_slice(&numbers.next().to_le_bytes());
        let written = template.write(sender, now, nonce);
        // Events with equal bodies: known by a header's id, by the signed time, by their unsigned values, or by nothing.
        let most = match sender.kind {
            IdentityKind::SignedId | IdentityKind::NamedId if sender.id_header.is_none() => 1,
            IdentityKind::UniqueBody if !template.repeats => 1,
            IdentityKind::UniqueBody => 4,
            IdentityKind::Doorbell => 6,
            _ => 3,
        };
        let count = if most == 1 { 1 } else { 1 + dice.index(most) };
        let shares = matches!(
            sender.kind,
            IdentityKind::UniqueBody | IdentityKind::BodyAndTime | IdentityKind::Doorbell
        );
        let content = numbers.next();
        let mut times = Times::before(now, sender, dice);
        // A record permits four values beside the delivered one where one content goes out under several topics, and an
        // attacker takes some of them.
        let mut attacks_left = if sender.several_topics && !template.repeats {
            MAX_ATTACKS / 2
        } else {
            MAX_ATTACKS
        };
        let mut event = |topic: Option<String>, alias: bool, dice: &mut Dice| {
            let number = numbers.next();
            Event {
                number,
                content: if shares { content } else { numbers.next() },
                id: format!("{number:08x}-{:016x}", dice.next()),
                topic,
                alias,
                times: times.some(sender, dice),
                attempts: attempts(sender, dice),
                attacks: attacks(sender, &mut attacks_left, dice),
            }
        };
        let mut events: Vec<Event> = (0..count).map(|_| event(template.event.clone(), false, dice)).collect();
        let listed = template
            .event
            .as_ref()
            .is_some_and(|event| sender.events.contains(event));
        if sender.several_topics && sender.kind == IdentityKind::UniqueBody && listed && !template.repeats {
            // One content goes out under a second topic of its object, and to several subscriptions of one topic.
            let object = |topic: &str| topic.split(['/', '.']).next().map(str::to_owned);
            let own = template.event.as_deref().and_then(object);
            let others: Vec<&String> = sender
                .events
                .iter()
                .filter(|topic| Some(*topic) != template.event.as_ref() && object(topic) == own)
                .collect();
            if !others.is_empty() && dice.chance(6000) {
                events.push(event(Some(others[dice.index(others.len())].clone()), false, dice));
            }
            if dice.chance(2000) {
                events.push(event(template.event.clone(), true, dice));
            }
        }
        Self {
            sender: index,
            written,
            events,
            together: dice.chance(4000),
        }
    }
}

/// Signed times of a group, no two alike.
struct Times {
    now: Timestamp,
    ages: Vec<i64>,
}

impl Times {
    fn before(now: Timestamp, sender: &Sender, dice: &mut Dice) -> Self {
        let mut ages: Vec<i64> = (0..=sender.max_age).collect();
        for at in (1..ages.len()).rev() {
            ages.swap(at, dice.index(at + 1));
        }
        Self { now, ages }
    }

    /// Ascending times of the attempts of one event.
    fn some(&mut self, sender: &Sender, dice: &mut Dice) -> Vec<Timestamp> {
        let resigns = match sender.resigns {
            Some(resigns) => resigns,
            // Nobody knows, so both happen.
            None => sender.can_resign && dice.chance(5000),
        };
        // Of events that share a content no two have one time, so each has few.
        let count = match (resigns, sender.kind) {
            (false, _) => 1,
            (true, IdentityKind::BodyAndTime) => 3,
            (true, _) => 6,
        };
        let from = self.ages.len().saturating_sub(count);
        let mut ages = self.ages.split_off(from);
        ages.sort_unstable_by(|one, other| other.cmp(one));
        if ages.is_empty() {
            ages.push(0);
        }
        let at = |age| Timestamp::from_secs(self.now.as_secs() - age);
        ages.into_iter().map(at).collect()
    }
}

fn attempts(sender: &Sender, dice: &mut Dice) -> Vec<Attempt> {
    let reaction = |dice: &mut Dice| match dice.below(1000) {
        0..3 => Reaction::Stall,
        3..100 => Reaction::Break,
        _ => Reaction::Fail,
    };
    let failing = match dice.below(100) {
        0..72 => 0,
        72..92 => 1,
        _ => 2,
    };
    let failing = if sender.automatic { failing } else { failing.min(1) };
    let mut attempts = Vec::new();
    for _ in 0..failing {
        attempts.push(Attempt {
            reaction: reaction(dice),
            twice: dice.chance(1000),
            hangs_up: None,
        });
    }
    if sender.automatic || attempts.is_empty() {
        // A sender that never retries does not hang up either: it would lose its own event.
        let hangs_up = sender.automatic && dice.chance(500);
        attempts.push(Attempt {
            reaction: Reaction::Succeed,
            twice: dice.chance(1500),
            hangs_up: hangs_up.then(|| Duration::from_micros(dice.below(4000))),
        });
    }
    attempts
}

fn attacks(sender: &Sender, left: &mut usize, dice: &mut Dice) -> Vec<Attack> {
    if sender.kind == IdentityKind::None {
        // Whoever holds the token makes events up: a captured request buys everything.
        return Vec::new();
    }
    let mut attacks = Vec::new();
    while *left > 0 && dice.chance(3500) {
        *left -= 1;
        let moments = [When::Before, When::During, When::Between, When::After, When::Later];
        let when = moments[dice.index(moments.len())];
        let disguise = if when == When::Before || dice.chance(4000) {
            Disguise::None
        } else {
            labels(sender, dice)
        };
        let reaction = if dice.chance(1500) {
            Reaction::Fail
        } else {
            Reaction::Succeed
        };
        let client = IpAddr::from([203, 0, 113, 1 + u8::try_from(dice.below(2)).expect("small")]);
        attacks.push(Attack {
            when,
            disguise,
            reaction,
            client,
        });
    }
    attacks
}

fn labels(sender: &Sender, dice: &mut Dice) -> Disguise {
    let topic = if sender.events.is_empty() || dice.chance(3000) {
        "made.up".to_owned()
    } else {
        sender.events[dice.index(sender.events.len())].clone()
    };
    Disguise::Labels {
        id: dice.chance(7000).then(|| format!("forged-{:016x}", dice.next())),
        topic: dice.chance(6000).then_some(topic),
        tenant: dice.chance(2000),
    }
}
