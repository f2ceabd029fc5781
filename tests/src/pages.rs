//! The pages that people read (README, manual, map of the code), and the blocks of code in them.

use std::path::{Path, PathBuf};

/// One fenced block.
pub struct Block {
    /// Where it stands: `packaging/manual/src/mail.md:18`.
    pub place: String,
    /// What stands after the fence.
    pub language: String,
    /// The HTML comment in the line before, without its arrows; empty without one.
    pub mark: String,
    /// The lines between the fences.
    pub text: String,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page, as its path from the root and its text.
///
/// # Panics
/// If they cannot be read.
#[allow(clippy::unwrap_used)]
pub fn pages() -> Vec<(String, String)> {
    let manual = std::fs::read_dir(root().join("packaging/manual/src")).unwrap();
    let mut paths: Vec<String> = manual
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
        .map(|name| format!("packaging/manual/src/{name}"))
        .collect();
    paths.extend(["README.md", "ARCHITECTURE.md", "packaging/npm/better-auth-authd/README.md"].map(str::to_owned));
    paths.sort();
    let read = |path: String| {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The blocks of a page. In a list they are indented, as a whole.
pub fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut found = vec![];
    let mut before = "";
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let trimmed = line.trim_start();
        if let Some(language) = trimmed.strip_prefix("```") {
            let indent = line.len() - trimmed.len();
            let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let text: String = inside.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect();
            let mark = before.trim().strip_prefix("<!--").and_then(|mark| mark.strip_suffix("-->")).unwrap_or_default();
            let (language, mark) = (language.trim().to_owned(), mark.trim().to_owned());
            found.push(Block { place: format!("{page}:{}", at + 1), language, mark, text });
        }
        before = line;
    }
    found
}

/// The blocks of all pages.
pub fn all_blocks() -> Vec<Block> {
    pages().iter().flat_map(|(page, text)| blocks(page, text)).collect()
}
