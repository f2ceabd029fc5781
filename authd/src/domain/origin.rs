//! Which web origins are trusted, by the rules of Better Auth's `trustedOrigins` (PROTOCOL section 7).

use std::{fmt, net::IpAddr, str::FromStr};

use url::Url;

/// One entry of `http.trusted_origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    text: String,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// `https://app.example.com`: equal to the origin.
    Exact,
    /// `*.example.com`, `localhost:*`: matched against host and port, whatever the scheme.
    Host { only_ipv4: bool },
    /// `https://*.example.com`: matched against the whole origin.
    Origin { only_ipv4: bool },
    /// `myapp://` or `exp://192.168.1.2/--/`: a scheme of an app; perhaps an authority, perhaps a path prefix.
    Scheme { scheme: String, authority: String, path: String },
}

impl FromStr for OriginPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let refuse = |why: &str| Err(format!("'{text}' is no origin: {why}"));
        if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return refuse("write one such as https://app.example.com");
        }
        let web = text.starts_with("http://") || text.starts_with("https://");
        let wild = text.contains(['*', '?']);
        match text.split_once("://") {
            Some((scheme, rest)) if !web => {
                if wild || scheme.is_empty() {
                    return refuse("wildcards go with http, https or a bare host");
                }
                let scheme = scheme.to_ascii_lowercase();
                if NO_APPS.contains(&scheme.as_str()) {
                    return refuse("that is no scheme of an app: any page can make such a URL");
                }
                if !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
                    return refuse("a scheme has letters, digits, +, - and . only");
                }
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let form = Form::Scheme { scheme, authority: authority.into(), path: path.into() };
                Ok(Self { text: text.into(), form })
            }
            Some((_, rest)) if wild => {
                let rest = rest.strip_suffix('/').unwrap_or(rest);
                if rest.contains('/') {
                    return refuse("an origin has no path");
                }
                if let Err(why) = check_wild(rest) {
                    return refuse(why);
                }
                let form = Form::Origin { only_ipv4: is_of_addresses(rest) };
                Ok(Self { text: text.strip_suffix('/').unwrap_or(text).into(), form })
            }
            Some(_) => {
                let url = Url::parse(text).map_err(|_| format!("'{text}' is no origin: it is no URL"))?;
                if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty()
                {
                    return refuse("an origin is scheme, host and port, nothing more");
                }
                Ok(Self { text: url.origin().ascii_serialization(), form: Form::Exact })
            }
            None if wild && !text.contains('/') => {
                if let Err(why) = check_wild(text) {
                    return refuse(why);
                }
                let form = Form::Host { only_ipv4: is_of_addresses(text) };
                Ok(Self { text: text.to_ascii_lowercase(), form })
            }
            None => refuse("a scheme is missing: https://app.example.com"),
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Schemes that are no app's: what they name is made by whatever page or file is open, or is a web origin by another name.
const NO_APPS: [&str; 12] = [
    "javascript",
    "data",
    "file",
    "blob",
    "filesystem",
    "vbscript",
    "about",
    "view-source",
    "mailto",
    "ws",
    "wss",
    "ftp",
];

/// Top-level names that nobody can register a host under (RFC 2606, RFC 6761, RFC 6762, and what networks use for themselves).
const PRIVATE: [&str; 8] = ["localhost", "test", "example", "invalid", "local", "internal", "lan", "corp"];

/// The host of a pattern, without its port.
fn host_of(pattern: &str) -> &str {
    match pattern.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit() || matches!(c, '*' | '?')) => host,
        _ => pattern,
    }
}

/// Whether a pattern means addresses and no names: `192.168.*.*` is not `192.168.example.com`.
fn is_of_addresses(pattern: &str) -> bool {
    host_of(pattern).chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '*' | '?'))
}

/// Whether a pattern with wildcards says whose hosts it means, host and port as in an origin.
fn check_wild(pattern: &str) -> Result<(), &'static str> {
    let host = host_of(pattern);
    // A port alone makes no site.
    if !host.chars().any(char::is_alphanumeric) {
        return Err("it would match every host there is");
    }
    let Some(wild) = host.rfind(['*', '?']) else { return Ok(()) };
    if is_of_addresses(host) {
        let network = host.split_once('.').map_or("", |(first, _)| first);
        let is_named = !network.is_empty() && !network.contains(['*', '?']);
        return if is_named { Ok(()) } else { Err("it would match addresses of strangers: write 192.168.*.*") };
    }
    // Behind the last wildcard a dot, and then a name that somebody has for themselves: not `*com`, `*.com`, `*example.com`.
    let domain = host.get(wild + 1..).unwrap_or_default().split_once('.').map_or("", |(_, domain)| domain);
    let domain = domain.to_ascii_lowercase();
    let is_of_one = domain.contains('.') && !domain.starts_with('.') && !is_shared(&domain);
    match is_of_one || PRIVATE.contains(&domain.as_str()) {
        true => Ok(()),
        false => Err("it would match hosts of strangers: write *.example.com"),
    }
}

/// Domains of providers below which their customers have names of their own, at some depth: `name.s3.amazonaws.com`.
const PROVIDERS: [&str; 21] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "awsapps.com",
    "azure.com",
    "azure.net",
    "backblazeb2.com",
    "cdn77.org",
    "digitaloceanspaces.com",
    "fastly.net",
    "gitpod.io",
    "googleapis.com",
    "ibm.com",
    "linodeobjects.com",
    "loca.lt",
    "nip.io",
    "oraclecloud.com",
    "railway.app",
    "sslip.io",
    "vultrobjects.com",
    "windows.net",
];

/// Whether others than one owner have names below a domain: `co.uk`, `github.io`. A part of a name does not help: whoever may
/// have a name there may have `evil-team.vercel.app`.
fn is_shared(domain: &str) -> bool {
    // What is below it counts too: the list has *.kawasaki.jp, whose hosts are suffixes.
    let is_suffix = psl::domain_str(domain).and(psl::domain_str(&format!("any.{domain}"))).is_none();
    is_suffix || PROVIDERS.contains(&domain)
}

fn is_ipv4(url: &Url) -> bool {
    url.host_str().is_some_and(|name| name.parse::<std::net::Ipv4Addr>().is_ok())
}

/// `*` is any run of characters, `?` is one.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, seen)) = star {
            star = Some((at, seen + 1));
            p = at + 1;
            t = seen + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

impl OriginPattern {
    /// Whether an origin (`https://host:port`), or the URL of an app's own scheme, is meant.
    fn matches(&self, url: &Url, origin: &str) -> bool {
        match &self.form {
            Form::Exact => origin == self.text,
            Form::Origin { only_ipv4 } => (!only_ipv4 || is_ipv4(url)) && glob(&self.text, origin),
            Form::Host { only_ipv4 } => {
                let Some((_, host)) = origin.split_once("://") else { return false };
                (!only_ipv4 || is_ipv4(url)) && glob(&self.text, host)
            }
            Form::Scheme { scheme, authority, path } => {
                let rest = url.as_str().get(url.scheme().len()..).and_then(|r| r.strip_prefix("://"));
                let Some(rest) = rest.filter(|_| url.scheme() == scheme) else { return false };
                let (its_authority, its_path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                let prefix = path.strip_suffix('/').unwrap_or(path);
                (authority.is_empty() || authority == its_authority)
                    && its_path
                        .strip_prefix(prefix)
                        .is_some_and(|after| after.is_empty() || after.starts_with(['/', '?', '#']))
            }
        }
    }
}

/// All that is trusted.
#[derive(Debug, Clone, Default)]
pub struct TrustedOrigins {
    /// The service's own origin: always trusted.
    pub own: String,
    /// The configured ones.
    pub patterns: Vec<OriginPattern>,
    /// Whether every loopback origin is trusted (development mode).
    pub loopback: bool,
}

/// Whether a host is this machine by its name or number.
pub fn is_loopback_host(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let (before, last) = host.split_at_checked(host.len().saturating_sub("localhost".len())).unwrap_or_default();
    last.eq_ignore_ascii_case("localhost") && (before.is_empty() || before.ends_with('.'))
        || host.parse::<IpAddr>().is_ok_and(|ip| super::address::canonical(ip).is_loopback())
}

impl TrustedOrigins {
    /// Whether the value of an `Origin` header (or the origin of a `Referer`) is trusted. `null` never is.
    pub fn trusts(&self, origin: &str) -> bool {
        if origin == self.own {
            return true;
        }
        let Ok(url) = Url::parse(origin) else { return false };
        // What a browser sends is the serialisation itself; anything else is not an origin.
        let web = matches!(url.scheme(), "http" | "https");
        let serialised = url.origin().ascii_serialization();
        if web && serialised != origin {
            return false;
        }
        if self.loopback && web && url.host_str().is_some_and(is_loopback_host) {
            return true;
        }
        // `blob:https://…` and `wss://…` have origins that read like those of pages, and are none.
        let may_match = |pattern: &&OriginPattern| web || matches!(pattern.form, Form::Scheme { .. });
        self.patterns.iter().filter(may_match).any(|pattern| pattern.matches(&url, &serialised))
    }

    /// Whether a browser may be sent there after the act: a path on the same site, or a URL of a trusted origin.
    pub fn trusts_target(&self, target: &str) -> bool {
        if target.starts_with('/') {
            return is_safe_path(target);
        }
        // A parser forgives what a reader may not see: white space around, tabs inside, backslashes for slashes.
        if target.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return false;
        }
        let Ok(url) = Url::parse(target) else { return false };
        if !url.username().is_empty() || url.password().is_some() {
            return false;
        }
        if matches!(url.scheme(), "http" | "https") {
            // `https:evil.example` and `https:/evil.example` parse as well.
            let spelt_out = target.get(url.scheme().len()..).is_some_and(|rest| rest.starts_with("://"));
            spelt_out && self.trusts(&url.origin().ascii_serialization())
        } else {
            let app = |p: &&OriginPattern| matches!(p.form, Form::Scheme { .. });
            self.patterns.iter().filter(app).any(|pattern| pattern.matches(&url, ""))
        }
    }
}

/// One leading slash, no backslash, no control character, none of them encoded in the path, and the same origin after
/// resolution by the rules that browsers follow, with a path that still begins with one slash (`/.//evil` would not).
fn is_safe_path(path: &str) -> bool {
    const BASE: &str = "https://base.invalid";
    if path.starts_with("//") || path.contains('\\') || path.chars().any(char::is_control) {
        return false;
    }
    let before_query = path.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    // Encoded: a slash, a backslash, DEL, or a control character (00 to 1F).
    let escape =
        |text: &str| text.starts_with(['0', '1']) || ["2f", "5c", "7f"].iter().any(|bad| text.starts_with(bad));
    if before_query.split('%').skip(1).any(escape) {
        return false;
    }
    Url::parse(BASE)
        .and_then(|base| base.join(path))
        .is_ok_and(|url| url.origin().ascii_serialization() == BASE && !url.path().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(patterns: &[&str]) -> TrustedOrigins {
        TrustedOrigins {
            own: "https://auth.example.com".into(),
            patterns: patterns.iter().map(|p| p.parse().unwrap()).collect(),
            loopback: false,
        }
    }

    #[test]
    fn wb_01_exact_origins_match_exactly() {
        let t = trusted(&["https://app.example.com/", "http://localhost:5173"]);
        for good in ["https://app.example.com", "http://localhost:5173", "https://auth.example.com"] {
            assert!(t.trusts(good), "{good}");
        }
        for bad in [
            "null",
            "",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.example",
            "https://evilapp.example.com",
            "https://app.example.com@evil.example",
            "https://app.example.com/",
            "https://APP.example.com",
            "https://app.example.com.",
            "http://localhost:51730",
            "https://xn--pp-fma.example.com",
            "https://user@app.example.com",
            "app.example.com",
            "https:/app.example.com",
            "file://",
            "javascript:alert(1)",
        ] {
            assert!(!t.trusts(bad), "{bad}");
        }
    }

    #[test]
    fn wildcards_match_as_better_auths() {
        let addresses = ["192.168.*.*", "192.168.*.*:3000", "https://10.1.*.*", "http://10.*:8080"];
        let mut patterns = vec!["*.example.com", "https://*.secure.test", "localhost:*"];
        patterns.extend(addresses);
        let t = trusted(&patterns);
        for good in [
            "https://a.example.com",
            "http://a.b.example.com",
            "https://x.secure.test",
            "http://192.168.1.7",
            "http://192.168.1.7:3000",
            "http://localhost:3000",
            "https://10.1.2.3",
            "http://10.9.9.9:8080",
        ] {
            assert!(t.trusts(good), "{good}");
        }
        for bad in [
            "https://example.com",
            "https://a.example.com.evil.test",
            "https://a.example.com:8443",
            "http://x.secure.test",
            "http://192.168.1.evil.test",
            "http://192.168.evil.test:3000",
            "https://10.1.evil.test",
            "https://10.1.2.evil.test",
            "http://10.evil.test:8080",
            "https://evil.test",
            "http://localhost",
        ] {
            assert!(!t.trusts(bad), "{bad}");
        }
    }

    #[test]
    fn patterns_that_match_everything_or_nothing_are_refused() {
        for bad in [
            "*",
            "*.*",
            "https://*",
            "",
            "app.example.com",
            "https://a.example.com/path",
            "https://*.x.com/p",
            "my*app://",
            "://x",
        ] {
            assert!(bad.parse::<OriginPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn wb_01_a_pattern_names_something_of_the_host() {
        for bad in [
            "*",
            "*.*",
            "?",
            "*:*",
            "*:8443",
            "?:8443",
            "*.:8443",
            "*.*:3000",
            "*:????",
            "https://*",
            "https://*/",
            "https://*:3000",
            "http://*:*",
            "https://*.*:443",
            "https://??",
            "[*]:80",
            "*::*",
        ] {
            assert!(bad.parse::<OriginPattern>().unwrap_err().contains("every host"), "{bad}");
        }
        for good in [
            "https://*.example.com",
            "https://*.example.com:8443",
            "*.example.com:*",
            "localhost:*",
            "192.168.*.*",
            "10.*",
            "*.test",
            "*.localhost:3000",
            "app-*.example.com",
            "*.example.co.uk",
            "*.ada.github.io",
            "*.auth.corp",
        ] {
            assert!(good.parse::<OriginPattern>().is_ok(), "{good}");
        }
        for strangers in [
            "*o*",
            "*e*",
            "*com",
            "*.com",
            "*.com:8443",
            "https://*com",
            "https://*.com",
            "https://*example.com",
            "*example.com:*",
            "example.*",
            "*.example.*",
            "*..com",
            "*1",
            "1*.2.3.4",
            "*.168.1.1",
            "*.co.uk",
            "https://*.co.uk",
            "https://*.CO.UK:8443",
            "*-team.co.uk",
            "*.kawasaki.jp",
            "*.github.io",
            "https://*.vercel.app",
            "*-.vercel.app",
            "https://*-team.vercel.app",
            "*-a.github.io",
            "*.amazonaws.com",
            "https://*.windows.net",
            "*-x.amazonaws.com:443",
        ] {
            assert!(strangers.parse::<OriginPattern>().unwrap_err().contains("of strangers"), "{strangers}");
        }
        let t = trusted(&["https://*.example.com"]);
        assert!(t.trusts("https://a.example.com") && !t.trusts("https://example.com") && !t.trusts("https://a.test"));
    }

    #[test]
    fn apps_have_schemes_of_their_own() {
        let t = trusted(&["myapp://", "exp://192.168.1.2/--"]);
        for good in ["myapp://cb", "myapp://any/path?x=1", "exp://192.168.1.2/--/cb", "exp://192.168.1.2/--"] {
            assert!(t.trusts_target(good), "{good}");
        }
        for bad in
            ["myapp2://cb", "exp://192.168.1.3/--/cb", "exp://192.168.1.2/--evil", "myapp:cb", "javascript:alert(1)"]
        {
            assert!(!t.trusts_target(bad), "{bad}");
        }
        assert!(t.trusts("myapp://"), "Expo sends its scheme as Origin");
    }

    #[test]
    fn wb_01_schemes_of_pages_files_and_scripts_are_no_apps() {
        for bad in
            ["javascript://", "JavaScript://x", "data://", "file://", "blob://", "ws://a.example.com", "my app://"]
        {
            assert!(bad.parse::<OriginPattern>().is_err(), "{bad}");
        }
        let t =
            trusted(&["*.example.com", "https://*.secure.test", "https://app.exact.test", "chrome-extension://abc"]);
        for bad in ["blob:https://app.exact.test/x", "ftp://a.example.com", "ws://a.example.com", "wss://a.example.com"]
        {
            assert!(!t.trusts(bad), "{bad}");
        }
        assert!(t.trusts("chrome-extension://abc") && t.trusts("https://a.example.com"));
    }

    #[test]
    fn rc_04_targets_stay_on_the_site_or_go_to_a_trusted_origin() {
        let t = trusted(&["http://localhost:5173"]);
        for good in [
            "/",
            "/ok",
            "/ok?x=https://a.b/c",
            "/a/b#c",
            "http://localhost:5173",
            "http://localhost:5173/x",
            "https://auth.example.com/x",
        ] {
            assert!(t.trusts_target(good), "{good}");
        }
        for bad in [
            "//evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%09/evil.example",
            "/a%0d%0aset-cookie:x",
            "/a%7F",
            "/\\evil.example",
            "/%2fevil.example",
            "/%5cevil.example",
            "/a\tb",
            "dashboard",
            "https://evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "https:evil.example",
            "http://localhost:5173@evil.example",
            " https://evil.example",
            "https:\\\\evil.example",
            "/\u{0}//evil.example",
            "http://localhost:5173\\@evil.example",
        ] {
            assert!(!t.trusts_target(bad), "{bad}");
        }
    }

    #[test]
    fn development_trusts_this_machine_and_no_other() {
        let t = TrustedOrigins { own: "http://localhost:8000".into(), patterns: vec![], loopback: true };
        for good in [
            "http://localhost:5173",
            "http://127.0.0.1:3000",
            "http://[::1]:80",
            "https://app.localhost",
            "http://127.9.9.9",
        ] {
            assert_eq!(t.trusts(good), good != "http://[::1]:80", "{good}");
        }
        for bad in ["http://localhost.evil.example", "http://192.168.1.2", "http://evil.example", "http://0.0.0.0"] {
            assert!(!t.trusts(bad), "{bad}");
        }
    }
}
