//! A changed configuration in a running daemon: read and checked whole, applied as far as that is possible, or not at all.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use common::UnixTime;
use nix::unistd::geteuid;
use tracing::{error, info, warn};

use crate::{
    admin::{AdminApp, LastRead},
    app,
    config::{Config, Origin, Problem, SETTINGS, SettingInfo},
    domain::{Access, Act, Event, EventKind, access::Grant, access::Principal},
    http::{App, Cookies},
    listen,
    live::Live,
    nss,
    service::{Services, keys},
    takeover, telemetry,
};

/// The one owner of what a reload replaces. Everybody else reads it, each request one version.
pub struct Reloader {
    /// What is in force.
    pub(crate) config: Config,
    /// What clients call the service; as it was at the start.
    pub(crate) public_url: crate::config::PublicUrl,
    /// Signs cookies.
    pub(crate) cookies: Cookies,
    /// The admin socket.
    pub(crate) socket: PathBuf,
    /// Its file, if that is ours, and its mode ours to choose.
    pub(crate) socket_file: Option<listen::SocketId>,
    /// The use cases' ground, for what the daemon does by itself.
    pub(crate) services: Arc<Live<Services>>,
    /// The public door.
    pub(crate) public: Arc<Live<App>>,
    /// The admin door.
    pub(crate) admin: Arc<Live<AdminApp>>,
}

/// What the configuration says, as the admin door needs it.
pub(crate) fn last_read(config: &Config, at: UnixTime, socket: &Path) -> LastRead {
    let mut advice: Vec<String> = config.advice().cloned().collect();
    if listen::is_for_everybody(config) && !listen::is_open(socket) {
        advice.push(format!(
            "admin.roles names others than the group authd-admin, and they cannot open {}: its mode has to be 0666 (SocketMode= \
             in a drop-in for authd-admin.socket)",
            socket.display()
        ));
    }
    let only_admin_group = config.settings.roles().all(|(_, principal)| principal.is_admin_group());
    LastRead { at, advice, access: access(config), only_admin_group, ..LastRead::default() }
}

/// Who has which role, in the numbers of this host where it has any.
fn access(config: &Config) -> Access {
    let known = |principal: &Principal| match principal {
        // By name, which is looked up for every connection: a number may go to somebody else.
        Principal::User(name) => Some(Grant::User(name.clone())),
        Principal::Group(name) => nss::group(name).map(|group| Grant::Group(group.as_raw())),
    };
    let grants = config.settings.roles().filter_map(|(role, principal)| Some((role, known(principal)?)));
    Access { own_uid: geteuid().as_raw(), grants: grants.collect() }
}

/// Does what may take long, such as asking the host for its groups, where it holds up nothing else.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Reloader {
    /// Applies what was read. If there is anything wrong with it nothing changes, and `status` says why. Answers how many
    /// problems it has.
    pub async fn reload(&mut self, read: Result<Config, Vec<Problem>>) -> usize {
        let now = self.services.get().clock.now();
        let Err(problems) = self.apply(read, now).await else { return 0 };
        let admin = self.admin.get();
        let last_read = LastRead {
            at: now,
            problems: problems.iter().map(ToString::to_string).collect(),
            ..admin.last_read.clone()
        };
        self.admin.put(Arc::new(admin.successor(admin.services.clone(), last_read)));
        for problem in &problems {
            error!("a problem of the configuration: {problem}");
        }
        error!(problems = problems.len(), "the configuration was read again and is not in force");
        problems.len()
    }

    /// Refuses a file that has lost settings which a reload cannot apply anyway: it was cut off, or emptied, and what else it
    /// has lost would open doors.
    fn check_whole(&self, new: &Config) -> Result<(), Vec<Problem>> {
        let in_force_still: Vec<String> =
            self.config.settings.differing(&new.settings).iter().map(|setting| setting.path()).collect();
        let lost = |(i, setting): (usize, &SettingInfo)| {
            let was_in_file = matches!(self.config.origins.get(i), Some(Origin::File(_)));
            let is_gone = matches!(new.origins.get(i), Some(Origin::Default));
            let is_lost = was_in_file && is_gone && !setting.is_live && in_force_still.contains(&setting.path());
            is_lost.then(|| Problem {
                key: setting.path(),
                origin: Origin::Default,
                message: "it is gone from the file: if it is not cut off and this is meant, restart authd".into(),
            })
        };
        let lost: Vec<Problem> = SETTINGS.iter().enumerate().filter_map(lost).collect();
        if lost.is_empty() { Ok(()) } else { Err(lost) }
    }

    async fn apply(&mut self, read: Result<Config, Vec<Problem>>, now: UnixTime) -> Result<(), Vec<Problem>> {
        let new = read?;
        let next = apart(|| self.config.reloaded(&new))?;
        takeover::check_deadline(&new, now).map_err(|failure| {
            let key = "session.legacy_secret_until".to_owned();
            vec![Problem { key, origin: Origin::Default, message: failure.message }]
        })?;
        self.check_whole(&new)?;
        let applied = self.config.settings.differing(&next.settings);
        let waiting = next.settings.differing(&new.settings);
        let paths = |settings: &[&SettingInfo]| settings.iter().map(|s| s.path()).collect::<Vec<_>>();
        let (applied, waiting) = (paths(&applied), paths(&waiting));
        let failed = |e: &dyn std::fmt::Display| {
            let message = format!("nothing of it is in force: {e}");
            vec![Problem { key: "the store".into(), origin: Origin::Default, message }]
        };

        let services = self.services.get();
        let services = Arc::new(services.with_policy(app::policy(&next, &self.public_url)));
        // The keys first, as at a start: then the event. Only what is on record comes into force.
        keys::allow_longer_tokens(&services).await.map_err(|e| failed(&e))?;
        if !applied.is_empty() || !waiting.is_empty() {
            let event = Event::new(EventKind::ConfigReloaded)
                .with("applied", &applied.join(" "))
                .with("needs_restart", &waiting.join(" "));
            services.store.note_event(Act::by_daemon(now), event).await.map_err(|e| failed(&e))?;
        }

        let public = self.public.get();
        let (door, cookies) = app::public_door(&next, &self.public_url, &self.cookies);
        let admin = self.admin.get();
        let (was, is) = (listen::is_for_everybody(&self.config), listen::is_for_everybody(&next));
        if let Some(file) = self.socket_file.as_ref().filter(|_| was != is)
            && let Err(error) = file.set_mode(is)
        {
            warn!(%error, "the mode of the admin socket cannot be changed");
        }
        let last_read = LastRead { needs_restart: waiting.clone(), ..apart(|| last_read(&next, now, &self.socket)) };
        self.services.put(services.clone());
        self.public.put(Arc::new(public.successor(services.clone(), door, cookies)));
        self.admin.put(Arc::new(admin.successor(services.clone(), last_read)));

        for key in &applied {
            info!(key, "a setting was changed: applied");
        }
        for key in &waiting {
            warn!(key, "a setting was changed: needs a restart");
        }
        for advice in next.advice.iter().filter(|advice| !self.config.advice.contains(advice)) {
            warn!("{advice}");
        }
        telemetry::set_level(next.settings.log.level);
        self.config = next;
        info!(applied = applied.len(), needs_restart = waiting.len(), "the configuration was read again");

        // A rotation by the former rules may have come between.
        if let Err(error) = keys::allow_longer_tokens(&services).await {
            warn!(%error, "keys that sign tokens of a longer life could not be kept for longer");
        }
        Ok(())
    }
}
