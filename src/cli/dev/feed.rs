//! The sidecar's log as a feed: its lines are read back instead of being printed, so that every event is told in words.

use serde_json::Value;
use std::io;
use tokio::sync::mpsc;

/// Lines that may wait to be shown; beyond that the log's own thread waits, and the log counts what it loses.
const WAITING: usize = 1024;

/// What the log said.
pub(super) enum Said {
    /// A request was answered.
    Request(Record),
    /// Something else that an operator should know.
    Message {
        /// `error`, `warn`, `info`.
        level: String,
        /// In words.
        text: String,
    },
}

/// The line of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record {
    pub trace: String,
    pub source: String,
    pub event: Option<String>,
    pub delivery: Option<String>,
    pub outcome: String,
    pub reason: Option<String>,
    pub status: u64,
    /// Bytes of its body that were read.
    pub bytes: u64,
    /// How long the slowest destination took, milliseconds.
    pub upstream: Option<f64>,
}

/// Where the log writes to.
pub(super) struct Sink {
    unfinished: Vec<u8>,
    said: mpsc::Sender<Said>,
}

/// Where its lines are read.
pub(super) struct Feed {
    said: mpsc::Receiver<Said>,
}

/// Both ends.
pub(super) fn feed() -> (Sink, Feed) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let sink = Sink {
        unfinished: Vec::new(),
        said: sender,
    };
    (sink, Feed { said: receiver })
}

impl Feed {
    /// The next line; `None` when the log has ended.
    pub(super) async fn next(&mut self) -> Option<Said> {
        self.said.recv().await
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unfinished.extend_from_slice(bytes);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            if let Some(said) = understand(&line) {
                // Nobody reads any more once the trial is over.
                let _over = self.said.blocking_send(said);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn understand(line: &[u8]) -> Option<Said> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let maybe = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
    let text = |key: &str| maybe(key).unwrap_or_default();
    let count = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or_default();
    if line.get("trace_id").is_none() {
        let message = text("msg");
        return Some(Said::Message {
            level: text("level"),
            text: maybe("error").map_or(message.clone(), |error| format!("{message}: {error}")),
        });
    }
    Some(Said::Request(Record {
        trace: text("trace_id"),
        source: text("source"),
        event: maybe("event"),
        delivery: maybe("delivery"),
        outcome: text("outcome"),
        reason: maybe("reason"),
        status: count("status"),
        bytes: count("bytes"),
        upstream: line.get("upstream_ms").and_then(Value::as_f64),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_are_read_however_they_are_cut() {
        let (mut sink, mut feed) = feed();
        let lines = concat!(
            r#"{"level":"info","msg":"request","trace_id":"ab","source":"stripe","event":"x","delivery":null,"outcome":"#,
            r#""stale","reason":"signed 600 s ago","status":401,"bytes":7,"upstream_ms":null}"#,
            "\nno JSON\n",
            r#"{"level":"error","msg":"a worker failed","error":"it panicked"}"#,
            "\n",
        );
        for piece in lines.as_bytes().chunks(11) {
            sink.write_all(piece).expect("it takes everything");
        }
        let Some(Said::Request(record)) = feed.said.blocking_recv() else {
            panic!("the first line is a request");
        };
        let expected = Record {
            trace: "ab".to_owned(),
            source: "stripe".to_owned(),
            event: Some("x".to_owned()),
            outcome: "stale".to_owned(),
            reason: Some("signed 600 s ago".to_owned()),
            status: 401,
            bytes: 7,
            ..Record::default()
        };
        assert_eq!(record, expected);
        let Some(Said::Message { level, text }) = feed.said.blocking_recv() else {
            panic!("the third line is a message");
        };
        assert_eq!((&*level, &*text), ("error", "a worker failed: it panicked"));
        assert!(feed.said.try_recv().is_err());
    }
}
