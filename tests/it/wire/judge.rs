//! Tells what became of a case from what it should: answers, what arrived upstream to the byte, and the figures.

use super::super::support::{Answer, Request, Sidecar, Upstream, signed::push, upstream::Arrived, wire::Connection};
use super::case::{After, Case, Forwarded, Said};
use std::collections::{BTreeMap, BTreeSet};

/// What the cases of a lane have in common.
pub struct Judge<'a> {
    pub upstream: &'a Upstream,
    /// How often each outcome must stand in the figures at the end.
    due: BTreeMap<&'static str, usize>,
    /// The bodies of refusals less their request's id: who is refused learns no more than the outcome.
    told: BTreeMap<Said, BTreeSet<String>>,
}

/// What is wrong with what the app got.
pub fn misread(seen: &Arrived, expected: &Forwarded) -> Option<String> {
    let length = expected.body.len().to_string();
    let lines = |name: &str| seen.headers.get_all(name).iter().count();
    let one = |name: &str, value: &str| lines(name) == 1 && seen.headers[name].as_bytes() == value.as_bytes();
    if seen.method != expected.method || seen.target != expected.target {
        return Some(format!("{} {}", seen.method, seen.target.escape_ascii()));
    }
    if seen.body != expected.body {
        return Some(format!("a body of {} bytes", seen.body.len()));
    }
    if !one("content-length", &length) || lines("transfer-encoding") != 0 || lines("host") != 1 {
        return Some(format!("framed or addressed otherwise: {:?}", seen.headers));
    }
    if !one("hookward-verified", "signature") {
        return Some(format!("not vouched for once: {:?}", seen.headers));
    }
    let left = expected.absent.iter().find(|name| lines(name) != 0)?;
    Some(format!("{left} arrived"))
}

/// What is wrong with an answer.
fn missaid(answer: &Answer, said: Said) -> Option<String> {
    let (status, outcome) = said;
    if (answer.status, answer.outcome()) != said {
        return Some(format!(
            "answered {} {}, not {status} {outcome}",
            answer.status,
            answer.outcome()
        ));
    }
    if status == 405 && answer.header("allow").is_none_or(|methods| !methods.contains("POST")) {
        return Some(format!("which methods there are: {:?}", answer.header("allow")));
    }
    if status == 429 && answer.header("retry-after").is_none() {
        return Some("when to come again is not said".to_owned());
    }
    if status < 400 {
        return None;
    }
    let document = answer.json();
    let is_problem = answer.header("content-type") == Some("application/problem+json")
        && document["type"] == format!("urn:hookward:outcome:{outcome}")
        && document["status"] == status
        && document["request_id"].as_str().is_some_and(|id| !id.is_empty());
    (!is_problem).then(|| format!("no problem document: {document}"))
}

impl<'a> Judge<'a> {
    pub fn new(upstream: &'a Upstream) -> Self {
        Self {
            upstream,
            due: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// One more request is to be found in the figures.
    pub fn expects(&mut self, outcome: &'static str) {
        *self.due.entry(outcome).or_default() += 1;
    }

    /// Sends one case and a second request after it.
    pub fn over_http1(&mut self, case: &Case, n: usize, mut connection: Connection) -> Result<(), String> {
        let before = self.upstream.count();
        let probe = push(1_000_000 + n).header("Connection", "close");
        let mut raw = case.raw.clone();
        if !case.ends {
            raw.extend([probe.head(), probe.body.clone()].concat());
        }
        connection.write(&raw);
        if case.ends {
            connection.finish();
        }
        let mut answers = Vec::new();
        while let Some(answer) = connection.answer() {
            if answer.status != 100 {
                answers.push(answer);
            }
        }
        let mut expected = case.answers.clone();
        if case.ends {
            // Nobody may be there to read it.
            self.expects("malformed");
            if answers.len() == 1 {
                expected.push((400, "malformed"));
            }
        }
        let served = match case.after {
            After::Serves => true,
            After::Closes => false,
            After::Either => answers.len() == expected.len() + 1,
        };
        if served {
            expected.push((200, "delivered"));
        }
        if !case.ends {
            for (_, outcome) in &expected {
                self.expects(outcome);
            }
        }
        if answers.len() != expected.len() {
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            return Err(format!("answered {statuses:?}, not {expected:?}"));
        }
        for (answer, said) in answers.iter().zip(&expected) {
            if let Some(wrong) = missaid(answer, *said) {
                return Err(wrong);
            }
            if answer.status >= 400 {
                let mut told = answer.json();
                told["request_id"].take();
                self.told.entry(*said).or_default().insert(told.to_string());
            }
        }
        let closes = answers
            .last()
            .is_none_or(|last| last.header("connection") == Some("close"));
        // In HTTP/1.0 that goes without saying.
        if !closes && !case.raw.windows(8).any(|window| window == b"HTTP/1.0") {
            return Err("closed without a word".to_owned());
        }
        self.arrived(before, case.forwarded.as_ref(), served.then_some(&probe))
    }

    /// What came upstream after the first `before`: this, then the second request where it was served, and no byte else.
    pub fn arrived(&self, before: usize, expected: Option<&Forwarded>, probe: Option<&Request>) -> Result<(), String> {
        let mut seen = self.upstream.since(before)?;
        // Streams stand beside each other.
        if let Some(probe) = probe {
            seen.sort_by_key(|request| request.body == probe.body);
        }
        let mut seen = seen.into_iter();
        if let Some(expected) = expected {
            let Some(first) = seen.next() else {
                return Err("not forwarded".to_owned());
            };
            if let Some(wrong) = misread(&first, expected) {
                return Err(wrong);
            }
        }
        let rest: Vec<Arrived> = seen.collect();
        match (probe, rest.as_slice()) {
            (None, []) => Ok(()),
            (Some(probe), [second]) if second.body == probe.body && second.target == b"/github" => Ok(()),
            (_, other) => Err(format!(
                "upstream also came {:?}",
                other
                    .iter()
                    .map(|request| request.raw.escape_ascii().to_string())
                    .collect::<Vec<_>>()
            )),
        }
    }

    /// What is wrong with the lane as a whole, once all of its connections are closed.
    pub fn sum(&self, sidecar: &Sidecar) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Err(why) = self.upstream.since(0) {
            wrong.push(why);
        }
        for (said, told) in &self.told {
            if told.len() != 1 {
                wrong.push(format!("{said:?} is told in several ways: {told:?}"));
            }
        }
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        let text = Request::get("/metrics").send(sidecar.addresses.health).body;
        for line in String::from_utf8_lossy(&text).lines() {
            let Some(labels) = line.strip_prefix("hookward_requests_total{") else {
                continue;
            };
            let (labels, count) = labels.rsplit_once(' ').expect("a sample");
            let outcome = labels.rsplit('"').nth(1).expect("a label");
            *counted.entry(outcome.to_owned()).or_default() += count.parse::<usize>().expect("a count");
        }
        // However hostile a request: one line of JSON, and no value of it long.
        for line in sidecar.logged().lines() {
            let document: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            let values = document.as_object().map(serde_json::Map::values);
            let is_short = |value: &serde_json::Value| value.as_str().is_none_or(|text| text.len() <= 260);
            if !values.is_some_and(|mut values| values.all(is_short)) || line.contains(char::is_control) {
                wrong.push(format!("a line of the log: {line}"));
            }
        }
        counted.retain(|_, count| *count > 0);
        let due: BTreeMap<String, usize> = self
            .due
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        if counted != due {
            wrong.push(format!("the figures say {counted:?}, not {due:?}"));
        }
        wrong
    }
}

/// The names and labels of all that is measured.
pub fn series(sidecar: &Sidecar) -> BTreeSet<String> {
    let text = Request::get("/metrics").send(sidecar.addresses.health).body;
    let text = String::from_utf8(text).expect("text");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series.to_owned())
        .collect()
}
