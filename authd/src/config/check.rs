//! What no single setting can tell: combinations that are unsafe or cannot work.

use std::{fs::File, io::Read};

use common::{Span, text::is_forbidden_in_names};

mod hooks;
mod mail;

pub(super) use self::{hooks::targets, mail::effective as mail_delivery};

use super::{Mode, Origin, Places, Problem, Settings, fields, origin_of, plugins};
use crate::{
    crypto::{
        hasher::Cost,
        master::{self, MasterKeyError},
        secret_file::{self, FileProblem},
    },
    domain::{
        access::Principal,
        key::{JWKS_MAX_AGE, JWKS_STALE},
        token::MAX_TOKEN_LIFE,
    },
    nss,
};

/// The longest lifetime of a cookie that browsers keep (RFC 6265bis §5.5): 400 days.
const MAX_COOKIE_AGE: Span = Span::from_days(400);

/// How long a refresh token may be shown again at most (RF-03).
const REUSE_WINDOW: Span = Span::from_secs(10);

/// How long a copy of a session may be believed at most (SE-08).
const MAX_COPY_LIFE: Span = Span::from_mins(1);

/// Longer than anybody means: a number with a unit too many.
const MAX_RETENTION: Span = Span::from_days(36_500);

/// What `authd init` writes where it is told no name.
const TEMPLATE_HOST: &str = "auth.example.com";

/// The most work of a hash, in KiB that are written: 4 GiB, some seconds of one processor.
const MAX_WORK: u64 = 4 << 20;

/// Adds to `problems` what must not be; answers what is worth a look.
pub(super) fn check(mode: Mode, s: &Settings, origins: &[Origin], problems: &mut Vec<Problem>) -> Vec<String> {
    let mut refuse = |key: &str, message: String| {
        problems.push(Problem { key: key.into(), origin: origin_of(origins, key), message });
    };
    http(mode, s, &mut refuse);
    mail::check(mode, s, &mut refuse);
    hooks::check(s, &mut refuse);
    hooks::events(s, &mut refuse);
    passwords(s, &mut refuse);
    plugins::check(s, &mut refuse);

    let session = &s.session;
    for (key, span, default) in [
        ("session.expires_in", session.expires_in, "7d"),
        ("session.absolute", session.absolute, "30d"),
        ("session.unremembered", session.unremembered, "1d"),
    ] {
        if span == Span::ZERO {
            refuse(key, format!("sessions must live for some time: write \"{default}\", or leave it out"));
        }
    }
    let (idle, most) = (session.expires_in, session.absolute);
    if most < idle && most != Span::ZERO {
        refuse("session.absolute", format!("it must be at least session.expires_in ({idle}): raise it, or lower that"));
    }
    if most < session.unremembered && most != Span::ZERO {
        refuse(
            "session.unremembered",
            format!("it must be at most session.absolute ({most}): lower it, or raise that"),
        );
    }
    if session.update_age > idle && idle != Span::ZERO {
        refuse(
            "session.update_age",
            format!("it must be at most session.expires_in ({idle}): lower it, or raise that"),
        );
    }
    if let Some(domain) = &s.cookies.domain {
        let host = s.http.public_url.as_ref().map_or("localhost", |url| url.host.as_str());
        if !domain.covers(host) {
            refuse(
                "cookies.domain",
                format!("the service is called {host} (http.public_url), which is not below {domain}"),
            );
        }
    }
    if s.cookies.cache_life > MAX_COPY_LIFE || s.cookies.cache_life < Span::from_secs(1) {
        refuse("cookies.cache_life", format!("it must be between 1s and {MAX_COPY_LIFE}"));
    }
    if session.expires_in > MAX_COOKIE_AGE {
        refuse("session.expires_in", "browsers keep no cookie longer than 400d".into());
    }
    if session.reuse_window > REUSE_WINDOW {
        refuse(
            "session.reuse_window",
            format!("it must be at most {REUSE_WINDOW}: for so long a stolen token goes unnoticed"),
        );
    }
    if session.max_per_user == 0 || session.max_per_user > 10_000 {
        refuse("session.max_per_user", "it must be between 1 and 10000".into());
    }

    if s.token.expires_in > MAX_TOKEN_LIFE || s.token.expires_in < Span::from_secs(5) {
        refuse("token.expires_in", format!("it must be between 5s and {MAX_TOKEN_LIFE}"));
    }
    if s.token.issuer.as_ref().is_some_and(|issuer| issuer.trim().is_empty()) {
        refuse("token.issuer", "it cannot be empty".into());
    }
    if s.token.audience.iter().any(|aud| aud.trim().is_empty()) {
        refuse("token.audience", "it cannot be empty".into());
    }
    for (key, texts) in [("token.issuer", s.token.issuer.as_slice()), ("token.audience", s.token.audience.as_slice())] {
        if texts
            .iter()
            .filter(|text| !text.trim().is_empty())
            .flat_map(|text| text.chars())
            .any(|c| c.is_whitespace() || is_forbidden_in_names(c))
        {
            refuse(key, "it cannot have spaces, control characters or invisible ones".into());
        }
    }
    let cached = JWKS_MAX_AGE.plus(JWKS_STALE);
    if s.keys.publish_ahead < cached {
        refuse("keys.publish_ahead", format!("backends may cache the key set for {cached}: it must be at least that"));
    }
    if s.keys.rotate_every != Span::ZERO && s.keys.rotate_every < Span::from_days(1) {
        refuse("keys.rotate_every", "it must be 0 (never) or at least 1d".into());
    }
    let retention = s.audit.retention;
    if retention != Span::ZERO && !(Span::from_days(1)..=MAX_RETENTION).contains(&retention) {
        refuse("audit.retention", format!("it must be 0s (for ever), or between 1d and {MAX_RETENTION}"));
    }
    if let Some(address) = s.metrics.listen
        && !address.ip().is_loopback()
        && !s.metrics.allow_remote
    {
        let message = "is not a loopback address: listen on 127.0.0.1, or set metrics.allow_remote = true";
        refuse("metrics.listen", format!("{address} {message}"));
    }
    if s.store.cache.0 < 4 << 20 {
        refuse("store.cache", "it must be at least 4MiB".into());
    }
    if s.backup.every < Span::from_mins(1) {
        refuse("backup.every", "it must be at least 1m".into());
    }
    if s.backup.keep == 0 {
        refuse("backup.keep", "it must be at least 1: the one that was just made".into());
    }
    if s.backup.directory.as_ref().is_some_and(|directory| !directory.is_absolute()) {
        refuse("backup.directory", "it is not an absolute path".into());
    }
    if s.store.snapshot_every < Span::from_mins(1) {
        refuse("store.snapshot_every", "it must be at least 1m".into());
    }
    if s.store.log_size.0 < 1 << 20 {
        refuse("store.log_size", "it must be at least 1MiB".into());
    }

    let mut advice = vec![];
    if s.password.min_length < 15 {
        advice.push(format!(
            "password.min_length is {}: NIST SP 800-63B asks for 15 where the password is the only factor",
            s.password.min_length
        ));
    }
    if !s.password.blocklist {
        advice.push("password.blocklist is off: users may choose passwords that everybody guesses".into());
    }
    if s.http.public_url.as_ref().is_some_and(|url| url.host == TEMPLATE_HOST) {
        advice.push(format!(
            "http.public_url is {TEMPLATE_HOST}, which is an example: write by what name clients call authd"
        ));
    }
    let is_public = s.http.public_url.as_ref().is_some_and(|url| !url.is_loopback());
    if is_public && s.http.listen.ip().is_loopback() && s.http.trusted_proxies.is_empty() {
        advice.push(
            "http.trusted_proxies is empty, and only a proxy of this machine can reach http.listen: all clients count as one. \
             Write [\"127.0.0.1\", \"::1\"], if the proxy names its clients in http.client_address"
                .into(),
        );
    }
    if let Some(domain) = &s.cookies.domain {
        advice.push(format!("cookies.domain is {domain}: every host below it receives the users' session cookies"));
    }
    for name in fields::only_by_operators(&s.user.fields.0) {
        advice.push(format!(
            "user.fields.{name} must have a value, users may not give it one, and it has no default: nobody can sign up"
        ));
    }
    if !s.throttle.failures {
        advice.push("throttle.failures is off: nothing slows down who guesses passwords".into());
    }
    if s.http.insecure_public_url {
        advice.push("http.insecure_public_url is on: passwords and cookies cross the network readable".into());
    }
    advice.extend(mail::advice(mode, s));
    advice.extend(strangers(s, origins));
    advice
}

/// Roles of users and groups that this host does not know. No mistake: a configuration may be written before they are made,
/// or be checked on another machine. Nobody has a role by such a name.
fn strangers(s: &Settings, origins: &[Origin]) -> Vec<String> {
    let mut notes = vec![];
    for (role, principal) in s.roles() {
        let key = format!("admin.roles.{role}");
        let origin = origin_of(origins, &key);
        let (what, is_known) = match principal {
            Principal::User(name) => ("user", nss::has_user(name)),
            Principal::Group(name) => ("group", nss::group(name).is_some()),
        };
        // The group that is the default is missing on many a host, and nobody asked for it there.
        if !is_known && origin != Origin::Default {
            notes.push(format!(
                "{key} ({origin}): this host has no {what} for '{principal}', so it gives nobody a role"
            ));
        }
    }
    notes
}

/// Files that a setting names: what can be seen to be wrong with them before the start. That the master key is missing, or
/// is another user's to read, is for the start to say: `authd config check` is not run by the daemon's user.
pub(super) fn files(s: &Settings, places: &Places, origins: &[Origin], problems: &mut Vec<Problem>) {
    let mut refuse = |key: &str, message: String| {
        problems.push(Problem { key: key.into(), origin: origin_of(origins, key), message });
    };
    if s.keys.master_key_file.is_some()
        && let Err(e @ (MasterKeyError::File(FileProblem::Unsafe { .. }) | MasterKeyError::NotAKey(_))) =
            master::load(&places.master_key, places.is_credential)
    {
        refuse("keys.master_key_file", e.to_string());
    }
    if s.session.legacy_secret_file.is_some()
        && let Some(place) = places.legacy_secret.as_ref().filter(|place| !place.is_credential)
        && let Some(problem) = secret_file::loose(&place.path)
    {
        refuse("session.legacy_secret_file", format!("{} is not safe: {problem}", place.path.display()));
    }
    if s.mail.password_file.is_some()
        && let Some(place) = places.mail_password.as_ref().filter(|place| !place.is_credential)
        && let Some(problem) = secret_file::loose(&place.path)
    {
        refuse("mail.password_file", format!("{} is not safe: {problem}", place.path.display()));
    }
    for (key, named, place) in [
        ("hooks.secret_file", &s.hooks.secret_file, &places.hook_secret),
        ("events.secret_file", &s.events.secret_file, &places.event_secret),
    ] {
        if named.is_some()
            && let Some(place) = place.as_ref().filter(|place| !place.is_credential)
            && let Some(problem) = secret_file::loose(&place.path)
        {
            refuse(key, format!("{} is not safe: {problem}", place.path.display()));
        }
    }
    if let Some(path) = &s.password.blocklist_file {
        let read = File::open(path).and_then(|mut file| file.read(&mut [0; 1]));
        match read {
            Err(e) => refuse("password.blocklist_file", format!("{} cannot be read: {e}", path.display())),
            Ok(0) => refuse("password.blocklist_file", format!("{} is empty: it would refuse nothing", path.display())),
            Ok(_) => {}
        }
    }
}

fn http(mode: Mode, s: &Settings, refuse: &mut impl FnMut(&str, String)) {
    let http = &s.http;
    let loopback = http.listen.ip().is_loopback();
    match (&http.public_url, mode) {
        (Some(url), _) if !url.is_secure && !url.is_loopback() && !http.insecure_public_url => refuse(
            "http.public_url",
            format!("{url} is plain http: write https://…, or set http.insecure_public_url = true if you must"),
        ),
        (None, Mode::Production) if !loopback => refuse(
            "http.listen",
            format!("{} is not a loopback address: set http.public_url, or listen on 127.0.0.1", http.listen),
        ),
        _ => {}
    }
    if mode == Mode::Development && !loopback {
        refuse(
            "http.listen",
            format!(
                "{} is not a loopback address: without a configuration file authd serves this machine only; authd init \
                 makes one",
                http.listen
            ),
        );
    }
    if http.mounts.is_empty() {
        refuse("http.mounts", "at least one path is needed".into());
    }
    for (i, mount) in http.mounts.iter().enumerate() {
        if http.mounts[..i].contains(mount) {
            refuse("http.mounts", format!("{mount} stands there twice"));
        }
    }
    for network in &http.trusted_proxies {
        if network.is_too_wide() {
            refuse(
                "http.trusted_proxies",
                format!("{network} is so wide that clients could choose their own address: name the proxies"),
            );
        }
    }
    if !(1..=1_000_000).contains(&http.max_connections) {
        refuse("http.max_connections", "it must be between 1 and 1000000".into());
    }
    if http.max_connections_per_client == 0 {
        refuse("http.max_connections_per_client", "it must be at least 1".into());
    }
    if !(1024..=16 << 20).contains(&http.max_body.0) {
        refuse("http.max_body", "it must be between 1KiB and 16MiB".into());
    } else if http.max_body_total < http.max_body {
        refuse("http.max_body_total", "one body alone would be too much: it must be at least http.max_body".into());
    }
    for (key, span, most) in [
        ("http.header_timeout", http.header_timeout, 75),
        ("http.body_timeout", http.body_timeout, 300),
        ("http.idle_timeout", http.idle_timeout, 75),
        ("http.drain_timeout", http.drain_timeout, 100),
    ] {
        if span < Span::from_secs(1) || span > Span::from_secs(most) {
            refuse(key, format!("it must be between 1s and {most}s"));
        }
    }
}

fn passwords(s: &Settings, refuse: &mut impl FnMut(&str, String)) {
    let p = &s.password;
    if p.min_length < 8 {
        refuse("password.min_length", "it must be at least 8".into());
    }
    if !(64..=4096).contains(&p.max_length) || p.max_length < p.min_length {
        refuse("password.max_length", "it must be between 64 and 4096, and no less than password.min_length".into());
    }
    let floor = Cost::FLOOR;
    if !(floor.memory_kib..=4 << 20).contains(&p.argon2_memory) {
        refuse("password.argon2_memory", format!("it must be at least {} (KiB), and at most 4 GiB", floor.memory_kib));
    }
    if !(floor.iterations..=100).contains(&p.argon2_iterations) {
        refuse("password.argon2_iterations", format!("it must be between {} and 100", floor.iterations));
    }
    if u64::from(p.argon2_memory) * u64::from(p.argon2_iterations) > MAX_WORK {
        refuse(
            "password.argon2_memory",
            format!(
                "with {} passes (password.argon2_iterations) every sign-in would take many seconds: at most 4 GiB, passes \
                 together",
                p.argon2_iterations
            ),
        );
    }
    if !(1..=16).contains(&p.argon2_parallelism) {
        refuse("password.argon2_parallelism", "it must be between 1 and 16".into());
    }
    if p.hash_threads > 1024 {
        refuse("password.hash_threads", "it must be at most 1024".into());
    }
    if !(1..=100_000).contains(&p.hash_queue) {
        refuse("password.hash_queue", "it must be between 1 and 100000".into());
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Flags, load};

    /// What is said of a `[session]` with these lines.
    fn of_session(lines: &str) -> Vec<String> {
        of_section("session", lines)
    }

    fn of_section(section: &str, lines: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authd.toml");
        std::fs::write(&path, format!("[{section}]\n{lines}\n")).unwrap();
        let flags = Flags { config: Some(path), ..Flags::default() };
        load(&flags, &[]).err().into_iter().flatten().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn op_01_limits_of_sessions_fit_each_other() {
        for (lines, said) in [
            ("expires_in = \"0s\"", "session.expires_in (line 2): sessions must live for some time: write \"7d\""),
            ("absolute = \"0s\"", "session.absolute (line 2): sessions must live for some time: write \"30d\""),
            ("unremembered = \"0s\"", "session.unremembered (line 2): sessions must live for some time: write \"1d\""),
            ("absolute = \"6d\"", "session.absolute (line 2): it must be at least session.expires_in (7d)"),
            ("expires_in = \"31d\"", "session.absolute: it must be at least session.expires_in (31d)"),
            ("unremembered = \"31d\"", "session.unremembered (line 2): it must be at most session.absolute (30d)"),
            ("reuse_window = \"11s\"", "session.reuse_window (line 2): it must be at most 10s"),
            ("update_age = \"8d\"", "session.update_age (line 2): it must be at most session.expires_in (7d)"),
        ] {
            let found = of_session(lines);
            assert!(found.len() == 1 && found[0].starts_with(said), "{lines}: {found:?}");
        }
        for sound in [
            "",
            "update_age = \"0s\"\nfresh_age = \"0s\"",
            "expires_in = \"30d\"\nupdate_age = \"30d\"\nunremembered = \"30d\"",
            // Shorter than a day all over.
            "expires_in = \"1h\"\nabsolute = \"1h\"\nunremembered = \"1h\"\nupdate_age = \"5m\"",
        ] {
            assert_eq!(of_session(sound), Vec::<String>::new(), "{sound}");
        }
        assert_eq!(of_session("absolute = \"1h\"").len(), 2, "each limit that does not fit is named");
    }

    #[test]
    fn op_01_values_that_cannot_be_meant_are_refused() {
        for (section, lines, key) in [
            ("token", "issuer = \"https://a.example\\nx\"", "token.issuer"),
            ("token", "audience = [\"https://a.example\", \"a\\u200Bb\"]", "token.audience"),
            ("password", "argon2_memory = 4194304\nargon2_iterations = 100", "password.argon2_memory"),
            ("password", "argon2_memory = 1048576\nargon2_iterations = 5", "password.argon2_memory"),
            ("http", "hosts = [\"a,b\"]", "http.hosts"),
            ("metrics", "listen = \"0.0.0.0:9464\"", "metrics.listen"),
            ("metrics", "listen = \"[::]:9464\"\nallow_remote = false", "metrics.listen"),
        ] {
            let found = of_section(section, lines);
            assert!(found.len() == 1 && found[0].starts_with(key), "{lines}: {found:?}");
        }
        for (section, sound) in [
            ("password", "argon2_memory = 1048576\nargon2_iterations = 4"),
            ("metrics", "listen = \"127.0.0.1:9464\""),
            ("metrics", "listen = \"[::]:9464\"\nallow_remote = true"),
        ] {
            assert_eq!(of_section(section, sound), Vec::<String>::new());
        }
    }

    #[test]
    fn cr_02_the_check_sees_that_others_may_read_the_secret_of_the_server_before() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("legacy");
        std::fs::write(&secret, "x".repeat(32)).unwrap();
        let lines = format!("legacy_secret_file = {secret:?}\nlegacy_secret_until = \"2027-01-01\"");
        for (mode, is_sound) in [(0o600, true), (0o644, false), (0o666, false), (0o640, false)] {
            std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = of_session(&lines);
            assert_eq!(found.is_empty(), is_sound, "{mode:o}: {found:?}");
            assert!(is_sound || found[0].contains(&format!("{mode:04o}")), "{found:?}");
        }
    }

    #[test]
    fn lg_07_the_audit_trail_is_kept_for_a_day_at_least_or_for_ever() {
        for (retention, sound) in
            [("0s", true), ("1d", true), ("400d", true), ("36500d", true), ("86399s", false), ("36501d", false)]
        {
            let found = of_section("audit", &format!("retention = \"{retention}\""));
            assert_eq!(found.is_empty(), sound, "{retention}: {found:?}");
            assert!(sound || found[0].starts_with("audit.retention (line 2): it must be 0s (for ever)"), "{found:?}");
        }
    }
}
