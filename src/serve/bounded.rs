//! Connections in bounds: each has its place, and how long a client may leave an answer unread.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::connections::Place;
use super::metrics::InFlight;
use super::state::Service;

/// Accepts connections within the service's bounds.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    write: Duration,
    service: Arc<Service>,
}

impl Bounds {
    /// The bounds of a service's limits.
    pub(super) fn of(service: &Arc<Service>) -> Self {
        Self { write: Duration::from_secs_f64(service.limits().write_seconds), service: service.clone() }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Bounds {
    type Stream = Bounded<TcpStream>;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = || {
            let place = self.service.gate().connections().place(stream.peer_addr()?);
            let place = place.ok_or_else(|| io::Error::other("too many connections"))?;
            let counted = self.service.metrics().connection();
            Ok((Bounded { stream, write: self.write, stalled: None, is_cut: false, place, _counted: counted }, service))
        };
        std::future::ready(accepted())
    }
}

/// A connection that is cut off when its place is another's, or when its client leaves what is written unread.
#[derive(Debug)]
pub(super) struct Bounded<I> {
    stream: I,
    write: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    is_cut: bool,
    place: Place,
    _counted: InFlight,
}

impl<I> Bounded<I> {
    /// An error once the place is another's; the task is woken when that happens.
    fn placed(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        // What has ended must not be polled again.
        self.is_cut = self.is_cut || Pin::new(&mut self.place.cut).poll(context).is_ready();
        match self.is_cut {
            true => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the place is another connection's")),
            false => Ok(()),
        }
    }
}

impl<I: Unpin> Bounded<I> {
    /// What a write came to; an error when writes have come to nothing for too long.
    fn bounded<T>(&mut self, wrote: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        self.placed(context)?;
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
        self.placed(cx)?;
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
