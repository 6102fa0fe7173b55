//! How many records a database holds, and a digest of all of them, kept up with every write. A view that has lost a
//! record, or kept one that was removed, does not have the sum that the head record says.

use super::keys;

/// Entries but for the head, and the sum over all of them of a hash of key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub entries: u64,
    pub digest: u64,
}

impl Sum {
    /// The hash of an entry: the value's own checksum (which covers the key) and the key's, mixed so that sums do not
    /// cancel out (the finaliser of SplitMix64, Steele et al. 2014).
    pub(super) fn hash(key: &[u8], value: &[u8]) -> u64 {
        let stored = value.last_chunk::<4>().map_or(0, |sum| u32::from_le_bytes(*sum));
        let mut x = (u64::from(stored) << 32 | u64::from(crc32fast::hash(key))).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Puts an entry of one hash in the place of one of another; none is no entry.
    pub(super) fn exchange(&mut self, key: &[u8], old: Option<u64>, new: Option<u64>) {
        if key == [keys::HEAD] {
            return;
        }
        self.entries = self.entries.wrapping_add(u64::from(new.is_some())).wrapping_sub(u64::from(old.is_some()));
        self.digest = self.digest.wrapping_add(new.unwrap_or(0)).wrapping_sub(old.unwrap_or(0));
    }

    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.exchange(key, None, Some(Self::hash(key, value)));
    }

    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) {
        self.exchange(key, Some(Self::hash(key, value)), None);
    }
}
