//! A trial that cannot fail would prove nothing: everything that is compared is made wrong once.

use super::*;
use crate::{cli::dev::sender::Call, source::Outcome};
use bytes::Bytes;
use http::StatusCode;

fn fanned_out() -> (Step, Answer, Record, Vec<Seen>) {
    let body = Bytes::from_static(b"{ }");
    let step = Step {
        heading: None,
        note: "",
        call: Call {
            source: "orders".to_owned(),
            event: "order.confirmed",
            id: "msg_1",
            path: "/".to_owned(),
            headers: Vec::new(),
            body: body.clone(),
        },
        failing: None,
        expected: Expected {
            outcome: Outcome::Delivered,
            status: 200,
            apps: &["billing", "kitchen"],
            verified: "signature",
            attempt: "1",
            body: Some("fine"),
        },
    };
    let answer = Answer {
        status: StatusCode::OK,
        outcome: "delivered".to_owned(),
        body: Bytes::from_static(b"fine"),
    };
    let record = Record {
        outcome: "delivered".to_owned(),
        status: 200,
        ..Record::default()
    };
    let seen = ["kitchen", "billing"].map(|app| Seen {
        app,
        trace: String::new(),
        source: "orders".to_owned(),
        verified: "signature".to_owned(),
        attempt: "1".to_owned(),
        body: body.clone(),
    });
    (step, answer, record, seen.into())
}

#[test]
fn what_is_as_expected_is_not_complained_about() {
    let (step, answer, record, seen) = fanned_out();
    assert_eq!(judge(&step, &answer, &record, &seen), None);
}

#[test]
fn whatever_is_compared_is_complained_about_when_it_is_wrong() {
    type Spoil = fn(&mut Answer, &mut Record, &mut Vec<Seen>);
    let spoils: [(&str, Spoil); 11] = [
        ("status", |answer, _, _| answer.status = StatusCode::CREATED),
        ("outcome", |answer, _, _| answer.outcome.clear()),
        ("answer", |answer, _, _| answer.body = Bytes::from_static(b"Fine")),
        ("log's status", |_, record, _| record.status = 201),
        ("log's outcome", |_, record, _| record.outcome = "duplicate".to_owned()),
        ("an app too few", |_, _, seen| seen.truncate(1)),
        ("one twice", |_, _, seen| seen[0].app = "billing"),
        ("body", |_, _, seen| seen[1].body = Bytes::from_static(b"{}")),
        ("source", |_, _, seen| seen[1].source.clear()),
        ("verified", |_, _, seen| {
            seen[1].verified = "signature, token".to_owned();
        }),
        ("attempt", |_, _, seen| seen[0].attempt = "2".to_owned()),
    ];
    for (what, spoil) in spoils {
        let (step, mut answer, mut record, mut seen) = fanned_out();
        spoil(&mut answer, &mut record, &mut seen);
        assert!(judge(&step, &answer, &record, &seen).is_some(), "{what} went unnoticed");
    }
}
