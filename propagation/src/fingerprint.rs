//! Short texts that change when a longer one does.

/// FNV-1a with 64 bits, as 16 hexadecimal digits. Good for telling versions of one thing apart, not for keeping secrets.
pub(crate) fn of(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
