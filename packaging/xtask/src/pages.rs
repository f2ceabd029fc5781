//! Man pages and completions, from the command lines as the programs have them.

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::tools::Outcome;

/// A page of the manual.
pub(crate) struct Page {
    /// `man8/authd.8`
    pub path: String,
    pub content: Vec<u8>,
}

fn tree(program: &str) -> Command {
    match program {
        "authd" => authd::cli::Cli::command(),
        _ => authctl::Cli::command(),
    }
}

/// A page for each program and each of its commands.
pub(crate) fn man() -> Outcome<Vec<Page>> {
    let mut pages = vec![];
    for (program, section) in [("authd", "8"), ("authctl", "1")] {
        let mut command = tree(program).disable_help_subcommand(true);
        command.build();
        add(&command, program, section, &mut pages)?;
    }
    Ok(pages)
}

fn add(command: &Command, name: &str, section: &str, pages: &mut Vec<Page>) -> Outcome<()> {
    // Its own name is what stands on the command line; the page has the whole.
    let mut content = vec![];
    let titled = command.clone().display_name(name.to_owned());
    Man::new(titled).section(section).date("").title(name.to_uppercase()).render(&mut content)?;
    pages.push(Page { path: format!("man{section}/{name}.{section}"), content });
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        add(inner, &format!("{name}-{}", inner.get_name()), section, pages)?;
    }
    Ok(())
}

/// What a shell reads to complete a program's command line.
pub(crate) fn completion(program: &str, shell: Shell) -> Vec<u8> {
    let mut out = vec![];
    clap_complete::generate(shell, &mut tree(program), program, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_program_and_each_command() {
        let pages = man().unwrap();
        let find = |path: &str| {
            let page = pages.iter().find(|page| page.path == path);
            String::from_utf8(page.unwrap_or_else(|| panic!("no {path}")).content.clone()).unwrap()
        };
        let daemon = find("man8/authd.8");
        assert!(daemon.contains(".TH AUTHD 8"), "{daemon}");
        assert!(daemon.contains("78 the configuration is wrong"), "{daemon}");
        assert!(find("man8/authd-store-verify.8").contains("Read everything"));
        assert!(find("man1/authctl-user-create.1").contains("email"));
        assert!(pages.iter().all(|page| !page.path.contains("help")));
    }

    #[test]
    fn completions_know_the_commands_of_both_programs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = |program| String::from_utf8(completion(program, shell)).unwrap();
            assert!(text("authd").contains("new-master-key"), "{shell}");
            assert!(text("authctl").contains("throttle"), "{shell}");
        }
    }
}
