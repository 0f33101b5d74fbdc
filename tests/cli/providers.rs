//! `hookward providers`.

use crate::program::Folder;

#[test]
fn the_table_and_the_json_list_every_preset() {
    let folder = Folder::new();
    let table = folder.run(&["providers"]);
    table.says(0, "stripe");
    let lines = table.stdout.lines().count();
    assert_eq!(
        lines,
        hookward::provider::names().count() + 1,
        "a heading and one line each"
    );
    assert!(table.stdout.starts_with("NAME "), "{}", table.stdout);

    let all = folder.run(&["providers", "-o", "json"]).json();
    let all = all["providers"].as_array().expect("a list").clone();
    assert_eq!(all.len(), lines - 1);
    let stripe = all.iter().find(|one| one["name"] == "stripe").expect("a preset");
    assert_eq!(stripe["scheme"], "hmac-sha256");
    assert_eq!(stripe["covers"], "body");
    assert_eq!(stripe["identity"], "signed_id");
    for one in &all {
        for key in ["name", "title", "scheme", "covers", "proof"] {
            assert!(one[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {one}");
        }
        assert!(one["signs"].is_array(), "{one}");
        for key in ["identity", "identity_reason"] {
            assert!(one[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {one}");
        }
    }
}

#[test]
fn one_preset_is_shown_with_its_facts_its_yaml_and_how_to_set_it_up() {
    let folder = Folder::new();
    let page = folder.run(&["providers", "twilio"]);
    for part in [
        "set up\n  Enter the URL",
        "header:X-Twilio-Signature",
        "public_url: https://",
        "config/providers/twilio.yaml",
        "algorithm: hmac-sha1",
    ] {
        page.says(0, part);
    }
    // What a signature must cover is one list; what may be left out is no setting to begin with.
    let page = folder.run(&["providers", "http-message-signatures"]);
    page.says(0, "  signs       @method, @target-uri | @request-target | @path, ");
    page.says(0, "  event       json:/type (signed)\n");
    page.says(0, "  optional    keyid, label, tag\n");
    assert!(!page.stdout.contains("settings: {"), "{}", page.stdout);
    folder
        .run(&["providers", "trello"])
        .says(0, "  id          json:/action/id (signed)\n");
    folder.run(&["providers", "github"]).says(0, "(not signed)\n");
    // What has no default stands in the source to begin with, a secret as a file.
    folder.run(&["providers", "instagram"]).says(
        0,
        "    settings: {verify_token: {file: /run/secrets/instagram-verify_token}}",
    );
    let fetched = folder.run(&["providers", "google-pubsub"]);
    fetched.says(0, "    settings: {audience: …, email: …}");
    fetched.says(0, "keys        fetched from the provider, unless they are pinned");
    assert!(!fetched.stdout.contains("secrets: ["), "{}", fetched.stdout);
    folder
        .run(&["providers", "aws-sns"])
        .says(0, "    settings: {confirm_subscription: true, topic_arn: …}");
    let one = folder.run(&["providers", "github", "-o", "json"]).json();
    let one = &one["providers"][0];
    assert_eq!(one["name"], "github");
    assert!(
        one["yaml"]
            .as_str()
            .is_some_and(|text| text.starts_with("name: github"))
    );
    assert!(one["setup"].as_str().is_some_and(|text| text.contains("Webhooks")));
}

#[test]
fn an_unknown_preset_is_a_wrong_argument_with_a_hint() {
    let folder = Folder::new();
    folder
        .run(&["providers", "gihub"])
        .complains(2, "did you mean `github`?");
    let ended = folder.run(&["providers", "no-such-thing-at-all"]);
    ended.complains(2, "provider: custom");
    assert_eq!(ended.stdout, "");
}

/// What `providers custom` prints is a configuration, and every source of it verifies what it signs.
#[test]
fn the_guide_to_a_scheme_of_ones_own_is_a_configuration_that_verifies() {
    let folder = Folder::new();
    let guide = folder.run(&["providers", "custom"]);
    guide.says(0, "provider: custom");
    folder.write("hookward.yaml", guide.stdout.replace("/run/secrets/", ""));
    let sources = ["acme", "acme-timed", "acme-token", "acme-basic"];
    for source in sources {
        folder.write(source, format!("{source}:a-secret-of-some-length"));
    }
    folder.write("body", r#"{"id":"evt_1","type":"order.paid"}"#);
    let checked = folder.run(&["check", "--offline"]);
    checked.says(0, "valid: 4 sources");
    for source in sources {
        let signed = folder.run(&["sign", source, "--data", "body", "-o", "json"]);
        assert_eq!(signed.code, 0, "{source}: {signed:?}");
        folder.write("request", &signed.stdout);
        let verdict = folder.run(&["explain", source, "--request", "request", "-o", "json"]);
        assert_eq!(verdict.json()["verified"], true, "{source}: {verdict:?}");
    }
    let json = folder.run(&["providers", "custom", "-o", "json"]).json();
    assert_eq!(json["providers"][0]["name"], "custom");
    assert!(
        json["providers"][0]["yaml"]
            .as_str()
            .is_some_and(|yaml| yaml.contains("algorithm: basic"))
    );
}

#[test]
fn a_doorbell_says_that_a_replay_cannot_be_told() {
    let folder = Folder::new();
    let limit = "a replay cannot be told from an honest repeat here\n";
    folder
        .run(&["providers", "dropbox"])
        .says(0, &format!("  replays     {limit}"));
    let page = folder.run(&["providers", "dropbox"]);
    page.says(0, "  identity    doorbell: ");
    let stripe = folder.run(&["providers", "stripe"]);
    stripe.says(0, "  identity    signed_id: ");
    assert!(!stripe.stdout.contains(limit), "{}", stripe.stdout);
}
