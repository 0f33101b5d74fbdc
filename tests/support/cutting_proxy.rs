//! A bad link: a proxy in front of a server (Redis, an app) that loses answers, swallows, stalls and cuts on demand.

#![allow(dead_code, reason = "every test binary uses the part that it needs")]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// How often a link that holds something back looks whether it still has to.
const LOOK: Duration = Duration::from_millis(1);

/// The proxy; what it does to what passes can be changed at any time.
pub struct CuttingProxy {
    pub port: u16,
    link: Arc<Link>,
}

/// What happens on the way. Everything passes untouched at first.
#[derive(Default)]
pub struct Link {
    /// So many answers of a script are lost: the connection is cut in their place.
    pub cuts: AtomicUsize,
    /// The connection of the next answer of a script swallows it and says nothing any more.
    pub silence: AtomicBool,
    /// Nothing is carried on the next connection while this is true.
    pub hold_next: AtomicBool,
    /// What the client sends goes no further.
    pub deaf: AtomicBool,
    /// What the server answers goes no further.
    pub mute: AtomicBool,
    /// Each piece of an answer arrives so many milliseconds later.
    pub delay_ms: AtomicU64,
    /// An answer arrives in pieces of this size; 0: whole.
    pub piece: AtomicUsize,
    /// New connections are reset at once.
    pub refuses: AtomicBool,
    /// What of the client was held back because the link was deaf.
    held: Mutex<Vec<u8>>,
    pub connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
}

impl std::ops::Deref for CuttingProxy {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl CuttingProxy {
    /// On a free port, in front of a server on 127.0.0.1.
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let link = Arc::new(Link::default());
        let shared = Arc::clone(&link);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.over.load(SeqCst) {
                    break;
                }
                shared.connections.fetch_add(1, SeqCst);
                let link = Arc::clone(&shared);
                thread::spawn(move || link.connect(&client, server));
            }
        });
        Self { port, link }
    }

    /// `redis://…` for a configuration.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

impl Link {
    /// Both directions held back, on old connections and new: packets are dropped, and nobody is told.
    pub fn partition(&self, parted: bool) {
        self.deaf.store(parted, SeqCst);
        self.mute.store(parted, SeqCst);
    }

    /// Resets every connection.
    pub fn reset(&self) {
        for stream in self.open.lock().expect("no panic").drain(..) {
            reset(&stream);
        }
    }

    /// Is this among what the client wanted to say while the link was deaf?
    pub fn holds(&self, what: &[u8]) -> bool {
        let held = self.held.lock().expect("no panic");
        held.windows(what.len()).any(|window| window == what)
    }

    fn connect(self: Arc<Self>, client: &TcpStream, server: u16) {
        if self.refuses.load(SeqCst) {
            return reset(client);
        }
        if self.hold_next.load(SeqCst) {
            self.wait_while(&self.hold_next);
        }
        // The server may be gone: then so is the client's connection.
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
            return;
        };
        let (Ok(from_client), Ok(to_server), Ok(kept)) = (client.try_clone(), server.try_clone(), client.try_clone())
        else {
            return;
        };
        self.open.lock().expect("no panic").push(kept);
        let up = Arc::clone(&self);
        thread::spawn(move || up.ask(from_client, to_server));
        self.answer(&server, client);
        // Not before a reset: a FIN would come first.
        if socket2::SockRef::from(client)
            .linger()
            .is_ok_and(|linger| linger.is_none())
        {
            let _gone = client.shutdown(Shutdown::Both);
        }
        let _gone = server.shutdown(Shutdown::Both);
    }

    fn ask(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            if self.deaf.load(SeqCst) {
                self.held.lock().expect("no panic").extend(&buffer[..read]);
                self.wait_while(&self.deaf);
            }
            if self.over.load(SeqCst) || server.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _gone = server.shutdown(Shutdown::Both);
    }

    fn answer(&self, mut server: &TcpStream, mut client: &TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            // An answer to what is sent on connecting (SELECT and the like) is none that is to be lost.
            let script_answer = buffer[0] == b'*' || buffer[0] == b'$';
            let less = |cuts: usize| cuts.checked_sub(1);
            if script_answer && self.cuts.fetch_update(SeqCst, SeqCst, less).is_ok() {
                return;
            }
            if script_answer && self.silence.swap(false, SeqCst) {
                while !self.over.load(SeqCst) {
                    thread::sleep(LOOK);
                }
            }
            self.wait_while(&self.mute);
            let piece = match self.piece.load(SeqCst) {
                0 => read,
                piece => piece,
            };
            for piece in buffer[..read].chunks(piece) {
                match self.delay_ms.load(SeqCst) {
                    0 => {}
                    delay => thread::sleep(Duration::from_millis(delay)),
                }
                if client.write_all(piece).is_err() {
                    return;
                }
            }
        }
    }

    fn wait_while(&self, flag: &AtomicBool) {
        while flag.load(SeqCst) && !self.over.load(SeqCst) {
            thread::sleep(LOOK);
        }
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        // Wakes the one that accepts, so that it sees that it is over.
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
        for stream in self.open.lock().expect("no panic").drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Closes with a RST in place of a FIN, once its threads have let it go.
fn reset(stream: &TcpStream) {
    let _gone = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    let _gone = stream.shutdown(Shutdown::Read);
}
