//! Whatever a preset signs it verifies, in any frames; with one bit changed it does not.

use super::*;
use proptest::prelude::*;

/// Every embedded preset whose signature we can make, with a key and settings.
fn symmetric() -> Vec<(Provider, Keys)> {
    let mut all = Vec::new();
    for name in names() {
        let preset = preset(name).expect("it is in the list");
        let (plan, _) = Plan::compile(preset, &Options::default());
        let settings: Vec<(&str, &str)> = plan
            .settings
            .iter()
            .filter(|name| !matches!(name.as_str(), "header" | "query" | "label" | "tag" | "keyid"))
            .map(|name| (name.as_str(), "a-setting"))
            .collect();
        if preset.algorithm.is_asymmetric() || preset.algorithm == preset::Algorithm::None {
            continue;
        }
        let provider = compiled(preset, &settings);
        let secret = match preset.key {
            preset::KeyRule::Whsec => "whsec_c3RhbmRhcmQtd2ViaG9va3M=",
            preset::KeyRule::Base64 => "c3RhbmRhcmQtd2ViaG9va3M=",
            preset::KeyRule::Hex => "00112233445566778899aabbccddeeff",
            _ if preset.algorithm == preset::Algorithm::Basic => "user:a long password",
            _ => "a secret of the tests",
        };
        let keys = provider.keys(
            &[text("an0therSecretThatSigns0"), text(secret)]
                [usize::from(preset.key != preset::KeyRule::Utf8 || preset.algorithm == preset::Algorithm::Basic)..],
        );
        let keys = keys.unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        all.push((provider, keys));
    }
    all
}

/// A body that the preset can sign as it stands: JSON with what it reads, a form, or any bytes.
fn attempt(provider: &Provider, keys: &Keys, body: &[u8]) -> Option<Attempt> {
    let (content_type, body) = if provider
        .plan
        .templates
        .iter()
        .any(|one| one.has(|piece| matches!(piece, template::Piece::FormSorted | template::Piece::UrlQueryForm)))
    {
        (
            "application/x-www-form-urlencoded",
            format!("a={}&b=2", data_encoding::HEXLOWER.encode(body)).into_bytes(),
        )
    } else if provider
        .preset
        .timestamp
        .as_ref()
        .is_some_and(|time| time.from.starts_with("json:"))
    {
        (
            "application/json",
            format!(
                r#"{{"webhookTimestamp":{NOW}000,"x":"{}"}}"#,
                data_encoding::HEXLOWER.encode(body)
            )
            .into_bytes(),
        )
    } else {
        ("application/json", body.to_vec())
    };
    let body = Bytes::from(body);
    let unsigned = Unsigned {
        method: &http::Method::POST,
        target: "/hooks/a?x=%20",
        content_type: Some(content_type),
        body: &body,
        id: None,
        event: Some("an.event"),
        at: Timestamp::from_secs(NOW),
    };
    // Those whose signature stands in the body cannot be signed from outside.
    let headers = provider.sign(&unsigned, keys).ok()?;
    let kind = (http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Some(Attempt {
        method: http::Method::POST,
        target: "/hooks/a?x=%20".to_owned(),
        headers: std::iter::once(kind).chain(headers).collect(),
        body,
    })
}

fn is_right(verdict: &Result<Finding, Refusal>) -> bool {
    matches!(verdict, Ok(_) | Err(Refusal::Malformed(_)))
}

#[test]
fn every_symmetric_preset_verifies_what_it_signs() {
    let all = symmetric();
    let mut signed = 0;
    for (provider, keys) in &all {
        for body in [
            &b""[..],
            b"{}",
            "{\"a\":\"é\u{1f40e}\"}".as_bytes(),
            b"{\r\n}\r\n",
            b"\0\xff\0",
            &vec![b'x'; 256 << 10],
        ] {
            let Some(attempt) = attempt(provider, keys, body) else {
                continue;
            };
            signed += 1;
            let verdict = attempt.judged(provider, keys);
            assert!(is_right(&verdict), "{}: {verdict:?}", provider.facts().name);
            if provider.facts().covers == preset::Covers::Body {
                let changed = [&attempt.body[..], b"\n"].concat();
                if provider
                    .plan
                    .templates
                    .iter()
                    .all(|one| !one.has(|piece| matches!(piece, template::Piece::FormSorted)))
                {
                    assert!(
                        attempt.clone().with_body(&changed).judged(provider, keys).is_err(),
                        "{}",
                        provider.facts().name
                    );
                }
            }
        }
    }
    assert!(
        signed > 6 * 60,
        "only {signed} bodies of {} presets were signed",
        all.len()
    );
}

#[test]
fn samples_verify_and_are_the_events_they_say() {
    let (mut own, mut made_up) = (0, 0);
    for (provider, keys) in symmetric() {
        let name = provider.facts().name.clone();
        let events: Vec<Option<&str>> = provider
            .sample_events()
            .map(Some)
            .chain([None, Some("thing.made-up")])
            .collect();
        for event in events {
            let fresh = Fresh::at(Timestamp::from_secs(NOW));
            let mut sample = provider.sample(event, fresh);
            let inside = provider.sign_inside(&sample.body, &keys).expect("it is JSON");
            let is_inside = inside.is_some();
            sample.body = inside.unwrap_or(sample.body);
            let method = provider.facts().methods.first().cloned().expect("a method");
            let unsigned = Unsigned {
                method: &method,
                target: "/hooks/a",
                content_type: Some(&sample.content_type),
                body: &sample.body,
                id: None,
                event: Some(&sample.event),
                at: Timestamp::from_secs(NOW),
            };
            let signed = if is_inside {
                provider.described(&unsigned)
            } else {
                provider.sign(&unsigned, &keys)
            };
            let headers = match signed {
                Ok(headers) => headers,
                Err(error) => {
                    // The query is the target's; a form's signature has the public key in it.
                    assert!(["azure-eventgrid", "braintree"].contains(&&*name), "{name}: {error}");
                    continue;
                }
            };
            let attempt = Attempt {
                method,
                target: "/hooks/a".to_owned(),
                headers,
                body: sample.body.clone(),
            }
            .set("content-type", &sample.content_type);
            let evidence = attempt.evidence(&provider, &keys);
            if !provider.plan.event.is_empty() {
                let last = evidence.events.last().unwrap_or_else(|| panic!("{name} has an event"));
                assert_eq!(last.as_str(), sample.event, "{name}");
            }
            assert_eq!(evidence.id.is_some(), !provider.plan.id.is_empty(), "{name}");
            if sample.content_type == "application/json" {
                serde_json::from_slice::<serde_json::Value>(&sample.body).expect("a sample is JSON");
            }
            // The next one is another event.
            let next = provider.sample(
                event,
                Fresh {
                    nonce: [9; 16],
                    ..fresh
                },
            );
            assert!(next.body != sample.body, "{name}: {event:?}");
            *(if sample.known { &mut own } else { &mut made_up }) += 1;
        }
    }
    assert!(
        own >= 40 && made_up >= 120,
        "{own} samples of presets, {made_up} made up"
    );
}

/// Found by fuzzing: it signed a body that the signature does not cover, which the verifier refuses.
#[test]
fn a_scheme_of_forms_signs_no_other_body() {
    let provider = named("plivo-v3");
    let keys = provider.keys(&[text("a secret of the tests")]).expect("keys");
    let sign = |content_type, body: &'static [u8]| {
        let body = Bytes::from_static(body);
        let unsigned = Unsigned {
            method: &http::Method::POST,
            target: "/a?b=c",
            content_type: Some(content_type),
            body: &body,
            id: None,
            event: None,
            at: Timestamp::from_secs(NOW),
        };
        provider.sign(&unsigned, &keys)
    };
    assert!(sign("application/json", b"{}").is_err());
    assert!(sign("application/json", b"").is_ok());
    assert!(sign("application/x-www-form-urlencoded", b"a=b").is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flipped_bit_is_refused(
        body in prop_oneof![proptest::collection::vec(any::<u8>(), 1..200), "\\PC{1,60}".prop_map(String::into_bytes)],
        bit in 0usize..8,
        place in any::<prop::sample::Index>(),
        which in any::<prop::sample::Index>(),
    ) {
        let all = ["github", "stripe", "slack", "shopify", "standard-webhooks", "svix", "square", "twitch", "zendesk", "contentful", "hook0", "coinbase-cdp", "http-message-signatures"];
        let provider = named(all[which.index(all.len())]);
        let keys = provider.keys(&[text("whsec_c3RhbmRhcmQtd2ViaG9va3M=")]).expect("keys");
        let good = attempt(&provider, &keys, &body).expect("signed");
        prop_assert!(is_right(&good.judged(&provider, &keys)));

        let mut changed = good.body.to_vec();
        let at = place.index(changed.len());
        changed[at] ^= 1 << bit;
        let verdict = good.clone().with_body(&changed).judged(&provider, &keys);
        prop_assert!(matches!(verdict, Err(Refusal::Unverified(_))), "body: {:?}", verdict);

        // Signature, time and signed id: every header that the preset verifies with.
        let plan = &provider.plan;
        let unsigned = plan.id.iter().filter(|id| !id.signed).map(|id| &id.field).chain(&plan.event).filter_map(field::Field::header).cloned().collect::<Vec<_>>();
        for (name, value) in &good.headers {
            if *name == http::header::CONTENT_TYPE || unsigned.contains(name) {
                continue;
            }
            let mut bytes = value.as_bytes().to_vec();
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { continue };
            // A blank beside a separator is allowed by the scheme.
            if bytes[at] == b' ' { continue }
            let mut forged = good.clone().without(name.as_str());
            forged.headers.push((name.clone(), value));
            let verdict = forged.judged(&provider, &keys);
            prop_assert!(matches!(verdict, Err(Refusal::Unverified(_))), "{}: {:?}", name, verdict);
        }
    }

    #[test]
    fn a_changed_form_is_refused(fields in proptest::collection::vec(("[a-z]{1,4}", "[a-zA-Z0-9 +é]{0,6}"), 1..6), place in any::<prop::sample::Index>()) {
        let form = |fields: &[(String, String)]| {
            let pairs = fields.iter().map(|(name, value)| format!("{name}={}", value.replace('+', "%2B").replace(' ', "+")));
            Bytes::from(pairs.collect::<Vec<_>>().join("&"))
        };
        let provider = named("twilio");
        let keys = provider.keys(&[text("a secret of the tests")]).expect("keys");
        let kind = "application/x-www-form-urlencoded";
        let body = form(&fields);
        let unsigned = Unsigned { method: &http::Method::POST, target: "/a", content_type: Some(kind), body: &body, id: None, event: None, at: Timestamp::from_secs(NOW) };
        let headers = provider.sign(&unsigned, &keys).expect("signed");
        let good = Attempt { method: http::Method::POST, target: "/a".to_owned(), headers, body }.add("content-type", kind);
        prop_assert!(good.judged(&provider, &keys).is_ok());
        let mut changed = fields.clone();
        changed[place.index(fields.len())].1.push('Q');
        prop_assert!(good.clone().with_body(&form(&changed)).judged(&provider, &keys).is_err());
        prop_assert!(good.clone().set("content-type", "application/json").judged(&provider, &keys).is_err());
    }

    #[test]
    fn hostile_requests_never_panic(
        which in any::<prop::sample::Index>(),
        header in "[ -~\\x80-\\xff]{0,60}",
        body in proptest::collection::vec(any::<u8>(), 0..120),
        target in "/([a-z?&=%+0-9]{0,20}|[?](challenge|crc_token|bt_challenge|validationToken|hub[.]mode=subscribe&hub[.]challenge)=[a-z%<0-9]{0,20})",
        method in prop::sample::select(vec![http::Method::POST, http::Method::GET, http::Method::HEAD, http::Method::OPTIONS]),
    ) {
        let all: Vec<&str> = names().collect();
        let preset = preset(all[which.index(all.len())]).expect("a preset");
        let settings: Vec<(&str, &str)> = ["public_key", "audience", "email", "verify_token", "webhook_id", "topic_arn"].iter().filter(|name| Plan::compile(preset, &Options::default()).0.settings.contains(**name)).map(|name| (*name, "x")).collect();
        let provider = compiled(preset, &settings);
        let keys = if preset.algorithm.is_asymmetric() { provider.keys(&[]) } else { provider.keys(&[text("whsec_c3RhbmRhcmQtd2ViaG9va3M=")]) };
        let Ok(keys) = keys else { return Ok(()) };
        let Ok(uri) = target.parse::<http::Uri>() else { return Ok(()) };
        let mut attempt = Attempt { method, target: uri.to_string(), headers: Vec::new(), body: body.into() };
        let asked = ["x-okta-verification-challenge", "webhook-request-origin", "webhook-request-rate", "aeg-event-type"];
        for name in provider.facts().read_headers.iter().cloned().chain(asked.map(HeaderName::from_static)) {
            if let Ok(value) = HeaderValue::from_bytes(header.as_bytes()) {
                attempt.headers.push((name, value));
            }
        }
        let verdict = attempt.judged(&provider, &keys);
        prop_assert!(!matches!(verdict, Ok(Finding::Authentic(_))) || preset.algorithm == preset::Algorithm::None);
    }
}
