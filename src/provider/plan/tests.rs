//! What must not be a preset, and what is derived of one that is.

use super::*;
use crate::provider::{Provider, preset};

fn problems(yaml: &str, options: &Options) -> Vec<(String, String)> {
    let preset = Preset::from_yaml(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    let found = Provider::compile(&preset, options).err().unwrap_or_default();
    found.into_iter().map(|problem| (problem.at, problem.message)).collect()
}

#[test]
fn every_embedded_preset_compiles_with_its_settings() {
    for name in crate::provider::names() {
        let preset = crate::provider::preset(name).expect("it is in the list");
        let settings = Plan::compile(preset, &Options::default()).0.settings;
        let options = Options {
            public_url: Some("https://hooks.example.com".to_owned()),
            settings: settings
                .into_iter()
                .filter(|setting| !matches!(setting.as_str(), "header" | "query"))
                .map(|setting| {
                    let value = if setting == "confirm_subscription" { "true" } else { "x" };
                    (setting, value.to_owned())
                })
                .collect(),
            ..Options::default()
        };
        let found = Provider::compile(preset, &options).err();
        assert_eq!(found, None, "{name}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn wrong_presets_are_refused_where_they_are_wrong() {
    let sig = "signature: {from: header:X-Sig}\n";
    for (yaml, at, words) in [
        ("{}", "/verify/signature", "where the signature stands"),
        (
            "algorithm: ed25519\nkey: spki\nmessage_signature: {components: ['@method']}\nkey_url: {url: 'https://a.example/k'}",
            "/verify/key_url",
            "are pinned",
        ),
        (
            "algorithm: jwt-rs256\nkey: jwk\nsignature: {from: 'header:A'}\nkey_url: {from: 'header:B', hosts: [a.example]}",
            "/verify/key_url/from",
            "which is no JWT",
        ),
        (
            "signature: {from: 'header:A'}\nchallenge: [{auth: none, method: GET, when: {'query:a': '*'}, reply: {}, confirm: {from: 'query:a', hosts: [a.example], path: /}}]",
            "/verify/challenge/0",
            "never visited",
        ),
        (
            "signature: {from: X-Sig}",
            "/verify/signature/from",
            "does not say where",
        ),
        (
            "signature: {from: [header:A, 'header:B C']}",
            "/verify/signature/from/1",
            "not a header name",
        ),
        (
            "signature: {from: claim:x}",
            "/verify/signature/from",
            "stands in a header",
        ),
        (
            "signature: {from: header:A, split: ', '}",
            "/verify/signature/split",
            "one ASCII character",
        ),
        (
            "signature: {from: header:A, split: ';', prefix: 'v1;'}",
            "/verify/signature/prefix",
            "no signature begins so",
        ),
        (
            "signature: {from: header:A, split: ';'}\ntimestamp: {from: 'signature:t;=', unit: s, tolerance: 5m}",
            "/verify/timestamp/from",
            "no part holds the separator",
        ),
        (
            "signature: {from: header:A, split: '3'}",
            "/verify/signature/split",
            "a signature is written with that character",
        ),
        (
            "signature: {from: header:A, split: '=', encoding: base64}",
            "/verify/signature/split",
            "a signature is written with that character",
        ),
        (
            "signature: {from: header:A, split: ';'}\ntimestamp: {from: 'signature: t=', unit: s, tolerance: 5m}",
            "/verify/timestamp/from",
            "no part of a signature begins with a space",
        ),
        (
            "signature: {from: header:A, split: ';', prefix: 'ts='}\ntimestamp: {from: 'signature:ts=', unit: s, tolerance: 5m}",
            "/verify/timestamp/from",
            "what begins so is the signature itself",
        ),
        (
            "signature: {from: header:A, prefix: '{body}'}",
            "/verify/signature/prefix",
            "`{config.NAME}` only",
        ),
        (
            &format!("{sig}signed: '{{bdy}}'"),
            "/verify/signed",
            "`{bdy}` is not a place",
        ),
        (
            &format!("{sig}signed: '{{body'"),
            "/verify/signed",
            "without its other half",
        ),
        (&format!("{sig}signed: 'fixed'"), "/verify/signed", "signs nothing"),
        (
            &format!("{sig}signed: '{{body}}{{body}}'"),
            "/verify/signed",
            "stand there once",
        ),
        (
            &format!("{sig}signed: ['{{body}}', '{{timestamp}}']"),
            "/verify/signed/1",
            "needs the field `timestamp`",
        ),
        (
            &format!("{sig}signed: ['{{body}}1', '{{body}}2', '{{body}}3', '{{body}}4', '{{body}}5']"),
            "/verify/signed",
            "at most 4",
        ),
        (
            &format!("{sig}signed: '{{secret}}{{body}}'"),
            "/verify/signed",
            "plain digests only",
        ),
        (
            &format!("{sig}algorithm: sha256"),
            "/verify/signed",
            "unless `{secret}`",
        ),
        (
            &format!("{sig}timestamp: {{from: header:X-T}}"),
            "/verify/timestamp",
            "does not cover this time",
        ),
        (
            &format!("{sig}timestamp: {{from: claim:iat}}\nsigned: '{{timestamp}}{{body}}'"),
            "/verify/timestamp/from",
            "part of a JWT",
        ),
        (
            &format!("{sig}id: {{from: header:X-Id, signed: true}}"),
            "/verify/id/signed",
            "does not cover this id",
        ),
        (
            &format!("{sig}event: {{from: header:X-E, signed: true}}"),
            "/verify/event/signed",
            "does not cover",
        ),
        (
            &format!("{sig}algorithm: token\nid: {{from: json:/id, signed: true}}"),
            "/verify/id/signed",
            "does not cover",
        ),
        (
            &format!("{sig}algorithm: token\ncovers: body"),
            "/verify/covers",
            "covers less",
        ),
        (
            &format!("{sig}algorithm: token\nsigned: '{{body}}'"),
            "/verify/signed",
            "means nothing with token",
        ),
        (
            &format!("{sig}algorithm: ed25519"),
            "/verify/key",
            "does not take a key of this kind",
        ),
        (
            &format!("{sig}key: pem"),
            "/verify/key",
            "does not take a key of this kind",
        ),
        (
            &format!("{sig}algorithm: none"),
            "/verify/signature",
            "verifies nothing",
        ),
        (
            &format!("{sig}body_hash: {{from: query:h}}"),
            "/verify/body_hash/from",
            "does not cover this digest",
        ),
        (&format!("{sig}each: /items"), "/verify/each", "every element"),
        (
            &format!("{sig}repeatable_events: [{{event: ping, fields: []}}]"),
            "/verify/repeatable_events/0/fields",
            "prove",
        ),
        (&format!("{sig}methods: [BREW]"), "/verify/methods/0", "not a method"),
        (
            &format!("{sig}require: {{header:X: '{{config.app}}'}}"),
            "/settings/app",
            "needs `settings.app`",
        ),
        (
            &format!("{sig}signed: '{{url}}{{body}}'"),
            "/public_url",
            "signs the URL",
        ),
        (
            &format!("{sig}challenge: [{{when: {{json:/a: 1}}, reply: {{body: 'x', json: {{}}}}}}]"),
            "/verify/challenge/0",
            "not both",
        ),
    ] {
        let found = problems(yaml, &Options::default());
        assert!(
            found
                .iter()
                .any(|(place, message)| place == at && message.contains(words)),
            "{yaml}\nwants {at}: {words}\ngot {found:?}"
        );
    }
}

#[test]
fn what_no_preset_has_is_refused_by_its_shape() {
    for yaml in [
        "signatur: {from: header:X}",
        "signature: {from: header:X, encodng: hex}",
        "algorithm: hmac-md5",
        "signature: {from: []}",
        "id: {frm: header:X}",
        "timestamp: {from: header:X, tolerance: 5y}",
        "max_body: 1.5MiB",
        "challenge: [{when: {json:/a: 1}, reply: {}, auth: trust}]",
    ] {
        assert!(Preset::from_yaml(yaml).is_err(), "{yaml}");
    }
}

#[test]
fn options_go_before_the_preset_and_their_problems_are_theirs() {
    let yaml = "signature: {from: header:X-Sig}\nid: header:X-Id";
    let options = Options {
        public_url: Some("hooks.example.com".to_owned()),
        settings: [("nonsense".to_owned(), "1".to_owned())].into(),
        id: Some(vec!["header:X-Other".to_owned(), "jsn:/id".to_owned()]),
        event: Some(vec!["json:event".to_owned()]),
        ..Options::default()
    };
    let places: Vec<String> = problems(yaml, &options).into_iter().map(|(at, _)| at).collect();
    assert_eq!(places, ["/id/1", "/event", "/public_url", "/settings/nonsense"]);
    let token = preset::Preset::from_yaml("algorithm: token\nsignature: {from: header:X}").expect("a preset");
    let named = Options {
        id: Some(vec!["header:X-Id".to_owned()]),
        ..Options::default()
    };
    assert!(
        !Provider::compile(&token, &Options::default())
            .expect("compiles")
            .facts()
            .ledger
    );
    assert!(Provider::compile(&token, &named).expect("compiles").facts().ledger);
}

#[test]
fn the_facts_of_the_required_presets_are_the_documented_ones() {
    let facts = |name: &str| crate::provider::preset(name).expect("a preset").facts();
    let github = facts("github");
    assert_eq!(
        (github.max_body, github.automatic_retries, github.resigns),
        (Some(25 << 20), false, false)
    );
    assert_eq!(github.new_id, crate::provider::NewId::Conflict);
    assert_eq!(github.deadline, Some(std::time::Duration::from_secs(10)));
    let headers: Vec<&str> = github.read_headers.iter().map(HeaderName::as_str).collect();
    assert_eq!(headers, ["x-github-delivery", "x-github-event", "x-hub-signature-256"]);
    for name in ["stripe", "standard-webhooks", "svix"] {
        assert!(facts(name).resigns && facts(name).tolerance.is_some(), "{name}");
    }
    let twilio = facts("twilio");
    assert!(twilio.signs_url && !twilio.ledger);
    assert_eq!(twilio.methods, [Method::POST, Method::GET]);
    let token = facts("token");
    assert_eq!(token.credential_headers, [http::header::AUTHORIZATION]);
    assert!(!token.ledger && token.needs_secrets && !facts("none").needs_secrets);
    assert!(facts("gitlab-token").ledger && facts("telegram").ledger);
    assert_eq!(facts("telegram").covers, Covers::Nothing);
    assert_eq!(facts("mailgun").covers, Covers::Fields);
    assert_eq!(facts("shopify").covers, Covers::Body);
}

#[test]
fn the_listing_is_complete_json() {
    let listings = crate::provider::listings();
    assert_eq!(listings.len(), crate::provider::names().count());
    let json = serde_json::to_value(&listings).expect("JSON");
    for (listing, json) in listings.iter().zip(json.as_array().expect("a list")) {
        for field in ["name", "title", "scheme", "covers", "signs", "proof"] {
            assert!(json.get(field).is_some(), "{} lacks {field}", listing.name);
        }
    }
}
