//! Listening sockets: one for each worker on one address, none if somebody else has it.

use socket2::{Domain, Protocol, Socket, Type};
use std::{io, net::SocketAddr, num::NonZeroUsize};

/// Connections that the kernel completes before they are accepted; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// One worker's listening socket. It may be sent to the worker's thread; connections wait in it from the start.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
}

impl Listener {
    /// One socket for each of `workers`, all on `address` (with port 0: all on the one port that the kernel chose).
    ///
    /// # Errors
    /// `AddrInUse` if anybody listens there, another copy of this program too.
    pub fn bind(address: SocketAddr, workers: NonZeroUsize) -> io::Result<Vec<Self>> {
        // The first socket binds without SO_REUSEPORT, which fails wherever anybody listens, and sets it only then: the
        // others may join, and between the two nobody can slip in.
        let first = socket(address)?;
        first.bind(&address.into())?;
        first.set_reuse_port(true)?;
        let bound = first
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a TCP socket has an IP address"))?;
        let mut sockets = vec![first];
        for _ in 1..workers.get() {
            let next = socket(address)?;
            next.set_reuse_port(true)?;
            next.bind(&bound.into())?;
            sockets.push(next);
        }
        // All are bound before the first one listens: no connection falls to a worker that then does not exist.
        for socket in &sockets {
            socket.listen(BACKLOG)?;
        }
        Ok(sockets
            .into_iter()
            .map(|socket| Self { socket: socket.into() })
            .collect())
    }

    /// The address with the port that was really bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(super) fn into_tokio(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.socket)
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a predecessor in TIME_WAIT must not keep a restart from binding.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).expect("more than zero")
    }

    #[test]
    fn all_workers_share_the_port_that_was_chosen() {
        let listeners = Listener::bind(([127, 0, 0, 1], 0).into(), workers(4)).expect("a free port");
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("bound").port())
            .collect();
        assert_eq!(ports.len(), 4);
        assert!(ports[0] != 0 && ports.iter().all(|&port| port == ports[0]), "{ports:?}");
    }

    #[test]
    fn a_busy_port_is_an_error_also_if_a_copy_of_ours_has_it() {
        let ours = Listener::bind(([127, 0, 0, 1], 0).into(), workers(2)).expect("a free port");
        let address = ours[0].local_addr().expect("bound");
        for count in [1, 2] {
            let error = Listener::bind(address, workers(count)).expect_err("the port is busy");
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
        drop(ours);
        Listener::bind(address, workers(2)).expect("the port is free again");
    }
}
