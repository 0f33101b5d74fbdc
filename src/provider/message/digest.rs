//! `Content-Digest` (RFC 9530) held against the body as it arrives.

use super::structured::{Fault, Member, combined, dictionary};
use crate::provider::evidence::Cause;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName};
use sfv::BareItem;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// The header's name.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The digests that a request states, each with its hasher. All of them must be right.
pub struct Stated {
    sha256: Option<(Sha256, Vec<u8>)>,
    sha512: Option<(Sha512, Vec<u8>)>,
}

impl Stated {
    /// Reads the header. Of the registered algorithms only `sha-256` and `sha-512` prove anything; one of them must be there.
    pub fn read(headers: &HeaderMap) -> Result<Self, Cause> {
        let name = || CONTENT_DIGEST.as_str().into();
        let text = combined(headers, &CONTENT_DIGEST).ok_or_else(|| Cause::BodyHashMissing(name()))?;
        let members = dictionary(&text).map_err(|fault| match fault {
            Fault::Doubled => Cause::FieldDoubled(name()),
            Fault::Malformed | Fault::TooLong => Cause::ComponentUnfit(name()),
        })?;
        let mut stated = Self {
            sha256: None,
            sha512: None,
        };
        for (key, member) in members {
            let digest = match member {
                Member::Item(item) => match item.value {
                    BareItem::ByteSequence(bytes) => Some(bytes),
                    _ => None,
                },
                Member::List(..) => None,
            };
            match key.as_str() {
                "sha-256" => {
                    stated.sha256 = Some((Sha256::new(), digest.ok_or_else(|| Cause::ComponentUnfit(name()))?));
                }
                "sha-512" => {
                    stated.sha512 = Some((Sha512::new(), digest.ok_or_else(|| Cause::ComponentUnfit(name()))?));
                }
                _ => {}
            }
        }
        if stated.sha256.is_none() && stated.sha512.is_none() {
            return Err(Cause::BodyHashMissing("content-digest: sha-256".into()));
        }
        Ok(stated)
    }

    /// Feeds a frame of the body.
    pub fn update(&mut self, frame: &[u8]) {
        if let Some((hasher, _)) = &mut self.sha256 {
            hasher.update(frame);
        }
        if let Some((hasher, _)) = &mut self.sha512 {
            hasher.update(frame);
        }
    }

    /// Are they the digests of what was fed?
    pub fn check(self) -> Result<(), Cause> {
        let sha256 = self
            .sha256
            .is_none_or(|(hasher, digest)| hasher.finalize()[..].ct_eq(&digest).into());
        let sha512 = self
            .sha512
            .is_none_or(|(hasher, digest)| hasher.finalize()[..].ct_eq(&digest).into());
        if sha256 && sha512 {
            Ok(())
        } else {
            Err(Cause::BodyHashWrong(CONTENT_DIGEST.as_str().into()))
        }
    }
}

/// The header's value for a body.
pub fn written(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body)))
}
