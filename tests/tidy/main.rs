//! The rules of the house that a compiler does not hold: who may import whom, and what may not stand in the code.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every Rust file below a folder, with its path relative to the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, root: &Path, out: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
                walk(&path, root, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                out.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = root();
    let mut out = vec![];
    walk(&root.join(folder), &root, &mut out);
    out.sort();
    assert!(!out.is_empty(), "{folder} has no sources");
    out
}

/// The code of a file without its unit tests, which may import what they like.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// What a file names of this crate and of others: the first one or two segments of every path in its `use` items.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let code: String =
        product(text).lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for item in code.split("\nuse ").skip(1).chain(code.strip_prefix("use ")) {
        let item: String = item.split(';').next().unwrap_or_default().split_whitespace().collect();
        expand("", &item, &mut found);
    }
    // Paths that are written out in the code.
    for (at, _) in code.match_indices("crate::") {
        let path: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
        if path.len() > "crate::".len() {
            found.insert(path.split("::").take(3).collect::<Vec<_>>().join("::"));
        }
    }
    found
}

/// `a::{b::c,d}` as `a::b::c` and `a::d`.
fn expand(prefix: &str, item: &str, out: &mut BTreeSet<String>) {
    let Some(open) = item.find('{') else {
        let path = format!("{prefix}{}", item.split("as").next().unwrap_or_default());
        out.insert(path);
        return;
    };
    let prefix = format!("{prefix}{}", &item[..open]);
    let inner = &item[open + 1..item.rfind('}').unwrap_or(item.len())];
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if at > from {
                    expand(&prefix, &inner[from..at], out);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

struct Layer {
    folder: &'static str,
    /// Of this crate.
    may: &'static [&'static str],
    /// Of others, beside std and common.
    crates: &'static [&'static str],
}

/// STYLE, section 1: `main → app → {http, admin} → service → domain → common`.
const LAYERS: &[Layer] = &[
    Layer { folder: "authd/src/domain", may: &["domain"], crates: &["url"] },
    Layer {
        folder: "authd/src/service",
        may: &["service", "domain", "ports", "store", "digest"],
        crates: &["base64", "quick_cache", "serde_json", "thiserror", "tokio"],
    },
    Layer {
        folder: "authd/src/store",
        may: &["store", "domain", "ports", "digest"],
        crates: &[
            "async_trait",
            "crc32fast",
            "nix",
            "postcard",
            "quick_cache",
            "serde",
            "serde_json",
            "sled",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Layer {
        folder: "authd/src/crypto",
        may: &["crypto", "domain", "ports", "digest", "files", "json"],
        crates: &[
            "argon2",
            "async_trait",
            "aws_lc_rs",
            "base64",
            "chacha20poly1305",
            "jsonwebtoken",
            "nix",
            "rustix",
            "scrypt",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
            "unicode_normalization",
            "zeroize",
            "zxcvbn",
        ],
    },
    Layer {
        folder: "authd/src/door",
        may: &["door", "json"],
        crates: &["bytes", "futures_util", "http", "percent_encoding", "serde", "serde_json", "tokio", "url", "warp"],
    },
    Layer {
        folder: "authd/src/http",
        may: &["http", "door", "service", "domain", "ports", "store", "digest", "config"],
        crates: &[
            "base64",
            "bytes",
            "futures_util",
            "http",
            "percent_encoding",
            "serde_json",
            "tokio",
            "tracing",
            "url",
            "warp",
        ],
    },
    Layer {
        folder: "authd/src/admin",
        may: &["admin", "door", "service", "domain", "store", "digest", "config", "net"],
        crates: &["bytes", "futures_util", "http", "percent_encoding", "serde", "serde_json", "tracing", "warp"],
    },
];

/// Imports that are allowed although the layer's rule says otherwise, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

#[test]
fn the_layers_import_downwards_only() {
    let mut problems = vec![];
    for layer in LAYERS {
        for (file, text) in sources(layer.folder) {
            for import in imports(&text) {
                let segments: Vec<&str> = import.split("::").collect();
                let ok = match segments[0] {
                    "crate" => segments.get(1).is_some_and(|module| layer.may.contains(module)),
                    "self" | "super" | "std" | "common" => true,
                    // A path that begins with a type or a macro of the prelude.
                    first if first.is_empty() || first.starts_with(char::is_uppercase) => true,
                    // Enum variants of the file's own.
                    "BodyRule" | "Caller" | "OriginRule" | "Verb" | "ErrorCode" => true,
                    first => layer.crates.contains(&first),
                };
                // Services, and both doors, see the trait of the store and not its implementations.
                let implementation =
                    import.starts_with("crate::store::sled") || import.starts_with("crate::store::memory");
                let ok = ok && !(implementation && layer.folder != "authd/src/store");
                let excepted = EXCEPTIONS.iter().any(|(f, i, _)| *f == file && import.starts_with(i));
                if !ok && !excepted {
                    problems.push(format!("{file} imports {import}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn the_rule_of_imports_finds_a_fault() {
    let text = "use std::fmt;\nuse crate::{\n    domain::{User, key::KeySet},\n    store::sled::SledStore,\n};\nfn f() { crate::http::x() }\n";
    let found = imports(text);
    for expected in
        ["crate::domain::User", "crate::domain::key::KeySet", "crate::store::sled::SledStore", "crate::http::x"]
    {
        assert!(found.contains(expected), "{expected}: {found:?}");
    }
}

#[test]
fn authctl_and_common_know_nothing_of_authd() {
    for folder in ["authctl", "common"] {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(!manifest.lines().any(|line| line.starts_with("authd")), "{folder}");
    }
    let common = std::fs::read_to_string(root().join("common/Cargo.toml")).unwrap();
    assert!(!common.contains("tokio"), "no I/O in common");
}

#[test]
fn what_may_not_stand_in_the_code() {
    let mut problems = vec![];
    for folder in [
        "authd/src",
        "authctl/src",
        "common/src",
        "tests/src",
        "tests/http",
        "tests/admin",
        "tests/cli",
        "tests/process",
    ] {
        for (file, text) in sources(folder) {
            for (n, line) in text.lines().enumerate() {
                let waits =
                    line.contains("thread::sleep") || folder.starts_with("tests") && line.contains("time::sleep");
                let unfinished = ["todo!(", "unimplemented!(", "FIXME", "XXX"].iter().any(|word| line.contains(word));
                let ignored = line.contains("#[ignore");
                let unsafe_code = line.contains("unsafe {") || line.contains("allow(unsafe_code)");
                if waits || unfinished || ignored || unsafe_code {
                    problems.push(format!("{file}:{}: {}", n + 1, line.trim()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in ["authd/src", "authctl/src", "common/src", "tests/src"] {
        for (file, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{file} has no module docstring");
        }
    }
}

#[test]
fn the_top_level_is_the_agreed_one() {
    let allowed = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "authctl",
        "authd",
        "common",
        "packaging",
        "target",
        "tests",
    ];
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || allowed.contains(&name.as_str()), "{name} does not belong at the top level");
    }
}

#[test]
fn dp_01_no_dependency_comes_from_elsewhere_or_is_banned() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    assert!(!lock.contains("git+"), "git dependencies");
    for banned in ["rsa", "openssl", "openssl-sys", "bincode"] {
        assert!(!lock.contains(&format!("name = \"{banned}\"\n")), "{banned}");
    }
    assert!(lock.contains("name = \"sled\"\nversion = \"0.34.7\""));
}
