//! What commands print, and how they end.

use std::collections::BTreeSet;

use authctl::cli::Format;
use clap::{CommandFactory, ValueEnum};
use serde_json::{Value, json};
use tests::{
    Application, PASSWORD, Server,
    ctl::{Outcome, ctl},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn every_format_is_what_it_says() {
    let server = Server::start().await;
    for email in ["ada@example.com", "bob@example.com"] {
        ctl(&server.socket)
            .input(PASSWORD)
            .args(&["user", "create", "--email", email, "--name", "A, \"B\"", "--password-stdin"])
            .await
            .ok();
    }
    let list = |format: &'static str| {
        let socket = server.socket.clone();
        async move { ctl(&socket).run(&format!("user list -o {format}")).await.ok().out }
    };
    let json: Value = serde_json::from_str(&list("json").await).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(2));
    let lines = list("jsonl").await;
    assert_eq!(
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).collect::<Vec<_>>(),
        *json.as_array().unwrap()
    );
    let csv = list("csv").await;
    assert!(csv.starts_with("email,name,role,emailVerified,banned,createdAt,id\n"), "{csv}");
    assert!(csv.contains("ada@example.com,\"A, \"\"B\"\"\",user,false,false,2027-01-15T08:00:00.000Z,"), "{csv}");
    let ids = list("id").await;
    assert_eq!(ids.lines().next(), json[0]["id"].as_str());
    let table = list("table").await;
    assert!(table.starts_with("EMAIL            NAME    ROLE  VERIFIED  BANNED  CREATED"), "{table}");
    let chosen = ctl(&server.socket).run("user list -o csv --fields email,banned").await.ok();
    assert_eq!(chosen.out, "email,banned\nada@example.com,false\nbob@example.com,false\n");
    let wrong = ctl(&server.socket).run("user list --fields nmae").await;
    assert_eq!(wrong.exit, 2);
    assert_eq!(ctl(&server.socket).run("user list -o yaml").await.exit, 2);
}

#[tokio::test]
async fn a_list_says_that_there_are_more_when_there_are_and_only_then() {
    let server = Server::start().await;
    for email in ["ada@example.com", "bob@example.com", "cyd@example.com"] {
        server.sign_up(email).await;
    }
    for (line, shown, more) in [
        ("user list --limit 2", 2, true),
        ("user list --limit 3", 3, false),
        ("user list --limit 4", 3, false),
        ("user list --all", 3, false),
        // Others follow, but none that was asked for.
        ("user list --search bob --limit 1", 1, false),
        ("user list --search example --limit 1", 1, true),
        ("session list --limit 2", 2, true),
        ("session list --limit 3", 3, false),
        ("session list --user ada@example.com --limit 1", 1, false),
        ("audit list --event user.created --limit 3", 3, false),
        ("audit list --event user.created --limit 2", 2, true),
    ] {
        let table = ctl(&server.socket).run(line).await.ok();
        assert_eq!((table.out.lines().count() - 1, table.err.contains("there are more")), (shown, more), "{table:?}");
        let json = ctl(&server.socket).run(&format!("{line} -o json")).await.ok();
        assert_eq!((json.json().as_array().map(Vec::len), json.err.as_str()), (Some(shown), ""), "{line}");
    }
    assert_eq!(ctl(&server.socket).run("user list --limit 0").await.exit, 2);
}

/// The public half of a recovery identity.
const RECIPIENT: &str = "age1af5s2m22t0qsslr6fwgnsqd9w0p7t9rkfwm8l735vg7kk9p6l4gqp9msgp";

/// The commands that can be typed, without options: `user create`, `status` …
fn all_commands() -> BTreeSet<String> {
    fn walk(command: &clap::Command, path: &str, out: &mut BTreeSet<String>) {
        if !command.has_subcommands() {
            out.insert(path.trim().to_owned());
        }
        command.get_subcommands().for_each(|sub| walk(sub, &format!("{path} {}", sub.get_name()), out));
    }
    let mut out = BTreeSet::new();
    walk(&authctl::Cli::command(), "", &mut out);
    out
}

/// That the answer of a command is one in its format, and says something.
fn says_something(line: &str, format: Format, outcome: &Outcome) {
    let out = &outcome.out;
    let is_full = |value: &Value| value.as_object().is_some_and(|fields| !fields.is_empty());
    let good = match format {
        // What was done is said in words.
        Format::Table => !out.trim().is_empty() || !outcome.err.trim().is_empty(),
        Format::Json => match outcome.json() {
            Value::Array(items) => !items.is_empty() && items.iter().all(is_full),
            item => is_full(&item),
        },
        Format::Jsonl => !out.is_empty() && out.lines().all(|line| is_full(&serde_json::from_str(line).unwrap())),
        Format::Csv => {
            let rows = outcome.csv();
            rows.len() > 1
                && rows[0].iter().all(|name| !name.is_empty())
                && rows[1..].iter().all(|row| row.iter().any(|field| !field.is_empty()))
        }
        Format::Id => !out.is_empty() && out.lines().all(|id| !id.is_empty() && !id.contains(' ')),
    };
    assert!(good, "{line} -o {format:?}: {outcome:?}");
}

#[tokio::test]
async fn cl_02_every_command_answers_in_every_format() {
    for format in Format::value_variants() {
        let (app, secret) = (Application::start(), tempfile::NamedTempFile::new().unwrap());
        std::fs::write(secret.path(), Application::SECRET).unwrap();
        let server = Server::builder()
            .set("cookies.cache", "jwe")
            .set("backup.recipients", RECIPIENT)
            .set("hooks.sign_in_before", &app.url("/"))
            .set("hooks.secret_file", &secret.path().display().to_string())
            .set("events.url", &app.url("/"))
            .set("events.secret_file", &secret.path().display().to_string())
            .start()
            .await;
        let made = server.sign_up("ada@example.com").await;
        let first = async |line: &str| {
            let outcome = ctl(&server.socket).run(line).await.ok();
            outcome.out.lines().next().unwrap_or_default().to_owned()
        };
        let session = first("session list -o id").await;
        for _ in 0..10 {
            let guess = serde_json::json!({"email": "ada@example.com", "password": "wrong password"});
            server.client().without("user-agent").post("/api/auth/login", &guess).await;
        }
        let kid = first("keys list -o id").await;
        // A mail that waits, because nobody takes it.
        server.postbox().refuse(Some(authd::ports::MailerError::Later("421 busy".into())));
        let forgotten = serde_json::json!({"email": "ada@example.com"});
        assert_eq!(server.client().post("/api/auth/request-password-reset", &forgotten).await.status, 200);
        assert!(server.mails().await.is_empty());
        let new_key = server.dir().join("new.key");
        authd::init::new_master_key(&new_key).unwrap();
        let accounts = server.dir().join("accounts.jsonl");
        std::fs::write(&accounts, "{\"email\":\"imp@example.com\"}\n").unwrap();
        let rows = server.dir().join("rows.jsonl");
        std::fs::write(&rows, "{\"user\":{\"id\":\"i\",\"email\":\"row@example.com\"}}\n").unwrap();
        let mut left = all_commands();
        // Work on files, by the program authd: tests/process/backup.rs.
        left.retain(|command| !["backup drill", "backup recipient new"].contains(&command.as_str()));
        for line in [
            "status",
            "metrics",
            "user create --email bob@example.com --generate",
            "user list",
            "user show ada@example.com",
            "session list",
            &format!("session show {session}"),
            "token inspect",
            "token verify",
            "token service create backend --scope users:read,users:ban --expires 90d",
            "token service list",
            "token service revoke backend --yes",
            &format!("session revoke {session} --yes"),
            "user set-password ada@example.com --generate",
            "user disable ada@example.com --yes",
            "user enable ada@example.com",
            "user ban ada@example.com --yes",
            "user unban ada@example.com",
            "user role ada@example.com support --yes",
            "user role ada@example.com user --yes",
            "user delete bob@example.com --yes",
            "keys list",
            "keys rotate --yes",
            "keys rollback --yes",
            "keys cookie-cache",
            &format!("keys revoke {kid} --yes"),
            &format!("keys rewrap --yes --new-master-key {}", new_key.display()),
            "mail queue",
            "mail retry --all",
            "mail preview verify-email",
            "mail test ada@example.com",
            "events list",
            "events tail",
            "events replay 1",
            "hook list",
            "hook test sign_in.before",
            "throttle list",
            "throttle clear --all",
            "store snapshot",
            "backup create",
            "backup create",
            "backup list",
            "backup verify {backup}",
            "backup recipient list",
            "backup prune --keep 1 --yes",
            "audit list",
            "audit verify",
            "audit erase --user ada@example.com --yes",
            &format!("import users --yes {}", accounts.display()),
            &format!("import better-auth --yes {}", rows.display()),
            "import list",
            "import undo --yes {import}",
        ] {
            if line.starts_with("mail test") {
                server.postbox().refuse(None);
            }
            let name = format.to_possible_value().unwrap().get_name().to_owned();
            let mut line = line.to_owned();
            for (what, list) in [("{import}", "import list -o id"), ("{backup}", "backup list -o id")] {
                if line.contains(what) {
                    line = line.replace(what, &first(list).await);
                }
            }
            let outcome =
                ctl(&server.socket).input(&made.text("/access_token")).run(&format!("{line} -o {name}")).await;
            says_something(&line, *format, &outcome.ok());
            left.retain(|command| !line.starts_with(command.as_str()));
        }
        assert_eq!(left, BTreeSet::new(), "commands that this test does not know");
    }
}

#[tokio::test]
async fn csv_says_who_did_what() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let rows = ctl(&server.socket).run("audit list -o csv").await.ok().csv();
    assert_eq!(rows[0], ["seq", "at", "event", "by", "user", "what", "reason"]);
    let of = |event: &str| rows.iter().find(|row| row[2] == event).unwrap();
    assert_eq!(of("user.created")[3], "self");
    assert_eq!(of("store.created")[3], "daemon");
    assert!(of("store.created")[5].starts_with("kid="), "{rows:?}");
    let asked = ctl(&server.socket).run("audit list -o jsonl --fields by --limit 1").await.ok();
    assert_eq!(asked.json()["by"], "self");
}

#[tokio::test]
async fn people_see_addresses_in_the_trail_and_programs_ids() {
    let server = Server::start().await;
    let id = server.sign_up("ada@example.com").await.text("/user/id");
    let list =
        async |more: &str| ctl(&server.socket).run(&format!("audit list --event user.created {more}")).await.ok();
    let table = list("").await.out;
    assert!(table.contains("  self  ada@example.com") && !table.contains(&id), "{table}");
    assert_eq!(list("-o csv --fields user").await.out, format!("user\n{id}\n"));
    assert!(!list("-o json").await.out.contains("ada@"), "what is exported has no addresses");
    assert_eq!(list("--fields user").await.out, format!("USER\n{id}\n"));
    ctl(&server.socket).run("user delete ada@example.com --yes").await.ok();
    let table = list("").await.out;
    assert!(table.contains(&id) && !table.contains("ada@"), "what is gone has its id only: {table}");
}

#[tokio::test]
async fn cl_02_a_name_that_looks_like_a_formula_is_a_text_in_csv_and_itself_everywhere_else() {
    let server = Server::start().await;
    let name = "=HYPERLINK(\"https://evil.example\",\"ok\")";
    let body = json!({"email": "+ada@example.com", "password": PASSWORD, "name": name});
    assert_eq!(server.client().post("/api/auth/signup", &body).await.status, 201);
    let list =
        async |format: &str| ctl(&server.socket).run(&format!("user list --fields email,name -o {format}")).await.ok();
    assert_eq!(list("csv").await.csv()[1], ["'+ada@example.com".to_owned(), format!("'{name}")]);
    assert_eq!(list("json").await.json()[0]["name"], name);
    assert!(list("table").await.out.contains(name) && list("table").await.out.contains("\n+ada@example.com"));
}

#[tokio::test]
async fn fields_are_named_alike_in_every_format() {
    let server = Server::start().await;
    let table = ctl(&server.socket).run("status --fields mode,ready,listen").await.ok();
    assert!(table.out.starts_with("mode    development\nready   true\nlisten  127.0.0.1:"), "{table:?}");
    let csv = ctl(&server.socket).run("status --fields mode,counts -o csv").await.ok().csv();
    assert_eq!(csv[0], ["mode", "counts"]);
    assert_eq!(serde_json::from_str::<Value>(&csv[1][1]).unwrap()["users"], 0, "{csv:?}");
}

#[tokio::test]
async fn cl_02_exit_codes_are_what_the_help_says() {
    let mut server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let exit = |line: &'static str, input: String| {
        let socket = server.socket.clone();
        async move { ctl(&socket).input(&input).run(line).await.exit }
    };
    for (line, input, expected) in [
        ("status", "", 0),
        ("user show nobody@example.com", "", 3),
        ("session show nothing", "", 3),
        ("session revoke nothing --yes", "", 3),
        ("user enable ada@example.com", "", 3),
        ("keys revoke nothing --yes", "", 3),
        ("user create --email ada@example.com --password-stdin", PASSWORD, 4),
        ("keys rollback --yes", "", 4),
        ("keys cookie-cache", "", 4),
        ("session revoke --user ada@example.com --yes --expect-count 7", "", 4),
        ("user create --email nobody --password-stdin", PASSWORD, 2),
        ("user create --email new@example.com --password-stdin", "password1", 9),
        ("user create --email new@example.com --password-stdin", "", 2),
        ("user create --email new@example.com", "", 2),
        ("user delete ada@example.com", "", 2),
        ("session revoke", "", 2),
        ("keys rotate", "", 2),
        ("nonsense", "", 2),
        ("token verify", "nonsense", 8),
        ("token verify", "", 2),
        ("token inspect", "nonsense", 0),
        ("audit list --since whenever", "", 2),
        ("audit verify", "", 0),
    ] {
        assert_eq!(exit(line, input.to_owned()).await, expected, "{line}");
    }
    assert_eq!(exit("token verify", made.text("/access_token")).await, 0);
    server.stop().await;
    assert_eq!(ctl(&server.socket).run("status").await.exit, 6);
    let errors = ctl(&server.socket).run("status -o json").await;
    let error: Value = serde_json::from_str(&errors.err).unwrap();
    assert_eq!((error["error"]["exitCode"].as_u64(), errors.out.as_str()), (Some(6), ""));
    assert!(error["error"]["fix"].as_str().unwrap().contains("--socket"));
}

#[tokio::test]
async fn cl_01_secrets_are_not_taken_as_arguments_nor_repeated() {
    let server = Server::start().await;
    let secret = "hunter2-hunter2";
    for args in [
        vec!["user", "create", "--email", "a@b.co", "--password=hunter2-hunter2"],
        vec!["user", "create", "--email", "a@b.co", "--password", secret],
        vec!["user", "set-password", "a@b.co", "--password", secret],
        vec!["user", "set-password", "a@b.co", secret],
        vec!["user", "set-password", "a@b.co", "--password-stdin", secret, secret],
        vec!["user", "create", "--email", "a@b.co", secret],
        vec!["token", "inspect", secret],
        vec!["token", "verify", secret],
    ] {
        let refused = ctl(&server.socket).args(&args).await;
        assert_eq!(refused.exit, 2, "{args:?}");
        assert!(refused.err.contains("not taken as an argument"), "{refused:?}");
        assert!(!refused.err.contains(secret) && !refused.out.contains(secret), "{refused:?}");
    }
    assert_eq!(ctl(&server.socket).run("user list -o id").await.ok().out, "");
}

#[tokio::test]
async fn fields_of_the_application_are_given_by_name_and_shown() {
    let fields = "plan.type = \"string\"\ntags = { type = \"string[]\", required = false }\nnews = { type = \"boolean\", required = false }";
    let server = Server::builder().set("user.fields", fields).start().await;
    let create = async |more: &str| {
        ctl(&server.socket).run(&format!("user create --email ada@example.com --no-password -o json {more}")).await
    };
    for (more, code, said) in [
        ("", 2, "the field plan must have a value"),
        ("--field plan", 2, "write NAME=VALUE"),
        ("--field =x", 2, "write NAME=VALUE"),
        ("--field plan=x --field news=maybe", 2, "news: expected boolean, found string"),
        ("--field plan=x --field role=admin", 2, "there is no field 'role'"),
    ] {
        let refused = create(more).await;
        assert!(refused.exit == code && refused.err.contains(said), "{more}: {refused:?}");
    }
    let made = create("--field plan=a=b --field tags=x,y --field news=true").await.ok().json();
    let all = serde_json::json!({"plan": "a=b", "tags": ["x", "y"], "news": true});
    assert_eq!(made["fields"], all);
    let shown = ctl(&server.socket).run("user show ada@example.com").await.ok();
    let row = shown.out.lines().find(|line| line.starts_with("fields")).unwrap();
    assert!(row.contains(r#"{"plan":"a=b","tags":["x","y"],"news":true}"#), "{row}");
}

#[tokio::test]
async fn a_generated_password_is_shown_once_and_works() {
    let server = Server::start().await;
    let made = ctl(&server.socket).run("user create --email ada@example.com --generate -o json").await.ok().json();
    let password = made["generatedPassword"].as_str().unwrap();
    assert_eq!(password.len(), 24);
    let login = serde_json::json!({"email": "ada@example.com", "password": password});
    assert_eq!(server.client().post("/api/auth/login", &login).await.status, 200);
    let shown = ctl(&server.socket).run("user show ada@example.com -o json").await.ok();
    assert!(!shown.out.contains(password));
    let file = server.dir().join("password");
    std::fs::write(&file, "from a horse file\n").unwrap();
    let path = file.display().to_string();
    ctl(&server.socket).args(&["user", "set-password", "ada@example.com", "--password-file", &path]).await.ok();
    let login = serde_json::json!({"email": "ada@example.com", "password": "from a horse file"});
    assert_eq!(server.client().post("/api/auth/login", &login).await.status, 200);
}

#[tokio::test]
async fn dry_runs_say_what_would_happen_and_do_nothing() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let before = server.admin().get("/v1/audit").await.body;
    let kid = server.admin().get("/v1/keys").await.text("/items/0/kid");
    for line in [
        "session revoke --user ada@example.com --dry-run",
        "user disable ada@example.com --dry-run",
        "user delete ada@example.com --dry-run",
        "keys rotate --dry-run",
        "keys rotate --now --dry-run",
        &format!("keys revoke {kid} --dry-run"),
    ] {
        let would = ctl(&server.socket).run(line).await.ok();
        assert!(would.err.contains("would ") && !would.err.contains('✓'), "{line}: {would:?}");
    }
    assert_eq!(server.admin().get("/v1/audit").await.body, before);
    assert_eq!(server.client().bearer(&made.text("/access_token")).get("/api/auth/me").await.status, 200);
    assert_eq!(ctl(&server.socket).run("user delete ada@example.com --dry-run --yes").await.exit, 2);
}

#[tokio::test]
async fn what_would_happen_to_keys_is_not_said_as_if_it_had() {
    let server = Server::start().await;
    let first = server.admin().get("/v1/keys").await.text("/items/0/kid");
    let would = async |line: &str| ctl(&server.socket).run(&format!("{line} --dry-run")).await.ok().err;
    let staged = would("keys rotate").await;
    let [new, old] = staged.lines().collect::<Vec<_>>()[..] else { panic!("{staged}") };
    assert!(new.starts_with("  a new key would be published at once and sign from 2027-"), "{staged}");
    assert!(old.starts_with(&format!("  tokens signed by {first} would stay good; it would leave the key set at ")));
    let at_once = would("keys rotate --now").await;
    assert!(at_once.starts_with("  a new key would sign at once\n  backends that cached the key set would refuse"));
    let revoked = would(&format!("keys revoke {first}")).await;
    assert!(revoked.contains(&format!("  tokens signed by {first} would be refused at once\n")), "{revoked}");
    assert_eq!(
        ctl(&server.socket).run("keys rotate --dry-run -o id").await.ok().out,
        format!("{first}\n"),
        "the name of a key that is thrown away is of no use"
    );

    let done = ctl(&server.socket).run("keys rotate --yes").await.ok().err;
    assert!(done.starts_with("✓ ") && done.contains(" is published now and signs from ") && !done.contains("would"));
    let back = would("keys rollback").await;
    assert!(back.contains(&format!("  {first} would sign at once\n")), "{back}");
    assert!(back.ends_with(" would leave the key set; it has signed nothing\n"), "{back}");
    assert_eq!(server.admin().get("/v1/keys").await.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_can_be_shown_as_curl() {
    let server = Server::start().await;
    let shown = ctl(&server.socket).input(PASSWORD);
    let shown = shown.run("user create --email ada@example.com --password-stdin --show-request -o id").await.ok();
    assert!(shown.err.contains("curl -s --unix-socket ") && shown.err.contains("http://authd/v1/users"), "{shown:?}");
    assert!(!shown.err.contains(PASSWORD), "{shown:?}");
}

#[tokio::test]
async fn cl_03_a_daemon_that_does_not_answer_is_not_waited_for_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("stalled.sock");
    let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let read = ctl(&socket).run("status --timeout 1").await;
    assert_eq!(read.exit, 7, "{read:?}");
    let write = ctl(&socket).input(PASSWORD).run("user create --email a@b.co --password-stdin --timeout 1").await;
    assert_eq!(write.exit, 7);
    assert!(write.err.contains("it may have been done") && write.err.contains("--idempotency-key"), "{write:?}");
}

/// Gives one connection this answer.
async fn answer_once(listener: tokio::net::UnixListener, answer: String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 4096];
    let _ = stream.read(&mut buffer).await;
    let _ = stream.write_all(answer.as_bytes()).await;
}

#[tokio::test]
async fn lg_03_json_cannot_rewrite_a_terminal_and_says_the_same() {
    // No door takes such a name; what is in a store may have come by another.
    let name = "a\u{202e}gnp.exe\u{9b}31m";
    let acts = |text: &str| text.contains(['\u{202e}', '\u{9b}']);
    let dir = tempfile::tempdir().unwrap();
    let user = json!({"id": "a", "email": "ada@example.com", "name": name});
    let refusal = json!({"code": "CONFLICT", "message": format!("{name} is there"), "cause": name});
    let page = json!({"items": [user]});
    for (n, (status, body)) in [("200 OK", &page), ("200 OK", &page), ("409 Conflict", &refusal)].iter().enumerate() {
        let socket = dir.path().join(format!("{n}.sock"));
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let body = body.to_string();
        let answer =
            format!("HTTP/1.1 {status}\r\nauthd-api-version: 1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let server = tokio::spawn(answer_once(listener, answer));
        let outcome = ctl(&socket).run(if n == 0 { "user list -o json" } else { "user list -o jsonl" }).await;
        server.await.unwrap();
        assert!(!acts(&outcome.out) && !acts(&outcome.err), "{outcome:?}");
        match n {
            0 => assert_eq!(outcome.json(), json!([user])),
            1 => assert_eq!(outcome.json(), user),
            _ => {
                let error: Value = serde_json::from_str(&outcome.err).unwrap();
                assert_eq!((outcome.exit, &error["error"]["cause"]), (4, &json!(name)), "{outcome:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_stranger_on_the_socket_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let answers = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 11),
        ("HTTP/1.1 200 OK\r\nauthd-api-version: 2\r\ncontent-length: 2\r\n\r\n{}", 11),
        ("HTTP/1.1 200 OK\r\nauthd-api-version: 1\r\ncontent-length: 2\r\n\r\n{}", 11),
        ("HTTP/1.1 200 OK\r\nauthd-api-version: 1\r\ncontent-length: 20\r\n\r\n{}", 1),
        ("nonsense", 1),
        ("", 1),
    ];
    for (n, (answer, expected)) in answers.into_iter().enumerate() {
        let socket = dir.path().join(format!("{n}.sock"));
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(answer_once(listener, answer.to_owned()));
        let outcome = ctl(&socket).run("status").await;
        assert_eq!(outcome.exit, expected, "{answer:?}: {outcome:?}");
        server.await.unwrap();
    }
}

/// Answers every request with what `answer` makes of its number and its path.
fn hostile(path: &std::path::Path, answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) {
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        for n in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let (status, body) = match answer(n, head.split(' ').nth(1).unwrap()) {
                body if body.contains("\"error\"") => ("404 Not Found", body),
                body => ("200 OK", body),
            };
            let text = format!(
                "HTTP/1.1 {status}\r\nauthd-api-version: 1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            drop(stream.write_all(text.as_bytes()).await);
        }
    });
}

const HOSTILE: &str = "x\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r@example.com";

#[tokio::test]
async fn lg_03_nothing_that_a_server_says_acts_on_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("hostile.sock");
    hostile(&socket, |_, path| {
        let user = json!({
            "id": "u", "email": HOSTILE, "name": HOSTILE, "emailVerified": false, "image": null, "role": HOSTILE,
            "banned": false, "passwordChangeRequired": false,
            "createdAt": "2026-11-22T17:19:35.800Z", "updatedAt": "2026-11-22T17:19:35.800Z",
        });
        if path.contains("refused") {
            return json!({"error": {}, "code": HOSTILE, "message": HOSTILE, "cause": HOSTILE, "fix": HOSTILE})
                .to_string();
        }
        if path.contains("verify") {
            return json!({"ok": false, "records": 1, "removed": 0, "erased": 0, "brokenAt": 1, "problem": HOSTILE})
                .to_string();
        }
        json!({"user": user, "changed": true, "endedSessions": 1, "dryRun": path.contains("dry_run")}).to_string()
    });
    for line in [
        "user disable ada --yes",
        "user disable ada --dry-run",
        "user enable ada",
        "user delete ada --yes",
        "user delete ada --dry-run",
        "user disable refused --yes",
        "audit verify",
    ] {
        let shown = ctl(&socket).run(line).await;
        let asked = ctl(&socket).person(&["y"]).run(line).await;
        for text in [&shown.out, &shown.err, &asked.out, &asked.err] {
            assert!(!text.chars().any(|c| c != '\n' && common::text::is_forbidden_in_names(c)), "{line}: {text:?}");
        }
        assert!(format!("{}{}", shown.out, shown.err).contains("\\u{1b}]0;owned"), "{line}: it was there: {shown:?}");
    }
    let asked = ctl(&socket).person(&["y"]).run("user delete ada").await;
    assert!(asked.err.contains("? Delete x\\u{1b}]0;owned"), "{asked:?}");
}

#[tokio::test]
async fn cl_03_a_list_whose_cursor_never_ends_is_not_followed_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    hostile(&at("same"), |_, _| json!({"items": [], "next": "x"}).to_string());
    let same = ctl(&at("same")).run("user list --all").await;
    assert_eq!(same.exit, 11, "{same:?}");
    assert!(same.err.contains("cursor comes again"), "{same:?}");
    hostile(&at("many"), |_, _| json!({"items": vec![json!({}); 1001], "next": "x"}).to_string());
    assert_eq!(ctl(&at("many")).run("user list --all").await.exit, 11);
    hostile(&at("fresh"), |n, _| json!({"items": [{"id": n}], "next": n.to_string()}).to_string());
    let fresh = ctl(&at("fresh")).run("user list --all --timeout 1").await;
    assert_eq!(fresh.exit, 7, "the time is over all pages: {fresh:?}");
    assert!(fresh.err.contains("--limit"), "{fresh:?}");
}
