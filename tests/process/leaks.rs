//! LG-02, CR-01, CR-02: no secret that is used in a run stands anywhere afterwards: not in the data directory, not in the
//! log at its most verbose, not in the audit trail, not in what authctl says, not in what others see of the process.

use std::{
    fmt::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use authd::{
    clock::SystemClock,
    crypto::{
        mac::{HmacKey, derive},
        master,
        seal::Sealer,
    },
    ports::{Clock, Mac},
    store::{
        Store,
        sled::{Opening, SledOptions},
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use common::Span;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tests::{
    Application,
    process::{Daemon, Host},
};

use crate::host;

/// What must not be found, by name, in every form that it could have.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn add(&mut self, name: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= 8, "{name} is too short to be looked for");
        let hex = secret.iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        });
        let mut forms = vec![secret.to_vec(), hex.to_uppercase().into(), hex.into_bytes()];
        forms.extend([STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|b64| b64.encode(secret).into_bytes()));
        self.0.extend(forms.into_iter().map(|form| (name.to_owned(), form)));
    }

    /// A token, and the part of it behind the last dot, which nobody can make who has the rest.
    fn add_token(&mut self, name: &str, token: &str) {
        self.add(name, token);
        let last = token.rsplit('.').next().unwrap();
        self.add(&format!("{name} (signature)"), last);
        if let Ok(bytes) = URL_SAFE_NO_PAD.decode(last) {
            self.add(&format!("{name} (bytes of the signature)"), bytes);
        }
    }

    /// A `Cookie` line: the values as they travel and as they mean, their tokens and their signatures.
    fn add_cookies(&mut self, name: &str, line: &str) {
        for pair in line.split("; ") {
            let (cookie, value) = pair.split_once('=').unwrap();
            if cookie.ends_with("authd.device") {
                self.add(&format!("{name} (mark of the device)"), value);
                continue;
            }
            let decoded = percent_decode_str(value).decode_utf8().unwrap().into_owned();
            let (token, signature) = decoded.rsplit_once('.').unwrap();
            for part in [value, &decoded, signature] {
                self.add(name, part);
            }
            self.add(&format!("{name} (bytes of the signature)"), STANDARD.decode(signature).unwrap());
            if token != "true" {
                self.add(&format!("{name} (token)"), token);
            }
        }
    }

    /// The names of those that stand in there.
    fn found_in(&self, haystack: &[u8]) -> Vec<&str> {
        let is_in = |form: &[u8]| haystack.windows(form.len()).any(|window| window == form);
        let mut found: Vec<&str> =
            self.0.iter().filter(|(_, form)| is_in(form)).map(|(name, _)| name.as_str()).collect();
        found.dedup();
        found
    }
}

/// Every file below, but those that are there to keep a secret.
fn files(dir: &Path, but: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap();
        if kind.is_dir() {
            found.extend(files(&path, but));
        } else if kind.is_file() && !but.contains(&path) {
            found.push(path);
        }
    }
    found
}

const LEGACY: &str = "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=";
/// None of them is guessed, and none is part of another.
const PASSWORDS: [&str; 5] = [
    "Ve7-quartz lampoon obelisk",
    "mural9Tundra/ovation kelp",
    "wrong-Zephyr8 gondola thicket",
    "typed*Into the e-mail field6",
    "pewter4Lagoon! sonnet drift",
];

struct Run<'a> {
    host: &'a Host,
    daemon: Daemon,
    secrets: Secrets,
    /// What was said, by whom.
    said: Vec<(String, String)>,
}

impl Run<'_> {
    async fn ctl(&mut self, args: &[&str], input: &str) {
        let end = self.host.authctl().args(["--show-request"]).args(args).input(input).end().await.ok();
        self.said.push((format!("authctl {}", args.join(" ")), end.out + &end.err));
    }

    async fn post(&self, path: &str, body: Value) -> tests::Response {
        self.daemon.client().header("origin", "http://localhost").post(&format!("/api/auth{path}"), &body).await
    }

    /// People and programs, with every credential there is.
    async fn users(&mut self) -> String {
        let [first, second, wrong, typed, third] = PASSWORDS;
        let origin = format!("http://localhost:{}", self.daemon.address.port());
        let browser = self.daemon.client().with_cookies().header("origin", &origin);
        let body = json!({"email": "ada@example.com", "password": first, "name": "Ada"});
        assert_eq!(browser.post("/api/auth/sign-up/email", &body).await.status, 200);
        let cookies = browser.cookie_header();
        self.secrets.add_cookies("cookie of the sign-up", &cookies);
        let jwt = browser.get("/api/auth/get-session").await.header("set-auth-jwt").to_owned();
        self.secrets.add_token("set-auth-jwt", &jwt);

        let browser = browser.with_cookies();
        let body = json!({"email": "ada@example.com", "password": first, "rememberMe": false});
        let made = browser.post("/api/auth/sign-in/email", &body).await;
        assert_eq!(made.status, 200, "{made:?}");
        self.secrets.add_cookies("cookie of the sign-in", &browser.cookie_header());

        // What goes wrong is logged most readily.
        let password_as_address = json!({"email": typed, "password": wrong});
        for body in [json!({"email": "ada@example.com", "password": wrong}), password_as_address] {
            for path in ["/sign-in/email", "/login"] {
                assert!(self.post(path, body.clone()).await.status >= 400);
            }
        }

        let login = json!({"email": "ada@example.com", "password": first, "mode": "token"});
        let tokens = self.daemon.client().post("/api/auth/login", &login).await;
        let (access, refresh) = (tokens.text("/access_token"), tokens.text("/refresh_token"));
        self.secrets.add_token("access token", &access);
        self.secrets.add_token("refresh token", &refresh);
        let next = self.daemon.client().post("/api/auth/refresh", &json!({"refresh_token": refresh})).await;
        self.secrets.add_token("next access token", &next.text("/access_token"));
        self.secrets.add_token("next refresh token", &next.text("/refresh_token"));
        let bearer = self.daemon.client().bearer(&access);
        assert_eq!(bearer.get("/api/auth/me").await.status, 200);
        // In places where they do not belong.
        let lost = format!("/api/auth/get-session?token={refresh}&password=pewter");
        self.daemon.client().get(&lost).await;
        self.daemon.client().get(&format!("/api/auth/reset-password/{refresh}")).await;
        self.daemon.client().bearer(&format!("{access}x")).get("/api/auth/me").await;
        self.post("/refresh", json!({"refresh_token": format!("{refresh}x"), "password": {"x": second}})).await;

        self.ctl(&["user", "create", "--password-stdin", "--email", "eve@example.com"], second).await;
        self.ctl(&["user", "set-password", "eve@example.com", "--password-stdin"], third).await;
        let login = json!({"email": "eve@example.com", "password": third, "mode": "token"});
        let eves = self.daemon.client().post("/api/auth/login", &login).await;
        self.secrets.add_token("refresh token of a session that is revoked", &eves.text("/refresh_token"));
        self.ctl(&["token", "inspect", "-o", "json"], &access).await;
        self.ctl(&["token", "verify"], &next.text("/refresh_token")).await;
        self.ctl(&["keys", "rotate", "--now", "--yes"], "").await;
        cookies
    }

    /// A backend with a token of its own, which is shown once: to who made it.
    async fn service(&mut self) {
        let create = ["token", "service", "create", "backend", "--scope", "users:read"];
        let made = self.host.authctl().args(["--show-request"]).args(create).end().await.ok();
        self.said.push(("authctl token service create, beside the token".into(), made.err));
        let token = made.out.trim().to_owned();
        self.secrets.add("token of a service", &token);
        self.secrets.add("token of a service without its prefix", &token["authd_svc_".len()..]);
        let list = "/api/auth/admin/list-users";
        assert_eq!(self.daemon.client().bearer(&token).get(list).await.status, 200);
        assert_eq!(self.daemon.client().bearer(&format!("{token}x")).get(list).await.status, 401);
        self.daemon.client().get(&format!("{list}?token={token}")).await;
        self.ctl(&["token", "inspect"], &token).await;
        self.ctl(&["token", "service", "list", "-o", "json"], "").await;
        self.ctl(&["token", "service", "revoke", "backend", "--yes"], "").await;
        assert_eq!(self.daemon.client().bearer(&token).get(list).await.status, 401);
        self.ctl(&["token", "inspect", "-o", "json"], &token).await;
    }

    /// Signed by the server before.
    async fn legacy(&mut self, cookies: &str) {
        let token = cookies.split_once("session_token=").unwrap().1.split('.').next().unwrap();
        let mac = STANDARD.encode(HmacKey::new(LEGACY.as_bytes()).mac(&[token.as_bytes()]));
        let theirs = format!("better-auth.session_token={token}.{}", mac.replace('+', "%2B").replace('/', "%2F"));
        self.secrets.add_cookies("cookie of the server before", &theirs);
        let used = self.daemon.client().header("cookie", &theirs).get("/api/auth/get-session").await;
        assert_eq!((used.text("/user/email").as_str(), used.cookies().len()), ("ada@example.com", 1));
    }
}

fn key_file(host: &Host, name: &str, secrets: &mut Secrets) -> PathBuf {
    let path = host.path(name);
    let key = master::create(&path, &authd::crypto::entropy::SystemEntropy::default()).unwrap();
    secrets.add(name, key.expose());
    path
}

#[tokio::test]
async fn lg_02_no_secret_of_a_run_stands_in_any_file_log_answer_or_view_of_the_process() {
    let host = host!();
    let mut secrets = Secrets::default();
    let (old, new) = (key_file(&host, "old.key", &mut secrets), key_file(&host, "new.key", &mut secrets));
    let legacy = host.path("legacy.secret");
    std::fs::write(&legacy, LEGACY).unwrap();
    std::fs::set_permissions(&legacy, PermissionsExt::from_mode(0o600)).unwrap();
    secrets.add("secret of the server before", LEGACY);
    let (app, events) = (Application::start(), host.path("event.secret"));
    std::fs::write(&events, Application::SECRET).unwrap();
    std::fs::set_permissions(&events, PermissionsExt::from_mode(0o600)).unwrap();
    secrets.add("secret of the events", Application::SECRET);
    PASSWORDS.iter().for_each(|password| secrets.add("password", password));

    let until = SystemClock::default().now().plus(Span::from_days(30)).to_string();
    let daemon = host
        .daemon()
        .env("AUTHD_KEYS__MASTER_KEY_FILE", &old)
        .env("AUTHD_SESSION__LEGACY_SECRET_FILE", &legacy)
        .env("AUTHD_SESSION__LEGACY_SECRET_UNTIL", &until)
        .env("AUTHD_ADMIN_PLUGIN__ENABLED", "true")
        .env("AUTHD_EVENTS__URL", app.url("/events"))
        .env("AUTHD_EVENTS__SECRET_FILE", &events)
        .env("AUTHD_LOG__LEVEL", "trace");
    let daemon = daemon.start().await;
    let mut run = Run { host: &host, daemon, secrets, said: vec![] };
    let cookies = run.users().await;
    run.legacy(&cookies).await;
    run.service().await;
    run.ctl(&["keys", "rewrap", "--yes", "--new-master-key", new.to_str().unwrap()], "").await;
    run.ctl(&["session", "revoke", "--user", "eve@example.com", "--yes"], "").await;
    run.ctl(&["audit", "list", "-o", "json"], "").await;
    run.ctl(&["status", "-o", "json"], "").await;
    run.ctl(&["session", "list", "-o", "json"], "").await;
    run.ctl(&["user", "list", "-o", "json"], "").await;
    run.ctl(&["keys", "list", "-o", "json"], "").await;
    run.ctl(&["keys", "rotate", "--now", "--yes"], "").await;
    let origin = format!("http://localhost:{}", run.daemon.address.port());
    let out = run.daemon.client().header("cookie", &cookies).header("origin", &origin);
    assert_eq!(out.post_empty("/api/auth/sign-out").await.status, 200);

    for view in ["environ", "cmdline", "status"] {
        // Where only root may look, there is nothing to look for.
        if let Ok(seen) = std::fs::read(format!("/proc/{}/{view}", run.daemon.pid())) {
            run.said.push((format!("/proc/PID/{view}"), String::from_utf8_lossy(&seen).into_owned()));
        }
    }
    let Run { daemon, mut secrets, mut said, .. } = run;
    let end = daemon.stop().await.ok();
    let told: Vec<String> =
        app.calls().iter().map(|call| format!("{} {:?} {}", call.path, call.headers, call.text)).collect();
    assert!(told.len() > 2, "{told:?}");
    said.push(("what the application was told".into(), told.join("\n")));
    assert!(end.err.contains("TRACE") || end.err.contains("\"level\":\"DEBUG\""), "the log is not verbose");
    said.extend([("standard output".into(), end.out), ("log".into(), end.err)]);

    // What only the daemon knows: opened by the new key, after the end.
    let sealer = Sealer::new(master::load(&new, false).unwrap().expose());
    let opening = Opening::open(&host.data().join("sled"), SledOptions::default()).unwrap();
    let log_key = opening.log_key(sealer.fingerprint()).unwrap().expect("sealed under the new key");
    let log_key = sealer.open("log", &log_key.id, &log_key.sealed).unwrap();
    let log_key = HmacKey::new(&*derive(&log_key, "authd log mac v1"));
    let opened = opening.replay(std::sync::Arc::new(log_key)).unwrap();
    let sealed = opened.secrets().unwrap();
    assert_eq!(sealed.len(), 4);
    for secret in sealed {
        secrets.add(&secret.purpose, &*sealer.open(&secret.purpose, &secret.id, &secret.sealed).unwrap());
    }
    let store = opened.start(std::sync::Arc::new(HmacKey::new(b"only to read"))).unwrap();
    for key in &store.keys().keys {
        let pkcs8 = sealer.open("signing-key", key.kid.as_str(), &key.sealed).unwrap();
        secrets.add("signing key", &*pkcs8);
        secrets.add("private scalar", &pkcs8[16..48]);
    }
    drop(store);

    let mut leaks = vec![];
    let mut looked_at = 0;
    for (who, text) in &said {
        looked_at += text.len();
        leaks.extend(secrets.found_in(text.as_bytes()).into_iter().map(|name| format!("{name} in {who}")));
    }
    let kept = [old, new, legacy, events];
    let all = files(host.path("").as_path(), &kept);
    assert!(all.iter().any(|path| path.ends_with("sled/db")), "{all:?}");
    for path in &all {
        let bytes = std::fs::read(path).unwrap();
        looked_at += bytes.len();
        leaks.extend(secrets.found_in(&bytes).into_iter().map(|name| format!("{name} in {}", path.display())));
    }
    eprintln!("{} forms looked for in {looked_at} bytes", secrets.0.len());
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn the_search_finds_a_secret_in_every_form() {
    let mut secrets = Secrets::default();
    secrets.add("password", "Ve7-quartz lampoon");
    secrets.add("key", [0xfb; 32]);
    secrets.add_token("token", "a.b.c2VjcmV0IG9mIGEgdG9rZW4");
    secrets.add_cookies("cookie", "x=token456.c2lnbmF0dXJlIG9mIGE%3D");
    for (hidden, name) in [
        ("…Ve7-quartz lampoon…", "password"),
        ("5665372d71756172747a206c616d706f6f6e", "password"),
        ("5665372D71756172747A206C616D706F6F6E", "password"),
        ("VmU3LXF1YXJ0eiBsYW1wb29u", "password"),
        (&"fb".repeat(32), "key"),
        (&format!("{}=", "-_v7".repeat(10) + "-_s"), "key"),
        (&("+/v7".repeat(10) + "+/s"), "key"),
        ("secret of a token", "token (bytes of the signature)"),
        ("sid=token456", "cookie (token)"),
        ("c2lnbmF0dXJlIG9mIGE=", "cookie"),
    ] {
        assert!(secrets.found_in(hidden.as_bytes()).contains(&name), "{hidden}");
    }
    assert!(secrets.found_in(b"Ve7-quartz lampoo, fbfbfb, a.b.c").is_empty());
}
