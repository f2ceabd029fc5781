//! The same asked of authd and of another server, in turns.

use super::{
    Arc, Ask, Duration, PASSWORD, Peer, Report, Rounds, Spread, User, Wanted, always, ask_once, json, measured,
    read_answer, request, servers, sign_up,
};

struct Pair {
    name: &'static str,
    connections: usize,
    ours: Ask,
    theirs: Ask,
    /// The least ratio of requests a second.
    budget: Option<f64>,
}

async fn beside(wanted: &Wanted, ours: &Peer, theirs: &Peer, pairs: &[Pair], report: &mut Report) {
    for Pair { name, connections, ours: own, theirs: its, budget } in pairs {
        let (mut a, mut b, mut ratio) = (Rounds::default(), Rounds::default(), Spread::default());
        for _ in 0..wanted.rounds {
            let of_ours = measured(ours, *connections, wanted.lasts, own).await;
            let of_theirs = measured(theirs, *connections, wanted.lasts, its).await;
            ratio.add(of_ours.0.rate() / of_theirs.0.rate());
            a.add(&of_ours.0, of_ours.1);
            b.add(&of_theirs.0, of_theirs.1);
        }
        let p99 = a.p99.median() / b.p99.median();
        let mark = |is_met: bool| if is_met { "met" } else { "not met" };
        let met =
            |budget: f64| format!("≥ {budget}: {}; p99 ≤ 1/20: {}", mark(ratio.median() >= budget), mark(p99 <= 0.05));
        report.row(&[
            (*name).into(),
            connections.to_string(),
            a.rate.whole(),
            a.p99.fine(),
            b.rate.whole(),
            b.p99.fine(),
            ratio.tenths(),
            budget.map_or(String::new(), met),
        ]);
    }
    let mib = |peer: &Peer| peer.resident() as f64 / 1024.0;
    one_value("resident after all that: MiB", &Spread::of(mib(ours)), &Spread::of(mib(theirs)), None, report);
}

/// A row of what has one value for each; `budget`: what part of theirs ours may be, at most one by so much.
fn one_value(name: &str, ours: &Spread, theirs: &Spread, budget: Option<f64>, report: &mut Report) {
    let part = theirs.median() / ours.median();
    let met = |budget: f64| format!("≤ 1/{budget}: {}", if part >= budget { "met" } else { "not met" });
    report.row(&[
        name.into(),
        String::new(),
        ours.whole(),
        String::new(),
        theirs.whole(),
        String::new(),
        format!("1/{part:.1}"),
        budget.map_or(String::new(), met),
    ]);
}

/// Starts both anew, in turns: how long each takes, and what it holds when it was asked nothing for a second.
async fn starts(
    wanted: &Wanted,
    report: &mut Report,
    budget: Option<f64>,
    start: impl Fn() -> Result<Peer, String>,
) -> Result<(), String> {
    let mut spreads: [Spread; 4] = Default::default();
    for _ in 0..wanted.rounds {
        for n in 0..2 {
            let peer = if n == 0 { servers::authd(tempfile::tempdir().unwrap()) } else { start()? };
            tokio::time::sleep(Duration::from_secs(1)).await;
            spreads[n].add(peer.started_in.as_secs_f64() * 1e3);
            spreads[n + 2].add(peer.resident() as f64 / 1024.0);
        }
    }
    one_value("first start: ms", &spreads[0], &spreads[1], budget, report);
    one_value("resident a second after: MiB", &spreads[2], &spreads[3], budget, report);
    Ok(())
}

/// Better Auth's scrypt of [`PASSWORD`], as it stores it.
const SCRYPT: &str = "00112233445566778899aabbccddeeff:267a33c2ae63f1c2d542f84d50b7d87c68900c8b9475f6a47ade71cf44b234822e0a34af1d226572b5caf52809319d4c486f3d209cc2fd022fb53bb4eaeb35b1";

pub async fn peers(wanted: &Wanted, report: &mut Report) {
    let head = |theirs: &'static str| {
        ["what", "connections", "authd: requests/s", "p99 ms", theirs, "p99 ms", "ratio", "budget"]
    };
    report.section(
        "Beside Better Auth",
        "The real server on Node in production mode, with its data in SQLite in memory and its default scrypt; authd's is on disk. \
         \"With the same scrypt\": accounts that came from Better Auth, each at its first sign-in, \
         after which authd has hashed the password anew.",
        &head("Better Auth: requests/s"),
    );
    match servers::better_auth() {
        Ok(theirs) => {
            beside_better_auth(wanted, &theirs, report).await;
            drop(theirs);
            starts(wanted, report, Some(8.0), servers::better_auth).await.unwrap();
        }
        Err(why) => report.row(&[format!("skipped: {why}")]),
    }
    report.section(
        "Beside fastapi-users",
        "On uvicorn with uvloop and httptools, its sessions in SQLite in a file, by cookie, as its documentation sets it up; authd's plain \
         endpoints.",
        &head("fastapi-users: requests/s"),
    );
    match servers::fastapi_users(tempfile::tempdir().unwrap()) {
        Ok(theirs) => {
            beside_fastapi_users(wanted, &theirs, report).await;
            drop(theirs);
            starts(wanted, report, None, || servers::fastapi_users(tempfile::tempdir().unwrap())).await.unwrap();
        }
        Err(why) => report.row(&[format!("skipped: {why}")]),
    }
}

async fn beside_better_auth(wanted: &Wanted, theirs: &Peer, report: &mut Report) {
    let ours = servers::authd(tempfile::tempdir().unwrap());
    let (own, its) = (sign_up(&ours, "ada@example.com").await, sign_up(theirs, "ada@example.com").await);
    let asks = |peer: &Peer, user: &User| {
        let (cookie, origin) = ([("cookie", user.cookie.as_str())], format!("http://{}", peer.host));
        let body = json!({"email": user.email, "password": PASSWORD});
        [
            request(peer, "GET /api/auth/get-session", &cookie, None),
            request(peer, "GET /api/auth/jwks", &[], None),
            request(peer, "POST /api/auth/sign-in/email", &[("origin", &origin)], Some(&body)),
        ]
        .map(always)
    };
    let ([session, jwks, sign_in], its) = (asks(&ours, &own), asks(theirs, &its));
    // Each signs in once, and none twice.
    let rows: String = (0..20_000)
        .map(|n| json!({"email": format!("of{n}@example.com"), "passwordHash": SCRYPT}).to_string() + "\n")
        .collect();
    servers::import(ours.dir.as_ref().unwrap().path(), &rows);
    let (next, host, origin) =
        (std::sync::atomic::AtomicU64::new(0), ours.host.clone(), format!("http://{}", ours.host));
    let of_scrypt: Ask = Arc::new(move |_, _| {
        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let body = json!({"email": format!("of{n}@example.com"), "password": PASSWORD}).to_string();
        format!(
            "POST /api/auth/sign-in/email HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    });
    let pair = |name, connections, ours: &Ask, at: usize, budget| Pair {
        name,
        connections,
        ours: ours.clone(),
        theirs: its[at].clone(),
        budget: Some(budget),
    };
    let pairs = [
        pair("get-session", 1, &session, 0, 80.0),
        pair("get-session", 32, &session, 0, 80.0),
        pair("jwks", 32, &jwks, 1, 40.0),
        pair("sign-in", 8, &sign_in, 2, 5.0),
        pair("sign-in with the same scrypt", 8, &of_scrypt, 2, 1.5),
    ];
    beside(wanted, &ours, theirs, &pairs, report).await;
}

async fn beside_fastapi_users(wanted: &Wanted, theirs: &Peer, report: &mut Report) {
    let ours = servers::authd(tempfile::tempdir().unwrap());
    let own = sign_up(&ours, "ada@example.com").await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let made = ask_once(theirs, &request(theirs, "POST /auth/register", &[], Some(&body))).await;
    assert_eq!(made.0, 201, "{}", String::from_utf8_lossy(&made.1));
    let form = format!("username=ada%40example.com&password={}", PASSWORD.replace(' ', "+"));
    let log_in = format!(
        "POST /auth/login HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        theirs.host,
        form.len()
    )
    .into_bytes();
    let cookie = read_answer(&ask_once(theirs, &log_in).await.1).1;
    let session = always(request(&ours, "GET /api/auth/me", &[("cookie", &own.cookie)], None));
    let its_session = always(request(theirs, "GET /users/me", &[("cookie", &cookie)], None));
    let sign_in = always(request(&ours, "POST /api/auth/login", &[], Some(&body)));
    let pair = |name, connections, ours: &Ask, theirs: &Ask| Pair {
        name,
        connections,
        ours: ours.clone(),
        theirs: theirs.clone(),
        budget: None,
    };
    let pairs = [
        pair("who is signed in", 1, &session, &its_session),
        pair("who is signed in", 32, &session, &its_session),
        pair("sign-in", 8, &sign_in, &always(log_in)),
    ];
    beside(wanted, &ours, theirs, &pairs, report).await;
}
