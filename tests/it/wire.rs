//! The attack table over real sockets: each row as HTTP/1.1, as HTTP/1.1 over TLS, and as HTTP/2 where it exists there.

mod case;
mod content;
#[expect(clippy::too_many_lines, reason = "tables are long")]
mod frames;
#[expect(clippy::too_many_lines, reason = "tables are long")]
mod framing;
#[expect(clippy::too_many_lines, reason = "tables are long")]
mod heads;
mod index;
mod judge;
mod lines;
mod parsers;
mod paths;
mod repeats;
mod signatures;
mod trust;

use super::support::{
    Authority, Folder, Sidecar, Upstream, aside,
    secure::{self, NAME},
    signed::push,
    wait_until,
    wire::Connection,
};
use case::{After, Case, Forwarded, Piece, Table};
use frames::Fate;
use judge::Judge;

const YAML: &str = "
hosts: [hooks.example.com]
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
  other:
    provider: github
    path: /github/other
    secrets: [{env: SECRET}]
  small:
    provider: github
    path: /small
    secrets: [{env: SECRET}]
    max_body: 64B
  limited:
    provider: github
    path: /limited
    secrets: [{env: SECRET}]
    rate_limit: {per: source, rate: 1/h, burst: 1}
  rotated:
    provider: github
    path: /rotated
    secrets: [{env: SECRET}, {env: WHSEC}, {env: TOKEN}]
  slack:
    provider: slack
    path: /slack
    secrets: [{env: SECRET}]
  instagram:
    provider: instagram
    path: /instagram
    secrets: [{env: SECRET}]
    settings: {verify_token: {env: TOKEN}}
  sns:
    provider: aws-sns
    path: /sns
    settings: {topic_arn: \"arn:aws:sns:us-east-1:123456789012:orders\"}
  stripe:
    provider: stripe
    path: /stripe
    secrets: [{env: SECRET}]
  standard:
    provider: standard-webhooks
    path: /standard
    secrets: [{env: WHSEC}]
";

/// Every case of HTTP/1.1, and with it what of it HTTP/2 can say.
fn rows() -> Vec<Case> {
    let mut table = Table::new();
    framing::framing(&mut table);
    framing::chunks(&mut table);
    lines::lines(&mut table);
    heads::heads(&mut table);
    table.over_both(paths::paths);
    table.over_both(trust::trust);
    trust::proxies(&mut table);
    table.over_both(signatures::signatures);
    table.over_both(signatures::addresses);
    table.over_both(content::content);
    table.over_both(content::times);
    table.over_both(content::documents);
    content::sizes(&mut table);
    table.over_both(repeats::repeats);
    table.over_both(repeats::handshakes);
    table.over_both(repeats::limits);
    table.cases
}

/// How the cases of one lane reach the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Plain,
    Tls,
    Http2,
}

/// A sidecar for a lane, in front of `upstream`, and how connections to it are opened.
struct Door {
    sidecar: Sidecar,
    client: Option<std::sync::Arc<rustls::ClientConfig>>,
    _folder: Folder,
}

impl Door {
    fn open(lane: Lane, upstream: std::net::SocketAddr) -> Self {
        let folder = Folder::new();
        let (mut tls, mut client) = (String::new(), None);
        if lane == Lane::Tls {
            let authority = Authority::new("ours");
            let issued = authority.issue(NAME);
            tls = format!(
                ", tls: {{cert: \"{}\", key: \"{}\"}}",
                folder.write("tls.crt", &issued.cert).display(),
                folder.write("tls.key", &issued.key).display()
            );
            client = Some(authority.client(&[b"http/1.1"], None));
        }
        let yaml = format!(
            "listen: {{address: \"{}\"{tls}}}\nupstream: http://{upstream}\n{YAML}",
            aside()
        );
        let sidecar = Sidecar::start(&yaml);
        Self {
            sidecar,
            client,
            _folder: folder,
        }
    }

    fn connect(&self) -> Connection {
        let to = self.sidecar.addresses.webhooks;
        match &self.client {
            Some(client) => secure::connect(to, client).expect("TLS").0,
            None => Connection::open(to),
        }
    }
}

/// Sends all cases of a lane: the row of each, and what is wrong.
fn run(lane: Lane) -> (Vec<u32>, Vec<String>) {
    let upstream = Upstream::start();
    let door = Door::open(lane, upstream.address);
    let series = judge::series(&door.sidecar);
    let (mut judge, mut rows_seen, mut wrong) = (Judge::new(&upstream), Vec::new(), Vec::new());
    // Who has proven to be honest once is not taken for an attacker by the number of his mistakes.
    let honest = door.connect().exchange(&push(2_000_000)).map(|answer| answer.status);
    assert_eq!(honest, Some(200));
    judge.expects("delivered");
    let mut tell = |row: u32, what: &str, said: Result<(), String>| {
        rows_seen.push(row);
        if let Err(why) = said {
            wrong.push(format!("{lane:?}, row {row}, {what:?}: {why}"));
        }
    };
    if lane == Lane::Http2 {
        for (n, case) in frames::all().iter().enumerate() {
            let said = frames::judge(&mut judge, case, n, door.sidecar.addresses.webhooks);
            tell(case.row, &case.what, said);
        }
    } else {
        for (n, case) in rows().iter().enumerate() {
            let said = judge.over_http1(case, n, door.connect());
            tell(case.row, &case.what, said);
        }
    }
    wait_until("the connections are closed", || {
        door.sidecar.metric("hookward_connections") < 0.5
    });
    if judge::series(&door.sidecar) != series {
        wrong.push(format!("{lane:?}: what was sent made series of its own"));
    }
    wrong.extend(
        judge
            .sum(&door.sidecar)
            .into_iter()
            .map(|why| format!("{lane:?}: {why}")),
    );
    (rows_seen, wrong)
}

#[test]
fn every_row_over_every_wire() {
    let lanes = [Lane::Plain, Lane::Tls, Lane::Http2].map(|lane| std::thread::spawn(move || run(lane)));
    let [plain, tls, http2] = lanes.map(|lane| lane.join().expect("no panic"));
    let count = plain.0.len() + tls.0.len() + http2.0.len();
    println!(
        "{} + {} + {} = {count} cases",
        plain.0.len(),
        tls.0.len(),
        http2.0.len()
    );
    let wrong = [plain.1, tls.1, http2.1].concat();
    assert!(
        wrong.is_empty(),
        "{} of {count} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= 1284, "only {count} cases");
}

/// The judge of the cases would see a case that is wrong.
#[test]
fn the_judge_sees_what_is_wrong() {
    let upstream = Upstream::start();
    let door = Door::open(Lane::Plain, upstream.address);
    let mut judge = Judge::new(&upstream);
    let piece = Piece::new(1, b"{\"n\":1}");
    let case = |said: (u16, &'static str), body: Option<&[u8]>, after| Case {
        row: 0,
        what: "a good request".to_owned(),
        raw: piece.raw(),
        answers: vec![said],
        forwarded: body.map(|body| Forwarded {
            method: "POST",
            target: b"/github".to_vec(),
            body: body.to_vec(),
            absent: Vec::new(),
        }),
        after,
        ends: false,
        stream: None,
    };
    let (delivered, duplicate) = ((200, "delivered"), (200, "duplicate"));
    let mut judged = |case: &Case, n| judge.over_http1(case, n, door.connect());
    assert_eq!(judged(&case(delivered, Some(&piece.body), After::Serves), 1), Ok(()));
    // From here on it is a duplicate, which is answered and not forwarded.
    assert!(judged(&case(duplicate, Some(&piece.body), After::Serves), 2).is_err());
    assert!(judged(&case((400, "malformed"), None, After::Closes), 3).is_err());
    assert!(judged(&case(duplicate, None, After::Closes), 4).is_err());
    assert!(judged(&case(delivered, None, After::Serves), 5).is_err());
    assert_eq!(judged(&case(duplicate, None, After::Serves), 6), Ok(()));
    let mut stream = frames::all()
        .into_iter()
        .find(|case| case.fate == Fate::Delivered)
        .expect("one");
    let to = door.sidecar.addresses.webhooks;
    assert_eq!(frames::judge(&mut judge, &stream, 7, to), Ok(()));
    assert!(frames::judge(&mut judge, &stream, 8, to).is_err(), "a duplicate");
    stream.forwarded = None;
    stream.fate = Fate::Said(200, "duplicate");
    assert_eq!(frames::judge(&mut judge, &stream, 20, to), Ok(()));
    for (n, fate) in (9..).zip([
        Fate::Said(200, "delivered"),
        Fate::Said(409, "duplicate"),
        Fate::Reset,
        Fate::Gone(1),
    ]) {
        stream.fate = fate;
        assert!(frames::judge(&mut judge, &stream, n, to).is_err(), "{fate:?}");
    }
    assert!(
        !judge.sum(&door.sidecar).is_empty(),
        "the wrong expectations are not in the figures"
    );
}
