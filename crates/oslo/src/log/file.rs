//! A file that lines are appended to, and that a log rotation may move away.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::LogError;

/// An open log file. Several programs may append to one: each line is written at once.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    option: &'static str,
    file: Mutex<File>,
}

impl LogFile {
    /// Opens `path` for appending, and makes it when it is not there. `option` is what an operator set it with.
    ///
    /// # Errors
    /// It cannot be opened for writing.
    pub fn open(path: PathBuf, option: &'static str) -> Result<Self, LogError> {
        let file = Mutex::new(opened(&path, option)?);
        Ok(Self { path, option, file })
    }

    /// Opens what is at its path now, and closes what was open: after a log rotation.
    ///
    /// # Errors
    /// It cannot be opened for writing; what was open stays so.
    pub fn reopen(&self) -> Result<(), LogError> {
        let file = opened(&self.path, self.option)?;
        *self.lock() = file;
        Ok(())
    }

    /// Appends `line` and ends it.
    ///
    /// # Errors
    /// It cannot be written: a full disk, for example.
    pub fn append(&self, line: &str) -> io::Result<()> {
        self.lock().write_all(format!("{line}\n").as_bytes())
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn opened(path: &PathBuf, option: &'static str) -> Result<File, LogError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        // Whatever the umask: it holds tenants' names and addresses.
        .mode(0o640)
        .open(path)
        .map_err(|source| LogError::File {
            path: path.clone(),
            option,
            source,
        })
}

impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.lock().write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let log = LogFile::open(path.clone(), "[audit] log_file").unwrap();
        log.append("before").unwrap();
        let moved = dir.path().join("audit.log.1");
        fs::rename(&path, &moved).unwrap();
        log.append("still there").unwrap();
        log.reopen().unwrap();
        log.append("after").unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "before\nstill there\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
    }

    #[test]
    fn what_cannot_be_opened_anew_leaves_the_old_file_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.log");
        let log = LogFile::open(path.clone(), "[DEFAULT] log_dir").unwrap();
        let moved = dir.path().join("api.log.1");
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        let refused = log.reopen().unwrap_err().to_string();
        assert!(refused.contains("[DEFAULT] log_dir"), "{refused}");
        log.append("kept").unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "kept\n");
    }
}
