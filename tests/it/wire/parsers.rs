//! What is forwarded, over whichever wire it came, is read alike by nginx, `HAProxy`, Node, Python's h11, hyper, and by our
//! own strict splitting of its bytes.

use super::super::support::{
    App, Folder, Upstream, app::Recorded, aside, frames::Frames, upstream::Arrived, wait_until,
};
use super::{Door, Lane, frames, rows};
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

/// Reads with h11 and writes what it understood.
const H11: &str = r"
import h11, socket, sys, threading
app, own = ((sys.argv[at], int(sys.argv[at + 1])) for at in (1, 3))

def ask(request, body):
    lines = [name + b': ' + value for name, value in request.headers] + [b'Connection: close', b'', b'']
    with socket.create_connection(app) as upstream:
        start = request.method + b' ' + request.target + b' HTTP/1.1'
        upstream.sendall(b'\r\n'.join([start] + lines) + body)
        answer = b''
        while part := upstream.recv(65536):
            answer += part
    return int(answer[9:12])

def serve(client):
    try:
        read(client)
    finally:
        client.close()

def read(client):
    reader, body = h11.Connection(h11.SERVER, max_incomplete_event_size=262144), b''
    while True:
        event = reader.next_event()
        if event is h11.NEED_DATA:
            reader.receive_data(client.recv(65536))
        elif isinstance(event, h11.Request):
            request, body = event, b''
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            answer = h11.Response(status_code=ask(request, body), headers=[('Content-Length', '0')])
            client.sendall(reader.send(answer) + reader.send(h11.EndOfMessage()))
            if reader.our_state is h11.MUST_CLOSE:
                return
            reader.start_next_cycle()
        else:
            return

listener = socket.create_server(own)
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _dead = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind(aside()).expect("a port");
    listener.local_addr().expect("it is bound")
}

/// A parser at `port` that hands on to `app` what it understood.
fn parser(which: &str, folder: &Folder, port: SocketAddr, app: SocketAddr) -> Running {
    let at = folder.0.display();
    let (program, arguments): (&str, Vec<String>) = match which {
        "nginx" => {
            let text = format!(
                "daemon off; master_process off; pid {at}/pid; error_log {at}/error;\nevents {{}}\nhttp {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; underscores_in_headers on; ignore_invalid_headers off; large_client_header_buffers 4 128k; merge_slashes off; server {{ listen {port}; location / {{ proxy_pass http://{app}; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection \"\"; }} }} }}\n"
            );
            let path = folder.write("nginx.conf", &text);
            (
                "/usr/sbin/nginx",
                vec!["-p".into(), at.to_string(), "-c".into(), path.display().to_string()],
            )
        }
        "haproxy" => {
            let text = format!(
                "global\n  tune.bufsize 131072\n  tune.http.maxhdr 200\ndefaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s\nfrontend f\n  bind {port}\n  default_backend b\nbackend b\n  server app {app}\n"
            );
            let path = folder.write("haproxy.cfg", &text);
            (
                "/usr/sbin/haproxy",
                vec!["-db".into(), "-f".into(), path.display().to_string()],
            )
        }
        "h11" => {
            let path = folder.write("reader.py", H11).display().to_string();
            // Where Debian puts it; another Python that comes first in PATH does not look there.
            (
                "/usr/bin/python3",
                vec![
                    path,
                    app.ip().to_string(),
                    app.port().to_string(),
                    port.ip().to_string(),
                    port.port().to_string(),
                ],
            )
        }
        _ => {
            let script = format!(
                "const h=require('http');h.createServer({{maxHeaderSize:131072}},(q,r)=>{{const o=h.request({{host:'{}',port:{},method:q.method,path:q.url,headers:q.rawHeaders}},a=>{{r.writeHead(a.statusCode);a.pipe(r)}});o.on('error',()=>r.destroy());q.pipe(o)}}).listen({},'{}')",
                app.ip(),
                app.port(),
                port.port(),
                port.ip()
            );
            ("node", vec!["-e".into(), script])
        }
    };
    let child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let running = Running(child.unwrap_or_else(|error| panic!("{program}: {error}: see tests/run")));
    wait_until(which, || TcpStream::connect(port).is_ok());
    running
}

/// What matters of a request: all but what names the connection or the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    method: String,
    target: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Reading {
    fn new(method: &str, target: &[u8], headers: &http::HeaderMap, body: &[u8]) -> Self {
        let own = ["connection", "traceparent", "hookward-trace", "x-request-id"];
        let mut headers: Vec<_> = headers
            .iter()
            .filter(|(name, _)| !own.contains(&name.as_str()))
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        headers.sort();
        Self {
            method: method.to_owned(),
            target: target.to_vec(),
            headers,
            body: body.to_vec(),
        }
    }

    fn of_hyper(seen: &Recorded) -> Self {
        Self::new(&seen.method, seen.target.as_bytes(), &seen.bytes, &seen.body)
    }

    fn of_bytes(seen: &Arrived) -> Self {
        Self::new(&seen.method, &seen.target, &seen.headers, &seen.body)
    }

    /// The same but for the scheme that the sender used.
    fn without_scheme(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "x-forwarded-proto");
        self
    }
}

/// Sends what a lane must forward, and tells of each case what it is, how it was answered, and what arrived.
fn send(
    lane: Lane,
    upstream: SocketAddr,
    count: impl Fn() -> usize,
    since: impl Fn(usize) -> Vec<Reading>,
) -> Vec<Sent> {
    let door = Door::open(lane, upstream);
    let mut sent = Vec::new();
    let mut tell = |row: u32, what: &str, send: &dyn Fn() -> String| {
        let before = count();
        let answer = send();
        let mut readings = since(before);
        sent.push(Sent {
            what: format!("row {row}, {what}, answered {answer}"),
            reading: readings.pop().filter(|_| readings.is_empty()),
        });
    };
    if lane == Lane::Http2 {
        for case in frames::all().into_iter().filter(|case| case.forwarded.is_some()) {
            tell(case.row, &case.what, &|| {
                let mut client = Frames::open(door.sidecar.addresses.webhooks, b"");
                client.send(&case.frames);
                format!("{:?}", client.end_of(1))
            });
        }
    } else {
        for case in rows().into_iter().filter(|case| case.forwarded.is_some()) {
            tell(case.row, &case.what, &|| {
                let mut connection = door.connect();
                connection.write(&case.raw);
                let answers = std::iter::from_fn(|| connection.answer()).find(|answer| answer.status != 100);
                format!("{:?}", answers.map(|answer| answer.status))
            });
        }
    }
    sent
}

/// A case that was sent, and the one request that arrived for it.
struct Sent {
    what: String,
    reading: Option<Reading>,
}

const LANES: [Lane; 3] = [Lane::Plain, Lane::Tls, Lane::Http2];

/// What the strictest reading of the bytes makes of each lane.
fn strictly() -> [Vec<Sent>; 3] {
    LANES.map(|lane| {
        let upstream = Upstream::start();
        let count = || upstream.count();
        send(lane, upstream.address, count, |before| {
            let seen = upstream.since(before).expect("requests and nothing else");
            seen.iter().map(Reading::of_bytes).collect()
        })
    })
}

/// What a parser makes of each lane; hyper, of which the app itself is made, needs nobody before it.
fn by(which: &str) -> [Vec<Sent>; 3] {
    LANES.map(|lane| {
        let (app, folder) = (App::start_at(aside()), Folder::new());
        let port = free();
        let running = (which != "hyper").then(|| parser(which, &folder, port, app.address));
        let upstream = if running.is_some() { port } else { app.address };
        let since = |before| app.since(before).iter().map(Reading::of_hyper).collect();
        send(lane, upstream, || app.count(), since)
    })
}

#[test]
fn five_other_parsers_read_what_is_forwarded_alike() {
    const PARSERS: [&str; 5] = ["nginx", "haproxy", "node", "h11", "hyper"];
    let others = PARSERS.map(|name| std::thread::spawn(move || by(name)));
    let ours = strictly();
    let [plain, tls, http2] = &ours;
    println!("{} + {} + {} requests", plain.len(), tls.len(), http2.len());
    assert!(plain.len() > 100 && tls.len() == plain.len() && http2.len() > 50);
    let mut wrong = Vec::new();
    let mut differ = |who: String, theirs: &Sent, ours: &Sent| {
        if ours.reading.is_none() || ours.reading != theirs.reading {
            let told = format!(
                "{who}, {}: {:?}, ours {}: {:?}",
                theirs.what, theirs.reading, ours.what, ours.reading
            );
            wrong.push(told.chars().take(1500).collect::<String>());
        }
    };
    for (name, other) in PARSERS.iter().zip(others) {
        let theirs = other.join().expect("no panic");
        for (lane, (ours, theirs)) in LANES.iter().zip(ours.iter().zip(&theirs)) {
            for (ours, theirs) in ours.iter().zip(theirs) {
                differ(format!("{name}, {lane:?}"), theirs, ours);
            }
        }
    }
    // And TLS changes nothing of it but what we say of the scheme.
    for (plain, tls) in plain.iter().zip(tls) {
        let [plain, tls] = [plain, tls].map(|sent| Sent {
            what: sent.what.clone(),
            reading: sent.reading.clone().map(Reading::without_scheme),
        });
        differ("TLS and plain".to_owned(), &tls, &plain);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
