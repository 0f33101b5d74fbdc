//! MACs and plain digests as keyed states: cloned per request, fed frame by frame, compared in constant time.

use super::preset::Algorithm;
use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// A state that bytes are fed into. Keyed once per secret; cloning it saves two compressions of every request.
#[derive(Clone)]
pub enum Mac {
    /// HMAC-SHA-1.
    HmacSha1(Hmac<Sha1>),
    /// HMAC-SHA-256.
    HmacSha256(Hmac<Sha256>),
    /// HMAC-SHA-512.
    HmacSha512(Hmac<Sha512>),
    /// SHA-1; the text holds the secret.
    Sha1(Sha1),
    /// SHA-256; the text holds the secret.
    Sha256(Sha256),
    /// SHA-512; the text holds the secret.
    Sha512(Sha512),
}

/// A finished MAC. No `PartialEq`: it is compared by [`Tag::is`] only.
pub struct Tag {
    bytes: [u8; 64],
    length: usize,
}

impl Mac {
    /// The keyed state; `None` if the algorithm is no MAC or digest. Plain digests take no key.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        let any_length = "HMAC takes keys of any length";
        Some(match algorithm {
            Algorithm::HmacSha1 => Self::HmacSha1(Hmac::new_from_slice(key).expect(any_length)),
            Algorithm::HmacSha256 | Algorithm::JwtHs256 => {
                Self::HmacSha256(Hmac::new_from_slice(key).expect(any_length))
            }
            Algorithm::HmacSha512 => Self::HmacSha512(Hmac::new_from_slice(key).expect(any_length)),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
            _ => return None,
        })
    }

    /// Feeds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::HmacSha1(state) => state.update(bytes),
            Self::HmacSha256(state) => state.update(bytes),
            Self::HmacSha512(state) => state.update(bytes),
            Self::Sha1(state) => Digest::update(state, bytes),
            Self::Sha256(state) => Digest::update(state, bytes),
            Self::Sha512(state) => Digest::update(state, bytes),
        }
    }

    /// The MAC over all that was fed.
    pub fn finish(self) -> Tag {
        match self {
            Self::HmacSha1(state) => Tag::of(&state.finalize().into_bytes()),
            Self::HmacSha256(state) => Tag::of(&state.finalize().into_bytes()),
            Self::HmacSha512(state) => Tag::of(&state.finalize().into_bytes()),
            Self::Sha1(state) => Tag::of(&state.finalize()),
            Self::Sha256(state) => Tag::of(&state.finalize()),
            Self::Sha512(state) => Tag::of(&state.finalize()),
        }
    }
}

impl Tag {
    fn of(digest: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes[..digest.len()].copy_from_slice(digest);
        Self {
            bytes,
            length: digest.len(),
        }
    }

    /// Its bytes, for signing only.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Is this the whole of it? In constant time; the length is public.
    pub fn is(&self, candidate: &[u8]) -> bool {
        self.bytes().ct_eq(candidate).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn the_published_vectors_hold() {
        // RFC 2202 case 2, RFC 4231 case 2; FIPS 180 "abc".
        for (algorithm, key, text, expected) in [
            (
                Algorithm::HmacSha1,
                "Jefe",
                "what do ya want for nothing?",
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            ),
            (
                Algorithm::HmacSha256,
                "Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (Algorithm::Sha1, "", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                Algorithm::Sha256,
                "",
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ] {
            let mut mac = Mac::new(algorithm, key.as_bytes()).expect("a MAC");
            for byte in text.as_bytes() {
                mac.update(&[*byte]);
            }
            let tag = mac.finish();
            assert_eq!(HEXLOWER.encode(tag.bytes()), expected, "{algorithm:?}");
            assert!(tag.is(tag.bytes()) && !tag.is(&tag.bytes()[1..]) && !tag.is(&[]));
        }
        assert!(Mac::new(Algorithm::Ed25519, b"key").is_none());
    }

    #[test]
    #[ignore = "a measurement; tests/timing/run"]
    fn tags_are_compared_in_constant_time() {
        let mut mac = Mac::new(Algorithm::HmacSha256, b"key").expect("a MAC");
        mac.update(b"text");
        let tag = mac.finish();
        let right = HEXLOWER.encode(tag.bytes());
        let decoded = |guess: String| HEXLOWER.decode(guess.as_bytes()).expect("hexadecimal");
        crate::event::timing::holds("Tag::is", &right, decoded, |guess| tag.is(guess));
    }
}
