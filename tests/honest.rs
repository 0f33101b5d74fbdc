//! Honest traffic of every preset, and an attacker who repeats what he captured: nothing is lost, nothing comes unmarked.
//!
//! `tests/honest/run` is the large run. It sets `HONEST_SEED` and `HONEST_EVENTS`; `HONEST_VERBOSE` describes also the events
//! that reached the app and were never acknowledged.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    reason = "a test starts threads and reads its files"
)]

#[path = "honest/app.rs"]
mod app;
#[path = "honest/catalog.rs"]
mod catalog;
#[path = "chaos/dice.rs"]
#[allow(dead_code, reason = "the chaos run needs more of it")]
mod dice;
#[path = "honest/play.rs"]
mod play;
#[path = "honest/private.rs"]
mod private;
#[path = "support/redis.rs"]
mod redis;
#[path = "honest/stage.rs"]
mod stage;
#[path = "honest/story.rs"]
mod story;
#[path = "honest/verdict.rs"]
mod verdict;

use catalog::{NOT_SIGNED, Sender};
use dice::Dice;
use futures_util::StreamExt;
use hookward::event::{Clock, Timestamp};
use play::{Captured, Heard};
use stage::Stage;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};
use story::{Group, Numbers};
use verdict::Verdict;

/// Groups that are under way at one time.
const AT_ONCE: usize = 96;
/// Groups of each sender in a round, of a small and of a large run. The clock stands still in a round and moves on a minute after it, so that no budget
/// of repeats is spent by honest traffic.
const GROUPS: [usize; 2] = [5, 40];
/// Events of a large run.
const MANY: u64 = 50_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// With the ledger of the process.
#[test]
fn one_sidecar() {
    every_honest_event_arrives_and_every_repeat_is_marked(false, 2000);
}

/// Attempts of one event reach either of two sidecars, which share a Redis.
#[test]
fn two_replicas() {
    every_honest_event_arrives_and_every_repeat_is_marked(true, 1000);
}

fn every_honest_event_arrives_and_every_repeat_is_marked(redis: bool, few: u64) {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    let seed = number("HONEST_SEED").unwrap_or(now.subsec_nanos().into());
    let events = number("HONEST_EVENTS").unwrap_or(few);
    let repeat = format!(
        "tests/honest/run --seed {seed} --events {events}{}",
        if redis { " --redis" } else { "" }
    );
    println!("to repeat this run: {repeat}");
    let (senders, without) = catalog::senders(Timestamp::from_secs(stage::NOW));
    let expected: Vec<&str> = NOT_SIGNED.iter().map(|(name, _)| *name).collect();
    assert_eq!(without, expected);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let begun = Instant::now();
    let (verdict, attacks) = tokio::task::LocalSet::new().block_on(&runtime, run(&senders, seed, events, redis));
    println!(
        "{} events of {} presets in {:.1} s: {} requests reached the app, {} of them marked",
        verdict.events,
        senders.len(),
        begun.elapsed().as_secs_f64(),
        verdict.requests,
        verdict.repeats,
    );
    println!(
        "captured requests at the app: {} marked, {} in place of an honest attempt; their answers: {attacks:?}",
        verdict.captured_marked, verdict.captured_first
    );
    println!("outrun by a forged copy {}", verdict.outrun);
    println!(
        "lost {}, unmarked {}, acknowledged without a success {}, never acknowledged {} {:?}, disturbed {}",
        verdict.lost, verdict.unmarked, verdict.false_acks, verdict.unacknowledged, verdict.refusals, verdict.disturbed
    );
    if std::env::var_os("HONEST_VERBOSE").is_some() {
        println!("{}", verdict.described.join("\n"));
    }
    assert!(
        verdict.lost == 0 && verdict.unmarked == 0 && verdict.false_acks == 0,
        "{}\nto repeat: {repeat}",
        verdict.described.join("\n")
    );
    assert!(verdict.events >= events, "{} events", verdict.events);
    assert!(
        verdict.disturbed * 1000 <= verdict.events,
        "the machine is too slow: {} contents",
        verdict.disturbed
    );
    assert!(
        verdict.captured_marked > 0 && verdict.captured_first > 0 && verdict.repeats > 0,
        "vacuous"
    );
}

async fn run(senders: &[Sender], seed: u64, events: u64, redis: bool) -> (Verdict, BTreeMap<String, u64>) {
    let stage = Stage::start(senders, redis);
    let (mut verdict, mut numbers) = (Verdict::default(), Numbers::default());
    let (mut planned, mut round) = (0, 0);
    let mut captured: Vec<Captured> = Vec::new();
    let mut attacks = BTreeMap::new();
    let in_a_round = GROUPS[usize::from(events >= MANY)] * senders.len();
    while planned < events || !captured.is_empty() {
        let mut groups = Vec::new();
        let mut dice = Dice::new(seed, round);
        while planned < events && groups.len() < in_a_round {
            let group = Group::plan(
                senders,
                groups.len() % senders.len(),
                &mut dice,
                &mut numbers,
                stage.clock.wall(),
            );
            planned += group.events.len() as u64;
            groups.push(group);
        }
        let heard = Heard::default();
        let (stage, heard) = (&stage, &heard);
        futures_util::stream::iter(&captured)
            .for_each_concurrent(AT_ONCE, |captured| async move {
                let sender = &senders[captured.sender];
                play::repeat(stage, sender, &captured.letter, captured.label, &captured.attack, heard).await;
            })
            .await;
        futures_util::stream::iter(&groups)
            .for_each_concurrent(AT_ONCE, |group| play::play(stage, senders, group, heard))
            .await;
        captured = heard.captured.take();
        for (when, disguised, answered) in heard.attacks.take() {
            let disguise = if disguised { "disguised" } else { "verbatim" };
            *attacks
                .entry(format!("{when:?} {disguise} {}", answered.outcome))
                .or_default() += 1;
        }
        verdict.hear(round, heard.told.take(), stage.app.take());
        verdict.judge(senders, round, false);
        round += 1;
        stage.clock.advance(Duration::from_mins(1));
    }
    // Deliveries go on without a sender that hung up.
    let app = stage.stop();
    verdict.hear(round, Vec::new(), app.take());
    verdict.judge(senders, round, true);
    (verdict, attacks)
}
