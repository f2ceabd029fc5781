//! An application on this machine that is called by hooks and events, and does as it is told.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// What it does with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Answers this status and body.
    Says(u16, String),
    /// Leads elsewhere.
    Redirects(String),
    /// Answers a body of so many bytes.
    Talks(usize),
    /// Answers the head and the first byte of the body, and no more.
    Drips,
    /// Reads the call, and says nothing.
    Silent,
    /// Hangs up.
    HangsUp,
    /// Answers what is no HTTP.
    Babbles,
}

impl Manner {
    /// Allows everything.
    pub fn allows() -> Self {
        Self::Says(200, r#"{"allow":true}"#.into())
    }
}

/// A call as it came.
#[derive(Debug, Clone)]
pub struct Called {
    /// The target of the request.
    pub path: String,
    /// By lower-case name.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub text: String,
    /// The same, read.
    pub body: Value,
}

impl Called {
    /// A header; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

#[derive(Default)]
struct State {
    manner: Option<Manner>,
    next: VecDeque<Manner>,
    /// What is done with a call whose body contains this, before everything else.
    about: Vec<(String, Manner)>,
    called: Vec<Called>,
    held: Vec<Box<dyn Send>>,
    gate: Option<Arc<Gate>>,
}

#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opens: Condvar,
}

/// While there is one, the application thinks.
pub struct Held(Arc<Gate>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.opens.notify_all();
    }
}

/// See the module's text.
pub struct Application {
    /// Where it is.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Application {
    /// The secret that it knows calls by.
    pub const SECRET: &'static str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// On a free port; it allows everything.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Self {
        Self::listen(converse::<TcpStream>)
    }

    /// The same behind TLS.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start_tls(config: Arc<ServerConfig>) -> Self {
        Self::listen(move |stream, state| {
            let session = ServerConnection::new(config.clone()).ok()?;
            converse(StreamOwned::new(session, stream), state)
        })
    }

    #[allow(clippy::unwrap_used)]
    fn listen(serve: impl Fn(TcpStream, &Mutex<State>) -> Option<()> + Send + Sync + 'static) -> Self {
        let serve = Arc::new(serve);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let of_thread = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (serve, state) = (serve.clone(), of_thread.clone());
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { port, state }
    }

    /// Where it takes calls.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// From now on it does this.
    pub fn set(&self, manner: Manner) {
        lock(&self.state).manner = Some(manner);
    }

    /// It does this once, before what it does otherwise.
    pub fn once(&self, manner: Manner) {
        lock(&self.state).next.push_back(manner);
    }

    /// It does this with every call whose body contains the text, until that is taken back with `None`.
    pub fn about(&self, text: &str, manner: Option<Manner>) {
        let mut state = lock(&self.state);
        state.about.retain(|(t, _)| t != text);
        state.about.extend(manner.map(|manner| (text.to_owned(), manner)));
    }

    /// It answers calls from now on only once this is dropped.
    pub fn hold(&self) -> Held {
        let gate: Arc<Gate> = Arc::default();
        lock(&self.state).gate = Some(gate.clone());
        Held(gate)
    }

    /// The calls since this was asked.
    pub fn calls(&self) -> Vec<Called> {
        std::mem::take(&mut lock(&self.state).called)
    }
}

/// One connection, to its end.
fn converse<S: Read + Write + Send + 'static>(stream: S, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let called = read(&mut reader)?;
        let (manner, gate) = {
            let mut state = lock(state);
            let about = state.about.iter().find(|(text, _)| called.text.contains(text)).map(|(_, m)| m.clone());
            let next = about.or_else(|| state.next.pop_front()).or_else(|| state.manner.clone());
            state.called.push(called);
            (next.unwrap_or_else(Manner::allows), state.gate.clone())
        };
        if let Some(gate) = gate {
            let is_open = gate.is_open.lock().unwrap_or_else(PoisonError::into_inner);
            drop(gate.opens.wait_while(is_open, |is_open| !*is_open));
        }
        let stream = reader.get_mut();
        let mut say = |status: u16, more: &str, body: &str| {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
            stream.write_all(format!("{head}{more}\r\n{body}").as_bytes()).and_then(|()| stream.flush()).ok()
        };
        match manner {
            Manner::Says(status, body) => say(status, "", &body)?,
            Manner::Redirects(to) => say(307, &format!("location: {to}\r\n"), "")?,
            Manner::Talks(bytes) => say(200, "", &format!("{{\"allow\":true,\"x\":\"{}\"}}", "x".repeat(bytes)))?,
            Manner::Drips => {
                stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 1000\r\n\r\n{").ok()?;
                lock(state).held.push(Box::new(reader));
                return None;
            }
            Manner::Silent => {
                lock(state).held.push(Box::new(reader));
                return None;
            }
            Manner::HangsUp => return None,
            Manner::Babbles => {
                stream.write_all(b"220 mail.example.com ESMTP\r\n").ok()?;
                return None;
            }
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Called> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let text = String::from_utf8(body).ok()?;
    Some(Called { path, headers, body: serde_json::from_str(&text).unwrap_or_default(), text })
}
