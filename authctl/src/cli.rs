//! The clap tree, and nothing else.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use common::{Scope, SecretString, ServiceName, Span};

/// Administer authd over its admin socket.
#[derive(Debug, Parser)]
#[command(name = "authctl", version, after_help = AFTER, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to do it.
    #[command(flatten, next_help_heading = "Options of every command")]
    pub global: Global,
}

const AFTER: &str = "Users are named by id, e-mail address, username or name. Secrets come by prompt, standard input or file, never as \
an argument. Exit codes: 0 done, 1 failed, 2 usage, 3 not found or nothing to do, 4 conflict, 5 not permitted, 6 no daemon, \
7 timed out, 8 a check failed, 9 refused or declined, 11 version mismatch.";

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One JSON value
    Json,
    /// One JSON object a line
    Jsonl,
    /// With a header line
    Csv,
    /// Ids only, one a line
    Id,
}

impl Format {
    /// Whether errors are JSON too.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

const SOCKET: &str =
    "The admin socket [env: AUTHCTL_SOCKET] [default: the first there is of /run/authd/admin.sock and the user's own]";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The admin socket.
    // Not by clap's `env`: to clap the variable is an argument that was given, and so a part of every usage that it prints.
    #[arg(long, value_name = "PATH", global = true, help = SOCKET)]
    pub socket: Option<PathBuf>,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", global = true)]
    pub output: Format,
    /// Which fields, in which order (names as in -o json)
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', global = true)]
    pub fields: Vec<String>,
    /// Why; goes into the audit trail
    #[arg(long, value_name = "TEXT", global = true)]
    pub reason: Option<String>,
    /// A name for this act: asked for twice by the same name, it is done once
    #[arg(long, value_name = "KEY", global = true)]
    pub idempotency_key: Option<String>,
    /// How long to wait for the daemon, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600), global = true)]
    pub timeout: u64,
    /// Also print each request as a curl command, secrets left out
    #[arg(long, global = true)]
    pub show_request: bool,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// How the daemon is
    Status,
    /// What Prometheus reads: counts, times and sizes, as text
    Metrics,
    /// Accounts
    #[command(subcommand, visible_alias = "users")]
    User(User),
    /// Signed-in browsers and devices
    #[command(subcommand, visible_alias = "sessions")]
    Session(Session),
    /// Signing keys
    #[command(subcommand, visible_alias = "key")]
    Keys(Keys),
    /// Who has to wait, because too many sign-ins failed
    #[command(subcommand, visible_alias = "throttles")]
    Throttle(Throttle),
    /// Mail: what waits, a test, another try, and what mails look like
    #[command(subcommand)]
    Mail(Mail),
    /// Hooks: where the application is asked, and a test
    #[command(subcommand, visible_alias = "hooks")]
    Hook(Hook),
    /// Events that the application is told of: what waits, what was given up, and the stream
    #[command(visible_alias = "event")]
    Events(EventsCommand),
    /// Tokens explained, and those of services
    #[command(subcommand, visible_alias = "tokens")]
    Token(Token),
    /// The audit trail
    #[command(subcommand)]
    Audit(Audit),
    /// The store's files
    #[command(subcommand)]
    Store(Store),
    /// Backups of the whole store
    #[command(subcommand, visible_alias = "backups")]
    Backup(Backup),
    /// Accounts of another server
    #[command(subcommand, visible_alias = "imports")]
    Import(Import),
}

/// `authctl import …`
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Take over accounts, passwords and sessions of a Better Auth server
    ///
    /// Ids are kept, and passwords work at once. Run twice it does what is left to do, and no more. The manual's page on
    /// moving says how people stay signed in.
    BetterAuth {
        /// Its SQLite database, or an export with a row a line
        file: PathBuf,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Take over accounts and passwords of any other server
    Users {
        /// An account a line, as JSON
        file: PathBuf,
        /// The hash parameters of a Firebase project, as its console shows them
        #[arg(long, value_name = "FILE")]
        firebase_hash_config: Option<PathBuf>,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// List imports, newest first
    List,
    /// Take an import back: deletes the accounts that came with it, with everything that belongs to them
    Undo {
        /// Its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        import: String,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
}

/// `authctl store …`
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Make a snapshot of all that is committed, read it back, and shorten the commit log
    ///
    /// It happens by itself as `store.snapshot_every` and `store.log_size` say. A large store takes a while: give --timeout; if
    /// that ends first, the daemon goes on all the same.
    Snapshot,
}

/// `authctl backup …`
#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Make a backup while the daemon runs: of one moment, sealed, and read back
    ///
    /// It opens with the master key, and by the identities of `backup.recipients`. Without a file it stays in the daemon's
    /// directory of backups.
    Create {
        /// A file that is not there yet, or - for standard output
        file: Option<PathBuf>,
    },
    /// List the backups in the daemon's directory, and who can open them
    List,
    /// Read a backup to its end: is every byte what was written?
    Verify {
        /// The name of one in the list, or a file
        backup: PathBuf,
        /// Open a file by this recovery identity, and not by the configured master key
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
    /// Restore a backup into a place of its own, start a throw-away daemon there, and sign an account in
    Drill {
        /// The file
        file: PathBuf,
        /// Open it by this recovery identity, and not by the configured master key
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
        /// Where: a directory that is not there yet, on a disk with room for the store
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
    },
    /// Remove all backups in the daemon's directory but the newest
    Prune {
        /// How many stay
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        keep: u32,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Who can open backups where the master key is lost
    #[command(subcommand)]
    Recipient(Recipient),
}

/// `authctl backup recipient …`
#[derive(Debug, Subcommand)]
pub enum Recipient {
    /// Make a recovery identity in a file, and print its recipient for `backup.recipients`
    New {
        /// A file that is not there yet; to be kept elsewhere
        file: PathBuf,
    },
    /// List the recipients that the daemon seals backups for
    List,
}

/// Where a new password comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct PasswordSource {
    /// Read the password from standard input
    #[arg(long, conflicts_with_all = ["password_file", "generate"])]
    pub password_stdin: bool,
    /// Read the password from a file
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub password_file: Option<PathBuf>,
    /// Make a password and show it once
    #[arg(long)]
    pub generate: bool,
    /// The password is for one sign-in, which has to set another
    #[arg(long)]
    pub temporary: bool,
    /// Refused: what stands on a command line is seen by every process of this machine.
    #[arg(long, hide = true, num_args = 0..=1, value_name = "REFUSED", default_missing_value = "")]
    pub password: Option<SecretString>,
    /// Refused as well; taken, so that it is not repeated as a word too many.
    #[arg(hide = true, value_name = "REFUSED")]
    pub words: Vec<SecretString>,
}

/// Before something is ended or removed.
#[derive(Debug, Clone, Default, Args)]
pub struct Consent {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Only say what it would do
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// `authctl throttle …`
#[derive(Debug, Subcommand)]
pub enum Throttle {
    /// Accounts and clients that have to wait before the next sign-in
    ///
    /// Because too many sign-ins failed. Who sends too many requests waits too (429, `throttle.requests`): that is neither listed nor
    /// cleared, and over within a minute, as `Retry-After` says. The metric `authd_http_requests_throttled_total` counts it.
    List,
    /// Let somebody try again at once
    ///
    /// Forgets failed sign-ins; not how many requests a client has sent (`throttle.requests`), which is over within a minute.
    #[command(group = clap::ArgGroup::new("target").required(true))]
    Clear {
        /// Who signs in to this account: id, address or name
        #[arg(long, value_name = "USER", group = "target", value_parser = NonEmptyStringValueParser::new())]
        user: Option<String>,
        /// Who comes from this address (IPv6: its /64)
        #[arg(long, value_name = "ADDRESS", group = "target", value_parser = NonEmptyStringValueParser::new())]
        source: Option<String>,
        /// Everybody
        #[arg(long, group = "target")]
        all: bool,
    },
}

/// `authctl mail …`
#[derive(Debug, Subcommand)]
pub enum Mail {
    /// Mails that wait, and mails that were given up
    Queue {
        /// How many.
        #[command(flatten)]
        page: Page,
    },
    /// Send a test mail now, and say how that went
    Test {
        /// To whom
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        to: String,
    },
    /// Try mails again at once that have failed
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Retry {
        /// The id of one
        #[arg(group = "which", value_parser = NonEmptyStringValueParser::new())]
        id: Option<String>,
        /// All of them
        #[arg(long, group = "which")]
        all: bool,
    },
    /// What a mail looks like, with made-up values and the templates as they are now
    Preview {
        /// Which: verify-email, reset-password, confirm-change, verify-change, delete-user, email-changed, password-reset,
        /// account-exists, test
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        template: String,
        /// The HTML, instead of the text
        #[arg(long)]
        html: bool,
    },
}

/// `authctl events …`; without a verb it is `tail`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EventsCommand {
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<Events>,
    /// Without a verb.
    #[command(flatten)]
    pub tail: Tail,
}

/// Which events of the stream.
#[derive(Debug, Args)]
pub struct Tail {
    /// How many of the last
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub lines: u64,
    /// Those behind this number instead: where an earlier stream ended
    #[arg(long, value_name = "SEQ", conflicts_with = "lines")]
    pub after: Option<u64>,
    /// Go on with those that come
    #[arg(long)]
    pub follow: bool,
}

/// What is done with events.
#[derive(Debug, Subcommand)]
pub enum Events {
    /// Events that are kept, oldest first
    List {
        /// Only those that wait to be told, or that were given up
        #[arg(long, value_name = "STATE", value_parser = ["waiting", "dead"])]
        state: Option<String>,
        /// How many.
        #[command(flatten)]
        page: Page,
    },
    /// The last events; with --follow those that come too, a line of JSON each, and without it that is all
    Tail(Tail),
    /// Tell the application of events once more
    #[command(group = clap::ArgGroup::new("events").required(true))]
    Replay {
        /// The number of one
        #[arg(group = "events")]
        seq: Option<u64>,
        /// All from this number on
        #[arg(long, value_name = "SEQ", group = "events")]
        from: Option<u64>,
        /// Those that were given up
        #[arg(long, group = "events")]
        dead: bool,
    },
}

/// `authctl hook …`
#[derive(Debug, Subcommand)]
pub enum Hook {
    /// Hooks that are configured, and whether the application answers
    List,
    /// Call a hook now with made-up values, and say what it answers
    Test {
        /// Which: one that `authctl hook list` shows
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hook: String,
    },
}

/// `authctl user …`
#[derive(Debug, Subcommand)]
pub enum User {
    /// Make an account
    Create {
        /// The address
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        email: Option<String>,
        /// The display name
        #[arg(long)]
        name: Option<String>,
        /// The role
        #[arg(long)]
        role: Option<String>,
        /// The name to sign in with
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        username: Option<String>,
        /// The address counts as proved
        #[arg(long)]
        verified: bool,
        /// A field of the application's own (see user.fields); a list has commas between its items. May be given again
        #[arg(long = "field", value_name = "NAME=VALUE", value_parser = field)]
        field: Vec<(String, String)>,
        /// Without a password: nobody can sign in until one is set
        #[arg(long, conflicts_with_all = ["password_stdin", "password_file", "generate", "temporary"])]
        no_password: bool,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List accounts, by address
    List {
        /// Only those whose address or name contains this
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Only those that are banned or disabled
        #[arg(long)]
        banned: bool,
        /// How many.
        #[command(flatten)]
        page: Page,
    },
    /// Show one account
    Show {
        /// Id, e-mail address, username or name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
    },
    /// Set a password; ends all sessions of the user, and asks first if a person is there and there are any
    SetPassword {
        /// Id, e-mail address, username or name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Shut an account; ends all sessions of the user
    Disable {
        /// Id, e-mail address, username or name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Open an account again
    Enable {
        /// Id, e-mail address, username or name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
    },
    /// Ban a user, for good or for some time; ends all sessions of the user. The reason is that of --reason
    Ban {
        /// Id, e-mail address, username or name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
        /// How long, such as 7d; without it for good
        #[arg(long, value_name = "DURATION", value_parser = some_time)]
        expires_in: Option<Span>,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Lift a ban
    Unban {
        /// Id, e-mail address, username or name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
    },
    /// Give a user roles, in place of those before
    Role {
        /// Id, e-mail address, username or name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
        /// One, or some separated by commas
        role: String,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Delete an account with everything that belongs to it
    Delete {
        /// Id, e-mail address, username or name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
}

fn field(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write NAME=VALUE".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "write a whole number from 1 on, or --all".to_owned())
}

fn some_time(text: &str) -> Result<Span, String> {
    match text.parse()? {
        Span::ZERO => Err("it would end at once: write a time such as 7d".to_owned()),
        span => Ok(span),
    }
}

/// How much of a list.
#[derive(Debug, Clone, Args)]
pub struct Page {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one, conflicts_with = "all")]
    pub limit: usize,
    /// All there are
    #[arg(long)]
    pub all: bool,
}

/// `authctl session …`
#[derive(Debug, Subcommand)]
pub enum Session {
    /// List sessions
    List {
        /// Only those of this user
        #[arg(long, value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
        user: Option<String>,
        /// How many.
        #[command(flatten)]
        page: Page,
    },
    /// Show one session
    Show {
        /// Its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        session: String,
    },
    /// End sessions: at once, for cookies and tokens alike
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Revoke {
        /// Their ids
        #[arg(group = "which", value_parser = NonEmptyStringValueParser::new())]
        sessions: Vec<String>,
        /// All of this user
        #[arg(long, value_name = "USER", group = "which", value_parser = NonEmptyStringValueParser::new())]
        user: Option<String>,
        /// Refuse unless it is exactly so many
        #[arg(long, value_name = "N")]
        expect_count: Option<u64>,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
}

/// `authctl keys …`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List signing keys
    List,
    /// Let a new key take over: published now, signing once verifiers have seen it
    Rotate {
        /// Sign with the new key at once, for emergencies
        #[arg(long)]
        now: bool,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Take the last rotation back
    Rollback {
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Change the master key: everything sealed is sealed under the new one, in one step, while authd runs
    ///
    /// `authd new-master-key FILE` makes one. authd starts again only with the new key: the file has to be put in place of
    /// the old one before that.
    Rewrap {
        /// The file with the new master key
        #[arg(long, value_name = "FILE")]
        new_master_key: PathBuf,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Show the secret by which servers that render pages read the copies of sessions in browsers (`cookies.cache`)
    ///
    /// Whoever has it can make such a copy, and read those that are encrypted. It opens nothing of authd itself. It is the same
    /// as long as the store lives; that it was shown is in the audit trail.
    CookieCache,
    /// Declare a key unusable: its tokens are refused from now on
    Revoke {
        /// Its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        kid: String,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
}

/// Where a token comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct TokenSource {
    /// Read the token from a file [default: standard input]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Refused: what stands on a command line is seen by every process of this machine.
    #[arg(hide = true, value_name = "REFUSED")]
    pub token: Option<SecretString>,
}

/// `authctl token service …`
#[derive(Debug, Subcommand)]
pub enum ServiceToken {
    /// Make a token for a service, and show it this once
    ///
    /// An application's backend sends it as `Authorization: Bearer` to the routes under /admin. Only a digest of it is kept. What the
    /// service does stands in the audit trail under its name.
    Create {
        /// What the service is called
        name: ServiceName,
        /// What it may do: users:read, users:write, users:ban, users:delete, users:set-password, users:set-role, sessions:read,
        /// sessions:revoke; and admins, to do that to administrators too
        #[arg(long, value_name = "A,B,…", value_delimiter = ',', required = true)]
        scope: Vec<Scope>,
        /// How long it is good, such as 90d; without it until it is revoked
        #[arg(long, value_name = "DURATION", value_parser = some_time)]
        expires: Option<Span>,
    },
    /// List services that have a token
    List,
    /// Revoke the token of a service: it is refused from now on
    Revoke {
        /// What the service is called
        name: ServiceName,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
}

/// `authctl token …`
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Tokens of services: backends that look after users
    #[command(subcommand, visible_alias = "services")]
    Service(ServiceToken),
    /// Explain a token: its claims, its key, its session, and every check
    Inspect {
        /// Where it comes from.
        #[command(flatten)]
        source: TokenSource,
    },
    /// Whether authd would take a token now; exit code 8 if not
    Verify {
        /// Where it comes from.
        #[command(flatten)]
        source: TokenSource,
    },
}

/// `authctl audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List audit records, newest first
    ///
    /// There is no tail: to follow them, watch authctl audit list --limit 20.
    List {
        /// Only about this user
        #[arg(long, value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
        user: Option<String>,
        /// Only of this kind, for example session.revoked
        #[arg(long, value_name = "EVENT")]
        event: Option<String>,
        /// Only from this time on (2026-11-22T12:00:00Z, or 15m, 7d for so long ago)
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// How many.
        #[command(flatten)]
        page: Page,
    },
    /// Check the whole chain; exit code 8 if a record was altered, removed or put in
    Verify,
    /// Erase what the records say of a user: who, from where, why; the events and the chain stay
    Erase {
        /// Id, e-mail address, username or name; the id also of a user who was deleted
        #[arg(long, value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
        user: String,
        /// Only records before this time (2026-11-22T12:00:00Z, or 30d for so long ago)
        #[arg(long, value_name = "TIME")]
        before: Option<String>,
        /// Whether to ask.
        #[command(flatten)]
        consent: Consent,
    },
}
