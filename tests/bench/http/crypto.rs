//! Hashes and signatures, beside the same work without anything around it.

use std::{sync::Arc, time::Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use authd::{
    crypto::{
        entropy::SystemEntropy,
        hasher::{Cost, HasherConfig, HasherPool},
        jwt::Jwt,
        seal::{MasterVault, Sealer},
        strength::Strength,
    },
    domain::KeySet,
    ports::{Entropy, PasswordHasher, TokenSigner},
};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use common::{Span, UnixTime};

use super::report::{Report, Spread};

/// Milliseconds of processor time of this thread.
fn thread_time() -> f64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    now.tv_sec() as f64 * 1e3 + now.tv_nsec() as f64 / 1e6
}

/// Nanoseconds of one call, the least of some batches: what comes in between only ever adds.
fn nanoseconds(many: u32, mut call: impl FnMut()) -> f64 {
    let batches = (0..5).map(|_| {
        let began = Instant::now();
        (0..many).for_each(|_| call());
        began.elapsed().as_nanos() as f64 / f64::from(many)
    });
    batches.fold(f64::INFINITY, f64::min)
}

pub async fn hashes(rounds: usize, report: &mut Report) {
    report.section(
        "Hashes",
        "argon2id, 19 MiB, 2 passes, one after the other. Budget: ≤ 0.55 × the call of the argon2 crate that allocates.",
        &["what", "ms", "of the allocating call", "budget"],
    );
    let Cost { memory_kib, iterations, parallelism } = Cost::FLOOR;
    let params = Params::new(memory_kib, iterations, parallelism, Some(32)).unwrap();
    let plain = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
    let config = HasherConfig { cost: Cost::FLOOR, threads: 1, queue: 8, strength: Strength::default() };
    let pool = HasherPool::start(&config, &entropy).unwrap();
    let (mut ours, mut allocating, mut ratio, mut c, mut of_c) =
        (Spread::default(), Spread::default(), Spread::default(), Spread::default(), Spread::default());
    for _ in 0..rounds {
        let mut own = Spread::default();
        let mut its = Spread::default();
        for _ in 0..10 {
            let began = Instant::now();
            pool.hash("correct horse battery".into(), None).await.unwrap();
            own.add(began.elapsed().as_secs_f64() * 1e3);
            let began = thread_time();
            plain.hash_password_into(b"correct horse battery", &[7; 16], &mut [0; 32]).unwrap();
            its.add(thread_time() - began);
        }
        ratio.add(own.median() / its.median());
        if let Some(reference) = libargon2() {
            of_c.add(own.median() / reference);
            c.add(reference);
        }
        ours.add(own.median());
        allocating.add(its.median());
    }
    let met = if ratio.median() <= 0.55 { "met" } else { "not met" };
    report.row(&["authd's threads".into(), ours.tenths(), ratio.fine(), met.into()]);
    report.row(&["argon2, allocating".into(), allocating.tenths(), "1".into(), String::new()]);
    match c.median().is_nan() {
        true => report.row(&["Debian's libargon2: skipped, needs the package argon2".into()]),
        false => report.row(&[
            "Debian's libargon2".into(),
            c.tenths(),
            format!("authd is {} of it", of_c.fine()),
            String::new(),
        ]),
    }
}

/// Milliseconds of a hash by Debian's `argon2`, as it says itself.
fn libargon2() -> Option<f64> {
    use std::io::Write;
    let mut child = std::process::Command::new("argon2")
        .args(["saltsaltsaltsalt", "-id", "-t", "2", "-k", "19456", "-p", "1", "-l", "32"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(b"correct horse battery").ok()?;
    let said = String::from_utf8(child.wait_with_output().ok()?.stdout).ok()?;
    let line = said.lines().find(|line| line.ends_with(" seconds"))?;
    line.split(' ').next()?.parse::<f64>().ok().map(|seconds| seconds * 1e3)
}

pub fn signatures(rounds: usize, report: &mut Report) {
    report.section(
        "Signatures",
        "EdDSA over a token of usual length, beside aws-lc with a kept key. Budgets: sign ≤ 1.15 ×, verify ≤ 1.10 ×.",
        &["what", "µs", "aws-lc: µs", "ratio", "budget"],
    );
    let jwt = Jwt::new(Arc::new(MasterVault::new(Sealer::new(&[3; 32]), Arc::new(SystemEntropy::default()))));
    let now = UnixTime::from_secs(1_800_000_000);
    let key = jwt.generate(authd::domain::Algorithm::EdDsa, Span::from_mins(10), now).unwrap();
    let keys = KeySet { version: 1, keys: vec![key.clone()] };
    let claims = r#"{"iss":"http://localhost:8000","aud":"http://localhost:8000","sub":"ubyS9HJfYiOr8OFvn7SqAxke9o849UYx","sid":"R6UtGqEMoZc4uzLefMHDeKHp8QFErZQp","iat":1800000000,"exp":1800000600,"jti":"0r5HdqpPtOVD8sfnfBG9t1z9kKwDYSqX","email":"ada@example.com","name":"Ada"}"#;
    let token = jwt.sign(&key, "at+jwt", claims).unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    let raw = Ed25519KeyPair::generate().unwrap();
    let signature = raw.sign(message.as_bytes());
    let public = UnparsedPublicKey::new(&ED25519, raw.public_key().as_ref().to_vec());
    let (mut sign, mut raw_sign, mut of_sign) = (Spread::default(), Spread::default(), Spread::default());
    let (mut verify, mut raw_verify, mut of_verify) = (Spread::default(), Spread::default(), Spread::default());
    for _ in 0..rounds {
        let own = nanoseconds(500, || drop(jwt.sign(&key, "at+jwt", claims).unwrap())) / 1e3;
        let its = nanoseconds(500, || _ = std::hint::black_box(raw.sign(message.as_bytes()))) / 1e3;
        sign.add(own);
        raw_sign.add(its);
        of_sign.add(own / its);
        let own = nanoseconds(500, || drop(jwt.verify(&token, &keys, now).unwrap())) / 1e3;
        let its = nanoseconds(500, || public.verify(message.as_bytes(), signature.as_ref()).unwrap()) / 1e3;
        verify.add(own);
        raw_verify.add(its);
        of_verify.add(own / its);
    }
    let met = |ratio: &Spread, most: f64| if ratio.median() <= most { "met" } else { "not met" }.to_owned();
    report.row(&["sign".into(), sign.tenths(), raw_sign.tenths(), of_sign.fine(), met(&of_sign, 1.15)]);
    report.row(&["verify".into(), verify.tenths(), raw_verify.tenths(), of_verify.fine(), met(&of_verify, 1.10)]);
}
