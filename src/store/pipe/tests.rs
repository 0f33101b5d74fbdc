//! A connection whose other end the test plays.

use super::*;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};
use tokio_util::task::TaskTracker;

const LONG: Duration = Duration::from_secs(30);

fn open(limit: usize) -> (Pipe, DuplexStream) {
    let (ours, theirs) = duplex(1 << 20);
    let (pipe, driver) = Pipe::new(ours, limit);
    TaskTracker::new().spawn(driver.run());
    (pipe, theirs)
}

async fn ask(pipe: &Pipe, what: &'static str) -> RedisResult<Value> {
    let answer = timeout(LONG, pipe.call(0, |out| out.extend_from_slice(what.as_bytes()))).await;
    answer.expect("it has an end")
}

async fn reads(server: &mut DuplexStream, expected: &str) {
    let mut read = vec![0; expected.len()];
    server.read_exact(&mut read).await.expect("it comes");
    assert_eq!(String::from_utf8_lossy(&read), expected);
}

#[tokio::test]
async fn calls_go_out_together_and_each_gets_its_own_answer() {
    let (pipe, mut server) = open(8);
    let play = async {
        reads(&mut server, "abc").await;
        // Cut where it hurts.
        for piece in ["$2\r", "\nA", "1\r\n:2", "\r\n-ERR no\r\n"] {
            server.write_all(piece.as_bytes()).await.expect("sent");
            tokio::task::yield_now().await;
        }
    };
    let (a, b, c, ()) = tokio::join!(ask(&pipe, "a"), ask(&pipe, "b"), ask(&pipe, "c"), play);
    assert_eq!(a, Ok(Value::BulkString(b"A1".to_vec())));
    assert_eq!(b, Ok(Value::Int(2)));
    assert!(matches!(c, Ok(Value::ServerError(_))));
}

#[tokio::test]
async fn a_call_that_was_given_up_takes_its_answer_with_it() {
    let (pipe, mut server) = open(8);
    {
        let mut lost = std::pin::pin!(ask(&pipe, "lost"));
        assert!(futures_util::poll!(lost.as_mut()).is_pending());
        reads(&mut server, "lost").await;
    }
    let play = async {
        reads(&mut server, "next").await;
        server.write_all(b"+lost\r\n+next\r\n").await.expect("sent");
    };
    let (next, ()) = tokio::join!(ask(&pipe, "next"), play);
    assert_eq!(next, Ok(Value::SimpleString("next".to_owned())));
    assert!(pipe.state().calls.is_empty());
}

#[tokio::test]
async fn answers_that_are_not_wanted_are_dropped() {
    let (pipe, mut server) = open(8);
    let both = pipe.call(1, |out| out.extend_from_slice(b"ASKING GET"));
    let play = async {
        reads(&mut server, "ASKING GET").await;
        server.write_all(b"-ERR asking\r\n:7\r\n").await.expect("sent");
    };
    let (got, ()) = tokio::join!(both, play);
    assert_eq!(got, Ok(Value::Int(7)));
}

#[tokio::test]
async fn so_many_calls_are_under_way_and_the_others_wait_their_turn() {
    let (pipe, mut server) = open(2);
    let play = async {
        for n in 0..5 {
            let mut byte = [0];
            server.read_exact(&mut byte).await.expect("it comes");
            assert!(pipe.state().calls.len() <= 2, "{n}");
            server.write_all(b":1\r\n").await.expect("sent");
        }
    };
    let calls = futures_util::future::join_all((0..5).map(|_| ask(&pipe, "x")));
    let (answers, ()) = tokio::join!(calls, play);
    assert!(answers.into_iter().all(|answer| answer == Ok(Value::Int(1))));
    assert!(pipe.state().calls.is_empty());
}

#[tokio::test]
async fn an_end_is_told_to_all_who_wait_and_all_who_come() {
    for ending in ["", ":1\r\n?\r\n", ":1\r\n+one\r\n+too many\r\n+three\r\n"] {
        let (pipe, mut server) = open(8);
        let play = async {
            reads(&mut server, "abc").await;
            server.write_all(ending.as_bytes()).await.expect("sent");
            drop(server);
        };
        let (a, _, c, ()) = tokio::join!(ask(&pipe, "a"), ask(&pipe, "b"), ask(&pipe, "c"), play);
        assert_eq!(a.is_ok(), !ending.is_empty());
        assert_eq!(c.is_ok(), ending.contains("three"));
        if let Err(error) = &c {
            assert!(is_broken(error), "{error}");
        }
        while !pipe.is_over() {
            tokio::task::yield_now().await;
        }
        let after = ask(&pipe, "after").await.expect_err("it is over");
        assert!(is_broken(&after));
    }
}

#[tokio::test]
async fn what_is_said_unasked_is_the_reason() {
    let (pipe, mut server) = open(8);
    server
        .write_all(b"-ERR max number of clients reached\r\n")
        .await
        .expect("sent");
    while !pipe.is_over() {
        tokio::task::yield_now().await;
    }
    let error = ask(&pipe, "a").await.expect_err("it is over").to_string();
    assert!(error.contains("max number of clients"), "{error}");
}

#[tokio::test]
async fn a_driver_that_is_given_up_leaves_nobody_waiting() {
    let (ours, _theirs) = duplex(64);
    let (pipe, driver) = Pipe::new(ours, 8);
    let giving_up = async { drop(driver) };
    let (answer, ()) = tokio::join!(ask(&pipe, "a"), giving_up);
    assert!(answer.is_err());
}

#[tokio::test]
async fn a_long_answer_comes_in_many_pieces() {
    let (pipe, mut server) = open(8);
    let long = "x".repeat(300_000);
    let play = async {
        reads(&mut server, "a").await;
        server
            .write_all(format!("${}\r\n{long}\r\n", long.len()).as_bytes())
            .await
            .expect("sent");
        reads(&mut server, "b").await;
        server.write_all(b"+b\r\n").await.expect("sent");
    };
    let calls = async { (ask(&pipe, "a").await, ask(&pipe, "b").await) };
    let ((a, b), ()) = tokio::join!(calls, play);
    assert_eq!(a, Ok(Value::BulkString(long.into_bytes())));
    assert_eq!(b, Ok(Value::SimpleString("b".to_owned())));
}
