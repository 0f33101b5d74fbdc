//! The closed sets of a scheme: how a credential is checked, and how a secret's text becomes the key.

use schemars::JsonSchema;
use serde::Deserialize;

/// How a credential is checked; never chosen by the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    HmacSha256,
    /// HMAC with SHA-1, only where a provider has nothing else.
    HmacSha1,
    /// HMAC with SHA-512.
    HmacSha512,
    /// Plain SHA-1 over a template that holds `{secret}`.
    Sha1,
    /// Plain SHA-256 over a template that holds `{secret}`.
    Sha256,
    /// Plain SHA-512 over a template that holds `{secret}`.
    Sha512,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, signature in DER.
    EcdsaP256Sha256,
    /// ECDSA on P-256 with SHA-256, signature as r and s, 64 bytes; what RFC 9421 means by `ecdsa-p256-sha256`.
    EcdsaP256Sha256Fixed,
    /// ECDSA on P-384 with SHA-384, signature as r and s, 96 bytes.
    EcdsaP384Sha384,
    /// RSA PSS with SHA-512 and a salt of 64 bytes.
    RsaPssSha512,
    /// RSA PKCS#1 v1.5 with SHA-256 (`rsa-v1_5-sha256` of RFC 9421).
    RsaSha256,
    /// RSA PKCS#1 v1.5 with SHA-1, only where a provider has nothing else.
    RsaSha1,
    /// RSA PKCS#1 v1.5 with SHA-256 or SHA-1, as the field of `digest` states: only where a provider leaves no other way
    /// (Amazon SNS).
    RsaSha256OrSha1,
    /// A shared token, compared as it stands.
    Token,
    /// HTTP basic credentials; the secret is `user:password`.
    Basic,
    /// JWT with HS256.
    JwtHs256,
    /// JWT with ES256.
    JwtEs256,
    /// JWT with RS256.
    JwtRs256,
    /// Nothing to verify.
    None,
}

/// How a secret's text becomes the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRule {
    /// The text's bytes.
    #[default]
    Utf8,
    /// Base64 of the key.
    Base64,
    /// Hex of the key.
    Hex,
    /// An optional `whsec_`, then base64 of the key (Standard Webhooks).
    Whsec,
    /// An optional `whpk_`, then base64 of an Ed25519 public key (Standard Webhooks).
    Whpk,
    /// The SHA-1 digest of the text (Braintree).
    Sha1,
    /// Base64 of a public key in DER (`SubjectPublicKeyInfo`).
    Spki,
    /// A public key in PEM.
    Pem,
    /// An X.509 certificate in PEM, whose public key it is; a bare public key in PEM too.
    Certificate,
    /// A public key as JWK, or several as JWKS.
    Jwk,
}

impl Algorithm {
    /// The name as written in presets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha512 => "hmac-sha512",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP256Sha256Fixed => "ecdsa-p256-sha256-fixed",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaSha256 => "rsa-sha256",
            Self::RsaSha1 => "rsa-sha1",
            Self::RsaSha256OrSha1 => "rsa-sha256-or-sha1",
            Self::Token => "token",
            Self::Basic => "basic",
            Self::JwtHs256 => "jwt-hs256",
            Self::JwtEs256 => "jwt-es256",
            Self::JwtRs256 => "jwt-rs256",
            Self::None => "none",
        }
    }

    /// Is the credential itself the proof, without any signature over content (`token`, `basic`, `none`)?
    pub const fn is_bare(self) -> bool {
        matches!(self, Self::Token | Self::Basic | Self::None)
    }

    /// Is the credential a JWT?
    pub const fn is_jwt(self) -> bool {
        matches!(self, Self::JwtHs256 | Self::JwtEs256 | Self::JwtRs256)
    }

    /// Is the secret a public key?
    pub const fn is_asymmetric(self) -> bool {
        matches!(
            self,
            Self::Ed25519
                | Self::EcdsaP256Sha256
                | Self::EcdsaP256Sha256Fixed
                | Self::EcdsaP384Sha384
                | Self::RsaPssSha512
                | Self::RsaSha256
                | Self::RsaSha1
                | Self::RsaSha256OrSha1
                | Self::JwtEs256
                | Self::JwtRs256
        )
    }

    /// Is it a plain digest with the secret in the text?
    pub const fn is_plain_digest(self) -> bool {
        matches!(self, Self::Sha1 | Self::Sha256 | Self::Sha512)
    }
}
