//! A narrow place on the way to an address: what comes back from there passes at a bounded rate.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that pass at a time.
const PIECE_BYTES: usize = 8 << 10;

/// A narrow place. It lasts as long as the process of the tests.
#[derive(Debug)]
pub struct Narrow {
    address: SocketAddr,
}

/// When what has passed so far will have passed at the rate, all connections together.
#[derive(Debug)]
struct Bound {
    bytes_per_second: f64,
    due: Mutex<Instant>,
}

impl Narrow {
    /// Leads to `there`, from where so many bytes a second come back.
    ///
    /// # Panics
    /// When no port is free.
    pub fn to(there: SocketAddr, bytes_per_second: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let due = Mutex::new(Instant::now());
        let bound = Arc::new(Bound { bytes_per_second: bytes_per_second as f64, due });
        thread::spawn(move || {
            for front in listener.incoming().flatten() {
                // Nobody there: the client sees that its connection ends.
                let Ok(back) = TcpStream::connect(there) else { continue };
                join(&front, &back, &bound);
            }
        });
        Self { address }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Bound {
    fn pass(&self, bytes: usize) {
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
            *due = (*due).max(Instant::now()) + takes;
            *due
        };
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn join(front: &TcpStream, back: &TcpStream, bound: &Arc<Bound>) {
    let ends = || Some((front.try_clone().ok()?, back.try_clone().ok()?));
    let (Some((client, server)), Some((to_client, from_server))) = (ends(), ends()) else { return };
    let bound = Arc::clone(bound);
    thread::spawn(move || carry(client, server, |_| {}));
    thread::spawn(move || carry(from_server, to_client, |bytes| bound.pass(bytes)));
}

/// Carries bytes until either end is gone, which is no failure of the way.
fn carry(mut from: TcpStream, mut to: TcpStream, pass: impl Fn(usize)) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(bytes @ 1..) = from.read(&mut piece) {
        pass(bytes);
        if to.write_all(&piece[..bytes]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
