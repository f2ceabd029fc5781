//! Reading the sources, with every problem found at once and the line where it stands.

use std::{
    collections::BTreeMap,
    fmt,
    fs::OpenOptions,
    io::{self, ErrorKind},
    net::SocketAddr,
    ops::Range,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, unistd::geteuid};
use toml::de::{DeTable, DeValue};

use super::{
    Config, Mode, Places, SECTIONS, SETTINGS, Setting, Settings, check, places::is_under_systemd, setting::Fault,
};
use crate::files::open_to_everybody;

/// Where the value of a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file, at this line.
    File(usize),
    /// This environment variable.
    Env(String),
    /// This flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(line) => write!(f, "line {line}"),
            Self::Env(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, or the file itself.
    pub key: String,
    /// Where it stands.
    pub origin: Origin,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => write!(f, "{}: {}", self.key, self.message),
            origin => write!(f, "{} ({origin}): {}", self.key, self.message),
        }
    }
}

/// What was given on the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--admin-socket`
    pub admin_socket: Option<PathBuf>,
    /// `--development`: leave the configuration of an installed authd alone.
    pub development: bool,
    /// The configuration of an installed authd, which is read where it exists. Not a flag: the program names
    /// /etc/authd/authd.toml, tests a file of their own or none.
    pub installed: Option<PathBuf>,
}

impl Flags {
    /// What they set, as [`Config::template`] takes it. Paths are absolute, for a file that is read from anywhere.
    ///
    /// # Errors
    /// A value that is none.
    pub fn given(&self) -> Result<Vec<(String, String)>, String> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).to_toml();
        let listen = match &self.listen {
            Some(text) => SocketAddr::from_text(text).map_err(|e| format!("--listen: {e}"))?.to_toml(),
            None => None,
        };
        let given = [
            ("store.path", self.data_dir.as_ref().and_then(absolute)),
            ("http.listen", listen),
            ("admin.socket", self.admin_socket.as_ref().and_then(absolute)),
        ];
        Ok(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    fn values(&self) -> Vec<(&'static str, &'static str, &'static str, String)> {
        let path = |p: &PathBuf| p.display().to_string();
        [
            self.data_dir.as_ref().map(|p| ("store", "path", "--data-dir", path(p))),
            self.listen.clone().map(|l| ("http", "listen", "--listen", l)),
            self.admin_socket.as_ref().map(|p| ("admin", "socket", "--admin-socket", path(p))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

enum Raw<'i> {
    Toml(&'i DeValue<'i>),
    Text(String),
}

/// What the file, the environment and the flags say, and what is wrong with it so far.
pub(super) struct Sources<'i> {
    /// The file.
    text: &'i str,
    values: BTreeMap<(&'static str, &'static str), (Raw<'i>, Origin)>,
    origins: Vec<Origin>,
    problems: Vec<Problem>,
    /// The settings whose values cannot be read, so that the defaults stand in their place.
    unread: Vec<String>,
}

impl Sources<'_> {
    /// The value of a setting; the default where there is none, and where it cannot be read, so that the others are checked
    /// all the same.
    pub(super) fn take<T: Setting>(&mut self, section: &'static str, name: &'static str, default: &str) -> Option<T> {
        let of_text = |text: &str| T::from_text(text).map_err(|message| vec![Fault::whole(message)]);
        let (result, origin) = match self.values.remove(&(section, name)) {
            Some((Raw::Toml(value), origin)) => (T::read(value), origin),
            Some((Raw::Text(text), origin)) => (of_text(&text), origin),
            None => (of_text(default), Origin::Default),
        };
        self.origins.push(origin.clone());
        let text = self.text;
        let problem = |Fault { path, at, message }: Fault| Problem {
            key: if path.is_empty() { format!("{section}.{name}") } else { format!("{section}.{name}.{path}") },
            origin: at.map_or_else(|| origin.clone(), |span| Origin::File(line_of(text, &span))),
            message,
        };
        result.map_or_else(
            |faults| {
                self.unread.push(format!("{section}.{name}"));
                self.problems.extend(faults.into_iter().map(problem));
                T::from_text(default).ok()
            },
            Some,
        )
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1)
}

fn nearest(word: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let distance = |a: &str, b: &str| {
        let b: Vec<char> = b.chars().collect();
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, ca) in a.chars().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, cb) in b.iter().enumerate() {
                let cost = diagonal + usize::from(ca != *cb);
                diagonal = row[j + 1];
                row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
            }
        }
        row[b.len()]
    };
    candidates.map(|c| (distance(word, c), c)).filter(|(d, c)| *d <= 1 + c.len() / 4).min().map(|(_, c)| c)
}

pub(super) fn unknown(word: &str, what: &str, candidates: impl Iterator<Item = &'static str>) -> String {
    match nearest(word, candidates) {
        Some(near) => format!("there is no such {what}; did you mean '{near}'?"),
        None => format!("there is no such {what}"),
    }
}

/// Reads everything and checks it.
///
/// A configuration means a file: flags and environment alone are development mode. The file is the one that is named, else
/// that of an installed authd; under systemd there must be one. `env` is the environment, or what a test puts in its place.
///
/// # Errors
/// All problems at once.
pub fn load(flags: &Flags, env: &[(String, String)]) -> Result<Config, Vec<Problem>> {
    let whole = |path: &Path, message: String| {
        vec![Problem { key: path.display().to_string(), origin: Origin::Default, message }]
    };
    let variable = |name: &str| env.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone());
    let named = flags.config.clone().or_else(|| variable("AUTHD_CONFIG").map(PathBuf::from));
    // What may be there and not be looked at is not passed over: that would be development mode by mistake.
    let is_there = |path: &PathBuf| {
        let found = path.symlink_metadata();
        found.is_ok() || found.is_err_and(|e| !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    };
    let installed = || flags.installed.clone().filter(|path| is_under_systemd(env) || is_there(path));
    let is_named = named.is_some();
    let file = if flags.development { None } else { named.or_else(installed) };
    let (text, of_file) = match &file {
        Some(path) => read_whole(path).map_err(|e| {
            let fix = match (is_named, e.kind()) {
                (true, _) => "",
                (false, ErrorKind::NotFound) => ": authd init makes it",
                (false, _) => ": --development leaves it alone",
            };
            whole(path, format!("it cannot be read: {e}{fix}"))
        })?,
        None => (String::new(), vec![]),
    };
    let (table, syntax) = DeTable::parse_recoverable(&text);
    let mut sources =
        Sources { text: &text, values: BTreeMap::new(), origins: vec![], problems: vec![], unread: vec![] };
    let name = file.as_ref().map_or_else(String::new, |f| f.display().to_string());
    for error in syntax {
        let line = error.span().map_or(1, |span| line_of(&text, &span));
        let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
        sources.problems.push(Problem { key: name.clone(), origin: Origin::File(line), message });
    }
    read_file(&text, table.get_ref(), &mut sources);
    read_env(env, &mut sources);
    for (section, key, flag, value) in flags.values() {
        sources.values.insert((section, key), (Raw::Text(value), Origin::Flag(flag)));
    }

    let settings = Settings::take(&mut sources);
    let mode = if file.is_some() { Mode::Production } else { Mode::Development };
    let Sources { origins, mut problems, unread, .. } = sources;
    let Some(settings) = settings else { return Err(problems) };
    let of_reading = problems.len();
    let places = match Places::find(mode, &settings, &origins, env) {
        Ok(places) => Some(places),
        Err(more) => {
            problems.extend(more);
            None
        }
    };
    let advice = check::check(mode, &settings, &origins, &mut problems);
    if let Some(places) = &places {
        check::files(&settings, places, &origins, &mut problems);
    }
    let mut at = 0..;
    problems.retain(|problem| at.next() < Some(of_reading) || !unread.iter().any(|path| rests_on(problem, path)));
    match places {
        Some(places) if problems.is_empty() => {
            Ok(Config { mode, file, settings, places, origins, advice, advice_around: of_file })
        }
        _ => Err(problems),
    }
}

/// Whether a problem is of this setting, or of another beside it: a message names every setting that it rests on. Where the
/// default stands in the place of what cannot be read, nothing is said of it.
fn rests_on(problem: &Problem, path: &str) -> bool {
    let is_word_break = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
    problem.key == path || problem.message.split(is_word_break).any(|word| word.trim_end_matches('.') == path)
}

/// The text of a configuration, unless everybody on the machine may change it: who can write it chooses the origins that are
/// trusted, and who is an administrator. And what is worth a look.
fn read_whole(path: &Path) -> io::Result<(String, Vec<String>)> {
    // Without waiting: a FIFO in its place would hold up the start, and each reload, for good.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    let shown = path.display();
    if !meta.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if meta.mode() & 0o002 != 0 {
        let message = format!("everybody may change it (mode {:04o}): chmod o-w {shown}", meta.mode() & 0o7777);
        return Err(io::Error::other(message));
    }
    if let Some((dir, mode)) = open_to_everybody(path)? {
        let dir = dir.display();
        let message = format!("everybody may put another in its place ({dir} has mode {mode:04o}): chmod o-w {dir}");
        return Err(io::Error::other(message));
    }
    let mut advice = vec![];
    if meta.uid() != 0 && meta.uid() != geteuid().as_raw() {
        advice.push(format!("{shown} belongs to uid {}, who can change it, and so is an administrator", meta.uid()));
    }
    Ok((io::read_to_string(&mut file)?, advice))
}

fn read_file<'i>(text: &str, table: &'i DeTable<'i>, sources: &mut Sources<'i>) {
    for (section, content) in table {
        let origin = Origin::File(line_of(text, &section.span()));
        let section = section.get_ref().as_ref();
        let mut refuse =
            |message: String| sources.problems.push(Problem { key: section.into(), origin: origin.clone(), message });
        // `admin.roles` is a table in the table `admin`, and not a name of its own.
        let at_top = || SECTIONS.iter().map(|(s, _)| *s).filter(|s| !s.contains('.'));
        let Some(known) = at_top().find(|s| *s == section) else {
            refuse(unknown(section, "section", at_top()));
            continue;
        };
        match content.get_ref() {
            DeValue::Table(content) => read_section(text, known, content, sources),
            _ => refuse(format!("this is a section: write [{section}] on a line of its own")),
        }
    }
}

fn read_section<'i>(text: &str, section: &'static str, content: &'i DeTable<'i>, sources: &mut Sources<'i>) {
    for (key, value) in content {
        let origin = Origin::File(line_of(text, &key.span()));
        let path = format!("{section}.{}", key.get_ref());
        let inner = SECTIONS.iter().map(|(s, _)| *s).find(|s| *s == path);
        if let (Some(inner), DeValue::Table(content)) = (inner, value.get_ref()) {
            read_section(text, inner, content, sources);
            continue;
        }
        let of_section = || SETTINGS.iter().filter(|s| s.section == section);
        match of_section().find(|s| s.name == key.get_ref().as_ref()) {
            Some(setting) => {
                sources.values.insert((section, setting.name), (Raw::Toml(value.get_ref()), origin));
            }
            None => {
                let message = match inner {
                    Some(inner) => format!("this is a section: write [{inner}] on a line of its own"),
                    None => unknown(key.get_ref(), "setting", of_section().map(|s| s.name)),
                };
                sources.problems.push(Problem { key: path, origin, message });
            }
        }
    }
}

fn read_env(env: &[(String, String)], sources: &mut Sources<'_>) {
    for (name, value) in env {
        // One underscore in the place of two: the setting would be left out without a word.
        let plain = |name: &str| name.replace("__", "_");
        let meant = SETTINGS.iter().find(|s| plain(&s.env()) == plain(name));
        if !name.starts_with("AUTHD_") || !name.contains("__") && meant.is_none() {
            continue;
        }
        match SETTINGS.iter().find(|s| s.env() == *name) {
            Some(setting) => {
                let raw = (Raw::Text(value.clone()), Origin::Env(name.clone()));
                sources.values.insert((setting.section, setting.name), raw);
            }
            None => sources.problems.push(Problem {
                key: name.clone(),
                origin: Origin::Env("environment".into()),
                message: match meant {
                    Some(setting) => format!("there is no such setting; write {}", setting.env()),
                    None => "there is no such setting".into(),
                },
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authd.toml");
        std::fs::write(&path, file).unwrap();
        let flags = Flags { config: Some(path), ..Flags::default() };
        match load(&flags, &[]) {
            Ok(_) => vec![],
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    const SOUND: &str = "[http]\npublic_url = \"https://auth.example.com\"\n";

    #[test]
    fn op_01_all_problems_are_found_at_once_with_their_lines() {
        let found = problems(
            "[http]\npublic_url = \"https://auth.example.com\"\nlisten = 8000\nmax_bodie = \"1KiB\"\n\n[passwords]\nx = 1\n\n[token]\nexpires_in = \"soon\"\n",
        );
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found.iter().any(|p| p.starts_with("http.listen (line 3): expected an address")), "{found:#?}");
        assert!(found.contains(&"http.max_bodie (line 4): there is no such setting; did you mean 'max_body'?".into()));
        assert!(found.contains(&"passwords (line 6): there is no such section; did you mean 'password'?".into()));
        assert!(found.iter().any(|p| p.starts_with("token.expires_in (line 10): 'soon' is not a duration")));
        assert_eq!(problems(SOUND), Vec::<String>::new());
    }

    /// A sound configuration in which settings rest on each other: section, name, value.
    const LEANING: &[(&str, &str, &str)] = &[
        ("http", "public_url", "\"https://auth.example.com\""),
        ("http", "listen", "\"0.0.0.0:8000\""),
        ("http", "max_body", "\"32KiB\""),
        ("http", "max_body_total", "\"32KiB\""),
        ("password", "min_length", "70"),
        ("password", "max_length", "70"),
        ("password", "argon2_memory", "2097152"),
        ("password", "argon2_iterations", "2"),
        ("session", "expires_in", "\"40d\""),
        ("session", "absolute", "\"60d\""),
        ("session", "unremembered", "\"60d\""),
        ("session", "update_age", "\"40d\""),
        ("session", "legacy_secret_file", "\"/nonexistent/legacy\""),
        ("session", "legacy_secret_until", "\"2027-01-01\""),
        ("cookies", "domain", "\"auth.example.com\""),
        ("mail", "host", "\"mail.example.com\""),
        ("mail", "from", "\"no-reply@example.com\""),
        ("mail", "username", "\"authd\""),
        ("mail", "password_file", "\"/nonexistent/mail\""),
        ("email", "verification_required", "true"),
        ("hooks", "sign_in_before", "\"http://hooks.example.com/authd\""),
        ("hooks", "token_claims", "\"https://hooks.example.com/authd\""),
        ("hooks", "password_before", "\"https://hooks.example.com/authd\""),
        ("hooks", "sign_up_before", "\"https://hooks.example.com/authd\""),
        ("hooks", "allow_plain_http", "true"),
        ("hooks", "fail_open", "[\"sign_in.before\", \"token.claims\", \"password.before\", \"sign_up.before\"]"),
        ("events", "url", "\"http://hooks.example.com/authd\""),
        ("events", "allow_plain_http", "true"),
        ("events", "give_up_after", "\"20d\""),
        ("events", "retention", "\"30d\""),
        ("metrics", "listen", "\"0.0.0.0:9464\""),
        ("metrics", "allow_remote", "true"),
        ("admin_plugin", "default_role", "\"guest\""),
        ("admin_plugin", "roles", "[\"guest\", \"admin user:list\"]"),
        ("username", "min_length", "40"),
        ("username", "max_length", "50"),
    ];

    /// That configuration, with these values in the place of those there.
    fn leaning(other: &[(&str, &str, &str)]) -> Vec<String> {
        let is_other =
            |(section, name, _): &&(&str, &str, &str)| !other.iter().any(|o| (o.0, o.1) == (*section, *name));
        let lines = LEANING.iter().filter(is_other).chain(other);
        problems(&lines.map(|(section, name, value)| format!("{section}.{name} = {value}\n")).collect::<String>())
    }

    #[test]
    fn op_01_a_value_that_cannot_be_read_hides_no_other_problem_and_makes_none() {
        assert_eq!(leaning(&[]), Vec::<String>::new());
        for setting in SETTINGS.iter().filter(|setting| !setting.section.contains('.')) {
            let found = leaning(&[(setting.section, setting.name, "{ x = 1 }")]);
            let is_named = found.iter().all(|problem| problem.starts_with(&setting.path()));
            assert!(found.len() == 1 && is_named, "{}: {found:#?}", setting.path());
        }
        let found = leaning(&[
            ("http", "public_url", "\"http://auth.example.com\""),
            ("password", "min_length", "3"),
            ("log", "level", "\"loud\""),
            ("session", "absolute", "\"long\""),
        ]);
        for said in ["log.level", "session.absolute", "http.public_url", "password.min_length"] {
            assert!(found.iter().any(|problem| problem.starts_with(said)), "{said}: {found:#?}");
        }
        assert_eq!(found.len(), 4, "{found:#?}");
    }

    #[test]
    fn a_problem_rests_on_the_settings_that_its_message_names() {
        let problem = |message: &str| Problem { key: "a.b".into(), origin: Origin::Default, message: message.into() };
        assert!(rests_on(&problem(""), "a.b"));
        assert!(rests_on(&problem("at least http.max_body."), "http.max_body"));
        assert!(rests_on(&problem("it (http.max_body) is"), "http.max_body"));
        assert!(!rests_on(&problem("at least http.max_body_total"), "http.max_body"));
    }

    #[test]
    fn syntax_errors_have_lines() {
        let found = problems("[http]\nlisten = \n");
        assert!(found[0].contains("line 2"), "{found:#?}");
    }

    #[test]
    fn later_sources_win_and_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authd.toml");
        std::fs::write(&path, format!("{SOUND}max_body = \"1KiB\"\n[token]\nexpires_in = \"5m\"\n")).unwrap();
        let flags = Flags { config: Some(path), listen: Some("127.0.0.1:1".into()), ..Flags::default() };
        let env = [("AUTHD_HTTP__MAX_BODY".into(), "2KiB".into()), ("AUTHD_HTTP__LISTEN".into(), "127.0.0.1:2".into())];
        let config = load(&flags, &env).unwrap();
        assert_eq!(config.settings.http.max_body.0, 2048);
        assert_eq!(config.settings.http.listen.port(), 1);
        let of = |path: &str| config.origins[SETTINGS.iter().position(|s| s.path() == path).unwrap()].to_string();
        assert_eq!(of("http.listen"), "--listen");
        assert_eq!(of("http.max_body"), "AUTHD_HTTP__MAX_BODY");
        assert_eq!(of("token.expires_in"), "line 5");
        assert_eq!(of("token.issuer"), "default");
    }

    #[test]
    fn the_empty_text_is_unset_wherever_a_setting_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authd.toml");
        let flags = Flags { config: Some(path.clone()), ..Flags::default() };
        let optional: Vec<_> = SETTINGS.iter().filter(|s| s.default.is_empty() && s.kind != "a list").collect();
        assert!(optional.len() >= 6, "{optional:?}");
        std::fs::write(&path, "").unwrap();
        let unset = load(&flags, &[]).unwrap_or_else(|p| panic!("{p:?}"));
        for setting in optional {
            std::fs::write(&path, format!("[{}]\n{} = \"\"\n", setting.section, setting.name)).unwrap();
            let in_file = load(&flags, &[]).unwrap_or_else(|p| panic!("{p:?}"));
            std::fs::write(&path, "").unwrap();
            let in_env = load(&flags, &[(setting.env(), String::new())]).unwrap_or_else(|p| panic!("{p:?}"));
            for config in [in_file, in_env] {
                assert_eq!(config.settings.values(), unset.settings.values(), "{}", setting.path());
                assert_eq!(config.places, unset.places, "{}", setting.path());
            }
        }
    }

    #[test]
    fn what_must_have_a_value_does_not_take_the_empty_text() {
        for setting in SETTINGS.iter().filter(|s| !s.default.is_empty() && s.kind != "a list") {
            let env = [(setting.env(), String::new()), ("HOME".into(), "/nonexistent".into())];
            let problems = load(&Flags::default(), &env).expect_err(&setting.path());
            assert_eq!(problems[0].key, setting.path());
        }
    }

    #[test]
    fn the_file_of_an_installed_authd_counts_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let installed = dir.path().join("authd.toml");
        let env = |systemd: bool| {
            let mut env = vec![("HOME".to_owned(), "/nonexistent".to_owned())];
            if systemd {
                env.extend([("INVOCATION_ID".into(), "1".into()), ("NOTIFY_SOCKET".into(), "/run/n".into())]);
            }
            env
        };
        let mode = |development, systemd| {
            let flags = Flags { installed: Some(installed.clone()), development, ..Flags::default() };
            load(&flags, &env(systemd)).map(|config| (config.mode, config.file))
        };
        assert_eq!(mode(false, false).unwrap(), (Mode::Development, None));
        assert!(mode(false, true).unwrap_err()[0].message.contains("authd init"));
        std::fs::write(&installed, SOUND).unwrap();
        for systemd in [false, true] {
            assert_eq!(mode(false, systemd).unwrap(), (Mode::Production, Some(installed.clone())));
            assert_eq!(mode(true, systemd).unwrap(), (Mode::Development, None));
        }
    }

    #[test]
    fn a_named_file_that_cannot_be_read_and_an_unknown_variable_are_problems() {
        let flags = Flags { config: Some("/nonexistent/authd.toml".into()), ..Flags::default() };
        assert!(load(&flags, &[]).unwrap_err()[0].message.contains("cannot be read"));
        let env = [("AUTHD_HTTP__PORT".into(), "1".into()), ("HOME".into(), "/nonexistent".into())];
        assert_eq!(
            load(&Flags { development: true, ..Flags::default() }, &env).unwrap_err()[0].key,
            "AUTHD_HTTP__PORT"
        );
    }

    #[test]
    fn op_01_a_variable_with_one_underscore_is_refused_with_the_right_spelling() {
        let with = |name: &str| {
            let env = [(name.to_owned(), "127.0.0.1:1".to_owned()), ("HOME".into(), "/nonexistent".into())];
            load(&Flags { development: true, ..Flags::default() }, &env)
        };
        for (wrong, right) in [
            ("AUTHD_HTTP_LISTEN", "AUTHD_HTTP__LISTEN"),
            ("AUTHD_HTTP_TRUSTED_PROXIES", "AUTHD_HTTP__TRUSTED_PROXIES"),
            ("AUTHD_HTTP__TRUSTED__PROXIES", "AUTHD_HTTP__TRUSTED_PROXIES"),
        ] {
            let problems = with(wrong).unwrap_err();
            assert!(problems[0].key == wrong && problems[0].message.contains(right), "{problems:?}");
        }
        // What an orchestrator sets for a service of this name is none of ours.
        assert!(with("AUTHD_PORT_8000_TCP").is_ok() && with("AUTHD_SERVICE_HOST").is_ok());
    }

    #[test]
    fn op_01_a_configuration_is_a_plain_file_that_nobody_else_can_replace() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authd.toml");
        let flags = Flags { config: Some(path.clone()), ..Flags::default() };
        let chmod = |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(load(&flags, &[]).unwrap_err()[0].message.contains("not a plain file"), "and is not waited for");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, SOUND).unwrap();
        for (mode, is_taken) in [(0o777, false), (0o757, false), (0o1777, true), (0o755, true), (0o700, true)] {
            chmod(mode);
            assert_eq!(load(&flags, &[]).is_ok(), is_taken, "{mode:o}");
        }
        assert!(!load(&flags, &[]).unwrap().advice().any(|advice| advice.contains("uid")));
        if std::os::unix::fs::chown(&path, Some(4242), None).is_ok() {
            let advice = load(&flags, &[]).unwrap().advice_around;
            assert!(advice.iter().any(|advice| advice.contains("uid 4242")), "{advice:?}");
        }
    }
}
