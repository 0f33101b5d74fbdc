//! Which mutants the tests catch: each runs the tests that reach it, the quick ones first, until one fails.

use crate::{build::Built, mutant::Mutant};
use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// Mutants by outcome.
#[derive(Default)]
pub struct Outcomes {
    pub caught: Vec<usize>,
    pub timeout: Vec<usize>,
    pub missed: Vec<usize>,
}

/// A test, how long it takes, and the mutants that it reaches.
struct Test {
    name: String,
    takes: Duration,
    reaches: BTreeSet<usize>,
}

enum End {
    Passed,
    Failed,
    Hung,
}

/// Tests of the first round: most mutants fall to them.
const QUICK: usize = 8;
/// Who computes longer than this hangs, in seconds of CPU time: what a busy machine takes away does not count.
const LONGEST: u32 = 20;
/// Who waits longer than this, beyond five times what the tests took, waits for ever.
const GRACE: Duration = Duration::from_secs(60);

pub fn judge(krate: &Path, built: &Built, mutants: &[Mutant]) -> Result<Outcomes, Box<dyn Error>> {
    let output = Command::new(&built.program)
        .args(["--list", "--format=terse"])
        .output()?;
    let names: Vec<String> = String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| line.strip_suffix(": test").map(str::to_owned))
        .collect();
    let tests = Mutex::new(Vec::new());
    let failed = Mutex::new(Vec::new());
    each(&names, |index, name| {
        let file = krate.join(format!("reached-{index}"));
        let began = Instant::now();
        let end = run(
            krate,
            built,
            &[name],
            Duration::from_secs(300),
            ("HOOKWARD_REACHED", &file.display().to_string()),
        );
        let takes = began.elapsed();
        let reached = fs::read_to_string(&file).unwrap_or_default();
        let _there_may_be_none = fs::remove_file(&file);
        if !matches!(end, End::Passed) {
            failed.lock().expect("no panic").push(name.clone());
        }
        tests.lock().expect("no panic").push(Test {
            name: name.clone(),
            takes,
            reaches: reached.lines().filter_map(|line| line.parse().ok()).collect(),
        });
    });
    let failed = failed.into_inner()?;
    let mut tests: Vec<Test> = tests.into_inner()?;
    if failed.len() * 10 > tests.len() {
        return Err(format!("without any mutant these tests fail: {failed:?}").into());
    }
    // A busy machine: such a test would call any mutant caught.
    for name in &failed {
        println!("left out, because it fails without any mutant: {name}");
    }
    tests.retain(|test| !failed.contains(&test.name));
    tests.sort_by_key(|test| test.takes);
    println!(
        "{} tests, {:.1} s",
        tests.len(),
        tests.iter().map(|test| test.takes).sum::<Duration>().as_secs_f64()
    );

    let outcomes = Mutex::new(Outcomes::default());
    let done = AtomicUsize::new(0);
    each(&built.placed, |_, mutant| {
        let reaching: Vec<&Test> = tests.iter().filter(|test| test.reaches.contains(mutant)).collect();
        let (quick, slow) = reaching.split_at(QUICK.min(reaching.len()));
        let mut end = End::Passed;
        for round in [quick, slow] {
            if matches!(end, End::Passed) && !round.is_empty() {
                let names: Vec<&String> = round.iter().map(|test| &test.name).collect();
                let takes: Duration = round.iter().map(|test| test.takes).sum();
                end = run(
                    krate,
                    built,
                    &names,
                    GRACE + takes * 5,
                    ("HOOKWARD_MUTANT", &mutant.to_string()),
                );
            }
        }
        let mut outcomes = outcomes.lock().expect("no panic");
        match end {
            End::Failed => outcomes.caught.push(*mutant),
            End::Hung => outcomes.timeout.push(*mutant),
            End::Passed => {
                let by = if reaching.is_empty() { "UNREACHED" } else { "MISSED" };
                println!("{by} {}", mutants[*mutant].name);
                outcomes.missed.push(*mutant);
            }
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(50) {
            println!("{done} of {}", built.placed.len());
        }
    });
    let mut outcomes = outcomes.into_inner()?;
    for list in [&mut outcomes.caught, &mut outcomes.timeout, &mut outcomes.missed] {
        list.sort_unstable();
    }
    Ok(outcomes)
}

/// Does it to all, a few side by side.
fn each<T: Sync>(all: &[T], what: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(index) else { break };
            what(index, one);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
}

fn run(krate: &Path, built: &Built, tests: &[impl AsRef<str>], patience: Duration, (name, value): (&str, &str)) -> End {
    let limited = format!("ulimit -t {LONGEST}; exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &limited])
        .arg(&built.program)
        .args(["--exact", "--test-threads=1", "-Zunstable-options", "--fail-fast"])
        .args(tests.iter().map(AsRef::as_ref))
        // libtest ends with the first failure for those only who ask for what may still change.
        .env("RUSTC_BOOTSTRAP", "1")
        .env(name, value)
        // From here proptest does not find its sources, and remembers nothing for the next mutant.
        .current_dir(krate.join("src"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the tests can be started");
    let began = Instant::now();
    loop {
        match child.try_wait().expect("it can be awaited") {
            Some(status) if status.success() => return End::Passed,
            Some(status) if matches!(status.signal(), Some(SIGKILL | SIGXCPU)) => return End::Hung,
            Some(_) => return End::Failed,
            None if began.elapsed() > patience => {
                let _it_may_be_over = child.kill();
                let _ended = child.wait();
                return End::Hung;
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}
