//! `hookward sign`: headers, curl and JSON, and that what it signs verifies.

use crate::{program::Folder, vectors::Sources};
use serde_json::Value;
use std::fmt::Write;

const SECRET: &str = "a secret of the sign tests";

fn folder() -> Folder {
    let folder = Folder::with_sources(
        "  github: {provider: github, path: /hooks/github, secrets: [{file: key}]}\n  \
           stripe: {provider: stripe, path: /hooks/stripe, secrets: [{file: key}]}\n  \
           twilio: {provider: twilio, paths: [\"/hooks/twilio/*\"], public_url: \"https://hooks.example.com/in\", secrets: [{file: key}]}\n  \
           query: {provider: token, path: /hooks/query, settings: {query: token}, secrets: [{file: key}]}\n  \
           discord: {provider: discord, path: /hooks/discord, secrets: [{value: 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29}]}\n  \
           acme: {provider: custom, path: /hooks/acme, verify: {signature: {from: \"header:X-Acme\"}, body: unique}, secrets: [{file: key}]}\n  \
           late: {provider: github, path: /hooks/late, secrets: [{file: absent}], on_missing_secret: unavailable}\n",
    );
    folder.write("key", SECRET);
    folder.write("body.json", "{\"id\":\"evt_1\",\n \"note\":\"it's\"}\n");
    folder
}

#[test]
fn headers_are_name_value_lines() {
    let folder = folder();
    let ended = folder.run(&["sign", "stripe", "--data", "body.json", "--at", "1760000000"]);
    // printf '1760000000.' | cat - body.json | openssl dgst -sha256 -hmac 'a secret of the sign tests'
    ended.says(
        0,
        "Stripe-Signature: t=1760000000,v1=80418a4429100386b301d710fc54bec054e5053f242a2327d7400ffa94d7157d\n",
    );
    ended.says(0, "Content-Type: application/json\n");
    assert_eq!(ended.stderr, "");
    // The same body on stdin.
    let again = folder.run_with(
        &["sign", "stripe", "--data", "-", "--at", "1760000000"],
        b"{\"id\":\"evt_1\",\n \"note\":\"it's\"}\n",
    );
    assert_eq!(again.stdout, ended.stdout);
    // Without a body a sample is signed, and that is said where it does not mix with the result.
    let sample = folder.run(&["sign", "github"]);
    sample
        .says(0, "X-Hub-Signature-256: sha256=")
        .says(0, "X-GitHub-Event: push\n");
    sample.complains(0, "sample event `push`");
}

#[test]
fn an_event_that_travels_in_a_header_is_among_the_headers() {
    let folder = folder();
    let named = folder.run(&["sign", "github", "issues.opened", "--data", "body.json"]);
    named.says(0, "X-GitHub-Event: issues\n").says(0, "X-GitHub-Delivery: ");
    assert_eq!(named.stderr, "");
    let curl = folder.run(&["sign", "github", "release", "--data", "body.json", "-o", "curl"]);
    curl.says(0, "-H 'X-GitHub-Event: release'");
    // Without a name the first sample's is taken, and stderr says so.
    let silent = folder.run(&["sign", "github", "--data", "body.json"]);
    silent.says(0, "X-GitHub-Event: push\n");
    silent.complains(0, "no EVENT");
    // Without a body the sample of that event is signed.
    folder
        .run(&["sign", "github", "issues.opened"])
        .says(0, "X-GitHub-Event: issues\n");
    folder
        .run(&["sign", "stripe", "invoice.paid", "--data", "body.json"])
        .complains(0, "the body itself names its event");
}

#[test]
fn a_curl_command_is_one_that_a_shell_runs() {
    let folder = folder();
    let ended = folder.run(&["sign", "twilio", "--data", "body.json", "-o", "curl"]);
    // JSON is covered by its digest in the URL, which the path of a source has not.
    ended.complains(1, "bodySHA256");
    let ended = folder.run_with(&["sign", "twilio", "--data", "-", "-o", "curl"], b"A=1&B=it%27s");
    ended.says(0, "curl -i -X POST 'http://127.0.0.1:0/hooks/twilio/sample' \\\n  -H '");
    ended.says(0, r"--data-binary 'A=1&B=it%27s'");
    ended.says(0, "-H 'Content-Type: application/x-www-form-urlencoded'");
    let ended = folder.run(&["sign", "github", "--data", "body.json", "-o", "curl"]);
    ended.says(0, "--data-binary '@body.json'");
}

#[test]
fn json_is_a_request_that_explain_reads() {
    let folder = folder();
    let ended = folder.run_with(&["sign", "twilio", "--data", "-", "-o", "json"], b"A=1&B=2");
    let request = ended.json();
    assert_eq!(request["url"], "https://hooks.example.com/in/hooks/twilio/sample");
    assert_eq!(request["method"], "POST");
    assert!(request["headers"]["X-Twilio-Signature"].is_string(), "{request}");
    assert_eq!(request["body_base64"], "QT0xJkI9Mg==");
}

#[test]
fn what_cannot_be_signed_says_why() {
    let folder = folder();
    folder
        .run(&["sign", "query", "--data", "body.json"])
        .complains(1, "query");
    folder.run(&["sign", "discord"]).complains(1, "private key");
    folder.run(&["sign", "late"]).complains(77, "does not exist");
    folder.run(&["sign", "acme"]).complains(2, "--data FILE");
    folder.run(&["sign", "gihub"]).complains(2, "did you mean `github`?");
    folder
        .run(&["sign", "github", "--data", "absent"])
        .complains(2, "absent");
    folder
        .run(&["sign", "github", "-c", "absent.yaml"])
        .complains(78, "no configuration file");
}

#[test]
fn what_is_signed_verifies_for_every_preset_that_can_be_signed_for() {
    let sources = Sources::one_each();
    let (mut lines, mut names, mut cannot) = (String::new(), Vec::new(), Vec::new());
    for (source, provider, body) in sources.names() {
        let mut args = vec!["sign", source, "-o", "json", "--at", "1760000000"];
        if hookward::provider::preset(provider)
            .expect("a preset")
            .samples
            .is_empty()
        {
            args.extend(["--data", "-"]);
        }
        let ended = sources.folder_of(|name| name == source).run_with(&args, body);
        if ended.code == 0 {
            writeln!(lines, "{}", ended.json()).expect("a String takes it");
            names.push(provider);
        } else {
            ended.complains(1, "cannot be signed for: ");
            cannot.push(provider);
        }
    }
    assert!(
        names.len() >= 60,
        "only {} can be signed for; not: {cannot:?}",
        names.len()
    );
    for symmetric in [
        "stripe",
        "github",
        "slack",
        "shopify",
        "standard-webhooks",
        "svix",
        "gitlab-token",
        "twilio",
        "square",
        "telegram",
        "token",
    ] {
        assert!(names.contains(&symmetric), "{symmetric} cannot be signed for");
    }
    let ended = sources
        .folder()
        .run_with(&["explain", "--request", "-"], lines.as_bytes());
    let answers: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!((ended.code, answers.len()), (0, names.len()), "{}", ended.stderr);
    for (provider, answer) in names.iter().zip(&answers) {
        assert_eq!(answer["verified"], true, "{provider}: {answer}");
    }
}
