//! An SMTP server on this machine that does as it is told: takes mail, refuses it, keeps silent, or dies half way.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What it does with the next connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes mails.
    Takes,
    /// Refuses each recipient with this code.
    Refuses(u16),
    /// Accepts connections, and says nothing.
    Silent,
    /// Takes a mail, and dies before it says so.
    DiesAfterText,
    /// Dies in the midst of the text.
    DiesInText,
}

/// A mail as it came.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Who gets it, by the envelope.
    pub to: Vec<String>,
    /// The message.
    pub text: String,
}

impl Taken {
    /// A header of the message; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        let line = self.text.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix(": ")).unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    mood: Option<Mood>,
    taken: Vec<Taken>,
    held: Vec<TcpStream>,
}

/// See the module's text.
pub struct Smtp {
    /// Where it is.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Smtp {
    /// On a free port.
    ///
    /// # Panics
    /// If there is none.
    #[allow(clippy::unwrap_used)]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let of_thread = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = of_thread.clone();
                thread::spawn(move || converse(&stream, &state));
            }
        });
        Self { port, state }
    }

    /// From now on it does this.
    pub fn set(&self, mood: Mood) {
        lock(&self.state).mood = Some(mood);
    }

    /// All mails that have come, and of which it had the whole text.
    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.state).taken.clone()
    }
}

/// One connection, to its end.
fn converse(stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mood = || lock(state).mood.unwrap_or(Mood::Takes);
    if mood() == Mood::Silent {
        lock(state).held.push(stream.try_clone().ok()?);
        return None;
    }
    let say = |text: &str| {
        let mut stream = stream;
        stream.write_all(format!("{text}\r\n").as_bytes()).ok()
    };
    say("220 test")?;
    let mut to = vec![];
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let word: String = line.chars().take(4).collect::<String>().to_ascii_uppercase();
        match (word.as_str(), mood()) {
            ("RCPT", Mood::Refuses(code)) => say(&format!("{code} not now"))?,
            ("RCPT", _) => {
                to.push(line.trim().trim_start_matches("RCPT TO:").trim_matches(['<', '>']).to_owned());
                say("250 ok")?;
            }
            ("DATA", Mood::DiesInText) => {
                say("354 go on")?;
                reader.read_line(&mut line).ok()?;
                return None;
            }
            ("DATA", mood) => {
                say("354 go on")?;
                let mut text = String::new();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).ok()?;
                    if line == ".\r\n" {
                        break;
                    }
                    text += line.strip_prefix('.').unwrap_or(&line);
                }
                lock(state).taken.push(Taken { to: std::mem::take(&mut to), text: text.replace("\r\n", "\n") });
                if mood == Mood::DiesAfterText {
                    return None;
                }
                say("250 taken")?;
            }
            ("QUIT", _) => {
                say("221 bye")?;
                return None;
            }
            _ => say("250 ok")?,
        }
    }
}
