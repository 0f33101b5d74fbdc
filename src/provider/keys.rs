//! The secrets of a source, compiled once: keyed MAC states, token digests, public keys.

use super::{
    Encoding, KeyText, Problem,
    asymmetric::{PublicKey, Validity},
    mac::Mac,
    preset::{Algorithm, KeyRule},
};
use crate::event::{Secret, Timestamp};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// More than this many secrets at once is no rotation any more.
pub const MAX_SECRETS: usize = 8;
/// Shorter keys can be guessed; `allow_short` says that one is meant.
const MIN_BYTES: usize = 8;

/// The secrets of one source, compiled for its provider, newest first.
pub struct Keys {
    keys: Vec<Key>,
    /// Of a certificate that was fetched; who pins one has decided for how long.
    validity: Option<Validity>,
}

/// A compiled secret.
#[expect(clippy::large_enum_variant, reason = "few, long-lived, and read on every request")]
pub(super) enum Key {
    /// The keyed state of a MAC.
    Mac(Mac),
    /// The secret of a plain digest, which stands in the text.
    Plain(Secret),
    /// A token or basic credentials.
    Token {
        /// SHA-256 of it: what is compared, so that a comparison tells neither content nor length.
        digest: [u8; 32],
        /// Itself, for `sign`.
        text: Secret,
    },
    /// Public keys, several where the secret is a JWKS.
    Public(Vec<PublicKey>),
}

impl Keys {
    /// Compiles the secrets; every problem at once, none quoting a secret.
    pub(super) fn compile(algorithm: Algorithm, rule: KeyRule, secrets: &[KeyText]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        if algorithm == Algorithm::None {
            return Ok(Self::none());
        }
        if secrets.len() > MAX_SECRETS {
            problems.push(Problem {
                at: format!("/{MAX_SECRETS}"),
                message: format!(
                    "{} secrets are too many: at most {MAX_SECRETS} may be valid at once",
                    secrets.len()
                ),
                hint: Some("remove those that no sender uses any more".to_owned()),
            });
        }
        let mut keys = Vec::with_capacity(secrets.len());
        for (index, secret) in secrets.iter().enumerate() {
            match compile(algorithm, rule, secret) {
                Ok(key) => keys.push(key),
                Err((message, hint)) => problems.push(Problem {
                    at: format!("/{index}"),
                    message,
                    hint: hint.map(str::to_owned),
                }),
            }
        }
        if problems.is_empty() {
            Ok(Self { keys, validity: None })
        } else {
            Err(problems)
        }
    }

    fn none() -> Self {
        Self {
            keys: Vec::new(),
            validity: None,
        }
    }

    /// Reads what stands where a provider publishes its keys.
    pub(super) fn published(algorithm: Algorithm, rule: KeyRule, text: &[u8]) -> Result<Self, String> {
        let (keys, validity) = PublicKey::published(algorithm, rule, text)?;
        Ok(Self {
            keys: vec![Key::Public(keys)],
            validity,
        })
    }

    /// Could one of them be the key of this name? One that has no name may be any.
    pub fn knows(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| match key {
            Key::Public(publics) => publics.iter().any(|key| key.kid().is_none_or(|own| own == kid)),
            _ => false,
        })
    }

    /// Are they valid at this time?
    pub(super) fn hold(&self, now: Timestamp) -> bool {
        self.validity.is_none_or(|validity| validity.holds(now))
    }

    /// How many secrets there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    pub(super) fn at(&self, index: usize) -> Option<&Key> {
        self.keys.get(index)
    }

    /// The keyed state of this secret, if it has one.
    pub(super) fn mac(&self, index: usize) -> Option<&Mac> {
        match self.keys.get(index) {
            Some(Key::Mac(mac)) => Some(mac),
            _ => None,
        }
    }

    /// The index of the token that `candidate` is. All are compared, so that time does not tell which one.
    pub(super) fn token(&self, candidate: &[u8]) -> Option<usize> {
        let digest = Sha256::digest(candidate);
        let mut found = None;
        for (index, key) in self.keys.iter().enumerate() {
            if let Key::Token { digest: ours, .. } = key
                && bool::from(ours.ct_eq(&digest[..]))
                && found.is_none()
            {
                found = Some(index);
            }
        }
        found
    }
}

type Fault = (String, Option<&'static str>);

fn compile(algorithm: Algorithm, rule: KeyRule, secret: &KeyText) -> Result<Key, Fault> {
    let text = secret.secret.expose();
    if text.trim_ascii().is_empty() {
        return Err(("the secret is empty".to_owned(), None));
    }
    if algorithm.is_asymmetric() {
        let rule = match secret.encoding {
            Encoding::Preset => rule,
            Encoding::Utf8 => KeyRule::Utf8,
            Encoding::Base64 => KeyRule::Base64,
            Encoding::Hex => KeyRule::Hex,
        };
        return PublicKey::read(algorithm, rule, text)
            .map(Key::Public)
            .map_err(|message| {
                (
                    message,
                    Some("this provider signs with a private key of its own: paste its public key"),
                )
            });
    }
    if text.trim_ascii_start().starts_with(b"-----BEGIN") || text.starts_with(b"whpk_") {
        let message = format!("it is a public key, but {} needs a shared secret", algorithm.as_str());
        return Err((message, Some("a public key as shared secret would let anybody sign")));
    }
    let key = symmetric(rule, secret)?;
    if key.expose().is_empty() {
        return Err(("the secret is empty".to_owned(), None));
    }
    if key.expose().len() < MIN_BYTES && !secret.allow_short {
        let message = format!("the key has {} bytes, fewer than {MIN_BYTES}", key.expose().len());
        return Err((message, Some("use a longer one, or say `allow_short: true`")));
    }
    if algorithm.is_bare() {
        if algorithm == Algorithm::Basic && !key.expose().contains(&b':') {
            return Err(("basic credentials are `user:password`".to_owned(), None));
        }
        return Ok(Key::Token {
            digest: Sha256::digest(key.expose()).into(),
            text: key,
        });
    }
    if algorithm.is_plain_digest() {
        return Ok(Key::Plain(key));
    }
    Mac::new(algorithm, key.expose())
        .map(Key::Mac)
        .ok_or_else(|| (format!("{} takes no shared secret", algorithm.as_str()), None))
}

fn symmetric(rule: KeyRule, secret: &KeyText) -> Result<Secret, Fault> {
    let text = secret.secret.expose();
    let base64 = |text: &[u8]| {
        BASE64.decode(text).map_err(|_| {
            (
                "it is not base64".to_owned(),
                Some("was it cut, or is a blank or line end in it?"),
            )
        })
    };
    let hex = |text: &[u8]| {
        HEXLOWER_PERMISSIVE.decode(text).map_err(|_| {
            (
                "it is not hex".to_owned(),
                Some("was it cut, or is a blank or line end in it?"),
            )
        })
    };
    let bytes = match (secret.encoding, rule) {
        (Encoding::Base64 | Encoding::Preset, KeyRule::Whsec) => base64(text.strip_prefix(b"whsec_").unwrap_or(text))?,
        (Encoding::Base64, _) | (Encoding::Preset, KeyRule::Base64 | KeyRule::Spki | KeyRule::Whpk) => base64(text)?,
        (Encoding::Hex, _) | (Encoding::Preset, KeyRule::Hex) => hex(text)?,
        (Encoding::Utf8, _)
        | (Encoding::Preset, KeyRule::Utf8 | KeyRule::Sha1 | KeyRule::Pem | KeyRule::Certificate | KeyRule::Jwk) => {
            text.to_vec()
        }
    };
    let bytes = Secret::new(bytes);
    if rule == KeyRule::Sha1 {
        return Ok(Secret::new(Sha1::digest(bytes.expose()).to_vec()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
