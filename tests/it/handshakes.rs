//! Providers' handshakes over the wire: what they hear, and what nobody else does (`tests/vectors/handshakes/*.json`).

use super::support::{
    App, Request, Sidecar,
    sidecar::NOW,
    signed,
    wire::{Answer, Connection},
};
use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    time::Duration,
};

/// One provider's file.
#[derive(Deserialize)]
struct Handshakes {
    /// What proves who asks, as the preset must say too.
    auth: String,
    secrets: Vec<String>,
    #[serde(default)]
    settings: Option<Value>,
    #[serde(default)]
    public_url: Option<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(rename = "case")]
    name: String,
    request: Asked,
    answer: Wanted,
}

#[derive(Deserialize)]
struct Asked {
    method: String,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    status: u16,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_json: Option<Value>,
    /// `null`: not there.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
}

fn files() -> Vec<(String, Handshakes)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/handshakes");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).expect("the folder of the handshakes") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read(&path).expect("it can be read");
        let file = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        files.push((name, file));
    }
    files
}

fn configuration(files: &[(String, Handshakes)]) -> String {
    let mut yaml = "sources:\n".to_owned();
    for (name, file) in files {
        let secrets: Vec<Value> = file.secrets.iter().map(|text| json!({"value": text})).collect();
        let mut source = json!({"provider": name, "path": format!("/{name}"), "secrets": secrets});
        if let Some(settings) = &file.settings {
            source["settings"] = settings.clone();
        }
        if let Some(url) = &file.public_url {
            source["public_url"] = url.clone().into();
        }
        // JSON is YAML.
        writeln!(yaml, "  {name}: {source}").expect("a String takes everything");
    }
    yaml
}

fn request(name: &str, asked: &Asked) -> Request {
    let query = asked
        .query
        .as_ref()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let target = format!("/{name}{query}");
    let method: &'static str = ["GET", "HEAD", "OPTIONS", "POST", "PUT"]
        .into_iter()
        .find(|known| *known == asked.method)
        .expect("a method");
    let mut request = match &asked.body {
        Some(body) => Request::post(&target, body.as_bytes()).method(method),
        None => Request::get(&target).method(method),
    };
    for (name, value) in &asked.headers {
        request = request.header(name, value);
    }
    request
}

fn judge(label: &str, wanted: &Wanted, answer: &Answer) {
    let said = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, wanted.status, "{label}: {} {said}", answer.outcome());
    let outcome = match wanted.status {
        401 => "unverified",
        405 => "method",
        _ => "challenge",
    };
    assert_eq!(answer.outcome(), outcome, "{label}");
    assert!(!said.contains('<'), "{label}: something was reflected: {said}");
    if let Some(body) = &wanted.body {
        assert_eq!(said, body.as_str(), "{label}");
    }
    if let Some(body) = &wanted.body_json {
        assert_eq!(&answer.json(), body, "{label}");
    }
    for (name, value) in &wanted.headers {
        assert_eq!(answer.header(name), value.as_deref(), "{label}: {name}");
    }
    if outcome == "challenge" {
        assert_eq!(answer.header("content-type"), wanted.content_type.as_deref(), "{label}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{label}");
        assert!(answer.body.len() <= 1024, "{label}: {} bytes", answer.body.len());
    }
}

/// Every handshake and every attempt at one, and none of them ever reaches the app.
#[test]
fn every_handshake_is_answered_and_no_attempt_at_one_is() {
    let files = files();
    let app = App::start();
    let sidecar = Sidecar::before(&app, &configuration(&files));
    let (mut answered, mut refused) = (0, 0);
    for (name, file) in &files {
        for case in &file.cases {
            let answer = sidecar.send(&request(name, &case.request));
            judge(&format!("{name}/{}", case.name), &case.answer, &answer);
            if case.answer.status < 300 {
                answered += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(
        answered >= 18 && refused >= 70,
        "{answered} answered, {refused} refused"
    );
    assert!(app.seen().is_empty(), "the app got a handshake: {:?}", app.seen());
    let logged = sidecar.logged();
    for (name, file) in &files {
        for secret in &file.secrets {
            assert!(!logged.contains(secret.as_str()), "the log holds a secret of {name}");
        }
    }
    for spelling in ["meta verify phrase", "meta%20verify%20phrase", "meta+verify+phrase"] {
        assert!(!logged.contains(spelling), "the log holds the verify token");
    }
}

/// The presets that declare a handshake are those with a file, and they declare the same proof.
#[test]
fn every_handshake_declares_what_proves_it() {
    use hookward::provider::preset::Auth;
    let files: BTreeMap<String, Handshakes> = files().into_iter().collect();
    let mut declared = BTreeSet::new();
    for name in hookward::provider::names() {
        let preset = hookward::provider::preset(name).expect("it is in the list");
        if preset.challenge.is_empty() || hookward::provider::alias_of(name).is_some() {
            continue;
        }
        declared.insert(name.to_owned());
        for challenge in &preset.challenge {
            let auth = match challenge.auth {
                Auth::Signature => "signature",
                Auth::VerifyToken => "verify_token",
                Auth::None => "none",
            };
            let file = files
                .get(name)
                .unwrap_or_else(|| panic!("{name} has no file of handshakes"));
            assert_eq!(file.auth, auth, "{name}");
        }
    }
    let told: BTreeSet<String> = files.keys().cloned().collect();
    assert_eq!(told, declared);
}

/// A token of Meta's is asked of its aliases too, and HEAD ends with its head.
#[test]
fn aliases_answer_as_their_preset_and_a_connection_outlives_handshakes() {
    let app = App::start();
    let yaml = "
sources:
  instagram: {provider: instagram, path: /i, secrets: [{env: SECRET}], settings: {verify_token: {env: TOKEN}}}
  trello: {provider: trello, path: /t, secrets: [{env: SECRET}], public_url: https://hooks.example.com}
";
    let sidecar = Sidecar::before(&app, yaml);
    let token = signed::TOKEN.replace(' ', "+");
    let ask = |token: &str| {
        Request::get(&format!(
            "/i?hub.mode=subscribe&hub.challenge=77&hub.verify_token={token}"
        ))
    };
    let answer = sidecar.send(&ask(&token));
    assert_eq!((answer.status, &answer.body[..]), (200, &b"77"[..]));
    assert_eq!(sidecar.send(&ask("another")).status, 401);
    let logged = sidecar.logged();
    assert!(
        logged.contains("`hub.verify_token` is not `settings.verify_token`"),
        "{logged}"
    );
    assert!((sidecar.counted("instagram", "challenge") - 1.0).abs() < f64::EPSILON);
    assert!((sidecar.counted("instagram", "unverified") - 1.0).abs() < f64::EPSILON);

    let mut connection = Connection::open(sidecar.addresses.webhooks);
    for _ in 0..3 {
        let answer = connection
            .exchange(&Request::get("/t").method("HEAD"))
            .expect("an answer");
        assert_eq!((answer.status, answer.outcome()), (200, "challenge"));
    }
    assert!(app.seen().is_empty());
}

/// Whoever asks on and on waits; the events of the source do not.
#[test]
fn handshakes_have_a_limit_of_their_own() {
    let app = App::start();
    let yaml = "sources: {dropbox: {provider: dropbox, path: /d, secrets: [{env: SECRET}]}}";
    let sidecar = Sidecar::before(&app, yaml);
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    let ask = Request::get("/d?challenge=abc");
    let mut ended = Vec::new();
    for _ in 0..501 {
        ended.push(connection.exchange(&ask).expect("an answer"));
    }
    let last = ended.pop().expect("the last one");
    assert!(ended.iter().all(|answer| answer.outcome() == "challenge"));
    assert_eq!((last.status, last.outcome()), (429, "rate_limited"));
    assert_eq!(last.header("retry-after"), Some("1"));
    let mac = HEXLOWER.encode(&signed::hmac_sha256(signed::SECRET.as_bytes(), &[b"{}"]));
    let event = Request::post("/d", "{}").header("X-Dropbox-Signature", mac);
    assert_eq!(sidecar.send(&event).outcome(), "delivered");
    sidecar.advance(Duration::from_secs(1));
    assert_eq!(connection.exchange(&ask).expect("an answer").outcome(), "challenge");
}

/// What the given list of handshakes holds beside those in `tests/vectors/handshakes`: where each is asked over the wire.
const ELSEWHERE: [(&str, &str); 4] = [
    (
        "asana",
        "tests/it/operate.rs: a_secret_is_handed_out_within_the_window_and_printed_once",
    ),
    (
        "notion",
        "tests/it/operate.rs: a_secret_is_handed_out_within_the_window_and_printed_once",
    ),
    ("adyen-payments", "own_answers_have_the_body_that_a_provider_insists_on"),
    (
        "google-pubsub",
        "pub_sub_takes_every_end_of_a_delivery_for_an_acknowledgement",
    ),
];

/// Twenty providers ask something; sixteen of them have a file.
#[test]
fn twenty_handshakes_are_asked_over_the_wire() {
    let files = files();
    assert_eq!(files.len() + ELSEWHERE.len(), 20);
    for (name, test) in ELSEWHERE {
        assert!(files.iter().all(|(known, _)| known != name), "{name} has a file too");
        let (file, function) = test.split_once(": ").unwrap_or(("tests/it/handshakes.rs", test));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(
            source.contains(&format!("fn {function}()")),
            "{name}: no {function} in {file}"
        );
    }
}

/// Pub/Sub acknowledges by 102, 200, 201, 202 and 204, and sends again after anything else.
#[test]
fn pub_sub_takes_every_end_of_a_delivery_for_an_acknowledgement() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/google-pubsub.json");
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(path).expect("its vectors")).expect("JSON");
    let good = cases
        .iter()
        .find(|case| case["expect"] == "accept" && case["now_unix"] == NOW)
        .expect("one that is right now");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let source = json!({"provider": "google-pubsub", "path": "/g", "settings": {"audience": good["config"]["audience"], "email": good["config"]["email"]},
        "secrets": good["secrets"].as_array().expect("keys").iter().map(|key| json!({"value": key})).collect::<Vec<_>>()});
    let app = App::start();
    let sidecar = Sidecar::before(&app, &format!("sources:\n  google: {source}\n"));
    let body = BASE64.decode(text(&good["body_base64"]).as_bytes()).expect("base64");
    let mut event = Request::post("/g", body);
    for (name, value) in good["headers"].as_object().expect("headers") {
        event = event.header(name, text(value));
    }
    for outcome in ["delivered", "duplicate", "duplicate"] {
        let answer = sidecar.send(&event);
        assert_eq!(answer.outcome(), outcome);
        assert!([200, 201, 202, 204].contains(&answer.status), "{}", answer.status);
    }
    let forged = sidecar.send(&event.replace("Authorization", "Bearer a.b.c"));
    assert_eq!((forged.status, forged.outcome()), (401, "unverified"));
    assert_eq!(app.seen().len(), 1);
}

/// What handshakes leave alone: the events of the same source, whose answers a provider may insist on.
#[test]
fn own_answers_have_the_body_that_a_provider_insists_on() {
    let app = App::start();
    let yaml = "
sources:
  xero: {provider: xero, path: /xero, secrets: [{env: SECRET}]}
  okta: {provider: okta, path: /okta, secrets: [{env: TOKEN}], id: json:/eventId, events: [user.*]}
  adyen: {provider: adyen-payments, path: /adyen, secrets: [{value: 6164796564206b6579206f662074657374}]}
";
    let sidecar = Sidecar::before(&app, yaml);
    let mac = |key: &[u8], text: &[u8]| BASE64.encode(&signed::hmac_sha256(key, &[text]));

    let body = br#"{"events":[{"eventType":"UPDATE"}],"lastEventSequence":1,"entropy":"x"}"#;
    let xero = Request::post("/xero", &body[..]).header("x-xero-signature", mac(signed::SECRET.as_bytes(), body));
    let first = sidecar.send(&xero);
    assert_eq!((first.outcome(), &first.body[..]), ("delivered", &b"from the app"[..]));
    let again = sidecar.send(&xero);
    assert_eq!((again.status, again.outcome(), again.body.len()), (200, "duplicate", 0));
    let forged = sidecar.send(&xero.replace("x-xero-signature", "wrong"));
    assert_eq!(
        (forged.status, forged.outcome(), forged.body.len()),
        (401, "unverified", 0)
    );
    assert_eq!(forged.header("set-cookie"), None);

    let event = |kind: &str| {
        let body = format!(r#"{{"eventId":"{kind}","data":{{"events":[{{"eventType":"{kind}"}}]}}}}"#);
        Request::post("/okta", body).header("Authorization", signed::TOKEN)
    };
    let filtered = sidecar.send(&event("group.create"));
    assert_eq!(
        (filtered.status, filtered.outcome(), filtered.body.len()),
        (200, "filtered", 0)
    );
    assert_eq!(sidecar.send(&event("user.create")).outcome(), "delivered");
    assert_eq!(sidecar.send(&event("user.create")).body.len(), 0);

    let key = HEXLOWER.decode(b"6164796564206b6579206f662074657374").expect("hex");
    let signature = mac(&key, b"p-1::Merchant:order-1:1999:EUR:AUTHORISATION:true");
    let item = json!({"pspReference": "p-1", "merchantAccountCode": "Merchant", "merchantReference": "order-1",
        "amount": {"value": 1999, "currency": "EUR"}, "eventCode": "AUTHORISATION", "success": "true",
        "additionalData": {"hmacSignature": signature}});
    let body = json!({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}).to_string();
    let adyen = Request::post("/adyen", body).header("Content-Type", "application/json");
    assert_eq!(sidecar.send(&adyen).outcome(), "delivered");
    let again = sidecar.send(&adyen);
    assert_eq!(
        (again.status, again.outcome(), &again.body[..]),
        (200, "duplicate", &b"[accepted]"[..])
    );
    assert_eq!(app.seen().len(), 3);
    assert_eq!(NOW, 1_760_000_000, "the signed handshakes are of that time");
}

/// Meta's handshake, through a load balancer that nobody named in `client_ip.trust`.
fn asked_through_a_balancer(client: &str) -> Request {
    let token = signed::TOKEN.replace(' ', "%20");
    Request::get(&format!(
        "/instagram?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=17"
    ))
    .header("X-Forwarded-For", client)
}

#[test]
fn behind_an_unnamed_load_balancer_one_client_keeps_no_other_from_its_handshake() {
    let app = App::start();
    let yaml = "
sources:
  instagram: {provider: instagram, path: /instagram, secrets: [{env: SECRET}], settings: {verify_token: {env: TOKEN}}}
";
    // One client that asks on and on, and a dozen that together spend what all of them share.
    for attackers in [1, 12] {
        let sidecar = Sidecar::before(&app, yaml);
        let mut limited = 0;
        for number in 0..600 {
            let asked = asked_through_a_balancer(&format!("203.0.113.{}", number % attackers));
            limited += usize::from(sidecar.send(&asked).outcome() == "rate_limited");
        }
        assert!(limited > 0, "{attackers}");
        // Addresses that a client writes before the balancer's own do not count.
        let disguised = asked_through_a_balancer("192.0.2.99, 203.0.113.0");
        assert_eq!(sidecar.send(&disguised).outcome(), "rate_limited", "{attackers}");
        let honest = sidecar.send(&asked_through_a_balancer("203.0.113.0, 192.0.2.1"));
        assert_eq!((honest.status, honest.outcome()), (200, "challenge"), "{attackers}");
    }
}
