//! What goes wrong when: a schedule that follows from the seed alone.

use crate::{
    dice::Dice,
    redis::Form,
    stage::{APPS, SIDECARS},
};
use std::{collections::HashMap, fmt, time::Duration};

/// Whom a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Sidecar(usize),
    App(usize),
    /// From a sidecar to an app.
    AppLink(usize, usize),
    /// From a sidecar to Redis; with Sentinel to one of its nodes, from everybody.
    RedisLink(usize),
    /// The server, or the master.
    Redis,
    /// A replica: the first or the second of those that are none just now.
    Replica(usize),
    Sentinel(usize),
    /// The machine that all this runs on, with whatever else runs there: nobody injects that.
    Machine,
}

/// What befalls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deed {
    /// SIGKILL, and a new start.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Freeze,
    /// Every connection is reset.
    Cut,
    /// An answer is swallowed with its connection.
    Swallow,
    /// Nothing passes.
    Hold,
    /// Everything passes late.
    Delay,
    /// 500 instead of work.
    Errors,
    /// Work, later.
    Slow,
    /// Neither work nor answer.
    Hole,
    /// Work and no answer, once.
    Lose,
    /// FLUSHALL.
    Flush,
    /// No memory for another record.
    Full,
    /// SCRIPT FLUSH.
    ForgetScripts,
    /// Another master, on request.
    FailOver,
    /// Nobody ran for a while: the machine had other work.
    Stall,
}

/// One entry of the schedule.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Since the load began.
    pub at: Duration,
    pub lasts: Duration,
    pub target: Target,
    pub deed: Deed,
}

impl Deed {
    /// Something is lost: a process, a connection, an answer, time, or data. The others only fail, honestly or late.
    pub const fn is_crash(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::Freeze
                | Self::Cut
                | Self::Swallow
                | Self::Hold
                | Self::Lose
                | Self::Flush
                | Self::FailOver
        )
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sidecar(_) => "sidecar",
            Self::App(_) => "app",
            Self::AppLink(..) => "link to app",
            Self::RedisLink(_) => "link to redis",
            Self::Redis => "redis",
            Self::Replica(_) => "replica",
            Self::Sentinel(_) => "sentinel",
            Self::Machine => "machine",
        })
    }
}

/// The faults of a run of `length`, none of them before `quiet` or so late that it cannot end in time. Small ones come
/// about every `gap`; of the great ones, which befall Redis and so every sidecar at once, one every 12 s or so.
pub fn schedule(seed: u64, form: Form, length: Duration, gap: Duration) -> Vec<Fault> {
    const QUIET: Duration = Duration::from_secs(2);
    let mut dice = Dice::new(seed, 1 << 42);
    let (mut faults, mut busy) = (Vec::new(), HashMap::<Target, Duration>::new());
    let (mut at, mut great) = (QUIET, QUIET + dice.millis(2_000, 6_000));
    let end = length.saturating_sub(QUIET * 2);
    while at < end {
        let fault = if at >= great {
            let fault = great_fault(&mut dice, form, at);
            // A failover takes seconds, and a node that is back must catch up first.
            let rest = if form == Form::Sentinel {
                dice.millis(14_000, 20_000)
            } else {
                dice.millis(9_000, 15_000)
            };
            great = at + fault.lasts + rest;
            fault
        } else {
            small_fault(&mut dice, form, at)
        };
        at += dice.millis(0, u64::try_from(2 * gap.as_millis()).expect("a short time"));
        // One thing after another for each.
        let free = busy.entry(fault.target).or_default();
        if *free <= fault.at {
            *free = fault.at + fault.lasts + Duration::from_millis(300);
            faults.push(fault);
        }
    }
    faults
}

fn great_fault(dice: &mut Dice, form: Form, at: Duration) -> Fault {
    if dice.chance(1_000) {
        return Fault {
            at,
            // Longer than any lease.
            lasts: dice.millis(3_000, 5_000),
            target: Target::Sidecar(dice.index(SIDECARS)),
            deed: Deed::Freeze,
        };
    }
    let (deed, lasts) = match (form, dice.below(12)) {
        (_, 0 | 1) => (Deed::Flush, Duration::ZERO),
        (_, 2 | 3) => (Deed::Full, dice.millis(100, 500)),
        (_, 4..7) => (Deed::Freeze, dice.millis(20, 400)),
        (Form::Standalone, _) => (Deed::Kill, dice.millis(20, 400)),
        (Form::Sentinel, 7 | 8) => (Deed::Kill, dice.millis(2_500, 4_000)),
        (Form::Sentinel, 9) => (Deed::Freeze, dice.millis(2_500, 4_000)),
        (Form::Sentinel, _) => (Deed::FailOver, Duration::ZERO),
    };
    Fault {
        at,
        lasts,
        target: Target::Redis,
        deed,
    }
}

fn small_fault(dice: &mut Dice, form: Form, at: Duration) -> Fault {
    let (sidecar, app) = (dice.index(SIDECARS), dice.index(APPS.len()));
    let (to_sidecar, to_app) = (Target::Sidecar(sidecar), Target::App(app));
    let (to_link, to_redis) = (Target::AppLink(sidecar, app), Target::RedisLink(dice.index(SIDECARS)));
    let now = Duration::ZERO;
    let (target, deed, lasts) = match dice.below(100) {
        0..16 => (to_sidecar, Deed::Kill, dice.millis(0, 200)),
        16..22 => (to_sidecar, Deed::Freeze, dice.millis(20, 500)),
        22..33 => (to_app, Deed::Kill, dice.millis(20, 300)),
        33..39 => (to_app, Deed::Freeze, dice.millis(20, 250)),
        39..43 => (to_app, Deed::Errors, dice.millis(300, 1_500)),
        43..46 => (to_app, Deed::Slow, dice.millis(200, 800)),
        46..49 => (to_app, Deed::Hole, dice.millis(200, 800)),
        49..57 => (to_app, Deed::Lose, now),
        57..67 => (to_link, Deed::Cut, now),
        67..75 => (to_link, Deed::Swallow, Duration::from_millis(100)),
        75..78 => (to_link, Deed::Hold, dice.millis(20, 300)),
        78..81 => (to_link, Deed::Delay, dice.millis(300, 1_500)),
        81..88 => (to_redis, Deed::Cut, now),
        88..93 => (to_redis, Deed::Swallow, Duration::from_millis(100)),
        93 | 94 => (to_redis, Deed::Hold, dice.millis(20, 200)),
        95 | 96 => (to_redis, Deed::Delay, dice.millis(300, 1_000)),
        97 if form == Form::Sentinel => (Target::Sentinel(dice.index(3)), Deed::Kill, dice.millis(500, 3_000)),
        98 if form == Form::Sentinel => (Target::Replica(dice.index(2)), Deed::Kill, dice.millis(500, 2_000)),
        _ => (Target::Redis, Deed::ForgetScripts, now),
    };
    Fault {
        at,
        lasts,
        target,
        deed,
    }
}
