//! Other people's strings never make a line of the log, or anything that acts on an operator's terminal (LG-03).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tests::{PASSWORD, ctl::ctl, process::LIMIT, shared};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::host;

/// What a terminal acts upon, and what forges a line.
const HOSTILE: &[&str] = &[
    "\u{1b}[2J\u{1b}[1;1H\u{1b}]0;owned\u{7}",
    "\u{1b}]8;;http://evil.example\u{1b}\\click\u{1b}]8;;\u{1b}\\",
    "\u{9b}31mred\u{9b}0m",
    "x\r\n{\"timestamp\":\"2026-01-01T00:00:00Z\",\"level\":\"INFO\",\"message\":\"forged\"}",
    "x\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n",
    "x\u{2028}forged\u{2029}forged\u{85}forged",
    "\u{202e}desrever\u{202c} \u{2066}isolated\u{2069}",
    "\u{8}\u{8}\u{8}\u{7f}\u{c}\u{b}",
    "%0d%0aforged: yes",
    "\"},{\"message\":\"forged\"",
];

/// Header values may have any byte but line ends and NUL in them, if the server takes them.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], "?")
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[tokio::test]
async fn lg_03_no_string_makes_a_line_of_the_log_or_reaches_a_terminal_as_more_than_text() {
    let host = host!();
    let step = if std::env::var_os("AUTHD_TEST_LONG").is_some() { 1 } else { 3 };
    let mut strings: Vec<String> = HOSTILE.iter().map(|text| (*text).to_owned()).collect();
    if let Some(naughty) = shared::json("vectors/blns/blns.json") {
        strings.extend(naughty.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).step_by(step));
    }
    let running = host.daemon().env("AUTHD_TEST_CHEAP_HASHES", "1").env("AUTHD_LOG__LEVEL", "debug").start().await;
    host.create_user("ada@example.com").await.ok();
    let port = running.address.port();
    let mut answered = 0;
    let mut raw = async |head: String, body: &str| {
        let length = body.len();
        let close = format!("Host: localhost:{port}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(format!("{head}{close}").as_bytes()).await;
        let mut answer = vec![];
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
        // What hyper refuses by itself has no id, and no line.
        answered += answer.matches("x-request-id: ").count();
    };
    for (n, text) in strings.iter().enumerate() {
        let sign_up = json!({"email": format!("user{n}@example.com"), "password": PASSWORD, "name": text}).to_string();
        let typed = "Content-Type: application/json\r\n";
        raw(format!("POST /api/auth/signup HTTP/1.1\r\n{typed}User-Agent: {}\r\n", one_line(text)), &sign_up).await;
        let sign_in = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
        raw(format!("POST /api/auth/login HTTP/1.1\r\n{typed}User-Agent: {}\r\n", one_line(text)), &sign_in).await;
        raw(format!("GET /api/auth/{} HTTP/1.1\r\n", encoded(text)), "").await;
        raw(format!("GET /{} HTTP/1.1\r\n", one_line(text)), "").await;
        let header = json!({"alg": "EdDSA", "kid": text, "typ": "at+jwt"}).to_string();
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        raw(format!("GET /api/auth/me HTTP/1.1\r\nAuthorization: Bearer {token}\r\n"), "").await;
        raw(format!("GET /api/auth/me HTTP/1.1\r\nCookie: better-auth.session_token={}\r\n", one_line(text)), "").await;
        // An operator may type anything too.
        let socket = host.socket();
        for line in [["user", "disable", "ada@example.com"], ["user", "enable", "ada@example.com"]] {
            let reason = format!("--reason={text}");
            let mut args = [&line[..], &[&reason]].concat();
            if line[1] == "disable" {
                args.push("--yes");
            }
            let done = ctl(&socket).args(&args).await;
            assert!(!done.out.contains('\u{1b}') && !done.err.contains('\u{1b}'), "{done:?}");
        }
        for noun in ["user show", "session show", "keys revoke --yes"] {
            let args: Vec<&str> = noun.split(' ').chain(["--", text]).collect();
            let shown = ctl(&socket).args(&args).await;
            assert!(!shown.out.contains('\u{1b}') && !shown.err.contains('\u{1b}'), "{shown:?}");
        }
    }
    for list in ["user list --all", "session list --all", "audit list --limit 500"] {
        let table = ctl(&host.socket()).run(list).await.ok().out;
        assert!(table.lines().count() > 10, "{table}");
        for forbidden in ['\u{1b}', '\u{9b}', '\r', '\u{202e}', '\u{2066}', '\u{2028}', '\u{85}', '\u{8}'] {
            assert!(!table.contains(forbidden), "{forbidden:?} in {list}");
        }
        assert!(!table.lines().any(|line| line.trim_start().starts_with("{\"")), "{table}");
    }
    let log = running.stop().await.err;
    let events: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"))).collect();
    assert!(events.iter().all(|event| event["timestamp"].is_string() && event["target"].is_string()));
    assert_eq!(events.iter().filter(|event| event["message"] == "answered").count(), answered);
    assert!(!events.iter().any(|event| event["message"] == "forged"));
    for forbidden in ['\u{1b}', '\u{9b}', '\r', '\u{202e}', '\u{2066}', '\u{2028}', '\u{85}', '\u{8}', '\u{7f}'] {
        assert!(!log.contains(forbidden), "{forbidden:?} in the log");
    }
    assert!(answered > strings.len() * 3, "{answered}");
}
