//! Connections in bounds: how many there are at once, in all and of one address, and how long a client may leave
//! an answer unread.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::metrics::InFlight;
use super::state::Service;

/// How long a connection over the bound waits for another to close.
const PATIENCE: Duration = Duration::from_secs(1);

/// Accepts connections within the service's bounds.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    places: Arc<Semaphore>,
    addresses: Addresses,
    each: usize,
    write: Duration,
    service: Arc<Service>,
}

impl Bounds {
    /// The bounds of a service's limits.
    pub(super) fn of(service: &Arc<Service>) -> Self {
        let limits = service.limits();
        Self {
            places: Arc::new(Semaphore::new(limits.connections)),
            addresses: Addresses::default(),
            each: limits.address_connections,
            write: Duration::from_secs_f64(limits.write_seconds),
            service: service.clone(),
        }
    }
}

/// How many connections each address holds.
#[derive(Debug, Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    /// A place among the `most` of an address; none where they are taken.
    fn place(&self, address: IpAddr, most: usize) -> Option<PlaceOfAddress> {
        let address = caller(address);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(PlaceOfAddress { addresses: self.clone(), address })
    }
}

/// Who an address stands for: with IPv6 a caller has a network of 64 bits to choose addresses from.
fn caller(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

/// One of an address's places; free again when it is dropped.
#[derive(Debug)]
struct PlaceOfAddress {
    addresses: Addresses,
    address: IpAddr,
}

impl Drop for PlaceOfAddress {
    fn drop(&mut self) {
        let mut held = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            // Addresses come and go: those that hold nothing are not kept.
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Bounds {
    type Stream = Bounded<TcpStream>;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Bounds { places, addresses, each, write, service: running } = self.clone();
        Box::pin(async move {
            // Before the wait, which one address may not have all of either.
            let of_address = addresses.place(stream.peer_addr()?.ip(), each);
            let of_address = of_address.ok_or_else(|| io::Error::other("too many connections of one address"))?;
            let place = tokio::time::timeout(PATIENCE, places.acquire_owned()).await;
            let Ok(Ok(place)) = place else { return Err(io::Error::other("too many connections")) };
            let counted = running.metrics().connection();
            let places = (of_address, place);
            Ok((Bounded { stream, write, stalled: None, _places: places, _counted: counted }, service))
        })
    }
}

/// A connection that is cut off when its client leaves what is written unread.
#[derive(Debug)]
pub(super) struct Bounded<I> {
    stream: I,
    write: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    _places: (PlaceOfAddress, OwnedSemaphorePermit),
    _counted: InFlight,
}

impl<I: Unpin> Bounded<I> {
    /// What a write came to; an error when writes have come to nothing for too long.
    fn bounded<T>(&mut self, wrote: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let end = Instant::now() + self.write;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Bounded<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Bounded<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(wrote, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.bounded(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bounded(shut, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.bounded(wrote, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let addresses = Addresses::default();
        let [one, other]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let held = [addresses.place(one, 2).unwrap(), addresses.place(one, 2).unwrap()];
        assert!(addresses.place(one, 2).is_none());
        // The same address as IPv6 has it.
        assert!(addresses.place("::ffff:10.0.0.1".parse().unwrap(), 2).is_none());
        assert!(addresses.place(other, 2).is_some());
        drop(held);
        assert!(addresses.0.lock().unwrap().is_empty(), "addresses without a connection are not kept");
        let network = addresses.place("2001:db8::1".parse().unwrap(), 1);
        assert!(network.is_some() && addresses.place("2001:db8::ffff:2".parse().unwrap(), 1).is_none());
        assert!(addresses.place("2001:db8:0:1::1".parse().unwrap(), 1).is_some());
    }
}
