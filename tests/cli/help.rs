//! The command line itself: what its help says, as a snapshot, so that a change of it is seen.

use clap::CommandFactory;

fn render(command: &mut clap::Command, path: &str, out: &mut String) {
    *out += &format!("### {path}\n{}\n", command.render_help());
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        let path = format!("{path} {}", sub.get_name());
        render(sub, &path, out);
    }
}

#[test]
fn the_help_of_authctl() {
    let mut command = authctl::Cli::command().term_width(100);
    command.build();
    let mut out = String::new();
    render(&mut command, "authctl", &mut out);
    insta::assert_snapshot!(out);
}

#[test]
fn the_help_of_authd() {
    let mut command = authd::cli::Cli::command().term_width(100);
    command.build();
    let mut out = String::new();
    render(&mut command, "authd", &mut out);
    insta::assert_snapshot!(out);
}

#[test]
fn cl_01_no_option_takes_a_secret() {
    fn walk(command: &clap::Command, found: &mut Vec<String>) {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let name = arg.get_id().as_str();
            let takes = arg.get_action().takes_values();
            if takes && ["password", "token", "secret", "key"].contains(&name) {
                found.push(format!("{} {name}", command.get_name()));
            }
        }
        command.get_subcommands().for_each(|sub| walk(sub, found));
    }
    let mut found = vec![];
    walk(&authctl::Cli::command(), &mut found);
    walk(&authd::cli::Cli::command(), &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_error_codes() {
    let codes: Vec<String> = common::ErrorCode::ALL.iter().map(|code| format!("{code}: {}", code.message())).collect();
    insta::assert_snapshot!(codes.join("\n"));
}

#[test]
fn the_audit_events() {
    let kinds: Vec<String> =
        authd::domain::EventKind::ALL.iter().map(|kind| format!("{}:{}", kind.as_str(), kind.describe())).collect();
    insta::assert_snapshot!(kinds.join("\n"));
}
