//! Keys in every form they are written in, and what they then say of a signature.

use super::*;
use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use data_encoding::BASE64_MIME;
use data_encoding::BASE64URL_NOPAD;

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
    let written = jwk::read(Algorithm::JwtRs256, text.as_bytes()).expect("a set");
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].bytes, pkcs1);
}
