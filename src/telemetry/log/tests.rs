//! What lines look like, and that writing them costs nobody anything.

use super::*;
use crate::event::TestClock;
use std::{
    io::Write,
    sync::{Condvar, Mutex},
};

const AT: Timestamp = Timestamp::from_millis(1_795_514_401_007);

/// Keeps what is written; stands still while the gate is shut.
#[derive(Clone, Default)]
struct Sink(Arc<Shared>);

#[derive(Default)]
struct Shared {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    shut: bool,
}

impl Sink {
    fn text(&self) -> String {
        let written = self.0.written.lock().expect("no panic");
        String::from_utf8(written.bytes.clone()).expect("the log is UTF-8")
    }

    fn shut(&self, shut: bool) {
        self.0.written.lock().expect("no panic").shut = shut;
        self.0.changed.notify_all();
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.written.lock().expect("no panic");
        let mut written = self
            .0
            .changed
            .wait_while(written, |written| written.shut)
            .expect("no panic");
        written.bytes.extend_from_slice(bytes);
        self.0.changed.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(format: Format, level: Level) -> (Log, Sink, Counter) {
    let (sink, dropped) = (Sink::default(), Counter::default());
    let clock = Arc::new(TestClock::at(AT));
    let log = Log::start(format, level, Box::new(sink.clone()), clock, dropped.clone()).expect("a thread");
    (log, sink, dropped)
}

fn record() -> RequestRecord<'static> {
    RequestRecord {
        at: AT,
        request_id: "0abc",
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
        source: "stripe",
        event: Some("invoice.paid"),
        delivery: Some("evt_1"),
        attempt: Some(2),
        outcome: "upstream_failed",
        reason: Some(&"billing answered 503"),
        status: 503,
        client: Some(IpAddr::from([192, 0, 2, 7])),
        bytes: 1024,
        duration: Duration::from_micros(12_345),
        upstream: Some(Duration::from_micros(11_900)),
        destinations: &[],
    }
}

#[test]
fn a_request_is_one_json_line_with_the_keys_of_the_contract() {
    let (log, sink, _) = start(Format::Json, Level::Info);
    log.request(&record(), &Recent::new(4096), Shelf::Deliveries);
    log.flush();
    assert_eq!(
        sink.text(),
        concat!(
            r#"{"ts":"2026-11-24T10:00:01.007Z","level":"info","msg":"request","request_id":"0abc","#,
            r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","source":"stripe","event":"invoice.paid","#,
            r#""delivery":"evt_1","attempt":2,"outcome":"upstream_failed","reason":"billing answered 503","#,
            r#""status":503,"client":"192.0.2.7","bytes":1024,"duration_ms":12.345,"upstream_ms":11.900}"#,
            "\n"
        )
    );
}

#[test]
fn what_is_not_known_is_null_in_json_and_absent_in_text() {
    let bare = RequestRecord {
        source: "",
        event: None,
        delivery: None,
        attempt: None,
        reason: None,
        client: None,
        upstream: None,
        ..record()
    };
    let (log, sink, _) = start(Format::Json, Level::Info);
    log.request(&bare, &Recent::new(4096), Shelf::Deliveries);
    log.flush();
    let line: serde_json::Value = serde_json::from_str(&sink.text()).expect("JSON");
    let keys: Vec<&str> = line
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys.join(" "),
        "ts level msg request_id trace_id source event delivery attempt outcome reason status client bytes duration_ms \
         upstream_ms"
    );
    let null = ["event", "delivery", "attempt", "reason", "client", "upstream_ms"];
    assert!(null.iter().all(|key| line[key].is_null()), "{line}");
    assert_eq!(line["source"], "");

    let (log, sink, _) = start(Format::Text, Level::Info);
    log.request(&bare, &Recent::new(4096), Shelf::Deliveries);
    log.flush();
    assert_eq!(
        sink.text(),
        "2026-11-24T10:00:01.007Z info  request request_id=0abc trace_id=4bf92f3577b34da6a3ce929d0e0e4736 source=\"\" \
         outcome=upstream_failed status=503 bytes=1024 duration_ms=12.345\n"
    );
}

#[test]
fn nothing_from_outside_breaks_out_of_its_value() {
    let hostile = "a\r\n\u{1b}[31m\u{9b}\u{202e}\u{7f}\",\"level\":\"x\\ é";
    for format in [Format::Json, Format::Text] {
        let (log, sink, _) = start(format, Level::Info);
        let recent = Recent::new(4096);
        let hostile_record = RequestRecord {
            event: Some(hostile),
            ..record()
        };
        log.request(&hostile_record, &recent, Shelf::Deliveries);
        let kept = recent.after(0, 2).kept;
        let kept: serde_json::Value = serde_json::from_str(&kept[0].line).expect("JSON");
        assert_eq!(kept["event"], hostile);
        log.message(Level::Warn, hostile, &[("path", &hostile)]);
        log.flush();
        let text = sink.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'));
        if format == Format::Json {
            for line in text.lines() {
                let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                assert!(
                    [&line["event"], &line["msg"]].into_iter().any(|value| value == hostile),
                    "{line}"
                );
            }
        } else {
            assert!(
                text.contains(r#"path="a\r\n\u001b[31m\u009b\u202e\u007f\",\"level\":\"x\\ é""#),
                "{text}"
            );
        }
    }
}

#[test]
fn values_are_cut_at_256_bytes_between_characters() {
    let (log, sink, _) = start(Format::Json, Level::Info);
    log.message(
        Level::Info,
        "m",
        &[
            ("exact", &"x".repeat(256)),
            ("long", &"é".repeat(4000)),
            ("odd", &format!("x{}", "é".repeat(200))),
        ],
    );
    log.flush();
    let line: serde_json::Value = serde_json::from_str(&sink.text()).expect("JSON");
    assert_eq!(line["exact"], "x".repeat(256));
    assert_eq!(line["long"], format!("{}…", "é".repeat(128)));
    assert_eq!(line["odd"], format!("x{}…", "é".repeat(127)));
}

#[test]
fn what_is_kept_is_the_json_line_and_its_destinations_whatever_the_log_writes() {
    let name = |name: &str| DestinationName::parse(name).expect("a name");
    let destinations = [
        Handed {
            name: name("billing"),
            result: DeliveryResult::Failed,
            status: Some(503),
            took: Duration::from_micros(11_900),
        },
        Handed {
            name: name("search"),
            result: DeliveryResult::Unreachable,
            status: None,
            took: Duration::from_millis(3),
        },
    ];
    let full = RequestRecord {
        destinations: &destinations,
        ..record()
    };
    for (format, level) in [
        (Format::Json, Level::Info),
        (Format::Json, Level::Error),
        (Format::Text, Level::Info),
        (Format::Text, Level::Error),
    ] {
        let (log, sink, _) = start(format, level);
        let recent = Recent::new(8192);
        log.request(&full, &recent, Shelf::Deliveries);
        log.request(&record(), &recent, Shelf::Refused);
        log.flush();
        assert_eq!(sink.text().lines().count(), if level == Level::Info { 2 } else { 0 });
        assert!(!sink.text().contains("destinations"));
        let kept = recent.after(0, 9).kept;
        let lines: Vec<serde_json::Value> = kept
            .iter()
            .map(|one| serde_json::from_str(&one.line).expect("JSON"))
            .collect();
        assert_eq!(
            lines[0]["destinations"],
            serde_json::json!([
                {"result": "failed", "status": 503, "duration_ms": 11.9, "name": "billing"},
                {"result": "unreachable", "status": null, "duration_ms": 3.0, "name": "search"},
            ])
        );
        assert_eq!(lines[1]["destinations"], serde_json::json!([]));
        assert_eq!(
            (&lines[0]["request_id"], &lines[0]["duration_ms"]),
            (&"0abc".into(), &12.345.into())
        );
        assert_eq!((kept[0].shelf, kept[1].shelf), (Shelf::Deliveries, Shelf::Refused));
    }
}

#[test]
fn lines_below_the_level_are_not_written() {
    let (log, sink, _) = start(Format::Text, Level::Warn);
    log.request(&record(), &Recent::new(4096), Shelf::Deliveries);
    log.message(Level::Info, "quiet", &[]);
    log.message(Level::Error, "loud", &[]);
    log.set_level(Level::Debug);
    log.message(Level::Debug, "detail", &[]);
    log.message(Level::Trace, "more", &[]);
    log.flush();
    let text = sink.text();
    let said: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!((said, log.level()), (vec!["loud", "detail"], Level::Debug));
}

#[test]
fn a_stuck_reader_costs_lines_but_nobody_waits() {
    let (log, sink, dropped) = start(Format::Text, Level::Info);
    sink.shut(true);
    let text = "x".repeat(250);
    // Two buffers of 1 MiB at most: the one in the writer's hands and the one that fills meanwhile.
    let lines = 3 * (1 << 20) / 250;
    for _ in 0..lines {
        log.message(Level::Info, &text, &[]);
    }
    let lost = dropped.get();
    assert!(lost > 0 && lost < lines, "{lost} of {lines}");
    sink.shut(false);
    log.flush();
    let all = sink.text();
    let kept = all.lines().filter(|line| line.ends_with(&text)).count() as u64;
    assert_eq!(kept + lost, lines);
    assert!(all.contains(&format!("nobody reads them fast enough lines={lost}")));
}

#[test]
fn lines_are_written_without_being_asked_and_when_the_log_ends() {
    let (log, sink, _) = start(Format::Text, Level::Info);
    log.message(Level::Info, "first", &[]);
    let written = sink.0.written.lock().expect("no panic");
    let nothing = |written: &mut Written| written.bytes.is_empty();
    let patience = Duration::from_secs(10);
    let waited = sink.0.changed.wait_timeout_while(written, patience, nothing);
    assert!(
        !waited.expect("no panic").1.timed_out(),
        "a line must not wait for a flush"
    );
    log.message(Level::Info, "last", &[]);
    drop(log);
    assert!(sink.text().ends_with("last\n"));
}

#[test]
fn tracing_events_become_lines_of_the_same_log() {
    let (log, sink, _) = start(Format::Json, Level::Info);
    tracing::subscriber::with_default(log.events(), || {
        tracing::info!(redis = "10.0.0.1:6379", tries = 3, up = false, "redis is\naway");
        tracing::debug!("too much detail");
        tracing::info!(target: "hyper::client", "chatter of a library");
        tracing::warn!(target: "hyper::client", error = ?io::ErrorKind::NotFound, "a library warns");
        let _span = tracing::info_span!("a span").entered();
    });
    log.flush();
    let text = sink.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            r#"{"ts":"2026-11-24T10:00:01.007Z","level":"info","msg":"redis is\naway","redis":"10.0.0.1:6379","tries":3,"up":false}"#,
            r#"{"ts":"2026-11-24T10:00:01.007Z","level":"warn","msg":"a library warns","error":"NotFound"}"#,
        ]
    );
}
