//! Sends every event of the scenario and compares what became of it with what had to.

use super::{
    apps::{Apps, Seen},
    feed::{Feed, Record, Said},
    scenario::{Expected, Step},
    sender::Answer,
    show::Show,
    stage::Stage,
};
use crate::telemetry::{TraceParent, entropy};
use std::time::Duration;

/// Within this time the log must say what became of a request that is answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the trial; true if everything was as expected.
pub(super) async fn run(
    steps: &[Step],
    stage: &Stage,
    apps: &Apps,
    feed: &mut Feed,
    show: &mut Show,
) -> anyhow::Result<bool> {
    let (mut good, mut forwarded) = (0, 0);
    for step in steps {
        if let Some(heading) = step.heading {
            show.heading(heading)?;
        }
        show.arrives(&step.call, step.note)?;
        if let Some(app) = step.failing {
            apps.fail_next(app);
        }
        let trace = entropy(TraceParent::mint);
        let answer = step.call.send(stage.sidecar.addresses().webhooks, &trace).await;
        let mut strangers = Vec::new();
        let record = record_of(trace.trace_id(), stage, feed, &mut strangers).await;
        let seen = apps.take(trace.trace_id());
        forwarded += step.expected.apps.len();
        let complaint = match (&answer, &record) {
            (Ok(answer), Some(record)) => judge(step, answer, record, &seen),
            (Err(error), _) => Some(format!("no answer: {error:#}")),
            (Ok(_), None) => Some("the log says nothing of it".to_owned()),
        };
        show.answered(&record.unwrap_or_default(), &seen, complaint.as_deref())?;
        good += usize::from(complaint.is_none());
        for said in strangers {
            match said {
                Said::Request(record) => show.stranger(&record, &apps.take(&record.trace))?,
                Said::Message { level, text } => show.message(&level, &text)?,
            }
        }
    }
    // What came to an app without its trace, or after the sender had its answer, shows here.
    let count = apps.count();
    let all = good == steps.len() && count == forwarded;
    let requests = if all {
        format!("the apps got {count} requests, each as it was signed, byte for byte")
    } else {
        format!("the apps got {count} requests, {forwarded} were meant for them")
    };
    let verdict = format!("{good} of {} as expected; {requests}", steps.len());
    show.verdict(&verdict, all)?;
    Ok(all)
}

/// What the log says of one request; everything else that it says is put aside.
async fn record_of(trace: &str, stage: &Stage, feed: &mut Feed, aside: &mut Vec<Said>) -> Option<Record> {
    stage.log.flush();
    let found = async {
        loop {
            match feed.next().await? {
                Said::Request(record) if record.trace == trace => return Some(record),
                Said::Message { level, .. } if level == "info" => {}
                other => aside.push(other),
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.ok().flatten()
}

/// What is not as expected.
fn judge(step: &Step, answer: &Answer, record: &Record, seen: &[Seen]) -> Option<String> {
    let Expected {
        outcome,
        status,
        apps,
        verified,
        attempt,
        body,
    } = step.expected;
    let label = outcome.label();
    if (answer.status.as_u16(), &*answer.outcome) != (status, label) {
        return Some(format!(
            "{status} {label}, but the sender got {} {:?}",
            answer.status.as_u16(),
            answer.outcome
        ));
    }
    if (record.status, &*record.outcome) != (u64::from(status), label) {
        return Some(format!(
            "{status} {label}, but the log says {} {}",
            record.status, record.outcome
        ));
    }
    let mut names: Vec<&str> = seen.iter().map(|seen| seen.app).collect();
    names.sort_unstable();
    if names != apps {
        return Some(format!("asked are [{}]", apps.join(", ")));
    }
    if body.is_some_and(|body| body.as_bytes() != answer.body) {
        return Some("the answer has another body".to_owned());
    }
    seen.iter().find_map(|seen| {
        let wrong = if seen.body != step.call.body {
            "another body"
        } else if seen.source != step.call.source {
            "another Hookward-Source"
        } else if seen.verified != verified {
            "another Hookward-Verified"
        } else if seen.attempt != attempt {
            "another Hookward-Attempt"
        } else {
            return None;
        };
        Some(format!("{} got {wrong}", seen.app))
    })
}

#[cfg(test)]
mod tests;
