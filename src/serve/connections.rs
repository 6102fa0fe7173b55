//! Places for connections: how many there are at once, in all and of one address, and whose goes when a new one comes
//! and none is left.
//!
//! 1. A connection is a stranger's until a request on it has shown a key that may do what it asks. Where no place is
//!    left, the oldest stranger's connection is cut off for the new one: whoever holds places without a key shuts
//!    nobody out who has one and shows it at once.
//! 2. Connections of callers with a key keep their places; they have three of four. Beyond these they count as
//!    strangers', so that a door always gets in. Connections that asked for an access decision keep theirs always.
//! 3. Both hold for all places, and for those of one address.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::rank::Rank;

/// Of the places, callers with a key keep this share.
const KEPT: (usize, usize) = (3, 4);

/// A connection by age and by where it comes from: the oldest is the least.
type Aged = (u64, SocketAddr);

/// The places that some connections hold, of an address or in all.
#[derive(Debug, Default)]
struct Holders {
    count: usize,
    keyed: usize,
    strangers: BTreeSet<Aged>,
}

impl Holders {
    fn add(&mut self, one: Aged) {
        self.count += 1;
        self.strangers.insert(one);
    }

    fn remove(&mut self, one: Aged, rank: Rank) {
        self.count -= 1;
        self.leave(one, rank);
    }

    fn leave(&mut self, one: Aged, rank: Rank) {
        match rank {
            Rank::Stranger => drop(self.strangers.remove(&one)),
            Rank::Keyed => self.keyed -= 1,
            Rank::Door => {}
        }
    }
}

#[derive(Debug)]
struct Holder {
    age: u64,
    rank: Rank,
    /// Dropped to cut the connection off.
    _line: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    by_peer: HashMap<SocketAddr, Holder>,
    by_address: HashMap<IpAddr, Holders>,
    all: Holders,
}

impl Places {
    /// Frees the place of a connection; it is cut off where it still stands.
    fn free(&mut self, peer: SocketAddr) {
        let Some(holder) = self.by_peer.remove(&peer) else { return };
        let one = (holder.age, peer);
        self.all.remove(one, holder.rank);
        let address = caller(peer.ip());
        if let Some(holders) = self.by_address.get_mut(&address) {
            holders.remove(one, holder.rank);
            // Addresses come and go: those that hold nothing are not kept.
            if holders.count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// The places for connections of a service.
#[derive(Debug)]
pub(super) struct Connections {
    most: AtomicUsize,
    each: usize,
    places: Mutex<Places>,
}

/// Who an address stands for: with IPv6 a caller has a network of 64 bits to choose addresses from.
fn caller(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

impl Connections {
    /// `most` places, `each` of them for one address.
    pub(super) fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { most: most.into(), each, places: Mutex::default() })
    }

    /// Bounds all places further: the process can hold no more connections than that.
    pub(super) fn bound(&self, most: usize) {
        self.most.fetch_min(most, Ordering::Relaxed);
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// A place for a new connection; none where all are taken by callers who have shown a key.
    pub(super) fn place(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // The same address and port again: the connection that had them is no more.
        places.free(peer);
        let address = caller(peer.ip());
        let of_address = places.by_address.get(&address);
        if of_address.is_some_and(|a| a.count >= self.each) {
            let (_, oldest) = of_address?.strangers.first().copied()?;
            places.free(oldest);
        }
        if places.all.count >= self.most() {
            let (_, oldest) = places.all.strangers.first().copied()?;
            places.free(oldest);
        }
        let age = places.next;
        places.next += 1;
        let (line, cut) = oneshot::channel();
        places.by_peer.insert(peer, Holder { age, rank: Rank::Stranger, _line: line });
        places.by_address.entry(address).or_default().add((age, peer));
        places.all.add((age, peer));
        Some(Place { connections: self.clone(), peer, age, cut })
    }

    /// A request on that connection has shown a key.
    pub(super) fn known(&self, peer: SocketAddr, rank: Rank) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let Places { by_peer, by_address, all, .. } = &mut *places;
        let Some(holder) = by_peer.get_mut(&peer).filter(|h| h.rank < rank) else { return };
        let Some(of_address) = by_address.get_mut(&caller(peer.ip())) else { return };
        let full = |holders: &Holders, most: usize| holders.keyed >= (most * KEPT.0 / KEPT.1).max(1);
        if rank == Rank::Keyed && (full(all, self.most()) || full(of_address, self.each)) {
            return;
        }
        let one = (holder.age, peer);
        for holders in [all, of_address] {
            holders.leave(one, holder.rank);
            holders.keyed += usize::from(rank == Rank::Keyed);
        }
        holder.rank = rank;
    }
}

/// A connection's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    peer: SocketAddr,
    age: u64,
    /// Ends when the place is another's.
    pub cut: oneshot::Receiver<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.connections.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Cut off before, and the address and port may be another's by now.
        if places.by_peer.get(&self.peer).is_some_and(|h| h.age == self.age) {
            places.free(self.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, port: u16) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), port)
    }

    fn is_cut(place: &mut Place) -> bool {
        !matches!(place.cut.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let connections = Connections::new(100, 2);
        let place = |address, port| connections.place(peer(address, port));
        let mut held = [place("10.0.0.1", 1).unwrap(), place("10.0.0.1", 2).unwrap()];
        assert!(!held.iter_mut().any(is_cut));
        // The same address as IPv6 has it: its oldest connection goes, and nobody else's.
        let third = place("::ffff:10.0.0.1", 3).unwrap();
        assert_eq!(held.each_mut().map(is_cut), [true, false]);
        let other = place("10.0.0.2", 1).unwrap();
        let networks = [place("2001:db8::1", 1), place("2001:db8::ffff:2", 1), place("2001:db8:0:1::1", 1)];
        assert_eq!(connections.places.lock().unwrap().by_address.len(), 4);
        drop((held, third, other, networks));
        let places = connections.places.lock().unwrap();
        assert!(places.by_address.is_empty() && places.by_peer.is_empty(), "who holds nothing is not kept");
        assert_eq!((places.all.count, places.all.keyed, places.all.strangers.len()), (0, 0, 0));
    }

    #[test]
    fn strangers_give_way_and_whoever_has_shown_a_key_does_not() {
        let connections = Connections::new(8, 8);
        let place = |port| connections.place(peer("10.0.0.1", port)).unwrap();
        let mut keyed: Vec<Place> = (0..8).map(place).collect();
        (0..8).for_each(|port| connections.known(peer("10.0.0.1", port), Rank::Keyed));
        // Six of eight are kept: two of them are given to doors that come, oldest first, and then none.
        let mut doors: Vec<Place> = (8..10)
            .map(|port| {
                let door = place(port);
                connections.known(peer("10.0.0.1", port), Rank::Door);
                door
            })
            .collect();
        let cut: Vec<bool> = keyed.iter_mut().map(is_cut).collect();
        assert_eq!(cut, [false, false, false, false, false, false, true, true]);
        assert!(connections.place(peer("10.0.0.2", 1)).is_none());
        assert!(!doors.iter_mut().any(is_cut));
        drop(keyed);
        // A thousand that say nothing: the door's connections stay, and one more gets in.
        let strangers: Vec<Place> = (100..1100).map(place).collect();
        let mut late = place(10);
        connections.known(peer("10.0.0.1", 10), Rank::Door);
        let more: Vec<Place> = (2000..3000).map(place).collect();
        assert!(!is_cut(&mut late) && !doors.iter_mut().any(is_cut));
        drop((strangers, more, late, doors));
        let places = connections.places.lock().unwrap();
        assert_eq!((places.all.count, places.all.keyed, places.by_peer.len()), (0, 0, 0));
    }
}
