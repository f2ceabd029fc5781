//! A reader of the log that has stopped reading, or is gone (F-13).

use std::{net::SocketAddr, time::Duration};

use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tests::{
    PASSWORD,
    process::{Host, LIMIT},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, ChildStderr},
    time::timeout,
};

use super::host;

/// A daemon that logs every request into a pipe of one page, which nobody reads any more once it is ready.
async fn unread(host: &Host) -> (Child, BufReader<ChildStderr>, SocketAddr) {
    let mut child = host.daemon().env("AUTHD_LOG__LEVEL", "debug").env("AUTHD_TEST_CHEAP_HASHES", "1").spawn().await;
    let stderr = child.stderr.take().unwrap();
    fcntl(&stderr, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut log = BufReader::with_capacity(1024, stderr);
    let mut line = String::new();
    while !line.contains("authd is ready") {
        line.clear();
        assert!(timeout(LIMIT, log.read_line(&mut line)).await.unwrap().unwrap() > 0, "it has ended");
    }
    let ready: Value = serde_json::from_str(&line).unwrap();
    let address = ready["address"].as_str().unwrap().parse().unwrap();
    (child, log, address)
}

/// One request after another on one connection; how many were answered 200.
async fn many(address: SocketAddr, count: usize) -> usize {
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(count - 1)
        + "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let sender = tokio::spawn(async move { writing.write_all(request.as_bytes()).await.map(|()| writing) });
    let mut answers = String::new();
    timeout(LIMIT, reading.read_to_string(&mut answers)).await.expect("requests wait for the log").unwrap();
    drop(sender.await.unwrap().unwrap());
    answers.matches("HTTP/1.1 200").count()
}

#[tokio::test]
async fn f_13_a_log_that_nobody_reads_holds_up_no_request_and_not_the_end() {
    let host = host!();
    let (mut child, log, address) = unread(&host).await;
    // Over a megabyte of log: the pipe is full, and so is the queue behind it.
    assert_eq!(many(address, 8000).await, 8000);
    host.create_user("ada@example.com").await.ok();
    let sign_in = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    let request = format!(
        "POST /api/auth/login HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{sign_in}",
        address.port(),
        sign_in.len(),
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let status = host.ctl("status -o json").await;
    let lost = status.json()["logLinesDropped"].as_u64().unwrap();
    assert!(lost > 1000, "{lost}");
    assert_eq!(status.json()["ready"], true);

    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let ended = timeout(Duration::from_secs(20), child.wait()).await.expect("it waits for its log").unwrap();
    assert_eq!(ended.code(), Some(0));
    drop(log);
}

#[tokio::test]
async fn f_13_once_the_log_is_read_again_it_is_whole_lines_and_says_how_many_are_missing() {
    let host = host!();
    let (mut child, mut log, address) = unread(&host).await;
    assert_eq!(many(address, 8000).await, 8000);
    let lost = host.ctl("status -o json").await.json()["logLinesDropped"].as_u64().unwrap();
    let (mut told, mut answered) = (0, 0);
    let mut line = String::new();
    while told == 0 {
        line.clear();
        assert!(timeout(LIMIT, log.read_line(&mut line)).await.unwrap().unwrap() > 0, "it has ended");
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        told += event["dropped"].as_u64().unwrap_or_default();
        answered += u64::from(event["message"] == "answered");
    }
    assert!(told >= lost && answered > 100, "{told} {lost} {answered}");
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let mut rest = String::new();
    timeout(LIMIT, log.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.contains("authd stops"), "the last words are written: {rest}");
    assert_eq!(timeout(LIMIT, child.wait()).await.unwrap().unwrap().code(), Some(0));
}

#[tokio::test]
async fn f_13_a_reader_of_the_log_who_goes_away_takes_nothing_along() {
    let host = host!();
    let (mut child, log, address) = unread(&host).await;
    drop(log);
    assert_eq!(many(address, 100).await, 100);
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(timeout(LIMIT, child.wait()).await.unwrap().unwrap().code(), Some(0));
}
