//! A program that runs as a child, with its output in a file.

use std::{
    fmt, fs,
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use crate::waiting::until;

pub const API: &str = env!("CARGO_BIN_EXE_protector-api");
pub const ENGINE: &str = env!("CARGO_BIN_EXE_protector-engine");
pub const MANAGE: &str = env!("CARGO_BIN_EXE_protector-manage");

/// The simulated clouds: a package of its own, built beside these.
pub fn simcloud() -> String {
    let path = Path::new(API).with_file_name("protector-simcloud");
    assert!(
        path.exists(),
        "{} is not built: run 'cargo build -p protector-simcloud'",
        path.display()
    );
    path.display().to_string()
}

/// What a process holds of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Open file descriptors, connections among them.
    pub descriptors: usize,
    /// Resident memory, in KiB.
    pub memory: u64,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory / 1024;
        write!(f, "{} descriptors and {memory} MiB", self.descriptors)
    }
}

/// A child, killed when it goes out of scope.
pub struct Program {
    child: Child,
    name: String,
}

impl Program {
    /// Starts `binary`; what it says is appended to `log`.
    pub fn start(binary: &str, arguments: &[String], log: &Path) -> Self {
        let mut command = Command::new(binary);
        command.args(arguments);
        Self::spawn(command, log)
    }

    /// Starts `command`; what it says is appended to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Self {
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let name = PathBuf::from(command.get_program());
        Self {
            child,
            name: name.file_name().unwrap().to_string_lossy().into_owned(),
        }
    }

    /// Starts `binary` so that it outlives writes for which [`Program::fill_disk`] leaves no room.
    pub fn start_on_small_disk(binary: &str, arguments: &[String], log: &Path) -> Self {
        let mut command = Command::new("sh");
        let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
        command.args(["-c", script, binary]).args(arguments);
        Self::spawn(command, log)
    }

    /// What it holds now.
    pub fn held(&self) -> Held {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(process.join("status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
        Held {
            descriptors: fs::read_dir(process.join("fd")).unwrap().count(),
            memory: memory.unwrap(),
        }
    }

    /// From now on no file that it writes takes a byte, as on a disk that is full.
    pub fn fill_disk(&self) {
        self.limit_files("0:");
    }

    /// There is room again.
    pub fn free_disk(&self) {
        self.limit_files("unlimited:");
    }

    fn limit_files(&self, limit: &str) {
        let pid = self.child.id().to_string();
        let limit = format!("--fsize={limit}");
        let mut command = Command::new("prlimit");
        command.args(["--pid", &pid, &limit]);
        let limited = command.status().unwrap();
        assert!(limited.success(), "{command:?}");
    }

    /// SIGSTOP: it stands still, at a moment at which it holds no lock on the database's file, which would keep everybody
    /// else from going on too.
    pub async fn freeze(&self) {
        let what = format!("{} to let go of its files", self.name);
        until(&what, Duration::from_secs(10), async || {
            self.send("-STOP");
            let still = self.locks_of_files() == 0;
            if !still {
                self.send("-CONT");
            }
            still.then_some(())
        })
        .await;
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.send("-CONT");
    }

    /// How many parts of files it has locked for writing, as SQLite does for a transaction.
    fn locks_of_files(&self) -> usize {
        let pid = self.child.id().to_string();
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let of_it = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.contains(&"POSIX") && words.contains(&"WRITE") && words.contains(&pid.as_str())
        };
        locks.lines().filter(of_it).count()
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.send("-HUP");
    }

    /// SIGKILL, and its end waited for.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end waited for.
    pub async fn terminate(self) -> ExitStatus {
        self.signal("-TERM").await
    }

    /// SIGINT, as Ctrl-C sends it, and its end waited for.
    pub async fn interrupt(self) -> ExitStatus {
        self.signal("-INT").await
    }

    fn send(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(told.success(), "kill {signal} {pid}");
    }

    async fn signal(mut self, signal: &str) -> ExitStatus {
        self.send(signal);
        let what = format!("{} to stop", self.name);
        until(&what, Duration::from_secs(30), async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    /// Panics when it has ended.
    pub fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended: {status}", self.name);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `binary` to its end, which it must reach by itself within `patience`.
pub async fn run_to_end(binary: &str, arguments: &[&str], patience: Duration) -> Output {
    let mut command = Command::new(binary);
    command.args(arguments);
    run_command(command, patience).await
}

/// Runs `command` to its end, which it must reach by itself within `patience`.
pub async fn run_command(mut command: Command, patience: Duration) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let deadline = std::time::Instant::now() + patience;
    while child.try_wait().unwrap().is_none() {
        if std::time::Instant::now() > deadline {
            let _ = child.kill();
            panic!("{command:?} still runs after {patience:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.wait_with_output().unwrap()
}

/// What a program said before it ended.
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
