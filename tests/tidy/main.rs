//! The rules of the house that a compiler does not hold: who may import whom, and what may not stand in the code.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod pages;
mod reference;
mod requirements;

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

/// The code of a file without its unit tests, which may import what they like, and without what is no code: comments, texts
/// and characters. What is left out is a space, so that nothing grows together.
fn product(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let starts_word = !out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let raw =
            rest.trim_start_matches('b').strip_prefix('r').map(|r| (r, r.len() - r.trim_start_matches('#').len()));
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some((after, hashes)) = raw.filter(|(r, n)| starts_word && r[*n..].starts_with('"')) {
            let begin = rest.len() - after.len() + hashes + 1;
            let end = format!("\"{}", "#".repeat(hashes));
            rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len())
        } else if c == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        } else if c == '\'' {
            // A character, or a lifetime.
            let mut chars = rest[1..].char_indices();
            match (chars.next(), chars.next()) {
                (Some((_, '\\')), Some(_)) => rest[3..].find('\'').map_or(rest.len(), |end| end + 4),
                (Some(_), Some((at, '\''))) => at + 2,
                _ => 0,
            }
        } else {
            0
        };
        let (len, kept) = if skip == 0 { (c.len_utf8(), c) } else { (skip, ' ') };
        out.push(kept);
        rest = &rest[len..];
    }
    // A single item for tests does not end the code, nor does a module of them in a file of its own; one in this file does.
    let of_tests = |at: usize| {
        let item = out[at + "#[cfg(test)]".len()..].trim_start();
        let has_body = item.find('{').is_some_and(|body| item.find(';').is_none_or(|end| body < end));
        has_body && item.split_whitespace().take(2).any(|word| word == "mod")
    };
    let end = out.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| of_tests(*at)).unwrap_or(out.len());
    out.truncate(end);
    out
}

/// The files that are all tests: what a file declares as `#[cfg(test)] mod name;`.
fn files_of_tests(file: &str, text: &str) -> Vec<String> {
    let code = product(text);
    let items = code.split("#[cfg(test)]").skip(1).filter_map(|item| item.trim_start().split_once(';'));
    let names = items.filter_map(|(item, _)| match item.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["mod", name] | [_, "mod", name] => Some((*name).to_owned()),
        _ => None,
    });
    let dir = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"].iter().find_map(|end| file.strip_suffix(end)).unwrap_or(file);
    names.map(|name| format!("{dir}/{name}.rs")).collect()
}

/// The modules in which a file stands: `authd/src/http/plain.rs` in `http::plain`.
fn module_of(file: &str) -> Vec<String> {
    let inside = file.split_once("/src/").map_or(file, |(_, inside)| inside).trim_end_matches(".rs");
    let names = inside.split('/').filter(|name| !matches!(*name, "mod" | "lib" | "main"));
    names.map(str::to_owned).collect()
}

/// What a file names: every path of two segments or more in its code, in `use` items and written out, each from the root of
/// the crate (`crate::…`) where it is a path of this crate.
fn imports(file: &str, text: &str) -> BTreeSet<String> {
    let code = product(text);
    let mut found = BTreeSet::new();
    let mut scopes = vec![];
    let tokens = tokens(&code);
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            // A module within the file: `super` leads out of it into the file.
            "mod" if tokens.get(at + 2) == Some(&"{") => {
                scopes.push(Some(tokens[at + 1]));
                at += 2;
            }
            "{" => scopes.push(None),
            "}" => drop(scopes.pop()),
            "use" => {
                let end = tokens[at..].iter().position(|t| *t == ";").map_or(tokens.len(), |n| at + n);
                let mut paths = vec![];
                expand(&[], &tokens[at + 1..end], &mut paths);
                let here: Vec<&str> = scopes.iter().flatten().copied().collect();
                found.extend(paths.iter().map(|path| from_root(file, &here, path)));
                at = end;
            }
            first if is_name(first) && (at == 0 || tokens[at - 1] != "::") => {
                let mut path = vec![first];
                while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|t| is_name(t)) {
                    path.push(tokens[at + 2]);
                    at += 2;
                }
                if path.len() > 1 {
                    let here: Vec<&str> = scopes.iter().flatten().copied().collect();
                    found.insert(from_root(file, &here, &path));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<&str> {
    let mut out = vec![];
    let mut rest = code.trim_start();
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let len = match word {
            0 if rest.starts_with("::") => 2,
            0 => c.len_utf8(),
            n => n,
        };
        out.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    out
}

/// `a::{b::c, d as e}` as `a::b::c` and `a::d`.
fn expand<'a>(prefix: &[&'a str], item: &[&'a str], out: &mut Vec<Vec<&'a str>>) {
    let mut path = prefix.to_vec();
    for (at, token) in item.iter().enumerate() {
        match *token {
            "{" => {
                let inner = &item[at + 1..item.iter().rposition(|t| *t == "}").unwrap_or(item.len())];
                let mut depth = 0;
                let parts = inner.split(|token| {
                    depth += i32::from(*token == "{") - i32::from(*token == "}");
                    *token == "," && depth == 0
                });
                parts.filter(|part| !part.is_empty()).for_each(|part| expand(&path, part, out));
                return;
            }
            "as" => break,
            "::" => {}
            // `use a::{self}` is `a`.
            "self" if !path.is_empty() => {}
            name => path.push(name),
        }
    }
    out.push(path);
}

/// `super::x` and `self::x` as what they mean in this file, in these modules of it.
fn from_root(file: &str, within: &[&str], path: &[&str]) -> String {
    let mut here: Vec<String> = module_of(file).into_iter().chain(within.iter().map(ToString::to_string)).collect();
    let relative = path.iter().take_while(|name| matches!(**name, "super" | "self")).count();
    if relative == 0 {
        return path.join("::");
    }
    for _ in path[..relative].iter().filter(|name| **name == "super") {
        here.pop();
    }
    let rest = path[relative..].iter().map(ToString::to_string);
    ["crate".to_owned()].into_iter().chain(here).chain(rest).collect::<Vec<_>>().join("::")
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
    Layer { folder: "authd/src/domain", may: &["domain"], crates: &["psl", "url"] },
    Layer { folder: "authd/src/metrics", may: &["metrics"], crates: &["nix"] },
    Layer {
        folder: "authd/src/service",
        may: &["service", "domain", "ports", "store", "digest", "json", "metrics"],
        crates: &[
            "serde",
            "zeroize",
            "futures_util",
            "base64",
            "quick_cache",
            "percent_encoding",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Layer {
        folder: "authd/src/mailer",
        may: &["mailer", "ports"],
        crates: &["async_trait", "lettre", "tokio", "tracing"],
    },
    Layer {
        folder: "authd/src/webhook",
        may: &["webhook", "ports", "crypto"],
        crates: &[
            "async_trait",
            "base64",
            "bytes",
            "http",
            "http_body_util",
            "hyper_rustls",
            "hyper_util",
            "rustls",
            "rustls_native_certs",
            "tokio",
            "zeroize",
        ],
    },
    Layer {
        folder: "authd/src/store",
        may: &["store", "domain", "ports", "digest", "metrics"],
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
            "zstd",
        ],
    },
    Layer {
        folder: "authd/src/crypto",
        may: &["crypto", "domain", "ports", "digest", "files", "json", "metrics"],
        crates: &[
            "argon2",
            "async_trait",
            "aws_lc_rs",
            "base64",
            "bcrypt",
            "bech32",
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
        crates: &[
            "bytes",
            "futures_util",
            "http",
            "matchit",
            "percent_encoding",
            "schemars",
            "serde",
            "serde_json",
            "tokio",
            "url",
            "warp",
            "zeroize",
        ],
    },
    Layer {
        folder: "authd/src/http",
        may: &["http", "door", "service", "domain", "ports", "store", "digest", "config", "live", "metrics"],
        crates: &[
            "base64",
            "bytes",
            "futures_util",
            "http",
            "memchr",
            "percent_encoding",
            "quick_cache",
            "serde",
            "serde_json",
            "tokio",
            "tracing",
            "url",
            "warp",
        ],
    },
    Layer {
        folder: "authd/src/admin",
        may: &["admin", "door", "service", "domain", "store", "digest", "config", "live", "metrics", "net"],
        crates: &["bytes", "futures_util", "http", "percent_encoding", "serde", "serde_json", "tracing", "warp"],
    },
];

/// What of a file's imports its layer may not have.
fn misplaced(layer: &Layer, file: &str, text: &str) -> Vec<String> {
    let imports = imports(file, text);
    // What is imported, or declared here, is named without its own path afterwards.
    let local: BTreeSet<&str> = imports.iter().filter_map(|import| import.rsplit("::").next()).collect();
    let code = product(text);
    let tokens = tokens(&code);
    let declared = |name: &str| tokens.windows(2).any(|w| w[0] == "mod" && w[1] == name);
    let renamed = |name: &str| tokens.windows(2).any(|w| w[0] == "as" && w[1] == name);
    let ok = |import: &String| {
        let segments: Vec<&str> = import.split("::").collect();
        // Services, and both doors, see the trait of the store and not its implementations.
        let implementation = ["crate::store::sled", "crate::store::memory"].iter().any(|i| import.starts_with(i));
        if implementation && layer.folder != "authd/src/store" {
            return false;
        }
        match segments[0] {
            "crate" => segments.get(1).is_some_and(|module| layer.may.contains(module)),
            // `clippy` is no crate but a word of attributes.
            "std" | "common" | "clippy" => true,
            // A type, its constants and functions; a primitive type; what stands here by that name already.
            first if first.starts_with(char::is_uppercase) => true,
            "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i32" | "i64" | "str" | "char" => true,
            first if layer.crates.contains(&first) => true,
            first => segments.len() > 1 && (local.contains(first) || declared(first) || renamed(first)),
        }
    };
    imports.iter().filter(|import| !ok(import)).map(|import| format!("{file} imports {import}")).collect()
}

#[test]
fn the_layers_import_downwards_only() {
    let mut problems = vec![];
    for layer in LAYERS {
        let sources = sources(layer.folder);
        let tests: Vec<String> = sources.iter().flat_map(|(file, text)| files_of_tests(file, text)).collect();
        for (file, text) in sources.iter().filter(|(file, _)| !tests.contains(file)) {
            problems.extend(misplaced(layer, file, text));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// A checker counts only after it was seen to catch a fault.
#[test]
fn the_rule_of_imports_finds_seeded_faults() {
    let domain = LAYERS.iter().find(|layer| layer.folder == "authd/src/domain").unwrap();
    let faults = |file: &str, text: &str| misplaced(domain, file, text);
    let file = "authd/src/domain/session.rs";
    for bad in [
        "use crate::http::App;",
        "use crate::{domain::User, http::App};",
        "use crate::{\n    domain::{User, key::KeySet},\n    store::sled::SledStore,\n};",
        "pub use crate::http::App;",
        "pub(crate) use crate::passwords;",
        "use crate::passwords::{self, basic as b};",
        "use super::super::http::App;",
        "use super::{super::http::App, user::User};",
        "use super::{user::User as Asset, super::service as s};",
        "fn f() { crate::http::x() }",
        "fn f() { super::super::http::x() }",
        "fn f(x: Option<crate::store::Meta>) {}",
        "fn f() {\n    use crate::service::Services;\n}",
        "mod inner {\n    use super::super::super::http::App;\n}",
        "mod inner { fn f() { super::super::super::service::x() } }",
        "use tokio::sync::watch;",
        "fn f() { tokio::spawn(x) }",
        "#[derive(serde::Serialize)] struct X;",
        "const A: &str = \"\\\"\"; use crate::http::App;",
        "const A: char = '\"'; use crate::http::App; const B: char = '\"';",
        "const A: &str = r#\"\"\"#; use crate::http::App;",
        "#[cfg(test)]\nuse std::fmt;\nuse crate::http::App;",
        "#[cfg(test)]\nmod tampering;\nuse crate::http::App;",
        "#[cfg(test)]\nmod tampering;\nmod inner { use crate::http::App; }",
    ] {
        assert!(!faults(file, bad).is_empty(), "{bad}");
    }
    for good in [
        "use std::{fmt, net::IpAddr};\nuse common::{Email, UserId};\nfn f() { fmt::Error }",
        "use super::{user::User, key};\nuse crate::domain::passwords as p;\nfn f() { key::x(); p::y(); u64::from(1) }",
        "mod inner {\n    use super::super::User;\n    fn f() { super::g() }\n}\nfn h() { inner::f() }",
        "use url::Url;",
        "//! crate::http::App\n/// use crate::http;\nconst A: &str = \"crate::http::x\"; // tokio::spawn",
        "/* use crate::http::App; */ const B: &[u8] = br#\"use crate::http::\"App\"#;",
        "fn f<'a>(x: &'a str, y: &'a str) -> Type { Type::new() }\n#[cfg(test)]\nmod tests { use crate::http::App; }",
    ] {
        assert_eq!(faults(file, good), Vec::<String>::new(), "{good}");
    }
    let declares =
        "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\npub(super) mod c;\nmod d;\n#[cfg(test)]\nmod tests { mod e; }";
    assert_eq!(files_of_tests("authd/src/x.rs", declares), ["authd/src/x/b.rs", "authd/src/x/c.rs"]);
    assert_eq!(files_of_tests("authd/src/x/mod.rs", declares), ["authd/src/x/b.rs", "authd/src/x/c.rs"]);
    let service = LAYERS.iter().find(|layer| layer.folder == "authd/src/service").unwrap();
    let hidden = "use crate::store::{Store, sled::SledStore};";
    assert_eq!(misplaced(service, "authd/src/service/users.rs", hidden).len(), 1, "the store's trait, not its kinds");
}

/// A handler calls one function of the services; it asks nothing of the store itself.
#[test]
fn the_doors_leave_the_store_to_the_services() {
    let asks = |text: &str| product(text).contains(".store.");
    for folder in ["authd/src/http", "authd/src/admin", "authd/src/door"] {
        for (file, text) in sources(folder) {
            assert!(!asks(&text), "{file} asks the store");
        }
    }
    assert!(asks("fn f() { app.services.store.user(id) }"));
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

/// The one place with `unsafe`, and why it is needed: no safe interface maps memory in huge pages.
const UNSAFE: &str = "authd/src/crypto/hasher/memory.rs";

#[test]
fn dp_02_what_may_not_stand_in_the_code() {
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
        "tests/faults",
    ] {
        for (file, text) in sources(folder) {
            for (n, line) in text.lines().enumerate() {
                let waits =
                    line.contains("thread::sleep") || folder.starts_with("tests") && line.contains("time::sleep");
                let unfinished = ["todo!(", "unimplemented!(", "FIXME", "XXX"].iter().any(|word| line.contains(word));
                let ignored = line.contains("#[ignore");
                let unsafe_code = line.contains("unsafe ") && !line.trim_start().starts_with("//")
                    || line.contains("allow(unsafe_code)");
                let unsafe_code = unsafe_code && file != UNSAFE;
                if waits || unfinished || ignored || unsafe_code {
                    problems.push(format!("{file}:{}: {}", n + 1, line.trim()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    // There each says why it may (in the code of the product, not of its tests).
    let text = std::fs::read_to_string(root().join(UNSAFE)).unwrap();
    let lines: Vec<&str> = text.split("#[cfg(test)]\nmod").next().unwrap_or_default().lines().collect();
    let is_unsafe = |line: &str| line.contains("unsafe ") && !line.trim_start().starts_with("//");
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
        let is_said = lines[n.saturating_sub(3)..n].iter().any(|line| line.contains("SAFETY") || line.contains("//"));
        assert!(is_said, "{UNSAFE}:{}: {}", n + 1, line.trim());
    }
}

/// What calls out is named here: mail, to the server of `mail.host`, with TLS but to this machine, within `mail.timeout` a step;
/// and webhooks, to the addresses of `[hooks]` and `[events]`, within their time-outs, following nothing.
#[test]
fn op_05_authd_has_nothing_by_which_it_could_connect_to_another_host_but_for_mail_and_webhooks() {
    const MAILS: &str = "authd/src/mailer/smtp.rs";
    const DRILL: &str = "authd/src/backup/drill.rs";
    const WEBHOOKS: &str = "authd/src/webhook/mod.rs";
    const CALLS: [&str; 8] = [
        "TcpStream::connect",
        "TcpSocket",
        "UdpSocket",
        "lookup_host",
        "ToSocketAddrs",
        "to_socket_addrs",
        "hyper::client",
        "client::legacy",
    ];
    let calls = |text: &str| CALLS.iter().filter(|call| product(text).contains(**call)).count();
    let mut problems = vec![];
    for folder in ["authd/src", "common/src"] {
        let sources = sources(folder);
        let tests: Vec<String> = sources.iter().flat_map(|(file, text)| files_of_tests(file, text)).collect();
        let callers = sources.into_iter().filter(|(file, text)| calls(text) > 0 && !tests.contains(file));
        problems.extend(callers.map(|(file, _)| file));
    }
    // A drill asks the daemon that it has started itself, on this machine.
    assert_eq!(problems, [DRILL, WEBHOOKS]);
    let drill = std::fs::read_to_string(root().join(DRILL)).unwrap();
    assert!(calls(&drill) == 1 && drill.contains("if !to.ip().is_loopback()"));
    let mails =
        |text: &str| ["AsyncSmtpTransport", "SmtpTransport", "SendmailTransport"].iter().any(|t| text.contains(t));
    let senders: Vec<String> =
        sources("authd/src").into_iter().filter(|(_, text)| mails(text)).map(|(file, _)| file).collect();
    assert_eq!(senders, [MAILS]);
    let manifest = std::fs::read_to_string(root().join("authd/Cargo.toml")).unwrap();
    let normal = manifest.split("[dev-dependencies]").next().unwrap();
    let clients = ["reqwest", "ureq", "hickory", "tokio-postgres", "tokio-rustls"];
    assert!(!clients.iter().any(|client| normal.contains(client)), "a crate that calls out");
    // Seen to find one.
    assert_eq!(calls("fn f() { tokio::net::TcpStream::connect(x) } // UdpSocket"), 1);
}

/// Fields that would show a secret: they have the name of one and a type that prints, or a type that is key material.
fn shown_secrets(text: &str) -> Vec<String> {
    const NAMES: [&str; 7] = ["password", "secret", "token", "private", "cookie", "authorization", "master_key"];
    const PRINTS: [&str; 8] = ["String", "Vec<u8>", "[u8", "Box<str>", "Arc<str>", "Arc<[u8]>", "Value", "Bytes"];
    const MATERIAL: [&str; 6] = ["Zeroizing<", "hmac::Key", "XChaCha20Poly1305", "KeyPair", "HeaderMap", "SigningPair"];
    let mut found = vec![];
    for (at, _) in text.match_indices("#[derive(") {
        let rest = &text[at..];
        let Some((derived, item)) = rest.split_once(")]") else { continue };
        let has_debug = derived.split(['(', ',']).any(|name| name.trim() == "Debug");
        // As far as the item goes: to its closing brace, or to the end of a tuple struct.
        let tuple = item.find(";\n").filter(|end| !item[..*end].contains('{'));
        let end = [item.find("\n}"), tuple].into_iter().flatten().min();
        let Some(end) = end.filter(|_| has_debug) else { continue };
        let lines = || item[..end].lines().filter(|line| !line.trim_start().starts_with("#["));
        let name = lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let name = name.split([' ', '(', '{']).filter(|word| !word.is_empty()).take(3).collect::<Vec<_>>().join(" ");
        for line in lines() {
            let (field, kind) = line.split_once(": ").unwrap_or(("", line));
            let field = field.trim().trim_start_matches("pub ").to_owned();
            let is_named = NAMES.iter().any(|secret| field == *secret || field.ends_with(&format!("_{secret}")));
            let prints = PRINTS.iter().any(|plain| kind.trim_start_matches("Option<").starts_with(plain));
            if is_named && prints || MATERIAL.iter().any(|material| kind.contains(material)) {
                found.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    found
}

#[test]
fn cr_04_no_type_prints_the_secrets_it_holds() {
    // Public by intent: the handle of a session, by Better Auth's name; and how a password is stored, a word.
    let public = ["SessionBody", "SignUpBody", "SignInBody", "PasswordChangedBody"];
    let public = public.map(|name| format!("api.rs: pub struct {name}"));
    let word = "admin.rs: pub struct UserView: pub password".to_owned();
    let mut problems = vec![];
    for folder in ["authd/src", "authctl/src", "common/src"] {
        for (file, text) in sources(folder) {
            problems.extend(shown_secrets(&product(&text)).into_iter().map(|found| format!("{file}: {found}")));
        }
    }
    problems.retain(|found| !public.iter().chain([&word]).any(|known| found.contains(known.as_str())));
    assert!(problems.is_empty(), "write a Debug of its own, or hold a SecretString:\n{}", problems.join("\n"));
}

#[test]
fn the_rule_of_debug_finds_seeded_faults() {
    for bad in [
        "#[derive(Debug)]\nstruct A {\n    password: String,\n}\n",
        "#[derive(Debug, Clone)]\npub struct A {\n    x: u8,\n    pub refresh_token: Option<String>,\n}\n",
        "#[derive(Clone, Debug)]\npub struct A {\n    pub new_secret: Arc<str>,\n}\n",
        "#[derive(Debug)]\npub struct Key(Zeroizing<[u8; 32]>);\n",
        "#[derive(Debug)]\nenum A {\n    Some {\n        token: Vec<u8>,\n    },\n}\n",
        "#[derive(Debug)]\nstruct Keys {\n    mac: hmac::Key,\n}\n",
        "#[derive(Debug)]\nstruct Unit;\n#[derive(Debug)]\nstruct A {\n    token: String,\n}\n",
    ] {
        assert_eq!(shown_secrets(bad).len(), 1, "{bad}");
    }
    for good in [
        "#[derive(Clone)]\nstruct A {\n    password: String,\n}\n",
        "#[derive(Debug)]\nstruct A {\n    password: SecretString,\n    token: Option<SecretString>,\n}\n",
        "#[derive(Debug)]\nstruct A {\n    token_life: Span,\n    token_type: String,\n}\n",
        "pub struct Key(Zeroizing<[u8; 32]>);\n",
    ] {
        assert_eq!(shown_secrets(good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn dp_02_release_builds_check_overflows_and_unwind() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let release = manifest.split("\n[profile.release]\n").nth(1).unwrap().split("\n[").next().unwrap();
    for line in ["overflow-checks = true", "panic = \"unwind\""] {
        assert!(release.lines().any(|found| found == line), "{line}");
    }
    // zxcvbn overflows on purpose-made input, and its numbers are only estimates.
    let unchecked = manifest.matches("overflow-checks = false").count();
    assert_eq!(unchecked, manifest.matches("package.zxcvbn]\n").count(), "of no other package");
}

#[test]
fn cr_06_secrets_are_compared_in_constant_time_and_no_rsa_crate_is_in_the_tree() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    assert!(!lock.contains("name = \"rsa\"\n"), "its private-key operations leak timing (RUSTSEC-2023-0071)");
    // What `expose()` gives, and MACs, may only go through `is_same_secret`.
    let compares = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        let secret = ["expose()", ".mac(", "_mac(", "mac ==", "== mac", "signature ==", "== signature"];
        (code.contains("==") || code.contains("!=")) && secret.iter().any(|word| code.contains(word))
    };
    for seeded in ["if token.expose() == stored", "if self.mac.mac(&[x]) != found {", "expected_mac == mac"] {
        assert!(compares(seeded), "{seeded}");
    }
    let mut problems = vec![];
    for folder in ["authd/src", "authctl/src", "common/src"] {
        for (file, text) in sources(folder) {
            let found = product(&text).lines().filter(|line| compares(line)).map(str::to_owned).collect::<Vec<_>>();
            problems.extend(found.into_iter().map(|line| format!("{file}: {}", line.trim())));
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
