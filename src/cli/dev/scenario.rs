//! What is sent in the trial, in which order, and what must become of it.

use super::{
    apps::{APP, BILLING, COURIER, KITCHEN},
    configuration::Senders,
    sender::{Call, Event},
};
use crate::{
    event::Timestamp,
    provider::CannotSign,
    source::Outcome::{
        self, Challenge, Conflict, Delivered, Duplicate, Filtered, NoSource, RateLimited, Replayed, Stale, Unverified,
        UpstreamFailed,
    },
};
use bytes::Bytes;
use std::fmt::Write;

/// One event of the trial.
pub(super) struct Step {
    /// What this one and the next are about, if that changes here.
    pub heading: Option<&'static str>,
    /// What is special about it.
    pub note: &'static str,
    pub call: Call,
    /// The app that fails this time.
    pub failing: Option<&'static str>,
    pub expected: Expected,
}

/// What must become of it.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    pub outcome: Outcome,
    pub status: u16,
    /// The apps that see it, in alphabetical order, each exactly once and byte for byte.
    pub apps: &'static [&'static str],
    /// `Hookward-Verified` and `Hookward-Attempt` that they see.
    pub verified: &'static str,
    pub attempt: &'static str,
    /// The answer's body, where hookward itself has to find it.
    pub body: Option<&'static str>,
}

impl Step {
    /// Ends in `outcome` with its own status, and no app sees it.
    fn new(note: &'static str, call: Call, outcome: Outcome) -> Self {
        Self {
            heading: None,
            note,
            call,
            failing: None,
            expected: Expected {
                outcome,
                status: outcome.status().as_u16(),
                apps: &[],
                verified: "signature",
                attempt: "1",
                body: None,
            },
        }
    }

    /// Delivered to these apps.
    fn delivered(note: &'static str, call: Call, apps: &'static [&'static str]) -> Self {
        let mut step = Self::new(note, call, Delivered);
        step.expected.apps = apps;
        step
    }

    /// One of `apps` fails, and the sender hears of it with this status.
    fn failed(
        note: &'static str,
        call: Call,
        apps: &'static [&'static str],
        failing: &'static str,
        status: u16,
    ) -> Self {
        let mut step = Self::new(note, call, UpstreamFailed);
        step.failing = Some(failing);
        step.expected.apps = apps;
        step.expected.status = status;
        step
    }

    fn under(mut self, heading: &'static str) -> Self {
        self.heading = Some(heading);
        self
    }

    fn expecting(mut self, change: impl FnOnce(&mut Expected)) -> Self {
        change(&mut self.expected);
        self
    }
}

/// The whole trial, signed at `now` or a little earlier.
pub(super) fn steps(senders: &Senders, now: Timestamp) -> Result<Vec<Step>, CannotSign> {
    let mut steps = stripe(senders, now)?;
    steps.extend(github(senders, now)?);
    steps.extend(slack(senders, now)?);
    steps.extend(standard(senders, now)?);
    steps.extend(token(senders, now)?);
    Ok(steps)
}

fn stripe(senders: &Senders, now: Timestamp) -> Result<Vec<Step>, CannotSign> {
    let sender = &senders.stripe;
    let before = earlier(now, 2);
    let paid = invoice("evt_1QPaid", now);
    let refunded = charge("evt_1QRefund", "charge.refunded", now);
    let customer = charge("evt_1QNew", "customer.created", now);
    let late = charge("evt_1QLate", "charge.refunded", now);
    let first = sender.sign(&paid, before)?;
    let tampered = first.clone().tampered("\"amount_due\":198400", "\"amount_due\":1");
    Ok(vec![
        Step::delivered("an invoice is paid", first.clone(), &[BILLING])
            .under("stripe signs the body with the time, and each attempt anew. Invoices and refunds go to billing."),
        Step::new("an honest retry, freshly signed", sender.sign(&paid, now)?, Duplicate),
        Step::new("a recording of the first one", first, Replayed),
        Step::new("a recording with another amount", tampered, Unverified),
        Step::new("signed with a guessed secret", sender.forge(&paid, now)?, Unverified),
        Step::new("not signed at all", sender.bare(&paid), Unverified),
        Step::new(
            "kept back for ten minutes",
            sender.sign(&late, earlier(now, 600))?,
            Stale,
        ),
        Step::new("nobody subscribed to this", sender.sign(&customer, now)?, Filtered),
        Step::failed(
            "billing is restarting",
            sender.sign(&refunded, before)?,
            &[BILLING],
            BILLING,
            503,
        ),
        Step::delivered("so Stripe tries again", sender.sign(&refunded, now)?, &[BILLING])
            .expecting(|expected| expected.attempt = "2"),
    ])
}

fn github(senders: &Senders, now: Timestamp) -> Result<Vec<Step>, CannotSign> {
    let sender = &senders.github;
    let push = sender.sign(&push("72d3162e-aaaa"), now)?;
    let renamed = sender.sign(
        &Event {
            id: "99999999-bbbb",
            ..self::push("")
        },
        now,
    )?;
    Ok(vec![
        Step::delivered("odd spacing, é and 1.0 survive", push.clone(), &[APP]).under(
            "github signs the body only: neither its time nor its delivery id is proven. All events go to the app.",
        ),
        Step::new("\"Redeliver\" pressed at GitHub", push, Duplicate),
        Step::new("a recording under another id", renamed, Conflict),
    ])
}

fn slack(senders: &Senders, now: Timestamp) -> Result<Vec<Step>, CannotSign> {
    let sender = &senders.slack;
    let hello = Event {
        kind: "url_verification",
        id: "-",
        body: text(r#"{"token":"legacy","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd","type":"url_verification"}"#),
    };
    let mention = Event {
        kind: "app_mention",
        id: "Ev0TRIAL01",
        body: text(
            r#"{"token":"legacy","team_id":"T061EG9R6","event":{"type":"app_mention","user":"U061F7AUR","text":"<@U0LAN0Z89> is lunch here?"},"type":"event_callback","event_id":"Ev0TRIAL01","event_time":1760000000}"#,
        ),
    };
    Ok(vec![
        Step::new("Slack tests the URL", sender.sign(&hello, now)?, Challenge)
            .under("slack asks for a handshake first, of which no app need know.")
            .expecting(|expected| expected.body = Some("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd")),
        Step::new("the same from somebody else", sender.forge(&hello, now)?, Unverified),
        Step::delivered("somebody asks the bot", sender.sign(&mention, now)?, &[APP]),
    ])
}

fn standard(senders: &Senders, now: Timestamp) -> Result<Vec<Step>, CannotSign> {
    let sender = &senders.standard;
    let confirmed = order("msg_1042_a", "order.confirmed");
    let ready = order("msg_1042_b", "order.ready");
    let collected = order("msg_1042_c", "order.collected");
    Ok(vec![
        Step::delivered(
            "fanned out to two apps",
            sender.sign(&confirmed, now)?,
            &[BILLING, KITCHEN],
        )
        .under("standard-webhooks carries food orders here. Each of three apps gets the events that it asked for."),
        Step::delivered("concerns the courier alone", sender.sign(&ready, now)?, &[COURIER]),
        Step::failed(
            "the courier's app fails",
            sender.sign(&collected, earlier(now, 2))?,
            &[BILLING, COURIER],
            COURIER,
            502,
        ),
        Step::delivered(
            "only the courier is asked again",
            sender.sign(&collected, now)?,
            &[COURIER],
        )
        .expecting(|expected| expected.attempt = "2"),
    ])
}

fn token(senders: &Senders, now: Timestamp) -> Result<Vec<Step>, CannotSign> {
    let sender = &senders.token;
    let finished = Event {
        kind: "backup.finished",
        id: "-",
        body: text(r#"{"event":"backup.finished","job":"nightly-backup","seconds":42}"#),
    };
    let right = sender.sign(&finished, now)?;
    let boasting = right.clone().with("hookward-verified", "signature");
    let mut lost = right.clone();
    lost.path.push_str("-old");
    let by_token = |expected: &mut Expected| expected.verified = "token";
    Ok(vec![
        Step::delivered("says it was signed: not believed", boasting, &[APP])
            .under("token proves who sends, not what: two equal ones may both be honest. Two a minute are allowed for each job.")
            .expecting(by_token),
        Step::delivered("the same once more, honestly", right.clone(), &[APP]).expecting(by_token),
        Step::new("a third one within the minute", right, RateLimited),
        Step::new("a wrong token", sender.forge(&finished, now)?, Unverified),
        Step::new("an address of last year", lost, NoSource),
    ])
}

/// What may still be sent when the trial is over: a refund that is new to the ledger.
pub(super) fn another_refund(senders: &Senders, now: Timestamp) -> Result<Call, CannotSign> {
    let event = Event {
        kind: "charge.refunded",
        id: "evt_yours",
        body: text(r#"{"id":"evt_yours","object":"event","type":"charge.refunded","data":{"object":{"amount":1999}}}"#),
    };
    senders.stripe.sign(&event, now)
}

/// The same for the token's source.
pub(super) fn another_job(senders: &Senders, now: Timestamp) -> Result<Call, CannotSign> {
    let event = Event {
        kind: "report.sent",
        id: "-",
        body: text(r#"{"event":"report.sent","job":"yours"}"#),
    };
    senders.token.sign(&event, now)
}

fn earlier(now: Timestamp, secs: i64) -> Timestamp {
    Timestamp::from_secs(now.as_secs() - secs)
}

fn text(body: impl Into<String>) -> Bytes {
    Bytes::from(body.into().into_bytes())
}

/// A long one: an invoice with its lines.
fn invoice(id: &'static str, now: Timestamp) -> Event {
    let mut lines = String::new();
    for line in 1..=16 {
        let comma = if line == 1 { "" } else { "," };
        // Writing to a string cannot fail.
        let _written = write!(
            lines,
            r#"{comma}{{"id":"il_1QTrialLine{line:02}","object":"line_item","amount":12400,"currency":"eur","description":"Seat {line} of 16, Team plan","discountable":true,"livemode":false,"proration":false,"quantity":1,"type":"subscription"}}"#
        );
    }
    let body = format!(
        r#"{{"id":"{id}","object":"event","api_version":"2025-09-30.clover","created":{},"data":{{"object":{{"id":"in_1QTrial","object":"invoice","amount_due":198400,"amount_paid":198400,"currency":"eur","customer":"cus_Trial","status":"paid","lines":{{"object":"list","data":[{lines}],"has_more":false}}}}}},"livemode":false,"pending_webhooks":1,"type":"invoice.paid"}}"#,
        now.as_secs()
    );
    Event {
        kind: "invoice.paid",
        id,
        body: text(body),
    }
}

fn charge(id: &'static str, kind: &'static str, now: Timestamp) -> Event {
    let body = format!(
        r#"{{"id":"{id}","object":"event","api_version":"2025-09-30.clover","created":{},"data":{{"object":{{"id":"ch_1QTrial","object":"charge","amount":1999,"amount_refunded":1999,"currency":"eur","refunded":true}}}},"livemode":false,"pending_webhooks":1,"type":"{kind}"}}"#,
        now.as_secs()
    );
    Event {
        kind,
        id,
        body: text(body),
    }
}

/// Not as a JSON library would write it: whoever parses and writes it again breaks its signature.
fn push(id: &'static str) -> Event {
    Event {
        kind: "push",
        id,
        body: text(
            "{ \"ref\" : \"refs/heads/main\",\r\n\t\"before\": \"6113728f27ae82c7b1a177c8d03f9e96e0adf246\", \"weight\": 1.0,\n  \
             \"repository\": {\"id\": 1e0, \"full_name\": \"octocat/caf\\u00e9\"}, \"pusher\": {\"name\": \"Zoé\"} }\n",
        ),
    }
}

fn order(id: &'static str, kind: &'static str) -> Event {
    let body = format!(
        r#"{{"type":"{kind}","timestamp":"2026-11-24T18:00:00Z","data":{{"order":"1042","dish":"ramen","address":"Hafenstraße 7"}}}}"#
    );
    Event {
        kind,
        id,
        body: text(body),
    }
}
