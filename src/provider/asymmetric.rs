//! Signatures by public keys: Ed25519, ECDSA on P-256 and P-384, RSA; and the ways in which such keys are written.

mod certificate;
mod jwk;

pub use certificate::Validity;

use super::preset::{Algorithm, KeyRule};
use aws_lc_rs::signature::{self as sig, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};
use certificate::Certificate;
use data_encoding::{BASE64, Encoding, HEXLOWER_PERMISSIVE};

/// A public key, parsed once.
pub struct PublicKey {
    key: ParsedPublicKey,
    /// The same key for the older digest, where the provider may use either.
    older: Option<ParsedPublicKey>,
    /// Its name in a key set.
    kid: Option<String>,
}

/// What a key was read from, before it is parsed.
struct Written {
    bytes: Vec<u8>,
    kid: Option<String>,
}

impl From<Vec<u8>> for Written {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, kid: None }
    }
}

impl PublicKey {
    /// Reads the keys that `text` holds (several in a JWKS only); the reason where it cannot be read never quotes it.
    pub fn read(algorithm: Algorithm, rule: KeyRule, text: &[u8]) -> Result<Vec<Self>, String> {
        let scheme = scheme(algorithm).ok_or("this algorithm has no public key")?;
        let keys = match rule {
            KeyRule::Hex => vec![decode(&HEXLOWER_PERMISSIVE, text, "hex")?.into()],
            KeyRule::Base64 | KeyRule::Spki => vec![decode(&BASE64, text, "base64")?.into()],
            KeyRule::Whpk => {
                let bare = text.strip_prefix(b"whpk_").unwrap_or(text);
                vec![decode(&BASE64, bare, "base64 after an optional `whpk_`")?.into()]
            }
            // It is pinned: who issued it, and until when it is valid, was decided by whoever put it there.
            KeyRule::Certificate if certificate::is_one(text) => vec![Certificate::read(text)?.key.into()],
            KeyRule::Pem | KeyRule::Certificate => vec![pem(text)?.into()],
            KeyRule::Jwk if text.trim_ascii_start().starts_with(b"-----BEGIN") => vec![pem(text)?.into()],
            KeyRule::Jwk => jwk::read(algorithm, text)?,
            KeyRule::Utf8 | KeyRule::Whsec | KeyRule::Sha1 => vec![text.to_vec().into()],
        };
        keys.into_iter()
            .map(|key| Self::parse(algorithm, scheme, key))
            .collect()
    }

    /// Reads what stands where a provider publishes its keys; for a certificate also from when until when it is valid.
    pub fn published(
        algorithm: Algorithm,
        rule: KeyRule,
        text: &[u8],
    ) -> Result<(Vec<Self>, Option<Validity>), String> {
        if rule != KeyRule::Certificate {
            return Ok((Self::read(algorithm, rule, text)?, None));
        }
        let scheme = scheme(algorithm).ok_or("this algorithm has no public key")?;
        let Certificate { key, validity } = Certificate::read(text)?;
        Ok((vec![Self::parse(algorithm, scheme, key.into())?], Some(validity)))
    }

    fn parse(
        algorithm: Algorithm,
        scheme: &'static dyn VerificationAlgorithm,
        written: Written,
    ) -> Result<Self, String> {
        let parse = |scheme| {
            UnparsedPublicKey::new(scheme, written.bytes.as_slice())
                .parse()
                .map_err(|_| format!("it is not a public key for {}", algorithm.as_str()))
        };
        let older = (algorithm == Algorithm::RsaSha256OrSha1)
            .then(|| parse(&sig::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY));
        Ok(Self {
            key: parse(scheme)?,
            older: older.transpose()?,
            kid: written.kid,
        })
    }

    /// Its name in the key set it is of; `None`: it has none, and may be any.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Is `signature` right for `message`?
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    /// Is `signature` right for `message` by the older digest?
    pub fn verifies_by_older(&self, message: &[u8], signature: &[u8]) -> bool {
        self.older
            .as_ref()
            .is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }
}

fn scheme(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::Ed25519 => &sig::ED25519,
        Algorithm::EcdsaP256Sha256 => &sig::ECDSA_P256_SHA256_ASN1,
        Algorithm::JwtEs256 | Algorithm::EcdsaP256Sha256Fixed => &sig::ECDSA_P256_SHA256_FIXED,
        Algorithm::EcdsaP384Sha384 => &sig::ECDSA_P384_SHA384_FIXED,
        Algorithm::RsaPssSha512 => &sig::RSA_PSS_2048_8192_SHA512,
        Algorithm::RsaSha256 | Algorithm::RsaSha256OrSha1 | Algorithm::JwtRs256 => &sig::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RsaSha1 => &sig::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        _ => return None,
    })
}

fn decode(codec: &Encoding, text: &[u8], what: &str) -> Result<Vec<u8>, String> {
    codec.decode(text.trim_ascii()).map_err(|_| format!("it is not {what}"))
}

/// The DER inside a PEM of a public key.
fn pem(text: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not a PEM")?.trim();
    let inside = ["PUBLIC KEY", "RSA PUBLIC KEY"].iter().find_map(|kind| {
        text.strip_prefix(&format!("-----BEGIN {kind}-----"))?
            .strip_suffix(&format!("-----END {kind}-----"))
    });
    let Some(inside) = inside else {
        return Err(if text.contains("PRIVATE KEY") {
            "it is a private key; the provider's public key is wanted".to_owned()
        } else if text.contains("CERTIFICATE") {
            "it is a certificate; its public key is wanted (openssl x509 -pubkey -noout)".to_owned()
        } else {
            "it is not the PEM of one public key (`-----BEGIN PUBLIC KEY-----`)".to_owned()
        });
    };
    let base64: Vec<u8> = inside.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    decode(&BASE64, &base64, "a PEM: what is between its lines is not base64")
}

#[cfg(test)]
mod tests;
