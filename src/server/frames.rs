//! Follows the frames of HTTP/2 in both directions: what its parser refuses, it tells the peer and not us, and how long a
//! head or how many idle words it puts up with, it does not ask us.

use super::hpack::Blocks;

/// A frame's head: length, kind, flags, stream (RFC 9113, section 4.1).
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// Bytes of the priority at the beginning of a HEADERS frame: a stream and a weight.
const PRIORITY_BYTES: usize = 5;
const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;
/// What a client begins with, before its first frame.
const PREFACE: usize = 24;
/// Bytes of frames that ask for nothing (`PING`, `SETTINGS`, `WINDOW_UPDATE` …) which anybody may send: a PING every ten seconds
/// for a week.
const IDLE_WORDS: u64 = 1 << 20;
/// And for each byte of requests so many more.
const IDLE_SHARE: u64 = 8;

/// `ENHANCE_YOUR_CALM` for the connection.
pub(super) const CALM_DOWN: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0b";

/// Where in the frames that we write a stream of bytes stands.
#[derive(Default)]
pub(super) struct Frames {
    /// The head and, of the two kinds that matter, the beginning of the payload.
    begun: [u8; HEAD + 8],
    have: usize,
    /// Bytes of the payload that do not matter.
    skip: usize,
}

/// What the parser refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The whole connection, for what the peer sent.
    Connection,
    /// A stream, for its malformed request.
    Stream,
}

impl Frames {
    /// Takes what was written, in whatever pieces.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut refused: impl FnMut(Refused)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (self.wanted() - self.have).min(bytes.len());
            self.begun[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            // With the head it is known what of the payload matters.
            if self.have >= HEAD && self.have == self.wanted() {
                if let Some(what) = self.refusal() {
                    refused(what);
                }
                self.skip = self.length() - (self.have - HEAD);
                self.have = 0;
            }
        }
    }

    fn wanted(&self) -> usize {
        if self.have < HEAD {
            return HEAD;
        }
        let matters = match self.begun[3] {
            GOAWAY => 8,
            RST_STREAM => 4,
            _ => 0,
        };
        HEAD + self.length().min(matters)
    }

    /// Is nothing of a frame left to be written?
    pub(super) fn is_between(&self) -> bool {
        self.have == 0 && self.skip == 0
    }

    fn length(&self) -> usize {
        length(&self.begun)
    }

    fn refusal(&self) -> Option<Refused> {
        let code = self.begun[..self.have].last_chunk::<4>().copied();
        let code = u32::from_be_bytes(code.unwrap_or_default());
        match self.begun[3] {
            GOAWAY if code != NO_ERROR && code != INTERNAL_ERROR => Some(Refused::Connection),
            RST_STREAM if code == PROTOCOL_ERROR => Some(Refused::Stream),
            _ => None,
        }
    }
}

/// Where in the frames of a client a stream of bytes stands.
pub(super) struct Asked {
    begun: [u8; HEAD],
    have: usize,
    /// Bytes of the payload that are still to come; at first of the preface.
    left: usize,
    head_open: bool,
    idle: u64,
    asking: u64,
    /// Bytes before the piece of a header block in this frame, and of the padding behind it.
    before: usize,
    padding: usize,
    blocks: Blocks,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            // No kind of frame: that is what the preface counts as.
            begun: [0xff; HEAD],
            have: 0,
            left: PREFACE,
            head_open: false,
            idle: 0,
            asking: 0,
            before: 0,
            padding: 0,
            blocks: Blocks::default(),
        }
    }
}

impl Asked {
    /// Takes what was read, in whatever pieces; a `#` in a `:path` becomes a `>`, which the parser refuses.
    pub(super) fn follow(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                let (piece, rest) = std::mem::take(&mut bytes).split_at_mut(taken);
                self.block(piece);
                self.left -= taken;
                *self.account() += taken as u64;
                bytes = rest;
            } else {
                let taken = (HEAD - self.have).min(bytes.len());
                self.begun[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &mut std::mem::take(&mut bytes)[taken..];
                if self.have < HEAD {
                    return;
                }
                self.have = 0;
                self.begins();
            }
            let ends_head = matches!(self.begun[3], HEADERS | CONTINUATION) && self.begun[4] & END_HEADERS != 0;
            if self.left == 0 && ends_head {
                self.head_open = false;
            }
        }
    }

    /// A frame begins.
    fn begins(&mut self) {
        self.left = length(&self.begun);
        (self.before, self.padding) = (0, 0);
        if self.begun[3] == HEADERS {
            let has = |flag| self.begun[4] & flag != 0;
            self.before = usize::from(has(PADDED)) + if has(PRIORITY) { PRIORITY_BYTES } else { 0 };
        }
        self.head_open |= self.begun[3] == HEADERS;
        if self.left == 0 && self.begun[3] != HEADERS {
            // An empty one asks for nothing, whatever its kind.
            self.idle += HEAD as u64;
        } else {
            *self.account() += HEAD as u64;
        }
    }

    /// Takes a piece of the current frame's payload: what of it is of a header block is followed.
    fn block(&mut self, piece: &mut [u8]) {
        if !matches!(self.begun[3], HEADERS | CONTINUATION) {
            return;
        }
        // The length of the padding is the very first byte.
        if self.begun[3] == HEADERS && self.begun[4] & PADDED != 0 && self.left == length(&self.begun) {
            self.padding = usize::from(piece[0]);
        }
        let before = self.before.min(piece.len());
        self.before -= before;
        let until_padding = self.left.saturating_sub(self.padding).min(piece.len()).max(before);
        self.blocks.follow(&mut piece[before..until_padding]);
    }

    /// Where the bytes of the current frame count.
    fn account(&mut self) -> &mut u64 {
        match self.begun[3] {
            DATA | HEADERS | CONTINUATION => &mut self.asking,
            _ => &mut self.idle,
        }
    }

    /// Has a request's head begun and not ended?
    pub(super) fn head_is_open(&self) -> bool {
        self.head_open
    }

    /// Has more been said that asks for nothing than any honest client has to say?
    pub(super) fn is_flooded(&self) -> bool {
        self.idle > IDLE_WORDS + IDLE_SHARE * self.asking
    }
}

fn length(head: &[u8]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, 0, 0, 0, 0, 1], payload].concat()
    }

    fn hear(asked: &mut Asked, bytes: &[u8]) {
        asked.follow(&mut bytes.to_vec());
    }

    #[test]
    fn a_fragment_is_found_between_priority_and_padding_and_over_frames() {
        let path = b"\x04\x04/a#b";
        let frame = |kind: u8, flags: u8, payload: &[u8]| {
            let mut frame = frame(kind, payload);
            frame[4] = flags;
            frame
        };
        let framed = |path: &[u8]| {
            let padded = [b"\x03#####", path, b"###"].concat();
            [
                vec![0; PREFACE],
                frame(HEADERS, PADDED | PRIORITY | END_HEADERS, &padded),
                frame(HEADERS, PADDED, &[b"\x02", &path[..3], b"##"].concat()),
                frame(CONTINUATION, PADDED | END_HEADERS, &path[3..]),
                frame(DATA, PADDED | PRIORITY, path),
            ]
            .concat()
        };
        let after = [&framed(b"\x04\x04/a>b")[..], b""].concat();
        let after = &after[..after.len() - path.len()];
        for size in [1, 2, 3, 7, 1000] {
            let (mut asked, mut bytes) = (Asked::default(), framed(path));
            bytes.chunks_mut(size).for_each(|piece| asked.follow(piece));
            assert_eq!(bytes, [after, path].concat(), "pieces of {size}");
        }
    }

    #[test]
    fn a_head_is_open_until_its_end_has_come() {
        let with_flags = |kind, flags, payload: &[u8]| {
            let mut frame = frame(kind, payload);
            frame[4] = flags;
            frame
        };
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let all = [
            (preface, false),
            (frame(4, b""), false),
            (with_flags(HEADERS, END_HEADERS, b"whole"), false),
            (with_flags(HEADERS, 0, b"part"), true),
            (frame(CONTINUATION, b""), true),
            (with_flags(CONTINUATION, END_HEADERS, b"end"), false),
            (with_flags(DATA, END_HEADERS, b"no head"), false),
            (with_flags(HEADERS, END_HEADERS, b""), false),
        ];
        for size in [1, 4, 100] {
            let mut asked = Asked::default();
            for (bytes, open) in &all {
                for piece in bytes.chunks(size) {
                    hear(&mut asked, piece);
                }
                assert_eq!(asked.head_is_open(), *open, "{bytes:?}");
            }
            // The head of a frame, and all but the last byte of it.
            let last = with_flags(HEADERS, END_HEADERS, b"whole");
            hear(&mut asked, &last[..last.len() - 1]);
            assert!(asked.head_is_open());
            hear(&mut asked, &last[last.len() - 1..]);
            assert!(!asked.head_is_open());
        }
    }

    #[test]
    fn only_who_says_much_and_asks_little_floods() {
        let mut asked = Asked::default();
        hear(&mut asked, &[0; PREFACE]);
        let ping = frame(6, &[0; 8]);
        for _ in 0..IDLE_WORDS / 17 - 1 {
            hear(&mut asked, &ping);
        }
        assert!(!asked.is_flooded());
        // A request buys eight times its bytes.
        hear(&mut asked, &frame(HEADERS, &[0; 100]));
        for _ in 0..51 {
            hear(&mut asked, &ping);
        }
        assert!(!asked.is_flooded());
        hear(&mut asked, &ping);
        hear(&mut asked, &frame(DATA, b""));
        hear(&mut asked, &ping);
        assert!(asked.is_flooded());
    }

    proptest! {
        #[test]
        fn any_bytes_are_followed_alike_whatever_their_pieces(
            bytes in prop::collection::vec(prop_oneof![3 => 0_u8..10, 1 => any::<u8>()], 0..400),
            size in 1_usize..40,
        ) {
            let (mut whole, mut pieces) = (Asked::default(), Asked::default());
            let (mut out, mut out_pieces) = (Frames::default(), Frames::default());
            let (mut refused, mut refused_pieces) = (Vec::new(), Vec::new());
            whole.follow(&mut bytes.clone());
            out.follow(&bytes, |what| refused.push(what));
            for piece in bytes.chunks(size) {
                pieces.follow(&mut piece.to_vec());
                out_pieces.follow(piece, |what| refused_pieces.push(what));
            }
            prop_assert_eq!(whole.head_is_open(), pieces.head_is_open());
            prop_assert_eq!((whole.idle, whole.asking), (pieces.idle, pieces.asking));
            prop_assert_eq!(whole.idle + whole.asking, bytes.len() as u64 - (whole.have as u64));
            prop_assert_eq!(refused, refused_pieces);
            prop_assert_eq!(out.is_between(), out_pieces.is_between());
        }
    }

    #[test]
    fn refusals_are_found_among_other_frames_in_pieces_of_any_size() {
        let code = |code: u32| code.to_be_bytes();
        let all = [
            frame(4, b""),
            frame(0, &[0xff; 200]),
            frame(RST_STREAM, &code(8)),
            frame(RST_STREAM, &code(PROTOCOL_ERROR)),
            frame(1, b"\0\0\0\x01"),
            frame(6, &[1; 8]),
            frame(GOAWAY, &[code(1), code(NO_ERROR)].concat()),
            frame(RST_STREAM, &code(PROTOCOL_ERROR)),
            frame(GOAWAY, &[&code(1)[..], &code(0xb), b"too many resets"].concat()),
            frame(6, &[1; 8]),
            frame(GOAWAY, &[code(1), code(INTERNAL_ERROR)].concat()),
        ]
        .concat();
        for size in [1, 2, 3, 7, 9, 13, 64, 1000] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in all.chunks(size) {
                frames.follow(piece, |what| found.push(what));
            }
            assert_eq!(
                found,
                [Refused::Stream, Refused::Stream, Refused::Connection],
                "pieces of {size}"
            );
        }
    }
}
