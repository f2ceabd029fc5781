//! The command line of authd.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Flags, places::SYSTEM_CONFIG};

/// Better Auth's backend as one daemon.
///
/// The configuration is the file of --config, else of the variable `AUTHD_CONFIG`, else /etc/authd/authd.toml if it is there.
/// Without a file authd runs in development mode: on this machine only, with everything made as needed.
#[derive(Debug, Parser)]
#[command(name = "authd", version, after_help = AFTER)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Take the host's clock as it is, although there are records of a later time: it was wrong before, and is right now
    #[arg(long)]
    pub trust_clock: bool,
    /// Settings that are given by flags.
    #[command(flatten)]
    pub flags: GlobalFlags,
}

const AFTER: &str = "Settings are read from the defaults, the configuration file, AUTHD_SECTION__KEY variables and flags, in \
rising order. SIGHUP reads file and variables again: what can be applied is, the rest needs a restart. Exit codes: 0 stopped as asked, 70 a part of the program failed, 71 refused by the system, 73 something cannot be made, 74 the store failed, \
75 another authd is running, 77 not permitted, 78 the configuration is wrong.";

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalFlags {
    /// The configuration file; with one, authd runs in production mode [default: /etc/authd/authd.toml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The data directory (`store.path`)
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Where to listen (`http.listen`); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", global = true)]
    pub listen: Option<String>,
    /// Where the admin socket is (`admin.socket`)
    #[arg(long, value_name = "PATH", global = true)]
    pub admin_socket: Option<PathBuf>,
    /// Development mode, whatever file is there
    #[arg(long, global = true, conflicts_with = "config")]
    pub development: bool,
}

impl From<GlobalFlags> for Flags {
    fn from(f: GlobalFlags) -> Self {
        let GlobalFlags { config, data_dir, listen, admin_socket, development } = f;
        Self { config, data_dir, listen, admin_socket, development, installed: Some(SYSTEM_CONFIG.into()) }
    }
}

/// What authd can do besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make what production needs: a commented configuration, authd.toml, and the master key, master.key
    ///
    /// Both are made in --dir where they are missing; what is there is kept. What --public-url, --data-dir, --listen and
    /// --admin-socket say is written into the configuration.
    Init(Init),
    /// Make a master key in a file of its own, for `authctl keys rewrap`; a file that is there is not touched
    NewMasterKey {
        /// The file to make
        file: PathBuf,
    },
    /// Print the description of an interface in OpenAPI 3.1
    Openapi {
        /// Which one: that of applications, or that of operators on the admin socket
        #[arg(long, value_enum, default_value_t = Door::Public)]
        door: Door,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make the store anew from a backup, in a data directory that is empty or not there yet
    ///
    /// All sessions end, all signing keys are replaced by a new one, and links in mails are void: any of them may have been ended,
    /// revoked or used since. Deletions, bans, roles and passwords of later times are brought over with --old-data; without it
    /// what may have come back is said.
    Restore {
        /// What opens it.
        #[command(flatten)]
        from: FromBackup,
        /// The data directory of the store before, or what is left of it
        #[arg(long, value_name = "DIR")]
        old_data: Option<PathBuf>,
    },
    /// Work on a backup without a daemon
    #[command(subcommand)]
    Backup(BackupCommand),
    /// List the paths that are authd's, or print what sends them to it in front of an application
    Routes(Routes),
    /// Check, mend or shrink the store while no authd has it
    #[command(subcommand)]
    Store(StoreCommand),
}

/// The two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Door {
    /// HTTP, for applications
    Public,
    /// The admin socket, for operators
    Admin,
}

/// A backup, and what opens it.
#[derive(Debug, Clone, Args)]
pub struct FromBackup {
    /// The backup
    pub file: PathBuf,
    /// Open it by this recovery identity, and not by the configured master key
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Take it only if it is of the store with this master key (16 digits, as `authctl backup verify` shows them)
    #[arg(long, value_name = "FINGERPRINT")]
    pub fingerprint: Option<String>,
}

/// `authd backup …`
#[derive(Debug, Clone, Subcommand)]
pub enum BackupCommand {
    /// Read a backup to its end: is every byte what was written? Exit code 74 if not
    Verify {
        /// What opens it.
        #[command(flatten)]
        from: FromBackup,
        /// Print a JSON object, as `authctl backup … -o json` does
        #[arg(long)]
        json: bool,
    },
    /// Restore a backup into a place of its own, start a throw-away daemon there and sign an account in
    Drill {
        /// What opens it.
        #[command(flatten)]
        from: FromBackup,
        /// Where: a directory that is not there yet, on a disk with room for the store
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
        /// Print a JSON object, as `authctl backup … -o json` does
        #[arg(long)]
        json: bool,
    },
    /// Make a recovery identity in a file, and print its recipient for `backup.recipients`; a file that is there is not touched
    NewIdentity {
        /// The file to make
        file: PathBuf,
        /// Print a JSON object, as `authctl backup … -o json` does
        #[arg(long)]
        json: bool,
    },
}

/// `authd routes`
#[derive(Debug, Args)]
pub struct Routes {
    /// What stands in front: print its configuration
    #[arg(long, value_enum, value_name = "KIND")]
    pub proxy: Option<ProxyKind>,
    /// Where it reaches authd [default: http.listen]
    #[arg(long, value_name = "URL", requires = "proxy")]
    pub upstream: Option<String>,
    /// A path of http.mounts that the application uses too: only authd's own routes below it are authd's [default: those that
    /// others of http.mounts are below, as /api]
    #[arg(long, value_name = "PATH", requires = "proxy")]
    pub share: Vec<String>,
}

/// What can stand in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProxyKind {
    /// nginx: locations for a server block
    Nginx,
    /// Caddy: a handle for a site
    Caddy,
    /// Vite's development server: server.proxy
    Vite,
    /// Next: rewrites
    Next,
}

/// `authd store …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum StoreCommand {
    /// Read everything: is the snapshot whole, the commit log, and is sled what they say? Exit code 74 if not
    Verify,
    /// Make sled anew from snapshot and commit log; what was there of it is kept as sled.aside
    Rebuild,
    /// Make the store as small as it can be: a snapshot, and sled anew from it
    Compact,
    /// Give the store the format that this authd writes; it is kept as it was beside it, for the authd before
    ///
    /// A start does the same by itself. Exit code 78 if the store is of a newer authd; nothing is changed then.
    Migrate {
        /// Change nothing: say which format the store has, and whether all of it can be read
        #[arg(long)]
        check: bool,
    },
    /// Make a snapshot of sled as it is, in the place of one that is damaged
    ///
    /// There is nothing left to compare sled with: whoever could write to the data directory may have changed it. So it has to
    /// be asked for by --unverified; a backup is the safer way.
    Snapshot {
        /// Take sled as it is
        #[arg(long)]
        unverified: bool,
    },
}

/// `authd init`
#[derive(Debug, Args)]
pub struct Init {
    /// Where to put them
    #[arg(long, value_name = "DIR", default_value = "/etc/authd")]
    pub dir: PathBuf,
    /// What clients will call the service
    #[arg(long, value_name = "URL", default_value = "https://auth.example.com")]
    pub public_url: String,
    /// Refused, and therefore not in the help: it reads no configuration.
    #[arg(long, hide = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refused, and therefore not in the help: development mode needs nothing of this.
    #[arg(long, hide = true)]
    pub development: bool,
}

/// `authd config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Find all mistakes at once; exit code 78 if there are any
    Check,
    /// Show every setting in force, and where it comes from
    Show,
    /// Print a commented configuration with every setting at its default
    Init(Unread),
}

/// Flags of the others that have no meaning here.
#[derive(Debug, Args)]
pub struct Unread {
    /// Refused, and therefore not in the help: it reads no configuration.
    #[arg(long, hide = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refused, and therefore not in the help.
    #[arg(long, hide = true)]
    pub development: bool,
}
