//! What the kernel says of this process.

use std::fs;

/// What cannot be read is None: `/proc` may be hidden.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Process {
    /// Of all its threads, in user and in kernel mode.
    pub cpu_seconds: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
}

pub fn process() -> Process {
    Process {
        cpu_seconds: fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)),
        resident_bytes: fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_bytes(&status)),
        // One of them is this look itself.
        open_files: fs::read_dir("/proc/self/fd").ok().map(|files| (files.count() as u64).saturating_sub(1)),
    }
}

/// utime and stime, fields 14 and 15 of proc(5). The second is a name that may hold anything, in parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, kernel): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + kernel) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Whether whoever started this process had it ignore the signal; no where `/proc` does not tell.
pub fn ignores(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored >> (signal - 1) & 1 == 1
}

/// The soft limit of open files; a guess of 1,024 where `/proc` does not tell.
pub fn open_files_limit() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next());
    match soft {
        Some("unlimited") => usize::MAX,
        Some(number) => number.parse().unwrap_or(1024),
        None => 1024,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        let before = process();
        assert!(before.resident_bytes.unwrap() > 1 << 20);
        // Other tests open and close theirs beside this one, but for the three streams.
        assert!(before.open_files.unwrap() >= 3);
        assert!(process().cpu_seconds.unwrap() >= before.cpu_seconds.unwrap());
    }

    #[test]
    fn a_name_with_parentheses_hides_nothing() {
        let ticks = rustix::param::clock_ticks_per_second();
        let stat = format!("7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 {ticks} {} 0 0", 2 * ticks);
        assert_eq!(cpu_seconds(&stat), Some(3.0));
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t    3 kB\n"), Some(3072));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
    }
}
