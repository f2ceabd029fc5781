//! Backups that the daemon makes by itself: when, how many are kept, what is done where one cannot be made, and how that is told.
//! The daemon looks whether it is time every half a minute; here the test does.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use authd::service::backups::{self, RETRY_AFTER, State};
use common::Span;
use serde_json::Value;
use tests::Server;

const DAY: Span = Span::from_days(1);
const MINUTE: Span = Span::from_mins(1);

fn a_moment_less(span: Span) -> Span {
    Span::from_millis(span.as_millis() - 1)
}

struct Kept {
    server: Server,
    place: PathBuf,
    _dir: tempfile::TempDir,
}

impl Kept {
    /// A server that makes one a day, and keeps three.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("backups");
        let builder = Server::builder().set("backup.directory", place.to_str().unwrap());
        let server = builder.set("backup.every", "1d").set("backup.keep", "3").start().await;
        Self { server, place, _dir: dir }
    }

    /// Looks whether it is time, and lets what was begun be done. Answers the backups that there are then.
    async fn round(&self) -> Vec<String> {
        let services = self.server.services();
        // That the directory cannot be read is told in the status.
        let _ = backups::round(&services, services.clock.now()).await;
        while services.backups.job().is_some_and(|job| matches!(job.state, State::Working)) {
            tokio::task::yield_now().await;
        }
        self.names()
    }

    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.place) else { return vec![] };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// A day later, and a minute more: the removal of old ones is the next round's.
    async fn a_day_later(&self) -> Vec<String> {
        self.server.clock.advance(DAY);
        self.round().await;
        self.server.clock.advance(MINUTE);
        self.round().await
    }

    async fn status(&self) -> Value {
        self.server.admin().get("/v1/status").await.json()
    }

    async fn problems(&self) -> String {
        self.status().await["problems"].to_string()
    }

    async fn metric(&self, name: &str) -> Option<f64> {
        let page = self.server.admin().get("/metrics").await.body;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|number| number.parse().unwrap())
    }
}

#[tokio::test]
async fn one_is_made_when_it_is_time_and_the_newest_are_kept() {
    let kept = Kept::start().await;
    assert_eq!(kept.status().await["backup"], serde_json::json!({"every": "1d"}));
    let first = kept.round().await;
    assert_eq!(first.len(), 1, "a store without one gets one");
    // Nothing but the clock counts, and it to the millisecond.
    for wait in [Span::ZERO, a_moment_less(DAY)] {
        kept.server.clock.advance(wait);
        assert_eq!(kept.round().await, first);
    }
    kept.server.clock.advance(Span::from_millis(1));
    assert_eq!(kept.round().await.len(), 2);
    for _ in 0..3 {
        kept.a_day_later().await;
    }
    let names = kept.names();
    assert_eq!(names.len(), 3);
    assert!(!names.contains(&first[0]), "{names:?}");
    let audit = kept.server.admin().get("/v1/audit?event=backup.made").await.json();
    assert_eq!(audit["items"].as_array().unwrap().len(), 5, "{audit}");

    // What an operator is told of it.
    let status = kept.status().await;
    assert_eq!(status["backup"]["last"]["name"], names[2].as_str());
    let made = status["backup"]["last"]["madeAt"].as_str().unwrap().parse::<common::UnixTime>().unwrap();
    assert_eq!(kept.server.services().clock.now().since(made), MINUTE);
    #[allow(clippy::cast_precision_loss)]
    let seconds = made.as_millis() as f64 / 1e3;
    assert_eq!(kept.metric("authd_backup_timestamp_seconds").await, Some(seconds));
    assert_eq!(kept.metric("authd_backup_failed").await, Some(0.0));
    assert_eq!(kept.problems().await, "[]");
}

#[tokio::test]
async fn what_was_missed_while_it_was_stopped_is_made_once_after_the_start() {
    let mut kept = Kept::start().await;
    let first = kept.round().await;
    kept.server.stop().await;
    kept.server.clock.advance(Span::from_days(5));
    kept.server = kept.server.restart().await;
    let problems = kept.problems().await;
    assert!(problems.contains("the newest backup is of 2027-01-15") && problems.contains("every 1d"), "{problems}");
    let then = kept.round().await;
    assert_eq!((then.len(), &then[0]), (2, &first[0]), "one, and not five");
    assert_eq!(kept.round().await, then);
    assert_eq!(kept.problems().await, "[]");
}

#[tokio::test]
async fn one_that_fails_is_told_of_and_tried_again_later_until_it_is_made() {
    let kept = Kept::start().await;
    let mode = |mode| fs::set_permissions(&kept.place, PermissionsExt::from_mode(mode)).unwrap();
    let first = kept.round().await;
    kept.server.clock.advance(DAY);
    // Somebody else could put a file there.
    mode(0o777);
    assert_eq!(kept.round().await, first);
    let job = || kept.server.services().backups.job().unwrap().id;
    let failed = job();
    let problems = kept.problems().await;
    assert!(problems.contains("the last backup failed") && problems.contains("nobody else can write"), "{problems}");
    assert!(kept.status().await["backup"]["failure"].as_str().unwrap().contains("nobody else can write"));
    assert_eq!(kept.status().await["backup"]["last"]["name"], first[0].as_str(), "what there is is told all the same");
    assert_eq!(kept.metric("authd_backup_failed").await, Some(1.0));
    // Not at once, and not a moment before its time.
    kept.server.clock.advance(a_moment_less(RETRY_AFTER));
    kept.round().await;
    assert_eq!(job(), failed);
    kept.server.clock.advance(Span::from_millis(1));
    kept.round().await;
    assert_ne!(job(), failed, "it was tried again");
    assert!(kept.problems().await.contains("the last backup failed"));
    // The directory itself is gone, and something else in its place.
    let aside = kept.place.with_extension("aside");
    fs::rename(&kept.place, &aside).unwrap();
    fs::write(&kept.place, "").unwrap();
    kept.server.clock.advance(RETRY_AFTER);
    kept.round().await;
    let problems = kept.problems().await;
    assert!(problems.contains("the last backup failed"), "{problems}");
    assert_eq!(kept.metric("authd_backup_failed").await, Some(1.0));
    assert_eq!(kept.metric("authd_backup_timestamp_seconds").await, None);

    fs::remove_file(&kept.place).unwrap();
    fs::rename(&aside, &kept.place).unwrap();
    mode(0o700);
    kept.server.clock.advance(RETRY_AFTER);
    assert_eq!(kept.round().await.len(), 2);
    assert_eq!(kept.problems().await, "[]");
    assert_eq!(kept.metric("authd_backup_failed").await, Some(0.0));
}

/// A clock that was ahead for a while, and an authd that was told to trust it again.
#[tokio::test]
async fn a_backup_from_the_future_keeps_no_other_from_being_made_and_is_the_first_to_go() {
    let kept = Kept::start().await;
    let first = kept.round().await;
    let future = first[0].replace("authd-2027", "authd-2055");
    fs::rename(kept.place.join(&first[0]), kept.place.join(&future)).unwrap();
    assert_eq!(kept.round().await.len(), 2, "none of this time was there");
    kept.a_day_later().await;
    let names = kept.names();
    assert_eq!((names.len(), names.contains(&future)), (3, true));
    let names = kept.a_day_later().await;
    assert_eq!((names.len(), names.contains(&future)), (3, false), "{names:?}");
    let shown = kept.status().await["backup"]["last"]["name"].as_str().unwrap().to_owned();
    assert_eq!(shown, names[2]);
}

/// An act of an operator counts as one, whoever made it and whenever.
#[tokio::test]
async fn one_that_was_asked_for_puts_the_next_one_off() {
    let kept = Kept::start().await;
    kept.round().await;
    kept.server.clock.advance(Span::from_mins(24 * 60 - 1));
    kept.server.admin().post("/v1/backups", &serde_json::json!({})).await;
    assert_eq!(kept.round().await.len(), 2);
    kept.server.clock.advance(MINUTE);
    assert_eq!(kept.round().await.len(), 2);
    kept.server.clock.advance(DAY);
    assert_eq!(kept.round().await.len(), 3);
}
