//! What a verified request is: its id, its event names, and the identity that its replays share.

use super::{
    evidence::{Cause, Evidence, ProviderId, Refusal, Seal},
    field::{Field, Found, Place, Scene},
    message,
    pick::Picks,
    plan::{Id, Plan, Role},
    verify::{Matched, Proof},
};
use crate::event::{EventName, Identity, IdentityHasher};
use std::borrow::Cow;

/// Event names that one batch may have; a batch of more kinds counts as unreadable and is forwarded unfiltered.
const MAX_EVENTS: usize = 64;

/// May it stand in a header and a log line: 1 to 256 bytes of printable ASCII?
pub fn is_printable(text: &[u8]) -> bool {
    (1..=256).contains(&text.len()) && text.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Refuses a verified body in which a key came twice where id, event or handshake are read.
pub fn refuse_doubled(plan: &Plan, picks: &Picks<'_>) -> Result<(), Refusal> {
    if !picks.any_doubled() {
        return Ok(());
    }
    let fields = plan
        .id
        .iter()
        .map(|id| &id.field)
        .chain(&plan.event)
        .chain(&plan.action);
    let doubled = fields
        .into_iter()
        .find(|field| matches!(field.place, Place::Json(slot) if picks.slot(slot).doubled));
    let name = doubled.map_or_else(|| "body".into(), |field| field.name.clone());
    Err(Refusal::Malformed(Cause::FieldDoubled(name)))
}

/// The evidence of a proven request.
pub fn evidence(
    plan: &Plan,
    proof: &Proof,
    scene: &Scene<'_>,
    digest: impl FnOnce() -> [u8; 32],
) -> Result<Evidence, Refusal> {
    let id = first_id(plan, scene)?;
    let events = events(plan, scene)?;
    let repeatable = plan.repeatable.iter().any(|rule| {
        events.iter().any(|event| event.as_str() == rule.event)
            && rule
                .slots
                .iter()
                .all(|slot| scene.json.is_some_and(|picks| picks.slot(*slot).value().is_some()))
    });
    let identity = identity(plan, scene, id.as_ref(), digest)?;
    let id = id
        .filter(|(id, text)| is_printable(text) && !id.field.is_of_a_batch())
        .and_then(|(id, text)| {
            Some(ProviderId {
                text: std::str::from_utf8(&text).ok()?.into(),
                signed: id.signed,
            })
        });
    Ok(Evidence {
        verified: proof.verified,
        secret: proof.secret,
        events,
        id,
        signed_at: proof.signed_at,
        identity,
        mac: proof.mac.as_ref().map(Matched::digest),
        repeatable,
        _seal: Seal,
    })
}

type Found1<'p, 'a> = (&'p Id, Cow<'a, [u8]>);

/// The first id that is there.
fn first_id<'p, 'a>(plan: &'p Plan, scene: &Scene<'a>) -> Result<Option<Found1<'p, 'a>>, Refusal> {
    for id in &plan.id {
        match scene.read(&id.field) {
            Found::Text(text) if !text.is_empty() => return Ok(Some((id, text))),
            Found::Text(_) | Found::Missing => {}
            Found::Doubled => return Err(doubled(&id.field)),
        }
    }
    Ok(None)
}

fn doubled(field: &Field) -> Refusal {
    Refusal::Malformed(Cause::FieldDoubled(field.name.clone()))
}

fn events(plan: &Plan, scene: &Scene<'_>) -> Result<Vec<EventName>, Refusal> {
    let mut events = Vec::new();
    for field in &plan.event {
        if let (Place::Json(slot), Some(picks)) = (&field.place, scene.json) {
            let slot = picks.slot(*slot);
            let mut unreadable = slot.cut;
            for value in slot.values() {
                match value.text().and_then(|text| EventName::parse(&text)) {
                    Some(name) if !events.contains(&name) => events.push(name),
                    Some(_) => {}
                    // Somebody may want the very element that cannot be read.
                    None => unreadable |= field.is_of_a_batch(),
                }
            }
            if unreadable || events.len() > MAX_EVENTS {
                return Ok(Vec::new());
            }
        } else {
            match scene.read(field) {
                Found::Text(text) => {
                    events.extend(std::str::from_utf8(&text).ok().and_then(EventName::parse));
                }
                Found::Missing => {}
                Found::Doubled => return Err(doubled(field)),
            }
        }
        if !events.is_empty() {
            break;
        }
    }
    if let ([event], Some(action)) = (&events[..], &plan.action)
        && let Found::Text(text) = scene.read(action)
        && let Ok(text) = std::str::from_utf8(&text)
    {
        events.extend(event.with(text));
    }
    Ok(events)
}

fn identity(
    plan: &Plan,
    scene: &Scene<'_>,
    id: Option<&Found1<'_, '_>>,
    digest: impl FnOnce() -> [u8; 32],
) -> Result<Option<Identity>, Refusal> {
    let Some((id, text)) = id else {
        return if plan.algorithm.is_bare() {
            Ok(None)
        } else {
            by_body(plan, scene, digest).map(Some)
        };
    };
    let with_body = match &id.role {
        Role::Key => false,
        Role::KeyUnless(separator) => contains(text, separator),
        Role::WithBody => true,
        Role::Record => return by_body(plan, scene, digest).map(Some),
    };
    let mut hasher = IdentityHasher::new("id");
    hasher.part(&id.field.name, text);
    if with_body {
        hasher.part("body", &digest());
    }
    Ok(Some(hasher.finish()))
}

/// The identities that a signed id stands for by itself, without the request it came in.
pub fn of_id(plan: &Plan, text: &[u8]) -> Vec<Identity> {
    let keys = plan.id.iter().filter(|id| match &id.role {
        Role::Key => true,
        Role::KeyUnless(separator) => !contains(text, separator),
        Role::WithBody | Role::Record => false,
    });
    keys.map(|id| {
        let mut hasher = IdentityHasher::new("id");
        hasher.part(&id.field.name, text);
        hasher.finish()
    })
    .collect()
}

fn contains(text: &[u8], separator: &[u8]) -> bool {
    text.windows(separator.len()).any(|window| window == separator)
}

/// The raw body, every signed field but time and credential, and the event and tenant headers that the preset reads.
fn by_body(plan: &Plan, scene: &Scene<'_>, digest: impl FnOnce() -> [u8; 32]) -> Result<Identity, Refusal> {
    let mut hasher = IdentityHasher::new("body");
    hasher.part("body", &digest());
    if plan.signs_method {
        hasher.part("method", scene.head.method.as_str().as_bytes());
    }
    if plan.signs_url {
        hasher.part("target", scene.target().as_bytes());
    } else if plan.signs_query {
        hasher.part("query", scene.head.uri.query().unwrap_or_default().as_bytes());
    }
    let outside = |field: &&Field| matches!(field.place, Place::Header(_) | Place::Query(_));
    let unsigned = plan.event.iter().chain(&plan.tenant).filter(outside);
    for field in plan.signed_fields.iter().chain(unsigned) {
        match scene.read(field) {
            Found::Text(text) => {
                hasher.part(&field.name, &text);
            }
            Found::Missing => {}
            Found::Doubled => {
                // RFC 9421 signs the lines of a header as one.
                let lines = field
                    .header()
                    .filter(|name| plan.message().is_some_and(|message| message.reads_header(name)))
                    .and_then(|name| message::joined(&scene.head.headers, name));
                hasher.part(&field.name, &lines.ok_or_else(|| doubled(field))?);
            }
        }
    }
    Ok(hasher.finish())
}
