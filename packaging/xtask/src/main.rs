//! `cargo xtask dist`: what is distributed, made from the sources. See `dist` for what that is.
//!
//! The Debian package is put together here and closed by `dpkg-deb`. cargo-deb would read the same table, but takes half an hour
//! to install where there is no binary of it, and cannot make units of one service with two sockets.

#![allow(clippy::print_stdout, reason = "it says what it made")]

mod assets;
mod deb;
mod pages;
mod sbom;
mod tools;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{assets::Programs, tools::Outcome};

/// Chores of the project.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make what is distributed
    Dist {
        /// What of it; all of it if nothing is said
        #[arg(value_enum)]
        what: Vec<What>,
        /// Where to
        #[arg(long, value_name = "DIR", default_value = "target/dist")]
        out: PathBuf,
        /// With the programs of the debug profile, as they lie in target/debug: for tests
        #[arg(long)]
        debug: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The Debian package
    Deb,
    /// An archive with programs that need no library of the host
    Tar,
    /// The list of components, as `CycloneDX` JSON
    Sbom,
}

fn main() -> ExitCode {
    let Command::Dist { what, out, debug } = Cli::parse().command;
    match dist(&what, &out, debug) {
        Ok(made) => {
            made.iter().for_each(|file| println!("{}", file.display()));
            ExitCode::SUCCESS
        }
        Err(e) => {
            println!("cargo xtask: {e}");
            ExitCode::FAILURE
        }
    }
}

fn dist(what: &[What], out: &std::path::Path, debug: bool) -> Outcome<Vec<PathBuf>> {
    let is_wanted = |one| what.is_empty() || what.contains(&one);
    std::fs::create_dir_all(out)?;
    let sbom = out.join("authd.cdx.json");
    std::fs::write(&sbom, sbom::render(&tools::cargo_metadata()?, &std::fs::read_to_string("Cargo.lock")?)?)?;
    let mut made = vec![];
    if is_wanted(What::Deb) {
        let programs = if debug { Programs::of_debug() } else { Programs::release()? };
        made.push(deb::make(&assets::of_package(&programs, &sbom)?, out, debug)?);
    }
    if is_wanted(What::Tar) && !debug {
        made.push(assets::archive(&assets::of_archive(&Programs::portable()?, &sbom)?, out)?);
    }
    if is_wanted(What::Sbom) {
        made.push(sbom);
    }
    Ok(made)
}
