//! What makes two attempts the same delivery: domain-separated digests, never raw text from outside.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use super::{SourceName, Variant};

/// What an attempt proves itself to be, apart from where it arrived: a provider computes it from the signed id, or from
/// the body and the signed fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u8; 32]);

/// The key of one domain's digests: made once, so that a short text costs one compression.
pub(super) struct Domain(pub(super) LazyLock<[u8; blake3::KEY_LEN]>);

macro_rules! domain {
    ($name:literal) => {
        Domain(LazyLock::new(|| blake3::derive_key($name, b"")))
    };
}

/// A text that is digested in a domain, collected on the stack as long as it is short: a hasher is two kilobytes, and feeding
/// it a few bytes at a time costs more than their digest.
struct Text {
    domain: &'static Domain,
    short: [u8; Text::SHORT],
    length: usize,
    long: Option<Box<blake3::Hasher>>,
}

impl Text {
    const SHORT: usize = 256;

    fn of(domain: &'static Domain) -> Self {
        Self {
            domain,
            short: [0; Self::SHORT],
            length: 0,
            long: None,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.short.get_mut(self.length..self.length + bytes.len()) {
            room.copy_from_slice(bytes);
            self.length += bytes.len();
            return;
        }
        let key = &self.domain.0;
        let hasher = self
            .long
            .get_or_insert_with(|| Box::new(blake3::Hasher::new_keyed(key)));
        hasher.update(&self.short[..self.length]).update(bytes);
        self.length = 0;
    }

    /// A part that ends where its length says.
    fn part(&mut self, part: &[u8]) {
        self.push(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.push(part);
    }

    fn digest(self) -> [u8; 32] {
        let rest = &self.short[..self.length];
        let digest = match self.long {
            None => blake3::keyed_hash(&self.domain.0, rest),
            Some(mut hasher) => hasher.update(rest).finalize(),
        };
        *digest.as_bytes()
    }
}

/// Collects the parts of an [`Identity`], each under a label and with its length, so that no two lists of parts collide.
pub struct IdentityHasher(Text);

impl IdentityHasher {
    /// Starts an identity of one kind (`"id"`, `"body"`, …).
    pub fn new(kind: &'static str) -> Self {
        static DOMAIN: Domain = domain!("hookward 2026-11 delivery identity");
        let mut text = Text::of(&DOMAIN);
        text.push(kind.as_bytes());
        text.push(&[0]);
        Self(text)
    }

    /// Adds one labelled part.
    pub fn part(&mut self, label: &str, value: &[u8]) -> &mut Self {
        for bytes in [label.as_bytes(), value] {
            self.0.part(bytes);
        }
        self
    }

    /// Adds bytes without label and length: for the one part that has no fellow, in as many pieces as it comes in.
    pub fn raw(&mut self, piece: &[u8]) -> &mut Self {
        self.0.push(piece);
        self
    }

    /// The identity.
    pub fn finish(self) -> Identity {
        Identity(self.0.digest())
    }
}

/// The ledger's key of one delivery: BLAKE3 over namespace, source, path and [`Identity`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryKey([u8; 32]);

impl DeliveryKey {
    /// `path` is the exact one of the source's `paths`; empty for a `/*` path, whose key has none.
    pub fn new(namespace: &str, source: &SourceName, path: &str, identity: &Identity) -> Self {
        static DOMAIN: Domain = domain!("hookward 2026-11 delivery key");
        let mut text = Text::of(&DOMAIN);
        for part in [
            namespace.as_bytes(),
            source.as_str().as_bytes(),
            path.as_bytes(),
            &identity.0,
        ] {
            text.part(part);
        }
        Self(text.digest())
    }

    /// The key of a repeat of this delivery: a record of its own, because an honest repeat is another event.
    pub fn of_repeat(&self, variant: &Variant) -> Self {
        static DOMAIN: Domain = domain!("hookward 2026-11 repeat key");
        let mut text = Text::of(&DOMAIN);
        text.part(&self.0);
        text.part(variant.as_bytes());
        Self(text.digest())
    }

    /// From its 32 bytes (a `Hookward-Delivery` value that an operator pasted).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads [`Self::to_text`] back.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Unpadded base64url, 43 characters.
    pub fn to_text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// [`Self::to_text`], to be shared.
    pub fn shared_text(&self) -> Arc<str> {
        let mut text = [0; 43];
        BASE64URL_NOPAD.encode_mut(&self.0, &mut text);
        std::str::from_utf8(&text).expect("base64 is ASCII").into()
    }

    /// Appends [`Self::to_text`].
    pub fn write_text(&self, to: &mut String) {
        BASE64URL_NOPAD.encode_append(&self.0, to);
    }
}

impl fmt::Debug for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

macro_rules! digest16 {
    ($(#[$doc:meta])* $name:ident, $domain:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Digest of `bytes` in this type's own domain.
            pub fn of(bytes: &[u8]) -> Self {
                static DOMAIN: Domain = domain!($domain);
                let mut digest = [0; 16];
                digest.copy_from_slice(&blake3::keyed_hash(&DOMAIN.0, bytes).as_bytes()[..16]);
                Self(digest)
            }

            /// From the bytes as a ledger stored them.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes, for a ledger to store.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }
    };
}

digest16!(
    /// Digest of the decoded MAC (or signature) that verified: an attempt that bears the very same one is a repetition of
    /// the very same bytes. Of the decoded value, because the header's text can be padded at will.
    MacDigest,
    "hookward 2026-11 verified mac"
);
digest16!(
    /// Digest of the provider's unsigned id of an attempt (`X-GitHub-Delivery`): a field of the ledger's record, never its key.
    IdDigest,
    "hookward 2026-11 unsigned id"
);

/// Names one claim attempt, so that asking again after a lost reply is recognised as the same question.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// From 16 unpredictable bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Lower-case hex, as the Redis record holds it.
    pub fn to_text(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(parts: &[(&str, &[u8])]) -> Identity {
        let mut hasher = IdentityHasher::new("id");
        for (label, value) in parts {
            hasher.part(label, value);
        }
        hasher.finish()
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert!(identity(&[("a", b"bc")]) != identity(&[("ab", b"c")]));
        assert!(identity(&[("a", b"b"), ("c", b"")]) != identity(&[("a", b"bc")]));
        assert!(IdentityHasher::new("id").finish() != IdentityHasher::new("body").finish());
    }

    #[test]
    fn every_scope_has_its_own_key() {
        let id = identity(&[("id", b"evt_1")]);
        let (a, b) = (
            SourceName::parse("a").expect("a name"),
            SourceName::parse("b").expect("a name"),
        );
        let key = DeliveryKey::new("n", &a, "/p", &id);
        assert_eq!(DeliveryKey::parse(&key.to_text()), Some(key));
        for other in [
            DeliveryKey::new("m", &a, "/p", &id),
            DeliveryKey::new("n", &b, "/p", &id),
            DeliveryKey::new("n", &a, "/q", &id),
        ] {
            assert!(other != key);
        }
    }
}
