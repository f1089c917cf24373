//! Webster's method (Sainte-Laguë): how a number of replicas is divided in proportion to weights.
//!
//! By definition seats are given one at a time, each to the party with the largest `weight / (2 × seats + 1)`. Ties go to the party
//! with fewer seats, then by name: ascending or descending, drawn from the template's UID so that single replicas of many
//! workloads do not all land in the same cluster.
//!
//! Computed here in two steps with the same answer: every seat whose quotient lies above a divisor that provably hands out no more
//! than all seats is given at once, the rest (at most one seat per party) one at a time.

use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crds::names::fnv1a32;

/// In which order of names parties with equal claims are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieOrder {
    Ascending,
    Descending,
}

impl TieOrder {
    /// The order for a template with this UID; ascending for an empty one.
    pub fn of_uid(uid: &str) -> Self {
        if uid.is_empty() || fnv1a32(uid.as_bytes()) & 1 == 0 {
            Self::Ascending
        } else {
            Self::Descending
        }
    }
}

/// How two quotients are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotients {
    /// As fractions of integers.
    Exact,
    /// As 64-bit floating point numbers, like the reference: beyond 2^52 rounding turns differences into ties.
    Rounded,
}

/// Divides `seats` among parties given in ascending order of name; the answer has one number per weight.
///
/// Without any weight above 0 nobody gets a seat. If the weights add up to at least `seats`, no party gets more seats than its
/// weight.
pub fn divide(seats: u64, weights: &[u64], ties: TieOrder, quotients: Quotients) -> Vec<u64> {
    let mut result = vec![0_u64; weights.len()];
    let total: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    if total == 0 || seats == 0 {
        return result;
    }
    let rounded = quotients == Quotients::Rounded && exceeds_mantissa(seats, weights);
    let mut left = seats - bulk(seats, weights, total, rounded, &mut result);
    if left == 0 {
        return result;
    }

    let last = weights.len() - 1;
    let claims = weights
        .iter()
        .enumerate()
        .filter(|&(_, &weight)| weight > 0)
        .map(|(party, &weight)| Claim {
            weight,
            divisor: 2 * result[party] + 1,
            party,
            turn: match ties {
                TieOrder::Ascending => party,
                TieOrder::Descending => last - party,
            },
            rounded,
        });
    let mut heap: BinaryHeap<Claim> = claims.collect();
    while left > 0 {
        let Some(mut strongest) = heap.peek_mut() else {
            break;
        };
        result[strongest.party] += 1;
        strongest.divisor += 2;
        left -= 1;
        drop::<PeekMut<'_, Claim>>(strongest);
    }
    result
}

/// Gives every seat whose quotient is above `total / (2 × seats - parties)` and returns how many these are.
///
/// A party of weight w has at most `w × f / (2 × total) + 1/2` such seats, f being `2 × seats - parties`; over all parties that is at
/// most `seats`, so all of them are among the first `seats` of the one-by-one order.
fn bulk(seats: u64, weights: &[u64], total: u128, rounded: bool, result: &mut [u64]) -> u64 {
    let parties = weights.len() as u64;
    let Some(factor) = seats.checked_mul(2).and_then(|it| it.checked_sub(parties)) else {
        return 0;
    };
    // Rounding moves a quotient by less than one part in 2^51; above this larger divisor no rounded tie can reach below the exact
    // one.
    let total = if rounded {
        total + (total >> 49) + 1
    } else {
        total
    };
    let small = u64::try_from(total).ok();
    let mut given = 0_u64;
    for (seats_of_party, &weight) in result.iter_mut().zip(weights) {
        if weight == 0 {
            continue;
        }
        // The number of odd k with k × total < weight × factor.
        let below = match (weight.checked_mul(factor), small) {
            (Some(0), _) => 0,
            (Some(product), Some(total)) => (product - 1) / total,
            _ => {
                let product = u128::from(weight) * u128::from(factor);
                u64::try_from(product.saturating_sub(1) / total)
                    .expect("a share of the seats is at most twice the seats")
            }
        };
        *seats_of_party = below.div_ceil(2);
        given += *seats_of_party;
    }
    given
}

/// Whether the reference's floating point arithmetic can round for these numbers.
fn exceeds_mantissa(seats: u64, weights: &[u64]) -> bool {
    let largest = weights.iter().copied().max().unwrap_or_default();
    u128::from(largest) * (2 * u128::from(seats) + 1) >= 1 << 52
}

/// A party's claim to the next seat; the greatest claim gets it.
struct Claim {
    weight: u64,
    /// `2 × seats + 1`.
    divisor: u64,
    party: usize,
    turn: usize,
    rounded: bool,
}

impl Ord for Claim {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let by_quotient = if self.rounded {
            self.rounded_quotient().total_cmp(&other.rounded_quotient())
        } else {
            let left = u128::from(self.weight) * u128::from(other.divisor);
            let right = u128::from(other.weight) * u128::from(self.divisor);
            left.cmp(&right)
        };
        by_quotient
            .then_with(|| other.divisor.cmp(&self.divisor))
            .then_with(|| other.turn.cmp(&self.turn))
    }
}

impl Claim {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the loss is what this mode reproduces"
    )]
    fn rounded_quotient(&self) -> f64 {
        self.weight as f64 / self.divisor as f64
    }
}

impl PartialOrd for Claim {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Claim {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Claim {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_draw_the_order_of_ties() {
        assert_eq!(TieOrder::of_uid(""), TieOrder::Ascending);
        assert_eq!(
            TieOrder::of_uid("00000000-0000-0000-0000-000000000001"),
            TieOrder::Ascending
        );
        assert_eq!(
            TieOrder::of_uid("00000000-0000-0000-0000-000000000002"),
            TieOrder::Descending
        );
    }

    #[test]
    fn rounding_turns_a_difference_into_a_tie() {
        let weights = [1_232_334_251_123_622, 362_451_250_330_477];
        let of = |quotients| divide(11, &weights, TieOrder::Ascending, quotients);
        assert_eq!(of(Quotients::Exact), [9, 2]);
        assert_eq!(of(Quotients::Rounded), [8, 3]);
    }

    #[test]
    fn extreme_numbers_divide_without_overflow() {
        let weights = [u64::MAX, u64::MAX, 1, 0];
        let seats = divide(
            u64::from(u32::MAX),
            &weights,
            TieOrder::Ascending,
            Quotients::Exact,
        );
        assert_eq!(seats.iter().sum::<u64>(), u64::from(u32::MAX));
        assert_eq!(seats[3], 0);
    }
}
