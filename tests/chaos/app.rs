//! A receiving app, as a process of its own: does its work once per request, and fails as it is told to.
//!
//! Its work is a line on its stdout, written before the answer: what was written stays written when it is killed. Told on
//! stdin: `errors N`, `hole N` (of 10,000 requests), `slow MILLISECONDS`, `lose N` (requests).

use crate::{
    dice::Dice,
    letters,
    wire::{self, Message, Wire, now},
};
use std::{
    cell::RefCell,
    io::{BufRead, Write},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\ndone\n";
const FAILED: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
const STRANGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

/// How it behaves now.
#[derive(Default)]
struct Mood {
    errors: AtomicU64,
    hole: AtomicU64,
    slow: AtomicU64,
    lose: AtomicU64,
}

/// Serves until its stdin ends, which it does with whoever started it.
pub fn run(port: u16, seed: u64) {
    let mood = Arc::new(Mood::default());
    let told = mood.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (over, mut end) = tokio::sync::mpsc::channel::<()>(1);
    std::thread::spawn(move || {
        std::io::stdin()
            .lock()
            .lines()
            .map_while(Result::ok)
            .for_each(|line| told.hear(&line));
        drop(over);
    });
    let dice = Rc::new(RefCell::new(Dice::new(seed, u64::from(port))));
    let serving = async {
        let listener = wire::listen(port).expect("its port is free");
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let (mood, dice) = (mood.clone(), dice.clone());
            tokio::task::spawn_local(async move { serve(Wire::new(stream), &mood, seed, &dice).await });
        }
    };
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            () = serving => {}
            _ = end.recv() => {}
        }
    });
}

impl Mood {
    fn hear(&self, line: &str) {
        let (word, number) = line.split_once(' ').expect("a word and a number");
        let number = number.parse().expect("a number");
        match word {
            "errors" => self.errors.store(number, Ordering::Relaxed),
            "hole" => self.hole.store(number, Ordering::Relaxed),
            "slow" => self.slow.store(number, Ordering::Relaxed),
            "lose" => self.lose.store(number, Ordering::Relaxed),
            other => panic!("told {other}"),
        }
    }

    fn loses_this(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.lose
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }
}

async fn serve(mut wire: Wire, mood: &Mood, seed: u64, dice: &RefCell<Dice>) {
    while let Ok(Some(request)) = wire.next().await {
        let answer = match letters::read(seed, &request.body) {
            None => {
                say(format_args!("strange {}", now()));
                STRANGE
            }
            Some(_) if dice.borrow_mut().chance(mood.hole.load(Ordering::Relaxed)) => {
                // Until the other end gives up.
                let _nothing = wire.next().await;
                return;
            }
            Some(_) if dice.borrow_mut().chance(mood.errors.load(Ordering::Relaxed)) => FAILED,
            Some(event) => {
                let slow = mood.slow.load(Ordering::Relaxed);
                if slow > 0 {
                    tokio::time::sleep(Duration::from_millis(slow)).await;
                }
                work(event, &request);
                if mood.loses_this() {
                    say(format_args!("lost {} {event}", now()));
                    if dice.borrow_mut().chance(5_000) {
                        let _nothing = wire.next().await;
                    }
                    return;
                }
                DONE
            }
        };
        if wire.write(answer).await.is_err() {
            return;
        }
    }
}

fn work(event: u32, request: &Message) {
    let attempt = request.header("hookward-attempt").unwrap_or("-");
    let delivery = request.header("hookward-delivery").unwrap_or("-");
    let ledger = request.header("hookward-ledger").unwrap_or("-");
    say(format_args!("work {} {event} {attempt} {ledger} {delivery}", now()));
}

/// One line at once: shorter than what a pipe takes as a whole.
fn say(line: std::fmt::Arguments<'_>) {
    let line = format!("{line}\n");
    std::io::stdout()
        .lock()
        .write_all(line.as_bytes())
        .expect("somebody reads");
}
