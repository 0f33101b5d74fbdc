//! Two workers on real sockets, a client that speaks raw bytes, and ticks that are given by hand: no test waits for a clock.

mod client;
mod deadlines;
mod draining;
mod framing;
mod greeting;
mod heads;
mod http2;
mod limits;
mod resting;

use self::client::{Answer, Client, post};
use super::{
    accept::Worker,
    deadlines::{Census, Deadlines},
    *,
};
use http_body_util::BodyExt as _;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread::JoinHandle,
};
use tokio::sync::Semaphore;

/// What the app was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Note {
    Handled(String, Result<usize, BodyError>),
    Refused(GateRefusal),
    Unasked(u16),
    Ended(ConnectionEnd),
    TurnedAway(String),
    RefusedStreams(u32),
    AcceptFailed,
}

#[derive(Clone)]
struct TestApp {
    /// How connections begin.
    welcome: Welcome,
    notes: Arc<Mutex<Vec<Note>>>,
    /// One permit lets one `/hold` be answered.
    released: Arc<Semaphore>,
    shutdown: Shutdown,
    /// Answers to `/kept` that have not been taken.
    kept: Arc<AtomicUsize>,
}

/// Counted for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl TestApp {
    fn new() -> Self {
        Self {
            welcome: Welcome::default(),
            notes: Arc::default(),
            released: Arc::new(Semaphore::new(0)),
            shutdown: Shutdown::new(),
            kept: Arc::default(),
        }
    }

    fn note(&self, note: Note) {
        self.notes.lock().expect("no test panics with it").push(note);
    }
}

fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

impl App for TestApp {
    fn welcome(&self, _: IpAddr) -> Welcome {
        self.welcome.clone()
    }

    fn turned_away(&self, _: SocketAddr, why: &Unwelcome) {
        self.note(Note::TurnedAway(why.to_string()));
    }

    fn serves_host(&self, host: &str, path: &str) -> bool {
        host != "foreign" || path == "/probe"
    }

    fn probe(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        (path == "/probe").then(|| answer(200, "probed"))
    }

    async fn handle(&self, peer: Peer, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let mut body = request.into_body();
        match path.as_str() {
            "/early" => {
                drop(body);
                self.note(Note::Handled(path, Ok(0)));
                return answer(401, "early");
            }
            "/hold" => {
                self.note(Note::Handled(path, Ok(0)));
                tokio::select! {
                    permit = self.released.acquire() => permit.expect("never closed").forget(),
                    () = self.shutdown.over() => return answer(503, "over"),
                }
                return answer(200, "held");
            }
            "/stuck" => {
                self.note(Note::Handled(path, Ok(0)));
                return std::future::pending().await;
            }
            "/peer" => return answer(200, format!("{} tls={}", peer.address, peer.tls)),
            "/kept" => {
                let mut answer = answer(200, vec![b'x'; 16 << 20]);
                let kept = UntilTaken(Arc::new(Counted::new(&self.kept)));
                answer.extensions_mut().insert(kept);
                return answer;
            }
            "/big" => return answer(200, vec![b'x'; 64 << 20]),
            _ => {}
        }
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => length += frame.into_data().expect("trailers are dropped").len(),
                Err(error) => {
                    self.note(Note::Handled(path, Err(error)));
                    return answer(400, "broken body");
                }
            }
        }
        self.note(Note::Handled(path, Ok(length)));
        answer(200, format!("read {length}"))
    }

    fn refuse(&self, _: Peer, _: &Parts, refusal: GateRefusal) -> Response<Full<Bytes>> {
        self.note(Note::Refused(refusal));
        answer(refusal.status().as_u16(), refusal.reason())
    }

    fn answer_unasked(&self, _: Peer, status: StatusCode) -> Response<Full<Bytes>> {
        self.note(Note::Unasked(status.as_u16()));
        answer(status.as_u16(), "unasked")
    }

    fn ended(&self, _: Peer, end: ConnectionEnd) {
        self.note(Note::Ended(end));
    }

    fn refused_streams(&self, _: Peer, count: u32) {
        self.note(Note::RefusedStreams(count));
    }

    fn accept_failed(&self, _: &std::io::Error) {
        self.note(Note::AcceptFailed);
    }
}

/// Two workers that serve a [`TestApp`].
struct House {
    address: SocketAddr,
    app: TestApp,
    occupancy: Arc<Occupancy>,
    deadlines: Vec<Arc<Deadlines>>,
    workers: Vec<JoinHandle<Drained>>,
}

/// The contract's deadlines, which only ticks by hand can reach, and a drain that a test can wait for.
fn timeouts() -> Timeouts {
    Timeouts {
        quiet: Duration::from_millis(40),
        grace: Duration::from_mins(1),
        ..Timeouts::default()
    }
}

impl House {
    fn open() -> Self {
        Self::with(timeouts(), 100)
    }

    /// One in which a connection rests as soon as it is idle, and one in which the next request mostly comes before that.
    fn both() -> [Self; 2] {
        [15, 10_000].map(|connections| Self::with(timeouts(), connections))
    }

    fn with(timeouts: Timeouts, connections: usize) -> Self {
        Self::welcoming(timeouts, connections, Welcome::default())
    }

    fn welcoming(timeouts: Timeouts, connections: usize, welcome: Welcome) -> Self {
        let workers = NonZeroUsize::new(2).expect("two");
        let listeners = Listener::bind(([127, 0, 0, 1], 0).into(), workers).expect("a free port");
        let address = listeners[0].local_addr().expect("bound");
        let occupancy = Occupancy::new(connections, 1024);
        let app = TestApp {
            welcome,
            ..TestApp::new()
        };
        let (mut deadlines, mut threads) = (Vec::new(), Vec::new());
        let (ready, readies) = mpsc::channel();
        for listener in listeners {
            let own = Deadlines::new(&timeouts, Arc::clone(&occupancy));
            deadlines.push(Arc::clone(&own));
            let worker = Worker::new(own, &timeouts, Arc::clone(&occupancy), app.shutdown.clone());
            let (app, ready) = (app.clone(), ready.clone());
            threads.push(std::thread::spawn(move || {
                runtime().block_on(async move {
                    let listener = listener.into_tokio().expect("a runtime");
                    ready.send(()).expect("waited for");
                    worker.run(listener, &timeouts, &app).await.expect("a listener")
                })
            }));
        }
        for _ in &threads {
            readies.recv().expect("a worker that runs");
        }
        Self {
            address,
            app,
            occupancy,
            deadlines,
            workers: threads,
        }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("a listener");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket");
        Client(stream)
    }

    /// Sends `bytes` on a connection of their own and reads until it is closed.
    fn ask(&self, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
        let mut client = self.connect();
        client.send(bytes);
        client.answers()
    }

    fn tick(&self, times: u32) {
        for _ in 0..times {
            self.deadlines.iter().for_each(|deadlines| deadlines.tick());
        }
    }

    fn census(&self) -> Census {
        let mut sum = Census::default();
        for census in self.deadlines.iter().map(|deadlines| deadlines.census()) {
            sum.greeting += census.greeting;
            sum.idle += census.idle;
            sum.head += census.head;
            sum.busy += census.busy;
            sum.parting += census.parting;
            sum.stalled += census.stalled;
        }
        sum
    }

    /// Connections that hold what a request needs.
    fn working(&self) -> usize {
        self.deadlines.iter().map(|deadlines| deadlines.working()).sum()
    }

    fn until_census(&self, condition: impl Fn(Census) -> bool) {
        until(|| condition(self.census()), || format!("{:?}", self.census()));
    }

    fn until_noted(&self, note: &Note) {
        until(
            || self.notes().contains(note),
            || format!("{note:?} among {:?}", self.notes()),
        );
    }

    fn notes(&self) -> Vec<Note> {
        self.app.notes.lock().expect("no test panics with it").clone()
    }

    /// The paths that the app has been asked for, in order.
    fn asked(&self) -> Vec<String> {
        let path = |note| match note {
            Note::Handled(path, _) => Some(path),
            _ => None,
        };
        self.notes().into_iter().filter_map(path).collect()
    }

    /// Drains both workers, which must end long before the grace does, and says how many requests they cut.
    fn close(mut self) -> usize {
        self.app.shutdown.drain();
        until(
            || {
                self.workers.iter().all(|worker| {
                    self.tick(1);
                    worker.is_finished()
                })
            },
            || format!("{:?}", self.census()),
        );
        assert!(!self.app.shutdown.is_over(), "every connection ended by itself");
        self.joined()
    }

    fn joined(&mut self) -> usize {
        let joined = self
            .workers
            .drain(..)
            .map(|worker| worker.join().expect("a worker does not panic"));
        joined.map(|drained| drained.cut).sum()
    }
}

/// As boot does it: each listener on its own thread and runtime, with ticks of its own.
fn serving(listeners: Vec<Listener>, timeouts: Timeouts, app: &TestApp) -> Vec<JoinHandle<Drained>> {
    let occupancy = Occupancy::new(100, 1024);
    let serve = |listener| {
        let (app, occupancy) = (app.clone(), Arc::clone(&occupancy));
        let all = move || runtime().block_on(serve(listener, timeouts, occupancy, app.shutdown.clone(), app.clone()));
        std::thread::spawn(move || all().expect("a listener"))
    };
    listeners.into_iter().map(serve).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// Waits for what another thread is about to do; fails instead of hanging.
fn until(condition: impl Fn() -> bool, state: impl Fn() -> String) {
    let (done, watchdog) = mpsc::channel::<()>();
    let late = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = Arc::clone(&late);
    let guard = std::thread::spawn(move || {
        let waited = watchdog.recv_timeout(Duration::from_secs(20));
        flag.store(
            waited == Err(mpsc::RecvTimeoutError::Timeout),
            std::sync::atomic::Ordering::SeqCst,
        );
    });
    while !condition() {
        assert!(
            !late.load(std::sync::atomic::Ordering::SeqCst),
            "not within 20 s; is {}",
            state()
        );
        std::thread::yield_now();
    }
    drop(done);
    guard.join().expect("the watchdog does not panic");
}
