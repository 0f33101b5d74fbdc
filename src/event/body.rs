//! A request body as the frames in which it arrived: hashed, kept and forwarded without joining.

use bytes::{Bytes, BytesMut};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

/// A frame keeps the whole buffer that it was read into, however little of that it is: hyper reads a body that comes in
/// single bytes into 8 KiB each, and a large one into buffers that are half full. So all but the first are copied into
/// pieces: of about as much as is there already, up to this.
const PIECE: usize = 64 * 1024;
const SMALLEST_PIECE: usize = 512;

/// The frames of one body. Cheap to clone: every frame is reference-counted.
#[derive(Clone, Default)]
pub struct Frames {
    // Nearly every webhook arrives in one frame: the first one costs no allocation.
    first: Bytes,
    rest: Vec<Bytes>,
    len: usize,
}

impl Frames {
    /// Appends a frame; empty ones are dropped.
    pub fn push(&mut self, frame: Bytes) {
        if frame.is_empty() {
            return;
        }
        self.len += frame.len();
        if self.first.is_empty() {
            self.first = frame;
        } else {
            self.gather(&frame);
        }
    }

    /// Copies a frame behind the last piece, if that is ours alone, and what has no room there into further ones.
    fn gather(&mut self, mut frame: &[u8]) {
        match self.rest.pop().map(Bytes::try_into_mut) {
            Some(Ok(mut piece)) => {
                let fits = frame.len().min(piece.capacity() - piece.len());
                piece.extend_from_slice(&frame[..fits]);
                self.rest.push(piece.freeze());
                frame = &frame[fits..];
            }
            Some(Err(shared)) => self.rest.push(shared),
            None => {}
        }
        while !frame.is_empty() {
            let mut piece = BytesMut::with_capacity(self.len.clamp(SMALLEST_PIECE, PIECE));
            let fits = frame.len().min(piece.capacity());
            piece.extend_from_slice(&frame[..fits]);
            self.rest.push(piece.freeze());
            frame = &frame[fits..];
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is not a single byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The frames in order.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first)
            .filter(|first| !first.is_empty())
            .chain(&self.rest)
    }

    /// The whole body in one piece: free for a single frame, one copy otherwise.
    /// Only for what cannot be read frame by frame (JSON pointers, forms, field templates).
    pub fn joined(&self) -> Bytes {
        if self.rest.is_empty() {
            return self.first.clone();
        }
        let mut whole = BytesMut::with_capacity(self.len);
        for frame in self.iter() {
            whole.extend_from_slice(frame);
        }
        whole.freeze()
    }

    /// This body as something that hyper can send; the frames are shared, not copied.
    pub fn to_body(&self) -> FramesBody {
        FramesBody {
            frames: self.clone(),
            next: 0,
            left: self.len as u64,
        }
    }
}

impl From<Bytes> for Frames {
    fn from(whole: Bytes) -> Self {
        let mut frames = Self::default();
        frames.push(whole);
        frames
    }
}

/// [`Frames`] as an [`http_body::Body`] of exactly known length, so that it is sent with `Content-Length`.
pub struct FramesBody {
    frames: Frames,
    next: usize,
    left: u64,
}

impl http_body::Body for FramesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let frame = match self.next {
            0 if !self.frames.first.is_empty() => Some(self.frames.first.clone()),
            0 => None,
            n => self.frames.rest.get(n - 1).cloned(),
        };
        Poll::Ready(frame.map(|frame| {
            self.next += 1;
            self.left -= frame.len() as u64;
            Ok(http_body::Frame::data(frame))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_joined_in_order_and_counted() {
        let mut frames = Frames::default();
        for part in ["", "ab", "", "cd", "e"] {
            frames.push(Bytes::from_static(part.as_bytes()));
        }
        assert_eq!((frames.len(), &frames.joined()[..]), (5, &b"abcde"[..]));
        assert_eq!(frames.iter().count(), 2);
    }

    #[test]
    fn frames_that_were_shared_stay_as_they_were() {
        let mut frames = Frames::default();
        frames.push(Bytes::from_static(b"a"));
        frames.push(Bytes::from_static(b"b"));
        let before = frames.clone();
        frames.push(Bytes::from_static(b"c"));
        frames.push(Bytes::from(vec![b'd'; 3 * PIECE]));
        frames.push(Bytes::from_static(b"e"));
        assert_eq!(&before.joined()[..], b"ab");
        let all = [b"abc".to_vec(), vec![b'd'; 3 * PIECE], b"e".to_vec()].concat();
        assert_eq!((frames.len(), &frames.joined()[..]), (all.len(), &all[..]));
    }

    /// A buffer into which one byte was read.
    struct Buffer(std::sync::Arc<[u8]>);

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    #[test]
    fn a_body_in_single_bytes_does_not_keep_the_buffers_that_they_came_in() {
        let (mut frames, alive) = (Frames::default(), std::sync::Arc::<[u8]>::from(&b"x"[..]));
        for _ in 0..200_000 {
            frames.push(Bytes::from_owner(Buffer(alive.clone())));
        }
        assert_eq!(frames.len(), 200_000);
        assert_eq!(
            std::sync::Arc::strong_count(&alive),
            2,
            "that of the first frame and ours"
        );
        let pieces: Vec<usize> = frames.rest.iter().map(Bytes::len).collect();
        // 512, 514, 1028, … 64 KiB, 64 KiB: at no time is more than half of the room unused.
        assert!(pieces.len() == 11 && pieces[9] == PIECE, "{pieces:?}");
    }
}
