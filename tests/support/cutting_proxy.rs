//! A proxy between a sidecar and its Redis that loses answers on demand.

#![allow(dead_code, reason = "every test binary uses the part that it needs")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// Between us and Redis; cuts the connection instead of handing the next answers back.
pub struct CuttingProxy {
    pub port: u16,
    pub cuts: Arc<AtomicUsize>,
    pub connections: Arc<AtomicUsize>,
    /// The connection of the next answer swallows it and says nothing any more.
    pub silence: Arc<AtomicBool>,
    /// Nothing is carried on the next connection until `release`.
    pub hold_first: Arc<AtomicBool>,
    pub release: Arc<Notify>,
    pub accepting: tokio::task::JoinHandle<()>,
}

impl CuttingProxy {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (cuts, connections): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let (hold_first, release): (Arc<AtomicBool>, Arc<Notify>) = Default::default();
        let silence: Arc<AtomicBool> = Arc::default();
        let accepting = tokio::spawn({
            let (cuts, connections) = (Arc::clone(&cuts), Arc::clone(&connections));
            let (hold_first, release) = (Arc::clone(&hold_first), Arc::clone(&release));
            let silence = Arc::clone(&silence);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    if hold_first.swap(false, Ordering::SeqCst) {
                        release.notified().await;
                    }
                    let server = TcpStream::connect(("127.0.0.1", server)).await.expect("Redis listens");
                    tokio::spawn(Self::carry(client, server, Arc::clone(&cuts), Arc::clone(&silence)));
                }
            }
        });
        Self {
            port,
            cuts,
            connections,
            silence,
            hold_first,
            release,
            accepting,
        }
    }

    pub async fn carry(client: TcpStream, server: TcpStream, cuts: Arc<AtomicUsize>, silence: Arc<AtomicBool>) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut buffer = [0; 4096];
        // An answer to what is sent on connecting (SELECT and the like) is none that is to be cut.
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            let script_answer = buffer[0] == b'*' || buffer[0] == b'$';
            let less = |cuts: usize| cuts.checked_sub(1);
            if script_answer && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
                break;
            }
            if script_answer && silence.swap(false, Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        up.abort();
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
