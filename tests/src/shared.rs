//! The data beside the checkout, which CI has and others may not: outside vectors and recordings of the real server.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Says that a test could not be made here, and why: on standard error, and in the file that `./tests/run` counts from
/// (the test's name, a tab, the reason).
#[allow(clippy::print_stderr)]
pub fn skipped(needs: &str) {
    use std::io::Write;
    eprintln!("skipped: needs {needs}");
    if let Some(file) = std::env::var_os("AUTHD_TEST_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(file)
    {
        // A test's thread has its name. The count of a run is not worth a failure.
        let _ = writeln!(file, "{}\tneeds {needs}", std::thread::current().name().unwrap_or("?"));
    }
}

/// A file or folder of `../shared`. `None`, with a word on standard error, where there is none.
pub fn path(relative: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let found = root.join(relative);
    if found.exists() {
        return Some(found);
    }
    skipped(&format!("../shared ({relative})"));
    None
}

/// A JSON file of `../shared`.
///
/// # Panics
/// If it is there and is not JSON.
#[allow(clippy::unwrap_used)]
pub fn json(relative: &str) -> Option<Value> {
    let text = std::fs::read_to_string(path(relative)?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// A text file of `../shared`, by lines.
///
/// # Panics
/// If it is there and is not text.
#[allow(clippy::unwrap_used)]
pub fn lines(relative: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(path(relative)?).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}
