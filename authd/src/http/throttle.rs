//! How many requests a client may make: Better Auth's rules on its routes (PROTOCOL section 8), our own on the plain ones.

use common::Span;

use super::{App, Route, client};
use crate::{domain::throttle::WindowRule, door::Head};

/// The rules by the beginning of the path below the mount; the first one that fits counts.
const RULES: &[(&str, WindowRule)] = &[
    ("/sign-in/magic-link", WindowRule::new(5, 60)),
    ("/magic-link/verify", WindowRule::new(5, 60)),
    ("/sign-in/email-otp", WindowRule::new(3, 60)),
    ("/sign-in", WindowRule::new(3, 10)),
    ("/sign-up", WindowRule::new(3, 10)),
    ("/change-password", WindowRule::new(3, 10)),
    ("/change-email", WindowRule::new(3, 10)),
    ("/request-password-reset", WindowRule::new(3, 60)),
    ("/send-verification-email", WindowRule::new(3, 60)),
    ("/forget-password", WindowRule::new(3, 60)),
    ("/email-otp", WindowRule::new(3, 60)),
    ("/two-factor", WindowRule::new(3, 10)),
    ("/device", WindowRule::new(5, 1800)),
];

/// Of all other paths.
const DEFAULT: WindowRule = WindowRule::new(100, 10);

/// The plain endpoints. More than Better Auth allows, because an office has one address, and guesses at passwords are
/// counted by account besides.
const PLAIN: &[(&str, WindowRule)] = &[
    ("/login", WindowRule::new(20, 10)),
    ("/signup", WindowRule::new(10, 10)),
    ("/refresh", WindowRule::new(300, 10)),
    ("/logout", WindowRule::new(100, 10)),
    ("/me", WindowRule::new(300, 10)),
];

/// Public, small, cached by everybody who heeds its headers, and the last thing that may fail.
const FREE: &str = "/jwks";

fn below_mount<'a>(app: &App, path: &'a str) -> Option<&'a str> {
    let rest = |mount: &crate::config::Mount| path.strip_prefix(mount.prefix()).filter(|rest| rest.starts_with('/'));
    // `/api/auth/login` is below `/api` too: the longest mount counts.
    app.settings.mounts.iter().filter_map(rest).min_by_key(|rest| rest.len())
}

/// Whether the route is one of the plain endpoints.
pub fn is_plain(route: &Route) -> bool {
    PLAIN.iter().any(|(name, _)| route.path == *name)
}

/// Counts the request.
///
/// # Errors
/// How long to wait.
pub fn check(app: &App, head: &Head, is_route: bool) -> Result<(), Span> {
    if !app.settings.throttle_requests {
        return Ok(());
    }
    let Some(path) = below_mount(app, head.path()).filter(|path| *path != FREE) else { return Ok(()) };
    let plain = PLAIN.iter().find(|(name, _)| path == *name);
    let recorded = RULES.iter().find(|(beginning, _)| path.starts_with(beginning));
    let (beginning, rule) = plain.or(recorded).copied().unwrap_or(("", DEFAULT));
    // Paths that are none share the count of their rule: a client that makes them up would make up counters otherwise.
    let path = if is_route { path } else { beginning };
    app.services.throttles.request(client::address(app, head), path, rule, app.services.clock.now())
}
