//! Header, idle, write and parting deadlines, each beside the others. A tick is 250 ms with the contract's deadlines.

use super::*;

/// 5 s of a head and 75 s of idleness in ticks; a deadline is over in the tick after it.
const HEAD: u32 = 20;
const IDLE: u32 = 300;
const WRITE: u32 = 40;
const PARTING: u32 = 4;

#[test]
fn an_idle_connection_of_75_s_stands_beside_a_header_deadline_of_5_s() {
    let house = House::open();
    let mut client = house.connect();
    for _ in 0..2 {
        client.send(post("/read", "ZZ"));
        assert_eq!(client.answer().map(|answer| answer.status), Some(200));
        house.until_census(|census| census.idle == 1);
        house.tick(IDLE);
    }
    // Idle for 75 s and still served. Now a head begins, and has 5 s.
    client.send("P");
    house.until_census(|census| census.head == 1);
    house.tick(HEAD);
    assert_eq!(house.census().head, 1, "not before its time");
    house.tick(1);
    let answers = client.answers();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [408]);
    assert!(answers[0].closes());
    house.until_noted(&Note::Ended(ConnectionEnd::HeaderTimeout));
    drop(client);
    assert_eq!(house.close(), 0);
}

#[test]
fn a_connection_that_never_says_a_byte_is_an_idle_one() {
    let house = House::open();
    let mut client = house.connect();
    house.until_census(|census| census.idle == 1);
    house.tick(IDLE);
    assert_eq!(house.census().idle, 1, "not before its time");
    house.tick(1);
    assert_eq!(client.answers(), [], "closed without a word");
    house.until_noted(&Note::Ended(ConnectionEnd::Idle));
    assert!(!house.notes().contains(&Note::Unasked(408)), "nothing to count");
    assert_eq!(house.close(), 0);
}

#[test]
fn more_bytes_of_a_head_do_not_buy_more_time() {
    let house = House::open();
    // A first head of a fresh connection, one after another request, and one that looks like HTTP/2 for a while.
    for (before, begin, more) in [
        (false, "POST /read", " HTTP/1.1\r\n"),
        (true, "POST /read", " HTTP/1.1\r\nHost: h\r\nX: "),
        (false, "PRI *", " HTTP"),
    ] {
        let mut client = house.connect();
        if before {
            client.send(post("/read", ""));
            assert_eq!(client.answer().map(|answer| answer.status), Some(200));
            house.until_census(|census| census.idle == 1);
        }
        client.send(begin);
        house.until_census(|census| census.head == 1);
        house.tick(HEAD / 2);
        client.send(more);
        house.tick(HEAD / 2 + 1);
        assert_eq!(
            client.answers().iter().map(|answer| answer.status).collect::<Vec<_>>(),
            [408],
            "{begin}"
        );
        drop(client);
        house.until_census(|census| census == Census::default());
    }
    assert_eq!(house.close(), 0);
}

#[test]
fn the_body_and_the_answer_are_the_apps_to_bound() {
    let house = House::open();
    let (mut slow_body, mut slow_app) = (house.connect(), house.connect());
    slow_body.send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nZ");
    slow_app.send(post("/hold", ""));
    house.until_census(|census| census.busy == 2);
    house.tick(IDLE * 2);
    slow_body.send("Z");
    house.app.released.add_permits(1);
    assert_eq!(slow_body.answer().expect("an answer").body, b"read 2");
    assert_eq!(slow_app.answer().expect("an answer").body, b"held");
    drop((slow_body, slow_app));
    assert_eq!(house.close(), 0);
}

#[test]
fn a_reader_that_stands_still_is_dropped() {
    let house = House::open();
    let mut client = house.connect();
    client.send(post("/big", ""));
    house.until_census(|census| census.stalled == 1);
    house.tick(WRITE);
    assert_eq!(house.census().stalled, 1, "not before its time");
    // Progress starts the deadline anew. The kernel takes what was read here.
    let mut some = vec![0; 16 << 20];
    client.0.read_exact(&mut some).expect("the answer begins");
    let served = some.len();
    // When the server takes up what the kernel has room for again is not to be seen from here, so time goes on until its
    // deadline is over, whenever that began.
    let dropped = Note::Ended(ConnectionEnd::WriteTimeout);
    until(
        || {
            house.tick(WRITE);
            house.notes().contains(&dropped)
        },
        || format!("{:?}", house.notes()),
    );
    let mut rest = Vec::new();
    // A reset or an end, but never the whole answer.
    let _cut = client.0.read_to_end(&mut rest);
    assert!(served + rest.len() < 64 << 20);
    assert_eq!(house.close(), 0);
}

#[test]
fn a_sender_that_is_refused_and_goes_on_sending_is_not_listened_to_for_long() {
    let house = House::open();
    // In time: it neither sends on nor leaves.
    let mut silent = house.connect();
    silent.send("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(
        silent.answer().map(|answer| (answer.status, answer.closes())),
        Some((401, true))
    );
    house.until_census(|census| census.parting == 1);
    house.tick(PARTING);
    assert_eq!(house.census().parting, 1, "not before its time");
    house.tick(1);
    house.until_census(|census| census == Census::default());
    // In bytes: so much is drained and no more, next to nothing where more was announced; and there is time for the answer
    // to be found.
    let piece = vec![b'Z'; 32 * 1024];
    for (length, most) in [
        ("Transfer-Encoding: chunked", 34 << 20),
        ("Content-Length: 100000000", 32 << 20),
    ] {
        let mut sender = house.connect();
        sender.send(format!("POST /early HTTP/1.1\r\nHost: h\r\n{length}\r\n\r\n"));
        sender
            .0
            .set_write_timeout(Some(Duration::from_millis(300)))
            .expect("a socket");
        let mut sent = 0;
        let error = loop {
            match (&sender.0).write(&piece) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "no reset");
        assert!(
            sent < most,
            "what is drained and what the kernel's buffers hold: {sent}"
        );
        assert_eq!(sender.answer().map(|answer| answer.status), Some(401));
        house.until_census(|census| census.parting == 1);
        house.tick(PARTING + 1);
        house.until_census(|census| census == Census::default());
        until(|| (&sender.0).write_all(&piece).is_err(), || "still listened to".into());
    }
    assert_eq!(house.close(), 0);
}

#[test]
fn the_ticks_come_by_themselves_also_after_a_time_without_connections() {
    let listeners = Listener::bind(([127, 0, 0, 1], 0).into(), NonZeroUsize::new(2).expect("two")).expect("a port");
    let address = listeners[0].local_addr().expect("bound");
    let short = Timeouts {
        head: Duration::from_millis(20),
        ..timeouts()
    };
    let app = TestApp::new();
    let workers = serving(listeners, short, &app);
    // Several, so that each worker has some, one after another.
    for _ in 0..10 {
        let mut client = Client(TcpStream::connect(address).expect("a listener"));
        client.send("P");
        assert_eq!(
            client.answers().iter().map(|answer| answer.status).collect::<Vec<_>>(),
            [408]
        );
    }
    app.shutdown.drain();
    for worker in workers {
        assert_eq!(worker.join().expect("a worker does not panic"), Drained { cut: 0 });
    }
}

#[test]
fn what_an_answer_holds_is_kept_until_the_kernel_has_all_of_it() {
    let house = House::open();
    let kept = || house.app.kept.load(SeqCst);
    let mut client = house.connect();
    client.send(post("/kept", "ZZ"));
    // More than the kernel's buffers hold.
    house.until_census(|census| census.stalled == 1);
    assert_eq!(kept(), 1);
    assert_eq!(client.answer().expect("an answer").body.len(), 16 << 20);
    until(|| kept() == 0, || format!("{} are kept", kept()));
    // A connection that ends before gives it back too.
    client.send(post("/kept", "ZZ"));
    house.until_census(|census| census.stalled == 1);
    assert_eq!(kept(), 1);
    drop(client);
    until(|| kept() == 0, || format!("{} are kept", kept()));
    assert_eq!(house.close(), 0);
}
