//! All metrics on a page. Manual, page and alert rules are held to this table by tests. Names are append-only.

use super::{
    Family,
    Kind::{Counter, Gauge, Histogram},
};

macro_rules! families {
    ($( $(#[doc = $doc:literal])+ $constant:ident = $name:literal, $kind:expr $(, $label:literal)*; )+) => {
        /// Each by a name of its own.
        #[allow(clippy::doc_markdown)] // the texts are for Prometheus
        pub mod family {
            use super::{Counter, Family, Gauge, Histogram};
            $( $(#[doc = $doc])+ pub const $constant: Family =
                Family { name: $name, kind: $kind, labels: &[$($label),*], help: concat!($($doc, "\n"),+) }; )+
        }

        /// All of them, in the order of the page.
        pub const FAMILIES: &[Family] = &[ $( family::$constant, )+ ];
    };
}

families! {
    /// Always 1; the version of authd is a label.
    BUILD_INFO = "authd_build_info", Gauge, "version";
    /// Whether the daemon can do its work (1), as /readyz says.
    READY = "authd_ready", Gauge;
    /// How far the host's clock is behind the latest time on record, in seconds.
    CLOCK_BEHIND = "authd_clock_behind_seconds", Gauge;
    /// Whether what the configuration said when it was read last is in force (1).
    CONFIG_IN_FORCE = "authd_config_in_force", Gauge;
    /// When the configuration was read last, in seconds since 1970.
    CONFIG_READ = "authd_config_read_timestamp_seconds", Gauge;
    /// Lines that the log has lost because nobody took them in time.
    LOG_DROPPED = "authd_log_lines_dropped_total", Counter;
    /// Answers of the public door, by route (as in the table of routes, without its mount; none: no such route) and class of
    /// the status code. A route is there once it was asked.
    REQUESTS = "authd_http_requests_total", Counter, "method", "route", "status";
    /// How long an answer took from the request's head on, its body included, in seconds.
    REQUEST_SECONDS = "authd_http_request_duration_seconds", Histogram, "method", "route";
    /// Requests that were told to come again later, because their client makes too many.
    REQUESTS_THROTTLED = "authd_http_requests_throttled_total", Counter;
    /// Connections to the public door.
    CONNECTIONS = "authd_connections", Gauge;
    /// How many are served at once; further ones wait.
    CONNECTIONS_LIMIT = "authd_connections_limit", Gauge;
    /// Attempts to sign in with a password, by how they ended: success, wrong (password or account), put_off (too many had failed),
    /// busy (no room in the hashing queue), refused (banned, address not proved, password to be changed, by the application), error.
    SIGN_INS = "authd_sign_ins_total", Counter, "outcome";
    /// Refresh tokens that were shown, by how that ended: success, reused (the session was ended), refused (unknown, expired), error.
    REFRESHES = "authd_refreshes_total", Counter, "outcome";
    /// Records of the audit trail that were written since the start, by event: sign-ups, sessions opened and revoked, reuse of
    /// refresh tokens, rotations of keys, acts of operators.
    EVENTS = "authd_events_total", Counter, "event";
    /// Accounts.
    USERS = "authd_users", Gauge;
    /// Sessions, those that expired and were not swept yet included.
    SESSIONS = "authd_sessions", Gauge;
    /// Records of the audit trail.
    AUDIT_RECORDS = "authd_audit_records", Gauge;
    /// Threads that hash passwords.
    HASH_THREADS = "authd_hash_threads", Gauge;
    /// How many of them are at work.
    HASH_BUSY = "authd_hash_threads_busy", Gauge;
    /// Jobs that wait for one.
    HASH_QUEUED = "authd_hash_queue_depth", Gauge;
    /// How many may wait.
    HASH_CAPACITY = "authd_hash_queue_limit", Gauge;
    /// Jobs that were refused, or pushed out by those of others, because the queue was full.
    HASH_REFUSED = "authd_hash_refused_total", Counter;
    /// How long a job took, in seconds, without its wait.
    HASH_SECONDS = "authd_hash_duration_seconds", Histogram;
    /// Whether the store has stopped taking changes until the next start (1).
    STORE_POISONED = "authd_store_poisoned", Gauge;
    /// Whether it takes none for want of room (1).
    STORE_FULL = "authd_store_full", Gauge;
    /// Free bytes of the file system that the store is on.
    STORE_FREE = "authd_store_free_bytes", Gauge;
    /// Below so much nothing is written (store.reserve).
    STORE_RESERVE = "authd_store_reserve_bytes", Gauge;
    /// The last sequence that is committed.
    STORE_SEQUENCE = "authd_store_sequence", Gauge;
    /// Bytes of the commit log behind the newest snapshot.
    STORE_LOG_BYTES = "authd_store_log_bytes", Gauge;
    /// Segments of the commit log behind it.
    STORE_LOG_SEGMENTS = "authd_store_log_segments", Gauge;
    /// Bytes of the file behind the commit log (sled's), which is made anew at work when it takes twice what it needs.
    STORE_FILE_BYTES = "authd_store_file_bytes", Gauge;
    /// How long a commit took, its sync included, in seconds.
    STORE_COMMIT_SECONDS = "authd_store_commit_duration_seconds", Histogram;
    /// How many intents shared a commit.
    STORE_GROUP_SIZE = "authd_store_commit_group_size", Histogram;
    /// When the newest snapshot was made, in seconds since 1970. Missing: there is none yet.
    STORE_SNAPSHOT = "authd_store_snapshot_timestamp_seconds", Gauge;
    /// Its bytes.
    STORE_SNAPSHOT_BYTES = "authd_store_snapshot_bytes", Gauge;
    /// Whether the last try to make one failed (1).
    STORE_SNAPSHOT_FAILED = "authd_store_snapshot_failed", Gauge;
    /// When the newest backup in the daemon's directory was made, in seconds since 1970. Missing: there is none.
    BACKUP = "authd_backup_timestamp_seconds", Gauge;
    /// Its bytes.
    BACKUP_BYTES = "authd_backup_bytes", Gauge;
    /// Whether none could be made when it was tried last (1).
    BACKUP_FAILED = "authd_backup_failed", Gauge;
    /// Answers that failed because something in the store could not be read. At the first of them all of it is compared with the commit log.
    STORE_UNREADABLE = "authd_store_unreadable_total", Counter;
    /// Looks into the cache of tokens, sessions and users, by whether it was there (hit, miss).
    STORE_CACHE = "authd_store_cache_lookups_total", Counter, "cache", "result";
    /// From when the signing key signs, in seconds since 1970. Missing: no key signs.
    KEY_SINCE = "authd_signing_key_since_timestamp_seconds", Gauge;
    /// When the next key takes over by itself, in seconds since 1970. Missing: never.
    KEY_NEXT = "authd_signing_key_next_rotation_timestamp_seconds", Gauge;
    /// Keys in the key set.
    KEYS_PUBLISHED = "authd_signing_keys_published", Gauge;
    /// Mails that wait to be sent.
    MAIL_WAITING = "authd_mail_waiting", Gauge;
    /// When the oldest of them was queued, in seconds since 1970. Missing: none waits.
    MAIL_OLDEST = "authd_mail_oldest_timestamp_seconds", Gauge;
    /// Mails that were given up and can still be tried again.
    MAIL_GIVEN_UP = "authd_mail_given_up", Gauge;
    /// Mails that were handed over.
    MAIL_SENT = "authd_mail_sent_total", Counter;
    /// Tries that failed.
    MAIL_FAILURES = "authd_mail_failures_total", Counter;
    /// Times that the application was to be asked, by hook and how that ended: allowed, refused, failed (no answer, or none that
    /// is understood), not_called (it rests, or too many calls are under way). Missing: the hook is not configured.
    HOOK_CALLS = "authd_hook_calls_total", Counter, "hook", "outcome";
    /// How long it took the application to answer, or authd to give up, in seconds.
    HOOK_SECONDS = "authd_hook_duration_seconds", Histogram, "hook";
    /// Whether the hook is left alone for a while because it did not answer (1).
    HOOK_RESTING = "authd_hook_resting", Gauge, "hook";
    /// Events that wait to be told to the application.
    OUTBOX_WAITING = "authd_outbox_waiting", Gauge;
    /// Since when the oldest of them waits, in seconds since 1970. Missing: none waits.
    OUTBOX_OLDEST = "authd_outbox_oldest_timestamp_seconds", Gauge;
    /// Events that were given up and can still be told once more.
    OUTBOX_GIVEN_UP = "authd_outbox_given_up", Gauge;
    /// Events that the application took.
    OUTBOX_TOLD = "authd_outbox_told_total", Counter;
    /// Tries to tell one that failed.
    OUTBOX_FAILURES = "authd_outbox_failures_total", Counter;
    /// Events that were removed and that the application had not taken: too old, or too many.
    OUTBOX_LOST = "authd_outbox_lost_total", Counter;
    /// Whether the application is left alone for a while because it does not take events (1).
    OUTBOX_RESTING = "authd_outbox_resting", Gauge;
    /// Processor time that was used, in seconds.
    PROCESS_CPU = "process_cpu_seconds_total", Counter;
    /// Memory that is resident, in bytes.
    PROCESS_MEMORY = "process_resident_memory_bytes", Gauge;
    /// Open file descriptors.
    PROCESS_FILES = "process_open_fds", Gauge;
    /// How many there may be.
    PROCESS_MAX_FILES = "process_max_fds", Gauge;
    /// When the daemon started, in seconds since 1970.
    PROCESS_START = "process_start_time_seconds", Gauge;
}
