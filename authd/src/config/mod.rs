//! The configuration: one table of settings, from which come the struct below, the reader, `authd config init | show |
//! check` and the manual's list. Sources in rising order: default, TOML file, `AUTHD_SECTION__KEY`, flag.

mod check;
mod cookies;
mod fields;
mod hooks;
mod mail;
mod manual;
pub mod places;
mod plugins;
mod render;
mod setting;
mod source;

use std::{net::SocketAddr, path::PathBuf};

use common::{Span, UnixTime, UserId};

pub use self::{
    cookies::{CookieCache, CookieDomain, CookiePrefix},
    fields::{SessionFields, UserFields},
    hooks::{HookName, TargetUrl, TopicName},
    mail::{Delivery, Mailbox, Security},
    places::Places,
    setting::{AddressHeader, ByteSize, Host, LogFormat, LogLevel, Mount, PublicUrl, Setting, Switch},
    source::{Flags, Origin, Problem, load},
};
use crate::crypto::age::Recipient;
use crate::domain::{Algorithm, Hook, Role, UserRole, access::Principal, address::Network, origin::OriginPattern};

/// What the manual says of a setting.
#[derive(Debug, Clone, Copy)]
pub struct SettingInfo {
    /// The table in the file.
    pub section: &'static str,
    /// The key in the table.
    pub name: &'static str,
    /// What it is for, with unit and reason of the default.
    pub doc: &'static str,
    /// What can be written.
    pub kind: &'static str,
    /// The default, as text; empty where unset is the default.
    pub default: &'static str,
    /// Whether a reload applies a change; every other change needs a restart.
    pub is_live: bool,
}

impl SettingInfo {
    /// `section.name`
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `AUTHD_SECTION__NAME`
    pub fn env(&self) -> String {
        format!("AUTHD_{}", self.path().replace('.', "__")).to_ascii_uppercase()
    }
}

/// The mark behind a default: a reload applies it.
macro_rules! is_live {
    (live) => {
        true
    };
    () => {
        false
    };
}

macro_rules! settings {
    ($(
        $(#[doc = $sdoc:literal])+
        $table:literal $section:ident: $Section:ident {
            $( $(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:literal $(, $live:ident)?; )+
        }
    )+) => {
        $(
            $(#[doc = $sdoc])+
            #[derive(Debug, Clone)]
            #[allow(clippy::doc_markdown)] // the texts are for a TOML file, not for Markdown
            pub struct $Section { $( $(#[doc = $doc])+ pub $name: $type, )+ }
        )+

        /// All settings.
        #[derive(Debug, Clone)]
        pub struct Settings { $( $(#[doc = $sdoc])+ pub $section: $Section, )+ }

        /// The sections, with what stands above each in a configuration file.
        pub const SECTIONS: &[(&str, &str)] = &[ $( ($table, concat!($($sdoc, "\n"),+)), )+ ];

        /// All settings, in the order of the manual.
        pub const SETTINGS: &[SettingInfo] = &[ $( $( SettingInfo {
            section: $table,
            name: stringify!($name),
            doc: concat!($($doc, "\n"),+),
            kind: <$type as Setting>::KIND,
            default: $default,
            is_live: is_live!($($live)?),
        }, )+ )+ ];

        impl Settings {
            /// Takes every setting from the sources, with the default where none has it or what it has cannot be read; the
            /// sources then know why. `None` where a default cannot be read, which the tests rule out.
            fn take(sources: &mut source::Sources<'_>) -> Option<Self> {
                // Not `?` at once: all problems are to be found.
                $( let $section = { $( let $name = sources.take::<$type>($table, stringify!($name), $default); )+
                    (|| Some($Section { $( $name: $name?, )+ }))() }; )+
                Some(Self { $( $section: $section?, )+ })
            }

            /// These settings, with those of `new` that a reload applies.
            #[must_use]
            pub fn with_live_of(&self, new: &Self) -> Self {
                let mut mixed = self.clone();
                $( $( if is_live!($($live)?) { mixed.$section.$name = new.$section.$name.clone(); } )+ )+
                mixed
            }

            /// Every setting as TOML, in the order of [`SETTINGS`]; `None` where it is unset.
            fn values(&self) -> Vec<Option<String>> {
                vec![ $( $( Setting::to_toml(&self.$section.$name), )+ )+ ]
            }
        }
    };
}

settings! {
    /// The public door: what browsers, apps and backends talk to.
    "http" http: Http {
        /// Where to listen. A reverse proxy with TLS stands in front of it on a public host.
        listen: SocketAddr = "127.0.0.1:8000";
        /// What clients call the service: scheme, host and port. Issuer and audience of tokens, and the links in mails, are
        /// made of it. Unset, it is <http://localhost> with the port.
        public_url: Option<PublicUrl> = "";
        /// Further names under which the service may be called (the `Host` header); every other host is refused.
        hosts: Vec<Host> = "", live;
        /// The paths under which every route is served.
        mounts: Vec<Mount> = "/api/auth,/api";
        /// Web origins, and schemes of apps, whose pages may call the service with cookies: <https://app.example.com>,
        /// *.example.com, localhost:*, myapp://. Without a port the scheme's own is meant. The origin of public_url is always trusted.
        trusted_origins: Vec<OriginPattern> = "", live;
        /// Addresses of the reverse proxies in front of the service. Only they may say what the client's address is.
        trusted_proxies: Vec<Network> = "", live;
        /// The header in which they say so: x-forwarded-for, or forwarded (RFC 7239). Only this one is read.
        client_address: AddressHeader = "x-forwarded-for", live;
        /// Allow a public_url that is plain http and not on this machine. Passwords and cookies then cross the network readable.
        insecure_public_url: bool = "false";
        /// How many connections are served at once; further ones wait.
        max_connections: u32 = "10000";
        /// How many of them one client may have (IPv6: one /64); further ones are closed. This machine and trusted proxies speak
        /// for many, and may have all.
        max_connections_per_client: u32 = "256";
        /// The largest body of a request.
        max_body: ByteSize = "64KiB", live;
        /// How much the bodies of all requests under way may take together; further ones get 503 with Retry-After. Twice what
        /// the connections of one client can take.
        max_body_total: ByteSize = "32MiB", live;
        /// How long the first request of a connection may take to arrive.
        header_timeout: Span = "10s";
        /// How long a body may take to arrive.
        body_timeout: Span = "30s", live;
        /// How long a connection may be silent between two requests.
        idle_timeout: Span = "60s";
        /// How long a stop waits for requests under way.
        drain_timeout: Span = "10s";
    }
    /// Passwords.
    "password" password: Password {
        /// The shortest password, in UTF-16 units as browsers count. 8 is Better Auth's; 15 is what NIST asks for where the
        /// password is the only factor.
        min_length: u32 = "8", live;
        /// The longest password.
        max_length: u32 = "128", live;
        /// Refuse passwords that are common, easy to guess, or made of the user's own words.
        blocklist: bool = "true", live;
        /// Passwords that are found within so many guesses count as easy to guess.
        min_guesses: u32 = "1000000", live;
        /// A file with further passwords to refuse, one a line.
        blocklist_file: Option<PathBuf> = "";
        /// How long a link that sets a new password is good (resetPasswordTokenExpiresIn).
        reset_expires_in: Span = "1h";
        /// Whether setting a password by a link ends all sessions (revokeSessionsOnPasswordReset). Those of an account whose
        /// mailbox nobody had proved end in any case.
        reset_ends_sessions: bool = "true";
        /// Words that no password may be, such as the name of the service.
        context_words: Vec<String> = "", live;
        /// Memory of a hash (argon2id), in KiB. The default is OWASP's floor; it can only be raised.
        argon2_memory: u32 = "19456";
        /// Passes of a hash.
        argon2_iterations: u32 = "2";
        /// Lanes of a hash.
        argon2_parallelism: u32 = "1";
        /// Threads that hash; 0: as many as there are processors.
        hash_threads: u32 = "0";
        /// Sign-ins that may wait for a thread; beyond that they are told to come again.
        hash_queue: u32 = "64";
    }
    /// Limits against guessing and flooding.
    "throttle" throttle: Throttle {
        /// Limits of requests per client and path, those of Better Auth on its routes (3 sign-ins in 10 s, 100 of all others):
        /// on, off, or auto, which is in production only.
        requests: Switch = "auto", live;
        /// Whether failed sign-ins slow down the next ones: on one account from the eleventh on (1 s, 2 s, 4 s … 60 s, after a
        /// hundred 1 h), from one client from the twenty-first on. Networks from which the owner signed in within 30 days,
        /// and browsers with which within a year, are counted apart.
        failures: bool = "true";
    }
    /// Making accounts.
    "sign_up" sign_up: SignUp {
        /// Whether people can make accounts themselves. Operators always can.
        enabled: bool = "true", live;
        /// Whether a new account is signed in at once.
        auto_sign_in: bool = "true", live;
    }
    /// What users may do with their own accounts.
    "account" account: Account {
        /// Whether changing the password ends all other sessions where the request does not say so (revokeOtherSessions).
        password_change_ends_sessions: bool = "true", live;
        /// Whether users may delete their own accounts (/delete-user).
        self_delete: bool = "false", live;
        /// Whether that takes a link which is sent to their address (sendDeleteAccountVerification).
        delete_by_mail: bool = "false";
        /// How long that link is good (deleteTokenExpiresIn).
        delete_expires_in: Span = "1d";
    }
    /// Mail: links that prove a mailbox or set a password, and notices. What is queued survives a restart.
    "mail" mail: MailSettings {
        /// How mails leave: smtp; outbox, a folder, for development only, with their links in the log; off, and then there are no
        /// resets and no verification; or auto: smtp where host is set, else outbox in development, else off.
        delivery: Delivery = "auto";
        /// From whom they are: no-reply@example.com, or a name with that behind it in angle brackets. SMTP needs it.
        from: Option<Mailbox> = "";
        /// What the mails call the service. Unset, it is the host of public_url.
        service_name: Option<String> = "";
        /// The SMTP server.
        host: Option<String> = "";
        /// Its port. 0: 587 with starttls, 465 with tls, 25 with none.
        port: u32 = "0";
        /// How the connection is protected: starttls, tls (from the first byte), or none, for a server on this machine only.
        security: Security = "starttls";
        /// A file with the certificates (PEM) that sign the server's, where the host's own do not.
        ca_file: Option<PathBuf> = "";
        /// The user there, if it asks for one.
        username: Option<String> = "";
        /// A file with the user's password. Unset: the systemd credential `authd.mail-password`.
        password_file: Option<PathBuf> = "";
        /// How long each step of handing a mail over may take.
        timeout: Span = "30s";
        /// The folder that mails are written to instead. Unset: `outbox` in the data directory.
        outbox: Option<PathBuf> = "";
        /// A folder with templates that take the place of the built-in ones: verify-email.txt, verify-email.html and so on.
        templates: Option<PathBuf> = "";
        /// How long a mail is tried again before it is given up. One whose link has expired is given up then.
        give_up_after: Span = "3d";
        /// How many mails with a link one address gets in an hour; further requests are answered alike and send nothing.
        per_address: u32 = "3";
        /// How many mails one client (IPv6: one /64) can cause in an hour.
        per_client: u32 = "30";
    }
    /// Hooks: the application is asked before something happens, by a signed HTTP request (Standard Webhooks). It is sent to these
    /// addresses and nowhere else. A hook that does not answer in time, or not as the manual says, counts as a refusal.
    "hooks" hooks: HookSettings {
        /// Where it is asked whether an account may be made, and what stands in the application's fields of it.
        sign_up_before: Option<TargetUrl> = "";
        /// Where it is asked whether a session may be opened for who has shown the right password.
        sign_in_before: Option<TargetUrl> = "";
        /// Where it is asked what else a JWT says.
        token_claims: Option<TargetUrl> = "";
        /// Where it is asked whether a new password may be one. It is sent the password: https, or this machine.
        password_before: Option<TargetUrl> = "";
        /// A file with the secret that requests are signed by, whsec_ and 24 to 64 bytes in base64; a second and third line are
        /// others that sign too. Unset: the systemd credential `authd.hook-secret`.
        secret_file: Option<PathBuf> = "";
        /// A file with the certificates (PEM) of the authorities that sign the application's. The host's own count no more then.
        ca_file: Option<PathBuf> = "";
        /// How long an answer may take, from the first byte out to the last one in.
        timeout: Span = "2s";
        /// Hooks without whose answer things happen all the same: sign_up.before, sign_in.before, token.claims, password.before.
        fail_open: Vec<HookName> = "", live;
        /// How many requests may be under way at once; what comes beyond that counts as not answered.
        max_concurrent: u32 = "64";
        /// Whether an address may be http also where it is neither this machine nor of a private network. Whoever is on the way can
        /// then read who signs in, and answer in the application's place.
        allow_plain_http: bool = "false";
    }
    /// Events: the application is told of what happened, by signed HTTP requests (Standard Webhooks), at least once and for each user
    /// in order. They are written down by the acts themselves, and also stream from the admin socket.
    "events" events: EventSettings {
        /// Where the application is told. Unset: it is not.
        url: Option<TargetUrl> = "";
        /// Whether events are written down also where the application is not told, for `authctl events tail --follow`.
        stream: bool = "false";
        /// What the application is told of: user.created, session.revoked and so on. Unset: everything.
        types: Vec<TopicName> = "", live;
        /// A file with the secret that requests are signed by, as hooks.secret_file. Unset: the systemd credential
        /// `authd.event-secret`.
        secret_file: Option<PathBuf> = "";
        /// A file with the certificates (PEM) of the authorities that sign the application's. The host's own count no more then.
        ca_file: Option<PathBuf> = "";
        /// How long an answer may take.
        timeout: Span = "10s";
        /// How long an event is tried again before it is given up. It can be told once more as long as it is kept.
        give_up_after: Span = "3d", live;
        /// How long events are kept, told or not.
        retention: Span = "7d", live;
        /// How many are kept; the oldest go.
        keep: u32 = "100000", live;
        /// Whether the address may be http also where it is neither this machine nor of a private network.
        allow_plain_http: bool = "false";
    }
    /// The users' addresses: whether they are proved, and changed.
    "email" email: EmailSettings {
        /// Whether people must prove their mailbox before they can sign in (requireEmailVerification). Answers to a sign-up and to
        /// a reset then do not tell whether an address has an account.
        verification_required: bool = "false";
        /// Whether a sign-up sends the link (sendOnSignUp): on, off, or auto, where it is required.
        send_on_sign_up: Switch = "auto";
        /// Whether a sign-in that is refused for want of the proof sends the link again (sendOnSignIn).
        send_on_sign_in: bool = "false";
        /// Whether the link signs in (autoSignInAfterVerification). A scanner that opens it first gets the session.
        auto_sign_in_after_verification: bool = "false";
        /// How long links that prove a mailbox or change an address are good (expiresIn).
        verification_expires_in: Span = "1h";
        /// Whether users may change their address (changeEmail.enabled). It needs a fresh session, and the old address is told.
        change_enabled: bool = "false";
        /// Whether a change is agreed to at the old address first, if that was proved (sendChangeEmailConfirmation).
        change_confirmation: bool = "false";
        /// Whether an address that nobody has proved is changed at once (updateEmailWithoutVerification).
        change_unverified_at_once: bool = "false";
    }
    /// Users: what the application keeps of them besides the name, the address and the picture.
    "user" user: UserSettings {
        /// Fields of the application's own (Better Auth's user.additionalFields), each a table [user.fields.NAME] with: type
        /// (string, number, boolean, date, string[] or number[]), required (true unless it is written otherwise), default, input
        /// (whether users may set it; true) and returned (whether answers and JWTs show it; true). A change is for what comes
        /// after it: who has no value yet shows null.
        fields: UserFields = "";
    }
    /// Sessions: signed-in browsers and devices.
    "session" session: Session {
        /// How long a session lives without being used.
        expires_in: Span = "7d", live;
        /// A session in use is prolonged at most this often.
        update_age: Span = "1d", live;
        /// How long after signing in a session counts as fresh, for acts that need it; 0: always.
        fresh_age: Span = "1d", live;
        /// How long a session lives whatever is done with it.
        absolute: Span = "30d", live;
        /// How long a session lives that is not to be remembered.
        unremembered: Span = "1d", live;
        /// Whether use prolongs sessions at all; if not, each ends expires_in after the sign-in.
        prolong: bool = "true", live;
        /// Whether asking for the session (GET /get-session) writes nothing: it says needsRefresh instead, and the client's POST
        /// prolongs. For replicas that can only read.
        defer_refresh: bool = "false", live;
        /// How long after its use a refresh token may be shown again, for tabs that share one and for answers that were lost;
        /// after that it counts as stolen and ends the session. At most 10s.
        reuse_window: Span = "10s", live;
        /// How many sessions a user may have; the oldest ends when there is one more.
        max_per_user: u32 = "100", live;
        /// Fields of the application's own (Better Auth's session.additionalFields), each a table [session.fields.NAME] as under
        /// user.fields. A new session has their defaults; /update-session sets them.
        fields: SessionFields = "";
        /// A file with the secret (BETTER_AUTH_SECRET) of the Better Auth server that authd takes over from: cookies signed
        /// with it are taken until legacy_secret_until, and signed anew when they are used. Unset: the systemd credential
        /// `authd.legacy-secret`, if there is one.
        legacy_secret_file: Option<PathBuf> = "";
        /// Until when they are taken: a day (its beginning in UTC) or a time, at most 90 days ahead. After that the secret
        /// means nothing.
        legacy_secret_until: Option<UnixTime> = "";
    }
    /// Cookies of sessions.
    "cookies" cookies: CookieSettings {
        /// What their names begin with, before `.session_token`. With a public_url of https, `__Secure-` stands before it. A
        /// change signs every browser out.
        prefix: CookiePrefix = "better-auth";
        /// The domain that they are for, when pages of several of its hosts call the service: example.com for app.example.com
        /// and auth.example.com. Every host below it then receives them. Never a public suffix (com, co.uk, github.io). Unset:
        /// the service's own host alone. Change the prefix together with the domain, or take it away: browsers keep the old cookie.
        domain: Option<CookieDomain> = "";
        /// Whether browsers carry a copy of the session and its user, session_data, for servers that render pages: Better Auth's
        /// cookie cache, as compact, jwt or jwe. They read it by getCookieCache with the secret that `authctl keys cookie-cache`
        /// shows; whoever has that secret can make such a copy. authd itself never reads one.
        cache: CookieCache = "off";
        /// How long a copy is good, at most 1m: for so long a session that was revoked may still be believed by who reads it.
        cache_life: Span = "1m";
    }
    /// Better Auth's bearer plugin: sessions without cookies, for apps.
    "bearer" bearer: Bearer {
        /// Whether `Authorization: Bearer` with a session token counts as the cookie, and the header set-auth-token gives one. The
        /// token fields of answers then show the caller's own session token, which is a credential, and not its handle.
        enabled: bool = "false", live;
        /// Take only the signed form, which set-auth-token gives.
        require_signature: bool = "false", live;
    }
    /// Better Auth's jwt plugin: JWTs of the session for other backends. The key set is served in any case.
    "jwt" jwt: JwtPlugin {
        /// Whether /token gives them.
        enabled: bool = "true", live;
        /// Whether answers about the session carry one, in the header set-auth-jwt.
        set_header: bool = "true", live;
    }
    /// Better Auth's admin plugin: administrators among the users, who look after the others over the public door (/admin/…). The
    /// admin socket is another matter. The first administrator is made by `authctl user role`.
    "admin_plugin" admin_plugin: AdminPlugin {
        /// Whether it is on. User objects then show role, banned, banReason and banExpires.
        enabled: bool = "false", live;
        /// The role of new accounts.
        default_role: String = "user", live;
        /// Who has one of these roles is an administrator, whom others do not impersonate.
        admin_roles: Vec<String> = "admin", live;
        /// Users, by id, who may do everything that administrators may, whatever their roles.
        admin_user_ids: Vec<UserId> = "", live;
        /// The reason of a ban for which none is given.
        default_ban_reason: String = "No reason", live;
        /// How long a ban holds for which nothing is said; 0: for good.
        default_ban_expires_in: Span = "0s", live;
        /// How long an administrator may act as another user at a time. At most 24h.
        impersonation_session_duration: Span = "1h", live;
        /// What banned users are told when they sign in with the right password.
        banned_user_message: String = "You have been banned from this application. Please contact support if you believe this is an error.", live;
        /// Whether who may impersonate users may impersonate administrators too.
        allow_impersonating_admins: bool = "false", live;
        /// The roles, each with what it may: "support user:list user:get". Unset: admin, who may everything but impersonate-admins, and
        /// user. The plugin's own permissions are user: create, list, get, update, set-role, set-email, set-phone, set-password,
        /// ban, impersonate, impersonate-admins, delete; and session: list, revoke, delete. Others are the application's, which
        /// asks by /admin/has-permission.
        roles: Vec<UserRole> = "", live;
    }
    /// Better Auth's username plugin: names to sign in with, besides addresses. Everybody can ask whether a name is free.
    "username" username: Username {
        /// Whether it is on.
        enabled: bool = "false", live;
        /// The shortest name.
        min_length: u32 = "3", live;
        /// The longest name. At most 64.
        max_length: u32 = "30", live;
    }
    /// Access tokens (JWT).
    "token" token: Token {
        /// Who issues them (`iss`). Unset, it is the origin of public_url.
        issuer: Option<String> = "";
        /// For whom they are (`aud`). Unset, it is the origin of public_url.
        audience: Vec<String> = "";
        /// How long they live. Backends that verify them offline notice a revocation after this time at the latest.
        expires_in: Span = "15m", live;
    }
    /// Signing keys.
    "keys" keys: Keys {
        /// The algorithm of new keys.
        algorithm: Algorithm = "EdDSA", live;
        /// How often a new key takes over by itself; 0: never.
        rotate_every: Span = "90d", live;
        /// How long a new key is published before it signs: at least as long as backends may cache the key set (6m).
        publish_ahead: Span = "10m", live;
        /// The file with the master key, under which all other secrets are sealed. Unset: the systemd credential
        /// `authd.master-key`, or /etc/authd/master.key.
        master_key_file: Option<PathBuf> = "";
    }
    /// The admin socket, which authctl talks to.
    "admin" admin: Admin {
        /// Where it is. Unset: /run/authd/admin.sock.
        socket: Option<PathBuf> = "";
    }
    /// Who may do what on the admin socket: users (ada) and groups (@support) of this host. Each role may also do what those
    /// before it may. root and the daemon's own user may do everything. A name that the host does not know gives nobody anything.
    "admin.roles" admin_roles: AdminRoles {
        /// Look at accounts, sessions, keys and the audit trail.
        view: Vec<Principal> = "", live;
        /// Make ordinary accounts, disable and enable them, set their passwords, end sessions.
        helpdesk: Vec<Principal> = "", live;
        /// Rotate, roll back and revoke signing keys.
        oncall: Vec<Principal> = "", live;
        /// Everything: delete accounts, and change those whose role is not plain user.
        admin: Vec<Principal> = "@authd-admin", live;
    }
    /// The audit trail, which is kept in the store.
    "audit" audit: Audit {
        /// How long its records are kept; 0s: for ever. Older ones are removed once a day, from the beginning of the chain; it
        /// can still be checked. The default is a year, and time to look back at its end.
        retention: Span = "400d", live;
    }
    /// Where everything is kept.
    "store" store: Store {
        /// The data directory. Unset: /var/lib/authd.
        path: Option<PathBuf> = "";
        /// Memory for caches. Plan twice as much resident.
        cache: ByteSize = "128MiB";
        /// Free space on the disk below which nothing is written any more.
        reserve: ByteSize = "64MiB";
        /// A snapshot is made when the last one is so old and something has changed since. What was erased or deleted is in
        /// the commit log until then.
        snapshot_every: Span = "1d";
        /// A snapshot is also made when the commit log behind the last one is longer than this, and than half of that
        /// snapshot; then the log is shortened.
        log_size: ByteSize = "256MiB";
    }
    /// Backups: the whole store in one file each, while authd runs. See the manual's page on them.
    "backup" backup: Backup {
        /// Who can open backups where the host and its master key are lost: public keys such as age1…, whose identities are kept
        /// elsewhere (authctl backup recipient new). Without one a backup is of no use without the master key.
        recipients: Vec<Recipient> = "";
        /// Where backups are kept. Set, one is made as often as `every` says; unset, they are made only when they are asked
        /// for, in the folder backups of the data directory.
        directory: Option<PathBuf> = "";
        /// How often one is made. What was missed while authd was stopped is made half a minute after its start.
        every: Span = "1d";
        /// How many are kept; older ones are removed once a new one was made and read back.
        keep: u32 = "7";
    }
    /// The log. The audit trail is not here but in the store.
    "log" log: Log {
        /// text, json, journal (entries with fields for the journal of systemd; json where there is none), or auto: text on a
        /// terminal, journal where systemd leads standard error there, json elsewhere.
        format: LogFormat = "auto";
        /// What is logged.
        level: LogLevel = "info", live;
    }
    /// Metrics for Prometheus. They are on the admin socket (GET /metrics, authctl metrics) in any case.
    "metrics" metrics: Metrics {
        /// Where they are served over TCP too: 127.0.0.1:9464. Everybody who can reach the address can read them; there is nothing
        /// of users in them. Unset: nowhere.
        listen: Option<SocketAddr> = "";
        /// Allow an address there that others than this machine can reach.
        allow_remote: bool = "false";
    }
}

/// How the daemon was started, which decides what it may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Without a configuration file: on this machine only, everything made as needed.
    Development,
    /// With one.
    Production,
}

impl Mode {
    /// The word that operators see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// The whole configuration, read and found sound.
#[derive(Debug, Clone)]
pub struct Config {
    /// Development or production.
    pub mode: Mode,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Every setting.
    pub settings: Settings,
    /// Where things are, with the defaults of the mode filled in.
    pub places: Places,
    /// Where each setting's value came from, in the order of [`SETTINGS`].
    pub origins: Vec<Origin>,
    /// What is not wrong but worth a look.
    pub advice: Vec<String>,
    /// The same, of what is around the settings: whose the file is, as whom authd runs.
    pub advice_around: Vec<String>,
}

impl Settings {
    /// Who is given which role.
    pub fn roles(&self) -> impl Iterator<Item = (Role, &Principal)> {
        let r = &self.admin_roles;
        let lists =
            [(Role::View, &r.view), (Role::Helpdesk, &r.helpdesk), (Role::Oncall, &r.oncall), (Role::Admin, &r.admin)];
        lists.into_iter().flat_map(|(role, list)| list.iter().map(move |principal| (role, principal)))
    }

    /// The settings that are not the same there.
    pub fn differing(&self, other: &Self) -> Vec<&'static SettingInfo> {
        let pairs = self.values().into_iter().zip(other.values());
        SETTINGS.iter().zip(pairs).filter(|(_, (a, b))| a != b).map(|(setting, _)| setting).collect()
    }
}

/// Where the value of a setting came from, by its path.
fn origin_of(origins: &[Origin], path: &str) -> Origin {
    let at = SETTINGS.iter().position(|setting| setting.path() == path);
    at.and_then(|at| origins.get(at)).cloned().unwrap_or(Origin::Default)
}

impl Config {
    /// These settings, with those of `new` that can be applied while the daemon runs.
    ///
    /// # Errors
    /// What must not stand beside what stays as it is until a restart.
    pub fn reloaded(&self, new: &Self) -> Result<Self, Vec<Problem>> {
        let settings = self.settings.with_live_of(&new.settings);
        let mut problems = vec![];
        let advice = check::check(self.mode, &settings, &new.origins, &mut problems);
        match problems.is_empty() {
            true => {
                let (origins, advice_around) = (new.origins.clone(), new.advice_around.clone());
                Ok(Self { settings, origins, advice, advice_around, ..self.clone() })
            }
            false => Err(problems),
        }
    }

    /// All that is worth a look.
    pub fn advice(&self) -> impl Iterator<Item = &String> {
        self.advice.iter().chain(&self.advice_around)
    }

    /// The list of all settings as a section of the manual.
    pub fn manual() -> String {
        manual::render()
    }

    /// The name of the service, once the port is known.
    pub fn public_url(&self, port: u16) -> PublicUrl {
        self.settings.http.public_url.clone().unwrap_or_else(|| PublicUrl::localhost(port))
    }

    /// Where each hook that is on is called, with the name of its setting.
    pub fn hooks(&self) -> impl Iterator<Item = (Hook, &'static str, &TargetUrl)> {
        check::targets(&self.settings)
    }

    /// How mails leave, `auto` decided.
    pub fn mail_delivery(&self) -> Delivery {
        check::mail_delivery(self.mode, &self.settings)
    }

    /// A commented configuration file with every setting at its default, but for those that are given: paths of settings
    /// (`http.listen`) with their values as TOML.
    pub fn template(given: &[(String, String)]) -> String {
        render::template(given)
    }

    /// The effective settings as TOML, each with where it came from.
    pub fn show(&self) -> String {
        render::show(self)
    }
}
