//! What is forwarded is read by nginx, `HAProxy` and Node as our own app reads it.

use super::super::support::{App, Folder, Sidecar, app::Recorded, wait_until, wire::Connection};
use super::rows;
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _dead = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
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
        _ => {
            let script = format!(
                "const h=require('http');h.createServer({{maxHeaderSize:131072}},(q,r)=>{{const o=h.request({{host:'127.0.0.1',port:{},method:q.method,path:q.url,headers:q.rawHeaders}},a=>{{r.writeHead(a.statusCode);a.pipe(r)}});o.on('error',()=>r.destroy());q.pipe(o)}}).listen({},'127.0.0.1')",
                app.port(),
                port.port()
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
fn read(seen: &Recorded) -> (String, String, Vec<(String, Vec<u8>)>, Vec<u8>) {
    let mut headers: Vec<_> = seen
        .bytes
        .iter()
        .filter(|(name, _)| !["connection", "traceparent", "hookward-trace", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    headers.sort();
    (seen.method.clone(), seen.target.clone(), headers, seen.body.clone())
}

fn through(parser_name: Option<&str>) -> Vec<(String, Option<Recorded>)> {
    let (app, folder) = (App::start(), Folder::new());
    let port = free();
    let _running = parser_name.map(|name| parser(name, &folder, port, app.address));
    let upstream = parser_name.map_or(app.address, |_| port);
    let sidecar = Sidecar::start(&format!("upstream: http://{upstream}\n{}", super::YAML));
    let cases = rows::all().into_iter().filter(|case| case.forwarded.is_some());
    cases
        .map(|case| {
            let before = app.seen().len();
            let mut connection = Connection::open(sidecar.addresses.webhooks);
            connection.write(&case.raw);
            while connection.answer().is_some_and(|answer| answer.status == 100) {}
            (
                format!("row {}, {}", case.row, case.what),
                app.seen().get(before).cloned(),
            )
        })
        .collect()
}

#[test]
fn three_other_parsers_read_what_is_forwarded_as_our_app_does() {
    let ours = through(None);
    assert!(ours.len() > 60, "{}", ours.len());
    let mut wrong = Vec::new();
    for name in ["nginx", "haproxy", "node"] {
        for ((what, ours), (_, theirs)) in ours.iter().zip(through(Some(name))) {
            let (ours, theirs) = (ours.as_ref().map(read), theirs.as_ref().map(read));
            if ours.is_none() || ours != theirs {
                wrong.push(
                    format!("{name}, {what}: {theirs:?}, ours {ours:?}")
                        .chars()
                        .take(1500)
                        .collect::<String>(),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
