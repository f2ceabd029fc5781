//! The one table of what is installed where, for every form of it.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use authd::config::Config;
use clap_complete::Shell;

use crate::{
    pages,
    tools::{self, Outcome, finish, gzip, run, said},
};

/// The package's name. Not authd: Ubuntu has another program of that name, and an upgrade would put it in the place of this
/// one.
pub(crate) const PACKAGE: &str = "better-auth-authd";

/// A file as it is installed.
pub(crate) struct Asset {
    /// Where, without the first slash.
    pub path: String,
    pub mode: u32,
    pub content: Vec<u8>,
}

impl Asset {
    pub(crate) fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o644, content: content.into() }
    }

    pub(crate) fn file(path: impl Into<String>, source: impl AsRef<Path>) -> Outcome<Self> {
        let source = source.as_ref();
        let content = std::fs::read(source).map_err(|e| format!("{}: {e}", source.display()))?;
        Ok(Self::new(path, content))
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Writes it below `root`.
    pub(crate) fn put(&self, root: &Path) -> Outcome<()> {
        let path = root.join(&self.path);
        tools::make_room(&path)?;
        std::fs::write(&path, &self.content)?;
        Ok(std::fs::set_permissions(&path, std::fs::Permissions::from_mode(self.mode))?)
    }
}

/// Where the built programs are.
pub(crate) struct Programs {
    pub authd: PathBuf,
    pub authctl: PathBuf,
}

impl Programs {
    fn in_directory(directory: &Path) -> Self {
        Self { authd: directory.join("authd"), authctl: directory.join("authctl") }
    }

    /// As they lie there.
    pub(crate) fn of_debug() -> Self {
        Self::in_directory(&tools::target().join("debug"))
    }

    /// For this kind of system. Paths of this machine are not in them.
    pub(crate) fn release() -> Outcome<Self> {
        Self::built("")
    }

    /// With everything in them, so that they run on any Linux of this processor.
    pub(crate) fn portable() -> Outcome<Self> {
        Self::built("-C\x1ftarget-feature=+crt-static")
    }

    fn built(flags: &str) -> Outcome<Self> {
        let host = said("rustc", &["--print", "host-tuple"])?;
        let here = std::env::current_dir()?;
        let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"))?;
        let remap = |from: &str, to: &str| format!("--remap-path-prefix={from}={to}");
        let flags = [flags, &remap(&here.display().to_string(), "/authd"), &remap(&home, "/cargo")]
            .into_iter()
            .filter(|flag| !flag.is_empty())
            .collect::<Vec<_>>()
            .join("\x1f");
        finish(
            Command::new("cargo")
                .args(["build", "--profile", "shipped", "--locked", "--target", &host, "-p", "authd", "-p", "authctl"])
                .env("CARGO_ENCODED_RUSTFLAGS", flags),
        )?;
        Ok(Self::in_directory(&tools::target().join(host).join("shipped")))
    }

    /// Both as they are installed.
    fn assets(&self, directory: &str) -> Outcome<Vec<Asset>> {
        let copy = tools::target().join("stripped");
        [("authd", &self.authd), ("authctl", &self.authctl)]
            .into_iter()
            .map(|(name, program)| {
                run("strip", ["--strip-unneeded".as_ref(), "-o".as_ref(), copy.as_path(), program.as_path()])?;
                Ok(Asset::file(format!("{directory}{name}"), &copy)?.mode(0o755))
            })
            .collect()
    }
}

/// What a Debian package has.
pub(crate) fn of_package(programs: &Programs, sbom: &Path) -> Outcome<Vec<Asset>> {
    let systemd = Path::new("packaging/systemd");
    let doc = format!("usr/share/doc/{PACKAGE}");
    let mut all = programs.assets("usr/bin/")?;
    for unit in ["authd.service", "authd.socket", "authd-admin.socket", "authd-metrics.socket"] {
        all.push(Asset::file(format!("usr/lib/systemd/system/{unit}"), systemd.join(unit))?);
    }
    all.push(Asset::file("usr/lib/sysusers.d/authd.conf", systemd.join("authd.sysusers"))?);
    all.push(Asset::file("usr/lib/tmpfiles.d/authd.conf", systemd.join("authd.tmpfiles"))?);
    // Its group is set when there is one; until then it is for nobody but root.
    all.push(Asset::new("etc/authd/authd.toml", Config::template(&[])).mode(0o640));
    for page in pages::man()? {
        all.push(Asset::new(format!("usr/share/man/{}.gz", page.path), gzip(&page.content)?));
    }
    all.push(Asset::new("usr/share/bash-completion/completions/authd", pages::completion("authd", Shell::Bash)));
    all.push(Asset::new("usr/share/bash-completion/completions/authctl", pages::completion("authctl", Shell::Bash)));
    all.push(Asset::new("usr/share/zsh/vendor-completions/_authd", pages::completion("authd", Shell::Zsh)));
    all.push(Asset::new("usr/share/zsh/vendor-completions/_authctl", pages::completion("authctl", Shell::Zsh)));
    all.push(Asset::new("usr/share/fish/vendor_completions.d/authd.fish", pages::completion("authd", Shell::Fish)));
    all.push(Asset::new("usr/share/fish/vendor_completions.d/authctl.fish", pages::completion("authctl", Shell::Fish)));
    for example in ["mail.conf.example", "encrypted-key.conf.example"] {
        all.push(Asset::file(format!("{doc}/examples/{example}"), systemd.join("authd.service.d").join(example))?);
    }
    for (example, source) in [
        ("nginx.conf", "packaging/proxies/nginx.conf"),
        ("Caddyfile", "packaging/proxies/Caddyfile"),
        ("authd.rules.yml", "packaging/prometheus/authd.rules.yml"),
    ] {
        all.push(Asset::file(format!("{doc}/examples/{example}"), source)?);
    }
    all.push(Asset::file(format!("{doc}/copyright"), "packaging/deb/copyright")?);
    all.push(Asset::new(format!("{doc}/changelog.gz"), gzip(&std::fs::read("CHANGELOG.md")?)?));
    all.push(Asset::file(format!("{doc}/sbom.cdx.json"), sbom)?);
    all.push(Asset::file(format!("usr/share/lintian/overrides/{PACKAGE}"), "packaging/deb/lintian-overrides")?);
    Ok(all)
}

/// What an archive for other systems has, in a directory of its own.
pub(crate) fn of_archive(programs: &Programs, sbom: &Path) -> Outcome<Vec<Asset>> {
    let mut all = programs.assets("")?;
    for page in pages::man()? {
        all.push(Asset::new(format!("man/{}", page.path), page.content));
    }
    for (program, shell, name) in [
        ("authd", Shell::Bash, "authd.bash"),
        ("authctl", Shell::Bash, "authctl.bash"),
        ("authd", Shell::Zsh, "_authd"),
        ("authctl", Shell::Zsh, "_authctl"),
        ("authd", Shell::Fish, "authd.fish"),
        ("authctl", Shell::Fish, "authctl.fish"),
    ] {
        all.push(Asset::new(format!("completions/{name}"), pages::completion(program, shell)));
    }
    for entry in std::fs::read_dir("packaging/systemd")? {
        let path = entry?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file()) {
            all.push(Asset::file(format!("systemd/{name}"), &path)?);
        }
    }
    for name in ["mail.conf.example", "encrypted-key.conf.example"] {
        let source = Path::new("packaging/systemd/authd.service.d").join(name);
        all.push(Asset::file(format!("systemd/authd.service.d/{name}"), source)?);
    }
    for name in ["LICENSE", "LICENSE-MIT", "LICENSE-APACHE", "README.md", "CHANGELOG.md"] {
        all.push(Asset::file(name, name)?);
    }
    all.push(Asset::file("Containerfile", "packaging/Containerfile")?);
    all.push(Asset::file("sbom.cdx.json", sbom)?);
    Ok(all)
}

/// Packs them, the same for the same files.
pub(crate) fn archive(assets: &[Asset], out: &Path) -> Outcome<PathBuf> {
    let name = format!("authd-{}-{}-linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let stage = out.join(&name);
    if stage.exists() {
        std::fs::remove_dir_all(&stage)?;
    }
    assets.iter().try_for_each(|asset| asset.put(&stage))?;
    let file = out.join(format!("{name}.tar.gz"));
    let mtime = format!("--mtime=@{}", tools::epoch()?);
    finish(
        Command::new("tar")
            .args([
                "--sort=name",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                &mtime,
                "--use-compress-program=gzip -9n",
            ])
            .arg("-C")
            .arg(out)
            .arg("-cf")
            .args([file.as_os_str(), name.as_ref()]),
    )?;
    std::fs::remove_dir_all(stage)?;
    Ok(file)
}
