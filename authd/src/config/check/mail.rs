//! What cannot be, or is unsafe, of the settings of mail and of what needs it.

use common::Span;

use crate::{
    config::{Delivery, Mode, Security, Settings},
    domain::origin::is_loopback_host,
};

/// The longest life of a link (RC-01 asks for an hour at most; a sign-up may be left for the next morning).
const MAX_LINK_LIFE: Span = Span::from_days(7);

/// Whether mail is sent, written to the outbox, or not there at all.
pub(in crate::config) fn effective(mode: Mode, s: &Settings) -> Delivery {
    match (s.mail.delivery, &s.mail.host, mode) {
        (Delivery::Auto, Some(_), _) => Delivery::Smtp,
        (Delivery::Auto, None, Mode::Development) => Delivery::Outbox,
        (Delivery::Auto, None, Mode::Production) => Delivery::Off,
        (chosen, ..) => chosen,
    }
}

pub(super) fn check(mode: Mode, s: &Settings, refuse: &mut impl FnMut(&str, String)) {
    let mail = &s.mail;
    let delivery = effective(mode, s);
    if delivery == Delivery::Outbox && mode == Mode::Production {
        let message = "the outbox has every link readable, and is for development: set mail.host, or write \"off\"";
        refuse("mail.delivery", message.into());
    }
    if delivery == Delivery::Smtp {
        smtp(s, refuse);
    }
    if delivery == Delivery::Off {
        for (key, needs_mail, way_out) in [
            ("email.verification_required", s.email.verification_required, ""),
            (
                "email.change_enabled",
                s.email.change_enabled && !s.email.change_unverified_at_once,
                ", or email.change_unverified_at_once",
            ),
            ("account.delete_by_mail", s.account.delete_by_mail, ""),
        ] {
            if needs_mail {
                refuse(
                    key,
                    format!("it needs mail, and there is none (mail.delivery): set mail.host and mail.from{way_out}"),
                );
            }
        }
    }
    if mail.per_address == 0 {
        refuse("mail.per_address", "it must be at least 1: no link would ever be sent".into());
    }
    if mail.per_client == 0 {
        refuse("mail.per_client", "it must be at least 1: no link would ever be sent".into());
    }
    if !(Span::from_mins(10)..=Span::from_days(30)).contains(&mail.give_up_after) {
        refuse("mail.give_up_after", "it must be between 10m and 30d".into());
    }
    if !(Span::from_secs(1)..=Span::from_mins(5)).contains(&mail.timeout) {
        refuse("mail.timeout", "it must be between 1s and 5m".into());
    }
    for (key, life) in [
        ("email.verification_expires_in", s.email.verification_expires_in),
        ("password.reset_expires_in", s.password.reset_expires_in),
        ("account.delete_expires_in", s.account.delete_expires_in),
    ] {
        if !(Span::from_secs(1)..=MAX_LINK_LIFE).contains(&life) {
            refuse(key, format!("it must be between 1s and {MAX_LINK_LIFE}"));
        }
    }
}

fn smtp(s: &Settings, refuse: &mut impl FnMut(&str, String)) {
    let mail = &s.mail;
    if mail.from.is_none() {
        refuse("mail.from", "it must be set where mail is sent: no-reply@example.com".into());
    }
    let Some(host) = &mail.host else {
        refuse("mail.host", "it must be set where mail is sent: the name of the SMTP server".into());
        return;
    };
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) {
        refuse("mail.host", format!("'{host}' is no host: write its name alone; the port is mail.port"));
    }
    if mail.security == Security::None && !is_loopback_host(host) {
        let message = format!("{host} is not this machine: without TLS everybody on the way can read the links");
        refuse("mail.security", message);
    }
    if mail.port > u32::from(u16::MAX) {
        refuse("mail.port", "it must be at most 65535".into());
    }
    if mail.password_file.is_some() && mail.username.is_none() {
        refuse("mail.username", "it must be set where mail.password_file is".into());
    }
}

pub(super) fn advice(mode: Mode, s: &Settings) -> Vec<String> {
    let mut advice = vec![];
    if effective(mode, s) == Delivery::Off {
        advice.push("mail.host is not set: nobody can reset a forgotten password".into());
    }
    if s.email.auto_sign_in_after_verification {
        advice
            .push("email.auto_sign_in_after_verification is on: a link scanner that opens a mail is signed in".into());
    }
    advice
}
