//! The last requests as JSON: the list, one delivery with all its attempts, and the filters that both share with `tail`.

use super::answer::Refusal;
use crate::{
    source::Outcome,
    telemetry::{Kept, Recent, Shelf},
};
use http::StatusCode;
use serde_json::{Value, json};
use std::borrow::Cow;

/// How many of each ring are listed where nobody says.
const USUAL: usize = 200;

/// More than anybody reads.
const MOST: usize = 5000;

/// Lines that are copied under one lock.
const PAGE: usize = 64;

/// Which requests somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    fields: Vec<(&'static str, String)>,
    shelf: Option<Shelf>,
    limit: Option<usize>,
}

const FIELDS: [&str; 6] = ["source", "event", "outcome", "delivery", "trace_id", "request_id"];

impl Filter {
    /// Reads `?source=stripe&outcome=unverified&refused=true&limit=10`. An unknown filter is an error, because a misspelt one
    /// would show everything; a value that no request can have is one too, because it would show nothing. `is_source`: is
    /// this a configured source?
    pub fn parse(query: &str, is_source: impl Fn(&str) -> bool) -> Result<Self, Refusal> {
        let mut filter = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            match (name, &*value) {
                ("refused", "true") => filter.shelf = Some(Shelf::Refused),
                ("refused", "false") => filter.shelf = Some(Shelf::Deliveries),
                ("refused", _) => return Err(wrong("`refused` is `true` or `false`".to_owned())),
                ("limit", number) => {
                    let number = number.parse().ok().filter(|number| *number <= MOST);
                    filter.limit = Some(number.ok_or_else(|| wrong(format!("`limit` is a number up to {MOST}")))?);
                }
                _ => match FIELDS.iter().find(|field| **field == name) {
                    Some(field) => {
                        can_be(field, &value, &is_source)?;
                        filter.fields.push((field, value.into_owned()));
                    }
                    None => {
                        return Err(wrong(format!(
                            "this filter is unknown: use {}, refused=true or limit=NUMBER",
                            FIELDS.join(", ")
                        )));
                    }
                },
            }
        }
        Ok(filter)
    }

    /// The request as an object, if it is one of the wanted.
    pub fn pick(&self, kept: &Kept) -> Option<Value> {
        if self.shelf.is_some_and(|shelf| shelf != kept.shelf) {
            return None;
        }
        let mut line: Value = serde_json::from_str(&kept.line).ok()?;
        let wanted = |(field, value): &(&'static str, String)| line[field].as_str() == Some(value);
        if !self.fields.iter().all(wanted) {
            return None;
        }
        let object = line.as_object_mut()?;
        object.insert("number".to_owned(), kept.number.into());
        object.insert("refused".to_owned(), (kept.shelf == Shelf::Refused).into());
        // What every line of a log bears, and no request.
        object.remove("level");
        object.remove("msg");
        Some(line)
    }
}

/// Can a request have this value? An empty `source` is that of requests to an unknown path.
fn can_be(field: &str, value: &str, is_source: &impl Fn(&str) -> bool) -> Result<(), Refusal> {
    let fault = match field {
        "source" if value.is_empty() || is_source(value) => None,
        "source" => Some("`source` is not the name of a configured source".to_owned()),
        "outcome" if Outcome::LABELS.contains(&value) => None,
        "outcome" => Some(format!("`outcome` is one of {}", Outcome::LABELS.join(", "))),
        "trace_id" if value.len() == 32 && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) => None,
        "trace_id" => Some("`trace_id` is 32 lower-case hexadecimal digits".to_owned()),
        _ if value.is_empty() => Some(format!("`{field}` has no value")),
        _ => None,
    };
    fault.map_or(Ok(()), |text| Err(wrong(text)))
}

fn wrong(text: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, text)
}

/// `GET /api/v1/deliveries`: newest first, at most `limit`. Each ring has a share of half, so that no flood hides what was
/// delivered; what one ring leaves of its share is the other's.
pub(super) fn list(recent: &Recent, filter: &Filter) -> Value {
    let most = filter.limit.unwrap_or(2 * USUAL);
    let mut found = found_in(recent, Shelf::Deliveries, filter, most);
    let mut refused = found_in(recent, Shelf::Refused, filter, most);
    refused.truncate((most / 2).max(most.saturating_sub(found.len())));
    found.truncate(most - refused.len());
    found.append(&mut refused);
    found.sort_by_key(|line| std::cmp::Reverse(line["number"].as_u64()));
    json!({ "deliveries": found, "last": recent.last() })
}

/// `GET /api/v1/deliveries/ID`: all attempts that are still known, newest first, of a delivery, or the one request of this
/// id.
pub(super) fn one(recent: &Recent, id: &str) -> Option<Value> {
    let id = decoded(id);
    let by = |field: &'static str| {
        let filter = Filter {
            fields: vec![(field, id.clone().into_owned())],
            ..Filter::default()
        };
        let mut found: Vec<Value> = [Shelf::Deliveries, Shelf::Refused]
            .into_iter()
            .flat_map(|shelf| found_in(recent, shelf, &filter, USUAL))
            .collect();
        found.sort_by_key(|line| std::cmp::Reverse(line["number"].as_u64()));
        found
    };
    let found = Some(by("delivery"))
        .filter(|found| !found.is_empty())
        .unwrap_or_else(|| by("request_id"));
    (!found.is_empty()).then(|| json!({ "id": id, "attempts": found }))
}

fn found_in(recent: &Recent, shelf: Shelf, filter: &Filter, most: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut before = u64::MAX;
    // Page by page, so that workers never wait long for the lock.
    loop {
        let page = recent.before(shelf, before, PAGE);
        let Some(oldest) = page.last() else { break };
        before = oldest.number;
        for kept in &page {
            found.extend(filter.pick(kept));
            if found.len() >= most {
                found.truncate(most);
                return found;
            }
        }
    }
    found
}

/// Undoes percent escapes; one that is none stays.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => char::from(*high)
                .to_digit(16)
                .zip(char::from(*low).to_digit(16))
                .and_then(|(high, low)| u8::try_from(high * 16 + low).ok()),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent() -> Recent {
        let recent = Recent::new(64 * 1024);
        for number in 0..300 {
            let line = format!(
                r#"{{"source":"stripe","delivery":"evt/{}","outcome":"delivered"}}"#,
                number % 3
            );
            recent.push(Shelf::Deliveries, line.as_bytes());
            recent.push(
                Shelf::Refused,
                br#"{"source":"","outcome":"no_source","request_id":"r"}"#,
            );
        }
        recent
    }

    #[test]
    fn each_ring_has_its_own_share_of_the_list() {
        let list = list(&recent(), &Filter::default());
        let lines = list["deliveries"].as_array().expect("a list");
        assert_eq!((lines.len(), &list["last"]), (400, &600.into()));
        assert_eq!(lines[0]["number"], 600);
        assert_eq!(lines.iter().filter(|line| line["refused"] == true).count(), 200);
    }

    #[test]
    fn a_list_holds_no_more_than_its_limit() {
        let counts = |query: &str| {
            let filter = Filter::parse(query, is_source).expect("a filter");
            let list = list(&recent(), &filter);
            let lines = list["deliveries"].as_array().expect("a list").clone();
            let refused = lines.iter().filter(|line| line["refused"] == true).count();
            (lines.len() - refused, refused)
        };
        for (query, expected) in [
            ("limit=0", (0, 0)),
            ("limit=1", (1, 0)),
            ("limit=7", (4, 3)),
            ("limit=10", (5, 5)),
            ("limit=10&refused=true", (0, 10)),
            ("limit=10&source=stripe", (10, 0)),
            ("limit=10&source=", (0, 10)),
            ("limit=5000", (300, 300)),
            ("limit=400", (200, 200)),
        ] {
            assert_eq!(counts(query), expected, "{query}");
        }
        let few = Recent::new(64 * 1024);
        for number in 0..12 {
            let shelf = if number < 3 { Shelf::Deliveries } else { Shelf::Refused };
            few.push(shelf, b"{}");
        }
        let filter = Filter::parse("limit=10", is_source).expect("a filter");
        let list = list(&few, &filter);
        let lines = list["deliveries"].as_array().expect("a list");
        // The newest of the 9 refused fill what the 3 delivered leave.
        assert_eq!((lines.len(), &lines[0]["number"]), (10, &12.into()));
    }

    fn is_source(name: &str) -> bool {
        name == "stripe"
    }

    #[test]
    fn filters_pick_and_a_wrong_one_is_told() {
        let count = |query: &str| {
            let filter = Filter::parse(query, is_source).expect("a filter");
            list(&recent(), &filter)["deliveries"].as_array().expect("a list").len()
        };
        assert_eq!(count("source=stripe&delivery=evt%2F1"), 100);
        assert_eq!(count("outcome=no_source&limit=7"), 7);
        assert_eq!(count("refused=false&limit=5000"), 300);
        for wrong in [
            "sorce=stripe",
            "source=strip",
            "limit=x",
            "limit=9999999",
            "refused=perhaps",
            "outcome=unverfied",
            "outcome=",
            "event=",
            "delivery=",
            "request_id",
            "trace_id=4bf92f35",
        ] {
            assert!(Filter::parse(wrong, is_source).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_delivery_has_its_attempts_and_a_request_is_found_by_its_id() {
        let attempts = one(&recent(), "evt%2F1").expect("known");
        assert_eq!(
            (&attempts["id"], attempts["attempts"].as_array().map(Vec::len)),
            (&"evt/1".into(), Some(100))
        );
        assert!(one(&recent(), "r").is_some());
        assert_eq!(one(&recent(), "evt/7"), None);
    }

    #[test]
    fn escapes_are_undone_once() {
        assert_eq!(decoded("a%2Fb%2525%zz%4"), "a/b%25%zz%4");
    }
}
