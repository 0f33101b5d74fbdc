//! What `sign` makes passes a running sidecar, and `explain` names the delivery as the app gets it.

use crate::program::Folder;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Child,
    thread::{self, JoinHandle},
};

/// Ends the sidecar with the test.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Starts `hookward run` and gives the addresses of its `listen` and `admin`.
pub fn run(folder: &Folder) -> (Running, String, String) {
    let mut child = folder.start(&["run", "--log", "json"]);
    let mut lines = BufReader::new(child.stdout.take().expect("piped"))
        .lines()
        .map_while(Result::ok);
    let running = Running(child);
    let listening = lines.by_ref().find_map(|line| {
        let line: Value = serde_json::from_str(&line).ok()?;
        let address = |key: &str| line[key].as_str().expect("an address").to_owned();
        (line["msg"] == "listening").then(|| (address("webhooks"), address("admin")))
    });
    // A full pipe would stop it.
    thread::spawn(move || lines.for_each(drop));
    let (webhooks, admin) = listening.expect("it listens");
    (running, webhooks, admin)
}

/// Takes one request, answers 200, and gives its `Hookward-Delivery`.
fn app(listener: TcpListener) -> JoinHandle<String> {
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream);
        let (mut delivery, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a head");
            match line.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("hookward-delivery", _)) => line["hookward-delivery: ".len()..].trim().clone_into(&mut delivery),
                Some(("content-length", text)) => length = text.parse().expect("a number"),
                None if line.trim().is_empty() => break,
                _ => {}
            }
        }
        reader
            .by_ref()
            .take(length)
            .read_to_end(&mut Vec::new())
            .expect("a body");
        let answer = reader
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        answer.expect("it is read");
        delivery
    })
}

#[test]
fn what_is_signed_passes_a_sidecar_and_its_delivery_is_the_explained_one() {
    for (source, settings, path) in [
        ("stripe", "provider: stripe, path: /in/stripe", "/in/stripe"),
        (
            "github",
            "provider: github, paths: [/in/github, /also/github]",
            "/in/github",
        ),
        ("below", "provider: github, path: \"/below/*\"", "/below/it"),
        (
            "named",
            "provider: token, id: \"json:/id\", path: /in/named",
            "/in/named",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let folder = Folder::new();
        folder.write(
            "hookward.yaml",
            format!(
                "version: 1\nlisten: 127.0.0.1:0\nhealth: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstream: http://{}\n\
                 sources:\n  {source}: {{{settings}, secrets: [{{env: SECRET}}]}}\n",
                listener.local_addr().expect("bound")
            ),
        );
        folder.write("body", "{\"id\":\"evt_1\",\"type\":\"invoice.paid\"}");
        let signed = folder.run(&["sign", source, "--data", "body"]);
        assert_eq!(signed.code, 0, "{signed:?}");
        let headers = signed.stdout.trim_end().replace('\n', "\r\n");
        let body = "{\"id\":\"evt_1\",\"type\":\"invoice.paid\"}";
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );

        let got = app(listener);
        let (_running, address, admin) = run(&folder);
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{source}: {answer}");
        let got = got.join().expect("no panic");

        folder.write("request", &request);
        let verdict = folder
            .run(&["explain", source, "--request", "request", "-o", "json"])
            .json();
        assert!(!got.is_empty(), "{source}");
        assert_eq!(verdict["delivery"], got, "{source}: {verdict}");

        // The capture is enough to let it be delivered once more.
        let forget = ["forget", source, "--request", "request", "--admin", &admin];
        folder.run(&forget).says(0, "once more");
        folder
            .run(&["forget", source, &got, "--admin", &admin])
            .says(0, "once more");
        folder.write(
            "request",
            request.replace("evt_1", "evt_2").replace("Bearer ", "Bearer x"),
        );
        folder.run(&forget).complains(1, "does not verify");
    }
}
