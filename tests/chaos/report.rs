//! Prints a verdict, and says whether the run kept what hookward promises.

use crate::{
    account::{Account, Outcome},
    faults::Deed,
    stage::APPS,
    verdict::Verdict,
};
use std::{collections::BTreeMap, time::Duration};

/// Of the worst, so many are shown.
const SHOWN: usize = 5;

/// True if nothing was violated.
pub fn print(verdict: &Verdict, account: &Account, wounds: &[String], took: Duration) -> bool {
    let attempts: u64 = account.outcomes.values().sum();
    let twice: usize = verdict.duplicates.iter().sum();
    let (crashes, hurt) = verdict.crashes();
    let injected = verdict.faults.iter().filter(|(cause, _)| cause.deed != Deed::Stall);
    let faults: usize = injected.map(|(_, (count, _))| count).sum();
    println!("\nin {:.1} s", took.as_secs_f64());
    row("events sent", verdict.sent);
    row("attempts", attempts);
    row("events acknowledged", verdict.acked);
    row("events delivered to every app", verdict.delivered);
    row("LOST (acknowledged, not delivered)", verdict.lost.len());
    row("never acknowledged", verdict.never_acked);
    for (app, count) in APPS.iter().zip(verdict.duplicates) {
        row(&format!("duplicates at {app}"), count);
    }
    row("duplicates in all", twice);
    row("  of these unexplained", verdict.unexplained.len());
    row("faults", faults);
    row("  of these crash-type", crashes);
    row("  attempts in flight at these", hurt);
    row("let through locally without a fault", verdict.local_without_fault);
    println!(
        "\n{:32} {:>8} {:>10} {:>10}",
        "fault", "times", "in flight", "duplicates"
    );
    for (cause, (count, hurt)) in &verdict.faults {
        let explains = verdict.explained.get(cause).unwrap_or(&0);
        let name = format!(
            "{} {:?}{}",
            cause.target,
            cause.deed,
            if cause.crash { " *" } else { "" }
        );
        println!("{name:32} {count:>8} {hurt:>10} {explains:>10}");
    }
    println!("* crash-type\n");
    for (name, count) in by_name(account) {
        println!("{name:32} {count:>8}");
    }
    let unexpected = account.strange.iter().chain(wounds);
    let mut broken = Vec::new();
    broken.extend(verdict.lost.iter().map(|text| format!("LOST {text}")));
    broken.extend(verdict.unexplained.iter().map(|text| format!("UNEXPLAINED {text}")));
    broken.extend(unexpected.map(|text| format!("STRANGE {text}")));
    if verdict.never_acked > 0 {
        broken.push(format!("{} events were never acknowledged", verdict.never_acked));
    }
    if twice > crashes {
        broken.push(format!(
            "{twice} duplicates are more than {crashes} faults of the crash kind"
        ));
    }
    for text in broken.iter().take(SHOWN) {
        println!("\n{text}");
    }
    println!("\n{}", if broken.is_empty() { "kept" } else { "VIOLATED" });
    broken.is_empty()
}

fn row(name: &str, count: impl std::fmt::Display) {
    println!("{name:36} {count:>8}");
}

fn by_name(account: &Account) -> BTreeMap<String, u64> {
    let mut names = BTreeMap::new();
    for (outcome, count) in &account.outcomes {
        let name = match outcome {
            Outcome::Answer(status, name) => format!("{status} {name}"),
            Outcome::Refused => "- no sidecar took it".to_owned(),
            Outcome::Broken => "- connection broke".to_owned(),
            Outcome::NoAnswer => "- no answer".to_owned(),
            Outcome::HungUp => "- sender hung up".to_owned(),
        };
        *names.entry(name).or_default() += count;
    }
    names
}
