//! The body's digest for the identity, taken as the body arrives and without a hasher on the heap for small bodies.

use crate::event::Frames;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Up to this many bytes SHA-256 is the faster one (on a CPU with SHA extensions 0.5 µs for 1 KiB, BLAKE3 1.3 µs); beyond it
/// BLAKE3 hashes several chunks at once (64 KiB: 6 µs against 31 µs). Decided by the length alone, so that the digest does not
/// depend on how the body was cut into frames.
const SMALL: usize = 3072;

/// A digest in the making.
pub enum BodyDigest {
    /// Not asked for yet.
    Off,
    /// At most one frame so far, as nearly every webhook arrives: hashed at the end.
    Pending(Bytes),
    /// Several frames.
    Running(Box<blake3::Hasher>),
}

/// A finished digest and the name of its algorithm, which keeps the two apart in an identity.
pub struct BodySum {
    /// The algorithm.
    pub label: &'static str,
    /// The digest.
    pub bytes: [u8; 32],
}

impl BodyDigest {
    /// One that will be asked for, or may be.
    pub fn new(wanted: bool) -> Self {
        if wanted { Self::Pending(Bytes::new()) } else { Self::Off }
    }

    /// Feeds a frame that is not empty.
    pub fn update(&mut self, frame: &Bytes) {
        match self {
            Self::Off => {}
            Self::Pending(first) if first.is_empty() => *first = frame.clone(),
            Self::Pending(first) => {
                let mut hasher = Box::new(blake3::Hasher::new());
                hasher.update(first);
                hasher.update(frame);
                *self = Self::Running(hasher);
            }
            Self::Running(hasher) => {
                hasher.update(frame);
            }
        }
    }

    /// The digest of `body`, whose frames were fed.
    pub fn finish(self, body: &Frames) -> BodySum {
        if body.len() <= SMALL {
            let mut hasher = Sha256::new();
            body.iter().for_each(|frame| hasher.update(frame));
            return BodySum {
                label: "body sha256",
                bytes: hasher.finalize().into(),
            };
        }
        let digest = match self {
            Self::Running(hasher) => hasher.finalize(),
            Self::Off | Self::Pending(_) => {
                let mut hasher = blake3::Hasher::new();
                body.iter().for_each(|frame| {
                    hasher.update(frame);
                });
                hasher.finalize()
            }
        };
        BodySum {
            label: "body blake3",
            bytes: *digest.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    fn body(frames: &[&[u8]]) -> Frames {
        let mut body = Frames::default();
        frames.iter().for_each(|frame| body.push(Bytes::copy_from_slice(frame)));
        body
    }

    fn fed(frames: &[&[u8]]) -> BodyDigest {
        let mut digest = BodyDigest::new(true);
        frames
            .iter()
            .for_each(|frame| digest.update(&Bytes::copy_from_slice(frame)));
        digest
    }

    #[test]
    fn the_length_alone_decides_on_the_algorithm() {
        let bytes = vec![7; SMALL + 1];
        for (length, label) in [(0, "body sha256"), (SMALL, "body sha256"), (SMALL + 1, "body blake3")] {
            let whole = &bytes[..length];
            let expected = if length <= SMALL {
                Sha256::digest(whole).to_vec()
            } else {
                blake3::hash(whole).as_bytes().to_vec()
            };
            let (first, second) = whole.split_at(length / 3);
            for frames in [&[whole][..], &[first, second]] {
                for digest in [fed(frames), BodyDigest::new(false)] {
                    let sum = digest.finish(&body(frames));
                    assert_eq!((sum.label, &sum.bytes[..]), (label, &expected[..]), "{length}");
                }
            }
        }
        // As `sha256sum` says it.
        let sum = fed(&[b"abc"]).finish(&body(&[b"abc"]));
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(HEXLOWER.encode(&sum.bytes), abc);
    }

    #[test]
    fn only_a_second_frame_costs_a_hasher() {
        assert!(matches!(fed(&[b"one"]), BodyDigest::Pending(first) if first == "one"));
        assert!(matches!(fed(&[b"one", b"two"]), BodyDigest::Running(_)));
        assert!(matches!(BodyDigest::new(false), BodyDigest::Off));
    }
}
