//! Carries the schedule out, and keeps a record of when each fault really began and ended.

use crate::{
    faults::{Deed, Fault, Target},
    processes::Process,
    redis::Form,
    stage::Stage,
    wire::{Micros, now},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

/// A fault that happened.
#[derive(Clone, Copy, Debug)]
pub struct Struck {
    pub target: Target,
    pub deed: Deed,
    pub from: Micros,
    pub to: Micros,
}

/// Returns when all are over, each undone. Ends early when `stop` is set.
pub fn inject(stage: &Arc<Stage>, faults: &[Fault], stop: &AtomicBool) -> Vec<Struck> {
    let (begun, struck) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let mut under_way = Vec::new();
    for fault in faults.iter().copied() {
        while let Some(wait) = fault.at.checked_sub(begun.elapsed()).filter(|wait| !wait.is_zero()) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            sleep(wait.min(Duration::from_millis(100)));
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (stage, struck) = (stage.clone(), struck.clone());
        under_way.push(spawn(move || {
            if let Some((from, to)) = carry_out(&stage, fault) {
                let Fault { target, deed, .. } = fault;
                struck.lock().expect("no panic").push(Struck { target, deed, from, to });
            }
        }));
    }
    for fault in under_way {
        fault.join().expect("a fault is carried out without a panic");
    }
    let mut struck = std::mem::take(&mut *struck.lock().expect("no panic"));
    struck.sort_by_key(|struck: &Struck| struck.from);
    struck
}

/// Watches, until `stop` is set, for times that nobody injected: the machine let nobody run (a thread that sleeps wakes up
/// too late), or Redis, asked directly, did not answer.
pub fn watch_the_machine(stage: &Stage, stop: &AtomicBool) -> Vec<Struck> {
    const PAUSE: Duration = Duration::from_millis(5);
    const LATE: Duration = Duration::from_millis(30);
    let (target, deed) = (Target::Machine, Deed::Stall);
    let mut stalls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (from, begun) = (now(), Instant::now());
        sleep(PAUSE);
        // The first node is the only one, or the master of most of the time.
        let _away = stage.redis.say(0, "PING");
        if begun.elapsed() > PAUSE + LATE {
            stalls.push(Struck {
                target,
                deed,
                from,
                to: now(),
            });
        }
    }
    stalls
}

/// Sabotage: Redis forgets everything again and again, and nobody notes it as a fault.
pub fn flush_all_the_time(stage: &Stage, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let _unheard = stage.redis.say(stage.redis.master(), "FLUSHALL");
        sleep(Duration::from_millis(2));
    }
}

/// Without those that are what was injected: a Redis that is killed or frozen does not answer either.
pub fn unprovoked(stalls: Vec<Struck>, injected: &[Struck]) -> Vec<Struck> {
    let meets = |stall: &Struck, fault: &Struck| fault.from <= stall.to && stall.from <= fault.to + 1_000_000;
    let of_redis = |fault: &&Struck| matches!(fault.target, Target::Redis | Target::Replica(_));
    let is_own = |stall: &Struck| !injected.iter().filter(of_redis).any(|fault| meets(stall, fault));
    stalls.into_iter().filter(is_own).collect()
}

/// When it began and ended; `None` if it did not come to pass.
fn carry_out(stage: &Stage, fault: Fault) -> Option<(Micros, Micros)> {
    let Fault {
        target, deed, lasts, ..
    } = fault;
    let from;
    match target {
        Target::Sidecar(sidecar) => {
            let mut process = stage.sidecars[sidecar].lock().expect("no panic");
            let from = now();
            return Some((from, strike(&mut process, deed, lasts)));
        }
        Target::Sentinel(sentinel) => {
            let mut process = stage.redis.sentinels[sentinel].lock().expect("no panic");
            from = now();
            strike(&mut process, deed, lasts);
        }
        Target::Replica(which) => {
            let node = (stage.redis.master() + 1 + which) % stage.redis.nodes.len();
            let mut process = stage.redis.nodes[node].lock().expect("no panic");
            from = now();
            strike(&mut process, deed, lasts);
        }
        Target::App(app) => return befall_app(stage, app, deed, lasts),
        Target::AppLink(sidecar, app) => return befall_link(&stage.app_links[sidecar][app], deed, lasts),
        Target::RedisLink(link) => return befall_link(&stage.redis.links[link], deed, lasts),
        Target::Redis => from = befall_redis(stage, deed, lasts)?,
        Target::Machine => unreachable!("no schedule does anything to the machine"),
    }
    Some((from, now()))
}

/// Gives when the harm was done, before the new start of what was killed.
fn strike(process: &mut MutexGuard<'_, Process>, deed: Deed, lasts: Duration) -> Micros {
    if deed == Deed::Kill {
        process.kill();
        let gone = now();
        sleep(lasts);
        process.start();
        return gone;
    }
    process.freeze();
    sleep(lasts);
    process.thaw();
    now()
}

fn befall_app(stage: &Stage, number: usize, deed: Deed, lasts: Duration) -> Option<(Micros, Micros)> {
    let mut app = stage.apps[number].lock().expect("no panic");
    let links = || stage.app_links.iter().map(|links| &links[number]);
    let from = now();
    match deed {
        Deed::Kill => {
            app.kill();
            let gone = now();
            // Its links refuse as its own port does.
            links().for_each(|link| link.be_absent(true));
            sleep(lasts);
            app.start();
            links().for_each(|link| link.be_absent(false));
            return Some((from, gone));
        }
        Deed::Freeze => {
            app.freeze();
            sleep(lasts);
            app.thaw();
        }
        // It says itself when, and which event it was.
        Deed::Lose => {
            app.tell("lose 1");
            return None;
        }
        Deed::Errors | Deed::Hole | Deed::Slow => {
            let (word, number) = match deed {
                Deed::Errors => ("errors", 1_000),
                Deed::Hole => ("hole", 300),
                _ => ("slow", 50),
            };
            app.tell(&format!("{word} {number}"));
            sleep(lasts);
            app.tell(&format!("{word} 0"));
        }
        other => unreachable!("no schedule does {other:?} to an app"),
    }
    Some((from, now()))
}

fn befall_link(link: &crate::proxy::Link, deed: Deed, lasts: Duration) -> Option<(Micros, Micros)> {
    let from = now();
    match deed {
        Deed::Cut => link.cut(),
        Deed::Swallow => {
            link.swallow();
            sleep(lasts);
            if link.swallow_no_more() {
                return None;
            }
        }
        Deed::Hold => {
            link.hold(true);
            sleep(lasts);
            link.hold(false);
        }
        Deed::Delay => {
            link.delay(Duration::from_millis(20));
            sleep(lasts);
            link.delay(Duration::ZERO);
        }
        other => unreachable!("no schedule does {other:?} to a link"),
    }
    Some((from, now()))
}

/// Gives when it began.
fn befall_redis(stage: &Stage, deed: Deed, lasts: Duration) -> Option<Micros> {
    let redis = &stage.redis;
    let master = redis.master();
    let mut process = redis.nodes[master].lock().expect("no panic");
    let from = now();
    match deed {
        Deed::Kill => {
            process.kill();
            // Standalone: every link leads to it. Sentinel: its own does.
            let links: Vec<_> = match redis.form {
                Form::Standalone => redis.links.iter().collect(),
                Form::Sentinel => vec![&redis.links[master]],
            };
            for link in &links {
                link.be_absent(true);
            }
            sleep(lasts);
            process.start();
            for link in &links {
                link.be_absent(false);
            }
            redis.wait_until_served(master);
        }
        Deed::Freeze => {
            process.freeze();
            sleep(lasts);
            process.thaw();
        }
        Deed::Flush => drop(redis.say(master, "FLUSHALL").ok()?),
        Deed::ForgetScripts => drop(redis.say(master, "SCRIPT FLUSH").ok()?),
        Deed::Full => {
            redis.say(master, "CONFIG SET maxmemory 1").ok()?;
            sleep(lasts);
            // Until it is heard: a run must not stay in this.
            while redis.say(master, "CONFIG SET maxmemory 0").is_err() {
                sleep(Duration::from_millis(20));
            }
        }
        Deed::FailOver => {
            redis.fail_over();
            redis.wait_until_replaced(master).then_some(())?;
        }
        other => unreachable!("no schedule does {other:?} to Redis"),
    }
    Some(from)
}
