//! `authd routes`: which paths are authd's, for people and for what stands in front of it. Made of the route table, so that it
//! is never behind.

use std::fmt::Write;

use crate::{
    app,
    cli::{ProxyKind, Routes},
    config::{Config, Mount},
    exit::{Exit, Failure},
    http::{Plugins, Route, routes::ROUTES},
};

/// What of a mount is authd's.
struct Share<'a> {
    mount: &'a str,
    /// The paths below it, each once; `None`: all of them.
    paths: Option<Vec<&'static str>>,
}

/// What all outputs are made of.
struct Map<'a> {
    upstream: &'a str,
    shares: Vec<Share<'a>>,
    /// Paths that stand under no mount.
    roots: Vec<&'static str>,
}

/// Answers `authd routes`.
///
/// # Errors
/// A path that is to be shared is none of the mounts; an upstream that is no `http://HOST:PORT`.
pub fn show(config: &Config, wanted: &Routes) -> Result<String, Failure> {
    let plugins = app::plugins(config);
    let mounts: Vec<&str> = config.settings.http.mounts.iter().map(Mount::prefix).collect();
    let Some(kind) = wanted.proxy else { return Ok(list(plugins, &mounts)) };
    for path in &wanted.share {
        if !mounts.contains(&path.as_str()) {
            let message = format!("--share {path}: authd serves {}", mounts.join(" and "));
            return Err(Failure::new(Exit::Configuration, message).fix("name one of these, or change http.mounts"));
        }
    }
    let upstream = match &wanted.upstream {
        Some(upstream) => checked(upstream)?,
        None => format!("http://{}", config.settings.http.listen),
    };
    // A mount that others are below is the application's too: /api, where there is /api/auth.
    let has_below =
        |mount: &str| mounts.iter().any(|other| other.strip_prefix(mount).is_some_and(|r| r.starts_with('/')));
    let is_shared = |mount: &str| match wanted.share.is_empty() {
        true => has_below(mount),
        false => wanted.share.iter().any(|shared| shared == mount),
    };
    let below = paths(plugins, true);
    let shares = mounts.iter().map(|mount| Share { mount, paths: is_shared(mount).then(|| below.clone()) }).collect();
    // Health is asked of authd itself, and applications have one of their own.
    let roots = paths(plugins, false).into_iter().filter(|path| path.starts_with("/.well-known/")).collect();
    let map = Map { upstream: &upstream, shares, roots };
    Ok(match kind {
        ProxyKind::Nginx => map.nginx(),
        ProxyKind::Caddy => map.caddy(),
        ProxyKind::Vite => map.vite(),
        ProxyKind::Next => map.next(),
    })
}

fn checked(upstream: &str) -> Result<String, Failure> {
    let authority = upstream.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    match authority {
        Some(authority) if !authority.is_empty() && authority.chars().all(plain) => Ok(format!("http://{authority}")),
        _ => {
            Err(Failure::new(Exit::Configuration, format!("--upstream {upstream} is not of the form http://HOST:PORT")))
        }
    }
}

fn served(plugins: Plugins) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| plugins.serve(route.plugin, false))
}

/// The paths, each once, in the order of the table.
fn paths(plugins: Plugins, mounted: bool) -> Vec<&'static str> {
    let mut paths = vec![];
    for route in served(plugins).filter(|route| route.is_mounted == mounted) {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    paths
}

/// A line for every route.
fn list(plugins: Plugins, mounts: &[&str]) -> String {
    let mut out = String::new();
    for route in served(plugins) {
        let under: &[&str] = if route.is_mounted { mounts } else { &[""] };
        for mount in under {
            let _ = writeln!(out, "{:<4} {mount}{}", route.verb.as_str(), route.path);
        }
    }
    out
}

/// Of parameters `{token}` what `write` makes.
fn with_parameters(path: &str, write: impl Fn(&str) -> String) -> String {
    let segment = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(name) => write(name),
        None => part.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// A text in which nothing stands for anything else, for regular expressions.
fn literal(path: &str) -> String {
    path.replace('.', "\\.")
}

/// The paths as one alternative, without their first slash.
fn pattern(paths: &[&str]) -> String {
    let one = |path: &&str| literal(&with_parameters(path.trim_start_matches('/'), |_| "[^/]+".into()));
    paths.iter().map(one).collect::<Vec<_>>().join("|")
}

impl Map<'_> {
    fn head(mark: &str, place: &str) -> String {
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "{mark} authd {version}, made by authd routes: make it anew after an upgrade, and when plugins go on or off.\n{mark} {place}\n"
        )
    }

    /// Locations for a `server` block.
    fn nginx(&self) -> String {
        let mut out = Self::head("#", "To be included in a server block; all other paths are the application's.");
        let body = format!(
            "    proxy_pass {};\n    proxy_http_version 1.1;\n    proxy_set_header Connection \"\";\n    proxy_set_header Host $http_host;\n    \
             # What clients say of themselves is dropped here.\n    proxy_set_header X-Forwarded-For $remote_addr;\n    proxy_set_header Forwarded \"\";\n",
            self.upstream
        );
        for Share { mount, paths } in &self.shares {
            let place = match paths {
                None => format!("^~ {mount}/"),
                Some(paths) => format!("~ \"^{}/(?:{})$\"", literal(mount), pattern(paths)),
            };
            let _ = write!(out, "location {place} {{\n{body}}}\n");
        }
        for root in &self.roots {
            let _ = write!(out, "location = {root} {{\n{body}}}\n");
        }
        out
    }

    /// A matcher and a `handle` for a site.
    fn caddy(&self) -> String {
        let place = "To be imported in a site, before the application's own handle { … }; all other paths are the application's.";
        let mut out = Self::head("#", place);
        out += "@authd {\n\tpath_regexp ^(?:";
        let mut parts = vec![];
        for Share { mount, paths } in &self.shares {
            parts.push(match paths {
                None => format!("{}/.*", literal(mount)),
                Some(paths) => format!("{}/(?:{})", literal(mount), pattern(paths)),
            });
        }
        parts.extend(self.roots.iter().map(|root| literal(root)));
        out += &parts.join("|");
        let upstream = self.upstream.trim_start_matches("http://");
        let _ = write!(
            out,
            ")$\n}}\nhandle @authd {{\n\treverse_proxy {upstream} {{\n\t\theader_up -Forwarded\n\t}}\n}}\n"
        );
        out
    }

    /// For `server.proxy` of Vite. Its keys that begin with `^` are looked for in the path with its query.
    fn vite(&self) -> String {
        let place = "In vite.config.js: import { authd } from './authd.proxy.js', and server: { proxy: { ...authd, '/api': … } }.";
        let mut out = Self::head("//", place);
        out += "export const authd = {\n";
        let mut keys = vec![];
        for Share { mount, paths } in &self.shares {
            keys.push(match paths {
                None => format!("^{}/", literal(mount)),
                Some(paths) => format!("^{}/(?:{})(?:[?]|$)", literal(mount), pattern(paths)),
            });
        }
        keys.extend(self.roots.iter().map(|root| format!("^{}(?:[?]|$)", literal(root))));
        for key in keys {
            let _ = writeln!(out, "  {}: {{ target: '{}', changeOrigin: false }},", quoted(&key), self.upstream);
        }
        out + "};\n"
    }

    /// For `rewrites` of Next.
    fn next(&self) -> String {
        let place = "In next.config.mjs: import { authd } from './authd.rewrites.mjs', and rewrites: async () => ({ beforeFiles: authd }). \
                     Next says whom it speaks for, so authd needs http.trusted_proxies = [\"127.0.0.1\", \"::1\"].";
        let mut out = Self::head("//", place);
        out += "export const authd = [\n";
        let mut sources = vec![];
        for Share { mount, paths } in &self.shares {
            match paths {
                None => sources.push(format!("{mount}/:path*")),
                Some(paths) => {
                    sources.extend(
                        paths.iter().map(|path| mount.to_string() + &with_parameters(path, |name| format!(":{name}"))),
                    );
                }
            }
        }
        sources.extend(self.roots.iter().map(|root| (*root).to_owned()));
        for source in sources {
            let _ = writeln!(out, "  {{ source: '{source}', destination: '{}{source}' }},", self.upstream);
        }
        out + "];\n"
    }
}

/// A text in JavaScript.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, load};
    use crate::http::Plugin;

    fn shown(file: &str, wanted: &Routes) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authd.toml");
        std::fs::write(&path, file).unwrap();
        show(&load(&Flags { config: Some(path), ..Flags::default() }, &[]).unwrap(), wanted).unwrap()
    }

    fn of(proxy: ProxyKind) -> Routes {
        Routes { proxy: Some(proxy), upstream: None, share: vec![] }
    }

    #[test]
    fn every_route_that_is_served_is_named_and_none_of_a_plugin_that_is_off() {
        let all = "[admin_plugin]\nenabled = true\n[username]\nenabled = true\n";
        // What is served in development mode only has no proxy in front.
        for route in ROUTES.iter().filter(|route| route.plugin != Plugin::Development) {
            let bare = route.path.split("/{").next().unwrap().trim_start_matches('/').replace('.', "\\.");
            let nginx = shown(all, &of(ProxyKind::Nginx)).replace("location = /.well", "location = /\\.well");
            let is_there = nginx.contains(&bare) || nginx.contains(&bare.replace('\\', ""));
            assert_eq!(is_there, !matches!(route.path, "/healthz" | "/readyz"), "{}", route.path);
            let listed = shown(all, &Routes { proxy: None, upstream: None, share: vec![] });
            assert!(listed.lines().any(|line| line.ends_with(route.path)), "{}", route.path);
        }
        for kind in [ProxyKind::Nginx, ProxyKind::Caddy, ProxyKind::Vite, ProxyKind::Next] {
            assert!(shown(all, &of(kind)).contains("ban-user"), "{kind:?}");
            assert!(!shown("", &of(kind)).contains("ban-user"), "{kind:?}");
        }
    }

    #[test]
    fn a_mount_is_shared_where_others_are_below_it_or_where_it_is_named() {
        let nginx = |file: &str, share: &[&str]| {
            let share = share.iter().map(|&path| path.to_owned()).collect();
            shown(file, &Routes { share, ..of(ProxyKind::Nginx) })
        };
        let usual = nginx("", &[]);
        assert!(usual.contains("location ^~ /api/auth/ {") && usual.contains("location ~ \"^/api/(?:"), "{usual}");
        assert!(!usual.contains("location ^~ /api/ "), "{usual}");
        let own = nginx("[http]\nmounts = [\"/api\"]\n", &[]);
        assert!(own.contains("location ^~ /api/ {") && !own.contains("(?:"), "{own}");
        let named = nginx("[http]\nmounts = [\"/api\"]\n", &["/api"]);
        assert!(!named.contains("location ^~") && named.contains("location ~ \"^/api/(?:"), "{named}");
    }

    #[test]
    fn what_could_end_a_line_of_a_configuration_is_no_upstream() {
        for bad in [
            "https://a",
            "http://",
            "http://a b",
            "http://a;",
            "http://a/x",
            "http://a\n",
            "127.0.0.1:8000",
            "http://a'",
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
        assert_eq!(checked("http://[::1]:8000/").unwrap(), "http://[::1]:8000");
    }
}
