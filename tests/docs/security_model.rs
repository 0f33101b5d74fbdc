//! `docs/security-model.md`: what one captured request buys, by kind of identity and by preset.

use hookward::provider::{
    self, Listing, NewEvent, Preset,
    preset::{Covers, IdentityKind},
};
use std::{fmt::Write as _, time::Duration};

const INTRODUCTION: &str = "\
# Security model: what a captured request buys

hookward forwards a request only if its proof is right. A proof stays right when somebody copies the request: from a log, from a proxy, from a
backup. This page states what such a copy (a *captured request*) buys, and what an operator and an app should do about it.
The page is generated: `HOOKWARD_BLESS=1 cargo test --test docs`. `tests/honest/run` holds it: an attacker repeats captured requests of every
preset that the suite can sign for, byte for byte and under other unsigned headers.

## What holds for every signed source

- An attacker without the secret cannot make a new event, nor change a byte that the signature covers.
- Nothing that the signature leaves out decides whether two requests are the same event. Ids, event names and tenants in unsigned headers are
  kept beside the record of a delivery and are compared there.
- A captured request that arrives before the honest one is delivered takes the place of an honest attempt. The app gets the event once, and a
  failed attempt is not lost: the honest retry is forwarded.
- Where the event or the tenant stands in an unsigned header, such a request may bear another name. The app should take the event from the
  body where the body tells it.
- While a delivery is remembered, every further request of its event that reaches the app bears `Hookward-Repeat`, `Hookward-Redelivery` or
  `Hookward-Duplicate`.
- A request whose signed time is outside the tolerance is refused as `stale`, whatever the ledger knows.

## The kinds of identity

A source's kind says which requests are attempts of the same event. `hookward providers NAME` prints it with its reason.

| kind | what tells two events apart | what a captured request buys |
|---|---|---|
";

const ADVICE: &str = "
## What an operator should do

- Use TLS up to hookward, and keep request heads and bodies out of logs: a request that nobody captures is not repeated.
- Give several replicas one Redis. The ledger of a process is forgotten at a restart, and a captured request without a signed time is then new.
- Leave `tolerance` on. Where no time is signed, choose `keep` as long as the storage permits: a captured request is new again after it.
- Narrow doorbells, tokens and `none` with `allow_from`. `hookward check` names the sources that need it.
- After a leak of captured requests rotate the secret: old signatures are then worth nothing.

## What an app should do

- Deduplicate on `Hookward-Source` and `Hookward-Delivery` together.
- `Hookward-Repeat: true` or `unknown`: the content was delivered before, or nothing tells whether it was. Read the current state from the
  provider instead of acting on the body. An action that must not happen twice (a payment, a shipment) needs the provider's own id.
- `Hookward-Redelivery: true`: an operator ran `hookward forget`. Process the delivery once more.
- `Hookward-Verified: token` or `none`: the content is not proven. Confirm at the provider what matters.
- [`examples/receiver.py`](../examples/receiver.py) and [`examples/receiver.mjs`](../examples/receiver.mjs) do this.

## The presets

*Not signed*: the headers of id, event and tenant that an attacker can change. `keep` is the time for which a delivery is remembered when the
configuration says nothing else.

";

pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (kind, apart, buys) in [
        (
            IdentityKind::SignedId,
            "the provider's event id, which the signature covers",
            "nothing while the delivery is remembered. With a signed time nothing at all; without one, one unmarked delivery after each `keep`",
        ),
        (
            IdentityKind::UniqueBody,
            "the signed body, which carries an id or a time of its event",
            "as `signed_id`. For bodies that may honestly repeat, and for one content under several topics: marked repeats, 10 a minute for each client",
        ),
        (
            IdentityKind::BodyAndTime,
            "the signed body together with the signed time; the last 16 delivered times are remembered",
            "inside the tolerance nothing while its time is remembered, then marked repeats, 10 a minute for each client; outside nothing",
        ),
        (
            IdentityKind::Doorbell,
            "nothing: bodies may be equal, and no time is signed",
            "as many deliveries as the budget permits (60 a minute for each client), each marked `Hookward-Repeat: unknown`",
        ),
        (
            IdentityKind::NamedId,
            "an id that the token does not cover",
            "everything: whoever holds the token makes up events and ids. A repeat under the same id is a `duplicate`",
        ),
        (
            IdentityKind::None,
            "nothing: each request is an event of its own",
            "everything: whoever holds the token (or, with `none`, anybody) makes up events, and every repeat is delivered without a mark",
        ),
    ] {
        writeln!(page, "| `{}` | {apart} | {buys} |", kind.as_str()).expect("a string");
    }
    page.push_str(ADVICE);
    page.push_str("| preset | kind | what tells events apart | not signed | what a captured request buys | reason |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for listing in provider::listings() {
        if provider::alias_of(&listing.name).is_none() {
            row(&mut page, &listing);
        }
    }
    page
}

fn row(page: &mut String, one: &Listing) {
    let preset = provider::preset(&one.name).expect("it is listed");
    let cells = [
        format!("`{}`", one.name),
        format!("`{}`", one.identity.as_str()),
        apart(one, preset),
        not_signed(one, preset),
        buys(one, preset),
        one.identity_reason.clone(),
    ];
    for cell in cells {
        write!(page, "| {} ", cell.replace('|', "/")).expect("a string");
    }
    page.push_str("|\n");
}

fn apart(one: &Listing, preset: &Preset) -> String {
    match one.identity {
        IdentityKind::SignedId | IdentityKind::NamedId => places(&one.id),
        IdentityKind::UniqueBody if one.covers == Covers::Fields => "the signed fields".to_owned(),
        IdentityKind::UniqueBody if may_repeat(preset) => {
            "the body; the unsigned values where it may repeat".to_owned()
        }
        IdentityKind::UniqueBody => "the body".to_owned(),
        IdentityKind::BodyAndTime => "the body and the signed time".to_owned(),
        IdentityKind::Doorbell | IdentityKind::None => "nothing".to_owned(),
    }
}

fn not_signed(one: &Listing, preset: &Preset) -> String {
    let mut all = Vec::new();
    let in_headers = |places: &[String]| {
        let headers = places.iter().filter(|place| place.starts_with("header:"));
        headers.cloned().collect::<Vec<_>>()
    };
    if !one.id_signed {
        all.extend(in_headers(&one.id));
    }
    if !one.event_signed {
        all.extend(in_headers(&one.event));
    }
    if let Some(tenant) = &preset.tenant {
        all.extend(tenant.0.iter().cloned());
    }
    if all.is_empty() { "-".to_owned() } else { places(&all) }
}

fn places(places: &[String]) -> String {
    let shown: Vec<String> = places.iter().map(|place| format!("`{place}`")).collect();
    shown.join(", ")
}

/// Some bodies may honestly repeat, or one content goes out under several topics.
fn may_repeat(preset: &Preset) -> bool {
    !preset.unique_events.is_empty() || !preset.repeatable_events.is_empty() || preset.on_new_event == NewEvent::Deliver
}

fn buys(one: &Listing, preset: &Preset) -> String {
    let window = one.timestamp.as_ref().and(one.tolerance_seconds).map(span);
    let keep = one.keep_seconds.map_or_else(|| "`keep`".to_owned(), span);
    let fields = if one.covers == Covers::Fields {
        "; the unsigned part of the body can be changed"
    } else {
        ""
    };
    let repeats = if one.identity == IdentityKind::UniqueBody && may_repeat(preset) {
        "; marked repeats where bodies may repeat"
    } else {
        ""
    };
    match (one.identity, window) {
        (IdentityKind::SignedId | IdentityKind::UniqueBody, Some(window)) => {
            format!("nothing; for {window} a `duplicate`, then `stale`{repeats}{fields}")
        }
        (IdentityKind::SignedId | IdentityKind::UniqueBody, None) => {
            format!("one delivery after each {keep}{repeats}{fields}")
        }
        (IdentityKind::BodyAndTime, window) => {
            let window = window.unwrap_or_else(|| "the tolerance".to_owned());
            format!("for {window} marked repeats at most, then nothing{fields}")
        }
        (IdentityKind::Doorbell, _) => format!("60 deliveries a minute, marked{fields}"),
        (IdentityKind::NamedId | IdentityKind::None, Some(window)) => {
            format!("everything for {window}, then nothing")
        }
        (IdentityKind::NamedId | IdentityKind::None, None) => "everything".to_owned(),
    }
}

fn span(seconds: u64) -> String {
    let span = Duration::from_secs(seconds);
    match span.as_secs() {
        days if days % 86400 == 0 => format!("{} d", days / 86400),
        hours if hours % 3600 == 0 => format!("{} h", hours / 3600),
        minutes if minutes % 60 == 0 => format!("{} min", minutes / 60),
        seconds => format!("{seconds} s"),
    }
}
