//! Connections that are held as long as the sidecar lets them live, and how long that is.

use crate::{letters, stage};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// What a connection does with its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Manner {
    /// Not a byte.
    Silent,
    /// One request, then nothing.
    KeptAlive,
    /// A head that never ends, a line a second.
    SlowHead,
    /// A body that never ends, somewhat faster than it has to be.
    SlowBody,
    /// HTTP/2 without a stream.
    Http2,
}

impl Manner {
    /// Of four connections one is idle, one drips a head, one a body, one speaks HTTP/2.
    fn of(number: usize) -> Self {
        match number % 8 {
            0 => Self::Silent,
            4 => Self::KeptAlive,
            1 | 5 => Self::SlowHead,
            2 | 6 => Self::SlowBody,
            _ => Self::Http2,
        }
    }
}

/// How connections of one manner ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lives {
    pub ended: usize,
    pub longest: Duration,
    /// Could not be opened.
    pub refused: usize,
}

/// What is known of a crowd while it lives.
#[derive(Default)]
pub struct Tally {
    pub open: AtomicUsize,
    pub stop: AtomicBool,
    /// All are of this manner; `None`: of each some.
    pub only: Option<Manner>,
}

/// Who comes again after his connection was ended waits so long.
const PAUSE: Duration = Duration::from_millis(200);

/// Holds so many connections on its own thread until it is told to stop; whichever is ended is opened again.
pub fn gather(port: u16, size: usize, tally: &Arc<Tally>) -> std::thread::JoinHandle<BTreeMap<Manner, Lives>> {
    let tally = Arc::clone(tally);
    std::thread::spawn(move || {
        let lives = Rc::new(RefCell::new(BTreeMap::new()));
        let all = tokio::task::LocalSet::new();
        all.block_on(&stage::runtime(), async {
            for number in 0..size {
                let (tally, lives) = (Arc::clone(&tally), Rc::clone(&lives));
                tokio::task::spawn_local(async move {
                    // Not all in one moment: the queue of the listener has its bound too.
                    sleep(Duration::from_micros(number as u64 * 300)).await;
                    while !tally.stop.load(Relaxed) {
                        live(port, number, &tally, &lives).await;
                        sleep(PAUSE).await;
                    }
                });
            }
            while !tally.stop.load(Relaxed) {
                sleep(Duration::from_millis(100)).await;
            }
        });
        drop(all);
        lives.take()
    })
}

async fn live(port: u16, number: usize, tally: &Tally, lives: &RefCell<BTreeMap<Manner, Lives>>) {
    let manner = tally.only.unwrap_or_else(|| Manner::of(number));
    let Ok(Ok(stream)) = timeout(Duration::from_secs(5), stage::connect(port, number)).await else {
        lives.borrow_mut().entry(manner).or_default().refused += 1;
        return;
    };
    tally.open.fetch_add(1, Relaxed);
    let begun = Instant::now();
    // It ends with the connection: what the end looks like does not matter here.
    let _ended = spend(stream, manner, number).await;
    tally.open.fetch_sub(1, Relaxed);
    let mut lives = lives.borrow_mut();
    let lives = lives.entry(manner).or_default();
    lives.ended += 1;
    lives.longest = lives.longest.max(begun.elapsed());
}

async fn spend(mut stream: TcpStream, manner: Manner, number: usize) -> io::Result<()> {
    let client = format!("198.18.{}.{}", number / 250 % 250, number % 250);
    match manner {
        Manner::Silent => hear(&mut stream, None).await,
        Manner::KeptAlive => {
            let head = format!("GET /nothing HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {client}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            hear(&mut stream, None).await
        }
        Manner::SlowHead => {
            stream.write_all(b"POST /github HTTP/1.1\r\nHost: h\r\n").await?;
            hear(&mut stream, Some(b"X-Slow: and so on\r\n")).await
        }
        Manner::SlowBody => {
            stream.write_all(&letters::forged_head(&client, 200_000)).await?;
            hear(&mut stream, Some(&[b'x'; 600])).await
        }
        Manner::Http2 => {
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
            // SETTINGS, and the acknowledgement of theirs.
            stream.write_all(b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0").await?;
            hear(&mut stream, None).await
        }
    }
}

/// Reads until the other side ends it, and says the same again every second.
async fn hear(stream: &mut TcpStream, again: Option<&[u8]>) -> io::Result<()> {
    let mut heard = [0; 512];
    loop {
        match timeout(Duration::from_secs(1), stream.read(&mut heard)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            // An answer: this one is over as soon as they close it.
            Ok(Ok(_)) => {}
            Err(_) => {
                if let Some(again) = again {
                    stream.write_all(again).await?;
                }
            }
        }
    }
}
