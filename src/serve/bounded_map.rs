//! A map that forgets: what is over, and of too many entries those that matter least.
//!
//! Sessions, answers of repeated writes and failures at doors are all kept by keys that callers make up or cause, for a
//! time. So each has a bound on its entries (and on the bytes of them, where those differ in size), and an order in
//! which they go.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// What is kept for a time.
pub(super) trait Kept {
    /// The time that it is held against.
    type Time: Copy;
    /// Its place in the order in which entries go, the least first.
    type Order: Ord;

    /// Whether it is forgotten whenever room is made.
    fn is_over(&self, now: Self::Time) -> bool;

    /// When it goes among others; `None` where it must stay.
    fn order(&self, now: Self::Time) -> Option<Self::Order>;

    /// Bytes that it takes, as far as they are bounded.
    fn weight(&self) -> usize {
        0
    }
}

/// Bounds of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Entries at most.
    pub entries: usize,
    /// Bytes by [`Kept::weight`] at most.
    pub weight: usize,
    /// A full map is emptied to one part in this many below its bounds, so that not every entry that comes looks
    /// through them all; 0 takes out no more than must go.
    pub spare: usize,
}

/// The map.
#[derive(Debug)]
pub(super) struct BoundedMap<K, V> {
    entries: HashMap<K, V>,
    weight: usize,
    bounds: Bounds,
}

impl<K: Eq + Hash + Clone + Ord, V: Kept> BoundedMap<K, V> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { entries: HashMap::new(), weight: 0, bounds }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    /// An entry to be changed, whose weight must stay.
    pub(super) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key)
    }

    /// Puts an entry in place of the one with its key; it is in the map whatever its bounds are.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.weight += value.weight();
        if let Some(before) = self.entries.insert(key, value) {
            self.weight -= before.weight();
        }
    }

    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(before) = self.entries.remove(key) {
            self.weight -= before.weight();
        }
    }

    /// Makes room for one more entry, where the map is full: what is over goes, and then what matters least.
    pub(super) fn make_room(&mut self, now: V::Time) {
        let Bounds { entries, weight, spare } = self.bounds;
        if self.entries.len() < entries && self.weight < weight {
            return;
        }
        let over: Vec<K> = self.entries.iter().filter(|(_, v)| v.is_over(now)).map(|(k, _)| k.clone()).collect();
        over.iter().for_each(|key| self.remove(key));
        let mut going: Vec<(V::Order, K)> =
            self.entries.iter().filter_map(|(k, v)| Some((v.order(now)?, k.clone()))).collect();
        going.sort_unstable();
        let less = |bound: usize| bound - bound.checked_div(spare).unwrap_or(0);
        for (_, key) in going {
            if self.entries.len() < less(entries) && self.weight < less(weight) {
                break;
            }
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Entry(u32, usize);

    impl Kept for Entry {
        type Time = u32;
        type Order = u32;

        fn is_over(&self, now: u32) -> bool {
            self.0 + 100 < now
        }

        fn order(&self, _: u32) -> Option<u32> {
            (self.0 != 7).then_some(self.0)
        }

        fn weight(&self) -> usize {
            self.1
        }
    }

    #[test]
    fn what_is_over_goes_then_the_oldest_and_what_must_stay_stays() {
        let mut map = BoundedMap::new(Bounds { entries: 16, weight: 100, spare: 4 });
        for i in 0..40 {
            map.make_room(i);
            map.put(i, Entry(i, 1));
            assert!(map.len() <= 16);
        }
        assert!(map.get(&39).is_some() && map.get(&7).is_some() && map.get(&20).is_none());
        // By weight, though few.
        map.put(40, Entry(40, 90));
        map.make_room(41);
        assert!(map.get(&7).is_some() && map.len() < 12 && map.weight < 100, "{} {}", map.len(), map.weight);
        (0..200).for_each(|i| map.put(i, Entry(i, 0)));
        map.make_room(110);
        assert!(map.get(&8).is_none() && map.get(&199).is_some());
        map.put(199, Entry(199, 3));
        map.remove(&199);
        assert_eq!(map.weight, map.entries.values().map(Kept::weight).sum::<usize>());
    }

    #[test]
    fn without_spare_no_more_goes_than_must() {
        let mut map = BoundedMap::new(Bounds { entries: 4, weight: usize::MAX, spare: 0 });
        for i in 0..9 {
            map.make_room(i);
            map.put(i, Entry(i, 0));
        }
        assert_eq!(map.len(), 4);
    }
}
