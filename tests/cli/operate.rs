//! `probe`, `drain` and `forget` find a running sidecar, whatever became of the rest of its configuration.

use crate::{program::Folder, sidecar};
use std::net::TcpListener;

/// Ports that are free now; nobody else asks for these before the sidecar does.
fn ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("bound").port())
}

#[test]
fn a_rotation_that_went_wrong_fails_no_probe() {
    let [health, admin] = ports();
    let top = format!(
        "version: 1\nlisten: 127.0.0.1:0\nhealth: 127.0.0.1:{health}\n\
         admin: {{address: \"127.0.0.1:{admin}\", token: {{file: admin}}}}\nupstream: http://127.0.0.1:9\n"
    );
    let folder = Folder::new();
    folder.write("admin", "a token of the operators");
    let good = "sources:\n  hook: {provider: github, path: /hook, secrets: [{env: SECRET}]}\n";
    folder.write("hookward.yaml", format!("{top}{good}"));
    let _running = sidecar::run(&folder);
    let bad = "sources:\n  hook: {provider: gitub, path: /hook, secrets: [{file: gone}]}\n  other: 7\n";
    folder.write("hookward.yaml", format!("{top}{bad}"));
    folder
        .run(&["check", "--offline"])
        .complains(78, "did you mean `github`?");

    folder.run(&["probe", "livez"]).says(0, "process");
    folder.run(&["probe", "readyz"]).says(0, "draining: no");
    for address in [format!("localhost:{health}"), format!("http://127.0.0.1:{health}/")] {
        folder.run(&["probe", "livez", "--health", &address]).says(0, "process");
    }
    folder
        .run(&["probe", "livez", "--health", "nowhere"])
        .complains(2, "not an address");
    folder
        .run(&["forget", "hook", "never-seen"])
        .complains(1, "--request FILE");
    // The token stands in the file; an address alone goes without.
    let address = format!("127.0.0.1:{admin}");
    folder.run(&["drain", "--admin", &address]).complains(1, "401");
    let drained = folder.run(&["drain", "--admin", &address, "-c", "hookward.yaml"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    folder.run(&["probe", "readyz"]).says(1, "draining: yes");

    folder.write(
        "hookward.yaml",
        format!("{}{bad}", top.replace("file: admin", "file: lost")),
    );
    folder.run(&["drain"]).complains(78, "lost` does not exist");
    folder.run(&["probe", "livez"]).says(0, "process");
    folder.write("hookward.yaml", format!("health: [nowhere]\n{good}"));
    folder.run(&["probe", "livez"]).complains(78, "health");
    folder.write("hookward.yaml", "health: {\n");
    folder.run(&["probe", "livez"]).complains(78, "hookward.yaml:");
}

#[test]
fn forget_wants_a_delivery_a_request_or_a_time() {
    let folder = Folder::with_sources(
        "  hook: {provider: github, path: /hook, secrets: [{env: SECRET}]}\n  \
         plain: {provider: none, path: /plain, allow_unverified: true}\n",
    );
    folder.write("request", "POST /plain HTTP/1.1\r\nHost: h\r\n\r\n{}");
    folder.run(&["forget", "hook"]).complains(2, "required");
    folder
        .run(&["forget", "hook", "one", "--request", "request"])
        .complains(2, "cannot be used");
    for wish in [
        &["--since", "5m", "one"][..],
        &["--since", "5m", "--request", "request"],
        &["--since", "five"],
        &["--since", "0s"],
        &["--event", "push"],
    ] {
        folder
            .run(&[&["forget", "hook"], wish].concat())
            .complains(2, "error: ");
    }
    folder
        .run(&["forget", "hook", "--since", "5m", "--admin", "127.0.0.1:1"])
        .complains(69, "no sidecar answers");
    folder
        .run(&["forget", "hoook", "--request", "request"])
        .complains(2, "did you mean `hook`?");
    folder
        .run(&["forget", "hook", "--request", "request"])
        .complains(1, "does not verify");
    folder
        .run(&["forget", "plain", "--request", "request"])
        .complains(1, "nothing to forget");
    folder
        .run(&["forget", "hook", "--request", "nowhere"])
        .complains(2, "nowhere");
}

#[test]
fn a_twin_of_a_flag_is_read_unless_it_is_empty_or_the_flag_is_there() {
    let folder = Folder::with_sources("  hook: {provider: gitub, path: /hook, secrets: [{env: SECRET}]}\n");
    let run = |args: &[&str], variables: &[(&str, &str)]| folder.run_in(args, variables);
    let twin = |name, value| run(&["run"], &[(name, value)]);
    twin("HOOKWARD_LOG", "xml").complains(2, "$HOOKWARD_LOG: `xml`");
    twin("HOOKWARD_LOG_LEVEL", "loud").complains(2, "$HOOKWARD_LOG_LEVEL: `loud`");
    // What is wrong then is the configuration.
    for (name, value) in [
        ("HOOKWARD_LOG", ""),
        ("HOOKWARD_LOG_LEVEL", ""),
        ("HOOKWARD_CONFIG", ""),
    ] {
        twin(name, value).complains(78, "hookward.yaml:");
    }
    run(&["run", "--log", "json"], &[("HOOKWARD_LOG", "xml")]).complains(78, "gitub");
    twin("HOOKWARD_CONFIG", "elsewhere.yaml").complains(78, "elsewhere.yaml");
    run(&["run", "--log", "xml"], &[]).complains(2, "--log");
    run(&["run", "--log-level", "loud"], &[]).complains(2, "--log-level");
}
