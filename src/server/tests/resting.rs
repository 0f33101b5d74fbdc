//! Connections that hold nothing between requests, or while a head drips in.

use super::{framing::SMUGGLED, *};

/// Serves `count` requests one after the other.
fn serve(house: &House, client: &mut Client, count: usize) {
    for number in 0..count {
        client.send(post("/read", &"Z".repeat(number)));
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.status, answer.closes()), (200, false));
    }
    house.until_census(|census| census.idle == 1);
}

#[test]
fn an_idle_connection_rests_after_a_second_and_serves_on() {
    for house in House::both() {
        let mut client = house.connect();
        for _ in 0..3 {
            serve(&house, &mut client, 3);
            // Five ticks of 250 ms; the tasks run when they are woken, which nobody has to wait for.
            house.tick(5);
        }
        until(|| house.working() == 0, || format!("{} hold on", house.working()));
        serve(&house, &mut client, 2);
        drop(client);
        assert_eq!(house.close(), 0);
    }
}

#[test]
fn requests_behind_one_another_are_answered_in_order_and_what_has_begun_is_a_head() {
    for house in House::both() {
        let mut client = house.connect();
        let two = [post("/read", "Z"), post("/read", "ZZ"), "POST /re".to_owned()].concat();
        client.send(two);
        for body in [&b"read 1"[..], b"read 2"] {
            assert_eq!(client.answer().expect("an answer").body, body);
        }
        house.tick(5);
        house.until_census(|census| census.head + census.idle == 1);
        client.send("ad HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nZZZ");
        assert_eq!(client.answer().expect("an answer").body, b"read 3");
        drop(client);
        assert_eq!(house.close(), 0);
    }
}

#[test]
fn a_connection_whose_last_answer_is_given_does_not_rest_but_ends() {
    for house in House::both() {
        for (before, status) in [
            // Refused with a body that is still to come, and one that looks like a request.
            ("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n", 401),
            (
                "POST /read HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                200,
            ),
            (
                "POST /read HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
                200,
            ),
            ("POST /read HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 200),
            ("POST /a/../b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 400),
        ] {
            let mut client = house.connect();
            client.send(before);
            assert_eq!(client.answer().map(|answer| answer.status), Some(status), "{before}");
            house.tick(1);
            client.send(SMUGGLED);
            assert_eq!(client.answers(), [], "{before}");
        }
        assert!(!house.asked().contains(&"/smuggled".to_owned()));
        assert_eq!(house.close(), 0);
    }
}

#[test]
fn heads_that_do_not_end_make_room_for_one_another() {
    let house = House::with(timeouts(), 1000);
    let mut slow: Vec<Client> = (0..160).map(|_| house.connect()).collect();
    let long = format!("POST /read HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(60_000));
    for client in &mut slow {
        client.send(&long);
    }
    house.until_census(|census| census.head == slow.len());
    // 9.6 MB of heads. A second later nobody has gone for it, but the next one that grows makes room.
    house.tick(5);
    assert_eq!(house.census().head, slow.len());
    for client in &mut slow[..2] {
        client.send("x");
    }
    house.until_census(|census| census.head <= slow.len() - slow.len() / 32);
    house.until_noted(&Note::Ended(ConnectionEnd::Evicted));
    let mut client = house.connect();
    serve_beside(&mut client);
    drop((slow, client));
    assert_eq!(house.close(), 0);
}

fn serve_beside(client: &mut Client) {
    client.send(post("/read", "Z"));
    assert_eq!(client.answer().expect("an answer").status, 200);
}

#[test]
fn at_the_limit_slow_heads_go_at_once_when_somebody_comes() {
    let house = House::with(timeouts(), 8);
    let mut slow: Vec<Client> = (0..8).map(|_| house.connect()).collect();
    for client in &mut slow {
        client.send("POST /read HTTP/1.1\r\n");
    }
    house.until_census(|census| census.head == 8);
    // Older than a second, and long before the header timeout.
    house.tick(6);
    let mut sender = house.connect();
    serve_beside(&mut sender);
    drop((slow, sender));
    assert_eq!(house.close(), 0);
}

#[test]
fn http_2_has_a_share_of_the_connections_and_idle_ones_make_room() {
    let house = House::with(timeouts(), 100);
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let open = |house: &House| {
        let mut client = house.connect();
        client.send(preface);
        client
    };
    // Sixteen at least; their SETTINGS come at once, those of the seventeenth when another one has gone.
    let mut all: Vec<Client> = (0..16).map(|_| open(&house)).collect();
    for client in &mut all {
        client.0.read_exact(&mut [0; 9]).expect("SETTINGS");
    }
    house.until_census(|census| census.idle == 16);
    house.tick(6);
    let mut next = open(&house);
    // Nobody ticks: whoever comes makes room itself, or at its worker's next tick.
    until(
        || {
            house.tick(1);
            house.notes().contains(&Note::Ended(ConnectionEnd::Evicted))
        },
        || format!("{:?}", house.notes()),
    );
    next.0.read_exact(&mut [0; 9]).expect("SETTINGS");
    drop((all, next));
    assert_eq!(house.close(), 0);
}
