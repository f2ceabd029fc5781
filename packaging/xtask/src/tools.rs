//! Other programs, and the time that stands for now.

use std::{
    ffi::OsStr,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// What goes wrong here is told and not handled.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Runs a program to its end.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Outcome<()> {
    finish(Command::new(program).args(args))
}

pub(crate) fn finish(command: &mut Command) -> Outcome<()> {
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// What a program says.
pub(crate) fn said(program: &str, args: &[&str]) -> Outcome<String> {
    let output = Command::new(program).args(args).stderr(Stdio::inherit()).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{program} {} ended with {}", args.join(" "), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Packed, and the same for the same bytes.
pub(crate) fn gzip(bytes: &[u8]) -> Outcome<Vec<u8>> {
    let mut child = Command::new("gzip").arg("-9n").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or("gzip takes nothing")?;
    let writing = std::thread::scope(|scope| {
        let writing = scope.spawn(move || stdin.write_all(bytes));
        let output = child.wait_with_output();
        writing.join().map(|written| (written, output))
    });
    let (written, output) = writing.map_err(|_| "gzip: no thread")?;
    written?;
    let output = output?;
    if output.status.success() { Ok(output.stdout) } else { Err("gzip failed".into()) }
}

/// What stands for the time at which this was made: that of the commit, so that the same sources make the same files.
pub(crate) fn epoch() -> Outcome<String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => Ok(epoch),
        Err(_) => said("git", &["log", "-1", "--format=%ct"]),
    }
}

pub(crate) fn cargo_metadata() -> Outcome<Value> {
    let host = said("rustc", &["--print", "host-tuple"])?;
    let text = said("cargo", &["metadata", "--format-version", "1", "--locked", "--filter-platform", &host])?;
    Ok(serde_json::from_str(&text)?)
}

/// The directory that cargo builds in.
pub(crate) fn target() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), Into::into)
}

/// Makes the directories that a file is to stand in.
pub(crate) fn make_room(file: &Path) -> Outcome<()> {
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(())
}
