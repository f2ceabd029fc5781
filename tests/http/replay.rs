//! The recorded exchanges of the real server, sent again to ours: status, body, and the headers that clients act upon. What
//! differs must be in the list of differences with its reason, and what is in the list must differ.

mod lists;

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use common::Span;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tests::{Client, Server, shared};

use self::lists::{
    BELONGS, DIFFERENCES, FILES, LATER, NOT_COMPARED, NOT_REPLAYED, OPERATED, ROUTES, SIGNED_IN_BEFORE, UNSET,
    configuration,
};

/// The secret of the recorded server.
const SECRET: &[u8] = b"transcript-secret-7Qw2Zx9Lk4Vb8Nn1Rt6Yp3Hs5Df0Gj";

async fn server(file: &str, option: &str, text: &str) -> Server {
    let url = if matches!(option, "https base URL" | "crossSubDomainCookies") {
        "https://auth.example.com"
    } else {
        "http://localhost:8000"
    };
    let has_mail = matches!(file, "user" | "password" | "email-verification") && !option.ends_with("not configured");
    let delivery = if has_mail { "smtp" } else { "off" };
    // A change of the password ends sessions only if it says so, and users may delete themselves, as in the recording.
    let extra = match text {
        // As recorded in these files.
        "" if option.is_empty() && matches!(file, "bearer" | "jwt") => "[bearer]\nenabled = true\n",
        "" if file == "admin" => "[admin_plugin]\nenabled = true\n",
        "" | "large payload" if file.starts_with("cookie-cache") => match file {
            "cookie-cache-compact" => "[cookies]\ncache = \"compact\"\n",
            "cookie-cache-jwt" => "[cookies]\ncache = \"jwt\"\n",
            _ => "[cookies]\ncache = \"jwe\"\n",
        },
        "" if file == "username" => "[username]\nenabled = true\n",
        // As recorded in these.
        "" if file == "email-verification" => "[email]\nverification_required = true\n",
        "" if option.is_empty() && file == "password" => {
            "reset_ends_sessions = false\n[account]\nself_delete = true\npassword_change_ends_sessions = false\n"
        }
        "" if option.is_empty() && file == "user" => {
            "[email]\nchange_enabled = true\n[account]\nself_delete = true\npassword_change_ends_sessions = false\n"
        }
        "" | "https" => "[account]\nself_delete = true\npassword_change_ends_sessions = false\n",
        text => text,
    };
    // The trusted origins of the recording; its passwords were not checked against a list.
    let file = format!(
        "[http]\npublic_url = \"{url}\"\ntrusted_origins = [\"http://localhost:5173\", \"https://*.example.com\", \"*.wild.dev\", \"192.168.*.*\", \"myapp://\"]\n[mail]\ndelivery = \"{delivery}\"\nhost = \"mail.example.com\"\nfrom = \"no-reply@example.com\"\nper_address = 1000\n[password]\nblocklist = false\n{extra}"
    );
    Server::builder().file(&file).start().await
}

struct Replay {
    server: Server,
    client: Client,
    /// Recorded session tokens and ours.
    tokens: BTreeMap<String, String>,
    /// Recorded session tokens and the handles that stand in their place in our bodies.
    handles: BTreeMap<String, String>,
    /// Recorded copies of sessions (the cookie cache) and ours.
    copies: BTreeMap<String, String>,
    /// Recorded ids of users and ours.
    ids: BTreeMap<String, String>,
    /// Recorded tokens of links in mails, their kinds, and ours.
    links: Vec<(String, String, String)>,
}

fn signed_parts(encoded: &str) -> Option<(String, String)> {
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?.into_owned();
    let (value, signature) = decoded.rsplit_once('.')?;
    Some((value.to_owned(), signature.to_owned()))
}

impl Replay {
    /// The recorded cookie as ours would be: a cookie that the recorded server signed is signed by ours, and a token that
    /// we know by another name gets that name. Everything else stays as it is.
    fn cookie(&self, recorded: &str) -> String {
        use authd::{crypto::mac::HmacKey, ports::Mac};
        let theirs = HmacKey::new(SECRET);
        let ours = self.server.services().secrets.cookie.clone();
        let pair = |pair: &str| {
            let Some((name, value)) = pair.split_once('=') else { return pair.to_owned() };
            if let Some(copy) = self.copies.get(value) {
                return format!("{name}={copy}");
            }
            let Some((token, signature)) = signed_parts(value) else { return pair.to_owned() };
            if STANDARD.encode(theirs.mac(&[token.as_bytes()])) != signature {
                return pair.to_owned();
            }
            // The admin plugin keeps a token with a mark behind it.
            let (bare, mark) =
                token.split_once(':').map_or((token.as_str(), ""), |(bare, _)| (bare, &token[bare.len()..]));
            let token = self.tokens.get(bare).map_or(token.clone(), |known| format!("{known}{mark}"));
            let signature = STANDARD.encode(ours.mac(&[token.as_bytes()]));
            let encoded = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
            format!("{name}={}.{encoded}", token.replace(':', "%3A"))
        };
        recorded.split("; ").map(pair).collect::<Vec<_>>().join("; ")
    }

    /// The recorded `Authorization` header as ours would be.
    fn authorization(&self, recorded: &str) -> String {
        let (scheme, token) = recorded.split_once(' ').unwrap_or((recorded, ""));
        let (spaces, token) = token.split_at(token.len() - token.trim_start().len());
        let ours = match (token.contains('.'), token.contains('%')) {
            (false, _) => self.tokens.get(token).cloned().unwrap_or_else(|| token.to_owned()),
            (true, is_encoded) => {
                let encoded = self.cookie(&format!("x={token}")).split_off(2);
                let decoded = || percent_decode_str(&encoded).decode_utf8().unwrap().into_owned();
                if is_encoded { encoded } else { decoded() }
            }
        };
        format!("{scheme} {spaces}{ours}")
    }

    /// Opens a session of ours for the one that the recorded cookie stands for.
    async fn sign_in_for(&mut self, entry: &Value) {
        let cookies = entry["request"]["headers"]["cookie"].as_str().unwrap_or_default();
        let mut values = cookies.split("; ").filter_map(|pair| pair.split_once('='));
        let Some((theirs, _)) = values.find_map(|(_, value)| signed_parts(value)) else { return };
        if self.tokens.contains_key(&theirs) {
            return;
        }
        let account = json!({"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"});
        let client = self.client.clone().host("localhost:8000");
        let mut opened = client.post("/api/auth/sign-in/email", &account).await;
        if opened.status == 401 {
            opened = client.post("/api/auth/sign-up/email", &account).await;
        }
        let cookie = opened.cookies().remove(0);
        let value = cookie.split(';').next().and_then(|pair| pair.split_once('=')).unwrap().1;
        self.tokens.insert(theirs.clone(), signed_parts(value).unwrap().0);
        self.handles.insert(theirs, opened.text("/token"));
    }

    /// Sends one exchange again. What differs, in words.
    async fn exchange(&mut self, entry: &Value) -> Vec<String> {
        let request = &entry["request"];
        let mut client = self.client.clone();
        let mut content_type = None;
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            match name.as_str() {
                "host" => client = client.host(value),
                "content-type" => content_type = Some(value.to_owned()),
                "cookie" => client = client.header(name, &self.cookie(value)),
                "authorization" => client = client.header(name, &self.authorization(value)),
                // The daemon of this replay stands behind no proxy.
                "x-forwarded-for" => {}
                _ => client = client.header(name, value),
            }
        }
        let mut body = match &request["body"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut path = request["path"].as_str().unwrap_or_default().to_owned();
        for (theirs, ours) in self.handles.iter().chain(&self.ids) {
            body = body.replace(theirs, ours);
            path = path.replace(theirs, ours);
        }
        let method = request["method"].as_str().unwrap_or_default().parse().unwrap();
        for (theirs, _, ours) in &self.links {
            (body, path) = (body.replace(theirs, ours), path.replace(theirs, ours));
        }
        let answer = client.send(method, &path, content_type.as_deref(), body.into()).await;

        let recorded = &entry["response"];
        let mut differences = vec![];
        self.compare_mails(entry, &mut differences).await;
        if Some(u64::from(answer.status)) != recorded["status"].as_u64() {
            differences.push(format!("status {} instead of {}", answer.status, recorded["status"]));
        }
        let ours: Value = serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body.clone()));
        compare("body", &recorded["body"], &ours, &mut differences);
        if let (Some(theirs), Some(ours)) = (recorded["body"].pointer("/user/id"), ours.pointer("/user/id"))
            && let (Some(theirs), Some(ours)) = (theirs.as_str(), ours.as_str())
        {
            self.ids.insert(theirs.to_owned(), ours.to_owned());
        }
        for at in ["/token", "/session/token"] {
            if let (Some(theirs), Some(ours)) = (recorded["body"].pointer(at), ours.pointer(at))
                && let (Some(theirs), Some(ours)) = (theirs.as_str(), ours.as_str())
            {
                self.handles.insert(theirs.to_owned(), ours.to_owned());
            }
        }
        for name in ["content-type", "location", "pragma"] {
            let theirs = recorded["headers"][name].as_str().unwrap_or_default();
            let theirs = self.links.iter().fold(theirs.to_owned(), |text, (a, _, b)| text.replace(a, b));
            if answer.header(name) != theirs {
                differences.push(format!("{name}: '{}' instead of '{theirs}'", answer.header(name)));
            }
        }
        if recorded["headers"]["cache-control"].as_str().is_some_and(|theirs| answer.header("cache-control") != theirs)
        {
            differences.push("cache-control differs".into());
        }
        // The mark of a known device is ours besides, and comes last: clients keep it as any cookie, and never read it (TH-02).
        let mut cookies = answer.cookies();
        if cookies.last().is_some_and(|line| line.split('=').next().unwrap_or_default().ends_with("authd.device")) {
            cookies.pop();
        }
        self.compare_cookies(recorded, &cookies, &mut differences);
        // The signed token of the cookie, decoded.
        let token = recorded["headers"]["set-auth-token"].as_str().and_then(signed_parts);
        let (theirs, ours) = (token.map(|(token, _)| token), signed_parts(answer.header("set-auth-token")));
        if theirs.and_then(|theirs| self.tokens.get(&theirs)) != ours.as_ref().map(|(token, _)| token) {
            differences.push(format!("set-auth-token: {ours:?}"));
        }
        differences
    }

    /// The mails with links that were sent, to whom and with which link but for its token. The recording goes on with links of
    /// which ours has made a newer one since, and that voids the older (RC-01): so the newest of each kind counts.
    async fn compare_mails(&mut self, entry: &Value, differences: &mut Vec<String>) {
        let recorded = entry["sent"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ours = self.server.mails().await;
        let ours: Vec<_> =
            ours.iter().filter_map(|letter| Some((&letter.to, letter.link.as_ref()?.expose()))).collect();
        if ours.len() != recorded.len() {
            differences.push(format!("{} mails instead of {}", ours.len(), recorded.len()));
            return;
        }
        for (theirs, (to, link)) in recorded.iter().zip(ours) {
            let text = |name: &str| theirs[name].as_str().unwrap_or_default().to_owned();
            let (kind, token, url) = (text("kind"), text("token"), text("url"));
            let before = url.split(&token).next().unwrap_or_default();
            let mine: String =
                link.get(before.len()..).unwrap_or_default().chars().take_while(char::is_ascii_alphanumeric).collect();
            if (text("to").as_str(), url.replace(&token, &mine).as_str()) != (to.as_str(), link) {
                differences.push(format!("a mail to {to}: {link}"));
            }
            self.links.iter_mut().filter(|(_, of, _)| *of == kind).for_each(|(.., newest)| newest.clone_from(&mine));
            self.links.push((token, kind, mine));
        }
    }

    fn compare_cookies(&mut self, recorded: &Value, ours: &[String], differences: &mut Vec<String>) {
        let theirs: Vec<&str> =
            recorded["headers"]["set-cookie"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let shape = |line: &str| {
            let (pair, attributes) = line.split_once("; ").unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = match signed_parts(value) {
                Some((value, _)) if value == "true" => "true, signed",
                Some((value, _)) if value.contains(':') => "a token and more, signed",
                Some(_) => "a token, signed",
                None if value.is_empty() => "nothing",
                None => "something",
            };
            // A copy is believed for a minute at most (SE-08).
            let attributes = match name.contains("session_data") {
                true => attributes.replace("Max-Age=60;", "Max-Age=300;"),
                false => attributes.to_owned(),
            };
            format!("{name}=<{value}>; {attributes}")
        };
        let (a, b): (Vec<String>, Vec<String>) =
            (theirs.iter().map(|l| shape(l)).collect(), ours.iter().map(|l| shape(l)).collect());
        // Where the copy is configured, the real server deletes it twice, which is once.
        let (mut a, mut b) = (a, b);
        a.dedup();
        b.dedup();
        if a != b {
            differences.push(format!("set-cookie: {b:#?} instead of {a:#?}"));
        }
        for (theirs, ours) in theirs.iter().zip(ours) {
            let token = |line: &str| {
                let value = line.split(';').next().and_then(|pair| pair.split_once('=')).map(|(_, value)| value)?;
                signed_parts(value).map(|(token, _)| token)
            };
            if let (Some(theirs), Some(ours)) = (token(theirs), token(ours)) {
                self.tokens.insert(theirs, ours);
            }
            let copy = |line: &str| {
                let (name, value) = line.split(';').next()?.split_once('=')?;
                (name.contains("session_data") && !value.is_empty()).then(|| value.to_owned())
            };
            if let (Some(theirs), Some(ours)) = (copy(theirs), copy(ours)) {
                self.copies.insert(theirs, ours);
            }
        }
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T' && text.as_bytes()[19] == b'.'
}

/// The recorded value and ours, but for what is different in every run: ids, tokens, times. The recorded server kept its
/// data in memory, so a field that was never set is absent there and `null` here.
fn compare(at: &str, theirs: &Value, ours: &Value, differences: &mut Vec<String>) {
    let last = at.rsplit('.').next().unwrap_or_default();
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                match b.get(name) {
                    Some(other) => compare(&format!("{at}.{name}"), value, other, differences),
                    None => differences.push(format!("{at}.{name} is missing")),
                }
            }
            for (name, value) in b {
                let unset = UNSET.contains(&name.as_str()) && value.is_null();
                // RFC 7517 §4.2: for those who would take the key for encryption.
                let of_key = name == "use" && value == "sig" && at.starts_with("body.keys.");
                if !a.contains_key(name) && !unset && !of_key {
                    differences.push(format!("{at}.{name} is too much"));
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{at}.{i}"), a, b, differences);
            }
        }
        (Value::String(a), Value::String(b)) if is_date(a) && is_date(b) => {}
        (Value::String(_), Value::String(b))
            if matches!(last, "id" | "userId" | "accountId" | "impersonatedBy" | "token") && !b.is_empty() => {}
        // Every server has keys of its own, of the same size.
        (Value::String(a), Value::String(b)) if at.starts_with("body.keys.") && matches!(last, "x" | "y" | "n") => {
            if a.len() != b.len() {
                differences.push(format!("{at}: another size"));
            }
        }
        (Value::String(_), Value::String(b)) if at.starts_with("body.keys.") && last == "kid" && !b.is_empty() => {}
        // The real server knows the address from a proxy only; ours from the connection too.
        (Value::String(_), Value::String(_)) if matches!(last, "ipAddress" | "userAgent") => {}
        (a, b) if a == b => {}
        (a, b) => differences.push(format!("{at}: {b} instead of {a}")),
    }
}

/// Whether a file is the one, or one of the three of the cookie cache, in which the same was recorded.
fn is_of(file: &str, listed: &str) -> bool {
    file == listed || listed == "cookie-cache" && file.starts_with(listed)
}

fn option_of(name: &str) -> &str {
    name.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(option, _)| option)
}

#[derive(Default)]
struct Count {
    same: usize,
    listed: usize,
    later: usize,
}

#[allow(clippy::print_stderr)]
async fn replay(file: &str, entries: &[Value], count: &mut Count) -> Vec<String> {
    let mut problems = vec![];
    let mut running: BTreeMap<&str, Replay> = BTreeMap::new();
    for entry in entries {
        let name = entry["name"].as_str().unwrap_or_default();
        let path = entry["request"]["path"].as_str().unwrap_or_default().split('?').next().unwrap_or_default();
        let route = path.strip_prefix("/api/auth").unwrap_or(path);
        let unknown_on_purpose = entry["response"]["status"] == 404 && entry["response"]["body"] == "";
        let belongs = BELONGS.iter().find(|(f, part, _)| *f == file && name.contains(part));
        let option = belongs.map_or_else(|| option_of(name), |(.., option)| option);
        let Some(text) = configuration(option) else {
            count.later += 1;
            continue;
        };
        let is_reset_link = route.starts_with("/reset-password/");
        if !ROUTES.contains(&route) && !is_reset_link && !unknown_on_purpose {
            count.later += 1;
            continue;
        }
        if NOT_REPLAYED.iter().any(|(f, part, _)| *f == file && name.contains(part)) {
            count.later += 1;
            continue;
        }
        if !running.contains_key(option) {
            let server = server(file, option, text).await;
            let client = server.client();
            let (tokens, handles, copies, ids, links) = Default::default();
            running.insert(option, Replay { server, client, tokens, handles, copies, ids, links });
        }
        let Some(replay) = running.get_mut(option) else { continue };
        if let Some((_, _, hours)) = LATER.iter().find(|(f, part, _)| *f == file && name.contains(part)) {
            replay.server.clock.advance(Span::from_hours(*hours));
        }
        if SIGNED_IN_BEFORE.iter().any(|(f, part)| *f == file && name.contains(part)) {
            replay.sign_in_for(entry).await;
        }
        if let Some((_, _, line)) = OPERATED.iter().find(|(f, n, _)| is_of(file, f) && *n == name) {
            tests::ctl::ctl(&replay.server.socket).run(line).await.ok();
        }
        let mut differences = replay.exchange(entry).await;
        differences.retain(|difference| {
            !NOT_COMPARED.iter().any(|(f, field, _)| *f == file && difference.starts_with(&format!("{field}:")))
        });
        let listed = DIFFERENCES.iter().find(|(f, n, _)| is_of(file, f) && *n == name);
        match (differences.is_empty(), listed) {
            (true, None) => count.same += 1,
            (false, Some(_)) => count.listed += 1,
            (true, Some(_)) => problems.push(format!("{file}: '{name}' is listed as different and is not")),
            (false, None) => problems.push(format!("{file}: '{name}': {}", differences.join("; "))),
        }
    }
    problems
}

#[tokio::test]
#[allow(clippy::print_stderr)]
async fn the_recorded_exchanges_are_answered_alike() {
    if shared::path("better-auth/transcripts").is_none() {
        return;
    }
    let mut problems = vec![];
    for (file, least) in FILES {
        let Some(Value::Array(entries)) = shared::json(&format!("better-auth/transcripts/{file}.json")) else {
            panic!("{file}.json is missing among the recordings");
        };
        let mut count = Count::default();
        problems.extend(replay(file, &entries, &mut count).await);
        let Count { same, listed, later } = count;
        if same < *least {
            problems.push(format!("{file}: {same} exchanges are answered alike, and {least} should be"));
        }
        eprintln!(
            "{file:<18} {:>3} recorded, {same:>3} alike, {listed} different with a reason, {later} for later",
            entries.len()
        );
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// A checker counts only after it was seen to catch a fault: here in what the recording is said to be.
#[tokio::test]
async fn a_seeded_difference_is_found() {
    let recorded =
        |file: &str| Some(shared::json(&format!("better-auth/transcripts/{file}.json"))?.as_array()?.clone());
    let (Some(sign_up), Some(jwt)) = (recorded("sign-up"), recorded("jwt")) else { return };
    for (pointer, wrong) in [
        ("/response/body/keys/0/alg", Value::from("ES256")),
        ("/response/body/keys/0/x", Value::from("short")),
        ("/response/body/keys/0/kty", Value::Null),
    ] {
        let mut seeded = jwt[..1].to_vec();
        *seeded[0].pointer_mut(pointer).unwrap() = wrong;
        assert_eq!(replay("jwt", &seeded, &mut Count::default()).await.len(), 1, "{pointer}");
    }
    for (pointer, wrong) in [
        ("/response/status", Value::from(201)),
        ("/response/body/user/email", Value::from("eve@example.com")),
        ("/response/headers/content-type", Value::from("text/plain")),
        ("/response/headers/set-cookie/0", Value::from("better-auth.session_token=x.y; Path=/")),
    ] {
        let mut seeded = sign_up[..1].to_vec();
        *seeded[0].pointer_mut(pointer).unwrap() = wrong;
        let found = replay("sign-up", &seeded, &mut Count::default()).await;
        assert_eq!(found.len(), 1, "{pointer}");
    }
}

#[test]
fn cookies_are_signed_as_the_real_server_signs_them() {
    use authd::{crypto::mac::HmacKey, http::Cookies};
    let Some(vectors) = shared::json("better-auth/transcripts/vectors.json") else { return };
    let secret = vectors["secret"].as_str().unwrap();
    let mac = std::sync::Arc::new(HmacKey::new(secret.as_bytes()));
    let cookies = Cookies::new(mac, false, Span::from_days(7));
    let vectors = vectors["signedCookie"].as_array().unwrap();
    assert!(vectors.len() >= 4);
    for vector in vectors {
        let cookie = cookies.session(&vector["value"].as_str().unwrap().into(), true).remove(0);
        assert_eq!(cookie, vector["setCookie"].as_str().unwrap());
    }
}

#[tokio::test]
async fn passwords_hashed_by_the_real_server_match() {
    let Some(vectors) = shared::json("better-auth/transcripts/vectors.json") else { return };
    let server = Server::start().await;
    for sample in vectors["password"]["samples"].as_array().unwrap() {
        let (password, hash) = (sample["password"].as_str().unwrap(), sample["hash"].as_str().unwrap());
        let stored = authd::domain::PasswordHash::new(hash);
        let verdict = server.services().hasher.verify(password.into(), Some(stored.clone()), None).await.unwrap();
        assert!(verdict.matches && verdict.outdated, "{password}");
        let wrong = format!("{password}x").as_str().into();
        assert!(!server.services().hasher.verify(wrong, Some(stored), None).await.unwrap().matches);
    }
}
