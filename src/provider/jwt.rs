//! JWTs with a pinned algorithm: the token's own `alg` must name it and is never followed.

use super::{
    Tolerance,
    asymmetric::PublicKey,
    evidence::Cause,
    freshness,
    keys::{Key, Keys},
    pick::{Kind, Pointers},
    preset::{Algorithm, Unit},
};
use crate::event::{MacDigest, Timestamp};
use data_encoding::BASE64URL_NOPAD;
use std::{borrow::Cow, sync::Arc};

/// A longer name of a key is none.
const LONGEST_KID: usize = 256;

/// A JWT that one of the keys signed.
pub struct Opened {
    /// Index of the secret that matched.
    pub secret: usize,
    /// The claims, as JSON.
    pub claims: Vec<u8>,
    /// Digest of its signature.
    pub mac: MacDigest,
}

/// Verifies a compact JWS (RFC 7515); its claims are not looked at.
pub fn open(token: &[u8], algorithm: Algorithm, keys: &Keys, at: &Arc<str>) -> Result<Opened, Cause> {
    let [header, claims, signature] = parts(token, at)?;
    let kid = check_header(&decode(header, at)?, algorithm, at)?;
    let signed = &token[..header.len() + 1 + claims.len()];
    let signature = decode(signature, at)?;

    let mut secret = None;
    for (index, key) in keys.iter().enumerate() {
        let right = match key {
            Key::Mac(keyed) => {
                let mut mac = keyed.clone();
                mac.update(signed);
                mac.finish().is(&signature)
            }
            Key::Public(publics) => of_name(publics, kid.as_deref()).any(|key| key.verifies(signed, &signature)),
            Key::Plain(_) | Key::Token { .. } => false,
        };
        if right && secret.is_none() {
            secret = Some(index);
        }
    }
    let secret = secret.ok_or(Cause::SignatureWrong { tried: keys.count() })?;
    Ok(Opened {
        secret,
        claims: decode(claims, at)?,
        mac: MacDigest::of(&signature),
    })
}

/// The name of the key that a token says it is signed with, before anything is proven.
pub fn kid(token: &[u8], algorithm: Algorithm, at: &Arc<str>) -> Result<Option<String>, Cause> {
    let [header, claims, signature] = parts(token, at)?;
    decode(claims, at)?;
    decode(signature, at)?;
    check_header(&decode(header, at)?, algorithm, at)
}

fn parts<'a>(token: &'a [u8], at: &Arc<str>) -> Result<[&'a [u8]; 3], Cause> {
    let mut parts = token.split(|byte| *byte == b'.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None) => Ok([header, claims, signature]),
        _ => Err(Cause::SignatureMalformed(at.clone())),
    }
}

fn decode(part: &[u8], at: &Arc<str>) -> Result<Vec<u8>, Cause> {
    BASE64URL_NOPAD
        .decode(part)
        .map_err(|_| Cause::SignatureMalformed(at.clone()))
}

/// The keys of this name, or all where none has it: a name is a hint, and proves nothing.
fn of_name<'a>(publics: &'a [PublicKey], kid: Option<&'a str>) -> impl Iterator<Item = &'a PublicKey> {
    let named = kid.is_some() && publics.iter().any(|key| key.kid() == kid);
    publics.iter().filter(move |key| !named || key.kid() == kid)
}

/// `exp` and `nbf` of a token, where it has them.
pub struct Validity {
    expires: Option<Timestamp>,
    starts: Option<Timestamp>,
}

/// Reads them; a token that has them in another form than whole seconds is malformed.
pub fn validity(claims: &[u8], at: &Arc<str>) -> Result<Validity, Cause> {
    let malformed = || Cause::SignatureMalformed(at.clone());
    let mut pointers = Pointers::default();
    let slots = ["/exp", "/nbf"].map(|name| pointers.add(name).expect("a pointer"));
    let picks = pointers.pick(claims);
    if !picks.well_formed || picks.any_doubled() {
        return Err(malformed());
    }
    let read = |slot: usize| match picks.slot(slot).value() {
        None => Ok(None),
        Some(value) if value.kind == Kind::Integer => {
            freshness::parse(value.raw, Unit::S).map(Some).ok_or_else(malformed)
        }
        Some(_) => Err(malformed()),
    };
    Ok(Validity {
        expires: read(slots[0])?,
        starts: read(slots[1])?,
    })
}

impl Validity {
    /// How far outside, in milliseconds (positive: expired; negative: not begun), with the window as leeway.
    pub fn outside(&self, window: Option<Tolerance>, now: Timestamp) -> Option<i64> {
        let window = window?;
        let bound = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let late = self
            .expires
            .map(|at| now.millis_since(at))
            .filter(|late| *late > bound(window.past));
        let early = self
            .starts
            .map(|at| now.millis_since(at))
            .filter(|late| late.saturating_neg() > bound(window.future));
        late.or(early)
    }
}

/// The name of an algorithm in a JWT's header.
pub const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::JwtEs256 => "ES256",
        Algorithm::JwtRs256 => "RS256",
        _ => "HS256",
    }
}

/// The `kid` of a header that names our algorithm.
fn check_header(header: &[u8], algorithm: Algorithm, at: &Arc<str>) -> Result<Option<String>, Cause> {
    let malformed = || Cause::SignatureMalformed(at.clone());
    let mut pointers = Pointers::default();
    let alg = pointers.add("/alg").expect("a pointer");
    let crit = pointers.add("/crit").expect("a pointer");
    let kid = pointers.add("/kid").expect("a pointer");
    let picks = pointers.pick(header);
    if !picks.well_formed || picks.any_doubled() {
        return Err(malformed());
    }
    // RFC 7515 4.1.11: extensions that must be understood; we understand none.
    if picks.slot(crit).value().is_some() {
        return Err(malformed());
    }
    match picks.slot(alg).value().and_then(|value| value.text()) {
        Some(named) if named == name(algorithm) => {
            let kid = picks.slot(kid).value().and_then(|value| value.text());
            Ok(kid.filter(|kid| kid.len() <= LONGEST_KID).map(Cow::into_owned))
        }
        _ => Err(Cause::AlgorithmWrong),
    }
}
