//! Runs `rbd`, `rados` and `ceph`: a bounded number at a time, each with an end.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use protector_core::storage::{StorageError, StorageErrorKind};
use tokio::{process::Command, time::timeout};

/// Why a program failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// An errno, for `rbd`.
    pub(crate) code: i32,
    /// What was asked for, and what the program said to people.
    pub(crate) message: String,
}

/// What `code` of `rbd` says. `rados` knows only [`EPERM`], and `ceph` few more.
pub(crate) mod code {
    pub(crate) const EPERM: i32 = 1;
    pub(crate) const ENOENT: i32 = 2;
    pub(crate) const EACCES: i32 = 13;
    pub(crate) const EBUSY: i32 = 16;
    pub(crate) const EEXIST: i32 = 17;
    pub(crate) const EINVAL: i32 = 22;
    pub(crate) const EROFS: i32 = 30;
    pub(crate) const ENOTEMPTY: i32 = 39;
    /// The program was still running when its time was up.
    pub(crate) const TOO_LONG: i32 = 124;
    /// The program could not be started.
    pub(crate) const NOT_RUN: i32 = 127;
    /// What a shell adds to the signal that ended a program.
    pub(super) const SIGNAL: i32 = 128;
}

impl Failure {
    /// The error of `array` for it.
    pub(crate) fn on(&self, array: &str) -> StorageError {
        let cure = match self.code {
            code::EPERM => {
                "; the client lacks a right to do that, its ceph.conf cannot be read, or this release of the program does \
                 not know the command"
            }
            _ => "",
        };
        StorageError::new(kind(self.code), array, format!("{}{cure}", self.message))
    }
}

fn kind(of: i32) -> StorageErrorKind {
    match of {
        code::EACCES => StorageErrorKind::Credentials,
        code::EBUSY => StorageErrorKind::Busy,
        code::ENOENT | code::EEXIST | code::EINVAL | code::EROFS | code::ENOTEMPTY => {
            StorageErrorKind::Refused
        }
        // A program also ends with EPERM when it does not understand what it is told.
        code::EPERM | code::NOT_RUN => StorageErrorKind::Misconfigured,
        // ETIMEDOUT (110), ESHUTDOWN (108, a client that was blocked), TOO_LONG, a signal, and all that is not known: nobody can say that it will not pass.
        _ => StorageErrorKind::Unavailable,
    }
}

/// Runs `program` with `arguments`; what it printed. Ended when `limit` is over or nobody waits for it any more.
pub(crate) async fn run(
    program: &Path,
    arguments: &[String],
    limit: Duration,
) -> Result<Vec<u8>, Failure> {
    let doing = described(program, arguments);
    let started = command(program, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let child = started.map_err(|error| not_run(program, &error))?;
    let ended = match timeout(limit, child.wait_with_output()).await {
        Err(_) => {
            return Err(Failure {
                code: code::TOO_LONG,
                message: format!("{doing}: no answer within {} s", limit.as_secs()),
            });
        }
        Ok(ended) => ended.map_err(|error| not_run(program, &error))?,
    };
    match exit_code(ended.status) {
        0 => Ok(ended.stdout),
        code => Err(Failure {
            code,
            message: format!("{doing}: {}", said(&ended.stderr, code)),
        }),
    }
}

/// What becomes of a program when this process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It runs to its end: to be cut off in the middle would leave something broken.
    GoesOn,
    /// Nobody is there to read what it prints, and it changes nothing.
    Ends,
}

/// Runs `program` to its end, however long that takes; what it printed, from its beginning. What it writes goes to files
/// that need no reader, and it has a process group of its own.
pub(crate) async fn run_to_the_end(
    program: &Path,
    arguments: &[String],
    fate: Fate,
) -> Result<File, Failure> {
    let doing = described(program, arguments);
    let file = || -> io::Result<(File, Stdio)> {
        let file = tempfile::tempfile()?;
        let to = Stdio::from(file.try_clone()?);
        Ok((file, to))
    };
    let cannot = |error: io::Error| not_run(program, &error);
    let (mut printed, stdout) = file().map_err(cannot)?;
    let (mut words, stderr) = file().map_err(cannot)?;
    let started = command(program, arguments)
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .kill_on_drop(fate == Fate::Ends)
        .spawn();
    let mut child = started.map_err(cannot)?;
    let ended = child.wait().await;
    match exit_code(ended.map_err(cannot)?) {
        0 => {
            printed.seek(SeekFrom::Start(0)).map_err(cannot)?;
            Ok(printed)
        }
        code => {
            let mut stderr = Vec::new();
            let _ = words.seek(SeekFrom::Start(0));
            let _ = words.read_to_end(&mut stderr);
            Err(Failure {
                code,
                message: format!("{doing}: {}", said(&stderr, code)),
            })
        }
    }
}

fn command(program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    // Times are printed in local time and without a zone.
    command.args(arguments).env("TZ", "UTC").env("LC_ALL", "C");
    command.env_remove("CEPH_ARGS").stdin(Stdio::null());
    command
}

fn not_run(program: &Path, error: &io::Error) -> Failure {
    Failure {
        code: code::NOT_RUN,
        message: format!(
            "{} cannot be run ({error}); install the package ceph-common on this host",
            program.display()
        ),
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| code::SIGNAL + signal))
        .unwrap_or(code::SIGNAL)
}

/// The command without what each one has: whose cluster it is.
fn described(program: &Path, arguments: &[String]) -> String {
    let name = program.file_name().unwrap_or(program.as_os_str());
    let name = name.to_string_lossy();
    let mut words = vec![&*name];
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        match word {
            "-c" | "--id" | "--keyring" | "--format" => {
                rest.next();
            }
            _ if word.starts_with("--client_") || word.starts_with("--rados_") => {}
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// The last thing that a program said to people; librbd's own log lines begin with a time.
fn said(stderr: &[u8], code: i32) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let spoken = lines.rfind(|line| !line.starts_with(|first: char| first.is_ascii_digit()));
    match spoken {
        Some(line) => format!(
            "{} (exit code {code})",
            line.chars().take(300).collect::<String>()
        ),
        None => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended() {
        let failure = run(Path::new("sleep"), &words("60"), Duration::from_millis(20)).await;
        assert_eq!(failure.unwrap_err().code, code::TOO_LONG);
    }

    #[tokio::test]
    async fn the_exit_code_says_what_went_wrong_and_the_last_words_are_told() {
        let script = "echo '2026-11-29T18:22 -1 librbd: noise' >&2; echo 'rbd: busy' >&2; \
                      echo '2026-11-29T18:22 -1 librbd: noise' >&2; exit 16";
        let arguments = ["-c".to_owned(), script.to_owned()];
        let failure = run(Path::new("sh"), &arguments, Duration::from_secs(5)).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, code::EBUSY);
        assert!(
            failure.message.ends_with("rbd: busy (exit code 16)"),
            "{failure:?}"
        );
        assert_eq!(failure.on("a").kind, StorageErrorKind::Busy);
    }

    #[tokio::test]
    async fn a_missing_program_says_what_to_install() {
        let failure = run(Path::new("no-such-rbd"), &[], Duration::from_secs(5)).await;
        let error = failure.unwrap_err().on("a");
        assert_eq!(error.kind, StorageErrorKind::Misconfigured);
        assert!(error.message.contains("ceph-common"), "{error}");
    }

    #[test]
    fn what_identifies_the_client_is_not_told() {
        let all = words(
            "-c /etc/x.conf --id cinder --rados_osd_op_timeout=5 info volumes/x --format json",
        );
        assert_eq!(
            described(Path::new("/usr/bin/rbd"), &all),
            "rbd info volumes/x"
        );
    }

    #[test]
    fn what_a_program_does_not_understand_is_not_told_as_a_wrong_key() {
        let told = |code| {
            Failure {
                code,
                message: "rbd info".to_owned(),
            }
            .on("a")
        };
        assert_eq!(told(code::EACCES).kind, StorageErrorKind::Credentials);
        let error = told(code::EPERM);
        assert_eq!(error.kind, StorageErrorKind::Misconfigured);
        assert!(error.message.contains("lacks a right"), "{error}");
    }

    #[test]
    fn unknown_codes_may_pass() {
        for code in [108, 110, code::TOO_LONG, 5, 139] {
            assert_eq!(kind(code), StorageErrorKind::Unavailable);
        }
    }
}
