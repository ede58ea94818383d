//! Memory that this process takes, where the system says so.

/// Now.
pub(crate) fn resident_bytes() -> Option<u64> {
    read("VmRSS:")
}

/// At most, since it started.
pub(crate) fn peak_bytes() -> Option<u64> {
    read("VmHWM:")
}

fn read(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    find(&status, name)
}

/// `VmRSS:     1234 kB`
fn find(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_by_its_name() {
        let status = "VmPeak:\t  9 kB\nVmHWM:\t 7 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(find(status, "VmRSS:"), Some(1234 << 10));
        assert_eq!(find(status, "VmHWM:"), Some(7 << 10));
        for none in ["", "VmRSS:\t12\n", "VmRSS:\tmany kB\n"] {
            assert_eq!(find(none, "VmRSS:"), None);
        }
    }
}
