//! Signatures by public keys: Ed25519, ECDSA on P-256, RSA; and the ways in which such keys are written.

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
        Algorithm::JwtEs256 => &sig::ECDSA_P256_SHA256_FIXED,
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
            (Algorithm::JwtEs256 | Algorithm::EcdsaP256Sha256, "EC", "P-256") => {
                Ok([&[4][..], &part(&key.x)?, &part(&key.y)?].concat())
            }
            (Algorithm::Ed25519, "OKP", "Ed25519") => part(&key.x),
            (Algorithm::JwtRs256 | Algorithm::RsaSha256 | Algorithm::RsaSha1, "RSA", _) => {
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
            der.push(0x80 + count);
            der.extend_from_slice(significant);
        }
        (_, Err(_)) => unreachable!("a length has at most eight bytes"),
    }
    der.extend_from_slice(content);
    der
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::{
        rand::SystemRandom,
        rsa,
        signature::{
            ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        },
    };
    use data_encoding::BASE64_MIME;

    const MESSAGE: &[u8] = b"what was signed";

    fn pem_of(kind: &str, der: &[u8]) -> String {
        format!(
            "-----BEGIN {kind}-----\n{}-----END {kind}-----\n",
            BASE64_MIME.encode(der)
        )
    }

    fn okp(public: &[u8]) -> String {
        let x = BASE64URL_NOPAD.encode(public);
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
    }

    /// The keys that `text` holds, and which of them says that `signature` is right.
    fn judged(algorithm: Algorithm, rule: KeyRule, text: &str, signature: &[u8]) -> Result<Vec<bool>, String> {
        let keys = PublicKey::read(algorithm, rule, text.as_bytes())?;
        Ok(keys.iter().map(|key| key.verifies(MESSAGE, signature)).collect())
    }

    #[test]
    fn a_key_is_the_same_in_every_form() {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let signature = pair.sign(MESSAGE);
        let public = pair.public_key().as_ref();
        // SubjectPublicKeyInfo (RFC 8410, section 4).
        let spki = [&b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..], public].concat();
        for (rule, text) in [
            (KeyRule::Hex, data_encoding::HEXLOWER.encode(public)),
            (KeyRule::Base64, BASE64.encode(public)),
            (KeyRule::Whpk, format!("whpk_{}", BASE64.encode(public))),
            (KeyRule::Spki, BASE64.encode(&spki)),
            (KeyRule::Pem, pem_of("PUBLIC KEY", &spki)),
            (KeyRule::Certificate, pem_of("PUBLIC KEY", &spki)),
            (KeyRule::Jwk, pem_of("PUBLIC KEY", &spki)),
            (KeyRule::Jwk, okp(public)),
        ] {
            let judged = judged(Algorithm::Ed25519, rule, &text, signature.as_ref());
            assert_eq!(judged, Ok(vec![true]), "{rule:?} {text}");
        }
        let other = Ed25519KeyPair::generate().expect("a key");
        let judged = judged(
            Algorithm::Ed25519,
            KeyRule::Jwk,
            &okp(other.public_key().as_ref()),
            signature.as_ref(),
        );
        assert_eq!(judged, Ok(vec![false]));
    }

    #[test]
    fn a_set_has_one_to_sixteen_keys() {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let one = okp(pair.public_key().as_ref());
        let set = |count: usize| {
            let set = format!(r#"{{"keys":[{}]}}"#, vec![one.as_str(); count].join(","));
            judged(Algorithm::Ed25519, KeyRule::Jwk, &set, pair.sign(MESSAGE).as_ref()).map(|keys| keys.len())
        };
        assert_eq!((set(1), set(16)), (Ok(1), Ok(16)));
        assert!(set(0).is_err() && set(17).is_err());
    }

    #[test]
    fn a_jwk_of_a_curve_is_the_point_and_one_of_another_kind_is_none() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let signature = pair.sign(&SystemRandom::new(), MESSAGE).expect("signed");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        let key = |curve: &str| format!(r#"{{"kty":"EC","crv":"{curve}","x":"{x}","y":"{y}"}}"#);
        let judged = |algorithm, text: &str| judged(algorithm, KeyRule::Jwk, text, signature.as_ref());
        assert_eq!(judged(Algorithm::EcdsaP256Sha256, &key("P-256")), Ok(vec![true]));
        assert!(judged(Algorithm::EcdsaP256Sha256, &key("P-384")).is_err());
        assert!(judged(Algorithm::Ed25519, &key("P-256")).is_err());
        assert!(judged(Algorithm::JwtRs256, &key("P-256")).is_err());
    }

    #[test]
    fn a_jwk_of_rsa_is_the_key_of_pkcs_1() {
        let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
        let pkcs1 = key.public_key().as_ref().to_vec();
        // SEQUENCE { INTEGER n, INTEGER e }, and n begins with a zero because its top bit is set.
        let (n, e) = (&pkcs1[9..265], &pkcs1[pkcs1.len() - 3..]);
        let (n, e) = (BASE64URL_NOPAD.encode(n), BASE64URL_NOPAD.encode(e));
        let text = format!(r#"{{"keys":[{{"kty":"RSA","n":"{n}","e":"{e}"}}]}}"#);
        let mut signature = vec![0; RsaKeyPair::public_modulus_len(&key)];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), MESSAGE, &mut signature)
            .expect("signed");
        for (rule, text) in [
            (KeyRule::Jwk, text.clone()),
            (KeyRule::Pem, pem_of("RSA PUBLIC KEY", &pkcs1)),
        ] {
            assert_eq!(
                judged(Algorithm::RsaSha256, rule, &text, &signature),
                Ok(vec![true]),
                "{rule:?}"
            );
        }
        assert_eq!(jwk(Algorithm::JwtRs256, text.as_bytes()), Ok(vec![pkcs1]));
    }

    /// X.690, sections 8.1.3 and 8.3.
    #[test]
    fn der_is_distinguished() {
        for (number, der) in [
            (&[0x00][..], &[0x02, 1, 0x00][..]),
            (&[], &[0x02, 1, 0x00]),
            (&[0x7f], &[0x02, 1, 0x7f]),
            (&[0x80], &[0x02, 2, 0x00, 0x80]),
            (&[0x00, 0x00, 0x01, 0x00], &[0x02, 2, 0x01, 0x00]),
        ] {
            assert_eq!(integer(number), der, "{number:?}");
        }
        for (length, head) in [
            (0, &[0x30, 0][..]),
            (0x7f, &[0x30, 0x7f]),
            (0x80, &[0x30, 0x81, 0x80]),
            (0x12c, &[0x30, 0x82, 0x01, 0x2c]),
        ] {
            let der = sequence(&vec![7; length]);
            assert_eq!((&der[..head.len()], der.len() - head.len()), (head, length));
        }
    }
}
