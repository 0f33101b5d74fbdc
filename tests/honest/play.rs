//! Plays the planned events against the sidecars: the honest sender retries as its preset documents, the attacker repeats.

use super::{
    app::{Label, Reaction},
    catalog::{Letter, Sender},
    stage::{Answered, Stage},
    story::{Attack, Disguise, Event, Group, When},
};
use bytes::Bytes;
use futures_util::future::join_all;
use hookward::provider::IdentityKind;
use http::HeaderName;
use std::{cell::RefCell, net::IpAddr, time::Duration};

/// Attempts after the planned ones, while hookward answers that the sender shall come again.
const MORE_ATTEMPTS: usize = 12;
/// Contents of requests that must never reach the app have this bit.
pub const NEVER: u64 = 1 << 62;
/// Contents that only forged headers make have this bit: the holder of a token makes events up.
pub const MADE_UP: u64 = 1 << 61;

/// What became of an event at its sender.
pub struct Told {
    pub event: u64,
    pub content: u64,
    pub topic: Option<String>,
    pub alias: bool,
    pub sender: usize,
    pub acknowledged: bool,
    /// An answer that only a slow machine explains.
    pub disturbed: bool,
    pub answers: Vec<Answered>,
}

/// A captured request that is repeated a minute later.
pub struct Captured {
    pub sender: usize,
    pub letter: Letter,
    pub label: Label,
    pub attack: Attack,
}

/// What a round leaves behind.
#[derive(Default)]
pub struct Heard {
    pub told: RefCell<Vec<Told>>,
    pub captured: RefCell<Vec<Captured>>,
    pub attacks: RefCell<Vec<(When, bool, Answered)>>,
}

pub async fn play(stage: &Stage, senders: &[Sender], group: &Group, heard: &Heard) {
    let sender = &senders[group.sender];
    if group.together {
        join_all(
            group
                .events
                .iter()
                .map(|event| tell(stage, sender, group, event, heard)),
        )
        .await;
    } else {
        for event in &group.events {
            tell(stage, sender, group, event, heard).await;
        }
    }
}

async fn tell(stage: &Stage, sender: &Sender, group: &Group, event: &Event, heard: &Heard) {
    let label = |reaction| Label {
        content: event.content,
        event: event.number,
        captured: false,
        disguised: false,
        reaction,
    };
    let mut told = Told {
        event: event.number,
        content: event.content,
        topic: event.topic.clone(),
        alias: event.alias,
        sender: group.sender,
        acknowledged: false,
        disturbed: false,
        answers: Vec::new(),
    };
    let limit = if sender.automatic {
        event.attempts.len() + MORE_ATTEMPTS
    } else {
        1
    };
    let mut letter = write(sender, group, event, 0);
    attack(stage, sender, event, &letter, When::Before, heard).await;
    for number in 0..limit {
        let time = number.min(event.times.len() - 1);
        if number > 0 && number < event.times.len() {
            letter = write(sender, group, event, time);
        }
        let planned = event.attempts.get(number);
        let reaction = planned.map_or(Reaction::Succeed, |attempt| attempt.reaction);
        let client = IpAddr::from([
            198,
            51,
            100,
            u8::try_from((event.number + number as u64) % 4).expect("small"),
        ]);
        let (replica, label) = (
            usize::try_from(event.number).expect("64 bits") + number,
            label(reaction),
        );
        let first = async {
            match planned.and_then(|attempt| attempt.hangs_up) {
                Some(wait) => stage.hang_up(replica, &letter, &label, client, wait).await,
                None => stage.send(replica, &letter, &label, client).await,
            }
        };
        let second = async {
            if planned.is_some_and(|attempt| attempt.twice) {
                vec![stage.send(replica + 1, &letter, &label, client).await]
            } else {
                Vec::new()
            }
        };
        let beside = async {
            if number == 0 {
                attack(stage, sender, event, &letter, When::During, heard).await;
            }
        };
        let (first, second, ()) = tokio::join!(first, second, beside);
        told.disturbed |= first.outcome == "upstream_timeout" && reaction != Reaction::Stall;
        let mut answers = vec![first];
        answers.extend(second);
        told.acknowledged |= answers.iter().any(|answer| (200..300).contains(&answer.status));
        told.answers.extend(answers);
        if number == 0 {
            attack(stage, sender, event, &letter, When::Between, heard).await;
        }
        if told.acknowledged || !sender.automatic {
            break;
        }
        if planned.is_none() {
            tokio::time::sleep(Duration::from_millis(10 << (number - event.attempts.len()).min(8))).await;
        }
    }
    heard.told.borrow_mut().push(told);
    attack(stage, sender, event, &letter, When::After, heard).await;
    for attack in event.attacks.iter().filter(|attack| attack.when == When::Later) {
        heard.captured.borrow_mut().push(Captured {
            sender: group.sender,
            letter: letter.clone(),
            label: Label {
                captured: true,
                ..label(attack.reaction)
            },
            attack: attack.clone(),
        });
    }
}

fn write(sender: &Sender, group: &Group, event: &Event, time: usize) -> Letter {
    sender
        .letter(&group.written, event.topic.as_deref(), &event.id, event.times[time])
        .unwrap_or_else(|reason| panic!("{}: {reason}", sender.name))
}

/// Sends the planned repetitions of this moment, one after the other.
async fn attack(stage: &Stage, sender: &Sender, event: &Event, letter: &Letter, when: When, heard: &Heard) {
    for attack in event.attacks.iter().filter(|attack| attack.when == when) {
        let label = Label {
            content: event.content,
            event: event.number,
            captured: true,
            disguised: false,
            reaction: attack.reaction,
        };
        repeat(stage, sender, letter, label, attack, heard).await;
    }
}

/// Sends one captured request, as it was or under other labels.
pub async fn repeat(stage: &Stage, sender: &Sender, letter: &Letter, label: Label, attack: &Attack, heard: &Heard) {
    let (letter, label) = disguised(sender, letter, label, attack);
    let replica = usize::try_from(label.event).expect("64 bits");
    let answered = stage.send(replica, &letter, &label, attack.client).await;
    let disguised = attack.disguise != Disguise::None;
    heard.attacks.borrow_mut().push((attack.when, disguised, answered));
}

fn disguised(sender: &Sender, letter: &Letter, mut label: Label, attack: &Attack) -> (Letter, Label) {
    let mut letter = letter.clone();
    let Disguise::Labels { id, topic, tenant } = &attack.disguise else {
        return (letter, label);
    };
    label.disguised = true;
    let mut forged = 0;
    let mut set = |name: &HeaderName, value: &str| {
        // The event's name is part of no key.
        let counts = sender.unsigned.event.as_ref() != Some(name);
        forged += u64::from(counts) * value.bytes().chain(name.as_str().bytes()).map(u64::from).sum::<u64>();
        for (known, held) in &mut letter.headers {
            if known == name {
                *held = Bytes::copy_from_slice(value.as_bytes());
                return;
            }
        }
        letter
            .headers
            .push((name.clone(), Bytes::copy_from_slice(value.as_bytes())));
    };
    if let (Some(header), Some(topic)) = (&sender.unsigned.event, topic) {
        set(header, topic);
    }
    if let (Some(header), true) = (&sender.unsigned.tenant, tenant) {
        set(header, "another-tenant.example");
    }
    if let (Some(header), Some(id)) = (&sender.id_header, id) {
        set(header, id);
        if sender.unsigned.id.is_none() {
            label.content |= NEVER;
            return (letter, label);
        }
    }
    if forged > 0 && sender.kind == IdentityKind::NamedId {
        label.content = MADE_UP | (label.content << 8) | (forged & 0xff);
    }
    (letter, label)
}
