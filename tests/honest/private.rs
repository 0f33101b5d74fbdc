//! Senders that sign with a private key: each gets one of its own, and the source its public key.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_SHA256,
    },
};
use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use hookward::{
    event::Timestamp,
    provider::{Preset, preset::KeyRule},
};
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

/// The private key of one preset, and how its provider signs.
pub enum PrivateKey {
    Discord(Ed25519KeyPair),
    StandardWebhooks(Ed25519KeyPair),
    Telnyx(Ed25519KeyPair),
    SendGrid(EcdsaKeyPair),
    Plaid(EcdsaKeyPair),
    Wise(Box<signature::RsaKeyPair>),
}

impl PrivateKey {
    pub fn of(preset: &Preset) -> Option<Self> {
        let ed25519 = || Ed25519KeyPair::generate().expect("a key");
        let ecdsa = |algorithm| EcdsaKeyPair::generate(algorithm).expect("a key");
        Some(match preset.name.as_str() {
            "discord" => Self::Discord(ed25519()),
            "standard-webhooks-v1a" => Self::StandardWebhooks(ed25519()),
            "telnyx" => Self::Telnyx(ed25519()),
            "sendgrid" => Self::SendGrid(ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)),
            "plaid" => Self::Plaid(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)),
            "wise" => Self::Wise(Box::new(
                signature::RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
            )),
            _ => return None,
        })
    }

    /// The public key as `secrets` holds it.
    pub fn public(&self, rule: KeyRule) -> String {
        match self {
            Self::Discord(key) | Self::StandardWebhooks(key) | Self::Telnyx(key) => {
                let bytes = key.public_key().as_ref();
                match rule {
                    KeyRule::Hex => HEXLOWER.encode(bytes),
                    KeyRule::Whpk => format!("whpk_{}", BASE64.encode(bytes)),
                    _ => BASE64.encode(bytes),
                }
            }
            Self::SendGrid(key) => BASE64.encode(key.public_key().as_der().expect("a key").as_ref()),
            Self::Plaid(key) => {
                let point = key.public_key().as_ref();
                let part = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
                let (x, y) = (part(&point[1..33]), part(&point[33..65]));
                format!(r#"{{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"one","x":"{x}","y":"{y}"}}"#)
            }
            Self::Wise(key) => {
                let der = key.public_key().as_der().expect("a key");
                let text = BASE64.encode(der.as_ref());
                format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
            }
        }
    }

    /// The headers of the signature.
    pub fn sign(&self, body: &Bytes, id: &str, at: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
        let time = at.as_secs().to_string();
        let random = SystemRandom::new();
        let pairs = match self {
            Self::Discord(key) => {
                let mac = key.sign(&[time.as_bytes(), body].concat());
                vec![
                    ("x-signature-timestamp", time),
                    ("x-signature-ed25519", HEXLOWER.encode(mac.as_ref())),
                ]
            }
            Self::StandardWebhooks(key) => {
                let mac = key.sign(&[format!("{id}.{time}.").as_bytes(), body].concat());
                let mac = format!("v1a,{}", BASE64.encode(mac.as_ref()));
                vec![("webhook-timestamp", time), ("webhook-signature", mac)]
            }
            Self::Telnyx(key) => {
                let mac = key.sign(&[time.as_bytes(), b"|", body].concat());
                vec![
                    ("telnyx-timestamp", time),
                    ("telnyx-signature-ed25519", BASE64.encode(mac.as_ref())),
                ]
            }
            Self::SendGrid(key) => {
                let mac = key.sign(&random, &[time.as_bytes(), body].concat()).expect("signed");
                vec![
                    ("x-twilio-email-event-webhook-timestamp", time),
                    ("x-twilio-email-event-webhook-signature", BASE64.encode(mac.as_ref())),
                ]
            }
            Self::Plaid(key) => {
                let header = BASE64URL_NOPAD.encode(br#"{"alg":"ES256","kid":"one","typ":"JWT"}"#);
                let digest = HEXLOWER.encode(&Sha256::digest(body));
                let claims = format!(r#"{{"iat":{time},"request_body_sha256":"{digest}"}}"#);
                let text = format!("{header}.{}", BASE64URL_NOPAD.encode(claims.as_bytes()));
                let mac = key.sign(&random, text.as_bytes()).expect("signed");
                vec![(
                    "plaid-verification",
                    format!("{text}.{}", BASE64URL_NOPAD.encode(mac.as_ref())),
                )]
            }
            Self::Wise(key) => {
                let mut mac = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, body, &mut mac).expect("signed");
                vec![("x-signature-sha256", BASE64.encode(&mac))]
            }
        };
        let header = |(name, value): (&'static str, String)| {
            let value = HeaderValue::try_from(value).expect("printable");
            (HeaderName::from_static(name), value)
        };
        pairs.into_iter().map(header).collect()
    }
}
