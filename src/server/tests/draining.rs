//! The end: serve what is in flight and what still arrives, then close; cut what is left when the grace is over.

use super::*;

fn refused(house: &House) -> bool {
    TcpStream::connect(house.address).is_err()
}

#[test]
fn a_drain_serves_what_is_in_flight_and_what_still_arrives() {
    let mut house = House::open();
    let (mut held, mut idle) = (house.connect(), house.connect());
    held.send(post("/hold", ""));
    idle.send(post("/read", ""));
    assert_eq!(
        idle.answer().map(|answer| (answer.status, answer.closes())),
        Some((200, false))
    );
    house.until_census(|census| census.busy == 1 && census.idle == 1);
    house.app.shutdown.drain();
    // Kept-alive and new connections are served for as long as something is in flight, and each answer closes.
    for mut client in [idle, house.connect(), house.connect(), house.connect()] {
        client.send(post("/read", "ZZ"));
        let answers = client.answers();
        assert_eq!(answers.len(), 1);
        assert_eq!((answers[0].status, answers[0].closes()), (200, true));
    }
    assert!(
        house.workers.iter().all(|worker| !worker.is_finished()),
        "a request is in flight"
    );
    let (mut silent, mut begun) = (house.connect(), house.connect());
    begun.send("POST /read HTTP/1.1\r\n");
    house.until_census(|census| census.idle == 1 && census.head == 1);
    house.tick(2);
    house.app.released.add_permits(1);
    assert_eq!(
        held.answer().map(|answer| (answer.status, answer.closes())),
        Some((200, true))
    );
    drop(held);
    // When it was quiet, idle connections close and nobody is accepted; a head that had begun is still served.
    assert_eq!(silent.answers(), []);
    until(|| refused(&house), || "still accepting".into());
    begun.send("Host: h\r\nContent-Length: 2\r\n\r\nZZ");
    let answers = begun.answers();
    assert_eq!(
        answers
            .iter()
            .map(|answer| (answer.status, answer.closes()))
            .collect::<Vec<_>>(),
        [(200, true)]
    );
    drop(begun);
    assert_eq!(house.joined(), 0);
    assert_eq!((house.occupancy.connections(), house.occupancy.in_flight()), (0, 0));
}

#[test]
fn an_idle_house_closes_by_itself() {
    let house = House::open();
    let mut idle = house.connect();
    house.until_census(|census| census.idle == 1);
    let address = house.address;
    // A connection that is not a tick old may have a request on its way.
    house.app.shutdown.drain();
    until(|| refused(&house), || "still accepting".into());
    house.until_census(|census| census.idle == 1);
    house.tick(2);
    assert_eq!(house.close(), 0);
    assert_eq!(idle.answers(), []);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn connections_that_wait_in_the_accept_queue_are_not_reset() {
    // Nobody accepts until both are in the queue and the drain has begun: the workers are told before they run.
    let listeners = Listener::bind(([127, 0, 0, 1], 0).into(), NonZeroUsize::new(2).expect("two")).expect("a port");
    let address = listeners[0].local_addr().expect("bound");
    let app = TestApp::new();
    let mut clients: Vec<Client> = (0..20)
        .map(|_| Client(TcpStream::connect(address).expect("a queue")))
        .collect();
    for client in &mut clients {
        client.send(post("/read", "ZZ"));
    }
    app.shutdown.drain();
    let none = Timeouts {
        quiet: Duration::ZERO,
        ..timeouts()
    };
    let workers = serving(listeners, none, &app);
    for client in &mut clients {
        assert_eq!(
            client.answers().iter().map(|answer| answer.status).collect::<Vec<_>>(),
            [200]
        );
    }
    drop(clients);
    for worker in workers {
        assert_eq!(worker.join().expect("a worker does not panic"), Drained { cut: 0 });
    }
}

#[test]
fn when_the_grace_is_over_the_app_may_still_say_so_and_the_rest_is_cut() {
    let short = Timeouts {
        grace: Duration::from_millis(50),
        parting: Duration::from_millis(200),
        ..timeouts()
    };
    let mut house = House::with(short, 100);
    let (mut held, mut stuck) = (house.connect(), house.connect());
    held.send(post("/hold", ""));
    stuck.send(post("/stuck", ""));
    house.until_census(|census| census.busy == 2);
    house.app.shutdown.drain();
    let answers = held.answers();
    assert_eq!(
        answers
            .iter()
            .map(|answer| (answer.status, answer.closes()))
            .collect::<Vec<_>>(),
        [(503, true)]
    );
    assert_eq!(stuck.answers(), []);
    assert_eq!(house.joined(), 2, "both did not get the answer that they asked for");
    assert!(house.app.shutdown.is_over());
    assert!(house.notes().contains(&Note::Ended(ConnectionEnd::Cut)));
}
