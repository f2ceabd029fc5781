//! Roles, with users and groups of this machine: who runs authctl is who the kernel says it is.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
};

use authd::{admin::routes::ROUTES, domain::Role};
use clap::CommandFactory;
use nix::unistd::{User, geteuid};
use tests::{
    ctl::Outcome,
    process::{Daemon, Host},
};

use crate::{authctl::program_for_others, host};

use Role::{Admin, Helpdesk, Oncall, View};

/// A command line, the routes it calls, and the least role that may. `{ada}` is an ordinary account, `{boss}` one with another
/// role, `{new}` an address that nobody has yet. Who may gets 0, or what there is to say of a thing that is not there.
const MATRIX: &[(&str, &[&str], Role)] = &[
    ("status", &["GET /v1/status"], View),
    ("metrics", &["GET /metrics"], View),
    ("user list", &["GET /v1/users"], View),
    ("user show {ada}", &["GET /v1/users/{user}"], View),
    ("user create --email {new} --no-password", &["POST /v1/users"], Helpdesk),
    ("user create --email {new} --no-password --role admin", &["POST /v1/users"], Admin),
    ("user create --email {new} --no-password --field plan=pro", &["POST /v1/users"], Helpdesk),
    ("user create --email {new} --no-password --field vip=true", &["POST /v1/users"], Admin),
    ("user set-password {ada} --generate", &["POST /v1/users/{user}/password"], Helpdesk),
    ("user set-password {boss} --generate", &["POST /v1/users/{user}/password"], Admin),
    ("user disable {ada} --yes", &["POST /v1/users/{user}/disable"], Helpdesk),
    ("user disable {boss} --yes", &["POST /v1/users/{user}/disable"], Admin),
    ("user disable {boss} --dry-run", &["POST /v1/users/{user}/disable"], Admin),
    ("user enable {ada}", &["POST /v1/users/{user}/enable"], Helpdesk),
    ("user enable {boss}", &["POST /v1/users/{user}/enable"], Admin),
    ("user ban {ada} --yes", &["POST /v1/users/{user}/ban"], Helpdesk),
    ("user ban {boss} --yes", &["POST /v1/users/{user}/ban"], Admin),
    ("user ban {boss} --dry-run", &["POST /v1/users/{user}/ban"], Admin),
    ("user unban {ada}", &["POST /v1/users/{user}/enable"], Helpdesk),
    ("user unban {boss}", &["POST /v1/users/{user}/enable"], Admin),
    ("user role {ada} user --yes", &["POST /v1/users/{user}/role"], Helpdesk),
    ("user role {ada} support --dry-run", &["POST /v1/users/{user}/role"], Admin),
    ("user role {boss} user --dry-run", &["POST /v1/users/{user}/role"], Admin),
    ("user delete {ada} --dry-run", &["DELETE /v1/users/{user}"], Admin),
    ("user delete nobody@example.com --yes", &["DELETE /v1/users/{user}"], Admin),
    ("session list", &["GET /v1/sessions"], View),
    ("session show nothing", &["GET /v1/sessions/{session}"], View),
    ("session revoke --user {ada} --yes", &["POST /v1/sessions/revoke"], Helpdesk),
    ("session revoke --user {boss} --yes", &["POST /v1/sessions/revoke"], Helpdesk),
    ("keys list", &["GET /v1/keys"], View),
    ("keys rotate --yes", &["POST /v1/keys/rotate"], Oncall),
    ("keys cookie-cache", &["POST /v1/keys/cookie-cache"], Admin),
    ("keys rollback --yes", &["POST /v1/keys/rollback"], Oncall),
    ("keys revoke nothing --yes", &["POST /v1/keys/{kid}/revoke"], Oncall),
    ("token inspect", &["POST /v1/tokens/inspect"], View),
    ("token verify", &["POST /v1/tokens/verify"], View),
    ("token service list", &["GET /v1/service-tokens"], View),
    ("token service create {service} --scope users:read", &["POST /v1/service-tokens"], Admin),
    ("token service revoke nothing --yes", &["POST /v1/service-tokens/{name}/revoke"], Oncall),
    ("audit list", &["GET /v1/audit"], View),
    ("audit verify", &["GET /v1/audit/verify"], View),
    ("audit erase --user {ada} --dry-run", &["POST /v1/audit/erase"], Admin),
    ("mail queue", &["GET /v1/mail"], View),
    ("mail preview test", &["GET /v1/mail/preview"], View),
    ("mail test ada@example.com", &["POST /v1/mail/test"], Oncall),
    ("mail retry --all", &["POST /v1/mail/retry"], Oncall),
    ("events list", &["GET /v1/events"], View),
    ("events tail", &["GET /v1/events"], View),
    ("events replay --dead", &["POST /v1/events/replay"], Oncall),
    ("hook list", &["GET /v1/hooks"], View),
    ("hook test sign_in.before", &["POST /v1/hooks/test"], Oncall),
    ("throttle list", &["GET /v1/throttles"], View),
    ("throttle clear --user {ada}", &["POST /v1/throttles/clear"], Helpdesk),
    ("throttle clear --user {boss}", &["POST /v1/throttles/clear"], Admin),
    ("throttle clear --all", &["POST /v1/throttles/clear"], Admin),
    ("store snapshot", &["POST /v1/store/snapshot"], Oncall),
    ("backup list", &["GET /v1/backups"], View),
    ("backup recipient list", &["GET /v1/backups"], View),
    ("backup create", &["POST /v1/backups"], Oncall),
    ("backup create -", &["POST /v1/backups", "GET /v1/backups/{backup}", "DELETE /v1/backups/{backup}"], Oncall),
    ("backup verify authd-1-2.backup", &["POST /v1/backups/verify"], Oncall),
    ("backup prune --keep 1 --dry-run", &["POST /v1/backups/prune"], Admin),
    ("import list", &["GET /v1/imports"], View),
    ("import users {accounts} --dry-run", &["GET /v1/imports/fields", "POST /v1/imports"], Admin),
    ("import users {accounts} --yes", &["GET /v1/imports/fields", "POST /v1/imports"], Admin),
    ("import better-auth {rows} --yes", &["GET /v1/imports/fields", "POST /v1/imports"], Admin),
    ("import undo nothing --yes", &["POST /v1/imports/{import}/undo"], Admin),
];

/// What is as good as root, and only for root and the daemon's own user, whatever their role.
const ROOT: &[(&str, &[&str])] = &[("keys rewrap --new-master-key {key} --yes", &["POST /v1/keys/rewrap"])];

/// What needs no daemon: it is done by the rights of who asks.
const LOCAL: &[&str] = &["backup drill", "backup recipient new"];

/// Verbs that the design has and the program has not. Each moves into the matrix when it comes.
const TO_COME: &[(&str, Role)] = &[
    ("user update", Helpdesk),
    ("user export", Admin),
    ("token mint", Admin),
    ("config show", View),
    ("doctor", View),
    ("secrets rotate", Oncall),
    ("audit export", View),
];

/// Every verb of authctl: the leaves of its tree.
fn verbs() -> BTreeSet<String> {
    fn walk(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
        if command.get_subcommands().next().is_none() {
            found.insert(path.trim_start().into());
        }
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            walk(sub, &format!("{path} {}", sub.get_name()), found);
        }
    }
    let mut found = BTreeSet::new();
    walk(&authctl::Cli::command(), "", &mut found);
    found
}

#[test]
fn az_01_every_verb_and_every_route_is_in_the_matrix_of_roles() {
    let is_of = |line: &str, verb: &str| format!("{line} ").starts_with(&format!("{verb} "));
    let verbs = verbs();
    let lines = MATRIX.iter().map(|(line, ..)| *line).chain(ROOT.iter().map(|(line, _)| *line));
    let lines: Vec<&str> = lines.chain(LOCAL.iter().copied()).collect();
    for verb in &verbs {
        assert!(lines.iter().any(|line| is_of(line, verb)), "'{verb}' is not in the matrix");
    }
    for line in lines {
        assert!(verbs.iter().any(|verb| is_of(line, verb)), "'{line}' is no verb");
    }
    for (verb, _) in TO_COME {
        assert!(!verbs.contains(*verb), "'{verb}' has come: move it into the matrix");
    }
    for route in ROUTES {
        let name = format!("{} {}", route.verb.method(), route.path);
        // The least of a route's lines is what the table asks for; a handler may ask for more.
        let of_root = ROOT.iter().filter(|(_, routes)| routes.contains(&name.as_str())).map(|_| Admin);
        let least = MATRIX.iter().filter(|(_, routes, _)| routes.contains(&name.as_str())).map(|(.., role)| *role);
        let least = least.chain(of_root).min();
        assert_eq!(least, Some(route.role), "{name}");
    }
}

/// Verbs as the manual writes them: `noun one`, `two`; those of each noun behind each other.
fn in_words(verbs: &[&str]) -> String {
    let mut nouns: Vec<(&str, Vec<&str>)> = vec![];
    for verb in verbs {
        let (noun, last) = verb.rsplit_once(' ').unwrap_or(("", verb));
        match nouns.iter_mut().find(|(known, _)| *known == noun && !noun.is_empty()) {
            Some((_, lasts)) => lasts.push(last),
            None => nouns.push((noun, vec![last])),
        }
    }
    let of_noun = |(noun, lasts): &(&str, Vec<&str>)| {
        let whole = format!("{noun} {}", lasts[0]);
        let words = std::iter::once(whole.trim_start()).chain(lasts[1..].iter().copied());
        words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    };
    nouns.iter().map(of_noun).collect::<Vec<_>>().join("; ")
}

/// The manual's table: each verb at the least role that may do anything by it.
fn table_of_roles() -> String {
    let verbs = verbs();
    let of = |role: Role| {
        let mut found: Vec<&str> = vec![];
        for (line, ..) in MATRIX {
            let is_of = |line: &str, verb: &str| format!("{line} ").starts_with(&format!("{verb} "));
            let Some(verb) = verbs.iter().find(|verb| is_of(line, verb)) else { continue };
            let least = MATRIX.iter().filter(|(line, ..)| is_of(line, verb)).map(|(.., least)| *least).min();
            if least == Some(role) && !found.contains(&verb.as_str()) {
                found.push(verb);
            }
        }
        format!("| `{role}` | {} |\n", in_words(&found))
    };
    let rows: String = Role::ALL.map(of).concat();
    format!("| role | may, beside what those before it may |\n|---|---|\n{rows}")
}

#[test]
fn the_manuals_table_of_roles_is_the_matrix() {
    const BEGIN: &str = "<!-- Made from the tests: UPDATE=1 cargo test -p tests --test process table_of_roles -->\n";
    let path = tests::pages::root().join("packaging/manual/src/authctl.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the mark before the table");
    let (there, after) = rest.split_once("\n\n").unwrap();
    let made = table_of_roles();
    if there != made.trim_end() && std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{made}\n{after}")).unwrap();
        return;
    }
    assert_eq!(there, made.trim_end(), "UPDATE=1 writes it anew");
}

#[test]
fn the_manuals_table_of_commands_has_every_verb_and_no_other() {
    let page = std::fs::read_to_string(tests::pages::root().join("packaging/manual/src/authctl.md")).unwrap();
    let table = page.split_once("## Commands\n").unwrap().1.split_once("\n\n`authctl --help`").unwrap().0;
    let mut found = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let first = row.split(" | ").next().unwrap();
        let words: Vec<&str> = first.split('`').skip(1).step_by(2).collect();
        let noun = words[0].rsplit_once(' ').map_or(String::new(), |(noun, _)| format!("{noun} "));
        found.insert(words[0].to_owned());
        found.extend(words[1..].iter().map(|verb| format!("{noun}{verb}")));
    }
    assert_eq!(found, verbs());
}

/// Runs a program of the host's; whether it succeeded.
fn host_does(line: &str) -> bool {
    let mut words = line.split(' ');
    let program = words.next().unwrap();
    let done = Command::new(program).args(words).stdin(Stdio::null()).output();
    done.is_ok_and(|done| done.status.success())
}

/// Users and groups of this machine for the time of a test.
struct People {
    users: Vec<String>,
    groups: Vec<String>,
}

impl Drop for People {
    fn drop(&mut self) {
        for user in &self.users {
            host_does(&format!("userdel {user}"));
        }
        for group in &self.groups {
            host_does(&format!("groupdel {group}"));
        }
    }
}

impl People {
    /// `None`, with a word, where this process may not make any.
    fn new() -> Option<Self> {
        if !geteuid().is_root() || !host_does("useradd --help") || !host_does("groupadd --help") {
            tests::shared::skipped("needs root");
            return None;
        }
        Some(Self { users: vec![], groups: vec![] })
    }

    fn name(what: &str) -> String {
        format!("authdt{}{what}", std::process::id())
    }

    fn group(&mut self, what: &str) -> String {
        let name = Self::name(what);
        self.groups.push(name.clone());
        assert!(host_does(&format!("groupadd {name}")), "{name}");
        name
    }

    /// A user with these flags of useradd.
    fn user(&mut self, what: &str, flags: &str) -> String {
        let name = Self::name(what);
        self.users.push(name.clone());
        let line = format!("useradd --no-create-home --shell /bin/false {flags} {name}");
        assert!(host_does(line.replace("  ", " ").trim()), "{line}");
        name
    }
}

/// Runs authctl as this user.
async fn run_as(host: &Host, user: &str, line: &str) -> Outcome {
    let account = User::from_name(user).unwrap().unwrap();
    let run = host.run(program_for_others(host)).flag("--socket", host.socket()).args(line.split(' '));
    let mut run = run.input("nothing");
    run.command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
    run.end().await
}

async fn records(host: &Host) -> usize {
    host.ctl("audit list -o id --all").await.ok().out.lines().count()
}

#[tokio::test]
async fn az_04_each_verb_is_done_for_those_whose_role_allows_it_and_exits_5_for_all_others() {
    let host = host!();
    let Some(mut people) = People::new() else { return };
    let (support, keepers, admins) = (people.group("s"), people.group("k"), people.group("a"));
    let cast = [
        (people.user("vera", ""), Some(View)),
        // A supplementary group, and one that is the user's first.
        (people.user("hugo", &format!("-G {support}")), Some(Helpdesk)),
        (people.user("olga", &format!("-g {keepers}")), Some(Oncall)),
        // Of two roles the higher one.
        (people.user("vero", &format!("-G {support},{keepers}")), Some(Oncall)),
        (people.user("abby", &format!("-G {admins}")), Some(Admin)),
        (people.user("eve", ""), None),
    ];
    let (vera, vero) = (&cast[0].0, &cast[3].0);
    let nobody = People::name("gone");
    let daemon = host
        .daemon()
        .env(
            "AUTHD_USER__FIELDS",
            "plan = { type = 'string', default = 'free' }\nvip = { type = 'boolean', default = false, input = false }",
        )
        .env("AUTHD_ADMIN__ROLES__VIEW", format!("{vera},{vero}"))
        .env("AUTHD_ADMIN__ROLES__HELPDESK", format!("@{support}"))
        .env("AUTHD_ADMIN__ROLES__ONCALL", format!("@{keepers},{nobody}"))
        .env("AUTHD_ADMIN__ROLES__ADMIN", format!("@{admins},@{nobody}"))
        .start()
        .await;
    host.create_user("ada@example.com").await.ok();
    host.ctl("user create --email boss@example.com --no-password --role admin").await.ok();
    let (accounts, rows) = (host.path("accounts.jsonl"), host.path("rows.jsonl"));
    std::fs::write(&accounts, "{\"email\":\"imp@example.com\"}\n").unwrap();
    std::fs::write(&rows, "{\"user\":{\"id\":\"i\",\"email\":\"row@example.com\"}}\n").unwrap();
    let mut new = 0;
    for (user, role) in &cast {
        for (line, routes, needed) in MATRIX {
            new += 1;
            let line = line.replace("{ada}", "ada@example.com").replace("{boss}", "boss@example.com");
            let line =
                line.replace("{new}", &format!("new{new}@example.com")).replace("{service}", &format!("service-{new}"));
            let line = line.replace("{accounts}", &accounts.display().to_string());
            let line = line.replace("{rows}", &rows.display().to_string());
            let before = records(&host).await;
            let outcome = run_as(&host, user, &line).await;
            if role.is_some_and(|role| role >= *needed) {
                // Done; or not there, or in such a state already; or a check that failed.
                assert!([0, 3, 4, 8].contains(&outcome.exit), "{role:?}: {line}: {outcome:?}");
            } else {
                assert_eq!((outcome.exit, outcome.out.as_str()), (5, ""), "{role:?}: {line}: {outcome:?}");
                assert!(outcome.err.contains("FORBIDDEN") && outcome.err.contains("fix:"), "{outcome:?}");
                // The route's own role is asked for first, and then what is to be done to whom.
                let of_route = ROUTES.iter().find(|r| routes.contains(&&*format!("{} {}", r.verb.method(), r.path)));
                let said = match (role, of_route.unwrap().role) {
                    (None, _) => format!("{user} has no role"),
                    (Some(role), least) if *role < least => {
                        format!("{user} has the role {role}, and this needs the role {least}")
                    }
                    (Some(role), _) => format!("{user} has the role {role}, and this needs the role {needed}"),
                };
                assert!(outcome.err.contains(&said), "{said}: {outcome:?}");
                assert_eq!(records(&host).await, before, "{role:?}: {line}: something was done");
            }
        }
        for (line, _) in ROOT {
            let key = host.path("new.key");
            authd::crypto::master::create(&key, &authd::crypto::entropy::SystemEntropy::default()).unwrap();
            // The user may read the key: what it may not is have it put in force.
            let account = User::from_name(user).unwrap().unwrap();
            nix::unistd::chown(&key, Some(account.uid), None).unwrap();
            let before = records(&host).await;
            let outcome = run_as(&host, user, &line.replace("{key}", &key.display().to_string())).await;
            assert_eq!(outcome.exit, 5, "{role:?}: {line}: {outcome:?}");
            assert_eq!(records(&host).await, before, "{role:?}: {line}: something was done");
            std::fs::remove_file(&key).unwrap();
        }
        if let Some(role) = role {
            let status = run_as(&host, user, "status -o json").await.ok().json();
            assert_eq!(status["role"], role.as_str());
        }
    }
    let status = host.ctl("status -o json").await.ok().json();
    assert_eq!(status["role"], "admin", "root has every role");
    let notes = status["notes"].to_string();
    assert!(
        notes.contains(&format!("user for '{nobody}'")) && notes.contains(&format!("group for '@{nobody}'")),
        "{notes}"
    );
    let log = daemon.stop().await.ok().err;
    // LG-02: what was refused is said without the names of accounts.
    assert!(!log.contains("boss") && !log.contains("%40"), "an address is in the log");
    let refusal = |line: &&str| line.contains("\"needed\":\"oncall\"") && line.contains("/v1/keys/rotate");
    let line = log.lines().find(refusal).unwrap_or_default();
    assert!(line.contains("\"role\":\"view\"") && line.contains("operator.uid"), "{line}");
}

#[tokio::test]
async fn az_03_the_socket_is_for_everybody_only_while_roles_say_who_may_come_in() {
    let host = host!();
    let mode = |daemon: &Daemon| {
        use std::os::unix::fs::MetadataExt;
        daemon.socket.metadata().unwrap().mode() & 0o777
    };
    let closed = host.daemon().start().await;
    assert_eq!(mode(&closed) & 0o007, 0);
    closed.stop().await.ok();
    for roles in ["", "@authd-admin"] {
        let closed = host.daemon().env("AUTHD_ADMIN__ROLES__VIEW", roles).start().await;
        assert_eq!(mode(&closed) & 0o007, 0, "'{roles}'");
        closed.stop().await.ok();
    }
    let open = host.daemon().env("AUTHD_ADMIN__ROLES__VIEW", "nobody").start().await;
    assert_eq!(mode(&open), 0o666);
    open.stop().await.ok();
}
