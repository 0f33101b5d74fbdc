//! The providers' side of the wire: a load balancer over the sidecars, and senders with bad manners.

use crate::{account::Outcome, dice::Dice, letters::Letter, wire::Wire};
use std::{
    cell::{Cell, RefCell},
    io,
    time::Duration,
};
use tokio::net::TcpStream;

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    /// At once, and the answer is awaited.
    Plain,
    /// The body in pieces.
    Slow,
    /// Half of it, then the connection is closed.
    Torn,
    /// All of it, and the connection is closed before the answer.
    HungUp(Duration),
}

impl Manner {
    /// Mostly plain; `rude` of 10,000 are not.
    pub fn of(dice: &mut Dice, rude: u64) -> Self {
        if !dice.chance(rude) {
            return Self::Plain;
        }
        match dice.below(4) {
            0 => Self::Torn,
            1 => Self::HungUp(Duration::from_micros(dice.below(4_000))),
            _ => Self::Slow,
        }
    }
}

/// Connections to the sidecars.
pub struct Balancer {
    ports: Vec<u16>,
    idle: RefCell<Vec<Vec<Wire>>>,
    /// Requests under way at each.
    busy: Vec<Cell<usize>>,
}

/// Senders wait this long: their real ten to thirty seconds, and longer than a sidecar takes.
const PATIENCE: Duration = Duration::from_secs(4);
/// Idle connections per sidecar.
const POOL: usize = 64;
/// Requests under way at one sidecar, as load balancers bound them: beyond it the others get more.
const MOST: usize = 100;

impl Balancer {
    pub fn new(ports: Vec<u16>) -> Self {
        let idle = RefCell::new(ports.iter().map(|_| Vec::new()).collect());
        let busy = ports.iter().map(|_| Cell::new(0)).collect();
        Self { ports, idle, busy }
    }

    /// A connection to a random sidecar that takes one; nothing was sent yet. `None`: none does.
    pub async fn connect(&self, dice: &mut Dice) -> Option<(usize, Wire)> {
        let first = dice.index(self.ports.len());
        for step in 0..self.ports.len() {
            let sidecar = (first + step) % self.ports.len();
            if self.busy[sidecar].get() >= MOST {
                continue;
            }
            loop {
                let Some(wire) = self.idle.borrow_mut()[sidecar].pop() else {
                    break;
                };
                if !wire.is_stale() {
                    return Some((sidecar, wire));
                }
            }
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.ports[sidecar])).await {
                return Some((sidecar, Wire::new(stream)));
            }
        }
        None
    }

    /// Sends one request over a connection and gives what became of it.
    pub async fn send(&self, sidecar: usize, mut wire: Wire, letter: &Letter, manner: Manner) -> Outcome {
        let busy = &self.busy[sidecar];
        busy.set(busy.get() + 1);
        let exchanged = tokio::time::timeout(PATIENCE, exchange(&mut wire, letter, manner)).await;
        busy.set(busy.get() - 1);
        match exchanged {
            Err(_) => Outcome::NoAnswer,
            Ok(Err(_)) => Outcome::Broken,
            Ok(Ok(None)) => Outcome::HungUp,
            Ok(Ok(Some((outcome, keep)))) => {
                let pool = &mut self.idle.borrow_mut()[sidecar];
                if keep && pool.len() < POOL {
                    pool.push(wire);
                }
                outcome
            }
        }
    }
}

/// The outcome, and whether the connection may be used again; `None` if the sender hung up.
async fn exchange(wire: &mut Wire, letter: &Letter, manner: Manner) -> io::Result<Option<(Outcome, bool)>> {
    let Letter { bytes, body_at } = letter;
    match manner {
        Manner::Plain => wire.write(bytes).await?,
        Manner::Slow => {
            let (head, body) = bytes.split_at(*body_at);
            wire.write(head).await?;
            for piece in body.chunks(body.len().div_ceil(4)) {
                tokio::time::sleep(Duration::from_millis(30)).await;
                wire.write(piece).await?;
            }
        }
        Manner::Torn => {
            wire.write(&bytes[..bytes.len() - (bytes.len() - body_at) / 2]).await?;
            return Ok(None);
        }
        Manner::HungUp(after) => {
            wire.write(bytes).await?;
            tokio::time::sleep(after).await;
            return Ok(None);
        }
    }
    let Some(answer) = wire.next().await? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let closes = answer
        .header("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let outcome = Outcome::of(answer.status(), answer.header("hookward-outcome").unwrap_or("none"));
    Ok(Some((outcome, !closes)))
}
