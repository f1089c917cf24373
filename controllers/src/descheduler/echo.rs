//! Replicas that come back to where they were taken from.
//!
//! A scheduler that knows only the sums of a cluster may put the very replicas back that found no node there. Taking them out again at
//! every look would move them to and fro for ever, so each time it happens the next attempt waits for twice as many looks.

use crds::work::TargetCluster;

/// The most looks that are skipped.
const LONGEST: u32 = 32;

/// What was taken out of one binding, and whether it came back.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// The targets before the latest descheduling.
    before: Vec<TargetCluster>,
    /// How many looks the next descheduling waits for.
    wait: u32,
    /// How many of them have passed.
    waited: u32,
}

impl Echo {
    /// Whether this look should leave the targets alone, because they are those that replicas were taken out of before.
    pub(super) fn holds_back(&mut self, now: &[TargetCluster]) -> bool {
        if self.before != now {
            self.wait = 0;
            return false;
        }
        if self.waited < self.wait {
            self.waited += 1;
            return true;
        }
        false
    }

    /// Takes note that replicas were taken out of these targets.
    pub(super) fn taken_out(&mut self, before: &[TargetCluster]) {
        if self.before == before {
            self.wait = (self.wait * 2).clamp(1, LONGEST);
        } else {
            self.before = before.to_vec();
            self.wait = 0;
        }
        self.waited = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(replicas: i32) -> Vec<TargetCluster> {
        vec![TargetCluster {
            name: "m1".to_owned(),
            replicas: Some(replicas),
        }]
    }

    /// In how many looks of `looks` replicas are taken out when they come back every time.
    fn taken(echo: &mut Echo, looks: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        for look in 0..looks {
            if !echo.holds_back(&targets(3)) {
                echo.taken_out(&targets(3));
                taken.push(look);
            }
        }
        taken
    }

    #[test]
    fn replicas_that_come_back_wait_longer_each_time() {
        let mut echo = Echo::default();
        assert_eq!(taken(&mut echo, 16), [0, 1, 3, 6, 11]);
        assert!(!echo.holds_back(&targets(4)), "other targets start over");
        echo.taken_out(&targets(4));
        assert_eq!(taken(&mut echo, 3), [0, 1]);
    }
}
