//! Session checks beside very many sign-ins.

use super::{
    Duration, PASSWORD, Report, Rounds, Spread, Wanted, always, closed, json, paced, patient, request, servers, sign_up,
};

/// Checks alone, while clients sign in that wait as they are told, and while they come again at once whatever they are told.
pub async fn flood(wanted: &Wanted, report: &mut Report) {
    let ours = servers::authd(tempfile::tempdir().unwrap());
    let user = sign_up(&ours, "ada@example.com").await;
    let check = always(request(&ours, "GET /api/auth/get-session", &[("cookie", &user.cookie)], None));
    let origin = format!("http://{}", ours.host);
    let body = json!({"email": user.email, "password": PASSWORD});
    let sign_in = always(request(&ours, "POST /api/auth/sign-in/email", &[("origin", &origin)], Some(&body)));
    report.section(
        "1,000 session checks a second while 200 clients sign in",
        "Budgets: p99 ≤ the greater of 1.5 × alone and 1 ms; memory ≤ 8 MiB beyond what it was after a few sign-ins, when each thread that hashes has its block. \
         The limits of requests are off. Who is told to come again later waits so long, or asks again at once.",
        &["", "p50 ms", "p99 ms", "sign-ins/s", "MiB more", "budgets"],
    );
    closed(ours.address, 16, Duration::from_millis(500), sign_in.clone()).await.unwrap();
    let idle = ours.resident();
    let mut rows: [(Rounds, Spread, Spread); 3] = Default::default();
    for _ in 0..wanted.rounds {
        for (kind, (checks, rate, memory)) in rows.iter_mut().enumerate() {
            let (address, ask, lasts) = (ours.address, sign_in.clone(), wanted.lasts + Duration::from_millis(500));
            let storm = match kind {
                1 => Some(tokio::spawn(async move { patient(address, 200, lasts, ask).await })),
                2 => Some(tokio::spawn(async move { closed(address, 200, lasts, ask).await })),
                _ => None,
            };
            tokio::time::sleep(Duration::from_millis(300)).await;
            checks.add(&paced(ours.address, 16, wanted.lasts, 1_000, check.clone()).await.unwrap(), 0.0);
            memory.add((ours.resident() as f64 - idle as f64) / 1024.0);
            if let Some(storm) = storm {
                let done = storm.await.unwrap().unwrap();
                rate.add((done.took.len() as u64 - done.odd) as f64 / done.lasted.as_secs_f64());
            }
        }
    }
    let alone = rows[0].0.p99.median();
    for (kind, (checks, rate, memory)) in rows.iter().enumerate() {
        let what = ["alone", "clients that wait", "clients that do not"][kind];
        let met = |is: bool| if is { "met" } else { "not met" };
        let verdicts = match kind {
            0 => String::new(),
            _ => format!("{}; {}", met(checks.p99.median() <= (1.5 * alone).max(1.0)), met(memory.median() <= 8.0)),
        };
        let of_storm = |text: String| if kind == 0 { String::new() } else { text };
        report.row(&[
            what.into(),
            checks.p50.fine(),
            checks.p99.fine(),
            of_storm(rate.whole()),
            of_storm(memory.tenths()),
            verdicts,
        ]);
    }
}
