//! Known-answer vectors: what the providers' own SDKs sign and refuse, every preset against its file in `tests/vectors`.
#![allow(clippy::disallowed_methods, missing_docs, reason = "a test reads its files")]

#[path = "vectors/case.rs"]
mod case;

use case::{Case, Preset, read};
use std::{collections::BTreeSet, fs, path::Path};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors"))
}

#[test]
fn every_preset_judges_all_of_its_vectors_right() {
    let (mut accepts, mut rejects, mut wrong) = (0, 0, Vec::new());
    for name in hookward::provider::names() {
        let preset = hookward::provider::preset(name).expect("it is in the list");
        // An alias signs as its preset does, so that preset's vectors are its own.
        let meant = hookward::provider::alias_of(name).unwrap_or_else(|| name.to_owned());
        let cases = read(&folder().join(format!("{meant}.json")));
        assert!(!cases.is_empty(), "{name} has no vectors");
        for case in cases {
            if case.expect == "accept" {
                accepts += 1;
            } else {
                rejects += 1;
            }
            for frames in [1, 7] {
                if let Err(verdict) = case.judge(preset, frames) {
                    wrong.push(format!("{name}/{} ({frames} frames): {verdict}", case.name));
                }
            }
        }
    }
    println!("{accepts} accepted and {rejects} refused as they should be");
    assert!(
        accepts >= 50 && rejects >= 50,
        "only {accepts} and {rejects} vectors were found"
    );
    assert!(
        wrong.is_empty(),
        "{} wrong verdicts:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_vector_file_has_a_preset() {
    let presets: BTreeSet<&str> = hookward::provider::names().collect();
    let mut files = 0;
    for entry in fs::read_dir(folder()).expect("tests/vectors") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            assert!(
                name == "custom" || presets.contains(name.as_str()),
                "{name}.json has no preset"
            );
            files += 1;
        }
    }
    let own = presets
        .iter()
        .filter(|name| hookward::provider::alias_of(name).is_none());
    // Those and that of `custom`.
    assert_eq!(
        files,
        own.count() + 1,
        "a preset without vectors, or vectors without a preset"
    );
}

/// `custom` is the same shape inline: its vectors carry the preset.
#[test]
fn inline_presets_judge_their_vectors_right() {
    let cases = read(&folder().join("custom.json"));
    assert!(cases.len() >= 10, "only {} vectors", cases.len());
    for case in cases {
        let yaml = case.verify.as_deref().expect("a custom vector has `verify`");
        let preset = Preset::from_yaml(yaml).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        if let Err(verdict) = case.judge(&preset, 1) {
            panic!("custom/{}: {verdict}", case.name);
        }
    }
}

/// Adding a provider is adding two files: here into an empty folder, at run time.
#[test]
fn a_preset_is_one_file_and_its_vectors_another() {
    let folder = std::env::temp_dir().join(format!("hookward-preset-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(
        folder.join("acme.yaml"),
        "name: acme\ntitle: Acme\nsignature: {from: header:X-Acme, prefix: 'v1='}\nsigned: '{header.X-Id}|{body}'\nid: header:X-Id\n",
    )
    .expect("written");
    // printf '42|hi' | openssl dgst -sha256 -hmac 'acme test phrase'
    fs::write(
        folder.join("acme.json"),
        r#"[{"case":"right","secrets":["acme test phrase"],"now_unix":0,"method":"POST","url":"https://h.test/",
            "headers":{"X-Acme":"v1=MAC","X-Id":"42"},"body_base64":"aGk=","expect":"accept","reason":""},
            {"case":"other_id","secrets":["acme test phrase"],"now_unix":0,"method":"POST","url":"https://h.test/",
            "headers":{"X-Acme":"v1=MAC","X-Id":"43"},"body_base64":"aGk=","expect":"reject","reason":""}]"#
            .replace(
                "MAC",
                "8ad01664dc555f26e1247a7411b16435cfec401641b51fb0197745520a43cf5b",
            ),
    )
    .expect("written");
    let preset = Preset::from_yaml(&fs::read_to_string(folder.join("acme.yaml")).expect("read")).expect("a preset");
    let cases = read(&folder.join("acme.json"));
    let verdicts: Vec<Result<(), String>> = cases.iter().map(|case: &Case| case.judge(&preset, 1)).collect();
    fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(verdicts, [Ok(()), Ok(())]);
}
