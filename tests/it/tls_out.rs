//! `https` destinations: the certificate is checked, ours is shown, and both are rotated without a gap.

use super::support::{
    App, Authority, Folder, Issued, PORTS, Process, Script, Sidecar, signed, signed::push, wait_until,
};
use std::cell::Cell;

const GITHUB: &str = "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
    to: [app]
";

#[test]
fn what_was_verified_is_what_an_https_destination_gets() {
    let (authority, folder) = (Authority::new("ours"), Folder::new());
    let app = App::start_tls(authority.server("app.internal", None));
    let ca = folder.write("ca.pem", &authority.pem());
    let address = app.address;
    let sidecar = Sidecar::start(&format!(
        "{GITHUB}
destinations:
  app: {{url: \"https://{address}/in?own=1\", tls: {{ca: {}, server_name: app.internal}}}}
",
        ca.display()
    ));
    let body = b"{\"a\": 1}\r\n\0\xff";
    let answer = sidecar.send(&signed::github("/github?x=%2f", "d-1", body));
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    assert_eq!(answer.body, b"from the app");
    let seen = app.seen();
    assert_eq!(
        (seen[0].target.as_str(), &seen[0].body[..]),
        ("/in?own=1&x=%2f", &body[..])
    );
    assert_eq!(seen[0].header("host"), Some(address.to_string().as_str()));
    // How it came to us, not how it goes on.
    assert_eq!(seen[0].header("x-forwarded-proto"), Some("http"));
    app.script([Script::status(500)]);
    assert_eq!(sidecar.send(&push(2)).outcome(), "upstream_failed");
    assert_eq!(sidecar.send(&push(2)).outcome(), "delivered");
}

#[test]
fn a_certificate_that_is_not_believed_is_unreachable_and_the_log_says_why() {
    let (authority, folder) = (Authority::new("ours"), Folder::new());
    let app = App::start_tls(authority.server("elsewhere", None));
    let ca = folder.write("ca.pem", &authority.pem());
    // The plain upstream; were it tried again, the answer would not come in time.
    let sidecar = Sidecar::start(&format!(
        "upstream: {{url: \"https://{}\", timeout: 10m, connect_wait: 10m, tls: {{ca: {}}}}}\n{}",
        app.address,
        ca.display(),
        signed::GITHUB
    ));
    let answer = sidecar.send(&push(1));
    assert_eq!((answer.status, answer.outcome()), (502, "upstream_unreachable"));
    let told = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!told.contains("elsewhere") && !told.contains("TLS"), "{told}");
    let log = sidecar.logged();
    assert!(log.contains("TLS with 127.0.0.1: invalid peer certificate"), "{log}");
    assert!(log.contains("elsewhere"), "{log}");
    assert_eq!(app.seen().len(), 0);
}

#[test]
fn certificates_are_rotated_by_a_reload() {
    let (first, second, clients) = (
        Authority::new("first"),
        Authority::new("second"),
        Authority::new("clients"),
    );
    let folder = Folder::new();
    let app = App::start_tls(first.server("127.0.0.1", Some(&clients)));
    // All three files change in one moment, as those of a mounted Secret do.
    let generation = Cell::new(0);
    let put = |ca: &Authority, us: &Issued| {
        let fresh = folder
            .0
            .join(format!("generation-{}", generation.replace(generation.get() + 1)));
        std::fs::create_dir(&fresh).expect("the folder is ours");
        for (name, text) in [("ca.pem", &*ca.pem()), ("us.pem", &us.cert), ("us.key", &us.key)] {
            std::fs::write(fresh.join(name), text).expect("the folder is ours");
        }
        std::os::unix::fs::symlink(&fresh, folder.0.join("tls.new")).expect("the folder is ours");
        std::fs::rename(folder.0.join("tls.new"), folder.0.join("tls")).expect("the folder is ours");
    };
    let ours = clients.issue("us");
    put(&first, &ours);
    let config = folder.write(
        "hookward.yaml",
        &format!(
            "{PORTS}{GITHUB}destinations:\n  app: {{url: \"https://{}\", connect_wait: 0s, tls: {{ca: tls/ca.pem, cert: tls/us.pem, key: tls/us.key}}}}\n",
            app.address
        ),
    );
    let process = Process::run(&config);
    let reload = |ca: &Authority, us: &Issued, logged: &str| {
        let before = process.logged(logged).len();
        put(ca, us);
        process.signal("-HUP");
        wait_until(logged, || process.logged(logged).len() > before);
    };
    let good = "configuration reloaded";
    assert_eq!(push(1).send(process.webhooks).outcome(), "delivered");
    let again = clients.issue("us-again");
    reload(&first, &again, good);
    assert_eq!(push(2).send(process.webhooks).outcome(), "delivered");
    // The app is believed no more; the connection that it had is not used either.
    reload(&second, &ours, good);
    let answer = push(3).send(process.webhooks);
    assert_eq!((answer.status, answer.outcome()), (502, "upstream_unreachable"));
    // Ours is not believed by the app.
    let strange = second.issue("us");
    reload(&first, &strange, good);
    let answer = push(3).send(process.webhooks);
    assert_eq!((answer.status, answer.outcome()), (502, "upstream_unreachable"));
    reload(&first, &ours, good);
    // A key that belongs to another certificate is a failed reload, and changes nothing.
    let torn = Issued { key: again.key, ..ours };
    reload(&first, &torn, "reload failed; the old configuration stays in force");
    assert_eq!(push(3).send(process.webhooks).outcome(), "delivered");
    assert_eq!(app.seen().len(), 3);
}
