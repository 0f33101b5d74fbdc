//! Embeds every `config/providers/*.yaml`: adding a provider is adding a file.

use std::{env, error::Error, fmt::Write, fs, path::Path};

#[expect(
    clippy::disallowed_methods,
    reason = "a build script learns its folders from cargo's environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let folder = Path::new(&root).join("config/providers");
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-changed={}", folder.display());

    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path
                .file_stem()
                .ok_or("a file without a name")?
                .to_string_lossy()
                .into_owned();
            files.push((name, path));
        }
    }
    // Sorted, because the registry searches it by halves.
    files.sort();

    let mut list = String::from("&[\n");
    for (name, path) in files {
        writeln!(list, "    ({name:?}, include_str!({:?})),", path.display().to_string())?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("presets.rs"), list)?;
    Ok(())
}
