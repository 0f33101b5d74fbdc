//! Reads a verified request: its id, its event names, and the identity that all attempts of its event share.

use super::{
    evidence::{Cause, Evidence, ProviderId, Refusal, Seal},
    field::{Field, Found, Place, Scene},
    message,
    pick::Picks,
    plan::{Id, Plan, Role},
    preset::{BodyRule, Covers, IdentityKind, NewId},
    verify::{Matched, Proof},
};
use crate::event::{EventName, IdDigest, Identity, IdentityHasher, LabelDigest, UnsignedValues};
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
    let (kind, identity) = identity(plan, proof, scene, id.as_ref(), digest)?;
    let repeatable =
        kind == IdentityKind::UniqueBody && (plan.body == BodyRule::MayRepeat || plan.repeatable.holds(scene.json));
    let mut unsigned = unsigned(plan, scene, id.as_ref())?;
    if plan.new_id == NewId::Duplicate && !repeatable {
        // One id for each subscription: a new id is a duplicate, so it distinguishes nothing.
        unsigned.id = None;
    }
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
        kind,
        identity,
        unsigned,
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

/// The identity, by the first kind whose condition holds.
fn identity(
    plan: &Plan,
    proof: &Proof,
    scene: &Scene<'_>,
    id: Option<&Found1<'_, '_>>,
    digest: impl FnOnce() -> [u8; 32],
) -> Result<(IdentityKind, Option<Identity>), Refusal> {
    let proves_sender_only = plan.proves_sender_only();
    let with_body = match id {
        Some((id, text)) => match &id.role {
            Role::Key => Some(false),
            Role::KeyUnless(separator) => Some(contains(text, separator)),
            Role::WithBody => Some(true),
            Role::Record => None,
        },
        None => None,
    };
    if let (Some((id, text)), Some(with_body)) = (id, with_body) {
        let mut hasher = IdentityHasher::new("id");
        hasher.part(&id.field.name, text);
        if with_body {
            hasher.part("body", &digest());
        }
        // The holder of the token can make all of it up; an honest id may be unique for one tenant only (CloudEvents).
        if proves_sender_only {
            for field in &plan.tenant {
                if let Found::Text(text) = scene.read(field) {
                    hasher.part(&field.name, &text);
                    break;
                }
            }
        }
        let kind = match (proves_sender_only, with_body) {
            (true, _) => IdentityKind::NamedId,
            (false, false) => IdentityKind::SignedId,
            (false, true) => IdentityKind::UniqueBody,
        };
        return Ok((kind, Some(hasher.finish())));
    }
    if proves_sender_only {
        return Ok((IdentityKind::None, None));
    }
    let kind = match plan.kind_of_body() {
        // The operator says that this id distinguishes its events: an equal one is a duplicate, another one a repeat.
        IdentityKind::Doorbell if plan.names_id && id.is_some() => IdentityKind::UniqueBody,
        kind => kind,
    };
    Ok((kind, Some(by_body(plan, proof, scene, digest)?)))
}

/// The id, event and tenant that the signature does not cover. They are kept in the ledger's record and never enter its key.
fn unsigned(plan: &Plan, scene: &Scene<'_>, id: Option<&Found1<'_, '_>>) -> Result<UnsignedValues, Refusal> {
    let id = id.filter(|(id, _)| !id.signed && !matches!(id.role, Role::Key));
    let label = |fields: &[Field]| {
        let outside = |field: &&Field| matches!(field.place, Place::Header(_) | Place::Query(_));
        for field in fields.iter().filter(outside) {
            match scene.read(field) {
                Found::Text(text) => return Ok(Some(LabelDigest::of(&text))),
                Found::Missing => {}
                Found::Doubled => return Err(doubled(field)),
            }
        }
        Ok(None)
    };
    Ok(UnsignedValues {
        id: id.map(|(_, text)| IdDigest::of(text)),
        event: if plan.event_signed { None } else { label(&plan.event)? },
        tenant: label(&plan.tenant)?,
    })
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

/// The raw body (or, where the signature covers fields only, these fields), and every other signed value but time and
/// credential.
fn by_body(
    plan: &Plan,
    proof: &Proof,
    scene: &Scene<'_>,
    digest: impl FnOnce() -> [u8; 32],
) -> Result<Identity, Refusal> {
    let mut hasher = if let (Covers::Fields, Some(signed)) = (plan.covers, &proof.signed) {
        let mut hasher = IdentityHasher::new("signed fields");
        hasher.part("signed", signed);
        hasher
    } else {
        let mut hasher = IdentityHasher::new("body");
        hasher.part("body", &digest());
        hasher
    };
    if plan.signs_method {
        hasher.part("method", scene.head.method.as_str().as_bytes());
    }
    if plan.signs_url {
        hasher.part("target", scene.target().as_bytes());
    } else if plan.signs_query {
        hasher.part("query", scene.head.uri.query().unwrap_or_default().as_bytes());
    }
    for field in &plan.signed_fields {
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
