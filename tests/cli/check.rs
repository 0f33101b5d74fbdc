//! `hookward check`: every exit code, both outputs, and the surroundings as they really are.

use crate::{program::Folder, redis::RedisServer};
use serde_json::Value;
use std::net::TcpListener;

const GITHUB: &str = "  github: {provider: github, path: /github, secrets: [{env: SECRET}]}\n";

/// A configuration of stripe before `app`, with `more` at the top level.
fn stripe(app: &str, more: &str) -> Folder {
    let folder = Folder::new();
    folder.write(
        "hookward.yaml",
        format!(
            "version: 1\nhealth: 127.0.0.1:0\nclient_ip: {{trust: []}}\nupstream: {app}\n{more}\n\
             sources:\n  stripe: {{provider: stripe, path: /stripe, secrets: [{{env: SECRET}}]}}\n"
        ),
    );
    folder
}

/// An app that accepts connections for as long as it is held.
fn app() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

fn levels<'a>(report: &'a Value, name: &str) -> Vec<(&'a str, &'a str)> {
    let checks = report["checks"].as_array().expect("a list");
    let of_it = checks.iter().filter(|check| check["name"] == name);
    of_it
        .map(|check| {
            (
                check["level"].as_str().expect("text"),
                check["message"].as_str().expect("text"),
            )
        })
        .collect()
}

const PORTS: &str = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0";

#[test]
fn all_is_well_with_an_app_and_a_redis_that_keeps_what_it_is_told() {
    let redis = RedisServer::start_with(&["--appendonly", "yes"]);
    let (_app, url) = app();
    let folder = stripe(
        &url,
        &format!("{PORTS}\nredis: {{url: \"{}\", namespace: tests}}", redis.url()),
    );
    let ended = folder.run(&["check", "--strict"]);
    for part in [
        "config  ./hookward.yaml\n  √ valid: 1 source, 1 destination\n",
        "secrets\n  √ stripe  1 secret  ($SECRET)\n",
        &format!("√ redis     127.0.0.1:{} PONG in ", redis.port()),
        "maxmemory-policy noeviction",
        "persistence: appendonly",
        "√ clock     Redis's clock is ",
        "records of 256 B kept 3 d: ",
        &format!("√ upstream  {} accepts connections", url.trim_start_matches("http://")),
        "√ memory ",
    ] {
        ended.says(0, part);
    }
    assert!(ended.stdout.ends_with("\n0 problems, 0 warnings\n"), "{}", ended.stdout);
    assert_eq!(ended.stderr, "");

    let report = folder.run(&["check", "-o", "json"]).json();
    assert_eq!(
        (&report["ok"], &report["problems"], &report["file"]),
        (&true.into(), &0.into(), &"./hookward.yaml".into())
    );
    assert!(
        levels(&report, "redis")
            .iter()
            .any(|(level, text)| *level == "ok" && text.contains(", Redis "))
    );
    assert_eq!(levels(&report, "listen")[0].0, "ok");
}

#[test]
fn a_redis_that_may_forget_is_a_warning() {
    let redis = RedisServer::start();
    redis.configure("maxmemory-policy", "allkeys-lru");
    let (_app, url) = app();
    let folder = stripe(
        &url,
        &format!("{PORTS}\nredis: {{url: \"{}\", namespace: tests}}", redis.url()),
    );
    let ended = folder.run(&["check"]);
    ended.says(0, "maxmemory-policy allkeys-lru may drop records");
    ended.says(0, "persistence: none");
    ended.says(0, "0 problems, 2 warnings");
    folder.run(&["check", "--strict"]).says(1, "0 problems, 2 warnings");
}

#[test]
fn a_replica_is_a_problem() {
    let master = RedisServer::start();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    let (_app, url) = app();
    let folder = stripe(
        &url,
        &format!("{PORTS}\nredis: {{url: \"{}\", namespace: tests}}", replica.url()),
    );
    folder
        .run(&["check"])
        .says(1, "× redis     it is a replica and refuses writes");
}

#[test]
fn a_redis_that_is_gone_is_a_problem_unless_offline() {
    let mut redis = RedisServer::start();
    let (_app, url) = app();
    let folder = stripe(
        &url,
        &format!("{PORTS}\nredis: {{url: \"{}\", namespace: tests}}", redis.url()),
    );
    redis.kill();
    let ended = folder.run(&["check"]);
    ended.says(1, "does not answer: ");
    assert!(ended.stdout.ends_with("\n1 problem, 0 warnings\n"), "{}", ended.stdout);
    let report = folder.run(&["check", "-o", "json"]).json();
    assert_eq!(
        (&report["ok"], levels(&report, "redis")[0].0),
        (&false.into(), "problem")
    );
    let offline = folder.run(&["check", "--offline"]);
    offline.says(0, "0 problems, 0 warnings");
    assert!(!offline.stdout.contains("environment"), "{}", offline.stdout);
}

#[test]
fn a_redis_that_refuses_the_password_is_a_problem() {
    let redis = RedisServer::start_with(&["--requirepass", "the right password"]);
    let (_app, url) = app();
    let with = |password: &str| {
        let more = format!(
            "{PORTS}\nredis: {{url: \"{}\", namespace: tests, password: {{value: \"{password}\"}}}}",
            redis.url()
        );
        stripe(&url, &more).run(&["check"])
    };
    let wrong = with("another password");
    wrong.says(1, "does not answer: ");
    assert!(!wrong.stdout.contains("another password"), "{}", wrong.stdout);
    with("the right password").says(0, " PONG in ");
}

#[test]
fn a_busy_port_is_a_problem_and_an_app_that_is_not_there_a_warning() {
    let (busy, _) = app();
    let address = busy.local_addr().expect("bound");
    // An app that was there: its port is free again, and refuses.
    let (gone, url) = app();
    drop(gone);
    let folder = stripe(&url, &format!("listen: {address}\nadmin: 127.0.0.1:0"));
    let ended = folder.run(&["check"]);
    ended.says(1, &format!("× listen    {address} is in use"));
    ended.says(1, "refuses connections (the app may start later)");
    ended.says(1, "1 problem, 1 warning");
}

#[test]
fn an_https_destination_must_prove_its_name() {
    use std::io::{Read, Write};
    let (plain, url) = app();
    let speaker = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().expect("a connection");
        let mut hello = [0; 4096];
        let _read = stream.read(&mut hello).expect("a hello");
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .expect("an answer");
    });
    let folder = stripe(&url.replace("http:", "https:"), PORTS);
    let ended = folder.run(&["check"]);
    ended.says(1, "TLS with 127.0.0.1: ");
    ended.says(1, "(does it speak plain http there?)");
    ended.says(1, "1 problem, ");
    speaker.join().expect("no panic");
}

#[test]
fn every_error_of_the_file_is_told_and_the_code_is_78() {
    let folder = Folder::new();
    folder.write(
        "bad.yaml",
        "version: 1\nlisten: nowhere\nupstrem: http://127.0.0.1:3000\nsources:\n  a: {provider: gihub, path: a, secrets: [{env: SECRET}]}\n",
    );
    let ended = folder.run(&["check", "-c", "bad.yaml"]);
    for part in [
        "bad.yaml:2:9",
        "bad.yaml:3:1",
        "bad.yaml:5:17",
        "did you mean `github`?",
        "bad.yaml:5:30",
    ] {
        ended.says(78, part).complains(78, part);
    }
    // The lines with their carets are a message, the list of findings the result.
    ended.complains(78, "^^^^^");
    let last = ended.stdout.lines().last().expect("a line");
    assert!(last.contains(" problems, "), "{last}");

    let ended = folder.run(&["check", "-c", "bad.yaml", "-o", "json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (78, ""));
    let report = ended.json();
    assert_eq!(report["ok"], false);
    let found = report["checks"].as_array().expect("a list").iter().any(|check| {
        check["group"] == "config" && check["level"] == "problem" && check["line"] == 5 && check["column"] == 17
    });
    assert!(found, "{report}");
    folder
        .run(&["check", "-c", "absent.yaml"])
        .complains(78, "there is no configuration file here");
}

#[test]
fn an_unreadable_secret_is_77() {
    let folder = Folder::with_sources("  a: {provider: github, path: /a, secrets: [{file: absent}]}\n");
    let ended = folder.run(&["check"]);
    ended.says(
        77,
        "secrets\n  × ./hookward.yaml:8:52  the secret file `./absent` does not exist",
    );
    ended.complains(77, "does not exist");
}

#[test]
fn secrets_are_counted_and_never_shown() {
    let folder = Folder::with_sources(
        "  github: {provider: github, path: /github, secrets: [{file: key}, {env: SECRET, not_after: 2020-01-01T00:00:00Z}, {value: an inline secret text}]}\n  \
         open: {provider: none, path: /open, allow_unverified: true}\n",
    );
    folder.write("key", "the secret in a file\n");
    for output in ["text", "json"] {
        let ended = folder.run(&["check", "--offline", "-o", output]);
        for part in [
            "3 secrets  (key, $SECRET, in this file)",
            "ends with a newline",
            "none: nothing is verified",
        ] {
            ended.says(0, part);
        }
        ended.says(0, "secret 1 ($SECRET) does not verify since 2020-01-01T00:00:00Z");
        for secret in [
            "the secret in a file",
            "a secret in a variable",
            "an inline secret text",
        ] {
            assert!(
                !ended.stdout.contains(secret) && !ended.stderr.contains(secret),
                "{ended:?}"
            );
        }
    }
}

#[test]
fn a_source_whose_secrets_have_all_run_out_is_a_problem() {
    let folder = Folder::with_sources(
        "  github: {provider: github, path: /github, secrets: [{env: SECRET, not_after: 2020-01-01T00:00:00Z}]}\n",
    );
    folder
        .run(&["check", "--offline"])
        .says(1, "every secret is past its `not_after`");
}

#[test]
fn t_is_an_alias_as_nginx_has_it() {
    let folder = Folder::with_sources(GITHUB);
    folder.write("other.yaml", "version: 1\n");
    for args in [
        &["-t", "--offline"][..],
        &["-t", "-c", "hookward.yaml", "--offline"],
        &["-c", "hookward.yaml", "-t", "--offline"],
    ] {
        folder.run(args).says(0, "√ valid: 1 source");
    }
    folder.run(&["-t", "-c", "other.yaml"]).says(78, "other.yaml");
    folder.run(&["-c", "other.yaml", "-t"]).says(78, "other.yaml");
}

#[test]
fn wrong_arguments_are_2() {
    let folder = Folder::with_sources(GITHUB);
    for args in [
        &["check", "--no-such-flag"][..],
        &["check", "-o", "yaml"],
        &["chek"],
        &[],
        &["explain", "github"],
        &["sign"],
        &["sign", "github", "--at", "noon"],
        &["providers", "a", "b"],
    ] {
        let ended = folder.run(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{args:?}: {ended:?}");
    }
    folder.run(&["check", "--help"]).says(0, "--offline");
}

#[test]
fn a_proof_that_does_not_cover_the_body_is_a_warning() {
    let folder = Folder::with_sources("  cron: {provider: token, path: /cron, secrets: [{env: SECRET}]}\n");
    let ended = folder.run(&["check", "--offline"]);
    ended.says(0, "! cron  `token` proves the sender and not the body");
}

#[test]
fn a_state_dir_that_cannot_be_written_to_is_a_problem() {
    let (_app, url) = app();
    for (path, level, code) in [(".", "ok", 0), ("./nowhere", "problem", 1)] {
        let folder = stripe(&url, &format!("{PORTS}\nstate_dir: {path}"));
        let ended = folder.run(&["check", "-o", "json"]);
        let report = ended.json();
        assert_eq!(levels(&report, "state_dir")[0].0, level, "{path}");
        assert_eq!(ended.code, code, "{path}");
    }
}

#[test]
fn a_doorbell_is_named_unless_an_id_tells_its_events_apart() {
    let source =
        |more: &str| format!("  box: {{provider: dropbox, path: /dropbox, secrets: [{{env: SECRET}}]{more}}}\n");
    let limit = "a replay cannot be told from an honest repeat here";
    let folder = Folder::with_sources(&source(""));
    folder.run(&["check", "--offline"]).says(0, limit);
    let folder = Folder::with_sources(&source(", id: \"header:X-Id\""));
    let ended = folder.run(&["check", "--offline"]);
    assert!(ended.code == 0 && !ended.stdout.contains(limit), "{ended:?}");
}

#[test]
fn an_id_that_nothing_proves_is_a_warning() {
    let source = "  legacy: {provider: none, path: /legacy, allow_unverified: true, id: \"header:X-Id\"}\n";
    let folder = Folder::with_sources(source);
    folder
        .run(&["check", "--offline"])
        .says(0, "nothing proves the `id` of source `legacy`");
}
