//! Signatures by public keys: Ed25519, ECDSA on P-256 and P-384, RSA; and the ways in which such keys are written.

use super::preset::{Algorithm, KeyRule};
use aws_lc_rs::signature::{self as sig, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};
use data_encoding::{BASE64, BASE64URL_NOPAD, Encoding, HEXLOWER_PERMISSIVE};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;

/// A JWKS may hold several keys; more than this is a mistake.
const MAX_KEYS: usize = 16;

/// A public key, parsed once.
pub struct PublicKey {
    key: ParsedPublicKey,
    /// The same key for the older digest, where the provider may use either.
    older: Option<ParsedPublicKey>,
}

impl PublicKey {
    /// Reads the keys that `text` holds (several in a JWKS only); the reason where it cannot be read never quotes it.
    pub fn read(algorithm: Algorithm, rule: KeyRule, text: &[u8]) -> Result<Vec<Self>, String> {
        let scheme = scheme(algorithm).ok_or("this algorithm has no public key")?;
        let keys = match rule {
            KeyRule::Hex => vec![decode(&HEXLOWER_PERMISSIVE, text, "hex")?],
            KeyRule::Base64 | KeyRule::Spki => vec![decode(&BASE64, text, "base64")?],
            KeyRule::Whpk => {
                let bare = text.strip_prefix(b"whpk_").unwrap_or(text);
                vec![decode(&BASE64, bare, "base64 after an optional `whpk_`")?]
            }
            KeyRule::Certificate if text.trim_ascii_start().starts_with(b"-----BEGIN CERTIFICATE-----") => {
                vec![certificate(text)?]
            }
            KeyRule::Pem | KeyRule::Certificate => vec![pem(text)?],
            KeyRule::Jwk if text.trim_ascii_start().starts_with(b"-----BEGIN") => vec![pem(text)?],
            KeyRule::Jwk => jwk(algorithm, text)?,
            KeyRule::Utf8 | KeyRule::Whsec | KeyRule::Sha1 => vec![text.to_vec()],
        };
        keys.into_iter()
            .map(|bytes| {
                let parse = |scheme| {
                    UnparsedPublicKey::new(scheme, bytes.as_slice())
                        .parse()
                        .map_err(|_| format!("it is not a public key for {}", algorithm.as_str()))
                };
                let older = (algorithm == Algorithm::RsaSha256OrSha1)
                    .then(|| parse(&sig::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY));
                Ok(Self {
                    key: parse(scheme)?,
                    older: older.transpose()?,
                })
            })
            .collect()
    }

    /// Is `signature` right for `message`?
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verifies = |key: &ParsedPublicKey| key.verify_sig(message, signature).is_ok();
        verifies(&self.key) || self.older.as_ref().is_some_and(verifies)
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

/// The public key of the first certificate of a PEM, as `SubjectPublicKeyInfo`. It is pinned: who issued it, and until
/// when it is valid, was decided by whoever put it there.
fn certificate(text: &[u8]) -> Result<Vec<u8>, String> {
    let der = CertificateDer::from_pem_slice(text).map_err(|_| "it is not a certificate in PEM form")?;
    let parsed = webpki::EndEntityCert::try_from(&der).map_err(|_| "it is not a certificate that can be read")?;
    Ok(parsed.subject_public_key_info().to_vec())
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// The keys of a JWK or JWKS (RFC 7517) in the form that the verifier reads.
fn jwk(algorithm: Algorithm, text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let keys = match serde_json::from_slice::<Jwks>(text) {
        Ok(set) => set.keys,
        Err(_) => vec![serde_json::from_slice::<Jwk>(text).map_err(|_| "it is neither a JWK nor a JWKS")?],
    };
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(format!("a JWKS must hold 1 to {MAX_KEYS} keys"));
    }
    let part = |text: &str| {
        BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| "a part of the JWK is not base64url".to_owned())
    };
    keys.iter()
        .map(|key| match (algorithm, key.kty.as_str(), key.crv.as_str()) {
            (Algorithm::JwtEs256 | Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP256Sha256Fixed, "EC", "P-256")
            | (Algorithm::EcdsaP384Sha384, "EC", "P-384") => Ok([&[4][..], &part(&key.x)?, &part(&key.y)?].concat()),
            (Algorithm::Ed25519, "OKP", "Ed25519") => part(&key.x),
            (Algorithm::JwtRs256 | Algorithm::RsaSha256 | Algorithm::RsaSha1 | Algorithm::RsaPssSha512, "RSA", _) => {
                Ok(sequence(&[integer(&part(&key.n)?), integer(&part(&key.e)?)].concat()))
            }
            _ => Err(format!("the JWK is of another kind than {} needs", algorithm.as_str())),
        })
        .collect()
}

/// DER `SEQUENCE`.
fn sequence(content: &[u8]) -> Vec<u8> {
    tagged(0x30, content)
}

/// DER `INTEGER` of an unsigned number.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let mut content = Vec::with_capacity(number.len() + 1);
    // A set top bit would make it negative.
    if number.get(start).is_none_or(|byte| byte & 0x80 != 0) {
        content.push(0);
    }
    content.extend_from_slice(&number[start..]);
    tagged(0x02, &content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut der = vec![tag];
    match (content.len(), u8::try_from(significant.len())) {
        (..0x80, _) => der.push(significant.first().copied().unwrap_or(0)),
        (_, Ok(count)) => {
            der.push(0x80 | count);
            der.extend_from_slice(significant);
        }
        (_, Err(_)) => unreachable!("a length has at most eight bytes"),
    }
    der.extend_from_slice(content);
    der
}
