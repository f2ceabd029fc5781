//! What was found, as tables: on standard output while it is found, and as one Markdown text.

use std::{process::Command, time::Duration};

/// The values of the rounds.
#[derive(Default, Clone)]
pub struct Spread(Vec<f64>);

impl Spread {
    pub fn of(value: f64) -> Self {
        Self(vec![value])
    }

    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn shown(&self, digits: usize) -> String {
        if let [one] = self.0[..] {
            return format!("{one:.digits$}");
        }
        let (least, most) = (self.0.first().unwrap_or(&f64::NAN), self.0.last().unwrap_or(&f64::NAN));
        format!("{:.digits$} ({least:.digits$}–{most:.digits$})", self.median())
    }

    pub fn whole(&self) -> String {
        self.shown(0)
    }

    pub fn tenths(&self) -> String {
        self.shown(1)
    }

    pub fn fine(&self) -> String {
        self.shown(2)
    }
}

/// The tables so far.
pub struct Report {
    text: String,
}

fn said(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output();
    done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap_or_default()
}

/// The processors and the memory of this machine.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).unwrap_or_default().1;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{cores} × {model}, {} {}", said("uname", &["-s"]), said("uname", &["-r"]))
}

impl Report {
    pub fn new(rounds: usize, lasts: Duration) -> Self {
        let mut report = Self { text: String::new() };
        let commit = said("git", &["log", "-1", "--format=%h of %cs"]);
        report.say(&format!(
            "# What authd costs\n\nMade by `cargo bench --profile shipped -p tests --bench http`: {}, commit {commit}, load before {}. Medians of {rounds} \
             rounds of {} s, with the least and the most. Who asks shares the processors with who answers.",
            machine(),
            std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default(),
            lasts.as_secs()
        ));
        report
    }

    fn say(&mut self, text: &str) {
        println!("{text}");
        self.text += text;
        self.text.push('\n');
    }

    pub fn section(&mut self, title: &str, words: &str, columns: &[&str]) {
        self.say(&format!("\n## {title}\n\n{words}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len())));
    }

    pub fn row(&mut self, cells: &[String]) {
        self.say(&format!("| {} |", cells.join(" | ")));
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}
