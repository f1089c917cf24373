//! The fields of a type, by name.

use super::Shape;

/// Fields of a type.
///
/// Most of the time that a check takes goes into finding them, so they are in a hash table of this type's own.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) members: Vec<Member>,
    /// For each hash the position in `members`, from 1, of the field with it, or of the one that was there first, with the others
    /// in the places after it; 0 ends the search. At least half of the places are 0.
    places: Vec<u16>,
    /// Names of fields that have to be there.
    pub(super) required: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) name: &'static str,
    key: Key,
    pub(super) shape: Shape,
}

/// The ends of a name and its length, which tell names of up to 16 bytes apart without a look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    first: u64,
    last: u64,
    length: usize,
}

impl Key {
    /// Names of up to so many bytes are equal when their keys are.
    const WHOLE: usize = 16;

    #[inline]
    fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (bytes.first_chunk(), bytes.last_chunk()) {
                (Some(first), Some(last)) => (
                    u32::from_le_bytes(*first).into(),
                    u32::from_le_bytes(*last).into(),
                ),
                _ => (
                    bytes
                        .iter()
                        .fold(0, |key, byte| key << 8 | u64::from(*byte)),
                    0,
                ),
            },
        };
        Self {
            first,
            last,
            length: bytes.len(),
        }
    }

    /// The high half of a product with an odd number depends on all bits.
    #[inline]
    fn hash(self) -> usize {
        let mixed = self.first ^ self.last.rotate_left(25) ^ self.length as u64;
        usize::try_from(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).unwrap_or_default()
    }
}

impl Fields {
    pub(super) fn push(&mut self, name: &'static str, shape: Shape) {
        let name = match name.strip_suffix('!') {
            Some(name) => {
                self.required.push(name);
                name
            }
            None => name,
        };
        let key = Key::of(name);
        self.members.push(Member { name, key, shape });
        if self.places.len() < 2 * self.members.len() {
            self.places = vec![0; 4 * self.members.len().next_power_of_two()];
            for position in 0..self.members.len() {
                self.place(position);
            }
        } else {
            self.place(self.members.len() - 1);
        }
    }

    /// Enters the member into the first free place from its hash on.
    fn place(&mut self, position: usize) {
        let last = self.places.len() - 1;
        let mut place = self.members[position].key.hash() & last;
        while self.places[place] != 0 {
            place = (place + 1) & last;
        }
        self.places[place] = u16::try_from(position + 1).expect("a type has some fields");
    }

    #[inline]
    pub(super) fn find(&self, name: &str) -> Option<&Member> {
        let last = self.places.len().checked_sub(1)?;
        let key = Key::of(name);
        let mut place = key.hash() & last;
        loop {
            let member = self
                .members
                .get(usize::from(self.places[place]).checked_sub(1)?)?;
            if member.key == key && (key.length <= Key::WHOLE || member.name == name) {
                return Some(member);
            }
            place = (place + 1) & last;
        }
    }
}
