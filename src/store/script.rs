//! A Lua script and how it is called: by its digest, with its whole text where the server does not know it.

use super::Line;
use data_encoding::HEXLOWER;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};
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
        line: &mut Line,
        key: &[u8],
        args: &[Arg<'_>],
        asking: bool,
    ) -> Result<Value, RedisError> {
        let known = command("EVALSHA", &self.sha, key, args);
        match answer(line, known, asking).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                answer(line, command("EVAL", self.text, key, args), asking).await
            }
            result => result,
        }
    }
}

async fn answer(line: &mut Line, command: Cmd, asking: bool) -> Result<Value, RedisError> {
    let connection = &mut line.connection;
    if !asking {
        let answer = connection.send_packed_command(&command).await;
        return answer.and_then(Value::extract_error);
    }
    // In one piece, so that no other call's command comes between.
    let mut both = Pipeline::with_capacity(2);
    both.cmd("ASKING").add_command(command);
    let answers = connection.send_packed_commands(&both, 1, 1).await?;
    answers.into_iter().next_back().unwrap_or(Value::Nil).extract_error()
}

fn command(verb: &str, script: &str, key: &[u8], args: &[Arg<'_>]) -> Cmd {
    let mut command = Cmd::new();
    command.arg(verb).arg(script).arg(1).arg(key);
    for arg in args {
        match arg {
            Arg::Bytes(bytes) => command.arg(*bytes),
            Arg::Number(number) => command.arg(*number),
        };
    }
    command
}
