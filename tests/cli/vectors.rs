//! Every vector of every preset through `explain --request -` in one run, each under a source made for it.

use crate::program::Folder;
use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use std::{fmt::Write, fs, path::Path};

/// Sources that vectors are judged under.
pub struct Sources(Vec<Source>);

struct Source {
    name: String,
    provider: String,
    settings: Value,
    /// The body of the vector that it was made for.
    body: Vec<u8>,
}

/// A vector under its source.
struct Case {
    name: String,
    request: Value,
    accept: bool,
    secrets: Vec<String>,
}

impl Sources {
    /// One source a preset, with the secrets and settings of its first vector that is accepted.
    pub fn one_each() -> Self {
        let mut sources = Self(Vec::new());
        for (provider, vectors) in files() {
            let accepted = vectors.iter().find(|vector| vector["expect"] == "accept");
            if provider != "custom" {
                sources.name_for(&provider, accepted.expect("a preset has an accepted vector"));
            }
        }
        sources
    }

    /// Names of the sources, their providers, and a body that the provider may send.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str, &[u8])> {
        self.0
            .iter()
            .map(|source| (source.name.as_str(), source.provider.as_str(), source.body.as_slice()))
    }

    /// A folder with a configuration of them all.
    pub fn folder(&self) -> Folder {
        self.folder_of(|_| true)
    }

    /// A folder with a configuration of those that `wanted` takes by name.
    pub fn folder_of(&self, wanted: impl Fn(&str) -> bool) -> Folder {
        let folder = Folder::new();
        let wanted = self.0.iter().filter(|source| wanted(&source.name));
        let sources: Map<String, Value> = wanted
            .map(|source| (source.name.clone(), source.settings.clone()))
            .collect();
        let config = json!({"version": 1, "upstream": "http://127.0.0.1:9", "sources": sources});
        // JSON is YAML.
        folder.write("hookward.yaml", config.to_string());
        folder
    }

    /// The source for a vector: one for every set of secrets and settings.
    fn name_for(&mut self, provider: &str, vector: &Value) -> String {
        let mut settings = Map::new();
        settings.insert("provider".to_owned(), provider.into());
        let mut signs_url = false;
        if provider == "custom" {
            let verify = vector["verify"].as_str().expect("a custom vector has `verify`");
            let mut verify_fields: Value = serde_saphyr::from_str(verify).expect("YAML");
            // Known from the vector's own file: nothing there says whether bodies repeat.
            verify_fields["body"] = "may_repeat".into();
            settings.insert("verify".to_owned(), verify_fields);
            signs_url = verify.contains("{url") || verify.contains("message_signature");
        } else {
            let preset = hookward::provider::preset(provider).expect("a preset");
            signs_url |= preset.facts().signs_url;
            // A vector's tolerance is the preset's own: it is set only where a preset has none.
            let has_one = preset.timestamp.as_ref().is_none_or(|time| time.tolerance.is_some());
            if let (Some(seconds), false) = (vector["tolerance_s"].as_u64(), has_one) {
                settings.insert("tolerance".to_owned(), format!("{seconds}s").into());
            }
        }
        if signs_url {
            settings.insert("public_url".to_owned(), "https://elsewhere.example.test".into());
        }
        let secrets: Vec<Value> = texts(&vector["secrets"])
            .into_iter()
            .map(|text| json!({"value": text, "allow_short": true}))
            .collect();
        if provider == "none" {
            settings.insert("allow_unverified".to_owned(), true.into());
        } else {
            settings.insert("secrets".to_owned(), secrets.into());
        }
        let config = vector["config"].as_object().cloned().unwrap_or_default();
        let known: Map<String, Value> = config
            .into_iter()
            .filter(|(name, _)| name != "kid")
            .map(|(name, value)| {
                // A secret is never written as a plain setting.
                let secret = name.ends_with("_token");
                let value = if secret { json!({"value": value}) } else { value };
                (name, value)
            })
            .collect();
        if !known.is_empty() {
            settings.insert("settings".to_owned(), known.into());
        }
        let same = |source: &&Source| {
            let mut theirs = source.settings.clone();
            theirs.as_object_mut().expect("an object").remove("path");
            theirs == Value::Object(settings.clone())
        };
        if let Some(source) = self.0.iter().find(same) {
            return source.name.clone();
        }
        let name = format!("{provider}-{}", self.0.len());
        settings.insert("path".to_owned(), format!("/in/{name}").into());
        self.0.push(Source {
            name: name.clone(),
            provider: provider.to_owned(),
            settings: settings.into(),
            body: BASE64.decode(body_base64(vector).as_bytes()).expect("base64"),
        });
        name
    }
}

/// Name and vectors of every file.
fn files() -> Vec<(String, Vec<Value>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<(String, Vec<Value>)> = fs::read_dir(folder)
        .expect("the vectors")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = fs::read(&path).expect("a file");
            (name, serde_json::from_slice(&text).expect("a list of vectors"))
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|text| text.as_str().expect("text").to_owned())
        .collect()
}

fn body_base64(vector: &Value) -> String {
    if let Some(text) = vector["body_base64"].as_str() {
        return text.to_owned();
    }
    let spec = &vector["body_spec"];
    let part = |name: &str| {
        BASE64
            .decode(spec[name].as_str().expect("text").as_bytes())
            .expect("base64")
    };
    let count = usize::try_from(spec["count"].as_u64().expect("a number")).expect("a small one");
    BASE64.encode(
        &[
            part("head_base64"),
            part("unit_base64").repeat(count),
            part("tail_base64"),
        ]
        .concat(),
    )
}

/// Every vector of every preset, and sources for all of them.
fn all() -> (Sources, Vec<Case>) {
    let mut sources = Sources(Vec::new());
    let mut cases = Vec::new();
    for (provider, vectors) in files() {
        for vector in vectors {
            let request = json!({
                "source": sources.name_for(&provider, &vector),
                "method": vector["method"],
                "url": vector["url"],
                "headers": vector["headers"],
                "body_base64": body_base64(&vector),
                "at": vector["now_unix"],
            });
            cases.push(Case {
                name: format!("{provider}/{}", vector["case"].as_str().expect("text")),
                request,
                accept: vector["expect"] == "accept",
                secrets: texts(&vector["secrets"]),
            });
        }
    }
    assert!(cases.len() > 800, "only {} vectors", cases.len());
    (sources, cases)
}

fn lines<'a>(requests: impl Iterator<Item = &'a Value>) -> String {
    let mut lines = String::new();
    for request in requests {
        writeln!(lines, "{request}").expect("a String takes it");
    }
    lines
}

#[test]
fn every_vector_is_judged_right_in_one_run_and_nothing_secret_is_told() {
    let (sources, cases) = all();
    let input = lines(cases.iter().map(|case| &case.request));
    let ended = sources
        .folder()
        .run_with(&["explain", "--request", "-"], input.as_bytes());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let answers: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(answers.len(), cases.len());
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(answers) {
        let verdict: Value = serde_json::from_str(answer).expect("JSON");
        if verdict["verified"] != case.accept {
            wrong.push(format!("{}: {answer}", case.name));
        }
        let outcome = verdict["outcome"].as_str().expect("text");
        assert_eq!(
            matches!(outcome, "verified" | "challenge"),
            case.accept,
            "{}: {answer}",
            case.name
        );
        for secret in case.secrets.iter().filter(|secret| secret.len() >= 8) {
            assert!(!answer.contains(secret.as_str()), "{}: {answer}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// An old capture is judged at its own time: the one that its provider signed, wherever that stands.
#[test]
fn accepted_vectors_are_verified_at_their_own_time() {
    let (sources, mut cases) = all();
    cases.retain(|case| case.accept);
    for case in &mut cases {
        case.request.as_object_mut().expect("an object").remove("at");
    }
    let input = lines(cases.iter().map(|case| &case.request));
    let ended = sources
        .folder()
        .run_with(&["explain", "--request", "-"], input.as_bytes());
    assert_eq!((ended.code, ended.stdout.lines().count()), (0, cases.len()));
    for (case, answer) in cases.iter().zip(ended.stdout.lines()) {
        assert!(answer.contains("\"verified\":true"), "{}: {answer}", case.name);
    }
}
