//! `switch CRATE LIST OUT`: puts the mutants of LIST (from `cargo mutants --list --json`) into the sources of CRATE, each
//! behind a switch, builds its tests once, and runs on every mutant the tests that reach it. OUT gets one list an outcome.

mod build;
mod judge;
mod mutant;
mod weave;

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(krate), Some(list), Some(out), None) =
        (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: switch CRATE LIST OUT".into());
    };
    let mutants = mutant::read(&list)?;
    let built = build::build(&krate, &mutants)?;
    println!(
        "{} mutants: {} in one program, {} that do not compile, {} to be built one by one",
        mutants.len(),
        built.placed.len(),
        built.unviable.len(),
        built.single.len()
    );
    let outcomes = judge::judge(&krate, &built, &mutants)?;
    fs::create_dir_all(&out)?;
    let write = |name: &str, indices: &[usize]| {
        let lines: String = indices
            .iter()
            .map(|index| mutants[*index].name.clone() + "\n")
            .collect();
        fs::write(out.join(name), lines)
    };
    write("caught.txt", &outcomes.caught)?;
    write("timeout.txt", &outcomes.timeout)?;
    write("missed.txt", &outcomes.missed)?;
    write("unviable.txt", &built.unviable)?;
    write("single.txt", &built.single)?;
    Ok(())
}
