//! The headers that a provider would send: the verifier's own templates, filled and signed with the newest secret.

pub mod inside;
mod parts;

use super::{
    CannotSign, Unsigned, canonical,
    field::{Field, Place, Scene},
    freshness, jwt,
    keys::{Key, Keys},
    mac::Mac,
    plan::Plan,
    preset::{Algorithm, Digested, Encoded},
    signature::encode,
    template::{self, Piece},
};
use crate::event::Frames;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{HeaderName, HeaderValue, Request, header::CONTENT_TYPE, request::Parts};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The headers, in order: id, event and time first, the signature last.
pub fn headers(plan: &Plan, request: &Unsigned<'_>, keys: &Keys) -> Result<Vec<(HeaderName, HeaderValue)>, CannotSign> {
    let Some(signature) = &plan.signature else {
        return described(plan, request);
    };
    if plan.each.is_some() || !signature.from.iter().all(|field| field.header().is_some()) {
        let message = match &signature.from[0].place {
            // It is there already.
            Place::Query(name) if plan.algorithm.is_bare() && bears(request.target, name) => {
                return described(plan, request);
            }
            Place::Query(name) => format!("the credential travels in the query: add `{name}=…` to the URL"),
            _ => "the signature stands in the body, which is not changed here".to_owned(),
        };
        return Err(CannotSign(message));
    }
    let key = keys
        .at(0)
        .ok_or_else(|| CannotSign("the source has no secret".to_owned()))?;
    let mut headers = described(plan, request)?;
    let time = plan
        .time
        .as_ref()
        .map(|time| (time, freshness::write(request.at, time.unit)));
    if let Some((time, text)) = &time
        && let Some(name) = time.field.header()
    {
        headers.push((name.clone(), value(text)?));
    }
    for (field, values) in &plan.require {
        if let (Some(name), Some(want)) = (field.header(), values.first()) {
            let head = head(request, &headers)?;
            let mut bytes = Vec::new();
            let scene = Scene::of_head(&head, plan.base.as_ref(), None);
            fill(&want.pieces, &scene, &mut |part| bytes.extend_from_slice(part))?;
            // In place of what was made up for it.
            headers.retain(|(known, _)| known != name);
            headers.push((name.clone(), HeaderValue::from_bytes(&bytes).map_err(|_| unfit())?));
        }
    }
    if let Some(message) = plan.message() {
        let head = head(request, &headers)?;
        headers.extend(super::message::sign::headers(
            message,
            &head,
            plan.base.as_ref(),
            key,
            request,
        )?);
        return Ok(headers);
    }
    for piece in plan.templates.iter().take(1).flat_map(|template| &template.pieces) {
        if let Piece::HeadersListed(listed) = piece {
            headers.push((listed.list.clone(), value(&listed.names())?));
        }
    }
    let mut parts = parts::before(plan, request, time.as_ref(), &headers)?;
    let name = signature.from[0].header().ok_or_else(unfit)?;
    let separator = signature
        .split
        .map(|byte| char::from(byte).to_string())
        .unwrap_or_default();
    let mut seen = headers.clone();
    if !parts.is_empty() {
        seen.push((name.clone(), value(&parts.join(&separator))?));
    }
    let head = head(request, &seen)?;
    let body = Frames::from(request.body.clone());
    let sorted = (plan.signs_form && super::form::is_form(&head.headers))
        .then(|| super::form::sorted(request.body).ok_or_else(|| CannotSign("the form has too many fields".to_owned())))
        .transpose()?;
    let scene = Scene {
        form_sorted: sorted.as_deref(),
        body: Some(&body),
        form: Some(request.body),
        time: time.as_ref().map(|(_, text)| text.as_bytes().into()),
        ..Scene::of_head(&head, plan.base.as_ref(), Some(signature))
    };
    let prefix = String::from_utf8(signature.prefix.clone()).map_err(|_| unfit())?;
    let credential = match key {
        Key::Token { text, .. } => bare(plan, text.expose())?,
        Key::Public(_) => {
            return Err(CannotSign(
                "the provider signs with a private key of its own; its public key, which is all we have, cannot"
                    .to_owned(),
            ));
        }
        Key::Mac(mac) if plan.algorithm.is_jwt() => token(plan, &scene, mac, request)?,
        Key::Mac(mac) => mac_of(plan, &scene, mac.clone(), signature.encoding)?,
        Key::Plain(secret) => {
            let mac = Mac::new(plan.algorithm, &[]).ok_or_else(unfit)?;
            let scene = Scene {
                secret: Some(secret.expose()),
                ..scene
            };
            mac_of(plan, &scene, mac, signature.encoding)?
        }
    };
    parts.push(format!("{prefix}{credential}"));
    headers.push((name.clone(), value(&parts.join(&separator))?));
    Ok(headers)
}

/// The target with the credential in its query, where it travels there; else as it is.
pub fn with_credential(plan: &Plan, target: &str, keys: &Keys) -> String {
    let place = plan.signature.as_ref().map(|signature| &signature.from[0].place);
    let (Some(Place::Query(name)), Some(Key::Token { text, .. })) = (place, keys.at(0)) else {
        return target.to_owned();
    };
    let mark = if target.contains('?') { '&' } else { '?' };
    let mut target = format!("{target}{mark}{name}=");
    for byte in text.expose() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => target.push(char::from(*byte)),
            _ => write!(target, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    target
}

fn bears(target: &str, name: &str) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    super::form::values(query.as_bytes(), name).next().is_some()
}

/// Id, event and other headers that the preset reads; what the request does not name is made up.
pub fn described(plan: &Plan, request: &Unsigned<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, CannotSign> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let mut put = |field: &Field, text: &str| -> Result<(), CannotSign> {
        if let Some(name) = field.header()
            && headers.iter().all(|(known, _)| known != name)
        {
            headers.push((name.clone(), value(text)?));
        }
        Ok(())
    };
    if let Some(id) = plan.id.first() {
        put(
            &id.field,
            request.id.map_or_else(|| made_up(request), str::to_owned).as_str(),
        )?;
    }
    if let (Some(field), Some(event)) = (plan.event.first(), request.event) {
        // `pull_request.opened` is told by the header `pull_request` and the body's action.
        let kind = if plan.action.is_some() {
            event.split('.').next().unwrap_or(event)
        } else {
            event
        };
        put(field, kind)?;
    }
    for field in &plan.signed_fields {
        put(field, &made_up(request))?;
    }
    Ok(headers)
}

/// An id, in the form of a UUID, that is the same for the same body and time.
pub fn made_up(request: &Unsigned<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(request.body);
    hasher.update(&request.at.as_millis().to_le_bytes());
    let hex = hasher.finalize().to_hex();
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..15],
        &hex[15..18],
        &hex[18..30]
    )
}

fn head(request: &Unsigned<'_>, headers: &[(HeaderName, HeaderValue)]) -> Result<Parts, CannotSign> {
    let mut builder = Request::builder().method(request.method).uri(request.target);
    if let Some(kind) = request.content_type {
        builder = builder.header(CONTENT_TYPE, kind);
    }
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    let (parts, ()) = builder
        .body(())
        .map_err(|error| CannotSign(format!("`{}` is not a request target: {error}", request.target)))?
        .into_parts();
    Ok(parts)
}

fn fill(pieces: &[Piece], scene: &Scene<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), CannotSign> {
    template::render(pieces, scene, sink).map_err(|cause| CannotSign(cause.to_string()))
}

fn bare(plan: &Plan, text: &[u8]) -> Result<String, CannotSign> {
    if plan.algorithm == Algorithm::Basic {
        return Ok(BASE64.encode(text));
    }
    String::from_utf8(text.to_vec()).map_err(|_| CannotSign("the token is not text".to_owned()))
}

fn mac_of(plan: &Plan, scene: &Scene<'_>, mut mac: Mac, encoding: Encoded) -> Result<String, CannotSign> {
    let uncovered = !super::form::is_form(&scene.head.headers) && scene.body.is_some_and(|body| !body.is_empty());
    if plan.body_hash.is_none() && plan.signs_form && uncovered {
        return Err(CannotSign(
            "this provider signs a body only as a form (`Content-Type: application/x-www-form-urlencoded`)".to_owned(),
        ));
    }
    if let Some(hash) = &plan.body_hash {
        let named = matches!(scene.read(&hash.field), super::field::Found::Text(_));
        if uncovered && !named {
            let message = format!(
                "a body that is no form needs `{}` in the URL: the SHA-256 of the body in hex",
                hash.field.name
            );
            return Err(CannotSign(message));
        }
    }
    // A time inside the body is the body's: it is signed as it stands.
    let own_time = plan
        .time
        .as_ref()
        .filter(|time| matches!(time.field.place, Place::Json(_)));
    let json = plan.templates[0].has(|piece| match piece {
        Piece::Field(field) => matches!(field.place, Place::Json(_)),
        Piece::Timestamp => own_time.is_some(),
        _ => false,
    });
    let picks = json.then(|| plan.proof.pick(scene.form.unwrap_or_default()));
    let read = Scene {
        json: picks.as_ref(),
        ..scene.clone()
    };
    let time = match own_time.map(|time| read.read(&time.field)) {
        Some(super::field::Found::Text(text)) => Some(text),
        Some(_) => None,
        None => scene.time.clone(),
    };
    let scene = Scene {
        json: picks.as_ref(),
        time,
        ..scene.clone()
    };
    fill(&plan.templates[0].pieces, &scene, &mut |bytes| mac.update(bytes))?;
    Ok(encode(mac.finish().bytes(), encoding))
}

/// A JWT with the claims that the preset reads.
fn token(plan: &Plan, scene: &Scene<'_>, mac: &Mac, request: &Unsigned<'_>) -> Result<String, CannotSign> {
    let mut claims = serde_json::Map::new();
    for (field, values) in &plan.require {
        if let (Place::Claim(_), Some(want)) = (&field.place, values.first()) {
            let mut bytes = Vec::new();
            fill(&want.pieces, scene, &mut |part| bytes.extend_from_slice(part))?;
            claims.insert(
                field.name.to_string(),
                String::from_utf8(bytes).map_err(|_| unfit())?.into(),
            );
        }
    }
    if let Some(time) = &plan.time
        && matches!(time.field.place, Place::Claim(_))
    {
        let text = freshness::write(request.at, time.unit);
        claims.insert(
            time.field.name.to_string(),
            text.parse::<i64>().map_or(text.into(), Into::into),
        );
    }
    if let Some(hash) = &plan.body_hash
        && matches!(hash.field.place, Place::Claim(_))
    {
        claims.insert(
            hash.field.name.to_string(),
            encode(&digested(hash.of, scene, request)?, hash.encoding).into(),
        );
    }
    let header = serde_json::json!({ "alg": jwt::name(plan.algorithm), "typ": "JWT" });
    let part = |json: &str| BASE64URL_NOPAD.encode(json.as_bytes());
    let signed = format!(
        "{}.{}",
        part(&header.to_string()),
        part(&serde_json::Value::Object(claims).to_string())
    );
    let mut mac = mac.clone();
    mac.update(signed.as_bytes());
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(mac.finish().bytes())))
}

fn digested(of: Digested, scene: &Scene<'_>, request: &Unsigned<'_>) -> Result<Vec<u8>, CannotSign> {
    Ok(match of {
        Digested::Body => Sha256::digest(request.body).to_vec(),
        Digested::Request => {
            let text = canonical::request(scene).map_err(|cause| CannotSign(cause.to_string()))?;
            Sha256::digest(text).to_vec()
        }
    })
}

fn value(text: &str) -> Result<HeaderValue, CannotSign> {
    let mut value = HeaderValue::from_str(text).map_err(|_| unfit())?;
    // Header maps that are printed for debugging then hide it.
    value.set_sensitive(true);
    Ok(value)
}

fn unfit() -> CannotSign {
    CannotSign("a value does not fit into a header".to_owned())
}
