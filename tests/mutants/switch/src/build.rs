//! One program with all mutants that compile.

use crate::{
    mutant::Mutant,
    weave::{self, Woven},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What was built.
pub struct Built {
    /// The program with the tests.
    pub program: PathBuf,
    /// The mutants in it: indices into the list, and the numbers that choose them.
    pub placed: Vec<usize>,
    /// Those that the compiler refuses.
    pub unviable: Vec<usize>,
    /// Those that cannot be chosen at run time: in a constant, in a pattern's guard that binds, in a type.
    pub single: Vec<usize>,
}

#[derive(Deserialize)]
struct Line {
    reason: String,
    message: Option<Message>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Message {
    level: String,
    rendered: Option<String>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}

/// Weaves, builds, leaves out what does not compile, until it does.
pub fn build(krate: &Path, mutants: &[Mutant]) -> Result<Built, Box<dyn Error>> {
    let mut sources = BTreeMap::new();
    for mutant in mutants {
        if !sources.contains_key(&mutant.file) {
            sources.insert(mutant.file.clone(), fs::read_to_string(krate.join(&mutant.file))?);
        }
    }
    fs::write(krate.join("src/mutant.rs"), question(mutants.len()))?;
    let (mut unviable, mut out) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let mut woven: BTreeMap<&str, Woven> = BTreeMap::new();
        for (file, source) in &sources {
            let here: Vec<(usize, &Mutant)> = mutants
                .iter()
                .enumerate()
                .filter(|(index, mutant)| mutant.file == *file && !unviable.contains(index) && !out.contains(index))
                .collect();
            let text = weave::weave(source, &here)?;
            fs::write(krate.join(file), &text.text)?;
            woven.insert(file, text);
        }
        let (program, errors) = compile(krate)?;
        let placed: BTreeSet<usize> = woven.values().flat_map(|text| text.placed.iter().copied()).collect();
        if let Some(program) = program {
            return Ok(Built {
                program,
                single: (0..mutants.len())
                    .filter(|index| !placed.contains(index) && !unviable.contains(index))
                    .collect(),
                placed: placed.into_iter().collect(),
                unviable: unviable.into_iter().collect(),
            });
        }
        let mut guilty = 0;
        for span in errors
            .iter()
            .flat_map(|error| &error.spans)
            .filter(|span| span.is_primary)
        {
            let Some(text) = woven.get(span.file_name.as_str()) else {
                continue;
            };
            let narrowest = text
                .regions
                .iter()
                .filter(|(range, _)| range.start <= span.byte_start && span.byte_end <= range.end)
                .min_by_key(|(range, _)| range.len());
            let Some((_, about)) = narrowest else { continue };
            for index in about {
                // The same value in the same place, were it built alone.
                let mutant = &mutants[*index];
                let alone = about.len() == 1 && mutant.genre == "FnValue";
                let list = if alone { &mut unviable } else { &mut out };
                guilty += usize::from(list.insert(*index));
            }
        }
        if guilty == 0 {
            let said: String = errors.into_iter().filter_map(|error| error.rendered).collect();
            return Err(format!("it does not compile, and not because of a mutant:\n{said}").into());
        }
        println!("{guilty} mutants less");
    }
}

fn compile(krate: &Path) -> Result<(Option<PathBuf>, Vec<Message>), Box<dyn Error>> {
    let output = Command::new("cargo")
        .args(["test", "--no-run", "--lib", "--quiet", "--message-format=json"])
        .current_dir(krate)
        .stderr(Stdio::inherit())
        .output()?;
    let (mut program, mut errors) = (None, Vec::new());
    for line in String::from_utf8(output.stdout)?.lines() {
        let line: Line = serde_json::from_str(line)?;
        match (line.reason.as_str(), line.message) {
            ("compiler-message", Some(message)) if message.level == "error" => errors.push(message),
            _ => program = line.executable.or(program),
        }
    }
    Ok((program.filter(|_| output.status.success()), errors))
}

/// The module that every switch asks. `HOOKWARD_MUTANT` names the mutant; `HOOKWARD_REACHED` a file that gets the number
/// of every mutant that was asked for.
fn question(count: usize) -> String {
    format!(
        r#"//! Which mutant is it? Made by tests/mutants/switch.
use std::{{env, fs::File, io::Write, sync::{{OnceLock, atomic::{{AtomicBool, Ordering}}}}}};
static ASKED: [AtomicBool; {count}] = [const {{ AtomicBool::new(false) }}; {count}];
static MODE: OnceLock<(usize, Option<File>)> = OnceLock::new();
pub fn on(number: usize) -> bool {{
    let (chosen, reached) = MODE.get_or_init(|| {{
        let chosen = env::var("HOOKWARD_MUTANT").ok().and_then(|text| text.parse().ok());
        let open = |path| File::options().create(true).append(true).open(path).expect("a file");
        (chosen.unwrap_or(usize::MAX), env::var_os("HOOKWARD_REACHED").map(open))
    }});
    if let Some(mut file) = reached.as_ref() && !ASKED[number].swap(true, Ordering::Relaxed) {{
        file.write_all(format!("{{number}}\n").as_bytes()).expect("it can be written");
    }}
    *chosen == number
}}
"#
    )
}
