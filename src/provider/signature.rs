//! The signatures that a request offers: found in their field, split, stripped of their prefix, strictly decoded.

use super::{
    evidence::Cause,
    field::{Field, Found, Scene},
    message::{self, Message},
    preset::Encoded,
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
                for part in text.split(|byte| *byte == separator) {
                    take(part.trim_ascii());
                }
            }
            None => take(text),
        }
    }
}

/// A part that must be there once came twice.
struct Twice;

impl Decoded {
    fn decode(&mut self, text: &[u8], encoding: Encoded) -> Option<&[u8]> {
        let codec = match encoding {
            Encoded::Hex => return self.decode_hex(text),
            Encoded::Base64 => &BASE64,
            Encoded::Base64url => &BASE64URL_NOPAD,
        };
        let room = codec
            .decode_len(text.len())
            .ok()
            .filter(|room| (1..=MAX_BYTES).contains(room))?;
        let length = codec.decode_mut(text, &mut self.bytes[..room]).ok()?;
        Some(&self.bytes[..length])
    }

    /// By a table, a quarter of what the general codec costs.
    fn decode_hex(&mut self, text: &[u8]) -> Option<&[u8]> {
        let (pairs, rest) = text.as_chunks();
        let bytes = self.bytes.get_mut(..pairs.len())?;
        let mut wrong = 0;
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (high, low) = (DIGITS[usize::from(*high)], DIGITS[usize::from(*low)]);
            wrong |= high | low;
            *byte = high << 4 | low & 0xf;
        }
        (wrong < 16 && rest.is_empty() && !bytes.is_empty()).then_some(bytes)
    }
}

/// What a byte is as a lower-case hexadecimal digit.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};
const NO_DIGIT: u8 = 0xff;

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
        assert_eq!(decode(&"00".repeat(MAX_BYTES + 1), Encoded::Hex), None);
    }
}
