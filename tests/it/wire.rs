//! The attack table over real sockets: each row as HTTP/1.1, as HTTP/1.1 over TLS, and as HTTP/2 where it exists there.

#[expect(clippy::too_many_lines, reason = "tables are long")]
mod frames;
#[expect(clippy::type_complexity, reason = "one use")]
mod parsers;
#[expect(
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::format_collect,
    clippy::sliced_string_as_bytes,
    reason = "tables are long, and what they are made of is short-lived"
)]
mod rows;

use super::support::{
    App, Folder, Sidecar,
    app::Recorded,
    secure::{self, Authority, NAME},
    signed::push,
    wire::Connection,
};
use rows::{After, Case, Forwarded, Piece};

const YAML: &str = "
hosts: [hooks.example.com]
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
  stripe:
    provider: stripe
    path: /stripe
    secrets: [{env: SECRET}]
  standard:
    provider: standard-webhooks
    path: /standard
    secrets: [{env: WHSEC}]
";

/// What is wrong with what the app got.
fn misread(seen: &Recorded, expected: &Forwarded) -> Option<String> {
    let length = expected.body.len().to_string();
    let lines = |name: &str| seen.bytes.get_all(name).iter().count();
    let one = |name: &str, value: &str| lines(name) == 1 && seen.bytes[name].as_bytes() == value.as_bytes();
    if seen.method != expected.method || seen.target.as_bytes() != expected.target {
        return Some(format!("{} {}", seen.method, seen.target));
    }
    if seen.body != expected.body {
        return Some(format!("a body of {} bytes", seen.body.len()));
    }
    if !one("content-length", &length) || lines("transfer-encoding") != 0 || lines("host") != 1 {
        return Some(format!("framed or addressed otherwise: {:?}", seen.bytes));
    }
    if !one("hookward-verified", "signature") {
        return Some(format!("not vouched for once: {:?}", seen.bytes));
    }
    let left = expected.absent.iter().find(|name| lines(name) != 0)?;
    Some(format!("{left} arrived"))
}

/// Sends one case and a second request after it; tells what is wrong.
fn judge(app: &App, case: &Case, n: usize, mut connection: Connection) -> Result<(), String> {
    let before = app.seen().len();
    let probe = push(1_000_000 + n).header("Connection", "close");
    let mut raw = case.raw.clone();
    if !case.ends {
        raw.extend([probe.head(), probe.body.clone()].concat());
    }
    connection.write(&raw);
    if case.ends {
        connection.finish();
    }
    let mut statuses = Vec::new();
    while let Some(answer) = connection.answer() {
        if answer.status != 100 {
            statuses.push(answer.status);
        }
    }
    if case.ends && statuses == [400] {
        statuses.clear();
    }
    let served = match case.after {
        After::Serves => true,
        After::Closes => false,
        After::Either => statuses.len() == case.statuses.len() + 1,
    };
    let mut expected = case.statuses.clone();
    if served {
        expected.push(200);
    }
    if statuses != expected {
        return Err(format!("answered {statuses:?}, not {expected:?}"));
    }
    let mut seen = app.seen().split_off(before).into_iter();
    if let Some(expected) = &case.forwarded {
        let Some(first) = seen.next() else {
            return Err("not forwarded".to_owned());
        };
        if let Some(wrong) = misread(&first, expected) {
            return Err(wrong);
        }
    }
    let rest: Vec<Recorded> = seen.collect();
    match (served, rest.as_slice()) {
        (false, []) => Ok(()),
        (true, [second]) if second.body == probe.body && second.target == "/github" => Ok(()),
        (_, other) => Err(format!("the app also got {other:?}")),
    }
}

fn run(lane: &str, tls: bool) -> (usize, Vec<String>) {
    let (app, folder, authority) = (App::start(), Folder::new(), Authority::new());
    let issued = authority.issue(NAME);
    let (cert, key) = (
        folder.write("tls.crt", &issued.cert),
        folder.write("tls.key", &issued.key),
    );
    let mut yaml = YAML.to_owned();
    if tls {
        let listen = format!(
            "listen: {{address: \"127.0.0.1:0\", tls: {{cert: \"{}\", key: \"{}\"}}}}\n",
            cert.display(),
            key.display()
        );
        yaml.insert_str(1, &listen);
    }
    let sidecar = Sidecar::before(&app, &yaml);
    let client = authority.client(&[b"http/1.1"], None);
    let open = || {
        if tls {
            secure::connect(sidecar.addresses.webhooks, &client).expect("TLS").0
        } else {
            Connection::open(sidecar.addresses.webhooks)
        }
    };
    // Who has proven to be honest once is not taken for an attacker by the number of his mistakes.
    assert_eq!(open().exchange(&push(2_000_000)).map(|answer| answer.status), Some(200));
    let cases = rows::all();
    let mut wrong = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        if let Err(why) = judge(&app, case, n, open()) {
            wrong.push(format!("{lane}, row {}, {:?}: {why}", case.row, case.what));
        }
    }
    (cases.len(), wrong)
}

#[test]
fn every_row_over_every_wire() {
    let plain = std::thread::spawn(|| run("plain", false));
    let tls = std::thread::spawn(|| run("TLS", true));
    let h2 = std::thread::spawn(frames::run);
    let mut count = 0;
    let mut wrong = Vec::new();
    for lane in [plain, tls, h2] {
        let (cases, found) = lane.join().expect("no panic");
        count += cases;
        wrong.extend(found);
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= 400, "only {count} cases");
}

/// The judge of the cases would see a case that is wrong.
#[test]
fn the_judge_sees_what_is_wrong() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, YAML);
    let piece = Piece::new(1, b"{\"n\":1}");
    let case = |statuses: &[u16], body: Option<&[u8]>, after| Case {
        row: 0,
        what: "a good request".to_owned(),
        raw: piece.raw(),
        statuses: statuses.to_vec(),
        forwarded: body.map(|body| Forwarded {
            method: "POST",
            target: b"/github".to_vec(),
            body: body.to_vec(),
            absent: Vec::new(),
        }),
        after,
        ends: false,
    };
    let judged = |case: &Case, n| judge(&app, case, n, Connection::open(sidecar.addresses.webhooks));
    assert_eq!(judged(&case(&[200], Some(&piece.body), After::Serves), 1), Ok(()));
    // From here on it is a duplicate, which is answered and not forwarded.
    assert!(judged(&case(&[200], Some(&piece.body), After::Serves), 2).is_err());
    assert!(judged(&case(&[400], None, After::Closes), 3).is_err());
    assert!(judged(&case(&[200], None, After::Closes), 4).is_err());
    assert_eq!(judged(&case(&[200], None, After::Serves), 5), Ok(()));
}
