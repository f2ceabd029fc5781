//! Taking accounts over from other servers, from the file to the sign-in.

use std::{collections::BTreeMap, fmt::Write, os::unix::fs::PermissionsExt, path::PathBuf};

use authd::{crypto::mac::HmacKey, ports::Mac};
use base64::{Engine, engine::general_purpose::STANDARD};
use common::Span;
use rusqlite::Connection;
use serde_json::{Value, json};
use tests::{
    PASSWORD, Server,
    ctl::{Outcome, ctl},
    server::START,
};

/// What Better Auth's own SQL adapter makes, as recorded.
const TABLES: &str = r#"
create table "user" ("id" text not null primary key, "name" text not null, "email" text not null unique, "emailVerified" integer not null, "image" text, "createdAt" date not null, "updatedAt" date not null, "role" text, "banned" integer, "banReason" text, "banExpires" date, "twoFactorEnabled" integer, "phoneNumber" text, "nickname" text);
create table "session" ("id" text not null primary key, "expiresAt" date not null, "token" text not null unique, "createdAt" date not null, "updatedAt" date not null, "ipAddress" text, "userAgent" text, "userId" text not null, "impersonatedBy" text);
create table "account" ("id" text not null primary key, "accountId" text not null, "providerId" text not null, "userId" text not null, "accessToken" text, "refreshToken" text, "idToken" text, "accessTokenExpiresAt" date, "refreshTokenExpiresAt" date, "scope" text, "password" text, "createdAt" date not null, "updatedAt" date not null);
create table "verification" ("id" text not null primary key, "identifier" text not null, "value" text not null, "expiresAt" date not null, "createdAt" date not null, "updatedAt" date not null);
create table "passkey" ("id" text not null primary key, "publicKey" text);
"#;

const CORRECT: &str = "correct horse battery";
/// Of that password, each made by other software than ours.
const SCRYPT: &str = "7289a8669daed558db1fce049910e30a:ed872d13e04c3cbdc540cdb369be426ecf81bb74960736abf09886154d129689f9898b4846d54f6f6bcbf09c6a6a25a8fa1b67feaabecd044f90b5c2ebf5dfba";
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuuqREtd3VJD2QVZbuFskFSLk6eRIrQoOS";
const OTHERS: &[&str] = &[
    BCRYPT,
    "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$BVALGMmC/K/8ELErc5VgJxyPFApArIZRCQsqjEgZWJ4",
    "$pbkdf2-sha512$1000$MDEyMzQ1Njc4OWFiY2RlZg$7F/Y1rnWXXurLCfFvAmyjyXtbABhgzBTBNcm//wlnvGBOz7OExlgRFs5qwaY5PzB3/WjR7P4yv/ACDQZpDXIfQ",
    "pbkdf2_sha256$1000$seasalt$DrdiWD40lyBuydnjvZiDrdQMx1S1mOA9O0QYex0R6ww=",
    "$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$xXt6EAFzAOlee5Hgl8R5+kLA6sDARjRcMGtm6fZJsa8",
    "$argon2i$v=19$m=64,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$0Jw1lUyi3lVO1sgdKiQbinTfNEJQIs3T",
    "$argon2d$v=19$m=64,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$SOzSqTGCCma9B0bsxJqBtLTABOaFyFWt",
    "$argon2id$v=19$m=64,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$zYDv2qX52SSn/a4ZMJGKw+pmKoBySiXq",
    SCRYPT,
];

/// A Better Auth database on its way.
struct Tables(Connection);

impl Tables {
    fn new() -> Self {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLES).unwrap();
        Self(db)
    }

    fn user(&self, id: &str, email: &str, more: &[(&str, &str)]) {
        let sql = r#"insert into "user" (id, name, email, emailVerified, createdAt, updatedAt)
            values (?1, ?1, ?2, 1, '2026-11-22T12:58:14.962Z', '2026-11-22T12:58:15.766Z')"#;
        self.0.execute(sql, [id, email]).unwrap();
        for (column, value) in more {
            self.0.execute(&format!(r#"update "user" set {column} = ?2 where id = ?1"#), [id, value]).unwrap();
        }
    }

    fn way(&self, user: &str, provider: &str, password: Option<&str>) {
        let sql = r"insert into account (id, accountId, providerId, userId, password, createdAt, updatedAt)
            values (?1, ?1, ?2, ?3, ?4, '2026-11-22T12:58:14.965Z', '2026-11-22T12:58:16.582Z')";
        self.0.execute(sql, (format!("{provider}-{user}"), provider, user, password)).unwrap();
    }

    fn session(&self, user: &str, n: u8, created: Span, life: Span, by: Option<&str>) {
        let created = START.minus(created);
        let sql = r"insert into session (id, expiresAt, token, createdAt, updatedAt, ipAddress, userAgent, userId, impersonatedBy)
            values (?1, ?2, ?3, ?4, ?4, '192.0.2.7', 'Browser/1.0', ?5, ?6)";
        let (id, expires) = (format!("session-{user}-{n}"), created.plus(life).to_string());
        self.0.execute(sql, (id, expires, token(user, n), created.to_string(), user, by)).unwrap();
    }

    /// Two that can sign in, one of them with living sessions, and one of everything else that may be in such a database.
    fn of_everything() -> Self {
        let (tables, day) = (Self::new(), Span::from_days(1));
        tables.user("ada", "Ada@Example.com", &[("role", "admin"), ("image", "https://example.com/ada.png")]);
        tables.way("ada", "credential", Some(SCRYPT));
        tables.way("ada", "github", None);
        tables.session("ada", 1, day, Span::from_days(7), None);
        tables.session("ada", 2, Span::from_days(40), Span::from_days(45), None);
        tables.session("ada", 3, Span::from_days(9), Span::from_days(7), None);
        tables.session("ada", 4, day, Span::from_days(7), Some("boss"));
        tables.user("bob", "bob@example.com", &[("image", "javascript:alert(1)"), ("name", "B\u{202e}ob")]);
        tables.way("bob", "github", None);
        tables.user("cyd", "cyd@example.com", &[("twoFactorEnabled", "1"), ("phoneNumber", "+41"), ("role", "a b")]);
        tables.way("cyd", "credential", Some(BCRYPT));
        tables.user("dan", "dan at example", &[]);
        tables.user("eve-2", "eve@example.com", &[]);
        tables.way("eve-2", "credential", Some(SCRYPT));
        tables.session("eve-2", 1, day, Span::from_days(7), None);
        tables.user("fay", "fay@example.com", &[("banned", "1"), ("banReason", "spam")]);
        tables.way("fay", "credential", Some(SCRYPT));
        tables.session("fay", 1, day, Span::from_days(7), None);
        tables.user("gil", "gil@example.com", &[]);
        tables.way("gil", "credential", Some("5f4dcc3b5aa765d61d8327deb882cf99"));
        tables.user("hal", "hal@example.com", &[]);
        tables.way("hal", "credential", Some(&BCRYPT.replace("$04$", "$31$")));
        tables.user("ina", "ADA@example.com", &[]);
        tables.way("nobody", "credential", Some(SCRYPT));
        tables.session("nobody", 1, day, Span::from_days(7), None);
        tables.0.execute("insert into passkey values ('p', 'k')", []).unwrap();
        tables
    }

    fn file(&self, server: &Server) -> PathBuf {
        let path = server.dir().join("better-auth.db");
        self.0.execute("vacuum into ?1", [path.display().to_string()]).unwrap();
        path
    }

    /// The same rows as an export, the last table first.
    fn export(&self, server: &Server) -> PathBuf {
        let mut lines = String::new();
        for table in ["session", "passkey", "account", "user"] {
            let mut statement = self.0.prepare(&format!("select * from \"{table}\"")).unwrap();
            let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let cell = |i: usize| match row.get_ref(i).unwrap() {
                    rusqlite::types::ValueRef::Null => Value::Null,
                    rusqlite::types::ValueRef::Integer(n) => n.into(),
                    other => other.as_str().unwrap().into(),
                };
                let row: serde_json::Map<String, Value> =
                    names.iter().enumerate().map(|(i, name)| (name.clone(), cell(i))).collect();
                writeln!(lines, "{}", json!({ table: row })).unwrap();
            }
        }
        let path = server.dir().join("export.jsonl");
        std::fs::write(&path, lines).unwrap();
        path
    }
}

fn token(user: &str, n: u8) -> String {
    format!("{user:x<31}{n}")
}

/// What a command found: how often, by name.
fn counts(outcome: &Outcome) -> BTreeMap<String, u64> {
    let rows = outcome.json();
    let name = |row: &Value| match row["finding"].as_str().unwrap() {
        "column" | "table" => row["what"].as_str().unwrap().to_owned(),
        finding => finding.to_owned(),
    };
    rows.as_array().unwrap().iter().map(|row| (name(row), row["count"].as_u64().unwrap())).collect()
}

fn expected() -> BTreeMap<String, u64> {
    let found = [
        ("user", 6),
        ("session", 2),
        ("scrypt", 2),
        ("bcrypt", 1),
        ("hash_unknown", 1),
        ("hash_too_costly", 1),
        ("social_only", 1),
        ("no_password", 2),
        ("email_taken", 1),
        ("duplicate", 1),
        ("email_invalid", 1),
        ("session_expired", 1),
        ("session_of_banned", 1),
        ("session_impersonated", 1),
        ("session_orphan", 1),
        ("account_orphan", 1),
        ("name_changed", 1),
        ("image_left_out", 1),
        ("role_left_out", 1),
        ("social_account", 2),
        ("second_factor", 1),
        ("column user.phoneNumber", 1),
        ("table passkey", 1),
    ];
    found.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

async fn sign_in(server: &Server, email: &str, password: &str) -> u16 {
    let body = json!({"email": email, "password": password});
    server.client().post("/api/auth/login", &body).await.status
}

async fn import_id(server: &Server) -> String {
    ctl(&server.socket).run("import list -o id").await.ok().out.trim().to_owned()
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let server = Server::start().await;
    server.sign_up("eve@example.com").await;
    let tables = Tables::of_everything();
    let before = ctl(&server.socket).run("status -o json --fields counts,store").await.ok().out;
    for file in [tables.file(&server), tables.export(&server)] {
        let line = format!("import better-auth {} --dry-run", file.display());
        let found = ctl(&server.socket).run(&format!("{line} -o json")).await.ok();
        assert_eq!(counts(&found), expected(), "{}", file.display());
        let table = ctl(&server.socket).run(&line).await.ok();
        assert!(table.out.starts_with("GROUP     COUNT  WHAT"), "{table:?}");
        for line in ["conflict  1      accounts whose address another account has: not imported", "  eve@example.com\n"]
        {
            assert!(table.out.contains(line), "{line}: {}", table.out);
        }
        assert!(table.err.contains("nothing is written"), "{table:?}");
    }
    assert_eq!(ctl(&server.socket).run("status -o json --fields counts,store").await.ok().out, before);
    assert_eq!(import_id(&server).await, "");
}

#[tokio::test]
async fn what_is_imported_keeps_its_ids_and_signs_in_at_once() {
    let server = Server::start().await;
    server.sign_up("eve@example.com").await;
    let file = Tables::of_everything().file(&server);
    let line = format!("import better-auth {} --yes", file.display());
    let done = ctl(&server.socket).run(&format!("{line} -o json")).await.ok();
    assert_eq!(counts(&done), expected(), "as the dry run has it");
    assert!(done.err.contains("authctl import undo better-auth-"), "{done:?}");

    let show = async |id: &str| ctl(&server.socket).run(&format!("user show {id} -o json")).await.ok().json();
    let ada = show("ada").await;
    let kept = json!({"id": "ada", "email": "ada@example.com", "name": "ada", "emailVerified": true, "role": "admin",
        "image": "https://example.com/ada.png", "createdAt": "2026-11-22T12:58:14.962Z",
        "updatedAt": "2026-11-22T12:58:15.766Z", "password": "scrypt", "sessions": 2});
    for (name, value) in kept.as_object().unwrap() {
        assert_eq!(&ada[name], value, "{name}");
    }
    let (bob, cyd, fay) = (show("bob").await, show("cyd").await, show("fay").await);
    assert_eq!((&bob["name"], &bob["image"], &bob["password"]), (&json!("Bob"), &Value::Null, &json!("none")));
    assert_eq!((&cyd["role"], &cyd["password"]), (&json!("user"), &json!("bcrypt")));
    assert_eq!((&fay["banned"], &fay["banReason"]), (&json!(true), &json!("spam")));

    assert_eq!(sign_in(&server, "ada@example.com", "wrong password").await, 401);
    for (id, email) in [("ada", "ada@example.com"), ("cyd", "cyd@example.com")] {
        assert_eq!(sign_in(&server, email, CORRECT).await, 200, "{email}");
        assert_eq!(show(id).await["password"], "argon2id", "hashed anew");
        assert_eq!(sign_in(&server, email, CORRECT).await, 200, "{email} again");
    }
    assert_eq!(sign_in(&server, "fay@example.com", CORRECT).await, 403);
    for email in ["bob@example.com", "gil@example.com", "hal@example.com"] {
        assert_eq!(sign_in(&server, email, CORRECT).await, 401, "{email}");
    }
    assert_eq!(sign_in(&server, "eve@example.com", PASSWORD).await, 200, "who was there is there");

    let again = ctl(&server.socket).run(&format!("{line} -o json")).await;
    assert_eq!(again.exit, 3, "{again:?}");
    assert!(again.err.contains("nothing to do"), "{again:?}");
    assert_eq!((counts(&again)["user_done"], counts(&again).get("user")), (6, None));
    assert_eq!(show("ada").await["password"], "argon2id", "what was done since stays");
}

#[tokio::test]
async fn a_wave_of_later_rows_is_an_import_of_its_own_and_each_can_be_taken_back() {
    let server = Server::start().await;
    server.sign_up("eve@example.com").await;
    let before = ctl(&server.socket).run("user list -o json").await.ok().out;
    let tables = Tables::of_everything();
    let run = async |file: PathBuf| {
        let line = format!("import better-auth {} --yes -o json", file.display());
        counts(&ctl(&server.socket).run(&line).await.ok())
    };
    run(tables.file(&server)).await;
    let first = import_id(&server).await;
    tables.user("jan", "jan@example.com", &[]);
    tables.way("jan", "credential", Some(SCRYPT));
    let second = run(tables.export(&server)).await;
    assert_eq!((second["user"], second["user_there"]), (1, 6));
    assert_eq!(sign_in(&server, "ada@example.com", CORRECT).await, 200);

    let audit = ctl(&server.socket).run("audit list --event import.stored -o json").await.ok().json();
    let details = &audit[1]["details"];
    assert_eq!(
        (&details["import"], &details["users"], &details["sessions"]),
        (&json!(first), &json!("6"), &json!("2"))
    );
    let nothing = ctl(&server.socket).run(&format!("import undo {first}")).await;
    assert_eq!(nothing.exit, 2, "nobody is there to ask: {nothing:?}");
    let would = ctl(&server.socket).run(&format!("import undo {first} --dry-run")).await.ok();
    assert!(would.err.contains("would delete 6 accounts"), "{would:?}");
    let asked = ctl(&server.socket).person(&["n"]).run(&format!("import undo {first}")).await;
    assert_eq!(asked.exit, 9, "{asked:?}");
    ctl(&server.socket).person(&["y"]).run(&format!("import undo {first}")).await.ok();
    assert_eq!(sign_in(&server, "ada@example.com", CORRECT).await, 401);
    assert_eq!(sign_in(&server, "jan@example.com", CORRECT).await, 200, "of the other one");
    let second = import_id(&server).await;
    assert_ne!(first, second);
    ctl(&server.socket).run(&format!("import undo {second} --yes")).await.ok();
    assert_eq!(ctl(&server.socket).run("user list -o json").await.ok().out, before);
    assert_eq!(ctl(&server.socket).run(&format!("import undo {first} --yes")).await.exit, 3);
    ctl(&server.socket).run("audit verify").await.ok();
}

#[tokio::test]
async fn every_kind_of_hash_signs_in_and_is_hashed_anew() {
    let server = Server::start().await;
    let mut lines = String::new();
    for (n, hash) in OTHERS.iter().enumerate() {
        let row = json!({"email": format!("u{n}@example.com"), "name": "U", "passwordHash": hash, "plan": "gold"});
        writeln!(lines, "{row}").unwrap();
    }
    // As `firebase auth:export` has it, with Firebase's own published example.
    let firebase = json!({"localId": "fb", "email": "fb@example.com", "displayName": "F", "createdAt": "1486324836000",
        "passwordHash": "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
        "salt": "42xEC+ixf3L2lw=="});
    writeln!(lines, "{firebase}\nno json\n\n{{\"email\":\"nopass@example.com\"}}").unwrap();
    let (file, config) = (server.dir().join("users.jsonl"), server.dir().join("firebase.txt"));
    std::fs::write(&file, lines).unwrap();
    let line = format!("import users {} --yes -o json", file.display());
    let refused = ctl(&server.socket).run(&line).await;
    assert_eq!(refused.exit, 2, "{refused:?}");
    assert!(refused.err.contains("--firebase-hash-config"), "{refused:?}");
    let parameters = "hash_config {\n  algorithm: SCRYPT,\n  base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,\n  base64_salt_separator: Bw==,\n  rounds: 8,\n  mem_cost: 14,\n}\n";
    std::fs::write(&config, parameters).unwrap();
    let line = format!("{line} --firebase-hash-config {}", config.display());
    let done = counts(&ctl(&server.socket).run(&line).await.ok());
    assert_eq!(
        (done["user"], done["row_invalid"], done["no_password"], done["column plan"]),
        (11, 1, 1, 9),
        "{done:?}"
    );
    for n in 0..OTHERS.len() {
        let email = format!("u{n}@example.com");
        assert_eq!(sign_in(&server, &email, "another password").await, 401, "{email}");
        assert_eq!(sign_in(&server, &email, CORRECT).await, 200, "{email}");
        let shown = ctl(&server.socket).run(&format!("user show {email} -o json")).await.ok().json();
        assert_eq!(shown["password"], "argon2id", "{email}");
    }
    assert_eq!(sign_in(&server, "fb@example.com", "user1password").await, 200);
    let fb = ctl(&server.socket).run("user show fb -o json").await.ok().json();
    assert_eq!((&fb["id"], &fb["createdAt"]), (&json!("fb"), &json!("2017-02-05T20:00:36.000Z")));
    let again = ctl(&server.socket).run(&line).await;
    assert_eq!((again.exit, counts(&again)["user_done"]), (3, 11), "without ids it is known by the address");
}

#[tokio::test]
async fn who_was_signed_in_stays_signed_in_with_the_cookie_of_then() {
    const SECRET: &str = "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=";
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let server = Server::builder()
        .set("session.legacy_secret_file", &secret.display().to_string())
        .set("session.legacy_secret_until", &START.plus(Span::from_days(30)).to_string())
        .start()
        .await;
    let file = Tables::of_everything().file(&server);
    ctl(&server.socket).run(&format!("import better-auth {} --yes", file.display())).await.ok();
    let get = async |user: &str, n: u8| {
        let token = token(user, n);
        let mac = STANDARD.encode(HmacKey::new(SECRET.as_bytes()).mac(&[token.as_bytes()]));
        let mac = mac.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let client = server.client().header("cookie", &format!("better-auth.session_token={token}.{mac}"));
        client.get("/api/auth/get-session").await
    };
    let session = get("ada", 1).await;
    assert_eq!((session.text("/user/id").as_str(), session.text("/session/id").as_str()), ("ada", "session-ada-1"));
    assert_eq!(
        get("ada", 2).await.text("/user/id"),
        "ada",
        "older than the absolute limit, and promised for five days"
    );
    for (user, n) in [("ada", 3), ("ada", 4), ("fay", 1), ("nobody", 1)] {
        assert_eq!(get(user, n).await.body, "null", "{user} {n}");
    }
    server.clock.advance(Span::from_days(5));
    assert_eq!(get("ada", 2).await.body, "null", "and not longer");
    assert_eq!(get("ada", 1).await.text("/user/id"), "ada");
    // No token of theirs is in the store.
    let listed = ctl(&server.socket).run("session list -o json").await.ok().out;
    assert!(!listed.contains(&token("ada", 1)), "{listed}");
}

#[tokio::test]
async fn usernames_and_the_applications_own_fields_come_along_where_there_is_room_for_them() {
    let server = Server::builder()
        .set("username.enabled", "true")
        .set(
            "user.fields",
            "nickname = { type = \"string\", required = false }\nlevel = { type = \"number\", required = false }",
        )
        .set("session.fields", "activeTeam = { type = \"string\", required = false }")
        .start()
        .await;
    let tables = Tables::new();
    tables
        .0
        .execute_batch(
            r#"
        alter table "user" add column "username" text; alter table "user" add column "displayUsername" text;
        alter table "user" add column "level" integer; alter table "session" add column "active_team" text;"#,
        )
        .unwrap();
    tables.user(
        "ada",
        "ada@example.com",
        &[("username", "ada.l"), ("displayUsername", "Ada.L"), ("nickname", "Countess")],
    );
    tables.user("bob", "bob@example.com", &[("username", "bob bob"), ("level", "none")]);
    tables.user("cyd", "cyd@example.com", &[("username", "ADA.L"), ("level", "41")]);
    tables.way("ada", "credential", Some(SCRYPT));
    tables.session("ada", 1, Span::from_days(1), Span::from_days(7), None);
    tables.0.execute("update session set active_team = 't1'", []).unwrap();
    for file in [tables.file(&server), tables.export(&server)] {
        let line = format!("import better-auth {} --yes -o json", file.display());
        let done = counts(&ctl(&server.socket).run(&line).await.ok());
        let expected =
            [("user", 3), ("session", 1), ("username_left_out", 1), ("username_taken", 1), ("field_left_out", 1)];
        assert!(expected.iter().all(|(name, count)| done[*name] == *count), "{done:?}");
        assert!(!done.keys().any(|name| name.starts_with("column")), "{done:?}");
        let store = server.services().store.clone();
        let ada = store.user_by_username("ada.l").await.unwrap().unwrap();
        assert_eq!((ada.id.as_str(), ada.display_username.as_deref()), ("ada", Some("Ada.L")));
        let shown = |user: &authd::domain::User| format!("{:?}", user.fields);
        assert!(shown(&ada).contains("Countess"), "{ada:?}");
        let cyd = store.user(&"cyd".parse().unwrap()).await.unwrap().unwrap();
        assert!(shown(&cyd).contains("level") && cyd.username.is_none(), "{cyd:?}");
        let sessions = store.sessions_of(&ada.id).await.unwrap();
        assert!(format!("{:?}", sessions[0].fields).contains("t1"), "{sessions:?}");
        let body = json!({"username": "Ada.L", "password": CORRECT});
        assert_eq!(server.client().post("/api/auth/login", &body).await.status, 200);
        let id = import_id(&server).await;
        ctl(&server.socket).run(&format!("import undo {id} --yes")).await.ok();
        assert!(store.user_by_username("ada.l").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn what_is_no_source_is_refused_with_a_word_of_what_to_do() {
    let server = Server::start().await;
    let file = |name: &str, text: &str| {
        let path = server.dir().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let other = server.dir().join("other.db");
    Connection::open(&other).unwrap().execute_batch("create table things (id text)").unwrap();
    for (line, said) in [
        ("import better-auth /nonexistent --yes".to_owned(), "cannot be read"),
        (format!("import better-auth {} --yes", other.display()), "no table of users"),
        (format!("import better-auth {} --yes", file("a", "{\"user\":1}")), "line 1 is no row"),
        (format!("import better-auth {} --yes", file("b", "\n{}\n")), "line 2 is no row"),
        ("import users /nonexistent --yes".to_owned(), "cannot be read"),
        (format!("import users {} --firebase-hash-config {}", file("c", ""), file("d", "x")), "no hash parameters"),
    ] {
        let refused = ctl(&server.socket).run(&line).await;
        assert!(refused.exit == 2 && refused.err.contains(said), "{line}: {refused:?}");
    }
    let empty = ctl(&server.socket).run(&format!("import users {} --yes", file("e", "\n"))).await;
    assert_eq!(empty.exit, 3, "{empty:?}");
}
