//! The checker: which answers of a history could not have been given, whatever the order of what went on at the same time.
//!
//! Rules, by `SECURITY-REQUIREMENTS.md`: (a) a check that begins after the answer to what ended its session must fail; (b) one
//! that ends before anything that could end it has begun, and begins after the sign-in's answer and ends before the expiry,
//! must succeed; (c) a refresh token has one successor, and after the answer that tells of a reuse nothing of the family
//! succeeds; (d) what was not answered may count either way; (e) all of it across restarts, which a history does not see.

use std::{collections::BTreeMap, fmt};

use common::{Span, UnixTime};

use super::record::{Ending, Entry, Got, NEVER, No, Seen, Stamp, Token, What, When};

/// How long a refresh token may be shown again.
pub(super) const WINDOW: Span = Span::from_secs(10);
/// How long a session lives that is not remembered.
pub(super) const DAY: Span = Span::from_days(1);
/// How long one lives without use that is.
pub(super) const IDLE: Span = Span::from_days(7);
/// And at most.
pub(super) const ABSOLUTE: Span = Span::from_days(30);

/// An answer that cannot be.
#[derive(Debug, Clone)]
pub(super) struct Violation {
    pub(super) rule: &'static str,
    /// What was answered.
    pub(super) entry: Entry,
    /// What it contradicts.
    pub(super) against: Option<Entry>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.rule, self.entry)?;
        self.against.map_or(Ok(()), |against| write!(f, ", after {against:?}"))
    }
}

/// How much was decided: a rule that was never put to a test says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) entries: usize,
    pub(super) sessions: usize,
    pub(super) unanswered: usize,
    /// Checks and refreshes that had to fail, and that had to succeed.
    pub(super) must_fail: usize,
    pub(super) must_succeed: usize,
    /// Those that could go either way.
    pub(super) open: usize,
    /// Refreshes that were answered with a successor, and reuses that were told of.
    pub(super) successors: usize,
    pub(super) reuses: usize,
}

/// Goes through a history; the order of the entries does not matter.
pub(super) fn check(history: &[Entry]) -> (Figures, Vec<Violation>) {
    let mut users: BTreeMap<No, Vec<Entry>> = BTreeMap::new();
    for entry in history {
        users.entry(entry.user).or_default().push(*entry);
    }
    let unanswered = history.iter().filter(|entry| !entry.when.is_answered()).count();
    let mut checker =
        Checker { figures: Figures { entries: history.len(), unanswered, ..Figures::default() }, found: vec![] };
    users.values().for_each(|entries| checker.user(entries));
    (checker.figures, checker.found)
}

struct Checker {
    figures: Figures,
    found: Vec<Violation>,
}

/// A session and everything about it.
struct Session {
    opened: Entry,
    password: No,
    remember: bool,
    /// What certainly ended it, the first of them by its answer.
    ended: Option<Entry>,
    /// What may have ended it, the first of them by its beginning.
    threatened: Option<Entry>,
    refreshes: Vec<(When, Token, Got)>,
}

impl Session {
    fn may_end(&mut self, by: Entry) {
        if self.threatened.is_none_or(|first| by.when.began < first.when.began) {
            self.threatened = Some(by);
        }
    }

    fn ends(&mut self, by: Entry) {
        self.may_end(by);
        if by.when.is_answered() && self.ended.is_none_or(|first| by.when.ended < first.when.ended) {
            self.ended = Some(by);
        }
    }

    /// Whether the session is certainly over when this begins.
    fn is_dead(&self, at: &When) -> bool {
        let life = if self.remember { ABSOLUTE } else { DAY };
        self.ended.is_some_and(|by| by.when.ended < at.began) || at.from >= self.opened.when.to.plus(life)
    }

    /// Whether it certainly is not when this ends.
    fn is_alive(&self, at: &When) -> bool {
        let life = if self.remember { IDLE } else { DAY };
        self.opened.when.ended < at.began
            && self.threatened.is_none_or(|by| at.ended < by.when.began)
            && at.to < self.opened.when.from.plus(life)
    }
}

/// Whether an act of this kind may have come between the two.
fn may_lie_between(acts: &[Entry], after: Stamp, before: Stamp) -> bool {
    acts.iter().any(|act| act.when.ended > after && act.when.began < before)
}

impl Checker {
    fn violation(&mut self, rule: &'static str, entry: Entry, against: Option<Entry>) {
        self.found.push(Violation { rule, entry, against });
    }

    fn user(&mut self, entries: &[Entry]) {
        let mut sessions: BTreeMap<No, Session> = BTreeMap::new();
        let mut enabled = vec![];
        let mut endings = vec![];
        for entry in entries {
            match entry.what {
                What::Opened { session, password, remember } => {
                    let opened = Session {
                        opened: *entry,
                        password,
                        remember,
                        ended: None,
                        threatened: None,
                        refreshes: vec![],
                    };
                    if let Some(before) = sessions.insert(session, opened) {
                        self.violation("two sign-ins, one session", *entry, Some(before.opened));
                    }
                }
                What::Enabled => enabled.push(*entry),
                What::Ended(ending) => endings.push((*entry, ending)),
                _ => {}
            }
        }
        for entry in entries {
            if let What::Refreshed { session, shown, got } = entry.what
                && let Some(session) = sessions.get_mut(&session)
            {
                session.refreshes.push((entry.when, shown, got));
                match got {
                    Got::Reused => session.ends(*entry),
                    Got::Nothing => session.may_end(*entry),
                    Got::Successor(_) | Got::Dead => {}
                }
            }
        }
        for (entry, ending) in &endings {
            for (no, session) in &mut sessions {
                apply(*no, session, entry, *ending, &enabled);
            }
        }
        self.figures.sessions += sessions.len();
        self.sign_ins(entries, &endings, &enabled);
        for entry in entries {
            let (no, is_success) = match entry.what {
                What::Checked { session, seen } => {
                    if seen == Seen::Another {
                        self.violation("another's session", *entry, None);
                        continue;
                    }
                    (session, seen == Seen::Alive)
                }
                What::Refreshed { session, got, .. } => match got {
                    Got::Successor(_) => (session, true),
                    Got::Dead => (session, false),
                    Got::Reused | Got::Nothing => continue,
                },
                _ => continue,
            };
            if let Some(session) = sessions.get(&no) {
                self.one_check(*entry, session, is_success);
            }
        }
        sessions.values().for_each(|session| self.family(session));
    }

    fn one_check(&mut self, entry: Entry, session: &Session, is_success: bool) {
        let (dead, alive) = (session.is_dead(&entry.when), session.is_alive(&entry.when));
        match (dead, alive) {
            (true, _) => self.figures.must_fail += 1,
            (false, true) => self.figures.must_succeed += 1,
            (false, false) => self.figures.open += 1,
        }
        if dead && is_success {
            self.violation("(a) it had ended", entry, session.ended);
        } else if alive && !is_success {
            self.violation("(b) nothing had ended it", entry, Some(session.opened));
        }
    }

    /// A sign-in is refused where the account is banned or gone or the password another one, and only there.
    fn sign_ins(&mut self, entries: &[Entry], endings: &[(Entry, Ending)], enabled: &[Entry]) {
        for entry in entries {
            let When { began, ended, .. } = entry.when;
            match entry.what {
                What::Opened { password, .. } => {
                    let against = endings.iter().find(|(by, ending)| {
                        by.when.ended < began
                            && match ending {
                                Ending::Ban => !may_lie_between(enabled, by.when.began, ended),
                                Ending::Delete => true,
                                Ending::Password(new) => password < *new,
                                _ => false,
                            }
                    });
                    if let Some((by, _)) = against {
                        self.violation("(a) a sign-in that was to be refused", *entry, Some(*by));
                    }
                }
                What::Refused { password } => {
                    let has_reason = endings.iter().any(|(by, ending)| {
                        let over = |enabled: &[Entry]| {
                            enabled.iter().any(|act| {
                                act.when.began > by.when.ended && act.when.is_answered() && act.when.ended < began
                            })
                        };
                        by.when.began < ended
                            && match ending {
                                Ending::Ban => !over(enabled),
                                Ending::Delete => true,
                                Ending::Password(new) => password < *new || by.when.ended > began,
                                _ => false,
                            }
                    });
                    if !has_reason {
                        self.violation("(b) a sign-in that was to succeed", *entry, None);
                    }
                }
                _ => {}
            }
        }
    }

    /// The refresh tokens of one session.
    fn family(&mut self, session: &Session) {
        let mut refreshes = session.refreshes.clone();
        refreshes.sort_by_key(|(when, ..)| (when.ended, when.began));
        let entry = |(when, shown, got): (When, Token, Got)| {
            let What::Opened { session: no, .. } = session.opened.what else { unreachable!("it was opened") };
            Entry { user: session.opened.user, when, what: What::Refreshed { session: no, shown, got } }
        };
        let mut tokens: BTreeMap<u32, Token> = BTreeMap::new();
        let mut answers: BTreeMap<Token, Vec<(When, Token)>> = BTreeMap::new();
        for refresh @ (when, shown, got) in &refreshes {
            let named = match got {
                Got::Successor(next) => vec![*shown, *next],
                _ => vec![*shown],
            };
            for token in named {
                if *tokens.entry(token.generation).or_insert(token) != token {
                    self.violation("(c) two tokens of one generation", entry(*refresh), None);
                }
            }
            match got {
                Got::Successor(next) => {
                    self.figures.successors += 1;
                    if next.generation <= shown.generation {
                        self.violation("(c) a successor that is none", entry(*refresh), None);
                    }
                    answers.entry(*shown).or_default().push((*when, *next));
                }
                Got::Reused => {
                    self.figures.reuses += 1;
                    if !may_be_reuse(&refreshes, refresh, &answers) {
                        self.violation("(c) a false alarm", entry(*refresh), Some(session.opened));
                    }
                }
                Got::Dead | Got::Nothing => {}
            }
        }
        for (shown, given) in &answers {
            self.successors(*shown, given, &refreshes, &entry);
        }
    }

    /// Several answers to one token: the same successor, unless that was used itself meanwhile, or was lost.
    fn successors(
        &mut self,
        shown: Token,
        given: &[(When, Token)],
        all: &[(When, Token, Got)],
        entry: &dyn Fn((When, Token, Got)) -> Entry,
    ) {
        let told = |(when, token): (When, Token)| entry((when, shown, Got::Successor(token)));
        for (i, first) in given.iter().enumerate() {
            for second in &given[i + 1..] {
                let (older, newer) = if first.1 <= second.1 { (first, second) } else { (second, first) };
                if older.1 == newer.1 {
                    continue;
                }
                // Inside the window the answer is the current token, which may have moved on by the older successor's use.
                let was_used = all.iter().any(|(when, token, got)| {
                    (older.1.generation..newer.1.generation).contains(&token.generation)
                        && matches!(got, Got::Successor(_) | Got::Nothing)
                        && when.began < newer.0.ended
                });
                // The window begins with the rotation, of which the older answer may have been a repetition.
                let rotated = all
                    .iter()
                    .filter(|(when, token, got)| {
                        *token == shown
                            && (*got == Got::Nothing || *got == Got::Successor(older.1))
                            && when.began < newer.0.ended
                    })
                    .map(|(when, ..)| when.from)
                    .min();
                let after_the_window = rotated.is_some_and(|rotated| newer.0.to >= rotated.plus(WINDOW));
                if !was_used && !after_the_window {
                    self.violation("(c) two successors", told(*newer), Some(told(*older)));
                }
                // The older one was lost, and is no token any more.
                let both = all.iter().find(|(when, token, got)| {
                    *token == older.1 && when.began > newer.0.ended && matches!(got, Got::Successor(_))
                });
                if let (false, Some(both)) = (was_used, both) {
                    self.violation("(c) both successors go on", entry(*both), Some(told(*newer)));
                }
            }
        }
        // Once its successor was used, and the window is over, a token is a stolen one.
        let Some(used) = all
            .iter()
            .filter(|(_, token, got)| given.iter().any(|g| g.1 == *token) && matches!(got, Got::Successor(_)))
            .map(|(when, ..)| when.ended)
            .min()
        else {
            return;
        };
        for late in given {
            let shown_before = all.iter().filter(|(when, token, _)| *token == shown && *when != late.0);
            let rotated = shown_before
                .filter(|(when, ..)| when.began < late.0.ended)
                .map(|(when, ..)| when.to)
                .max()
                .unwrap_or(UnixTime::from_millis(i64::MAX));
            if late.0.began > used && late.0.from >= rotated.plus(WINDOW) {
                self.violation("(c) a used token goes on", told(*late), None);
            }
        }
    }
}

/// Whether what is shown may have been used before, or be a successor that another one took the place of.
fn may_be_reuse(
    all: &[(When, Token, Got)],
    (at, shown, _): &(When, Token, Got),
    answers: &BTreeMap<Token, Vec<(When, Token)>>,
) -> bool {
    let was_shown = all.iter().any(|(when, token, got)| {
        token == shown && when != at && when.began < at.ended && matches!(got, Got::Successor(_) | Got::Nothing)
    });
    let was_replaced = answers.iter().any(|(parent, given)| {
        given.iter().any(|g| g.1 == *shown)
            && all.iter().filter(|(when, token, _)| token == parent && when.began < at.ended).count() > 1
    });
    was_shown || was_replaced
}

/// What an ending means for a session.
fn apply(no: No, session: &mut Session, entry: &Entry, ending: Ending, enabled: &[Entry]) {
    let When { began: opening, ended: opened, .. } = session.opened.when;
    let is_before = opened < entry.when.began;
    if entry.when.ended < opening {
        return;
    }
    let certainly = match ending {
        Ending::Session(which) if which != no => return,
        Ending::Others(kept) if kept == no => return,
        Ending::Password(new) if session.password >= new => return,
        Ending::All | Ending::Others(_) => is_before,
        // Who has the session's name has had its answer, or found it in a list; a sign-in that was decided later was refused.
        Ending::Session(_) | Ending::Password(_) | Ending::Delete => true,
        Ending::Ban => is_before || !may_lie_between(enabled, entry.when.began, opened),
    };
    if certainly && entry.when.ended != NEVER {
        session.ends(*entry);
    } else {
        session.may_end(*entry);
    }
}
