//! `protector.conf`: read as `oslo.config` reads it, judged as a whole, handed on as typed values.

mod check;
mod document;
mod ini;
mod kind;
mod options;
#[cfg(test)]
mod oslo_vectors;
mod problem;
mod reader;
mod resolve;
mod search;
mod sections;
mod substitute;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use document::{reference_markdown, sample};
pub use kind::OptionType;
pub use options::{DRIVER, DRIVERS, DriverDef, OPTIONS, OptionDef, SECTIONS, ValueRule};
pub use problem::{ConfigErrors, Origin, Problem};
use reader::Reader;
use resolve::{Source, read_source, resolve};
use search::{Search, files_in};
use secrecy::SecretString;
pub use sections::{
    Api, ArrayDriver, Audit, BesideListener, ConfiguredInterface, DatabaseSection, EngineSection,
    General, KeystoneAuthtoken, OpenStack, OsloMiddleware, OsloPolicy, Quota, RateLimit, Secrets,
    Ssl, Storage, StorageArray,
};

/// A valid configuration. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[DEFAULT]`
    pub general: General,
    /// `[api]`
    pub api: Api,
    /// `[audit]`
    pub audit: Audit,
    /// `[database]`
    pub database: DatabaseSection,
    /// `[engine]`
    pub engine: EngineSection,
    /// `[keystone_authtoken]`
    pub keystone_authtoken: KeystoneAuthtoken,
    /// `[openstack]`
    pub openstack: OpenStack,
    /// `[oslo_middleware]`
    pub oslo_middleware: OsloMiddleware,
    /// `[oslo_policy]`
    pub oslo_policy: OsloPolicy,
    /// `[quota]`
    pub quota: Quota,
    /// `[rate_limit]`
    pub rate_limit: RateLimit,
    /// `[secrets]`
    pub secrets: Secrets,
    /// `[ssl]`
    pub ssl: Ssl,
    /// `[storage]`
    pub storage: Storage,
    /// The files that were read, in their order.
    pub sources: Vec<PathBuf>,
}

/// What a service cannot start without and no default can supply.
#[derive(Debug, Clone)]
pub struct Essentials {
    /// The local site.
    pub site_name: String,
    /// Keystone's URL.
    pub auth_url: String,
    /// The service user.
    pub username: String,
    /// Its password.
    pub password: SecretString,
}

impl Config {
    /// Reads the files (`--config-file`), then the `*.conf` of the directories (`--config-dir`);
    /// later ones win. With no file named, oslo's search finds `protector.conf` and
    /// `<program>.conf` (first of `~/.protector`, `~`, `/etc/protector`, `/etc`), and likewise
    /// `protector.conf.d` when no directory is named; finding none leaves all defaults.
    ///
    /// # Errors
    /// All problems of all files at once: unreadable files, bad syntax, unknown sections and
    /// options, values out of range.
    pub fn load(files: &[PathBuf], dirs: &[PathBuf]) -> Result<Self, ConfigErrors> {
        let search = Search::from_environment();
        let files = if files.is_empty() {
            search.files()
        } else {
            files.to_vec()
        };
        let dirs = if dirs.is_empty() {
            search.directories()
        } else {
            dirs.to_vec()
        };
        Self::read(files, &dirs)
    }

    /// Reads one text as if it were the file `protector.conf`, and nothing else.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_str_for_tests(text: &str) -> Result<Self, ConfigErrors> {
        let source = Source {
            path: PathBuf::from("protector.conf"),
            text: text.to_owned(),
        };
        Self::from_sources(&[source], Vec::new())
    }

    fn read(mut files: Vec<PathBuf>, dirs: &[PathBuf]) -> Result<Self, ConfigErrors> {
        let mut problems = Vec::new();
        for dir in dirs {
            match files_in(dir) {
                Ok(found) => files.extend(found),
                Err(problem) => problems.push(problem),
            }
        }
        let mut sources = Vec::new();
        for file in &files {
            match read_source(file) {
                Ok(source) => sources.push(source),
                Err(problem) => problems.push(problem),
            }
        }
        Self::from_sources(&sources, problems)
    }

    fn from_sources(sources: &[Source], mut problems: Vec<Problem>) -> Result<Self, ConfigErrors> {
        let (resolved, found) = resolve(OPTIONS, DRIVERS, sources);
        problems.extend(found);
        let mut reader = Reader::new(&resolved);
        let config = Self::typed(&mut reader, sources);
        problems.append(&mut reader.problems);
        ConfigErrors::from_problems(config, problems)
    }

    fn typed(reader: &mut Reader<'_>, sources: &[Source]) -> Self {
        Self {
            general: General::read(reader),
            api: Api::read(reader),
            audit: Audit::read(reader),
            database: DatabaseSection::read(reader),
            engine: EngineSection::read(reader),
            keystone_authtoken: KeystoneAuthtoken::read(reader),
            openstack: OpenStack::read(reader),
            oslo_middleware: OsloMiddleware::read(reader),
            oslo_policy: OsloPolicy::read(reader),
            quota: Quota::read(reader),
            rate_limit: RateLimit::read(reader),
            secrets: Secrets::read(reader),
            ssl: Ssl::read(reader),
            storage: Storage::read(reader),
            sources: sources.iter().map(|source| source.path.clone()).collect(),
        }
    }

    /// The options that `protector-api` and `protector-engine` must be given.
    ///
    /// # Errors
    /// Each of them that is missing, with the section it belongs in.
    pub fn essentials(&self) -> Result<Essentials, ConfigErrors> {
        let keystone = &self.keystone_authtoken;
        let mut missing = Missing {
            file: self.sources.first().map(PathBuf::as_path),
            problems: Vec::new(),
        };
        let essentials = Essentials {
            site_name: missing.or_value("DEFAULT", "site_name", self.general.site_name.as_ref()),
            auth_url: missing.or_value(
                "keystone_authtoken",
                "auth_url",
                keystone.auth_url.as_ref(),
            ),
            username: missing.or_value(
                "keystone_authtoken",
                "username",
                keystone.username.as_ref(),
            ),
            password: missing.or_value(
                "keystone_authtoken",
                "password",
                keystone.password.as_ref(),
            ),
        };
        ConfigErrors::from_problems(essentials, missing.problems)
    }
}

struct Missing<'a> {
    file: Option<&'a Path>,
    problems: Vec<Problem>,
}

impl Missing<'_> {
    /// The value, or a stand-in that is never seen because the problem refuses the whole.
    fn or_value<T: Clone + Default>(
        &mut self,
        section: &str,
        option: &str,
        value: Option<&T>,
    ) -> T {
        if let Some(value) = value {
            return value.clone();
        }
        self.problems.push(Problem {
            origin: self
                .file
                .map_or(Origin::Default, |file| Origin::Whole(file.to_owned())),
            subject: format!("[{section}] {option}"),
            message: "must be set; the service does not start without it".to_owned(),
        });
        T::default()
    }
}
