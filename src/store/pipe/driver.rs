//! Moves a connection's bytes: commands out, in as few writes as there are turns; answers in, to the calls that wait.

use super::Pipe;
use crate::store::{in_redis_words, resp};
use bytes::{Buf, BytesMut};
use redis::Value;
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// Room for the answers that come in one go; more is made for a longer one and given back after it.
const READ: usize = 8 << 10;
/// A buffer of commands that has become larger than this is not kept.
const KEPT: usize = 64 << 10;

/// The connection's end: must be driven for anything to happen. Dropped, it fails all calls.
pub(in crate::store) struct Driver<S> {
    stream: S,
    pipe: Pipe,
    /// Commands under way to the kernel, and how much of them it has.
    writing: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// What has come and is no whole answer yet.
    reading: BytesMut,
}

impl<S> Driver<S> {
    pub(super) fn new(stream: S, pipe: Pipe) -> Self {
        Self {
            stream,
            pipe,
            writing: Vec::new(),
            written: 0,
            unflushed: false,
            reading: BytesMut::with_capacity(READ),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Until the connection ends, which all calls are told.
    pub(in crate::store) async fn run(mut self) {
        let why = poll_fn(|cx| self.poll(cx)).await;
        self.pipe.end(&why);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                return Poll::Ready(error);
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => {
                    // With commands in hand it is the kernel that wakes us.
                    if !self.writing.is_empty() {
                        return Poll::Pending;
                    }
                    let mut state = self.pipe.state();
                    if state.out.is_empty() {
                        state.driver = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.writing.is_empty() {
                std::mem::swap(&mut self.writing, &mut self.pipe.state().out);
                if self.writing.is_empty() {
                    break;
                }
            }
            while self.written < self.writing.len() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.writing[self.written..]))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += written;
                self.unflushed = true;
            }
            self.written = 0;
            self.writing.clear();
            if self.writing.capacity() > KEPT {
                self.writing = Vec::new();
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready after each piece that came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A longer answer doubles its room as it comes.
        self.reading.reserve(self.reading.len().max(READ / 2));
        let came = ready!(pin!(self.stream.read_buf(&mut self.reading)).poll(cx))?;
        if came == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "Redis closed the connection",
            )));
        }
        Poll::Ready(self.hand_out())
    }

    /// Gives every whole answer to the call that waits for it.
    fn hand_out(&mut self) -> io::Result<()> {
        let mut waiting = [const { None }; 32];
        loop {
            let (mut read, mut woken, mut fault) = (0, 0, None);
            let mut state = self.pipe.state();
            while woken < waiting.len() {
                let value = match resp::answer(&self.reading[read..]) {
                    Ok(Some((value, length))) => {
                        read += length;
                        value
                    }
                    Ok(None) => break,
                    Err(error) => {
                        fault = Some(io::Error::new(io::ErrorKind::InvalidData, error));
                        break;
                    }
                };
                if state.answered == state.calls.len() {
                    fault = Some(unasked(value));
                    break;
                }
                if let Some(waker) = state.answer(Ok(value)) {
                    waiting[woken] = Some(waker);
                    woken += 1;
                }
            }
            let was_full = state.calls.len() >= self.pipe.0.limit;
            let made_room = state.trim();
            drop(state);
            waiting.iter_mut().filter_map(Option::take).for_each(Waker::wake);
            if was_full && made_room {
                self.pipe.0.room.notify_waiters();
            }
            self.reading.advance(read);
            match fault {
                Some(fault) => return Err(fault),
                None if woken < waiting.len() => break,
                None => {}
            }
        }
        if self.reading.is_empty() && self.reading.capacity() > KEPT {
            self.reading = BytesMut::with_capacity(READ);
        }
        Ok(())
    }
}

/// What Redis has against us, mostly: `ERR max number of clients reached`.
fn unasked(value: Value) -> io::Error {
    match value.extract_error() {
        Err(error) => io::Error::new(io::ErrorKind::ConnectionAborted, in_redis_words(&error)),
        Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "an answer to no question"),
    }
}

impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        let gone = io::Error::new(io::ErrorKind::BrokenPipe, "the connection was given up");
        self.pipe.end(&gone);
    }
}
