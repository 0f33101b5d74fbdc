//! Keys as JSON (RFC 7517): one, or a set of which those of other kinds and uses are left out.

use super::Written;
use crate::provider::{jwt, preset::Algorithm};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::Value;

/// A set may hold several keys; more than this that fit are a mistake.
const MAX_KEYS: usize = 16;

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
    kid: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    alg: Option<String>,
    key_ops: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Jwks {
    // Each by itself: a key that we cannot read must not keep us from the others.
    keys: Vec<Value>,
}

/// The keys of a JWK or JWKS in the form that the verifier reads.
pub(super) fn read(algorithm: Algorithm, text: &[u8]) -> Result<Vec<Written>, String> {
    let Ok(Jwks { keys }) = serde_json::from_slice::<Jwks>(text) else {
        let one: Jwk = serde_json::from_slice(text).map_err(|_| "it is neither a JWK nor a JWKS")?;
        return Ok(vec![one.written(algorithm)?]);
    };
    let mut fault = format!("none of its keys is one for {}", algorithm.as_str());
    let mut fit = Vec::new();
    for key in keys {
        let Ok(key) = serde_json::from_value::<Jwk>(key) else {
            continue;
        };
        if !key.is_for(algorithm) {
            continue;
        }
        match key.written(algorithm) {
            Ok(written) => fit.push(written),
            Err(reason) => fault = reason,
        }
    }
    match fit.len() {
        0 => Err(fault),
        1..=MAX_KEYS => Ok(fit),
        count => Err(format!(
            "{count} keys are too many: a JWKS may hold {MAX_KEYS} of a kind"
        )),
    }
}

impl Jwk {
    /// Is it one of our kind, and meant for signatures (RFC 7517, 4.2 to 4.4)?
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::JwtEs256 | Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP256Sha256Fixed => {
                self.kty == "EC" && self.crv == "P-256"
            }
            Algorithm::EcdsaP384Sha384 => self.kty == "EC" && self.crv == "P-384",
            Algorithm::Ed25519 => self.kty == "OKP" && self.crv == "Ed25519",
            Algorithm::JwtRs256 | Algorithm::RsaSha256 | Algorithm::RsaSha1 | Algorithm::RsaPssSha512 => {
                self.kty == "RSA"
            }
            _ => false,
        };
        let signs = self.used_for.as_deref().is_none_or(|used| used == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let named = !algorithm.is_jwt() || self.alg.as_deref().is_none_or(|alg| alg == jwt::name(algorithm));
        kind && signs && named
    }

    fn written(self, algorithm: Algorithm) -> Result<Written, String> {
        if !self.is_for(algorithm) {
            return Err(format!("the JWK is of another kind than {} needs", algorithm.as_str()));
        }
        let part = |text: &str| {
            BASE64URL_NOPAD
                .decode(text.as_bytes())
                .map_err(|_| "a part of the JWK is not base64url".to_owned())
        };
        let bytes = match self.kty.as_str() {
            "EC" => [&[4][..], &part(&self.x)?, &part(&self.y)?].concat(),
            "OKP" => part(&self.x)?,
            _ => sequence(&[integer(&part(&self.n)?), integer(&part(&self.e)?)].concat()),
        };
        Ok(Written { bytes, kid: self.kid })
    }
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

    #[test]
    fn keys_of_other_kinds_and_uses_are_left_out_of_a_set() {
        let ours = r#"{"kty":"OKP","crv":"Ed25519","x":"AQAB","kid":"a"}"#;
        let set = |keys: &[&str]| {
            let text = format!("{{\"keys\":[{}]}}", keys.join(","));
            read(Algorithm::Ed25519, text.as_bytes())
        };
        let others = [
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"AQAB"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"AQAB","use":"enc"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"AQAB","key_ops":["sign"]}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"not base64url!"}"#,
            r#"{"kty":7}"#,
            "null",
        ];
        let read = set(&[&others[..], &[ours]].concat()).expect("one fits");
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].kid.as_deref(), read[0].bytes.as_slice()),
            (Some("a"), &[1, 0, 1][..])
        );
        for other in others {
            assert!(set(&[other]).is_err(), "{other}");
        }
        assert!(set(&[]).is_err() && set(&[ours; MAX_KEYS]).is_ok() && set(&[ours; MAX_KEYS + 1]).is_err());
    }

    #[test]
    fn a_key_for_another_jwt_algorithm_is_none_of_ours() {
        let key = |alg: &str| format!(r#"{{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"{alg}"}}"#);
        assert!(read(Algorithm::JwtRs256, key("RS256").as_bytes()).is_ok());
        assert!(read(Algorithm::JwtRs256, key("RSA-OAEP").as_bytes()).is_err());
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
