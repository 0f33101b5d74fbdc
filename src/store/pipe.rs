//! One open connection: the commands of all calls go out together, and the answers come back in their order.
//!
//! Measured against the client's own multiplexed connection: no channel, no allocation and no codec a call, only one
//! buffer that all write into and one row of calls that wait.

mod driver;

use driver::Driver;
use redis::{Cmd, RedisError, RedisResult, Value};
use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::sync::Notify;

/// The callers' end. Clones are the same connection.
#[derive(Clone)]
pub(super) struct Pipe(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// A call may begin that could not.
    room: Notify,
    /// Calls at once.
    limit: usize,
}

struct State {
    /// Commands that the driver has not taken yet.
    out: Vec<u8>,
    /// In the order of their commands.
    calls: VecDeque<Call>,
    /// The number of the first of them.
    first: u64,
    /// So many of them have been answered.
    answered: usize,
    /// The driver, while it has nothing to write.
    driver: Option<Waker>,
    /// Why the connection has ended.
    end: Option<(io::ErrorKind, String)>,
}

struct Call {
    /// Answers before the one that is wanted.
    skip: u8,
    state: CallState,
}

enum CallState {
    Waiting(Option<Waker>),
    /// Nobody waits for the answer any more, which comes all the same.
    Abandoned,
    Answered(RedisResult<Value>),
    Over,
}

/// The answer to a command that was sent.
struct Answer<'a> {
    pipe: &'a Pipe,
    number: u64,
    over: bool,
}

impl Pipe {
    /// A connection on which up to `limit` calls are under way at once; further ones wait.
    pub(super) fn new<S>(stream: S, limit: usize) -> (Self, Driver<S>) {
        let state = State {
            out: Vec::new(),
            calls: VecDeque::new(),
            first: 0,
            answered: 0,
            driver: None,
            end: None,
        };
        let pipe = Self(Arc::new(Shared {
            state: Mutex::new(state),
            room: Notify::new(),
            limit: limit.max(1),
        }));
        let driver = Driver::new(stream, pipe.clone());
        (pipe, driver)
    }

    /// Sends what `encode` writes, and waits for its last answer; those of `skip` commands before it are dropped. A call
    /// that is given up has been sent all the same.
    pub(super) async fn call(&self, skip: u8, encode: impl Fn(&mut Vec<u8>)) -> RedisResult<Value> {
        loop {
            let room = self.0.room.notified();
            if let Some(answer) = self.send(skip, &encode)? {
                return answer.await;
            }
            room.await;
        }
    }

    /// The answer to any command.
    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let answer = self
            .call(0, |out| out.extend_from_slice(&command.get_packed_command()))
            .await;
        answer.and_then(Value::extract_error)
    }

    /// The connection has ended.
    pub(super) fn is_over(&self) -> bool {
        self.state().end.is_some()
    }

    /// `None`: too many calls are under way.
    fn send(&self, skip: u8, encode: &impl Fn(&mut Vec<u8>)) -> RedisResult<Option<Answer<'_>>> {
        let mut state = self.state();
        if let Some((kind, reason)) = &state.end {
            return Err(io::Error::new(*kind, reason.clone()).into());
        }
        if state.calls.len() >= self.0.limit {
            return Ok(None);
        }
        encode(&mut state.out);
        let number = state.first + state.calls.len() as u64;
        let waiting = CallState::Waiting(None);
        state.calls.push_back(Call { skip, state: waiting });
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(Some(Answer {
            pipe: self,
            number,
            over: false,
        }))
    }

    /// Ends every call that waits, and every one to come.
    fn end(&self, why: &io::Error) {
        let mut waiting = Vec::new();
        {
            let mut state = self.state();
            if state.end.is_none() {
                state.end = Some((why.kind(), why.to_string()));
            }
            state.out = Vec::new();
            while state.answered < state.calls.len() {
                let error = io::Error::new(why.kind(), why.to_string());
                waiting.extend(state.answer(Err(error.into())));
            }
            state.trim();
        }
        waiting.into_iter().for_each(Waker::wake);
        self.0.room.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn call(&mut self, number: u64) -> &mut Call {
        let at = usize::try_from(number - self.first).expect("a call that is not over is in the row");
        &mut self.calls[at]
    }

    /// The answer of the first call that has none; there is one. Who waits for it is to be woken.
    fn answer(&mut self, answer: RedisResult<Value>) -> Option<Waker> {
        let call = &mut self.calls[self.answered];
        if call.skip > 0 && answer.is_ok() {
            call.skip -= 1;
            return None;
        }
        self.answered += 1;
        match std::mem::replace(&mut call.state, CallState::Over) {
            CallState::Waiting(waker) => {
                call.state = CallState::Answered(answer);
                waker
            }
            _ => None,
        }
    }

    /// Drops what is over at the front of the row. True if there was any.
    fn trim(&mut self) -> bool {
        let before = self.calls.len();
        while self.answered > 0 && matches!(self.calls.front(), Some(call) if matches!(call.state, CallState::Over)) {
            self.calls.pop_front();
            self.first += 1;
            self.answered -= 1;
        }
        self.calls.len() < before
    }
}

impl Answer<'_> {
    /// The call leaves the row.
    fn leave(&mut self, mut state: MutexGuard<'_, State>) {
        self.over = true;
        let was_full = state.calls.len() >= self.pipe.0.limit;
        let made_room = state.trim();
        drop(state);
        if was_full && made_room {
            self.pipe.0.room.notify_waiters();
        }
    }
}

impl Future for Answer<'_> {
    type Output = RedisResult<Value>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RedisResult<Value>> {
        let mut state = self.pipe.state();
        let call = state.call(self.number);
        match std::mem::replace(&mut call.state, CallState::Over) {
            CallState::Answered(answer) => {
                self.leave(state);
                Poll::Ready(answer)
            }
            CallState::Waiting(Some(waker)) if waker.will_wake(cx.waker()) => {
                call.state = CallState::Waiting(Some(waker));
                Poll::Pending
            }
            _ => {
                call.state = CallState::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut state = self.pipe.state();
        let call = state.call(self.number);
        match std::mem::replace(&mut call.state, CallState::Over) {
            CallState::Waiting(_) => call.state = CallState::Abandoned,
            _ => self.leave(state),
        }
    }
}

/// Did the connection fail, and not the command?
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}

#[cfg(test)]
mod tests;
