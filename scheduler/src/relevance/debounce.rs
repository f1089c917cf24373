use std::collections::HashMap;
use std::time::Duration;

/// Lets through the gains of each cluster at most once per period.
#[derive(Debug)]
pub struct Debounce {
    period: Duration,
    /// When each cluster was last let through, or will be.
    last: HashMap<String, Duration>,
}

impl Default for Debounce {
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

impl Debounce {
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            last: HashMap::new(),
        }
    }

    /// How long to wait before acting on a gain; `None` if an earlier gain is waiting already.
    pub fn offer(&mut self, cluster: &str, now: Duration) -> Option<Duration> {
        let Some(last) = self.last.get_mut(cluster) else {
            self.last.insert(cluster.to_owned(), now);
            return Some(Duration::ZERO);
        };
        if *last > now {
            return None;
        }
        *last = now.max(*last + self.period);
        Some(last.saturating_sub(now))
    }

    /// How long to wait before acting, for those who wait on their own each time and so may ask while they wait already.
    pub fn postpone(&mut self, who: &str, now: Duration) -> Duration {
        self.offer(who, now)
            .or_else(|| Some(self.last.get(who)?.saturating_sub(now)))
            .unwrap_or_default()
    }

    /// Forgets a cluster that is gone.
    pub fn remove(&mut self, cluster: &str) {
        self.last.remove(cluster);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_let_through_once_per_period() {
        let at = Duration::from_secs;
        let mut debounce = Debounce::default();
        assert_eq!(debounce.offer("m1", at(0)), Some(at(0)));
        assert_eq!(debounce.offer("m2", at(1)), Some(at(0)));
        assert_eq!(debounce.offer("m1", at(10)), Some(at(20)));
        assert_eq!(debounce.offer("m1", at(11)), None);
        assert_eq!(debounce.offer("m1", at(100)), Some(at(0)));
        assert_eq!(debounce.postpone("m1", at(110)), at(20));
        assert_eq!(debounce.postpone("m1", at(112)), at(18));
        assert_eq!(debounce.postpone("m3", at(112)), at(0));
    }
}
