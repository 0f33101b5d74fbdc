//! HTTP Message Signatures (RFC 9421): which signature is meant, what it covers, and whether one of our keys made it.
//!
//! The signature base is made of the head alone, so a wrong signature is refused before the body is read; the body is then
//! held against the `Content-Digest` that the signature covers.

pub mod component;
pub mod digest;
mod said;
pub mod sign;
mod structured;

pub use said::{covered_by, expired, stated};

use super::{
    evidence::Cause,
    field::{Field, Place, Scene},
    keys::{Key, Keys},
    preset::Algorithm,
};
use crate::event::{MacDigest, Timestamp};
use component::Component;
use digest::{CONTENT_DIGEST, Stated};
use http::{HeaderMap, HeaderName};
use said::{bytes, named, param, printable, read, text, whole};
use sfv::BareItem;
use structured::{Item, Member, Params, list_text};

/// Where the signatures stand.
pub const SIGNATURE: HeaderName = HeaderName::from_static("signature");
/// Where it stands what they cover.
pub const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
/// The signed time, as fields name it.
pub const CREATED: &str = "created";
/// Signatures that are verified at most; proxies on the way may add one or two.
const MAX_CANDIDATES: usize = 4;
/// Parameters that RFC 9421 knows, and which of them are whole numbers.
const KNOWN: [(&str, bool); 6] = [
    (CREATED, true),
    ("expires", true),
    ("nonce", false),
    ("alg", false),
    ("keyid", false),
    ("tag", false),
];

/// What a signature must be, compiled.
pub struct Message {
    /// What must be covered.
    pub required: Vec<Demand>,
    /// Parameters that must be there.
    pub parameters: Vec<String>,
    /// Only the signature of this label counts.
    pub label: Option<String>,
    /// Only one with this `tag`.
    pub tag: Option<String>,
    /// Only one with this `keyid`.
    pub keyid: Option<String>,
    /// The name of the algorithm in RFC 9421.
    pub alg: &'static str,
    /// Headers that are read beside [`SIGNATURE`].
    pub reads: Vec<Field>,
}

/// Components of which one must be covered.
pub struct Demand {
    /// Any of these.
    pub any: Vec<Component>,
    /// Only where the request has one of them.
    pub if_there: bool,
}

/// A right signature, whose body is still to come.
pub struct Opened {
    /// Index of the secret.
    pub secret: usize,
    /// Digest of the signature.
    pub mac: MacDigest,
    /// The signed time.
    pub created: Timestamp,
    /// From when on it is worth nothing.
    pub expires: Option<Timestamp>,
    /// What the body must be.
    digest: Option<Stated>,
}

/// The name of an algorithm in RFC 9421 (its section 6.2.2), if it has one.
pub fn alg(algorithm: Algorithm) -> Option<&'static str> {
    Some(match algorithm {
        Algorithm::HmacSha256 => "hmac-sha256",
        Algorithm::Ed25519 => "ed25519",
        Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP256Sha256Fixed => "ecdsa-p256-sha256",
        Algorithm::EcdsaP384Sha384 => "ecdsa-p384-sha384",
        Algorithm::RsaPssSha512 => "rsa-pss-sha512",
        Algorithm::RsaSha256 => "rsa-v1_5-sha256",
        _ => return None,
    })
}

impl Message {
    /// The first signature that is meant and right; the cause of the first one that is not.
    pub fn open(&self, scene: &Scene<'_>, keys: &Keys) -> Result<Opened, Cause> {
        let inputs = read(scene, &SIGNATURE_INPUT)?;
        let signatures = read(scene, &SIGNATURE)?;
        let mut first = None;
        let mut tried = 0;
        for (label, member) in &inputs {
            let Member::List(items, params) = member else {
                return Err(Cause::SignatureMalformed(SIGNATURE_INPUT.as_str().into()));
            };
            if !self.is_meant(label.as_str(), params) {
                continue;
            }
            tried += 1;
            if tried > MAX_CANDIDATES {
                return Err(Cause::SignaturesTooMany(inputs.len()));
            }
            let signature = signatures.iter().find(|(known, _)| known.as_str() == label.as_str());
            let opened = bytes(scene, signature.map(|(_, member)| member))
                .and_then(|signature| self.one(scene, keys, items, params, signature));
            match opened {
                Ok(opened) => return Ok(opened),
                Err(cause) => first = first.or(Some(cause)),
            }
        }
        Err(first.unwrap_or(Cause::SignatureOfOthers))
    }

    fn is_meant(&self, label: &str, params: &Params) -> bool {
        let has = |name, want: &Option<String>| want.as_deref().is_none_or(|want| text(params, name) == Some(want));
        self.label.as_deref().is_none_or(|want| want == label) && has("tag", &self.tag) && has("keyid", &self.keyid)
    }

    fn one(
        &self,
        scene: &Scene<'_>,
        keys: &Keys,
        items: &[Item],
        params: &Params,
        signature: &[u8],
    ) -> Result<Opened, Cause> {
        let created = self.parameters(params)?;
        let expires = whole(params, "expires");
        if expires.is_some_and(|expires| expires < created) {
            return Err(Cause::FieldWrong("expires".into()));
        }
        let covered = self.covered(scene, items)?;
        let base = base(scene, &covered, items, params)?;
        let secret = by(keys, &base, signature).ok_or(Cause::SignatureWrong { tried: keys.count() })?;
        let digest = covered
            .iter()
            .any(|component| component.header() == Some(&CONTENT_DIGEST))
            .then(|| Stated::read(&scene.head.headers));
        Ok(Opened {
            secret,
            mac: MacDigest::of(signature),
            created,
            expires,
            digest: digest.transpose()?,
        })
    }

    /// Checks the parameters; the time.
    fn parameters(&self, params: &Params) -> Result<Timestamp, Cause> {
        for (key, value) in params {
            let name = key.as_str();
            let fits = match KNOWN.iter().find(|(known, _)| *known == name) {
                Some((_, true)) => matches!(value, BareItem::Integer(_)),
                Some((_, false)) => matches!(value, BareItem::String(_)),
                None => self.parameters.iter().any(|known| known == name),
            };
            if !fits {
                return Err(match name {
                    CREATED => Cause::TimestampMalformed(CREATED.into()),
                    _ => Cause::ComponentUnfit(format!(";{}", printable(name)).into()),
                });
            }
        }
        if let Some(missing) = self.parameters.iter().find(|name| param(params, name).is_none()) {
            return Err(Cause::NotCovered(format!(";{missing}").into()));
        }
        // The algorithm is the preset's; a message that names another one was not meant for these keys.
        if text(params, "alg").is_some_and(|alg| alg != self.alg) {
            return Err(Cause::AlgorithmWrong);
        }
        whole(params, CREATED).ok_or_else(|| match param(params, CREATED) {
            Some(_) => Cause::TimestampMalformed(CREATED.into()),
            None => Cause::TimestampMissing(CREATED.into()),
        })
    }

    /// The covered components; all that must be among them are, and none comes twice.
    fn covered(&self, scene: &Scene<'_>, items: &[Item]) -> Result<Vec<Component>, Cause> {
        let mut covered: Vec<Component> = Vec::with_capacity(items.len());
        for item in items {
            let component = Component::of(item).ok_or_else(|| Cause::ComponentUnfit(named(item)))?;
            if covered.contains(&component) {
                return Err(Cause::FieldDoubled(component.name()));
            }
            covered.push(component);
        }
        for demand in &self.required {
            if demand.asks(scene)
                && !demand.any.iter().any(|one| covered.contains(one))
                && let Some(component) = demand.any.last()
            {
                return Err(Cause::NotCovered(component.name()));
            }
        }
        Ok(covered)
    }
}

impl Demand {
    /// Reads `@target-uri | @path`, and `@query?` for what must be covered where it is there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (names, if_there) = match text.strip_suffix('?') {
            Some(names) => (names, true),
            None => (text, false),
        };
        let any = names.split('|').map(Component::parse).collect::<Result<_, _>>()?;
        Ok(Self { any, if_there })
    }

    /// Must one be covered in this request?
    pub fn asks(&self, scene: &Scene<'_>) -> bool {
        !self.if_there || self.any.iter().any(|one| one.is_there(scene))
    }
}

impl Opened {
    /// Feeds a frame of the body.
    pub fn update(&mut self, frame: &[u8]) {
        if let Some(digest) = &mut self.digest {
            digest.update(frame);
        }
    }

    /// Is the body, all of which was fed, the one that is signed?
    pub fn check_body(&mut self) -> Result<(), Cause> {
        self.digest.take().map_or(Ok(()), Stated::check)
    }
}

/// The signature base (2.5): a line for every component, and the parameters.
fn base(scene: &Scene<'_>, covered: &[Component], items: &[Item], params: &Params) -> Result<Vec<u8>, Cause> {
    let mut base = Vec::with_capacity(512);
    for (component, item) in covered.iter().zip(items) {
        base.extend_from_slice(item.text().as_bytes());
        base.extend_from_slice(b": ");
        component.write(scene, &mut base)?;
        base.push(b'\n');
    }
    base.extend_from_slice(b"\"@signature-params\": ");
    base.extend_from_slice(list_text(items, params).as_bytes());
    Ok(base)
}

/// The index of the secret that made `signature`. All are tried, so that time does not tell which one it was.
fn by(keys: &Keys, base: &[u8], signature: &[u8]) -> Option<usize> {
    let mut found = None;
    for (index, key) in keys.iter().enumerate() {
        let right = match key {
            Key::Mac(keyed) => {
                let mut mac = keyed.clone();
                mac.update(base);
                mac.finish().is(signature)
            }
            Key::Public(publics) => publics.iter().any(|public| public.verifies(base, signature)),
            Key::Plain(_) | Key::Token { .. } => false,
        };
        if right && found.is_none() {
            found = Some(index);
        }
    }
    found
}

/// The field of the signed time.
pub fn created() -> Field {
    Field {
        place: Place::Part(CREATED.to_owned()),
        name: CREATED.into(),
        optional: false,
        second: None,
    }
}

/// The lines of a covered header as one value.
pub fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    structured::combined(headers, name)
}
