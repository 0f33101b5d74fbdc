//! Senders that take their time, as slowhttptest makes them: each is cut in time, and no honest one waits for them.

use super::support::{App, Sidecar, signed::GITHUB, signed::push, wire::Connection};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Each kind of attack so often.
const EACH: usize = 40;

fn drip(connection: &mut Connection, bytes: &[u8], over: &AtomicBool) {
    for byte in bytes.iter().cycle() {
        if over.load(Relaxed) || connection.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(40));
    }
}

#[test]
fn slow_heads_and_slow_bodies_are_cut_while_honest_senders_are_served() {
    let app = App::start();
    let limits = "limits: {workers: 2, header_timeout: 1s, body_timeout: 3s, connections: 200}\n";
    let sidecar = Sidecar::before(&app, &format!("{limits}{GITHUB}"));
    let to = sidecar.addresses.webhooks;
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let attack = |begin: Vec<u8>, drops: &'static [u8]| {
        let over = &over;
        move || {
            let mut connection = Connection::open(to);
            connection.write(&begin);
            let mut hearing = connection.also();
            std::thread::scope(|scope| {
                let dripping = scope.spawn(|| drip(&mut connection, drops, over));
                let answer = hearing.answer();
                let closed = answer.is_none() || hearing.is_closed();
                let status = answer.map(|answer| answer.status);
                let took = begun.elapsed();
                dripping.join().expect("no panic");
                (status, closed, took)
            })
        }
    };
    let promising = push(1).replace("Content-Length", "100000").head();
    let (heads, bodies): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let heads: Vec<_> = (0..EACH)
            .map(|_| scope.spawn(attack(b"POST /github HTTP/1.1\r\nHost: h\r\n".to_vec(), b"X-a: b\r\n")))
            .collect();
        let bodies: Vec<_> = (0..EACH)
            .map(|_| scope.spawn(attack(promising.clone(), b"x")))
            .collect();
        let mut honest = 0;
        while !heads
            .iter()
            .chain(&bodies)
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            let answer = push(100 + honest).send(to);
            assert_eq!((answer.status, answer.outcome()), (200, "delivered"), "number {honest}");
            honest += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Relaxed);
        assert!(honest > 5, "{honest} honest ones");
        let ends = |threads: Vec<std::thread::ScopedJoinHandle<'_, _>>| {
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        };
        (ends(heads), ends(bodies))
    });
    for (what, ends) in [("heads", &heads), ("bodies", &bodies)] {
        let slowest = ends.iter().map(|(_, _, took)| *took).max().expect("some");
        println!("{what}: {EACH} cut, the last after {slowest:?}");
        for (status, closed, _) in ends {
            assert_eq!((*status, *closed), (Some(408), true), "{what}");
        }
    }
    let slow = f64::from(u32::try_from(EACH).expect("few"));
    assert!((sidecar.counted("", "too_slow") - slow).abs() < f64::EPSILON);
    assert!((sidecar.counted("github", "too_slow") - slow).abs() < f64::EPSILON);
    // Not the whole time, which is 3 s: the pace.
    let paced = sidecar.logged().matches("less than 500 bytes a second").count();
    assert_eq!(paced, EACH);
}
