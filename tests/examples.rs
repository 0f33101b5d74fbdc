//! The receiving apps of `examples/`, run as a reader would run them and spoken to as hookward speaks to them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, Stdio},
};

struct App {
    process: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

impl App {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(program)
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}: run tests/run once, or: apt-get install python3 nodejs")
            });
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .expect("its address")
            .to_owned();
        Self {
            process,
            output,
            address,
        }
    }

    /// Posts as hookward does and gives the status and the body of the answer.
    fn post(&self, headers: &str, body: &str) -> (String, serde_json::Value) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let length = body.len();
        let head =
            format!("POST /hooks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n");
        write!(stream, "{head}{headers}\r\n{body}").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        // Node sends chunks where the length is not said beforehand: the object is in one of them.
        let object = &body[body.find('{').expect("JSON")..=body.rfind('}').expect("JSON")];
        (head[9..12].to_owned(), serde_json::from_str(object).expect("JSON"))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// One request of hookward to the app, and the result that the app must report in its answer and in its log line.
struct Case {
    source: &'static str,
    delivery: &'static str,
    attempt: u32,
    mark: &'static str,
    result: &'static str,
}

const fn case(
    source: &'static str,
    delivery: &'static str,
    attempt: u32,
    mark: &'static str,
    result: &'static str,
) -> Case {
    Case {
        source,
        delivery,
        attempt,
        mark,
        result,
    }
}

fn receives_each_delivery_once(mut app: App) {
    const REDELIVERY: &str = "Hookward-Redelivery: true\r\n";
    const REPEAT: &str = "Hookward-Repeat: true\r\n";
    const DOORBELL: &str = "Hookward-Repeat: unknown\r\n";
    for case in [
        case("stripe", "evt_1", 1, "", "done"),
        case("stripe", "evt_1", 2, "", "seen before"),
        // Two sources may name their deliveries alike.
        case("billing", "evt_1", 1, "", "done"),
        case("stripe", "evt_1", 3, REDELIVERY, "done again"),
        case("stripe", "evt_1", 4, "", "seen before"),
        case("sanity", "repeat-1", 1, REPEAT, "state read from the provider"),
        case("sanity", "repeat-1", 2, REPEAT, "seen before"),
        case("dropbox", "ring-1", 1, DOORBELL, "state read from the provider"),
        case("dropbox", "ring-2", 1, DOORBELL, "state read from the provider"),
    ] {
        let (source, delivery, attempt, result) = (case.source, case.delivery, case.attempt, case.result);
        let headers = format!(
            "Hookward-Source: {source}\r\nHookward-Event: invoice.paid\r\nHookward-Delivery: {delivery}\r\n\
             Hookward-Attempt: {attempt}\r\nHookward-Verified: signature\r\n{}",
            case.mark
        );
        let (status, answer) = app.post(&headers, r#"{"id":"evt_1"}"#);
        assert_eq!(
            (&*status, answer["result"].as_str(), answer["delivery"].as_str()),
            ("200", Some(result), Some(delivery)),
            "{answer}"
        );
        assert_eq!(
            app.line(),
            format!("{source} invoice.paid {delivery} attempt={attempt} verified=signature bytes=14 {result}")
        );
    }
    let (status, answer) = app.post("", "{}");
    assert_eq!((&*status, &answer["error"]), ("403", &"not through hookward".into()));
}

#[test]
fn the_python_app_receives_each_delivery_once() {
    receives_each_delivery_once(App::start("python3", &["examples/receiver.py", "--port", "0"]));
}

#[test]
fn the_node_app_receives_each_delivery_once() {
    receives_each_delivery_once(App::start("node", &["examples/receiver.mjs", "0"]));
}

/// The walk-through leaves with 0 only if every app got its events and nothing else.
#[test]
fn the_food_order_is_told_to_whom_it_concerns() {
    let played = Command::new("examples/food-order/run")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("HOOKWARD", env!("CARGO_BIN_EXE_hookward"))
        .output()
        .unwrap_or_else(|error| panic!("{error}: run tests/run once, or: apt-get install bash curl openssl python3"));
    let said = String::from_utf8_lossy(&played.stdout);
    assert!(
        played.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&played.stderr)
    );
    for line in [
        "<- 200 delivered",
        "<- 409 replayed",
        "<- 401 unverified",
        "<- 401 stale",
    ] {
        assert!(said.contains(line), "{said}");
    }
}
