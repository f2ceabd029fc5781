//! Histories made by hand: what may be is taken, what cannot be is found.

use common::Span;
use tests::server::START;

use super::{
    check::check,
    record::{Ending, Entry, Got, NEVER, Seen, Stamp, Token, What, When},
};

/// Asked and answered at these stamps, so many seconds after the beginning.
fn at(began: Stamp, ended: Stamp, secs: u64, what: What) -> Entry {
    let time = START.plus(Span::from_secs(secs));
    Entry { user: 1, when: When { began, ended, from: time, to: time }, what }
}

fn opened(began: Stamp, ended: Stamp) -> Entry {
    at(began, ended, 0, What::Opened { session: 7, password: 1, remember: true })
}

fn ended(began: Stamp, ended: Stamp, ending: Ending) -> Entry {
    at(began, ended, 0, What::Ended(ending))
}

fn seen(began: Stamp, ended: Stamp, seen: Seen) -> Entry {
    at(began, ended, 0, What::Checked { session: 7, seen })
}

fn sign_in(began: Stamp, ended: Stamp, password: u32) -> Entry {
    at(began, ended, 0, What::Opened { session: 8, password, remember: true })
}

fn enabled(began: Stamp, ended: Stamp) -> Entry {
    at(began, ended, 0, What::Enabled)
}

fn refused(began: Stamp, ended: Stamp, password: u32) -> Entry {
    at(began, ended, 0, What::Refused { password })
}

fn token(generation: u32) -> Token {
    Token { generation, digest: u64::from(generation) }
}

fn refreshed(n: Stamp, secs: u64, shown: u32, got: Got) -> Entry {
    at(n, n + 1, secs, What::Refreshed { session: 7, shown: token(shown), got })
}

fn next(generation: u32) -> Got {
    Got::Successor(token(generation))
}

fn rules(history: &[Entry]) -> Vec<&'static str> {
    let (_, mut found) = check(history);
    found.dedup_by_key(|violation| violation.rule);
    found.into_iter().map(|violation| violation.rule).collect()
}

const HAD_ENDED: &str = "(a) it had ended";
const NOT_ENDED: &str = "(b) nothing had ended it";

#[test]
fn f_19_a_session_that_succeeds_after_the_answer_to_what_ended_it_is_found() {
    let endings =
        [Ending::Session(7), Ending::All, Ending::Others(9), Ending::Ban, Ending::Delete, Ending::Password(2)];
    for ending in endings {
        let with = |check| rules(&[opened(1, 2), ended(3, 5, ending), check]);
        assert_eq!(with(seen(6, 7, Seen::Alive)), [HAD_ENDED], "{ending:?}");
        assert_eq!(with(seen(6, 7, Seen::Dead)), [""; 0], "{ending:?}");
        assert_eq!(with(seen(4, 7, Seen::Alive)), [""; 0], "at the same time as {ending:?}");
        assert_eq!(with(seen(4, 7, Seen::Dead)), [""; 0], "at the same time as {ending:?}");
        let unanswered = [opened(1, 2), ended(3, NEVER, ending), seen(6, 7, Seen::Alive), seen(8, 9, Seen::Dead)];
        assert_eq!(rules(&unanswered), [""; 0], "(d) {ending:?}");
    }
    for spared in [Ending::Session(9), Ending::Others(7), Ending::Password(1)] {
        assert_eq!(rules(&[opened(1, 2), ended(3, 5, spared), seen(6, 7, Seen::Alive)]), [""; 0]);
        assert_eq!(rules(&[opened(1, 2), ended(3, 5, spared), seen(6, 7, Seen::Dead)]), [NOT_ENDED]);
    }
}

#[test]
fn f_19_a_session_that_fails_before_anything_could_end_it_is_found() {
    assert_eq!(rules(&[opened(1, 2), seen(3, 4, Seen::Dead), ended(5, 6, Ending::All)]), [NOT_ENDED]);
    assert_eq!(rules(&[opened(1, 2), seen(3, 4, Seen::Another)]), ["another's session"]);
    assert_eq!(rules(&[opened(1, 4), seen(3, 5, Seen::Dead)]), [""; 0], "the sign-in was not answered yet");
    // What ended before the sign-in began is nothing to it.
    assert_eq!(rules(&[ended(1, 2, Ending::All), opened(3, 4), seen(5, 6, Seen::Dead)]), [NOT_ENDED]);
    // One that was opened while all were ended may be among them or not.
    for either in [Seen::Dead, Seen::Alive] {
        assert_eq!(rules(&[ended(1, 4, Ending::All), opened(2, 3), seen(5, 6, either)]), [""; 0]);
    }
}

#[test]
fn f_19_a_session_that_outlives_its_expiry_or_ends_before_it_is_found() {
    let day = 86_400;
    for (remember, secs, seen, found) in [
        (false, day - 1, Seen::Dead, vec![NOT_ENDED]),
        (false, day, Seen::Alive, vec![HAD_ENDED]),
        (true, 7 * day - 1, Seen::Dead, vec![NOT_ENDED]),
        (true, 30 * day, Seen::Alive, vec![HAD_ENDED]),
        (true, 8 * day, Seen::Dead, vec![]),
        (true, 8 * day, Seen::Alive, vec![]),
    ] {
        let first = at(1, 2, 0, What::Opened { session: 7, password: 1, remember });
        let check = at(3, 4, secs, What::Checked { session: 7, seen });
        assert_eq!(rules(&[first, check]), found, "{remember} {secs}");
    }
}

#[test]
fn f_19_a_sign_in_that_was_to_be_refused_or_was_not_is_found() {
    let early = "(a) a sign-in that was to be refused";
    let late = "(b) a sign-in that was to succeed";
    for ending in [Ending::Ban, Ending::Delete, Ending::Password(2)] {
        assert_eq!(rules(&[ended(1, 2, ending), sign_in(3, 4, 1)]), [early], "{ending:?}");
        assert_eq!(rules(&[ended(1, 2, ending), refused(3, 4, 1)]), [""; 0], "{ending:?}");
        assert_eq!(rules(&[ended(1, 4, ending), sign_in(2, 3, 1)]), [""; 0], "{ending:?}");
    }
    assert_eq!(rules(&[ended(1, 2, Ending::Ban), enabled(3, 4), sign_in(5, 6, 1)]), [""; 0]);
    assert_eq!(rules(&[ended(1, 2, Ending::Ban), enabled(3, 4), refused(5, 6, 1)]), [late]);
    assert_eq!(rules(&[ended(1, 2, Ending::Ban), enabled(3, NEVER), refused(5, 6, 1)]), [""; 0]);
    assert_eq!(rules(&[ended(1, 2, Ending::All), refused(3, 4, 1)]), [late]);
    assert_eq!(rules(&[ended(1, 2, Ending::Password(2)), refused(3, 4, 2)]), [late]);
    // A session that was opened during the ban's request belongs to what it ended.
    let during = [ended(1, 4, Ending::Ban), opened(2, 3), seen(5, 6, Seen::Alive)];
    assert_eq!(rules(&during), [HAD_ENDED]);
}

#[test]
fn f_19_a_refresh_token_with_two_successors_is_found() {
    let family = |refreshes: &[Entry]| rules(&[&[opened(1, 2)], refreshes].concat());
    let none: [&str; 0] = [];
    let other = Got::Successor(Token { generation: 2, digest: 99 });
    assert_eq!(family(&[refreshed(3, 0, 1, next(2)), refreshed(5, 9, 1, next(2))]), none);
    assert_eq!(
        family(&[refreshed(3, 0, 1, next(2)), refreshed(5, 0, 1, other)])[0],
        "(c) two tokens of one generation"
    );
    assert_eq!(family(&[refreshed(3, 0, 1, next(2)), refreshed(5, 9, 1, next(3))]), ["(c) two successors"]);
    assert_eq!(family(&[refreshed(3, 0, 1, next(1))]), ["(c) a successor that is none"]);
    // Inside the window the answer is the current one, wherever that is by now.
    let moved_on = [refreshed(3, 0, 1, next(2)), refreshed(5, 0, 2, next(3)), refreshed(7, 0, 1, next(3))];
    assert_eq!(family(&moved_on), none);
    // A lost answer: the next one takes its place, and only that goes on.
    let lost = [refreshed(3, 0, 1, next(2)), refreshed(5, 10, 1, next(3))];
    assert_eq!(family(&lost), none);
    assert_eq!(family(&[&lost[..], &[refreshed(7, 11, 3, next(4))]].concat()), none);
    assert_eq!(family(&[&lost[..], &[refreshed(7, 11, 2, next(4))]].concat()), ["(c) both successors go on"]);
    // The window is that of the rotation, and no answer inside it makes it longer.
    let repeated = [refreshed(3, 0, 1, next(2)), refreshed(5, 9, 1, next(2)), refreshed(7, 10, 1, next(3))];
    assert_eq!(family(&repeated), none);
    assert_eq!(family(&repeated[1..]), ["(c) two successors"]);
    // Thief and owner.
    let stolen = [refreshed(3, 0, 1, next(2)), refreshed(5, 5, 2, next(3))];
    assert_eq!(family(&[&stolen[..], &[refreshed(7, 10, 1, Got::Reused)]].concat()), none);
    assert_eq!(family(&[&stolen[..], &[refreshed(7, 10, 1, next(4))]].concat()), ["(c) a used token goes on"]);
}

#[test]
fn f_19_a_family_that_goes_on_after_its_reuse_and_a_false_alarm_are_found() {
    let family = |refreshes: &[Entry]| rules(&[&[opened(1, 2)], refreshes].concat());
    let reused = [refreshed(3, 0, 1, next(2)), refreshed(5, 0, 2, next(3)), refreshed(7, 10, 1, Got::Reused)];
    assert_eq!(family(&[&reused[..], &[refreshed(9, 10, 3, Got::Dead)]].concat()), [""; 0]);
    assert_eq!(family(&[&reused[..], &[refreshed(9, 10, 3, next(4))]].concat()), [HAD_ENDED]);
    assert_eq!(family(&[&reused[..], &[seen(9, 10, Seen::Alive)]].concat()), [HAD_ENDED]);
    assert_eq!(family(&[refreshed(3, 0, 1, Got::Reused)]), ["(c) a false alarm"]);
    assert_eq!(family(&[refreshed(3, 0, 1, Got::Nothing), refreshed(5, 10, 1, Got::Reused)]), [""; 0]);
    assert_eq!(family(&[refreshed(3, 0, 1, Got::Dead)]), [NOT_ENDED]);
}
