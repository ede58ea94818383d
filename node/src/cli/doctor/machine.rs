//! Checks of this machine: state directory, limits, memory, clock, certificates, socket buffers.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use airlift_protocol::units::ByteCount;
use rustix::process::{Resource, getrlimit};

use super::Check;
use crate::cli::console::words;
use crate::cli::format::{counted, utc};
use crate::config::Config;
use crate::network::data::SOCKET_BYTES;
use crate::runtime::clock;

/// Space below which a job of many objects may not find room for its state.
const STATE_SPACE_WARN: u64 = 1 << 30;
/// Space below which hardly any job does.
const STATE_SPACE_FAIL: u64 = 64 << 20;
/// Files that a busy job may have open at once, with room to spare.
const OPEN_FILES_MIN: u64 = 1024;
/// This program is younger than this moment, 1 January 2026, in milliseconds since 1970.
const CLOCK_MIN_MS: u64 = 1_767_225_600_000;
/// How far the clocks of machine and state directory may be apart.
const CLOCK_DRIFT_MAX: Duration = Duration::from_secs(60);

/// Where systems keep the certificates they trust.
const CERTIFICATE_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// Every check of this machine.
pub(super) fn checks(config: &Config) -> Vec<Check> {
    let mut checks = state_directory(&config.state_dir);
    checks.extend([open_files(), memory(config.memory_bytes), cores(), time(), certificates()]);
    checks.extend(socket_buffers(Path::new("/proc/sys/net/core")));
    checks
}

/// Whether the system gives sockets the buffers that a node asks for; nothing where it does not say.
fn socket_buffers(settings: &Path) -> Option<Check> {
    const NAME: &str = "socket buffers";
    let largest = |name: &str| fs::read_to_string(settings.join(name)).ok()?.trim().parse().ok();
    let bytes: u64 = largest("rmem_max")?;
    let (bytes, wanted) = (bytes.min(largest("wmem_max")?), SOCKET_BYTES as u64);
    let found = format!("up to {}", ByteCount(bytes));
    Some(match bytes < wanted {
        false => Check::ok(NAME, found),
        true => Check::warn(
            NAME,
            found,
            format!(
                "a node that is busy loses datagrams: sysctl -w net.core.rmem_max={wanted} \
                 net.core.wmem_max={wanted}"
            ),
        ),
    })
}

/// Whether the state directory can be written, has space, and sits on a fitting file system.
fn state_directory(path: &Path) -> Vec<Check> {
    const NAME: &str = "state directory";
    let shown = path.display();
    let drift = match try_write(path) {
        Ok(drift) => drift,
        Err(error) => {
            let found = format!("{shown} cannot be written: {}", words(&error));
            let advice = "make it writable, or name another with --state-dir or AIRLIFT_STATE_DIR";
            return vec![Check::fail(NAME, found, advice)];
        }
    };
    let mut checks = vec![match file_system(path) {
        Some(kind @ ("tmpfs" | "ramfs")) => Check::warn(
            NAME,
            format!("{shown} is writable, on {kind}"),
            "a restart of the machine loses it, and with it the way to resume: choose a disk",
        ),
        Some(kind @ ("nfs" | "cifs" | "fuse")) => Check::warn(
            NAME,
            format!("{shown} is writable, on {kind}"),
            "a local disk is faster and keeps its locks better",
        ),
        kind => Check::ok(NAME, format!("{shown} is writable, on {}", kind.unwrap_or("a disk"))),
    }];
    checks.push(space(path));
    if drift > CLOCK_DRIFT_MAX {
        checks.push(Check::warn(
            "clock of the state directory",
            format!("{} away from this machine's", counted(drift.as_secs(), "second")),
            "set both clocks by NTP",
        ));
    }
    checks
}

/// Writes, syncs and removes a file; answers how far its time is from this machine's.
fn try_write(directory: &Path) -> io::Result<Duration> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("doctor-{}", std::process::id()));
    let now = wall();
    let written = (|| {
        let mut file = File::create(&path)?;
        file.write_all(b"airlift doctor")?;
        file.sync_all()?;
        file.metadata()?.modified()
    })();
    fs::remove_file(&path)?;
    let written = written?;
    Ok(written.duration_since(now).unwrap_or_else(|error| error.duration()))
}

/// The file system, where its kind matters.
fn file_system(path: &Path) -> Option<&'static str> {
    // The numbers are those of statfs(2); the type they have differs between machines.
    match u64::try_from(rustix::fs::statfs(path).ok()?.f_type).ok()? & 0xffff_ffff {
        0x0102_1994 => Some("tmpfs"),
        0x8584_58f6 => Some("ramfs"),
        0x6969 => Some("nfs"),
        0xff53_4d42 | 0xfe53_4d42 => Some("cifs"),
        0x6573_5546 => Some("fuse"),
        0xef53 => Some("ext4"),
        0x5846_5342 => Some("xfs"),
        0x9123_683e => Some("btrfs"),
        0x2fc1_2fc1 => Some("zfs"),
        0x794c_7630 => Some("overlayfs"),
        _ => None,
    }
}

fn space(path: &Path) -> Check {
    const NAME: &str = "space for state";
    let free = match rustix::fs::statvfs(path) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            let found = words(&error.into());
            return Check::warn(NAME, found, "look at it with df");
        }
    };
    let found = format!("{} free", ByteCount(free));
    match free {
        0..STATE_SPACE_FAIL => Check::fail(NAME, found, "make room, or name another --state-dir"),
        STATE_SPACE_FAIL..STATE_SPACE_WARN => {
            Check::warn(NAME, found, "a job of many millions of objects needs about 1 GiB")
        }
        _ => Check::ok(NAME, found),
    }
}

fn open_files() -> Check {
    const NAME: &str = "open files";
    let limit = getrlimit(Resource::Nofile);
    match limit.current {
        Some(current) if current < OPEN_FILES_MIN => Check::warn(
            NAME,
            format!("at most {current}"),
            match limit.maximum {
                Some(maximum) if maximum < OPEN_FILES_MIN => {
                    "raise 'nofile' in /etc/security/limits.conf to 65536".to_owned()
                }
                _ => "run 'ulimit -n 65536' before".to_owned(),
            },
        ),
        Some(current) => Check::ok(NAME, format!("at most {current}")),
        None => Check::ok(NAME, "no limit"),
    }
}

fn memory(budget: u64) -> Check {
    const NAME: &str = "memory";
    let Some(available) = available_memory() else {
        return Check::warn(NAME, "cannot be told", "see that twice the setting 'memory' is free");
    };
    let found =
        format!("{} available, {} for bytes on their way", ByteCount(available), ByteCount(budget));
    match available < budget.saturating_mul(2) {
        true => Check::warn(NAME, found, "lower the setting 'memory' or free some"),
        false => Check::ok(NAME, found),
    }
}

/// What the system says is available, or the group's limit when that is less.
fn available_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    Some((kib << 10).min(group))
}

fn cores() -> Check {
    const NAME: &str = "cores";
    match std::thread::available_parallelism() {
        Ok(cores) if cores.get() == 1 => {
            Check::warn(NAME, "1", "hashing and compressing share it with everything else")
        }
        Ok(cores) => Check::ok(NAME, cores.to_string()),
        Err(error) => Check::warn(NAME, words(&error), "see nproc"),
    }
}

fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(clock::wall().0)
}

fn time() -> Check {
    const NAME: &str = "clock";
    let advice = "set it by NTP: stores refuse requests that are signed at a wrong time";
    let now = clock::wall().0;
    let shown = i64::try_from(now)
        .map_or_else(|_| "far away".to_owned(), |now| utc(now.saturating_mul(1_000_000)));
    match now >= CLOCK_MIN_MS {
        true => Check::ok(NAME, shown),
        false => Check::fail(NAME, format!("{shown} is in the past"), advice),
    }
}

fn certificates() -> Check {
    const NAME: &str = "TLS certificates";
    let named = std::env::var_os("SSL_CERT_FILE").map(std::path::PathBuf::from);
    if let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) {
        let found = format!("SSL_CERT_FILE = {}", path.display());
        return match File::open(path) {
            Ok(_) => Check::ok(NAME, found),
            Err(error) => {
                let found = format!("{found}: {}", words(&error));
                Check::fail(NAME, found, "name a file that can be read, or unset it")
            }
        };
    }
    match CERTIFICATE_FILES.iter().find(|path| File::open(path).is_ok()) {
        Some(path) => Check::ok(NAME, *path),
        None => Check::warn(
            NAME,
            "none found",
            "install the package ca-certificates, or set SSL_CERT_FILE: https:// stores need it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_state_directory_that_can_be_made_is_fine_and_left_empty() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/state");
        let checks = state_directory(&path);
        assert!(checks.iter().all(|check| check.level < Level::Fail), "{checks:?}");
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }

    #[test]
    fn a_state_directory_below_a_file_fails_and_says_what_to_change() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        let checks = state_directory(&directory.path().join("file/state"));
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].level, Level::Fail);
        assert!(checks[0].line().contains("--state-dir"), "{}", checks[0].line());
    }

    #[test]
    fn a_budget_beyond_the_memory_is_a_warning() {
        assert_eq!(memory(u64::MAX).level, Level::Warn);
    }

    #[test]
    fn small_socket_buffers_are_named_with_the_way_out() {
        let settings = tempfile::tempdir().unwrap();
        assert!(socket_buffers(settings.path()).is_none(), "where the system does not say");
        for (bytes, is_told) in [(SOCKET_BYTES, false), (212_992, true)] {
            fs::write(settings.path().join("rmem_max"), format!("{bytes}\n")).unwrap();
            fs::write(settings.path().join("wmem_max"), format!("{}\n", 8 << 20)).unwrap();
            let shown = format!("{:?}", socket_buffers(settings.path()).unwrap());
            assert_eq!(shown.contains("sysctl -w net.core.rmem_max=4194304"), is_told, "{shown}");
        }
    }
}
