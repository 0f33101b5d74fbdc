//! The admin page in a real browser: what a person sees and does there, that nothing on it breaks the rules of
//! accessibility, and that nothing which came from a stranger becomes part of it.

use super::support::{
    App, Folder, PATIENCE, Process,
    browser::Browser,
    process::PORTS,
    signed::{self, github_event, push},
};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Instant};

const SOURCES: &str = "\
destinations:
  billing: {url: \"APP\"}
  audit: {url: \"APP\"}
sources:
  github: {provider: github, path: /github, secrets: [{env: SECRET}], to: [billing, {destination: audit, required: false}]}
  open: {provider: none, path: /open, allow_unverified: true, to: [billing]}
";

struct Seen {
    browser: Browser,
    process: Process,
    app: App,
    _folder: Folder,
}

/// A sidecar and a browser that looks at its page.
fn look(ports: &str, user: &str) -> Seen {
    let (app, folder) = (App::start(), Folder::new());
    let yaml = format!("{ports}{}", SOURCES.replace("APP", &app.url()));
    let process = Process::run(&folder.write("hookward.yaml", &yaml));
    let browser = Browser::start();
    browser.open(&format!("http://{user}{}/", process.admin));
    browser.wait_for("#state", "ready");
    browser.wait_for("#live", "live");
    Seen {
        browser,
        process,
        app,
        _folder: folder,
    }
}

impl Seen {
    /// Waits until so many rows stand in the list of requests.
    fn rows(&self, wanted: usize) -> String {
        let begun = Instant::now();
        loop {
            let script = "return document.querySelectorAll('#deliveries > tr').length";
            if self.browser.run(script) == json!(wanted) {
                return self.browser.text("#deliveries");
            }
            assert!(begun.elapsed() < PATIENCE, "{}", self.browser.text("#deliveries"));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn nothing_was_complained_of(&self) {
        let said = self.browser.console();
        assert!(said.is_empty(), "{said:#?}");
    }
}

#[test]
fn it_shows_sources_destinations_and_requests_as_they_end() {
    let seen = look(PORTS, "");
    assert_eq!(push(1).send(seen.process.webhooks).status, 200);
    seen.rows(1);
    let forged =
        github_event("/github", "push", "d-2", b"2").replace("X-Hub-Signature-256", format!("sha256={:064}", 0));
    assert_eq!(forged.send(seen.process.webhooks).status, 401);
    let rows = seen.rows(2);
    let lines: Vec<&str> = rows.lines().filter(|line| line.contains("github")).collect();
    // The newest stands first.
    assert!(lines[0].contains("rejected") || lines[0].contains("401"), "{rows}");
    assert!(lines[1].contains("delivered") && lines[1].contains("200"), "{rows}");

    seen.browser.wait_for("#sources", "delivered 1");
    let card = seen.browser.text("#sources .card");
    assert!(card.contains("github") && card.contains("/github"), "{card}");
    assert!(card.contains("to billing, audit (optional)"), "{card}");
    seen.browser.wait_for("#destinations", "billing");
    let audit = seen.browser.text("#destinations tr:nth-child(1)");
    assert!(audit.contains("audit") || audit.contains("billing"), "{audit}");

    // Only the refused, then only those of a source that had none.
    seen.browser
        .run("const by = document.getElementById('by-kind'); by.value = 'true'; by.dispatchEvent(new Event('change'))");
    assert!(seen.rows(1).contains("401"));
    seen.browser.run(
        "const by = document.getElementById('by-source'); by.value = 'open'; by.dispatchEvent(new Event('change'))",
    );
    assert_eq!(seen.rows(0), "");
    seen.browser.run("for (const id of ['by-source', 'by-kind']) { const by = document.getElementById(id); by.value = ''; by.dispatchEvent(new Event('change')) }");
    seen.rows(2);

    // One in full: where it went, and how long that took.
    seen.browser.click("#deliveries > tr:nth-child(2) button");
    seen.browser.wait_for("#deliveries", "to billing");
    let detail = seen.browser.text("#deliveries > tr:nth-child(3)");
    assert!(detail.contains("request_id") && detail.contains("client"), "{detail}");

    // While it is paused the list stands still; afterwards nothing is missing.
    seen.browser.click("#pause");
    assert_eq!(push(3).send(seen.process.webhooks).status, 200);
    seen.browser.wait_for("#sources", "delivered 2");
    seen.rows(3);
    seen.browser.click("#pause");
    seen.rows(4);
    seen.nothing_was_complained_of();
}

#[test]
fn a_sample_is_sent_and_judged_from_the_page() {
    let seen = look(PORTS, "");
    seen.browser.wait_for("#sources", "github");
    seen.browser.type_into("#sources .card:first-child input", "push");
    seen.browser.click("#sources .card:first-child form button");
    seen.browser
        .wait_for("#sources .card:first-child .result", "push: 200 delivered, as intended");
    assert_eq!(seen.app.seen().len(), 2, "billing and audit");
    assert_eq!(seen.app.seen()[0].header("hookward-event"), Some("push"));

    seen.browser
        .run("document.querySelector('#sources .card:first-child select').value = 'signature'");
    seen.browser.click("#sources .card:first-child form button");
    seen.browser.wait_for("#sources .card:first-child .result", "401");
    let result = seen.browser.text("#sources .card:first-child .result");
    assert!(result.contains("as intended"), "{result}");
    assert_eq!(seen.app.seen().len(), 2);
    seen.nothing_was_complained_of();
}

#[test]
fn what_a_stranger_sent_is_text_and_nothing_else() {
    let seen = look(PORTS, "");
    let hostile = "<img src=x onerror=\"window.taken=1\"><script>window.taken=1</script>";
    let request = github_event("/github", hostile, hostile, b"{}");
    let status = request.send(seen.process.webhooks).status;
    let rows = seen.rows(1);
    assert!(rows.contains(&status.to_string()), "{rows}");
    seen.browser.click("#deliveries > tr:first-child button");
    seen.browser.wait_for("#deliveries", "request_id");
    let made = seen
        .browser
        .run("return [document.querySelectorAll('main img, main script').length, window.taken === undefined]");
    assert_eq!(made, json!([0, true]));
    // Nor would a script run that came into it some other way: the policy names the page's own by its digest.
    seen.browser.run(
        "const one = document.createElement('script'); one.textContent = 'window.taken = 2'; document.body.append(one)",
    );
    assert_eq!(seen.browser.run("return window.taken === undefined"), json!(true));
    let said = seen.browser.console();
    let refused = |one: &Value| {
        one["message"]
            .as_str()
            .is_some_and(|text| text.contains("Content Security Policy"))
    };
    assert!(said.len() == 1 && said.iter().all(refused), "{said:#?}");
}

#[test]
fn a_browser_that_is_asked_for_the_token_shows_the_page() {
    let ports = PORTS.replace(
        "admin: 127.0.0.1:0",
        "admin: {address: \"127.0.0.1:0\", token: {env: TOKEN}}",
    );
    let user = format!("me:{}@", signed::TOKEN.replace(' ', "%20"));
    let seen = look(&ports, &user);
    seen.browser.wait_for("#sources", "github");
    seen.browser.click("#sources .card:first-child form button");
    seen.browser
        .wait_for("#sources .card:first-child .result", "as intended");
}

/// Runs axe-core, which `tests/run` installs beside the build, in the page as it stands.
fn violations(browser: &Browser) -> Value {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the target directory");
    let axe = target.join("axe/axe_playwright_python/axe.min.js");
    let script = fs::read_to_string(&axe).unwrap_or_else(|error| {
        let folder = target.join("axe");
        let by_hand = format!(
            "python3 -m pip install --no-deps --target {} axe-playwright-python==0.1.8",
            folder.display()
        );
        panic!("{}: {error}: run tests/run once, or: {by_hand}", axe.display())
    });
    let found = browser.run(&format!(
        "{script}\nreturn axe.run(document).then(found => [found.passes.length, found.violations.map(one => [one.id, one.help, one.nodes.map(node => node.html)])])"
    ));
    assert!(
        found[0].as_u64().is_some_and(|passes| passes > 15),
        "it looked at the page: {found}"
    );
    found[1].clone()
}

#[test]
fn it_is_accessible_by_light_and_dark_wide_and_narrow() {
    let seen = look(PORTS, "");
    assert_eq!(push(1).send(seen.process.webhooks).status, 200);
    let refused = push(2).without("X-Hub-Signature-256").send(seen.process.webhooks);
    assert_eq!(refused.status, 401);
    seen.rows(2);
    seen.browser.click("#sources .card:first-child form button");
    seen.browser
        .wait_for("#sources .card:first-child .result", "as intended");
    seen.rows(3);
    seen.browser.click("#deliveries > tr:nth-child(1) button");
    seen.browser.wait_for("#deliveries", "request_id");
    for scheme in ["light", "dark"] {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        seen.browser.devtools("Emulation.setEmulatedMedia", &features);
        for width in [1280, 320] {
            let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
            seen.browser.devtools("Emulation.setDeviceMetricsOverride", &size);
            assert_eq!(violations(&seen.browser), json!([]), "{scheme}, {width} pixels");
            // WCAG 1.4.10: at 320 pixels only tables may be scrolled sideways, not the page.
            let wide = seen
                .browser
                .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, json!(0), "{scheme}, {width} pixels");
        }
    }
    seen.nothing_was_complained_of();
}
