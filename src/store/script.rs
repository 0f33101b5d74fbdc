//! A Lua script and how it is called: by its digest, with its whole text where the server does not know it.

use super::{Line, resp};
use data_encoding::HEXLOWER;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use sha1::{Digest, Sha1};

/// A script over one key. Two plain commands (`EVALSHA`, then `EVAL`), because a `SCRIPT LOAD` in between would be lost
/// with a replica that was never told.
pub struct Script {
    text: &'static str,
    sha: String,
}

/// An argument.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    /// As it is.
    Bytes(&'a [u8]),
    /// In decimal.
    Number(u64),
}

impl Script {
    /// A script from its text.
    pub fn new(text: &'static str) -> Self {
        Self {
            text,
            sha: HEXLOWER.encode(&Sha1::digest(text.as_bytes())),
        }
    }

    /// `asking`: the node serves this key only to those who say that they were sent (`ASK` of a Cluster).
    pub(super) async fn send(
        &self,
        line: &Line,
        key: &[u8],
        args: &[Arg<'_>],
        asking: bool,
    ) -> Result<Value, RedisError> {
        match answer(line, ["EVALSHA", &self.sha], key, args, asking).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                answer(line, ["EVAL", self.text], key, args, asking).await
            }
            result => result,
        }
    }
}

async fn answer(
    line: &Line,
    script: [&str; 2],
    key: &[u8],
    args: &[Arg<'_>],
    asking: bool,
) -> Result<Value, RedisError> {
    let encode = |out: &mut Vec<u8>| {
        // In one piece, so that no other call's command comes between.
        if asking {
            resp::words(1, out);
            resp::word(b"ASKING", out);
        }
        resp::words(4 + args.len(), out);
        for word in script {
            resp::word(word.as_bytes(), out);
        }
        resp::number(1, out);
        resp::word(key, out);
        for arg in args {
            match arg {
                Arg::Bytes(bytes) => resp::word(bytes, out),
                Arg::Number(number) => resp::number(*number, out),
            }
        }
    };
    let answer = line.pipe.call(u8::from(asking), encode).await;
    answer.and_then(Value::extract_error)
}
