//! Judges what reached the app: nothing honest is missing, and nothing repeated is unmarked.

use super::{
    app::{Reaction, Received},
    catalog::Sender,
    play::{MADE_UP, NEVER, Told},
};
use hookward::provider::IdentityKind;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

/// Rounds after which a content is judged: until then an attacker may repeat it.
const OPEN_ROUNDS: u64 = 3;
/// Violations that are described; the rest is counted.
const MAX_DESCRIBED: usize = 20;

/// Repeats that a record remembers: signed times, and unsigned values.
const MAX_TIMES: usize = 16;
const MAX_VALUES: usize = 4;

/// Everything known of the contents of the last rounds, and the sums of the others.
#[derive(Default)]
pub struct Verdict {
    open: HashMap<u64, Content>,
    pub events: u64,
    pub requests: u64,
    pub repeats: u64,
    pub captured_marked: u64,
    pub captured_first: u64,
    pub unacknowledged: u64,
    pub disturbed: u64,
    pub lost: u64,
    /// Events that are refused because a forged copy came first.
    pub outrun: u64,
    pub unmarked: u64,
    pub false_acks: u64,
    pub described: Vec<String>,
    /// The content of each delivery of the app, by a hash of `Hookward-Source` and `Hookward-Delivery`.
    names: HashMap<u64, u64>,
    /// How the unacknowledged ones ended.
    pub refusals: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Content {
    round: u64,
    told: Vec<Told>,
    received: Vec<Received>,
}

impl Verdict {
    pub fn hear(&mut self, round: u64, told: Vec<Told>, received: HashMap<u64, Vec<Received>>) {
        for told in told {
            let content = self.open.entry(told.content).or_default();
            content.round = round;
            content.told.push(told);
        }
        for (number, received) in received {
            let content = self.open.entry(number).or_default();
            content.round = content.round.max(round);
            content.received.extend(received);
        }
    }

    /// Judges the contents that nobody repeats any more; all of them where `last`.
    pub fn judge(&mut self, senders: &[Sender], round: u64, last: bool) {
        let due = |content: &Content| last || content.round + OPEN_ROUNDS <= round;
        let numbers: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, content)| due(content))
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            let content = self.open.remove(&number).expect("it is open");
            self.judge_one(senders, number, &content);
        }
    }

    fn judge_one(&mut self, senders: &[Sender], number: u64, content: &Content) {
        self.requests += content.received.len() as u64;
        if number & NEVER != 0 {
            self.blame_unmarked(number, content, "a request with a broken signature reached the app");
            return;
        }
        if number & MADE_UP != 0 {
            return;
        }
        let Some(first) = content.told.first() else {
            // Its events were judged before: a repetition that came late.
            self.blame_unmarked(number, content, "repeated after its events were judged");
            return;
        };
        let kind = senders[first.sender].kind;
        if content.told.iter().any(|told| told.disturbed) {
            self.disturbed += 1;
        } else if let Some(reason) = unmarked(kind, &content.received) {
            self.blame_unmarked(number, content, &reason);
        }
        let by_event: HashSet<u64> = content.received.iter().map(|received| received.label.event).collect();
        let succeeded = content
            .received
            .iter()
            .any(|received| received.label.reaction == Reaction::Succeed && received.answered.is_some());
        for told in &content.told {
            self.events += 1;
            let alone = content.told.iter().filter(|told| !told.alias).count() == 1;
            let reached = by_event.contains(&told.event) || (told.alias || alone) && !content.received.is_empty();
            // Of one content under several topics a subscription to the same topic, or a forged one, is the same event.
            let same_topic = |received: &Received| told.topic.is_some() && received.topic == told.topic;
            let reached = reached || senders[told.sender].several_topics && content.received.iter().any(same_topic);
            // A forged copy that was delivered before the honest attempt arrived: only an attacker on the way can do that, who
            // could as well drop the honest one.
            let first = content.received.iter().min_by_key(|received| received.arrived);
            let outrun = first.is_some_and(|first| first.label.disguised && first.label.reaction == Reaction::Succeed);
            if !reached && outrun {
                self.outrun += 1;
            } else if !reached {
                self.lost += 1;
                let name = &senders[told.sender].name;
                self.describe(
                    format!(
                        "lost: {name} event {} of content {number}: {}",
                        told.event,
                        outcomes(told)
                    ),
                    content,
                );
            }
            if told.acknowledged && !succeeded {
                self.false_acks += 1;
                let name = &senders[told.sender].name;
                self.describe(
                    format!("acknowledged without a success: {name} event {}", told.event),
                    content,
                );
            }
            if !told.acknowledged && senders[told.sender].automatic {
                self.unacknowledged += 1;
                let ending = told.answers.last().map_or("", |answer| &answer.outcome);
                let name = &senders[told.sender].name;
                if std::env::var_os("HONEST_VERBOSE").is_some() {
                    self.describe(format!("never acknowledged: {name} event {}", told.event), content);
                }
                *self.refusals.entry(format!("{kind:?} {ending}")).or_default() += 1;
            }
        }
        let name = &senders[first.sender].name;
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        for received in &content.received {
            // An app deduplicates on the two together.
            let name_of_it = hasher.hash_one((&received.source, &received.delivery));
            let other = self.names.insert(name_of_it, number);
            if received.source != *name || other.is_some_and(|other| other != number) {
                self.blame_unmarked(
                    number,
                    content,
                    "two contents share a Hookward-Source and a Hookward-Delivery",
                );
            }
            let marked = received.repeat.is_some() || received.duplicate || received.redelivery;
            self.repeats += u64::from(marked);
            if received.label.captured {
                *(if marked {
                    &mut self.captured_marked
                } else {
                    &mut self.captured_first
                }) += 1;
            }
        }
    }

    fn blame_unmarked(&mut self, number: u64, content: &Content, reason: &str) {
        self.unmarked += 1;
        self.describe(format!("unmarked: content {number}: {reason}"), content);
    }

    fn describe(&mut self, what: String, content: &Content) {
        if self.described.len() < MAX_DESCRIBED {
            let mut text = what;
            for received in &content.received {
                write!(text, "\n    {received:?}").expect("a string");
            }
            for told in &content.told {
                write!(text, "\n    event {}: {}", told.event, outcomes(told)).expect("a string");
            }
            self.described.push(text);
        }
    }
}

fn outcomes(told: &Told) -> String {
    let outcomes: Vec<&str> = told.answers.iter().map(|answer| answer.outcome.as_str()).collect();
    outcomes.join(", ")
}

/// The reason why the requests of one content break the rules, if they do.
fn unmarked(kind: IdentityKind, received: &[Received]) -> Option<String> {
    if kind == IdentityKind::None {
        return None;
    }
    if kind == IdentityKind::Doorbell {
        let names: HashSet<&str> = received.iter().map(|received| received.delivery.as_str()).collect();
        if names.len() != received.len() {
            return Some("two doorbells share a Hookward-Delivery".to_owned());
        }
        let unmarked = received
            .iter()
            .any(|received| received.repeat.as_deref() != Some("unknown"));
        return unmarked.then(|| "a doorbell without `Hookward-Repeat: unknown`".to_owned());
    }
    let mut chains = BTreeMap::<&str, Vec<&Received>>::new();
    for received in received {
        chains.entry(&received.delivery).or_default().push(received);
    }
    let mut first = None;
    for (delivery, mut chain) in chains {
        chain.sort_by_key(|received| received.arrived);
        let repeats = chain.iter().filter(|received| received.repeat.is_some()).count();
        if repeats != 0 && repeats != chain.len() {
            return Some(format!("{delivery} came as a repeat and as none"));
        }
        if repeats == 0 && first.replace(delivery).is_some() {
            return Some("two unmarked deliveries of one content".to_owned());
        }
        for pair in chain.windows(2) {
            if pair[0].label.reaction == Reaction::Succeed {
                // The record remembers the last repeats only: an older one comes again, marked.
                let between = |other: &&Received| (pair[0].arrived..pair[1].arrived).contains(&other.arrived);
                let others: HashSet<&str> = received.iter().filter(between).map(|other| &*other.delivery).collect();
                let remembered = if kind == IdentityKind::BodyAndTime {
                    MAX_TIMES
                } else {
                    MAX_VALUES
                };
                if repeats != 0 && others.len() > remembered {
                    continue;
                }
                return Some(format!("{delivery} came again after a success"));
            }
            if pair[1].attempt <= pair[0].attempt {
                return Some(format!("{delivery}: Hookward-Attempt did not grow"));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Label;

    fn received(arrived: u64, delivery: &str, attempt: u64, repeat: Option<&str>, reaction: Reaction) -> Received {
        Received {
            label: Label {
                content: 1,
                event: 1,
                captured: arrived > 0,
                disguised: false,
                reaction,
            },
            arrived,
            answered: Some(arrived),
            source: "github".to_owned(),
            delivery: delivery.to_owned(),
            topic: None,
            attempt,
            repeat: repeat.map(str::to_owned),
            duplicate: false,
            redelivery: false,
        }
    }

    #[test]
    fn an_unmarked_repeat_is_found() {
        use Reaction::{Fail, Succeed};
        let found = |kind, all: &[Received]| unmarked(kind, all).is_some();
        let once = received(0, "a", 1, None, Succeed);
        for (repeated, wrong) in [
            (received(1, "a", 2, None, Succeed), true),
            (received(1, "b", 1, None, Succeed), true),
            (received(1, "a", 2, Some("true"), Succeed), true),
            (received(1, "b", 1, Some("true"), Succeed), false),
        ] {
            let all = [once.clone(), repeated];
            assert_eq!(found(IdentityKind::UniqueBody, &all), wrong, "{all:?}");
            assert!(!found(IdentityKind::None, &all));
            assert!(found(IdentityKind::Doorbell, &all));
        }
        let failed = received(0, "a", 1, None, Fail);
        for (attempt, wrong) in [(1, true), (2, false)] {
            let all = [failed.clone(), received(1, "a", attempt, None, Succeed)];
            assert_eq!(found(IdentityKind::SignedId, &all), wrong);
        }
        let again = |others: u64| {
            let repeat = |at, name: &str| received(at, name, 1, Some("true"), Succeed);
            let others = (2..2 + others).map(|at| repeat(at, &format!("other-{at}")));
            let mut all: Vec<Received> = [once.clone(), repeat(1, "r")].into_iter().chain(others).collect();
            all.push(repeat(99, "r"));
            all
        };
        assert!(found(IdentityKind::UniqueBody, &again(3)), "the record remembers four");
        assert!(!found(IdentityKind::UniqueBody, &again(4)));
        assert!(
            found(IdentityKind::BodyAndTime, &again(15)),
            "the record remembers sixteen"
        );
    }

    #[test]
    fn a_doorbell_has_a_name_of_its_own_and_a_mark() {
        let ring = |at, name| received(at, name, 1, Some("unknown"), Reaction::Succeed);
        assert_eq!(unmarked(IdentityKind::Doorbell, &[ring(0, "a"), ring(1, "b")]), None);
        assert!(unmarked(IdentityKind::Doorbell, &[ring(0, "a"), ring(1, "a")]).is_some());
    }

    #[test]
    fn a_lost_event_and_a_false_acknowledgement_are_found() {
        let senders = crate::catalog::senders(hookward::event::Timestamp::from_secs(crate::stage::NOW)).0;
        let sender = senders
            .iter()
            .position(|sender| sender.name == "stripe")
            .expect("a preset");
        let told = |event| Told {
            event,
            content: event,
            topic: None,
            alias: false,
            sender,
            acknowledged: true,
            disturbed: false,
            answers: Vec::new(),
        };
        let mut verdict = Verdict::default();
        let arrived = received(0, "a", 1, None, Reaction::Fail);
        let arrived = Received {
            source: "stripe".to_owned(),
            ..arrived
        };
        verdict.hear(0, vec![told(1), told(2)], HashMap::from([(1, vec![arrived])]));
        verdict.judge(&senders, 0, true);
        assert_eq!((verdict.events, verdict.lost, verdict.false_acks), (2, 1, 2));
    }
}
