//! The signatures that a request offers: found in their field, split, stripped of their prefix, strictly decoded.

use super::{
    evidence::Cause,
    field::{Field, Found, Scene},
    message::{self, Message},
    preset::Encoded,
    search,
};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use std::borrow::Cow;

/// More signatures than this in one request are an attempt to make us work.
pub const MAX_CANDIDATES: usize = 16;
/// The longest signature: RSA with 8192 bits.
const MAX_BYTES: usize = 1024;

/// Where signatures stand, compiled.
#[derive(Clone)]
pub struct Signature {
    /// The fields that may hold one.
    pub from: Vec<Field>,
    /// Separator of several within a field.
    pub split: Option<u8>,
    /// What one begins with.
    pub prefix: Vec<u8>,
    /// How it is written.
    pub encoding: Encoded,
    /// It is one of RFC 9421: its parts are the parameters of `Signature-Input`.
    pub message: Option<std::sync::Arc<Message>>,
}

/// A buffer for a decoded signature, on the stack.
pub struct Decoded {
    bytes: [u8; MAX_BYTES],
}

impl Signature {
    /// Is it known before the body?
    pub fn in_head(&self) -> bool {
        self.from.iter().all(Field::in_head)
    }

    /// The name of its first field, for messages.
    pub fn name(&self) -> &std::sync::Arc<str> {
        &self.from[0].name
    }

    /// Hands every candidate's text to `take`.
    pub fn candidates(&self, scene: &Scene<'_>, mut take: impl FnMut(&[u8])) -> Result<(), Cause> {
        let (mut there, mut count) = (false, 0);
        for field in &self.from {
            let text = match scene.read(field) {
                Found::Missing => continue,
                Found::Doubled => return Err(Cause::SignatureDoubled(field.name.clone())),
                Found::Text(text) => text,
            };
            there = true;
            self.parts(&text, |part| {
                if let Some(candidate) = part.strip_prefix(&self.prefix[..]) {
                    count += 1;
                    if count <= MAX_CANDIDATES {
                        take(candidate);
                    }
                }
            });
        }
        match (there, count) {
            (false, _) => Err(Cause::SignatureMissing(self.name().clone())),
            (_, 0) => Err(Cause::SignatureMalformed(self.name().clone())),
            (_, count) if count > MAX_CANDIDATES => Err(Cause::SignaturesTooMany(count)),
            _ => Ok(()),
        }
    }

    /// Hands every decodable candidate's bytes to `take`; an undecodable one is skipped, all of them are an error.
    pub fn decoded(&self, scene: &Scene<'_>, mut take: impl FnMut(&[u8])) -> Result<(), Cause> {
        let mut buffer = Decoded { bytes: [0; MAX_BYTES] };
        let mut any = false;
        self.candidates(scene, |text| {
            if let Some(bytes) = buffer.decode(text, self.encoding) {
                any = true;
                take(bytes);
            }
        })?;
        if any {
            Ok(())
        } else {
            Err(Cause::SignatureMalformed(self.name().clone()))
        }
    }

    /// The one part of the signature's field that begins with `prefix`, without it (Stripe's `t=`); with an empty prefix the
    /// first part (Recurly).
    pub fn part<'a>(&self, scene: &Scene<'a>, prefix: &str) -> Found<'a> {
        if let Some(message) = &self.message {
            return message::stated(message, scene, prefix);
        }
        match scene.read(&self.from[0]) {
            Found::Text(Cow::Borrowed(text)) => match self.only_part(text, prefix.as_bytes()) {
                Ok(Some(part)) => Found::Text(Cow::Borrowed(part)),
                Ok(None) => Found::Missing,
                Err(Twice) => Found::Doubled,
            },
            Found::Text(Cow::Owned(text)) => match self.only_part(&text, prefix.as_bytes()) {
                Ok(Some(part)) => Found::Text(Cow::Owned(part.to_vec())),
                Ok(None) => Found::Missing,
                Err(Twice) => Found::Doubled,
            },
            other => other,
        }
    }

    fn only_part<'t>(&self, text: &'t [u8], prefix: &[u8]) -> Result<Option<&'t [u8]>, Twice> {
        let (mut found, mut twice, mut first) = (None, false, true);
        self.parts(text, |part| {
            let wanted = part.strip_prefix(prefix).filter(|_| !prefix.is_empty() || first);
            first = false;
            if wanted.is_some() {
                twice |= found.is_some();
                found = wanted;
            }
        });
        if twice { Err(Twice) } else { Ok(found) }
    }

    fn parts<'t>(&self, text: &'t [u8], mut take: impl FnMut(&'t [u8])) {
        match self.split {
            Some(separator) => {
                let mut at = 0;
                while at <= text.len() {
                    let end = search::first(text, at, |word| word.is(separator));
                    take(text[at..end].trim_ascii());
                    at = end + 1;
                }
            }
            None => take(text),
        }
    }
}

/// A part that must be there once came twice.
struct Twice;

impl Decoded {
    /// By tables, a quarter of what a general codec costs, and nothing that this one does not take.
    fn decode(&mut self, text: &[u8], encoding: Encoded) -> Option<&[u8]> {
        let length = match encoding {
            Encoded::Hex => self.hex(text),
            Encoded::Base64 if text.len().is_multiple_of(4) => {
                let bare = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
                self.base64(bare, &BASE64_DIGITS)
            }
            Encoded::Base64 => None,
            Encoded::Base64url => self.base64(text, &BASE64URL_DIGITS),
        }?;
        (length > 0).then(|| &self.bytes[..length])
    }

    /// Lower case only.
    fn hex(&mut self, text: &[u8]) -> Option<usize> {
        let (pairs, rest) = text.as_chunks();
        let bytes = self.bytes.get_mut(..pairs.len())?;
        let mut wrong = 0;
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (high, low) = (HEX_DIGITS[usize::from(*high)], HEX_DIGITS[usize::from(*low)]);
            wrong |= high | low;
            *byte = high << 4 | low & 0xf;
        }
        (wrong < 16 && rest.is_empty()).then_some(bytes.len())
    }

    /// Without padding; bits that no byte takes must be zero.
    fn base64(&mut self, text: &[u8], digits: &[u8; 256]) -> Option<usize> {
        let (fours, rest) = text.as_chunks();
        let length = text.len() * 3 / 4;
        let (bytes, last) = self.bytes.get_mut(..length)?.as_chunks_mut();
        let value = |digit: &u8| digits[usize::from(*digit)];
        let mut wrong = 0;
        for (threes, [a, b, c, d]) in bytes.iter_mut().zip(fours) {
            let (a, b, c, d) = (value(a), value(b), value(c), value(d));
            wrong |= a | b | c | d;
            *threes = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
        }
        let unused = match (rest, last) {
            ([], []) => 0,
            ([a, b], [one]) => {
                let (a, b) = (value(a), value(b));
                wrong |= a | b;
                *one = a << 2 | b >> 4;
                b << 4
            }
            ([a, b, c], [one, two]) => {
                let (a, b, c) = (value(a), value(b), value(c));
                wrong |= a | b | c;
                (*one, *two) = (a << 2 | b >> 4, b << 4 | c >> 2);
                c << 6
            }
            _ => return None,
        };
        (wrong < 64 && unused == 0).then_some(length)
    }
}

const HEX_DIGITS: [u8; 256] = digits(b"0123456789abcdef");
const BASE64_DIGITS: [u8; 256] = digits(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const BASE64URL_DIGITS: [u8; 256] = digits(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

/// The value of every byte as a digit; of one that is none, more than any digit's.
const fn digits<const COUNT: usize>(alphabet: &[u8; COUNT]) -> [u8; 256] {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < COUNT {
        #[expect(clippy::cast_possible_truncation, reason = "alphabets have at most 64 digits")]
        let digit = value as u8;
        values[alphabet[value] as usize] = digit;
        value += 1;
    }
    values
}

/// Writes signature bytes as a provider would.
pub fn encode(bytes: &[u8], encoding: Encoded) -> String {
    match encoding {
        Encoded::Hex => HEXLOWER.encode(bytes),
        Encoded::Base64 => BASE64.encode(bytes),
        Encoded::Base64url => BASE64URL_NOPAD.encode(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(text: &str, encoding: Encoded) -> Option<Vec<u8>> {
        let mut buffer = Decoded { bytes: [0; MAX_BYTES] };
        buffer.decode(text.as_bytes(), encoding).map(<[u8]>::to_vec)
    }

    #[test]
    fn decoding_is_strict() {
        assert_eq!(decode("0aff", Encoded::Hex), Some(vec![0x0a, 0xff]));
        assert_eq!(decode("AQI=", Encoded::Base64), Some(vec![1, 2]));
        assert_eq!(decode("AQI", Encoded::Base64url), Some(vec![1, 2]));
        for (text, encoding) in [
            ("", Encoded::Hex),
            ("0AFF", Encoded::Hex),
            ("0af", Encoded::Hex),
            ("０ａ", Encoded::Hex),
            ("0a ", Encoded::Hex),
            ("", Encoded::Base64),
            ("AQI", Encoded::Base64),
            ("AQJ=", Encoded::Base64),
            ("A-_=", Encoded::Base64),
            ("AQI=\n", Encoded::Base64),
            ("AQ I=", Encoded::Base64),
            ("AQI=", Encoded::Base64url),
            ("AQJ", Encoded::Base64url),
        ] {
            assert_eq!(decode(text, encoding), None, "{text:?} as {encoding:?}");
        }
        // Two faults do not make up for one another, wherever they stand.
        for (good, encoding) in [
            ("0aff", Encoded::Hex),
            ("AAAA", Encoded::Base64url),
            ("AAA", Encoded::Base64url),
            ("AA", Encoded::Base64url),
        ] {
            assert!(decode(good, encoding).is_some(), "{good}");
            for fault in ["*", "=", "~"] {
                for (first, second) in
                    (0..good.len()).flat_map(|first| (0..good.len()).map(move |second| (first, second)))
                {
                    let mut text = good.to_owned();
                    text.replace_range(first..=first, fault);
                    text.replace_range(second..=second, fault);
                    assert_eq!(decode(&text, encoding), None, "{text:?} as {encoding:?}");
                }
            }
        }
        assert_eq!(decode(&"00".repeat(MAX_BYTES + 1), Encoded::Hex), None);
    }

    proptest! {
        #[test]
        fn a_general_codec_reads_the_same(bytes in proptest::collection::vec(any::<u8>(), 1..80), spoilt in any::<(u8, u8)>()) {
            for (encoding, codec) in [
                (Encoded::Hex, &HEXLOWER),
                (Encoded::Base64, &BASE64),
                (Encoded::Base64url, &BASE64URL_NOPAD),
            ] {
                let text = codec.encode(&bytes);
                prop_assert_eq!(decode(&text, encoding), Some(bytes.clone()));
                let mut text = text.into_bytes();
                let at = usize::from(spoilt.0) % text.len();
                // The general one reads several texts, each with its padding, as one.
                prop_assume!(spoilt.1 != b'=');
                text[at] = spoilt.1;
                let mut buffer = Decoded { bytes: [0; MAX_BYTES] };
                let read = buffer.decode(&text, encoding).map(<[u8]>::to_vec);
                prop_assert_eq!(read, codec.decode(&text).ok());
                text.truncate(at);
                let read = buffer.decode(&text, encoding).map(<[u8]>::to_vec);
                prop_assert_eq!(read, codec.decode(&text).ok().filter(|read| !read.is_empty()));
            }
        }
    }
}
