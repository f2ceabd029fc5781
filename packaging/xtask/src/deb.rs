//! The Debian package: the assets, what dpkg wants to know of them, and the maintainer's scripts of `packaging/deb`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    assets::{Asset, PACKAGE},
    tools::{Outcome, epoch, finish, gzip, run, said},
};

const MAINTAINER: &str = "The authd authors <authd@packages.invalid>";

/// Makes the package in `out`. One for tests is packed quickly, and not small.
pub(crate) fn make(assets: &[Asset], out: &Path, is_for_tests: bool) -> Outcome<PathBuf> {
    let version = format!("{}-1", env!("CARGO_PKG_VERSION"));
    let architecture = said("dpkg", &["--print-architecture"])?;
    let stage = out.join("deb");
    if stage.exists() {
        std::fs::remove_dir_all(&stage)?;
    }
    assets.iter().try_for_each(|asset| asset.put(&stage))?;
    let log = format!("usr/share/doc/{PACKAGE}/changelog.Debian.gz");
    Asset::new(log, gzip(changelog(&version)?.as_bytes())?).put(&stage)?;
    let size: usize = assets.iter().map(|asset| asset.content.len().div_ceil(1024)).sum();
    let glibc = assets.iter().filter_map(|asset| newest_glibc(&asset.content)).max();
    let control = control(&version, &architecture, size, glibc);
    Asset::new("DEBIAN/control", control).put(&stage)?;
    let conffiles = assets.iter().filter(|asset| asset.path.starts_with("etc/"));
    let conffiles: String = conffiles.map(|asset| format!("/{}\n", asset.path)).collect();
    Asset::new("DEBIAN/conffiles", conffiles).put(&stage)?;
    for script in ["postinst", "prerm", "postrm"] {
        let source = Path::new("packaging/deb").join(script);
        Asset::file(format!("DEBIAN/{script}"), source)?.mode(0o755).put(&stage)?;
    }
    sums(&stage)?;
    // Whatever the umask was here.
    run(
        "find",
        [
            stage.as_os_str(),
            "-type".as_ref(),
            "d".as_ref(),
            "-exec".as_ref(),
            "chmod".as_ref(),
            "0755".as_ref(),
            "{}".as_ref(),
            "+".as_ref(),
        ],
    )?;
    let file = out.join(format!("{PACKAGE}_{version}_{architecture}.deb"));
    let packing: &[&str] = if is_for_tests { &["-Zgzip", "-z1"] } else { &["-Zxz"] };
    finish(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .args(packing)
            .args([&stage, &file])
            .env("SOURCE_DATE_EPOCH", epoch()?)
            .stdout(std::process::Stdio::null()),
    )?;
    std::fs::remove_dir_all(stage)?;
    Ok(file)
}

fn control(version: &str, architecture: &str, size: usize, glibc: Option<(u32, u32)>) -> String {
    let libc = glibc.map_or_else(String::new, |(major, minor)| format!("libc6 (>= {major}.{minor}), libgcc-s1, "));
    format!(
        "Package: {PACKAGE}\n\
         Version: {version}\n\
         Section: net\n\
         Priority: optional\n\
         Architecture: {architecture}\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {size}\n\
         Depends: {libc}init-system-helpers (>= 1.54), procps, systemd (>= 250)\n\
         Conflicts: authd\n\
         Description: sign-in server for Better Auth clients, as one daemon\n \
         authd keeps accounts, sessions, tokens and keys for applications that use\n \
         the clients of Better Auth, with an embedded store: no database, no Node.\n \
         authctl administers it over a Unix socket.\n \
         .\n \
         It is not the authd of Ubuntu, which signs users in to the machine itself\n \
         and has units, a command and a directory in /etc by the same names: the two\n \
         cannot be installed together.\n"
    )
}

fn changelog(version: &str) -> Outcome<String> {
    let date = said("date", &["-u", "-R", "-d", &format!("@{}", epoch()?)])?;
    Ok(format!(
        "{PACKAGE} ({version}) unstable; urgency=medium\n\n  * The first package. What changed since is in changelog.gz.\n\n -- {MAINTAINER}  {date}\n"
    ))
}

/// The newest version of the C library of which a program needs something: the symbols' versions stand in it as text.
fn newest_glibc(program: &[u8]) -> Option<(u32, u32)> {
    const NAME: &[u8] = b"\0GLIBC_";
    let is_program = program.starts_with(b"\x7fELF");
    let starts = program.windows(NAME.len()).enumerate().filter(|(_, window)| is_program && *window == NAME);
    let versions = starts.filter_map(|(at, _)| {
        let rest = &program[at + NAME.len()..];
        let end = rest.iter().position(|b| *b == 0)?;
        let mut parts = std::str::from_utf8(&rest[..end]).ok()?.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    });
    versions.max()
}

/// By which dpkg finds files that were changed.
fn sums(stage: &Path) -> Outcome<()> {
    let script = "find . -type f ! -path './DEBIAN/*' -printf '%P\\0' | LC_ALL=C sort -z | xargs -0r md5sum > DEBIAN/md5sums \
                  && chmod 0644 DEBIAN/md5sums";
    finish(Command::new("sh").args(["-ec", script]).current_dir(stage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_a_program_needs_is_found() {
        let program = b"\x7fELF..\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_PRIVATE\0GLIBC_2.2.5\0";
        assert_eq!(newest_glibc(program), Some((2, 34)));
        assert_eq!(newest_glibc(b"\x7fELF static"), None);
        assert_eq!(newest_glibc(b"text\0GLIBC_2.9\0"), None);
    }

    #[test]
    fn the_package_says_that_it_is_another_authd() {
        let text = control("1.2-1", "amd64", 10, Some((2, 34)));
        for line in
            ["Package: better-auth-authd\n", "\nConflicts: authd\n", "\nDepends: libc6 (>= 2.34), libgcc-s1, init"]
        {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.lines().all(|line| !line.starts_with(' ') || line.len() <= 80), "{text}");
    }
}
