//! The page of all providers, `config/providers/README.md`: written from the presets, and stale if it is not what they say.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    reason = "a test reads its files and one variable"
)]

use hookward::provider::{
    self, Listing,
    preset::{Auth, ChallengeRule, Covers},
};
use std::{fs, path::Path, time::Duration};

const INTRODUCTION: &str = "# Providers

Every file here is one provider: how it signs, and what is known of it. A source names it: `provider: NAME`.
`hookward providers NAME` prints all of a file's facts and how to set the provider up. A new provider is one file here and
one of vectors in `tests/vectors/`.

- **signs with**: the algorithm; `token`, `basic` and JWTs over nothing prove who sends, not what is sent. *Fetched*: the
  sidecar fetches the public key from the provider and keeps it, unless the source pins one.
- **covers**: how much of the body the signature covers. Where it is less than the body, whoever holds one request may
  change the rest: keep the path secret, and do not trust the other fields.
- **signed time**: how old a request may be; `-`: none is signed, so only the replay ledger tells a repeated request.
- **retries**: does the provider try again by itself, and is each attempt freshly signed?
- **kept**: how long a delivery is remembered when the source says nothing else.
- **answer within**: how long the provider waits.
- **handshake**: what is answered without the app, and what proves who asks.
- **proof**: what the vectors of this preset come from.
- **unchecked**: what nobody has held against the provider's own documentation yet.

This table is generated: `HOOKWARD_BLESS=1 cargo test --test providers`.

";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let columns = [
        "provider",
        "name",
        "signs with",
        "covers",
        "signed time",
        "retries",
        "kept",
        "answer within",
        "handshake",
        "proof",
        "unchecked",
    ];
    line(&mut page, &columns.map(str::to_owned));
    line(&mut page, &columns.map(|_| "---".to_owned()));
    for listing in provider::listings() {
        line(&mut page, &row(&listing));
    }
    page
}

fn line(page: &mut String, cells: &[String]) {
    for cell in cells {
        page.push_str("| ");
        page.push_str(&cell.replace('|', "\\|"));
        page.push(' ');
    }
    page.push_str("|\n");
}

fn row(one: &Listing) -> [String; 11] {
    let alias = provider::alias_of(&one.name);
    let preset = provider::preset(&one.name).expect("it is listed");
    let unchecked = |fact: &str| one.unverified.iter().any(|name| name == fact);
    let doubt = if unchecked("retries") { " ?" } else { "" };
    [
        if one.docs.is_empty() {
            one.title.clone()
        } else {
            format!("[{}]({})", one.title, one.docs)
        },
        format!("[`{0}`]({0}.yaml)", one.name),
        if one.fetches_keys {
            format!("{}, fetched", one.scheme)
        } else {
            one.scheme.to_owned()
        },
        match one.covers {
            Covers::Nothing => "sender only",
            Covers::Fields => "some fields",
            Covers::Body => "body",
        }
        .to_owned(),
        match (&one.timestamp, one.tolerance_seconds) {
            (Some(_), Some(seconds)) => span(seconds),
            _ => "-".to_owned(),
        },
        match (one.retries, one.resigns) {
            (false, _) => "by hand".to_owned(),
            (true, true) => format!("automatic, re-signed{doubt}"),
            (true, false) => format!("automatic{doubt}"),
        },
        one.keep_seconds.map_or_else(|| "default".to_owned(), span),
        one.deadline_ms
            .map_or_else(|| "?".to_owned(), |ms| format!("{} s{doubt}", ms / 1000)),
        preset.challenge.iter().map(handshake).collect::<Vec<_>>().join("; "),
        alias.map_or_else(|| one.proof.clone(), |meant| format!("same as `{meant}`")),
        one.unverified.join(", "),
    ]
}

fn handshake(rule: &ChallengeRule) -> String {
    let method = rule.method.as_deref().unwrap_or("POST");
    let proof = match rule.auth {
        Auth::Signature => "signed",
        Auth::VerifyToken => "`verify_token`",
        Auth::None => "open",
    };
    format!("{method}, {proof}")
}

fn span(seconds: u64) -> String {
    let span = Duration::from_secs(seconds);
    match span.as_secs() {
        days if days % 86400 == 0 => format!("{} d", days / 86400),
        hours if hours % 3600 == 0 => format!("{} h", hours / 3600),
        minutes if minutes % 60 == 0 => format!("{} min", minutes / 60),
        seconds => format!("{seconds} s"),
    }
}

#[test]
fn the_page_of_providers_says_what_the_presets_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/providers/README.md");
    let page = page();
    assert!(page.lines().filter(|line| line.starts_with("| ")).count() > 100);
    if std::env::var_os("HOOKWARD_BLESS").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "config/providers/README.md is stale: run HOOKWARD_BLESS=1 cargo test --test providers"
    );
}

/// A table is only as good as its cells: every preset has its own row, and no cell breaks it.
#[test]
fn every_preset_has_a_row_of_eleven_cells() {
    let page = page();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert_eq!(rows.len(), provider::names().count());
    for (row, name) in rows.iter().zip(provider::names()) {
        assert!(row.contains(&format!("[`{name}`]({name}.yaml)")), "{row}");
        assert_eq!(row.replace("\\|", "").matches('|').count(), 12, "{row}");
        assert!(!row.contains("|  |  |  |"), "{row}");
    }
}

/// Facts whose names `unverified` may hold.
const FACTS: [&str; 14] = [
    "docs",
    "setup",
    "signature",
    "id",
    "event",
    "max_body",
    "tolerance",
    "timestamp.tolerance",
    "retries",
    "retries.keep",
    "retries.deadline",
    "retries.resigns",
    "retries.automatic",
    "covers",
];

/// Whoever looks a provider up learns everything, or that nobody knows it.
#[test]
fn every_preset_says_what_is_known_and_what_is_not() {
    let mut wrong = Vec::new();
    for one in provider::listings() {
        let preset = provider::preset(&one.name).expect("it is listed");
        let name = one.name.as_str();
        // They are of no provider.
        let own = ["none", "token"].contains(&name);
        let doubted = |fact: &str| {
            let group = fact.split('.').next().unwrap_or(fact);
            one.unverified.iter().any(|known| known == fact || known == group)
        };
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{name}: {what}"));
            }
        };
        must(one.setup.len() >= 40, "its setup is no instruction");
        let says = ["secret", "key", "token", "password", "certificate", "passcode"];
        must(
            name == "none" || says.iter().any(|word| one.setup.to_lowercase().contains(word)),
            "its setup does not say what the secret is",
        );
        must(own || one.docs.starts_with("https://"), "no page of its documentation");
        must(!one.proof.is_empty(), "nobody says how its signature is proven");
        must(
            own || one.keep_seconds.is_some() || doubted("retries.keep"),
            "`keep` is not doubted",
        );
        must(
            own || one.deadline_ms.is_some() || doubted("retries.deadline"),
            "`deadline` is not doubted",
        );
        must(
            one.max_body.is_none_or(|bytes| bytes >= 1 << 20),
            "a body limit below the default",
        );
        must(
            one.id.is_empty() || !one.id_signed || one.covers != Covers::Nothing,
            "a signed id of nothing",
        );
        must(
            one.event.is_empty() || !one.event_signed || one.covers != Covers::Nothing,
            "a signed event of nothing",
        );
        // What a signature over the whole body covers is signed, and said to be.
        let in_body = |places: &[String]| !places.is_empty() && places.iter().all(|place| place.starts_with("json:"));
        must(
            one.covers != Covers::Body || !in_body(&one.id) || one.id_signed,
            "a signed id is not said to be",
        );
        must(
            one.covers != Covers::Body || !in_body(&one.event) || one.event_signed,
            "a signed event is not said to be",
        );
        for fact in &one.unverified {
            must(FACTS.contains(&fact.as_str()), &format!("`{fact}` is no fact"));
        }
        must(
            preset.challenge.is_empty() || one.handshake,
            "a handshake that is not listed",
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Trello's id stands in the body, which is signed.
#[test]
fn ids_of_the_catalogue_are_the_presets() {
    for (name, id) in [
        ("trello", "json:/action/id"),
        ("workos", "json:/id"),
        ("circleci", "json:/id"),
        ("coinbase-commerce", "json:/event/id"),
        ("intercom", "json:/id"),
        ("easypost", "json:/id"),
        ("typeform", "json:/event_id"),
        ("vercel", "json:/id"),
        ("segment", "json:/messageId"),
        ("pagerduty", "json:/event/id"),
        ("mux", "json:/id"),
        ("square", "json:/event_id"),
        ("paddle", "json:/event_id"),
    ] {
        let listing = provider::preset(name).expect("a preset").listing();
        assert_eq!(listing.id, [id], "{name}");
        assert!(listing.id_signed, "{name}");
    }
}
