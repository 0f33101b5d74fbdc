//! Attackers that come and go: forgers, repeaters, senders of too much, of nonsense, and of HTTP/2 that asks for nothing.

use crate::{
    letters::{self, Pen},
    stage,
    wire::Wire,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};

/// An attack, and how often a second it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Attack {
    /// Wrong signatures from many clients, most of whom are penalized soon.
    Forged,
    /// The very bytes of a delivery that was taken.
    Replayed,
    /// A declared length beyond every bound.
    Declared,
    /// Chunks without end.
    Endless,
    /// A body in chunks of one byte.
    Crumbs,
    /// What is no HTTP.
    Nonsense,
    /// A connection that is reset at once.
    Churn,
    /// HTTP/2: streams that are reset as soon as they are opened.
    RapidReset,
    /// HTTP/2: a head that goes on and on.
    Continuation,
    /// HTTP/2: pings and settings.
    Chatter,
    /// HTTP/2: answers that nobody lets out.
    ShutWindow,
}

const ATTACKS: [(Attack, u32); 11] = [
    (Attack::Forged, 200),
    (Attack::Replayed, 40),
    (Attack::Declared, 10),
    (Attack::Endless, 4),
    (Attack::Crumbs, 1),
    (Attack::Nonsense, 60),
    (Attack::Churn, 100),
    (Attack::RapidReset, 4),
    (Attack::Continuation, 4),
    (Attack::Chatter, 4),
    (Attack::ShutWindow, 4),
];

/// No attack of these lasts longer.
const LONGEST: Duration = Duration::from_secs(15);

/// How often each attack was made, and what its first answers were: a status, or how the connection ended.
pub type Tally = BTreeMap<String, u64>;

/// Tells the attackers what to do.
#[derive(Default)]
pub struct Reins {
    pub stop: AtomicBool,
    /// Nobody strikes for now.
    pub hold: AtomicBool,
}

/// Attacks until told to stop.
pub fn rage(port: u16, reins: &Arc<Reins>) -> JoinHandle<Tally> {
    let reins = Arc::clone(reins);
    std::thread::spawn(move || {
        let tally = Rc::new(RefCell::new(Tally::new()));
        let all = tokio::task::LocalSet::new();
        all.block_on(&stage::runtime(), async {
            let lines = ATTACKS.map(|(attack, a_second)| {
                tokio::task::spawn_local(line(port, attack, a_second, Arc::clone(&reins), Rc::clone(&tally)))
            });
            for line in lines {
                line.await.expect("an attacker does not panic");
            }
        });
        drop(all);
        tally.take()
    })
}

async fn line(port: u16, attack: Attack, a_second: u32, reins: Arc<Reins>, tally: Rc<RefCell<Tally>>) {
    let mut due = interval(Duration::from_secs(1) / a_second);
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let replayed: Rc<[u8]> = Pen::default().github("github", "203.0.113.77", "captured", 1000).into();
    for number in 0_u64.. {
        due.tick().await;
        if reins.stop.load(Relaxed) {
            return;
        }
        if reins.hold.load(Relaxed) {
            continue;
        }
        let (tally, replayed) = (Rc::clone(&tally), Rc::clone(&replayed));
        tokio::task::spawn_local(async move {
            let end = match timeout(LONGEST, strike(port, attack, number, &replayed)).await {
                Ok(Ok(end)) => end,
                Ok(Err(error)) => error.kind().to_string(),
                Err(_) => "held".to_owned(),
            };
            *tally.borrow_mut().entry(format!("{attack:?}: {end}")).or_default() += 1;
        });
    }
}

async fn strike(port: u16, attack: Attack, number: u64, replayed: &[u8]) -> io::Result<String> {
    let mut stream = stage::connect(port, usize::try_from(number % 250).expect("small")).await?;
    let client = format!("198.51.100.{}", number % 200);
    match attack {
        Attack::Forged => return answer(stream, &letters::forged(&client, &[b'x'; 1000])).await,
        Attack::Replayed => return answer(stream, replayed).await,
        Attack::Declared => return answer(stream, &letters::forged_head(&client, 100 << 20)).await,
        Attack::Nonsense => return answer(stream, &nonsense(number)).await,
        Attack::Churn => {
            stream.set_zero_linger()?;
            return Ok("reset".to_owned());
        }
        Attack::Endless => {
            stream.write_all(letters::forged_chunked(&client).as_bytes()).await?;
            let chunk = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {}
        }
        Attack::Crumbs => {
            stream.write_all(letters::forged_chunked(&client).as_bytes()).await?;
            let crumbs = b"1\r\nx\r\n".repeat(1000);
            for _ in 0..1000 {
                if stream.write_all(&crumbs).await.is_err() {
                    break;
                }
            }
            let _closed = stream.write_all(b"0\r\n\r\n").await;
        }
        Attack::RapidReset | Attack::Continuation | Attack::Chatter | Attack::ShutWindow => {
            return http2(stream, attack).await;
        }
    }
    answer(stream, b"").await
}

/// The status of the answer to these bytes, or that there is none.
async fn answer(stream: TcpStream, bytes: &[u8]) -> io::Result<String> {
    let mut wire = Wire::new(stream);
    wire.write(bytes).await?;
    Ok(match wire.next().await? {
        Some(answer) => answer.status().to_string(),
        None => "closed".to_owned(),
    })
}

/// Bytes that no sender would send.
fn nonsense(number: u64) -> Vec<u8> {
    const LINES: [&[u8]; 8] = [
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /github HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nzz\r\n",
        b"POST /github HTTP/9.9\r\nHost: h\r\n\r\n",
        b"POST http://evil/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        b"POST /github HTTP/1.1\r\nHost: h\r\nHost: i\r\nContent-Length: 0\r\n\r\n",
        b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ];
    let index = usize::try_from(number % 9).expect("small");
    LINES.get(index).map_or_else(
        || {
            let noise =
                (0..600_u64).map(|at| (number.wrapping_mul(31).wrapping_add(at * at * 7919) >> 3).to_le_bytes()[0]);
            noise.chain(*b"\r\n\r\n").collect()
        },
        |line| line.to_vec(),
    )
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `POST /github` over `http` to `h`, in literals that enter no table.
fn head() -> Vec<u8> {
    b"\x83\x86\x00\x05:path\x07/github\x01\x01h".to_vec()
}

async fn http2(mut stream: TcpStream, attack: Attack) -> io::Result<String> {
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    let settings: &[u8] = match attack {
        // Answers have a window of nothing.
        Attack::ShutWindow => &[0, 4, 0, 0, 0, 0],
        _ => b"",
    };
    stream.write_all(&frame(SETTINGS, 0, 0, settings)).await?;
    for round in 0..2000_u32 {
        let id = round * 2 + 1;
        let piece = match attack {
            Attack::RapidReset => [frame(HEADERS, 4, id, &head()), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat(),
            Attack::Continuation if round == 0 => frame(HEADERS, 0, 1, &head()),
            Attack::Continuation => frame(CONTINUATION, 0, 1, b"\0\x06x-more\x08and more"),
            Attack::Chatter => [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, b"")]
                .concat()
                .repeat(20),
            _ if round < 100 => [frame(HEADERS, 4, id, &head()), frame(DATA, 0, id, b"x")].concat(),
            _ => break,
        };
        if stream.write_all(&piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut heard = [0; 4096];
    while stream.read(&mut heard).await? > 0 {}
    Ok("closed".to_owned())
}
