//! authctl in this process, with streams and a person of the test's own.

use std::{
    collections::VecDeque,
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
};

use authctl::{Cli, Error, Io, io::Prompt};
use clap::Parser;
use common::SecretString;
use serde_json::Value;

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit code.
    pub exit: u8,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Outcome {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Standard output as CSV (RFC 4180): rows of fields, the header first.
    ///
    /// # Panics
    /// If a quoted field does not end, or a row has another number of fields than the header.
    pub fn csv(&self) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut field) = (vec![], vec![], String::new());
        let (mut quoted, mut chars) = (false, self.out.chars().peekable());
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut field)),
                '\n' if !quoted => {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                c => field.push(c),
            }
        }
        assert!(!quoted && row.is_empty() && field.is_empty(), "a broken end: {self:?}");
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "not rectangular: {self:?}");
        rows
    }

    /// This outcome, if it is a success.
    ///
    /// # Panics
    /// If it is not.
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use)] // often only asserted
    pub fn ok(self) -> Self {
        assert_eq!(self.exit, 0, "{self:?}");
        self
    }
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

#[allow(clippy::unwrap_used)]
impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    #[allow(clippy::unwrap_used)]
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A person who gives prepared answers, and the questions that were asked.
#[derive(Clone, Default)]
struct Person {
    answers: Arc<Mutex<VecDeque<String>>>,
    asked: Sink,
}

impl Person {
    #[allow(clippy::unwrap_used)]
    fn answer(&mut self, question: &str) -> Result<String, Error> {
        writeln!(self.asked, "? {question}").unwrap();
        let answer = self.answers.lock().unwrap().pop_front();
        answer.ok_or_else(|| Error::failed(format!("nobody answers '{question}'")))
    }
}

impl Prompt for Person {
    fn line(&mut self, label: &str, _: bool) -> Result<String, Error> {
        self.answer(label)
    }
    fn secret(&mut self, label: &str, _: bool) -> Result<SecretString, Error> {
        self.answer(label).map(SecretString::new)
    }
    fn confirm(&mut self, question: &str) -> Result<bool, Error> {
        self.answer(question).map(|answer| answer == "y")
    }
}

/// A command line to run.
pub struct Ctl<'a> {
    socket: &'a Path,
    input: String,
    answers: Option<Vec<String>>,
}

/// authctl on this socket.
pub fn ctl(socket: &Path) -> Ctl<'_> {
    Ctl { socket, input: String::new(), answers: None }
}

impl Ctl<'_> {
    /// With this on standard input.
    #[must_use]
    pub fn input(self, text: &str) -> Self {
        Self { input: text.into(), ..self }
    }

    /// With a person at a terminal, who gives these answers.
    #[must_use]
    pub fn person(self, answers: &[&str]) -> Self {
        Self { answers: Some(answers.iter().map(ToString::to_string).collect()), ..self }
    }

    /// Runs it. Words are separated by spaces; for words with spaces use [`Ctl::args`].
    pub async fn run(self, line: &str) -> Outcome {
        let args: Vec<&str> = line.split_whitespace().collect();
        self.args(&args).await
    }

    /// Runs it.
    pub async fn args(self, args: &[&str]) -> Outcome {
        let (out, err) = (Sink::default(), Sink::default());
        let socket = self.socket.display().to_string();
        let line = ["authctl", "--socket", &socket].into_iter().chain(args.iter().copied());
        let cli = match Cli::try_parse_from(line) {
            Ok(cli) => cli,
            Err(e) => {
                let exit = u8::try_from(e.exit_code()).unwrap_or(2);
                return Outcome { exit, out: String::new(), err: e.to_string() };
            }
        };
        let person =
            self.answers.map(|answers| Person { answers: Arc::new(Mutex::new(answers.into())), asked: err.clone() });
        let mut io = Io {
            input: Box::new(std::io::Cursor::new(self.input.into_bytes())),
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            prompt: person.map(|person| Box::new(person) as Box<dyn Prompt>),
            width: None,
            colour: false,
            err_colour: false,
        };
        let exit = authctl::run(cli, &mut io).await as u8;
        Outcome { exit, out: out.text(), err: err.text() }
    }
}
