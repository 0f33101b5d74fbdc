//! What a valid file means: built-in values, precedence, secrets, exit codes, the schema.

use crate::{
    machine::{CANARIES, machine},
    presets::presets,
};
use hookward::{
    config::{self, Fixed, Loaded, Settings, settings::SourceSettings},
    event::{DestinationName, PathRule},
    limit::{LimitSpec, Per, Rate},
    provider::{Tolerance, Window},
    replay::{Duplicates, OnOutage, ReplayPolicy},
    store::{Place, Server},
    upstream::TargetRule,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn loaded(text: &str) -> Loaded {
    config::load_with(Path::new("hookward.yaml"), &machine(text), &*presets())
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn settings(text: &str) -> Settings {
    loaded(text).settings
}

/// A file with these sources in flow style.
fn with_sources(top: &str, sources: &[&str]) -> String {
    format!(
        "version: 1\nupstream: http://127.0.0.1:3000\n{top}sources:\n  {}\n",
        sources.join("\n  ")
    )
}

fn source<'s>(settings: &'s Settings, name: &str) -> &'s SourceSettings {
    settings
        .sources
        .iter()
        .find(|source| source.name.as_str() == name)
        .expect("the source")
}

const STRIPE: &str = "stripe: {provider: stripe, path: /stripe, secrets: [{env: STRIPE_SECRET}]";
const GITHUB: &str = "github: {provider: github, path: /github, secrets: [{env: GITHUB_WEBHOOK_SECRET}]";
const TOKEN: &str = "cron: {provider: token, path: /cron, secrets: [{env: CRON_TOKEN}]";

#[test]
fn the_smallest_file_has_the_built_in_values() {
    let settings = settings(&with_sources("", &[&format!("{STRIPE}}}")]));
    assert_eq!(settings.listen.address.to_string(), "0.0.0.0:9480");
    assert_eq!(settings.health.to_string(), "0.0.0.0:9481");
    assert_eq!(settings.admin.address.to_string(), "127.0.0.1:9482");
    assert!(settings.redis.is_none() && settings.hosts.is_empty());
    assert!(settings.client_ip.trust.is_empty() && !settings.client_ip.direct);
    assert_eq!(settings.client_ip.header, "x-forwarded-for");
    let limits = &settings.limits;
    assert_eq!(
        (limits.connections, limits.in_flight, limits.buffered_bytes),
        (10_000, 1024, 64 << 20)
    );
    assert_eq!(
        (limits.header_timeout, limits.body_timeout, limits.shutdown_grace),
        (5 * SECOND, 10 * SECOND, 15 * SECOND)
    );
    assert_eq!((limits.ledger_entries.get(), limits.workers.get()), (65_536, 3));
    let penalty = limits.failed_verifications.expect("it is on");
    assert_eq!(
        (penalty.rate, penalty.burst),
        (
            Rate {
                count: 30,
                per: 60 * SECOND
            },
            30
        )
    );
    let stripe = source(&settings, "stripe");
    assert_eq!(stripe.paths, [PathRule::Exact("/stripe".to_owned())]);
    assert_eq!((stripe.max_body, stripe.on_outage), (1 << 20, OnOutage::Local));
    assert_eq!(
        stripe.replay,
        Some(ReplayPolicy {
            keep: 72 * HOUR,
            duplicates: Duplicates::Acknowledge
        })
    );
    let limit = stripe.rate_limit.clone().expect("it is on");
    assert_eq!(
        (limit.per, limit.rate, limit.burst),
        (
            Per::Source,
            Rate {
                count: 200,
                per: SECOND
            },
            1000
        )
    );
    assert_eq!(stripe.secrets[0].label, "0");
    let [route] = stripe.to.as_slice() else {
        panic!("one route")
    };
    assert!(route.required && route.events.is_empty());
    let upstream = &route.destination;
    assert_eq!(
        (upstream.name.clone(), upstream.timeout, upstream.connect_wait),
        (DestinationName::upstream(), 10 * SECOND, 3 * SECOND)
    );
    assert!(upstream.forward_credentials && !upstream.sign_unverified);
    assert_eq!(upstream.url.target, TargetRule::Append { prefix: String::new() });
}

#[test]
fn a_source_that_verifies_nothing_has_a_smaller_burst_where_none_is_configured() {
    let none = |more: &str| format!("open: {{provider: none, path: /open, allow_unverified: true{more}}}");
    for (defaults, own, burst) in [
        ("", "", 200),
        ("defaults: {rate_limit: {status: 503}}\n", "", 200),
        ("defaults: {rate_limit: {burst: 900}}\n", "", 900),
        ("defaults: {rate_limit: {rate: 50/s}}\n", "", 50),
        ("", ", rate_limit: {per: client}", 200),
        ("", ", rate_limit: {burst: 700}", 700),
    ] {
        let settings = settings(&with_sources(defaults, &[&none(own)]));
        let limit = source(&settings, "open").rate_limit.clone().expect("it is on");
        assert_eq!(limit.burst, burst, "{defaults}{own}");
    }
}

#[test]
fn a_source_goes_before_its_preset_before_the_defaults_before_the_built_in_values() {
    let top = "defaults: {max_body: 2MiB, replay: {keep: 48h, duplicates: reject}, timeout: 4s, tolerance: 7m}\n";
    let text = with_sources(
        top,
        &[
            &format!("{GITHUB}}}"),
            &format!("{STRIPE}, max_body: 3MiB, tolerance: {{past: 9m, future: 1m}}, replay: {{keep: 30h}}}}"),
            "slack: {provider: square, path: /sq, public_url: \"https://h/\", secrets: [{env: SLACK_SIGNING_SECRET}]}",
            &format!("{TOKEN}, replay: {{duplicates: forward}}}}"),
        ],
    );
    let settings = settings(&text);
    let github = source(&settings, "github");
    assert_eq!(github.max_body, 25 << 20, "the preset's");
    assert_eq!(github.replay.expect("on").keep, 168 * HOUR, "the preset's");
    assert_eq!(
        github.replay.expect("on").duplicates,
        Duplicates::Reject,
        "the defaults'"
    );
    let stripe = source(&settings, "stripe");
    assert_eq!(
        (stripe.max_body, stripe.replay.expect("on").keep),
        (3 << 20, 30 * HOUR),
        "its own"
    );
    let window = Tolerance {
        past: 540 * SECOND,
        future: 60 * SECOND,
    };
    assert_eq!(stripe.options.tolerance, Some(Window::Within(window)));
    let both = Tolerance {
        past: 420 * SECOND,
        future: 420 * SECOND,
    };
    assert_eq!(stripe.options.default_tolerance, Some(Window::Within(both)));
    assert_eq!(source(&settings, "slack").max_body, 2 << 20, "the defaults'");
    assert_eq!(
        source(&settings, "slack").options.public_url.as_deref(),
        Some("https://h")
    );
    let cron = source(&settings, "cron").replay.expect("said so");
    assert_eq!((cron.keep, cron.duplicates), (48 * HOUR, Duplicates::Forward));
    assert_eq!(settings.destinations[0].timeout, 4 * SECOND);
}

#[test]
fn a_bare_token_has_a_ledger_only_when_it_says_so() {
    let text = |cron: &str, top: &str| with_sources(top, &[&format!("{TOKEN}{cron}}}"), &format!("{GITHUB}}}")]);
    for (cron, top, expected) in [
        ("", "", (false, true)),
        (", id: \"header:X-Id\"", "", (true, true)),
        (", id: {from: [\"json:/a\", \"header:X-Id\"]}", "", (true, true)),
        (", replay: {}", "", (true, true)),
        (", replay: off", "", (false, true)),
        ("", "defaults: {replay: off}\n", (false, false)),
        ("", "defaults: {replay: {keep: 2h}}\n", (false, true)),
    ] {
        let settings = settings(&text(cron, top));
        let found = (
            source(&settings, "cron").replay.is_some(),
            source(&settings, "github").replay.is_some(),
        );
        assert_eq!(found, expected, "{cron} {top}");
    }
}

#[test]
fn one_shape_of_id_and_event_gives_a_list_of_places() {
    let text = with_sources(
        "",
        &[&format!(
            "{TOKEN}, id: \"header:X\", event: {{from: [\"json:/a\", \"header:Y\"], signed: false}}}}"
        )],
    );
    let settings = settings(&text);
    let options = &source(&settings, "cron").options;
    assert_eq!(options.id.as_deref(), Some(&["header:X".to_owned()][..]));
    assert_eq!(
        options.event.as_deref(),
        Some(&["json:/a".to_owned(), "header:Y".to_owned()][..])
    );
}

#[test]
fn a_rate_limit_falls_back_part_by_part_and_a_new_rate_has_a_burst_of_its_own() {
    let of = |limit: &str, top: &str| {
        let settings = settings(&with_sources(top, &[&format!("{STRIPE}{limit}}}")]));
        source(&settings, "stripe").rate_limit.clone()
    };
    let parts = |limit: Option<LimitSpec>| {
        limit.map(|limit| (limit.per, limit.rate.count, limit.burst, limit.unavailable_status))
    };
    assert_eq!(parts(of(", rate_limit: off", "")), None);
    assert_eq!(
        parts(of(", rate_limit: {rate: 5/s}", "")),
        Some((Per::Source, 5, 5, false))
    );
    assert_eq!(
        parts(of(", rate_limit: {rate: 5/s, burst: 9}", "")),
        Some((Per::Source, 5, 9, false))
    );
    assert_eq!(
        parts(of(", rate_limit: {per: client}", "")),
        Some((Per::Client, 200, 1000, false))
    );
    assert_eq!(
        parts(of(", rate_limit: {per: {json: /account}, status: 503}", "")),
        Some((Per::Json("/account".to_owned()), 200, 1000, true))
    );
    let top = "defaults: {rate_limit: {rate: 7/m, burst: 3}}\n";
    assert_eq!(parts(of("", top)), Some((Per::Source, 7, 3, false)));
    let header = Per::Header(http::HeaderName::from_static("x-shop"));
    assert_eq!(
        parts(of(", rate_limit: {per: {header: X-Shop}}", top)),
        Some((header, 7, 3, false))
    );
    assert_eq!(parts(of("", "defaults: {rate_limit: off}\n")), None);
}

#[test]
fn a_destination_keeps_every_key_and_upstream_has_the_same_in_its_long_form() {
    let text = "\
version: 1
upstream: {url: \"http://app:8080/base\", timeout: 2s, connect_wait: 0s, headers: {X-A: b}, map_status: {404: 503}}
sources:
  a: {provider: stripe, path: /a, secrets: [{env: STRIPE_SECRET}], to: [upstream, {destination: b, events: [x], required: false}]}
destinations:
  b: {url: \"http://[::1]:81/in?k=v\", forward_credentials: true, sign: {secret: {file: /run/secrets/analytics}}, sign_unverified: true}
";
    let settings = settings(text);
    let [upstream, b] = settings.destinations.as_slice() else {
        panic!("two destinations")
    };
    assert_eq!((upstream.timeout, upstream.connect_wait), (2 * SECOND, Duration::ZERO));
    assert_eq!(
        upstream.url.target,
        TargetRule::Append {
            prefix: "/base".to_owned()
        }
    );
    assert_eq!(
        (upstream.headers[0].0.as_str(), upstream.map_status[&404].as_u16()),
        ("x-a", 503)
    );
    assert_eq!(
        b.url.target,
        TargetRule::Fixed {
            path: "/in".to_owned(),
            query: Some("k=v".to_owned())
        }
    );
    assert_eq!(
        (b.url.host.as_str(), b.url.port, b.url.authority.as_bytes()),
        ("::1", 81, &b"[::1]:81"[..])
    );
    assert!(b.forward_credentials && b.sign_unverified);
    assert_eq!(b.sign.as_ref().expect("a key").expose(), b"analytics-secret-bytes");
    assert_eq!(
        settings.sources[0]
            .to
            .iter()
            .map(|route| route.required)
            .collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn a_missing_secret_makes_one_source_unavailable_where_that_is_allowed() {
    let missing = "{provider: stripe, path: /later, secrets: [{file: /run/secrets/nowhere}]";
    let own = with_sources(
        "",
        &[
            &format!("later: {missing}, on_missing_secret: unavailable}}"),
            &format!("{GITHUB}}}"),
        ],
    );
    let by_default = with_sources(
        "defaults: {on_missing_secret: unavailable}\n",
        &[&format!("later: {missing}}}"), &format!("{GITHUB}}}")],
    );
    for text in [own, by_default] {
        let settings = settings(&text);
        let later = source(&settings, "later");
        assert_eq!(
            later.unavailable.as_deref(),
            Some("the secret file `/run/secrets/nowhere` does not exist")
        );
        assert!(later.secrets.is_empty());
        assert!(source(&settings, "github").unavailable.is_none());
        assert!(
            settings.files.contains(&PathBuf::from("/run/secrets/nowhere")),
            "it is watched for"
        );
    }
    let wins = with_sources(
        "defaults: {on_missing_secret: unavailable}\n",
        &[&format!("later: {missing}, on_missing_secret: fail}}")],
    );
    let errors = config::load_with(Path::new("hookward.yaml"), &machine(&wins), &*presets())
        .err()
        .expect("the source's word goes first");
    assert_eq!(errors.exit_code(), 77);
}

#[test]
fn a_shorthand_means_its_long_form() {
    let sources = [
        &*format!("{STRIPE}, to: [billing], rate_limit: 100/s}}"),
        &format!("{GITHUB}}}"),
    ];
    let short = "redis: redis://127.0.0.1:7000/3\ndestinations: {billing: \"http://127.0.0.1:9/in?a=b\"}\ndefaults: {rate_limit: 30/m}\n";
    let long = "redis: {url: \"redis://127.0.0.1:7000/3\"}\ndestinations: {billing: {url: \"http://127.0.0.1:9/in?a=b\"}}\ndefaults: {rate_limit: {rate: 30/m, burst: 150}}\n";
    let short = settings(&with_sources(short, &sources));
    let sources = [
        &*format!("{STRIPE}, to: [billing], rate_limit: {{rate: 100/s, burst: 500}}}}"),
        &format!("{GITHUB}}}"),
    ];
    let long = settings(&with_sources(long, &sources));
    assert!(short.redis == long.redis && short.redis.is_some());
    for name in ["stripe", "github"] {
        let (short, long) = (source(&short, name), source(&long, name));
        assert!(
            short.rate_limit == long.rate_limit && short.rate_limit.is_some(),
            "{name}"
        );
        assert!(
            short
                .to
                .iter()
                .map(|route| &route.destination.url)
                .eq(long.to.iter().map(|route| &route.destination.url))
        );
    }
    for (bad, hint) in [
        ("redis: 127.0.0.1:6379\n", "redis://"),
        ("destinations: {billing: billing}\n", "http://"),
        ("defaults: {rate_limit: fast}\n", "200/s"),
    ] {
        let text = with_sources(bad, &[&format!("{STRIPE}}}")]);
        let errors = config::load_with(Path::new("hookward.yaml"), &machine(&text), &*presets())
            .err()
            .expect("errors");
        let text = errors.render(false);
        assert!(!text.contains("must be a mapping") && text.contains(hint), "{text}");
    }
}

#[test]
fn a_source_of_which_one_secret_is_missing_has_the_others() {
    let text = with_sources(
        "defaults: {on_missing_secret: unavailable}\n",
        &["a: {provider: slack, path: /a, secrets: [{file: /run/secrets/nowhere}, {file: /run/secrets/newline}]}"],
    );
    let loaded = loaded(&text);
    let a = source(&loaded.settings, "a");
    assert_eq!((a.unavailable.as_deref(), a.secrets.len()), (None, 1));
    assert_eq!(a.missing, ["the secret file `/run/secrets/nowhere` does not exist"]);
    assert_eq!(a.secrets[0].label, "1", "the place in the list");
    let warning = loaded
        .warnings
        .problems()
        .iter()
        .find(|one| one.message.contains("nowhere"));
    let warning = &warning.expect("a warning").message;
    assert!(
        warning.ends_with("source `a` serves with its other secrets until it can be read"),
        "{warning}"
    );
    // A setting is not one of several: the source cannot serve without it.
    let text = with_sources(
        "defaults: {on_missing_secret: unavailable}\n",
        &[
            "meta: {provider: meta, path: /m, secrets: [{env: STRIPE_SECRET}], settings: {verify_token: {file: /run/secrets/nowhere}}}",
        ],
    );
    assert!(source(&settings(&text), "meta").unavailable.is_some());
}

#[test]
fn one_trailing_newline_of_a_secret_file_is_stripped_and_noted() {
    let file = "a: {provider: slack, path: /a, secrets: [{file: /run/secrets/newline, id: main, not_after: 2027-01-31, allow_short: true}]}";
    let loaded = loaded(&with_sources("", &[file]));
    let secret = &source(&loaded.settings, "a").secrets[0];
    assert_eq!(secret.text.secret.expose(), b"a-secret-before-a-newline");
    assert_eq!(
        (secret.label.as_str(), secret.not_after, secret.text.allow_short),
        ("main", Some(1_801_353_600), true)
    );
    assert_eq!(loaded.notes.problems().len(), 1);
}

#[test]
fn memory_and_cpus_are_what_the_cgroup_grants() {
    let text = with_sources("", &[&format!("{STRIPE}}}")]);
    for (limit, expected) in [
        ("134217728\n", 32 << 20),
        ("max\n", 64 << 20),
        ("8589934592\n", 64 << 20),
    ] {
        let mut machine = machine(&text);
        machine
            .files
            .insert(PathBuf::from("/sys/fs/cgroup/memory.max"), limit.as_bytes().to_vec());
        let loaded = config::load_with(Path::new("hookward.yaml"), &machine, &*presets())
            .unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(loaded.settings.limits.buffered_bytes, expected, "{limit}");
    }
    let text = with_sources(
        "limits: {buffered_bytes: 5MiB, workers: 7, failed_verifications: off}\n",
        &[&format!("{STRIPE}}}")],
    );
    let limits = settings(&text).limits;
    assert_eq!(
        (limits.buffered_bytes, limits.workers.get(), limits.failed_verifications),
        (5 << 20, 7, None)
    );
}

#[test]
fn the_longest_answer_has_to_fit_beside_the_bodies() {
    let limits = |text: &str| settings(&with_sources(text, &[&format!("{STRIPE}}}")])).limits;
    assert_eq!(limits("").answer_bytes, 1 << 20);
    assert_eq!(limits("limits: {answer_bytes: 64KiB}\n").answer_bytes, 64 << 10);
    for (text, warned) in [
        ("limits: {answer_bytes: 3MiB, buffered_bytes: 6MiB}\n", false),
        ("limits: {answer_bytes: 3MiB, buffered_bytes: 5MiB}\n", true),
        ("limits: {buffered_bytes: 1MiB}\n", false),
    ] {
        let text = with_sources(text, &[&format!("{STRIPE}}}")]);
        let loaded = config::load_with(Path::new("hookward.yaml"), &machine(&text), &*presets())
            .unwrap_or_else(|errors| panic!("{errors}"));
        let notes = loaded.warnings.render(false);
        let told = notes.contains("`limits.answer_bytes` (3MiB) is more than all long answers together may hold");
        assert_eq!(told, warned, "{notes}");
    }
}

#[test]
fn redis_keeps_its_parts() {
    let top = "redis: {url: \"redis://r:7000/3\", username: u, password: {file: /run/secrets/redis/password}, namespace: shop, timeout: 250ms, on_outage: allow}\n";
    let settings = settings(&with_sources(
        top,
        &[&format!("{STRIPE}}}"), &format!("{GITHUB}, on_outage: reject}}")],
    ));
    let redis = settings.redis.as_ref().expect("redis");
    assert_eq!(
        (&redis.place, redis.database, redis.namespace.as_str()),
        (&Place::Server(Server::new("r", 7000)), 3, "shop")
    );
    assert_eq!(
        (redis.access.login.username.as_deref(), redis.timeout),
        (Some("u"), Duration::from_millis(250))
    );
    assert!(
        redis
            .access
            .login
            .password
            .as_ref()
            .is_some_and(|password| password.expose() == b"a-redis-password-of-length")
    );
    assert_eq!(source(&settings, "stripe").on_outage, OnOutage::Allow);
    assert_eq!(source(&settings, "github").on_outage, OnOutage::Reject);
}

#[test]
fn redis_is_had_in_every_form() {
    let redis = |inside: &str| {
        let top = format!("redis: {{{inside}, namespace: x}}\n");
        settings(&with_sources(&top, &[&format!("{STRIPE}}}")]))
            .redis
            .expect("redis")
    };
    let tls = redis("url: \"rediss://r/1\"");
    assert_eq!((tls.place, tls.database), (Place::Server(Server::new("r", 6379)), 1));
    assert!(
        tls.access
            .tls
            .is_some_and(|tls| tls.roots.is_none() && tls.identity.is_none())
    );
    let socket = redis("url: \"unix:///run/r.sock?db=2\"");
    assert_eq!((socket.place, socket.database), (Place::Unix("/run/r.sock".into()), 2));
    assert!(socket.access.tls.is_none());
    let cluster = redis(
        "urls: [\"rediss://a:7000\", \"rediss://b\"], username: u, password: {file: /run/secrets/redis/password}",
    );
    let seeds = vec![Server::new("a", 7000), Server::new("b", 6379)];
    assert_eq!(cluster.place, Place::Cluster(seeds));
    assert!(cluster.access.tls.is_some() && cluster.access.login.username.as_deref() == Some("u"));
    let watched = redis(
        "sentinel: {master: m, urls: [\"redis://s\"], username: s, password: {file: /run/secrets/redis/password}}",
    );
    let sentinels = vec![Server::new("s", 26_379)];
    let master = "m".to_owned();
    assert_eq!(watched.place, Place::Sentinel { master, sentinels });
    assert_eq!(watched.access.sentinel.username.as_deref(), Some("s"));
    assert!(watched.access.login.password.is_none() && watched.access.sentinel.password.is_some());
}

#[test]
fn an_admin_address_for_others_needs_a_token_and_may_have_one() {
    let top = "admin: {address: \"0.0.0.0:9482\", token: {file: /run/secrets/admin-token}}\nlisten: {address: \"[::]:9480\", health_path: /healthz}\nready_requires: [upstream]\nclient_ip: {trust: [10.0.0.0/8, \"2001:db8::1\"], header: forwarded}\nhosts: [Hooks.Example.com]\n";
    let settings = settings(&with_sources(top, &[&format!("{STRIPE}}}")]));
    assert!(
        settings
            .admin
            .token
            .is_some_and(|token| token.expose() == b"an-admin-token-of-some-length")
    );
    assert_eq!(settings.listen.health_path.as_deref(), Some("/healthz"));
    assert!(settings.ready_requires.upstream && !settings.ready_requires.redis);
    assert_eq!(settings.hosts, ["hooks.example.com"]);
    assert_eq!(settings.client_ip.header, "forwarded");
    let trust: Vec<String> = settings.client_ip.trust.iter().map(ToString::to_string).collect();
    assert_eq!(trust, ["10.0.0.0/8", "2001:db8::1/128"]);
}

#[test]
fn the_same_file_gives_equal_settings_and_a_changed_one_others() {
    let text = with_sources("", &[&format!("{STRIPE}}}")]);
    let changed = text.replace("/stripe", "/payments");
    assert!(settings(&text) == settings(&text));
    assert!(settings(&text) != settings(&changed));
}

#[test]
fn the_file_is_looked_for_in_three_places() {
    let mut machine = Fixed::default();
    assert_eq!(config::locate(None, &machine), Path::new("./hookward.yaml"));
    machine
        .variables
        .insert("HOOKWARD_CONFIG".to_owned(), "/etc/h.yaml".into());
    assert_eq!(config::locate(None, &machine), Path::new("/etc/h.yaml"));
    assert_eq!(config::locate(Some(Path::new("c.yaml")), &machine), Path::new("c.yaml"));
    let errors = config::load(Path::new("/etc/h.yaml"), &machine)
        .err()
        .expect("there is no such file");
    assert_eq!(errors.exit_code(), 78);
    for part in ["-c FILE", "$HOOKWARD_CONFIG", "./hookward.yaml", "/etc/h.yaml"] {
        assert!(errors.render(false).contains(part), "{part}");
    }
}

#[test]
fn a_file_of_other_bytes_is_refused_with_its_line() {
    let mut machine = Fixed::default();
    machine
        .files
        .insert(PathBuf::from("h.yaml"), b"version: 1\nx: \xff\n".to_vec());
    let errors = config::load(Path::new("h.yaml"), &machine).err().expect("not UTF-8");
    assert!(errors.to_string().contains("not UTF-8: line 2"), "{errors}");
}

#[test]
fn an_unknown_key_of_an_inline_scheme_is_refused_at_its_place() {
    let acme = "acme: {provider: custom, path: /acme, secrets: [{env: ACME_SECRET}], verify: {sigature: {from: \"header:X\"}}}";
    let text = with_sources("", &[acme]);
    let errors = config::load_with(Path::new("hookward.yaml"), &machine(&text), &*presets())
        .err()
        .expect("refused");
    let [problem] = errors.problems() else {
        panic!("{errors}")
    };
    assert_eq!((problem.line, problem.column), (Some(4), Some(81)));
    assert_eq!(problem.message, "unknown key `sigature` in `sources.acme.verify`");
}

#[test]
fn relative_secret_files_start_at_the_configuration() {
    let text = with_sources(
        "",
        &["a: {provider: stripe, path: /a, secrets: [{file: secrets/stripe}]}"],
    );
    let mut machine = Fixed::default();
    machine
        .files
        .insert(PathBuf::from("/etc/hookward/config.yaml"), text.into_bytes());
    machine.files.insert(
        PathBuf::from("/etc/hookward/secrets/stripe"),
        b"whsec_c3RyaXBlLWN1cnJlbnQtc2VjcmV0".to_vec(),
    );
    let loaded = config::load_with(Path::new("/etc/hookward/config.yaml"), &machine, &*presets())
        .unwrap_or_else(|errors| panic!("{errors}"));
    let files: Vec<_> = loaded.settings.files.iter().filter_map(|file| file.to_str()).collect();
    assert_eq!(files, ["/etc/hookward/config.yaml", "/etc/hookward/secrets/stripe"]);
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let errors = config::load_with(Path::new("hookward.yaml"), &machine("version: 2\n"), &*presets())
        .err()
        .expect("invalid");
    assert!(!errors.render(false).contains('\u{1b}') && errors.render(true).contains('\u{1b}'));
}

#[test]
fn the_schema_is_of_the_named_draft_and_knows_every_key() {
    let schema = config::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["required"], serde_json::json!(["version", "sources"]));
    for key in [
        "listen",
        "health",
        "admin",
        "hosts",
        "upstream",
        "redis",
        "client_ip",
        "limits",
        "defaults",
        "ready_requires",
        "sources",
        "destinations",
    ] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    let providers = schema["$defs"]["Source"]["properties"]["provider"]["enum"].as_array();
    assert!(providers.is_some_and(|names| names.iter().any(|name| name == "custom")));
    let text = schema.to_string();
    for described in [
        &schema["properties"]["upstream"],
        &schema["$defs"]["Destination"]["properties"]["forward_credentials"],
    ] {
        let told = described["description"].as_str().unwrap_or_default().replace('\n', " ");
        assert!(
            told.contains("`Authorization` of a token, basic or JWT source"),
            "{told}"
        );
    }
    assert!(
        !text.contains(r#"["string","null"]"#),
        "an explicit null is refused, so the schema knows none"
    );
    for canary in CANARIES {
        assert!(!text.contains(canary));
    }
}

#[test]
fn a_file_of_a_hundred_thousand_mistakes_is_refused_in_no_time() {
    let lines: Vec<String> = (0..40_000).map(|n| format!("k{n}: [x, {{value: y}}]")).collect();
    let text = lines.join("\n");
    let errors = config::load_with(Path::new("hookward.yaml"), &machine(&text), &*presets())
        .err()
        .expect("refused");
    assert!((1..=1001).contains(&errors.problems().len()));
}

/// A whole file with two secrets in it.
const CANARY_FILE: &str = "\
version: 1
upstream: http://127.0.0.1:3000
redis: {url: \"redis://u:hunter2canary@h/0\", password: {value: 'canary-77e2c0-long-enough'}}
sources:
  stripe:
    provider: stripe
    path: /webhooks/stripe
    secrets:
      - value: canary-4f1d9a-long-enough
        id: one
      - {value: \"canary-77e2c0, with a comma\", id: two}
    tolerance: {past: 5m}
    to: [a, {destination: b, required: false}]
destinations:
  a: {url: \"http://app/\"}
  b: {url: \"http://app/b\", sign: {secret: {value: |
    canary-4f1d9a-in-a-block
    }}}
";

#[test]
fn a_file_that_was_cut_anywhere_shows_no_secret() {
    for end in 0..CANARY_FILE.len() {
        let Err(errors) = config::load_with(Path::new("hookward.yaml"), &machine(&CANARY_FILE[..end]), &*presets())
        else {
            continue;
        };
        let shown = errors.render(false) + &errors.warnings().render(false);
        for canary in CANARIES {
            assert!(!shown.contains(canary), "cut at {end}:\n{shown}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn no_damage_to_a_file_makes_it_panic(at in 0..CANARY_FILE.len(), gone in 0..40_usize, new in "[-\\[\\]{}:,#&*!|>'\"%@`a-z0-9 \\n\\t\\u{7f}ü]{0,6}") {
        let mut text = CANARY_FILE.to_owned();
        let end = (at + gone).min(text.len());
        text.replace_range(at..end, &new);
        if let Err(errors) = config::load_with(Path::new("hookward.yaml"), &machine(&text), &*presets()) {
            proptest::prop_assert!(!errors.problems().is_empty());
            proptest::prop_assert!(!errors.render(true).is_empty());
        }
    }
}

/// Found by fuzzing: files of a MiB that took minutes, though all that is in them is wrong at once. A cost that grows with the
/// square of the length would not end within this deadline on any machine.
#[test]
fn no_file_costs_more_than_its_length() {
    let numbered = |text: &str| {
        (0..100_000)
            .map(|at| text.replace('#', &at.to_string()))
            .collect::<String>()
    };
    for (name, text) in [
        ("one key again and again", "a: 1\n".repeat(200_000)),
        ("unknown keys", numbered("k#: 1\n")),
        ("unknown keys on one line", format!("{{{}}}", numbered("k#: 1,"))),
        (
            "a provider of a MiB",
            format!("sources: {{a: {{provider: {}}}}}", "g".repeat(1 << 20)),
        ),
        ("a key of a MiB", format!("{}: 1", "k".repeat(1 << 20))),
        (
            "a word of a MiB",
            format!("redis: {{on_outage: {}}}", "l".repeat(1 << 20)),
        ),
        ("anchors", numbered("- &a# x\n- *a#\n")),
        ("an open quote", format!("a: \"{}", "x\n".repeat(1 << 19))),
        ("networks", format!("client_ip: {{trust: [{}]}}", "x,".repeat(40_000))),
    ] {
        let began = std::time::Instant::now();
        let loaded = config::load_with(Path::new("hookward.yaml"), &machine(&text), &*presets());
        let errors = loaded.err().unwrap_or_else(|| panic!("{name} is no configuration"));
        assert!(errors.problems().len() <= 1001, "{name}");
        assert!(
            began.elapsed() < std::time::Duration::from_mins(2),
            "{name} took {:?}",
            began.elapsed()
        );
    }
}
