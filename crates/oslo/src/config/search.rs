//! Which files are read when none are named: `oslo.config`'s search.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::problem::{Origin, Problem};

const PROJECT: &str = "protector";

/// The places of `oslo.config`, first found wins: `~/.protector`, `~`, `/etc/protector`, `/etc`.
pub(super) struct Search {
    places: Vec<PathBuf>,
    /// `protector`, then the program's own name.
    names: Vec<String>,
}

impl Search {
    /// Where the files are looked for, by the environment of this process.
    pub fn from_environment() -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let program = std::env::args_os()
            .next()
            .and_then(|path| Path::new(&path).file_name().map(OsStr::to_owned));
        Self::new(home.as_deref(), Path::new("/etc"), program.as_deref())
    }

    pub fn new(home: Option<&Path>, etc: &Path, program: Option<&OsStr>) -> Self {
        let mut places = Vec::new();
        if let Some(home) = home {
            places.push(home.join(format!(".{PROJECT}")));
            places.push(home.to_owned());
        }
        places.push(etc.join(PROJECT));
        places.push(etc.to_owned());
        let mut names = vec![PROJECT.to_owned()];
        names.extend(
            program
                .and_then(OsStr::to_str)
                .filter(|name| *name != PROJECT)
                .map(str::to_owned),
        );
        Self { places, names }
    }

    /// At most one `protector.conf` and one `<program>.conf`.
    pub fn files(&self) -> Vec<PathBuf> {
        self.found(".conf", Path::is_file)
    }

    /// At most one `protector.conf.d` and one `<program>.conf.d`.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.found(".conf.d", Path::is_dir)
    }

    fn found(&self, extension: &str, exists: fn(&Path) -> bool) -> Vec<PathBuf> {
        self.names
            .iter()
            .filter_map(|name| {
                self.places
                    .iter()
                    .map(|place| place.join(format!("{name}{extension}")))
                    .find(|path| exists(path))
            })
            .collect()
    }
}

/// The `*.conf` files of a `--config-dir`, sorted by name; hidden files are left out, as a shell's
/// `*` leaves them out.
pub(super) fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let problem = |error: std::io::Error| Problem {
        origin: Origin::Whole(directory.to_owned()),
        subject: String::new(),
        message: format!("the directory cannot be read: {error}"),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(problem)? {
        let name = entry.map_err(problem)?.file_name();
        let wanted = name
            .to_str()
            .is_some_and(|name| name.ends_with(".conf") && !name.starts_with('.'));
        if wanted {
            files.push(directory.join(name));
        }
    }
    files.sort();
    Ok(files)
}
