//! A provider that publishes its keys on a server of its own, and signs with them; made here with bare RSA and not by the
//! code under test.

use super::{App, Authority, Request, Script, sidecar::NOW};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair as Rsa,
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use futures_util::future::FutureExt;
use hookward::{
    tls::{Certificates, ClientTls},
    upstream::Fetcher,
};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};

pub const SNS: &str = "sns.us-east-1.amazonaws.com";
pub const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:orders";

/// [`NOW`] and `secs` later, as SNS writes it.
pub fn sns_time(secs: i64) -> String {
    assert_eq!(NOW, 1_760_000_000);
    let second = 8 * 3600 + 53 * 60 + 20 + secs;
    let (day, second) = (9 + second.div_euclid(86_400), second.rem_euclid(86_400));
    format!(
        "2025-10-{day:02}T{:02}:{:02}:{:02}.000Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// A key that signs, and what is published of it.
pub struct Signer {
    key: Rsa,
    pub certificate: String,
}

impl Signer {
    pub fn new() -> Self {
        Self::valid_until(2099)
    }

    /// One whose certificate ends with this year.
    pub fn valid_until(year: i32) -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let mut params = CertificateParams::new(["sns.amazonaws.com".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        Self {
            certificate: params.self_signed(&pair).expect("a certificate").pem(),
            key: Rsa::from_pkcs8(pair.serialized_der()).expect("the key"),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("a signature");
        signature
    }

    /// An SNS message of this type, signed at `at` (RFC 3339), whose certificate it says is at `url`; `more` are fields of
    /// its own.
    pub fn sns(&self, kind: &str, id: &str, at: &str, url: &str, more: &[(&str, &str)]) -> Request {
        let mut body = json!({
            "Type": kind,
            "MessageId": id,
            "TopicArn": TOPIC,
            "Message": "{\"order\": 1}",
            "Timestamp": at,
            "SignatureVersion": "2",
            "SigningCertURL": url,
        });
        for (name, value) in more {
            body[*name] = Value::from(*value);
        }
        let mut signed = String::new();
        for name in [
            "Message",
            "MessageId",
            "Subject",
            "SubscribeURL",
            "Timestamp",
            "Token",
            "TopicArn",
            "Type",
        ] {
            if let Some(text) = body[name].as_str() {
                signed.extend([name, "\n", text, "\n"]);
            }
        }
        body["Signature"] = BASE64.encode(&self.sign(signed.as_bytes())).into();
        Request::post("/sns", body.to_string()).header("Content-Type", "text/plain; charset=UTF-8")
    }

    /// A Pub/Sub push whose token names the key `kid`.
    pub fn pubsub(&self, id: &str, at: i64, kid: &str) -> Request {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": kid});
        let claims = json!({
            "aud": "https://hooks.example.com/pubsub", "email": "push@project.iam.gserviceaccount.com",
            "iss": "https://accounts.google.com", "iat": at, "exp": at + 3600,
        });
        let signed = format!("{}.{}", part(&header), part(&claims));
        let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&self.sign(signed.as_bytes())));
        let body = json!({"message": {"messageId": id, "data": "e30="}, "subscription": "projects/p/subscriptions/s"});
        Request::post("/pubsub", body.to_string())
            .header("Content-Type", "application/json")
            .header("Authorization", format!("Bearer {token}"))
    }

    /// The key as JWK.
    pub fn jwk(&self, kid: &str) -> Value {
        // `RSAPublicKey` of 2048 bits: a sequence of two integers.
        let der = self.key.public_key().as_ref();
        let (modulus, exponent) = (&der[9..9 + 256], &der[der.len() - 3..]);
        assert_eq!((der.len(), exponent), (270, &[1, 0, 1][..]));
        let part = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": part(modulus), "e": part(exponent)})
    }
}

/// The key server of one host.
pub struct Publisher {
    pub server: App,
    authority: Authority,
}

impl Publisher {
    /// A server that proves to be `host`.
    pub fn of(host: &str) -> Self {
        let authority = Authority::new("the web's");
        Self {
            server: App::start_tls(authority.server(host, None)),
            authority,
        }
    }

    /// The same, which answers with this.
    pub fn saying(host: &str, body: impl Into<Vec<u8>>) -> Self {
        let publisher = Self::of(host);
        publisher.server.usually(Script::body(body));
        publisher
    }

    /// Finds every name at this server, and believes its authority.
    pub fn fetcher(&self) -> Fetcher {
        self.fetcher_to(vec![self.server.address])
    }

    /// Finds every name at these addresses.
    pub fn fetcher_to(&self, addresses: Vec<SocketAddr>) -> Fetcher {
        let tls = ClientTls {
            roots: Some(Certificates::parse(self.authority.pem().as_bytes()).expect("an authority")),
            ..ClientTls::default()
        };
        let addresses = Arc::new(addresses);
        let lookup = move |_host, port| {
            assert_eq!(port, 443);
            let addresses = addresses.to_vec();
            async move { Ok(addresses) }.boxed()
        };
        Fetcher::with(tls, Box::new(lookup))
    }

    /// What it was asked for.
    pub fn asked(&self) -> Vec<String> {
        self.server.seen().into_iter().map(|seen| seen.target).collect()
    }
}
