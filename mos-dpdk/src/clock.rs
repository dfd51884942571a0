//! The time of live ports: that of the system's clock when the process first asked, and from there on steady.

use mos_flow::Instant;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// Microseconds since 1970, never going back. Steps of the system's clock are not followed: time-outs go by this time.
pub fn now() -> Instant {
    static ORIGIN: OnceLock<(Instant, std::time::Instant)> = OnceLock::new();
    let (origin, started) = ORIGIN.get_or_init(|| {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        (Instant(0) + since_1970.unwrap_or(Duration::ZERO), std::time::Instant::now())
    });
    *origin + started.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_that_of_the_system_and_goes_on() {
        let system = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let first = now();
        std::thread::sleep(Duration::from_millis(2));
        let second = now();
        assert!(second.since(first) >= Duration::from_millis(2));
        assert!(first.0.abs_diff(system.as_micros() as u64) < 60_000_000, "{first} {system:?}");
    }
}
