//! Header blocks written by hand, in pieces of any size.

use super::*;
use proptest::prelude::*;

/// The Huffman codes that these tests write: symbol, code, bits (RFC 7541, appendix B).
const HUFFMAN: [(u8, u32, u32); 12] = [
    (b'#', 0xffa, 12),
    (b'>', 0xffb, 12),
    (b'/', 0x18, 6),
    (b'a', 0x3, 5),
    (b':', 0x5c, 7),
    (b'p', 0x2b, 6),
    (b't', 0x9, 5),
    (b'h', 0x27, 6),
    (b'!', 0x3f8, 10),
    (b'}', 0x3ffd, 14),
    (b'\\', 0x7fff0, 19),
    (b'\n', 0x3fff_fffc, 30),
];

fn coded(text: &[u8]) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    for byte in text {
        let (_, code, length) = HUFFMAN
            .iter()
            .find(|(symbol, ..)| symbol == byte)
            .expect("a known symbol");
        bits.extend((0..*length).rev().map(|at| code >> at & 1 == 1));
    }
    let byte = |bits: &[bool]| (0..8).fold(0, |byte, at| byte << 1 | u8::from(*bits.get(at).unwrap_or(&true)));
    bits.chunks(8).map(byte).collect()
}

fn integer(first: u8, prefix: u32, value: usize) -> Vec<u8> {
    let most = (1 << prefix) - 1;
    let byte = |value: usize| u8::try_from(value).expect("a byte");
    if value < most {
        return vec![first | byte(value)];
    }
    let (mut out, mut left) = (vec![first | byte(most)], value - most);
    while left >= 0x80 {
        out.push(byte(left & 0x7f) | 0x80);
        left >>= 7;
    }
    out.push(byte(left));
    out
}

fn text(text: &[u8], is_coded: bool) -> Vec<u8> {
    let (flag, bytes) = if is_coded {
        (0x80, coded(text))
    } else {
        (0, text.to_vec())
    };
    [integer(flag, 7, bytes.len()), bytes].concat()
}

/// A field whose name is written out (`index` 0) or stands in a table; `kind` is the first byte less its integer.
fn field(kind: u8, index: usize, name: &[u8], value: &[u8], is_coded: bool) -> Vec<u8> {
    let mut out = integer(kind, if kind == INDEXED { 6 } else { 4 }, index);
    if index == 0 {
        out.extend(text(name, is_coded));
    }
    out.extend(text(value, is_coded));
    out
}

const INDEXED: u8 = 0x40;
const PLAIN: u8 = 0;
const NEVER: u8 = 0x10;

#[track_caller]
fn becomes(before: &[u8], after: &[u8]) {
    for size in [1, 2, 3, 5, 1000] {
        let (mut blocks, mut bytes) = (Blocks::default(), before.to_vec());
        for piece in bytes.chunks_mut(size) {
            blocks.follow(piece);
        }
        assert_eq!(bytes, after, "pieces of {size}");
    }
}

#[test]
fn a_fragment_of_a_path_is_replaced_however_it_is_written() {
    for is_coded in [false, true] {
        for kind in [PLAIN, INDEXED, NEVER] {
            for index in [0, 4, 5] {
                for (value, wanted) in [
                    ("/a#a", "/a>a"),
                    ("#", ">"),
                    ("/##a/!}\\\n#", "/>>a/!}\\\n>"),
                    ("/a", "/a"),
                ] {
                    becomes(
                        &field(kind, index, b":path", value.as_bytes(), is_coded),
                        &field(kind, index, b":path", wanted.as_bytes(), is_coded),
                    );
                }
            }
            // Other fields pass as they are.
            for (index, name) in [(0, &b"path"[..]), (0, b":pat"), (0, b":patha"), (1, b""), (51, b"")] {
                let other = field(kind, index, name, b"/a#a", is_coded);
                becomes(&other, &other);
            }
        }
    }
}

#[test]
fn a_path_is_known_by_its_place_in_the_dynamic_table() {
    for is_coded in [false, true] {
        let path = |kind, index| field(kind, index, b"", b"/#", is_coded);
        let refused = |kind, index| field(kind, index, b"", b"/>", is_coded);
        let other = |name: &[u8]| field(INDEXED, 0, name, b"/#", is_coded);
        let insert = field(INDEXED, 4, b"", b"/a", is_coded);
        // 62 is the newest entry.
        let before = [
            insert.clone(),
            path(PLAIN, 62),
            other(b"a"),
            path(PLAIN, 62),
            path(INDEXED, 63),
            path(PLAIN, 62),
        ];
        let after = [
            insert.clone(),
            refused(PLAIN, 62),
            other(b"a"),
            path(PLAIN, 62),
            refused(INDEXED, 63),
            refused(PLAIN, 62),
        ];
        becomes(&before.concat(), &after.concat());
        // An entry that does not fit empties the table and is not in it; a smaller table forgets the oldest.
        let large = field(INDEXED, 0, b"a", &vec![b'a'; MAX_TABLE_BYTES], is_coded);
        let most = integer(0x20, 5, ENTRY_BYTES + ":path".len() + "/a".len());
        let before = [
            insert.clone(),
            large,
            insert.clone(),
            path(PLAIN, 62),
            other(b"a"),
            most,
            path(PLAIN, 62),
            insert.clone(),
            path(PLAIN, 62),
        ];
        let mut after = before.clone();
        after[3] = refused(PLAIN, 62);
        after[8] = refused(PLAIN, 62);
        becomes(&before.concat(), &after.concat());
    }
}

#[test]
fn the_code_is_complete() {
    let filled: u64 = CODES
        .iter()
        .enumerate()
        .map(|(length, count)| u64::from(*count) << (30 - length))
        .sum();
    assert_eq!((CODES.iter().sum::<u32>(), filled), (257, 1 << 30));
}

proptest! {
    #[test]
    fn pieces_change_nothing_and_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..9) {
        let (mut whole, mut pieces) = (bytes.clone(), bytes);
        Blocks::default().follow(&mut whole);
        let mut blocks = Blocks::default();
        pieces.chunks_mut(size).for_each(|piece| blocks.follow(piece));
        prop_assert_eq!(whole, pieces);
    }
}
