//! The limit of connections over both workers, and what happens without file descriptors.

use super::*;

#[test]
fn the_limit_counts_over_all_workers_and_the_next_one_waits() {
    let house = House::with(timeouts(), 3);
    let mut held: Vec<Client> = (0..3).map(|_| house.connect()).collect();
    for client in &mut held {
        client.send(post("/hold", ""));
    }
    house.until_census(|census| census.busy == 3);
    assert_eq!((house.occupancy.connections(), house.occupancy.in_flight()), (3, 3));
    let mut next = house.connect();
    next.send(post("/read", "ZZ"));
    until(|| house.occupancy.is_pressed(), || "nobody waits".into());
    house.tick(10);
    assert_eq!(
        (house.census().busy, house.occupancy.connections()),
        (3, 3),
        "whoever is busy is not evicted"
    );
    house.app.released.add_permits(1);
    // One of the three is answered and parts, for as long as that may take; its place goes to the one that waits.
    house.until_census(|census| census.busy == 2 && census.parting == 1);
    house.tick(10);
    assert_eq!(next.answer().expect("an answer").body, b"read 2");
    house.app.released.add_permits(2);
    drop((held, next));
    until(
        || house.occupancy.connections() == 0,
        || format!("{} open", house.occupancy.connections()),
    );
    assert_eq!(house.occupancy.in_flight(), 0);
    assert_eq!(house.close(), 0);
}

#[test]
fn close_to_a_bound_every_answer_closes_its_connection() {
    let house = House::with(timeouts(), 16);
    let closes = |client: &mut Client| {
        client.send(post("/read", "ZZ"));
        client.answer().expect("an answer").closes()
    };
    // An eighth is left, then a place more.
    let mut held: Vec<Client> = (0..13).map(|_| house.connect()).collect();
    house.until_census(|census| census.idle == 13);
    assert!(!closes(&mut held[0]), "three are left");
    held.push(house.connect());
    house.until_census(|census| census.idle == 14);
    assert!(closes(&mut held[0]), "two are left");
    drop(held.remove(0));
    until(|| house.occupancy.connections() == 13, || "it stays".into());
    assert!(!closes(&mut held[0]), "three are left again");
    drop(held);
    assert_eq!(house.close(), 0);
}

#[test]
fn a_quarter_of_the_requests_is_kept_for_connections_that_come() {
    let occupancy = Occupancy::new(1000, 8);
    for request in 1..=8 {
        occupancy.enter();
        assert_eq!(occupancy.is_crowded(), request >= 6, "{request}");
    }
    for _ in 0..3 {
        assert!(occupancy.is_crowded());
        occupancy.leave();
    }
    assert!(!occupancy.is_crowded());
}

#[test]
fn silent_connections_make_room_for_a_sender() {
    let house = House::with(timeouts(), 8);
    let mut silent: Vec<Client> = (0..8).map(|_| house.connect()).collect();
    house.until_census(|census| census.idle == 8);
    let mut sender = house.connect();
    sender.send(post("/read", "ZZ"));
    until(|| house.occupancy.is_pressed(), || "nobody waits".into());
    house.tick(4);
    assert_eq!(house.census().idle, 8, "a second is theirs");
    house.tick(1);
    assert_eq!(sender.answer().expect("an answer").body, b"read 2");
    house.until_noted(&Note::Ended(ConnectionEnd::Evicted));
    let evicted = house
        .notes()
        .iter()
        .filter(|note| **note == Note::Ended(ConnectionEnd::Evicted))
        .count();
    assert!(evicted <= 2, "one of each worker, not all: {evicted}");
    silent.clear();
    drop(sender);
    assert_eq!(house.close(), 0);
}

/// Runs the test below in a process of its own, because a limit of file descriptors is one of a process.
#[test]
fn without_file_descriptors_accepting_pauses_and_recovers() {
    let program = std::env::current_exe().expect("a test binary");
    let script = "ulimit -n 60 && exec \"$0\" --exact --ignored server::tests::limits::few_file_descriptors";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(program)
        .output()
        .expect("a shell");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

#[test]
#[ignore = "run by the test above under `ulimit -n 60`"]
fn few_file_descriptors() {
    let house = House::open();
    let mut clients = Vec::new();
    // Each connection takes one at either end, both in this process.
    while let Ok(stream) = TcpStream::connect(house.address) {
        clients.push(Client(stream));
        assert!(clients.len() < 60, "there is a limit");
    }
    house.until_noted(&Note::AcceptFailed);
    clients.clear();
    until(
        || house.census() == Census::default(),
        || format!("{:?}", house.census()),
    );
    let mut client = house.connect();
    client.send(post("/read", "ZZ"));
    assert_eq!(client.answer().expect("an answer").body, b"read 2");
    drop(client);
    assert_eq!(house.close(), 0);
}
