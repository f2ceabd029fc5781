//! Better Auth's cookies: names, signatures and attributes (PROTOCOL section 5).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use common::{SecretString, Span, UnixTime};
use http::{HeaderValue, header};
use memchr::memmem::Finder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::known_cookies::KnownCookies;
use crate::{
    digest::is_same_secret,
    domain::TokenDigest,
    door::{Head, Reply},
    ports::{Clock, Mac, SessionCopies, Takeover},
    service::{
        device::{self, Device},
        sessions,
    },
};

/// What `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Longer cookie headers are not looked at (browsers send at most 4 KiB a cookie).
const MAX_COOKIE_BYTES: usize = 4096;
/// The longest value of a session's copy in one cookie: with name and attributes it stays below 4096 bytes.
const MAX_COPY_BYTES: usize = 3800;
/// How many signed cookies one request may end.
const MAX_SIGNED: usize = 8;

/// How cookies are named, signed and read.
#[derive(Clone)]
pub struct Cookies {
    mac: Arc<dyn Mac>,
    /// Of the same key.
    known: Arc<KnownCookies>,
    session_token: String,
    session_data: String,
    /// Whether a line may have parts of it: most have none.
    finds_data: Finder<'static>,
    dont_remember: String,
    admin_session: String,
    device: String,
    attributes: String,
    /// As long as there was no domain.
    host_only: Option<String>,
    max_age: Span,
    before: Option<(Takeover, Arc<dyn Clock>)>,
    copies: Option<(Arc<dyn SessionCopies>, Span)>,
}

/// A session token whose signature was good.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The token.
    pub token: SecretString,
    /// The digest under which its session is known.
    pub digest: TokenDigest,
    /// It was signed by the server before, and not by us: at its next use the cookie is signed anew.
    pub is_legacy: bool,
}

/// What was signed.
struct Verified {
    value: SecretString,
    is_legacy: bool,
}

/// An administrator's own session, kept while another user is acted as.
#[derive(Debug, Clone)]
pub struct AdminSession {
    /// Its token.
    pub token: SecretString,
    /// Whether it was to be remembered.
    pub remember: bool,
}

/// What the session cookie of a request says.
#[derive(Debug, Clone)]
pub enum SessionCookie {
    /// There is none, or none with a good signature.
    None,
    /// A session token that we signed. Whether the session lives is another matter.
    Signed(Shown),
}

impl Cookies {
    /// With Better Auth's names, and `Secure` and the `__Secure-` prefix if the service is called by https.
    pub fn new(mac: Arc<dyn Mac>, secure: bool, max_age: Span) -> Self {
        Self::named(mac, "better-auth", None, secure, max_age)
    }

    /// With names that begin so, and for a domain and all hosts below it, if there is one.
    pub fn named(mac: Arc<dyn Mac>, prefix: &str, domain: Option<&str>, secure: bool, max_age: Span) -> Self {
        let name = |name: &str| format!("{}{prefix}.{name}", if secure { "__Secure-" } else { "" });
        let is_secure = secure;
        let secure = if secure { "; Secure" } else { "" };
        let own_host = format!("Path=/; HttpOnly{secure}; SameSite=Lax");
        Self {
            mac,
            known: Arc::default(),
            session_token: name("session_token"),
            finds_data: Finder::new(&name("session_data")).into_owned(),
            session_data: name("session_data"),
            dont_remember: name("dont_remember"),
            admin_session: name("admin_session"),
            device: format!("{}authd.device", if is_secure { "__Secure-" } else { "" }),
            attributes: domain.map_or(own_host.clone(), |domain| format!("Domain={domain}; {own_host}")),
            host_only: domain.map(|_| own_host),
            max_age,
            before: None,
            copies: None,
        }
    }

    /// Lets browsers carry copies of sessions, each good for so long.
    #[must_use]
    pub fn copying(self, copies: Option<(Arc<dyn SessionCopies>, Span)>) -> Self {
        Self { copies, ..self }
    }

    /// Whether browsers carry copies of sessions.
    pub fn has_copies(&self) -> bool {
        self.copies.is_some()
    }

    /// The cookies of a session's copy: in chunks, if it is too large for one. Chunks of an older one that the browser has
    /// are deleted.
    pub fn session_data(&self, content: &str, remember: bool, now: UnixTime, head: &Head) -> Vec<String> {
        let Some((copies, life)) = &self.copies else { return vec![] };
        let Some(copy) = copies.copy(content, now, now.plus(*life)) else { return vec![] };
        let age = if remember { format!("Max-Age={}; ", life.as_secs()) } else { String::new() };
        let name = &self.session_data;
        let chunks: Vec<(String, &str)> = match copy.len() {
            ..=MAX_COPY_BYTES => vec![(name.clone(), copy.as_str())],
            // All of it is ASCII.
            len => (0..len.div_ceil(MAX_COPY_BYTES))
                .map(|n| (format!("{name}.{n}"), &copy[n * MAX_COPY_BYTES..len.min((n + 1) * MAX_COPY_BYTES)]))
                .collect(),
        };
        let is_new = |old: &String| chunks.iter().any(|(name, _)| name == old);
        let old = self.copies_in(head).into_iter().filter(|old| !is_new(old)).map(|old| self.deletion(&old));
        let new = chunks.iter().map(|(name, value)| format!("{name}={value}; {age}{}", self.attributes));
        old.chain(new).collect()
    }

    /// The names of all parts of copies that a browser shows.
    fn copies_in(&self, head: &Head) -> Vec<String> {
        let may_have = |line: &HeaderValue| self.finds_data.find(line.as_bytes()).is_some();
        if !head.headers.get_all(header::COOKIE).iter().any(may_have) {
            return vec![];
        }
        let is_part = |name: &[u8]| {
            name.strip_prefix(self.session_data.as_bytes()).is_some_and(|rest| {
                rest.is_empty()
                    || rest.strip_prefix(b".").is_some_and(|n| n.len() <= 2 && n.iter().all(u8::is_ascii_digit))
            })
        };
        let names = pairs(head).map(|(name, _)| name).filter(|name| is_part(name));
        let mut found: Vec<String> = names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Takes cookies of the server before too, until the clock says that its time is over.
    #[must_use]
    pub fn taking_over(self, before: Option<Takeover>, clock: Arc<dyn Clock>) -> Self {
        Self { before: before.map(|takeover| (takeover, clock)), ..self }
    }

    /// The same for sessions that live so long.
    #[must_use]
    pub fn living(&self, max_age: Span) -> Self {
        Self { max_age, ..self.clone() }
    }

    /// `percent-encode(value + "." + base64(HMAC-SHA-256(value)))`
    fn signed(&self, value: &str) -> String {
        let signature = STANDARD.encode(self.mac.mac(&[value.as_bytes()]));
        utf8_percent_encode(&format!("{value}.{signature}"), COMPONENT).to_string()
    }

    /// The value of a signed cookie, if its signature is good: percent-decoded once, cut at the last dot, a signature of
    /// exactly 44 characters ending in `=`, compared in constant time before anything else is done with it (SE-06).
    fn verified(&self, encoded: &str) -> Option<Verified> {
        let mut decoded = Vec::with_capacity(encoded.len());
        decoded.extend(percent_decode_str(encoded));
        let (value, signature) = std::str::from_utf8(&decoded).ok()?.rsplit_once('.')?;
        if signature.len() != 44 || !signature.ends_with('=') {
            return None;
        }
        let signature = STANDARD.decode(signature).ok()?;
        let is_by = |mac: &dyn Mac| is_same_secret(&mac.mac(&[value.as_bytes()]), &signature);
        let in_time = |(takeover, clock): &&(Takeover, Arc<dyn Clock>)| clock.now() < takeover.until;
        let is_ours = is_by(&*self.mac);
        let is_legacy = !is_ours && self.before.as_ref().filter(in_time).is_some_and(|(before, _)| is_by(&*before.mac));
        (is_ours || is_legacy).then(|| Verified { value: value.into(), is_legacy })
    }

    /// The session token in the value of a signed cookie, if its signature is good, or was found good when it was last shown.
    fn shown(&self, encoded: &str) -> Option<Shown> {
        let place = match self.known.find(encoded) {
            Ok(shown) => return Some(shown),
            Err(place) => place,
        };
        let Verified { value: token, is_legacy } = self.verified(encoded)?;
        let shown = Shown { digest: sessions::digest(token.expose()), token, is_legacy };
        self.known.keep(&place, encoded, &shown);
        Some(shown)
    }

    /// The session token of a bearer token: signed, percent-encoded or not; or, unless the signature is required, the token
    /// alone, which has no dot. Anything else is as good as none (recorded).
    pub fn read_bearer(&self, shown: &str, is_signed: bool) -> Option<Shown> {
        match shown.contains('.') {
            true => self.shown(shown),
            false if is_signed || shown.is_empty() || shown.len() > MAX_COOKIE_BYTES => None,
            false => Some(Shown { token: shown.into(), digest: sessions::digest(shown), is_legacy: false }),
        }
    }

    /// The signed session token that an answer sets as a cookie, as the bearer plugin's header has it: decoded.
    pub fn set_by(&self, reply: &Reply) -> Option<String> {
        let value = |line: &HeaderValue| {
            let pair = line.to_str().ok()?.split(';').next()?;
            let value = pair.strip_prefix(&self.session_token)?.strip_prefix('=').filter(|value| !value.is_empty())?;
            Some(percent_decode_str(value).decode_utf8().ok()?.into_owned())
        };
        reply.values(&header::SET_COOKIE).find_map(value)
    }

    /// Whether an answer sets or deletes cookies of a session.
    pub fn are_of_sessions(&self, reply: &Reply) -> bool {
        let mark = format!("{}=", self.device);
        reply.values(&header::SET_COOKIE).any(|line| !line.as_bytes().starts_with(mark.as_bytes()))
    }

    /// The cookies that stand for a session: with its lifetime, or until the browser closes.
    pub fn session(&self, token: &SecretString, remember: bool) -> Vec<String> {
        let value = self.signed(token.expose());
        let (name, attributes) = (&self.session_token, &self.attributes);
        if remember {
            vec![format!("{name}={value}; Max-Age={}; {attributes}", self.max_age.as_secs())]
        } else {
            let flag = format!("{}={}; {attributes}", self.dont_remember, self.signed("true"));
            vec![format!("{name}={value}; {attributes}"), flag]
        }
    }

    /// Deletes the mark of a session that was not to be remembered, for a browser that has it.
    pub fn forget_dont_remember(&self, head: &Head) -> Option<String> {
        (!values(head, &self.dont_remember).is_empty()).then(|| self.deletion(&self.dont_remember))
    }

    /// Deletes a session's copy, all of its parts, for a browser that has it.
    pub fn forget_session_data(&self, head: &Head) -> Vec<String> {
        self.copies_in(head).iter().map(|name| self.deletion(name)).collect()
    }

    /// Where cookies are for a domain: deletes the one that was set for the host before, for a browser that sends both. Which
    /// of the two counts nobody could say (SE-13).
    pub fn forget_twin(&self, head: &Head) -> Option<String> {
        let attributes = self.host_only.as_ref().filter(|_| values(head, &self.session_token).len() > 1)?;
        Some(format!("{}=; Max-Age=0; {attributes}", self.session_token))
    }

    fn deletion(&self, name: &str) -> String {
        format!("{name}=; Max-Age=0; {}", self.attributes)
    }

    /// Keeps the administrator's own session while another is acted as, and whether it was to be remembered.
    pub fn admin_session(&self, own: &SecretString, remember: bool) -> String {
        let value = self.signed(&format!("{}:{}", own.expose(), if remember { "" } else { "true" }));
        format!("{}={value}; Max-Age={}; {}", self.admin_session, self.max_age.as_secs(), self.attributes)
    }

    /// The session that [`Cookies::admin_session`] kept.
    pub fn read_admin_session(&self, head: &Head) -> Option<AdminSession> {
        let [value] = values(head, &self.admin_session)[..] else { return None };
        let kept = self.verified(value)?.value;
        let (token, is_brief) = kept.expose().rsplit_once(':')?;
        Some(AdminSession { token: token.into(), remember: is_brief != "true" })
    }

    /// Deletes the cookie that [`Cookies::admin_session`] set.
    pub fn delete_admin_session(&self) -> String {
        self.deletion(&self.admin_session)
    }

    /// The same, for a browser that has it.
    pub fn forget_admin_session(&self, head: &Head) -> Option<String> {
        (!values(head, &self.admin_session).is_empty()).then(|| self.delete_admin_session())
    }

    /// Deletes the mark of a session that was not to be remembered, whether the browser has it or not.
    pub fn delete_dont_remember(&self) -> String {
        self.deletion(&self.dont_remember)
    }

    /// Deletes the chunks of a session's copy, for a browser that has any.
    pub fn forget_chunks(&self, head: &Head) -> Vec<String> {
        let mut names = self.copies_in(head);
        names.retain(|name| *name != self.session_data);
        names.iter().map(|name| self.deletion(name)).collect()
    }

    /// Deletes all cookies of a session, whether the browser has them or not.
    pub fn deletions(&self) -> [String; 3] {
        [&self.session_token, &self.session_data, &self.dont_remember].map(|name| self.deletion(name))
    }

    /// The cookie by which the device is known at the next sign-in. It is no session's, and outlives them.
    pub fn device(&self, value: &str) -> String {
        format!("{}={value}; Max-Age={}; {}", self.device, device::LIFE.as_secs(), self.attributes)
    }

    /// What the browser shows of the accounts that signed in with it.
    pub fn read_device(&self, head: &Head) -> Device {
        Device::read(&values(head, &self.device))
    }

    /// Reads the session cookie. A name that stands there with two different values is no session: somebody planted one of
    /// them (SE-13). But where the server before had set it for a whole domain, its cookie stays beside ours: two good
    /// signatures of one token are one session.
    pub fn read(&self, head: &Head) -> SessionCookie {
        let mut found: Option<Shown> = None;
        for value in values(head, &self.session_token) {
            match (self.shown(value), &mut found) {
                (Some(shown), None) => found = Some(shown),
                (Some(shown), Some(first)) if is_same_token(&shown, first) => first.is_legacy &= shown.is_legacy,
                _ => return SessionCookie::None,
            }
        }
        found.map_or(SessionCookie::None, SessionCookie::Signed)
    }

    /// The session tokens of all cookies that we signed, for ending what they stand for: a second cookie that somebody
    /// planted must not keep the first one alive.
    pub fn read_all(&self, head: &Head) -> Vec<SecretString> {
        let signed = values(head, &self.session_token).into_iter().filter_map(|value| self.shown(value));
        signed.take(MAX_SIGNED).map(|shown| shown.token).collect()
    }
}

fn is_same_token(a: &Shown, b: &Shown) -> bool {
    is_same_secret(a.token.expose().as_bytes(), b.token.expose().as_bytes())
}

/// The pairs of a request's cookies by RFC 6265bis §5.8.3 as servers read it: parted by `;`, and at the first `=`. They need not be
/// text: what other cookies of the site look like does not matter.
fn pairs(head: &Head) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.headers.get_all(header::COOKIE).iter().flat_map(|line| {
        let mut left = Some(line.as_bytes());
        std::iter::from_fn(move || {
            loop {
                let rest = left.take()?;
                let end = memchr::memchr(b';', rest);
                left = end.map(|end| &rest[end + 1..]);
                let pair = &rest[..end.unwrap_or(rest.len())];
                if let Some(at) = memchr::memchr(b'=', pair) {
                    return Some((pair[..at].trim_ascii(), &pair[at + 1..]));
                }
            }
        })
    })
}

/// The different values of a cookie, without quotes around them.
fn values<'a>(head: &'a Head, name: &str) -> Vec<&'a str> {
    let mut found: Vec<&str> = vec![];
    for (_, value) in pairs(head).filter(|(other, _)| *other == name.as_bytes()) {
        // Not text, or too long: a value all the same, and none that can be good.
        let value = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        let value = if value.len() > MAX_COOKIE_BYTES { "" } else { value };
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;
    use crate::{crypto::mac::HmacKey, door::Peer};

    fn cookies() -> Cookies {
        Cookies::new(Arc::new(HmacKey::new(b"a secret of at least thirty-two characters")), false, Span::from_days(7))
    }

    fn head(values: &[&[u8]]) -> Head {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::COOKIE, HeaderValue::from_bytes(value).unwrap());
        }
        let peer = Arc::new(Peer::Tcp("127.0.0.1:1".parse().unwrap()));
        Head { method: Method::GET, uri: "/".parse().unwrap(), headers, peer }
    }

    fn read(values: &[&[u8]]) -> Option<String> {
        match cookies().read(&head(values)) {
            SessionCookie::Signed(shown) => Some(shown.token.expose().to_owned()),
            SessionCookie::None => None,
        }
    }

    const TOKEN: &str = "2xk7QmVt0pBzYw9cRs4LdNfGhJ1uAe5K";

    fn pair() -> String {
        let cookie = cookies().session(&TOKEN.into(), true).remove(0);
        cookie.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn se_05_attributes_are_exactly_better_auths() {
        let cookie = cookies().session(&TOKEN.into(), true).remove(0);
        assert!(cookie.starts_with("better-auth.session_token=2xk7"), "{cookie}");
        assert!(cookie.ends_with("%3D; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
        let [brief, flag] = cookies().session(&TOKEN.into(), false).try_into().unwrap();
        assert!(brief.ends_with("%3D; Path=/; HttpOnly; SameSite=Lax"), "{brief}");
        assert!(flag.starts_with("better-auth.dont_remember=true."), "{flag}");
        let secure = Cookies::new(Arc::new(HmacKey::new(b"x")), true, Span::from_days(7));
        let cookie = secure.session(&TOKEN.into(), true).remove(0);
        assert!(cookie.starts_with("__Secure-better-auth.session_token="), "{cookie}");
        assert!(cookie.ends_with("; Max-Age=604800; Path=/; HttpOnly; Secure; SameSite=Lax"), "{cookie}");
        assert_eq!(cookies().deletions()[0], "better-auth.session_token=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn a_signed_cookie_is_read_back_among_others() {
        let pair = pair();
        assert_eq!(read(&[pair.as_bytes()]).as_deref(), Some(TOKEN));
        assert_eq!(read(&[format!("theme=dark; {pair}; x").as_bytes()]).as_deref(), Some(TOKEN));
        assert_eq!(read(&[b"a=b", pair.as_bytes()]).as_deref(), Some(TOKEN));
        let (name, value) = pair.split_once('=').unwrap();
        assert_eq!(read(&[format!("{name}=\"{value}\"").as_bytes()]).as_deref(), Some(TOKEN));
        assert_eq!(read(&[format!("{pair}; {pair}").as_bytes()]).as_deref(), Some(TOKEN), "the same twice is one");
    }

    #[test]
    fn se_06_no_mutation_of_a_good_cookie_is_a_session() {
        let pair = pair();
        let (name, value) = pair.split_once('=').unwrap();
        let mut tried = 0;
        let mut refuse = |value: String| {
            assert_eq!(read(&[format!("{name}={value}").as_bytes()]), None, "{value}");
            tried += 1;
        };
        for i in 0..value.len() {
            for replacement in ["A", "0", ".", "%41", "="] {
                let mutated = format!("{}{replacement}{}", &value[..i], &value[i + 1..]);
                // An escape of the very character that was there means the same.
                if percent_decode_str(&mutated).collect::<Vec<u8>>() != percent_decode_str(value).collect::<Vec<u8>>() {
                    refuse(mutated);
                }
            }
            refuse(value[..i].to_owned());
        }
        for odd in ["", ".", "%", "%ff", "\"", "a.b.c"] {
            refuse(format!("{odd}{value}x"));
            refuse(odd.to_owned());
        }
        assert!(tried >= 400, "{tried}");
        let decoded = percent_decode_str(value).decode_utf8().unwrap().into_owned();
        let twice = utf8_percent_encode(value, COMPONENT).to_string();
        assert_eq!(read(&[format!("{name}={twice}").as_bytes()]), None, "encoded twice");
        assert_eq!(read(&[format!("{name}={decoded}").as_bytes()]).as_deref(), Some(TOKEN), "not encoded at all");
    }

    #[test]
    fn se_13_odd_cookies_are_no_session_and_no_error() {
        let pair = pair();
        let other = "better-auth.session_token=x.y";
        assert_eq!(read(&[format!("{pair}; {other}").as_bytes()]), None);
        assert_eq!(read(&[pair.as_bytes(), other.as_bytes()]), None);
        let long = format!("better-auth.session_token={}", "a".repeat(8192));
        for odd in [long.as_bytes(), b"better-auth.session_token=\xff\xfe", b"=", b";;;", b"better-auth.session_token"]
        {
            assert_eq!(read(&[odd]), None);
        }
    }
    #[test]
    fn se_13_bytes_that_are_no_text_in_other_cookies_do_not_hide_a_good_one() {
        let pair = pair();
        for other in [&b"theme=\xff\xfe"[..], b"\x80=x", b"caf\xc3\xa9=cr\xe8me", b"better-auth.session_token\xff=x"] {
            for cookies in [[other, pair.as_bytes()], [pair.as_bytes(), other]] {
                assert_eq!(read(&[&cookies.join(&b"; "[..])]).as_deref(), Some(TOKEN), "{other:?} in one line");
                assert_eq!(read(&cookies).as_deref(), Some(TOKEN), "{other:?} in another line");
            }
        }
        let same_name = [pair.as_bytes(), b"; better-auth.session_token=\xff"].concat();
        assert_eq!(read(&[&same_name]), None, "of the same name it is a second value");
    }

    #[test]
    fn ht_01_a_cookie_has_4_kib_and_one_request_ends_eight_sessions() {
        let signed =
            |token: &str| cookies().session(&token.into(), true).remove(0).split(';').next().unwrap().to_owned();
        let value = |token: &str| signed(token).split_once('=').unwrap().1.len();
        // The escapes of a signature make some a few bytes longer than others.
        let tokens = || (4000..4096).flat_map(|n| (10..40).map(move |salt| format!("{salt}{}", "t".repeat(n))));
        let of = |length: usize| tokens().find(|token| value(token) == length).unwrap();
        let (fits, too_long) = (of(MAX_COOKIE_BYTES), of(MAX_COOKIE_BYTES + 1));
        assert_eq!(read(&[signed(&fits).as_bytes()]), Some(fits));
        assert_eq!(read(&[signed(&too_long).as_bytes()]), None);
        let many: Vec<String> = (0..20).map(|n| signed(&format!("token{n}"))).collect();
        assert_eq!(cookies().read_all(&head(&[many.join("; ").as_bytes()])).len(), MAX_SIGNED);
    }
}
