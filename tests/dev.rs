//! `hookward dev` as a stranger runs it: the built program, real ports, and what it prints.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hookward");

fn once() -> (Output, String) {
    let output = Command::new(PROGRAM).args(["dev", "--once"]).output().expect("it runs");
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (output, text)
}

/// The two lines of each event, without the time.
fn events(text: &str) -> Vec<[&str; 2]> {
    let timed = |line: &&str| line.as_bytes().get(2) == Some(&b':') && line.as_bytes().get(5) == Some(&b':');
    let lines: Vec<&str> = text.lines().filter(timed).map(|line| &line[10..]).collect();
    let pairs = lines.chunks(2).map(|pair| {
        let [first, second] = pair else {
            panic!("a line too many: {pair:?}")
        };
        assert!(first.starts_with("--> "), "{first}");
        assert!(["<-- ", "<== ", "x-- "].contains(&&second[..4]), "{second}");
        [*first, *second]
    });
    pairs.collect()
}

/// What stands in the column that begins at `from`.
fn column(line: &str, from: usize) -> &str {
    line[from..].split("  ").next().unwrap_or("")
}

#[test]
fn a_trial_ends_in_the_expected_outcomes_and_says_why() {
    let (output, text) = once();
    assert_eq!(output.stderr, b"");
    assert!(!text.contains('\x1b'), "colour without a terminal");
    let events = events(&text);
    assert!(text.ends_with('\n') && events.len() > 20, "{text}");
    let verdict = text.lines().last().unwrap_or("");
    assert!(
        verdict.starts_with(&format!("{0} of {0} as expected", events.len())),
        "{verdict}"
    );

    let (mut sources, mut outcomes) = (BTreeSet::new(), BTreeSet::new());
    for [first, second] in &events {
        sources.insert(column(first, 4));
        outcomes.insert(column(second, 4));
        // The columns of both lines stand below each other, and the reason is never missing.
        for line in [first, second] {
            assert_eq!(&line[23..25], "  ", "{line}");
            assert_ne!(line[25..].trim(), "", "{line}");
        }
        assert!(second.chars().count() > 51, "no reason: {second}");
    }
    let all_sources = ["github", "slack", "standard-webhooks", "stripe", "token"];
    assert_eq!(sources, BTreeSet::from(all_sources));
    let all_outcomes = [
        "200 challenge",
        "200 delivered",
        "200 duplicate",
        "200 filtered",
        "401 stale",
        "401 unverified",
        "404 no_source",
        "409 conflict",
        "409 replayed",
        "429 rate_limited",
        "502 upstream_failed",
        "503 upstream_failed",
    ];
    assert_eq!(outcomes, BTreeSet::from(all_outcomes));
    let fanned_out = events
        .iter()
        .any(|[_, second]| column(second, 25).starts_with("billing, kitchen "));
    assert!(fanned_out, "{text}");
}

/// A trial that stays up.
struct Staying {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Staying {
    fn start() -> Self {
        let mut child = Command::new(PROGRAM)
            .arg("dev")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let stdout = child.stdout.take().expect("it is piped");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// Everything up to a line that begins so, with that line.
    fn until(&mut self, beginning: &str) -> String {
        let mut text = String::new();
        for line in self.lines.by_ref() {
            let line = line.expect("UTF-8");
            text += &line;
            text.push('\n');
            if line.starts_with(beginning) {
                return text;
            }
        }
        panic!("it ended before {beginning:?}:\n{text}");
    }

    /// The next event: its two lines, without the time.
    fn event(&mut self) -> [String; 2] {
        [(); 2].map(|()| {
            let line = self.lines.next().expect("it stays up").expect("UTF-8");
            line[10..].to_owned()
        })
    }

    fn stop(&mut self, signal: &str) -> Option<i32> {
        let kill = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(kill.expect("kill is part of every system").success());
        self.child.wait().expect("it is a child of ours").code()
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        // Already gone where the test went well.
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Where webhooks, health and admin are, each with the rest of its line.
fn addresses(text: &str) -> [(&str, &str); 3] {
    ["  webhooks ", "  health ", "  admin "].map(|what| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(what))
            .expect("the banner names it");
        let line = line.trim_start().trim_start_matches("http://");
        line.split_once('/').expect("it has a path")
    })
}

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command}\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn it_stays_up_and_what_it_says_to_paste_works() {
    let mut trial = Staying::start();
    let hints = trial.until("^C to quit");
    let command = |beginning: &str| {
        let found = hints.lines().find(|line| line.starts_with(beginning));
        found.unwrap_or_else(|| panic!("no {beginning:?}:\n{hints}"))
    };
    let signed = command("curl -i ");
    let forget = command(&format!("{PROGRAM} forget "));
    let told = |trial: &mut Staying| {
        let answer = shell(&signed.replacen("curl -i", "curl -sS -m 30 -i", 1));
        let [first, second] = trial.event();
        assert!(first.starts_with("--> stripe "), "{first}");
        let status = column(&second, 4).to_owned();
        let (code, outcome) = status.split_once(' ').expect("a status and an outcome");
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{answer}");
        assert!(answer.contains(&format!("hookward-outcome: {outcome}\r\n")), "{answer}");
        status
    };
    assert_eq!(told(&mut trial), "200 delivered");
    assert_eq!(told(&mut trial), "409 replayed");
    shell(forget);
    assert_eq!(told(&mut trial), "200 delivered");
    shell(command(&format!("{PROGRAM} probe readyz ")));
    for (verb, outcome) in [
        ("send stripe -c ", "200 delivered"),
        ("send stripe --bad ", "401 unverified"),
    ] {
        let sent = shell(command(&format!("{PROGRAM} {verb}")));
        assert!(sent.contains(outcome) && sent.contains("as intended"), "{sent}");
    }
    let metrics = shell(&command("curl -s ").replacen("curl -s", "curl -sS -m 30", 1));
    assert!(
        metrics.contains("hookward_requests_total{source=\"stripe\",outcome=\"replayed\"} 2"),
        "{metrics}"
    );

    // Its ports are taken now: another one finds others, and says so.
    let (_, beside) = once();
    let (ours, theirs) = (addresses(&hints), addresses(&beside));
    for ((ours, _), ((theirs, remark), usual)) in ours.iter().zip(theirs.iter().zip(["9480", "9481", "9482"])) {
        assert_ne!(ours, theirs);
        let expected = if theirs.ends_with(usual) { "" } else { "is taken" };
        assert!(remark.contains(expected), "{beside}");
    }

    let file = command("The configuration is ");
    let file = Path::new(
        file.trim_start_matches("The configuration is ")
            .split(" (")
            .next()
            .unwrap_or(""),
    );
    assert!(file.is_file(), "{}", file.display());
    assert_eq!(trial.stop("-INT"), Some(0));
    assert!(!file.exists(), "it left {}", file.display());
}

#[test]
fn sigterm_ends_it_too() {
    let mut trial = Staying::start();
    trial.until("^C to quit");
    assert_eq!(trial.stop("-TERM"), Some(0));
}
