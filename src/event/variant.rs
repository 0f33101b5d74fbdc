//! The values that distinguish attempts of one delivery key: the signed time, or the unsigned id, event and tenant.
//!
//! Nothing unsigned is part of a [`DeliveryKey`](super::DeliveryKey). A ledger keeps these values in the record and
//! compares them when the delivery is done.

use super::{
    Timestamp,
    key::{Domain, IdDigest},
};
use data_encoding::BASE64URL_NOPAD;
use std::sync::LazyLock;

/// The unsigned values of one attempt. A value that the signature covers is absent here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnsignedValues {
    /// The provider's id of the attempt (`X-GitHub-Delivery`).
    pub id: Option<IdDigest>,
    /// The event's name, where a header states it.
    pub event: Option<LabelDigest>,
    /// The account or shop that the event belongs to.
    pub tenant: Option<LabelDigest>,
}

impl UnsignedValues {
    /// True if the attempt bears no unsigned value.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The values by which a record distinguishes the attempts of its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// The unsigned values, where the body or a signed id names the event.
    Unsigned(UnsignedValues),
    /// The signed time, where the body may repeat.
    Time(Variant),
}

impl Values {
    /// An unsigned id alone.
    pub fn of_id(id: IdDigest) -> Self {
        Self::Unsigned(UnsignedValues {
            id: Some(id),
            ..UnsignedValues::default()
        })
    }

    /// Equal variants are attempts of one event; `None` where nothing distinguishes attempts.
    pub fn variant(&self) -> Option<Variant> {
        match self {
            Self::Unsigned(values) => Variant::of_values(values),
            Self::Time(variant) => Some(*variant),
        }
    }
}

impl Values {
    /// The variant that a record remembers of an attempt that comes before the delivery is done: unsigned values only,
    /// because a signed time proves a repeat by itself.
    pub fn pending(&self) -> Option<Variant> {
        match self {
            Self::Unsigned(values) => Variant::of_values(values),
            Self::Time(_) => None,
        }
    }
}

impl Default for Values {
    /// Nothing distinguishes attempts.
    fn default() -> Self {
        Self::Unsigned(UnsignedValues::default())
    }
}

/// 64 bits of a digest of an unsigned event name or tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelDigest([u8; 8]);

impl LabelDigest {
    /// The digest of a header's value.
    pub fn of(value: &[u8]) -> Self {
        static DOMAIN: Domain = Domain(LazyLock::new(|| {
            blake3::derive_key("hookward 2026-11 unsigned label", b"")
        }));
        Self(first_8(&DOMAIN, value))
    }

    /// From the bytes as a ledger stored them.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a ledger to store.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// 64 bits that name one attempt's variant of its delivery key: equal variants are attempts of one event, different
/// variants may be repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant([u8; 8]);

impl Variant {
    /// Characters of [`Self::write_text`].
    pub const TEXT_LENGTH: usize = 11;

    /// The variant of a signed time.
    pub fn of_time(at: Timestamp) -> Self {
        Self::of(b"time", &at.as_millis().to_le_bytes())
    }

    /// The variant of unsigned values; `None` without any.
    pub fn of_values(values: &UnsignedValues) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let mut text = [0; 35];
        if let Some(id) = &values.id {
            text[0] = 1;
            text[1..17].copy_from_slice(id.as_bytes());
        }
        for (label, at) in [(&values.event, 17), (&values.tenant, 26)] {
            if let Some(label) = label {
                text[at] = 1;
                text[at + 1..at + 9].copy_from_slice(label.as_bytes());
            }
        }
        Some(Self::of(b"values", &text))
    }

    fn of(kind: &[u8], value: &[u8]) -> Self {
        static DOMAIN: Domain = Domain(LazyLock::new(|| blake3::derive_key("hookward 2026-11 variant", b"")));
        Self(first_8(&DOMAIN, &[kind, b"\0", value].concat()))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// From the bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Appends 11 characters of unpadded base64url.
    pub fn write_text(&self, to: &mut String) {
        BASE64URL_NOPAD.encode_append(&self.0, to);
    }

    /// Reads [`Self::write_text`] back.
    pub fn parse(text: &[u8]) -> Option<Self> {
        BASE64URL_NOPAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

fn first_8(domain: &Domain, bytes: &[u8]) -> [u8; 8] {
    let mut digest = [0; 8];
    digest.copy_from_slice(&blake3::keyed_hash(&domain.0, bytes).as_bytes()[..8]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_makes_another_variant() {
        let id = IdDigest::of(b"1");
        let label = LabelDigest::of(b"push");
        let values = |id, event, tenant| Variant::of_values(&UnsignedValues { id, event, tenant });
        assert_eq!(values(None, None, None), None);
        let all = [
            values(Some(id), None, None),
            values(None, Some(label), None),
            values(None, None, Some(label)),
            values(Some(id), Some(label), None),
            values(Some(IdDigest::of(b"2")), Some(label), None),
            Some(Variant::of_time(Timestamp::from_secs(1))),
            Some(Variant::of_time(Timestamp::from_secs(2))),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(
                one.is_some() && all[..index].iter().all(|other| other != one),
                "{index}"
            );
        }
    }

    #[test]
    fn a_variant_is_read_as_it_was_written() {
        let variant = Variant::of_time(Timestamp::from_secs(7));
        let mut text = String::new();
        variant.write_text(&mut text);
        assert_eq!(text.len(), Variant::TEXT_LENGTH);
        assert_eq!(Variant::parse(text.as_bytes()), Some(variant));
        assert_eq!(Variant::parse(b"short"), None);
    }
}
