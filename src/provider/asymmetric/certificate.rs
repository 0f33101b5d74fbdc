//! X.509 certificates: the public key of one, and from when until when it is valid.

use crate::{
    event::Timestamp,
    provider::{freshness, preset::Unit},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when until when a certificate is valid, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Validity {
    /// Is it valid at this time?
    pub fn holds(&self, now: Timestamp) -> bool {
        now.millis_since(self.not_before) >= 0 && self.not_after.millis_since(now) >= 0
    }
}

/// What a certificate says.
pub(super) struct Certificate {
    /// `SubjectPublicKeyInfo`.
    pub key: Vec<u8>,
    pub validity: Validity,
}

/// Does the text begin with a certificate?
pub(super) fn is_one(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"-----BEGIN CERTIFICATE-----")
}

impl Certificate {
    /// Reads the first certificate of a PEM.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(text).map_err(|_| "it is not a certificate in PEM form")?;
        let parsed = webpki::EndEntityCert::try_from(&der).map_err(|_| "it is not a certificate that can be read")?;
        Ok(Self {
            key: parsed.subject_public_key_info().to_vec(),
            validity: validity(&der).ok_or("it is a certificate whose time cannot be read")?,
        })
    }
}

/// `Certificate` (RFC 5280, 4.1): the fifth field of what is signed, or the fourth where the version is left out.
fn validity(der: &[u8]) -> Option<Validity> {
    let (_, certificate, _) = value(der)?;
    let (SEQUENCE, mut signed, _) = value(certificate)? else {
        return None;
    };
    if signed.first() == Some(&VERSION) {
        signed = value(signed)?.2;
    }
    for _serial_algorithm_issuer in 0..3 {
        signed = value(signed)?.2;
    }
    let (SEQUENCE, times, _) = value(signed)? else {
        return None;
    };
    let (kind, not_before, rest) = value(times)?;
    let (other, not_after, _) = value(rest)?;
    Some(Validity {
        not_before: time(kind, not_before)?,
        not_after: time(other, not_after)?,
    })
}

/// Tag and content of the first DER value, and what stands behind it.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` of 1950 to 2049, or `YYYYMMDDhhmmssZ` (RFC 5280, 4.1.2.5).
fn time(kind: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    let end = rest.get(10..)?;
    let iso = format!("{year}-{month}-{day}T{hour}:{minute}:{second}{end}");
    freshness::parse(iso.as_bytes(), Unit::Iso)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn made(from: i32, until: i32) -> Validity {
        let mut params = CertificateParams::new(["sns.amazonaws.com".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from, 1, 2);
        params.not_after = date_time_ymd(until, 3, 4);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Certificate::read(pem.as_bytes()).expect("a certificate").validity
    }

    #[test]
    fn a_certificate_is_valid_between_its_two_times() {
        let validity = made(2024, 2025);
        // 2024-01-02T00:00:00Z and 2025-03-04T00:00:00Z.
        let (first, last) = (1_704_153_600, 1_741_046_400);
        for (at, valid) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
            assert_eq!(validity.holds(Timestamp::from_secs(at)), valid, "{at}");
        }
    }

    #[test]
    fn both_forms_of_time_are_read() {
        // 2049 is the last year with two digits.
        assert_eq!(made(1999, 2049).not_before, Timestamp::from_secs(915_235_200));
        assert_eq!(made(1999, 2050).not_after, Timestamp::from_secs(2_529_964_800));
    }

    #[test]
    fn what_is_cut_is_no_certificate() {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["a".to_owned()]).expect("a name");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        assert!(validity(&der).is_some());
        for end in 0..der.len() {
            let _none = validity(&der[..end]);
        }
        assert_eq!(validity(&der[..40]), None);
        assert_eq!(time(UTC_TIME, b"250101000000+0100"), None);
        assert_eq!(time(UTC_TIME, "2501010000\u{e9}Z".as_bytes()), None);
        assert_eq!(time(0x13, b"250101000000Z"), None);
    }
}
