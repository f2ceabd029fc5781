//! Who does nothing wrong meanwhile: several requests at once on one connection, each for somebody else's session.

use tests::{Client, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How many requests are on their way on one connection.
const PIPELINED: usize = 6;

/// Somebody with an account.
pub(super) struct Neighbour {
    email: String,
    token: String,
}

/// The answers on a connection: status and body of each.
pub(super) fn answers(mut bytes: &str) -> Vec<(u16, String)> {
    let mut found = vec![];
    while let Some((head, rest)) = bytes.split_once("\r\n\r\n") {
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        let Some(body) = rest.get(..length.unwrap_or(0)) else { break };
        found.push((status, body.to_owned()));
        bytes = &rest[body.len()..];
    }
    found
}

/// What is wrong with the answers to requests that asked alternately with and without a credential.
pub(super) fn mixed_up(email: &str, answers: &[(u16, String)]) -> Option<String> {
    if answers.len() != PIPELINED {
        return Some(format!("{} answers to {PIPELINED} requests of {email}", answers.len()));
    }
    let is_right = |(n, (status, body)): (usize, &(u16, String))| match n % 3 {
        0 => *status == 200 && body.contains(&format!("\"{email}\"")),
        1 => *status == 401 && body.contains("UNAUTHORIZED"),
        _ => *status == 404 && !body.contains('@'),
    };
    let wrong = answers.iter().enumerate().find(|answer| !is_right(*answer));
    wrong.map(|(n, answer)| format!("answer {n} to {email} is {answer:?}"))
}

impl Neighbour {
    pub(super) async fn new(server: &Server, n: usize) -> Self {
        let email = format!("neighbour{n}@example.com");
        let token = server.sign_up(&email).await.text("/access_token");
        Self { email, token }
    }

    /// Sends them all and reads the answers. How many there were.
    pub(super) async fn look_on(&mut self, server: &Server) -> Result<usize, String> {
        let host = Client::host_of(server);
        let request = |n: usize| {
            let bearer = format!("Authorization: Bearer {}\r\n", self.token);
            let (path, credential) = match n % 3 {
                0 => ("/api/auth/me", bearer.as_str()),
                1 => ("/api/auth/me", ""),
                _ => ("/api/auth/nothing-here", bearer.as_str()),
            };
            let close = if n + 1 == PIPELINED { "Connection: close\r\n" } else { "" };
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{credential}{close}\r\n")
        };
        let all: String = (0..PIPELINED).map(request).collect();
        let mut stream = TcpStream::connect(server.address).await.map_err(|e| e.to_string())?;
        stream.write_all(all.as_bytes()).await.map_err(|e| e.to_string())?;
        let mut bytes = vec![];
        stream.read_to_end(&mut bytes).await.map_err(|e| e.to_string())?;
        let answers = answers(&String::from_utf8_lossy(&bytes));
        mixed_up(&self.email, &answers).map_or(Ok(answers.len()), Err)
    }
}

#[test]
fn f_22_answers_that_are_mixed_up_are_found() {
    let me = |email: &str| (200, format!("{{\"user\":{{\"email\":\"{email}\"}}}}"));
    let (none, lost) = ((401, "{\"code\":\"UNAUTHORIZED\"}".to_owned()), (404, String::new()));
    let right = vec![me("a@b"), none.clone(), lost.clone(), me("a@b"), none.clone(), lost.clone()];
    assert_eq!(mixed_up("a@b", &right), None);
    let mut swapped = right.clone();
    swapped.swap(0, 1);
    let mut foreign = right.clone();
    foreign[3] = me("c@d");
    let mut doubled = right.clone();
    doubled.insert(1, none);
    for wrong in [swapped, foreign, doubled, right[..5].to_vec()] {
        assert!(mixed_up("a@b", &wrong).is_some(), "{wrong:?}");
    }
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(answers(text), [(200, "ok".to_owned()), lost]);
}
