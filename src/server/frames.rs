//! Follows the frames of HTTP/2 that we write: what its parser refuses, it tells the peer and not us.

/// A frame's head: length, kind, flags, stream (RFC 9113, section 4.1).
const HEAD: usize = 9;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;

/// Where in its frames a stream of bytes stands.
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

    fn length(&self) -> usize {
        usize::from(self.begun[0]) << 16 | usize::from(self.begun[1]) << 8 | usize::from(self.begun[2])
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, 0, 0, 0, 0, 1], payload].concat()
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
