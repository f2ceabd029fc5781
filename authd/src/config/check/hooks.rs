//! What cannot be, or is unsafe, of the settings of hooks and events.

use common::Span;

use crate::{
    config::{Settings, TargetUrl},
    domain::Hook,
};

/// Every hook, with the name of its setting and the address in it.
fn all(s: &Settings) -> [(Hook, &'static str, Option<&TargetUrl>); 4] {
    let hooks = &s.hooks;
    [
        (Hook::SignUp, "hooks.sign_up_before", hooks.sign_up_before.as_ref()),
        (Hook::SignIn, "hooks.sign_in_before", hooks.sign_in_before.as_ref()),
        (Hook::Claims, "hooks.token_claims", hooks.token_claims.as_ref()),
        (Hook::Password, "hooks.password_before", hooks.password_before.as_ref()),
    ]
}

/// Where each hook is called, with the name of its setting.
pub(in crate::config) fn targets(s: &Settings) -> impl Iterator<Item = (Hook, &'static str, &TargetUrl)> {
    all(s).into_iter().filter_map(|(hook, key, url)| Some((hook, key, url?)))
}

pub(super) fn check(s: &Settings, refuse: &mut impl FnMut(&str, String)) {
    let hooks = &s.hooks;
    for (hook, key, url) in targets(s) {
        if hook == Hook::Password && !url.is_https() && !url.is_loopback() {
            refuse(key, format!("{url} is sent passwords: it must be https, or http on this machine"));
        } else {
            plain(key, url, hooks.allow_plain_http, "hooks.allow_plain_http", refuse);
        }
    }
    for name in &hooks.fail_open {
        for (_, key, _) in all(s).into_iter().filter(|(hook, _, url)| *hook == name.0 && url.is_none()) {
            refuse("hooks.fail_open", format!("{name} has no address: set {key}, or take the name out"));
        }
    }
    if !(Span::from_millis(100)..=Span::from_secs(10)).contains(&hooks.timeout) {
        refuse("hooks.timeout", "it must be between 100ms and 10s: people wait for it".into());
    }
    if !(1..=1024).contains(&hooks.max_concurrent) {
        refuse("hooks.max_concurrent", "it must be between 1 and 1024".into());
    }
}

pub(super) fn events(s: &Settings, refuse: &mut impl FnMut(&str, String)) {
    let events = &s.events;
    if let Some(url) = &events.url {
        plain("events.url", url, events.allow_plain_http, "events.allow_plain_http", refuse);
    }
    for (key, span, least, most) in [
        ("events.timeout", events.timeout, Span::from_millis(100), Span::from_mins(1)),
        ("events.give_up_after", events.give_up_after, Span::from_mins(1), Span::from_days(30)),
        ("events.retention", events.retention, Span::from_hours(1), Span::from_days(90)),
    ] {
        if !(least..=most).contains(&span) {
            refuse(key, format!("it must be between {least} and {most}"));
        }
    }
    if events.give_up_after > events.retention {
        refuse("events.give_up_after", "it must be at most events.retention: what is not kept cannot be told".into());
    }
    if !(1000..=10_000_000).contains(&events.keep) {
        refuse("events.keep", "it must be between 1000 and 10000000".into());
    }
}

/// Refuses http to where others are on the way, unless that is allowed.
fn plain(key: &str, url: &TargetUrl, is_allowed: bool, by: &str, refuse: &mut impl FnMut(&str, String)) {
    if !url.is_https() && !url.is_near() && !is_allowed {
        refuse(
            key,
            format!(
                "{url} is http and not an address of this machine or a private network: write https, or set {by} = true"
            ),
        );
    }
}
