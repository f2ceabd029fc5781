//! The texts of mails: the built-in ones, or an operator's in a folder. `{{name}}` stands for a value, and there is nothing
//! else to learn. A text template begins with its subject, and an empty line.

use std::{fmt::Write, path::Path};

use crate::domain::mail::Template;

/// What a mail says, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML.
    pub html: String,
}

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateProblem {
    /// The operator's file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, String),
    /// It has a name that stands for nothing, or no subject.
    #[error("{0}: {1}")]
    Wrong(String, String),
}

/// The values that a template may have, by name.
pub(super) type Values<'a> = [(&'static str, &'a str); 7];

/// The names of `Values`, for the manual and for messages.
pub const NAMES: [&str; 7] = ["service", "greeting", "name", "email", "new_email", "link", "expires"];

macro_rules! built_in {
    ($($template:ident = $name:literal,)+) => {
        const fn built_in(template: Template) -> (&'static str, &'static str) {
            match template {
                $(Template::$template => (
                    include_str!(concat!("templates/", $name, ".txt")),
                    include_str!(concat!("templates/", $name, ".html")),
                ),)+
            }
        }
    };
}

built_in! {
    VerifyEmail = "verify-email",
    ResetPassword = "reset-password",
    ConfirmChange = "confirm-change",
    VerifyChange = "verify-change",
    DeleteUser = "delete-user",
    EmailChanged = "email-changed",
    PasswordReset = "password-reset",
    AccountExists = "account-exists",
    Test = "test",
}

/// The template with these values. The operator's files are read each time: a change needs no restart.
///
/// # Errors
/// [`TemplateProblem`].
pub(super) fn render(
    template: Template,
    folder: Option<&Path>,
    values: &Values<'_>,
) -> Result<Rendered, TemplateProblem> {
    let (text, html) = built_in(template);
    let (text_name, html_name) = (format!("{}.txt", template.as_str()), format!("{}.html", template.as_str()));
    let text = read(folder, &text_name)?.unwrap_or_else(|| text.to_owned());
    let html = read(folder, &html_name)?.unwrap_or_else(|| html.to_owned());
    let wrong = |name: &str, why: String| TemplateProblem::Wrong(name.to_owned(), why);
    let missing = || wrong(&text_name, "it must begin with a line 'Subject: …', and an empty line".into());
    let (head, body) = text.split_once("\n\n").ok_or_else(missing)?;
    let subject = head.strip_prefix("Subject: ").filter(|subject| !subject.contains('\n')).ok_or_else(missing)?;
    let plain = |text: &str| fill(text, values, str::to_owned).map_err(|why| wrong(&text_name, why));
    Ok(Rendered {
        subject: plain(subject)?,
        text: plain(body)?,
        html: fill(&html, values, escape).map_err(|why| wrong(&html_name, why))?,
    })
}

/// What is wrong with an operator's templates: each of them as it would be sent, and files that look like one and are none.
pub fn check(folder: &Path) -> Vec<TemplateProblem> {
    let values = NAMES.map(|name| (name, "-"));
    let mut problems: Vec<TemplateProblem> =
        Template::ALL.into_iter().filter_map(|template| render(template, Some(folder), &values).err()).collect();
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            problems.extend(names.filter(|name| is_stray(name)).map(|name| {
                let known = Template::ALL.map(Template::as_str).join(", ");
                TemplateProblem::Wrong(name, format!("it is no mail's: there are {known}, each .txt and .html"))
            }));
        }
        Err(e) => problems.push(TemplateProblem::Unreadable(folder.display().to_string(), e.to_string())),
    }
    problems
}

/// Whether a file of this name looks like a template, and no mail has it.
fn is_stray(name: &str) -> bool {
    let stem = [".txt", ".html"].iter().find_map(|ending| name.strip_suffix(ending));
    stem.is_some_and(|stem| Template::ALL.into_iter().all(|template| template.as_str() != stem))
}

/// The operator's file of this name, if there is one.
fn read(folder: Option<&Path>, name: &str) -> Result<Option<String>, TemplateProblem> {
    let Some(path) = folder.map(|folder| folder.join(name)) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.replace("\r\n", "\n"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(TemplateProblem::Unreadable(path.display().to_string(), e.to_string())),
    }
}

/// Puts the values in, each changed by `quote`. What a value has in it is text, also if it looks like a name in braces.
fn fill(template: &str, values: &Values<'_>, quote: impl Fn(&str) -> String) -> Result<String, String> {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").ok_or("'{{' without '}}'")?;
        let value = values.iter().find(|(known, _)| *known == name.trim());
        let (_, value) =
            value.ok_or_else(|| format!("{{{{{name}}}}} stands for nothing: there are {}", NAMES.join(", ")))?;
        out.push_str(&quote(value));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// For text and attributes in quotes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// The name as a mail may show it: people sign others up, and a name must not become a message of theirs, or a link.
pub(super) fn shown_name(name: &str) -> &str {
    let is_link = name.contains(['/', ':', '@']) || name.split('.').skip(1).any(|rest| !rest.starts_with(' '));
    if name.chars().count() > 60 || is_link { "" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(name: &'a str, link: &'a str) -> Values<'a> {
        [
            ("service", "Acme"),
            ("greeting", "Hello Ada,"),
            ("name", name),
            ("email", "ada@example.com"),
            ("new_email", "new@example.com"),
            ("link", link),
            ("expires", "1h"),
        ]
    }

    #[test]
    fn every_built_in_template_is_whole() {
        for template in Template::ALL {
            let Rendered { subject, text, html } =
                render(template, None, &values("Ada", "https://a.example/x?y=1&z=2")).unwrap();
            assert!(subject.contains("Acme") && !subject.contains('\n'), "{template:?}");
            for whole in [&subject, &text, &html] {
                assert!(!whole.contains("{{") && !whole.is_empty(), "{template:?}: {whole}");
            }
            assert_eq!(text.contains("https://a.example/x?y=1&z=2"), html.contains("x?y=1&#38;z=2"), "{template:?}");
        }
    }

    #[test]
    fn rc_08_values_are_text_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("test.txt"), "Subject: {{name}}\n\n{{ name }} {{link}}\n").unwrap();
        std::fs::write(dir.path().join("test.html"), "<b title=\"{{name}}\">{{name}}</b>").unwrap();
        let evil = "\"><script>alert('1')</script>{{link}}";
        let out = render(Template::Test, Some(dir.path()), &values(evil, "L")).unwrap();
        assert_eq!(out.text, format!("{evil} L\n"));
        assert!(!out.html.contains("<script") && out.html.contains("&#34;&#62;&#60;script"), "{}", out.html);
    }

    #[test]
    fn a_wrong_template_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let with = |text: &str| {
            std::fs::write(dir.path().join("test.txt"), text).unwrap();
            render(Template::Test, Some(dir.path()), &values("Ada", "L")).map_err(|e| e.to_string())
        };
        assert!(with("Subject: x\n\n{{password}}").unwrap_err().contains("{{password}} stands for nothing"));
        assert!(with("Subject: x\n\n{{name").unwrap_err().contains("without"));
        assert!(with("Hello").unwrap_err().contains("Subject"));
        assert!(with("Subject: x\nBcc: y\n\nz").unwrap_err().contains("Subject"));
        assert_eq!(with("Subject: x\r\n\r\nz").unwrap().text, "z");
    }

    #[test]
    fn a_folder_is_checked_whole() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(check(dir.path()), []);
        write("verify-email.txt", "Subject: Hello {{greeting}}\n\n{{link}}");
        write("README", "what is here");
        assert_eq!(check(dir.path()), []);
        write("reset-password.html", "{{password}}");
        write("delete-user.txt", "Goodbye");
        write("verify_email.txt", "Subject: x\n\n{{link}}");
        let problems: Vec<String> = check(dir.path()).iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        for (problem, name) in problems.iter().zip(["reset-password.html", "delete-user.txt", "verify_email.txt"]) {
            assert!(problem.starts_with(name), "{problem}");
        }
        let missing = check(&dir.path().join("none"));
        assert!(matches!(missing[..], [TemplateProblem::Unreadable(..)]), "{missing:?}");
    }

    #[test]
    fn a_name_that_could_be_a_message_is_not_shown() {
        for fine in ["Ada", "Ada L. Byron", "Ø", "J. R. R. T"] {
            assert_eq!(shown_name(fine), fine);
        }
        for bad in ["Win at evil.example", "https:evil", "a@b.co", "www.evil.example", &"x ".repeat(40)] {
            assert_eq!(shown_name(bad), "", "{bad}");
        }
    }
}
