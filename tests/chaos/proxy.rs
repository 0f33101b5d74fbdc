//! Links: TCP proxies that cut, swallow, hold and delay what passes, or refuse connections as an absent server does.

use crate::wire;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

/// One link, from a port of its own to a server.
pub struct Link {
    pub port: u16,
    server: u16,
    state: watch::Sender<State>,
    /// So many answers are swallowed, each with its connection.
    swallow: AtomicU32,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct State {
    /// Nobody listens.
    absent: bool,
    /// Nothing passes; nothing is lost.
    held: bool,
    /// Each piece is this late.
    late: Duration,
    /// Counts cuts: a connection made before the last one is reset.
    cuts: u64,
}

/// Which way a piece goes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    There,
    Back,
}

impl Link {
    pub fn new(port: u16, server: u16) -> Arc<Self> {
        Arc::new(Self {
            port,
            server,
            state: watch::Sender::default(),
            swallow: AtomicU32::new(0),
        })
    }

    /// Resets every connection.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Swallows the next answer and resets its connection.
    pub fn swallow(&self) {
        self.swallow.fetch_add(1, Ordering::Relaxed);
    }

    /// No answer came by: the fault did not happen.
    pub fn swallow_no_more(&self) -> bool {
        self.swallow.swap(0, Ordering::Relaxed) > 0
    }

    pub fn hold(&self, held: bool) {
        self.state.send_modify(|state| state.held = held);
    }

    pub fn delay(&self, late: Duration) {
        self.state.send_modify(|state| state.late = late);
    }

    /// Refuses connections, as the kernel does where no server is.
    pub fn be_absent(&self, absent: bool) {
        self.state.send_modify(|state| state.absent = absent);
    }

    async fn serve(self: Arc<Self>) {
        let mut state = self.state.subscribe();
        loop {
            while state.borrow_and_update().absent {
                state.changed().await.expect("the link itself holds the sender");
            }
            let listener = wire::listen(self.port).expect("its port is free");
            while !state.borrow_and_update().absent {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((client, _)) = accepted {
                        tokio::task::spawn_local(self.clone().carry(client));
                    },
                    changed = state.changed() => changed.expect("the link itself holds the sender"),
                }
            }
        }
    }

    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let mut state = self.state.subscribe();
        let born = state.borrow_and_update().cuts;
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", self.server)).await else {
            reset(&client);
            return;
        };
        let _slow = (client.set_nodelay(true), server.set_nodelay(true));
        let broken = {
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            tokio::select! {
                result = self.pass(Way::There, from_client, to_server) => result.is_err(),
                result = self.pass(Way::Back, from_server, to_client) => result.is_err(),
                _ = state.wait_for(|state| state.cuts > born) => true,
            }
        };
        if broken {
            reset(&client);
            reset(&server);
        }
    }

    /// Until one end closes (`Ok`) or the link breaks.
    async fn pass(&self, way: Way, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut state = self.state.subscribe();
        let mut piece = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            let less = |left: u32| left.checked_sub(1);
            if way == Way::Back
                && self
                    .swallow
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                    .is_ok()
            {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let late = state.borrow().late;
            if !late.is_zero() {
                tokio::time::sleep(late).await;
            }
            state
                .wait_for(|state| !state.held)
                .await
                .expect("the link itself holds the sender");
            to.write_all(&piece[..length]).await?;
        }
    }
}

/// A connection that is dropped after this ends with RST instead of FIN.
fn reset(stream: &TcpStream) {
    let _already_gone = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Serves links on a thread of their own, for as long as the process lives.
pub fn serve(links: Vec<Arc<Link>>) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let serving: Vec<_> = links
                .into_iter()
                .map(|link| tokio::task::spawn_local(link.serve()))
                .collect();
            for link in serving {
                link.await.expect("a link does not panic");
            }
        });
    });
}
