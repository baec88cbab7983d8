//! The gate's loop: accepts, reads heads, and moves every connection through its stages.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use polling::{Event, Events, Poller};

use super::counts::Counts;
use super::doors::{Caller, Doors};
use super::exchange::{Exchange, Turn};
use super::head::{self, Via};
use super::leaving::Leaving;
use super::refusal::Refusal;
use super::waiting::{Heard, Waiting};
use super::wire::{Buffer, Stream, Watched};
use super::{Limits, Listener, Question};

/// Of each read. A chunk of this size goes into a Unix socket whole or not at all.
const SCRATCH_BYTES: usize = 16 * 1024;
/// Connections taken from one listener in a turn.
const ACCEPTS: usize = 32;
/// Connections given up to free their descriptors when there are no more.
const FREED: usize = 8;
/// Descriptors that must be free before a request goes up: tiny_http needs two for it, and its
/// accept loop would not survive their lack.
const HEADROOM: usize = 8;
/// For handlers to take the chunk that is under way when the gate closes.
const CUT_TRIES: u32 = 50;
/// Where there is no event to wait for.
const PAUSE: Duration = Duration::from_millis(5);

/// Each socket has a number that also tells its age; a poller key is that number and one bit, set
/// for the upstream side.
type Number = usize;

struct InLine {
    number: Number,
    client: Waiting,
    /// Of its head.
    end: usize,
    until: Instant,
}

pub struct Server {
    poller: Arc<Poller>,
    stop: Arc<OnceLock<Instant>>,
    upstream: PathBuf,
    limits: Limits,
    counts: Arc<Counts>,
    doors: Doors,
    waiting: BTreeMap<Number, Waiting>,
    /// Those with a whole head, until a place with tiny_http is free; who came first is first.
    line: VecDeque<InLine>,
    exchanges: BTreeMap<Number, Exchange>,
    leaving: BTreeMap<Number, Leaving>,
    next: Number,
    scratch: Box<[u8]>,
}

impl Server {
    pub fn new(
        listeners: Vec<Listener>,
        upstream: PathBuf,
        limits: Limits,
        poller: Arc<Poller>,
        stop: Arc<OnceLock<Instant>>,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let doors = Doors::open(listeners, &poller)?;
        Ok(Server {
            poller,
            stop,
            upstream,
            limits,
            counts,
            next: doors.count(),
            doors,
            waiting: BTreeMap::new(),
            line: VecDeque::new(),
            exchanges: BTreeMap::new(),
            leaving: BTreeMap::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        })
    }

    pub fn run(mut self, asked: &Receiver<Question>) {
        let mut events = Events::new();
        while !self.is_over() {
            let held = self.waiting.len() + self.line.len() + self.exchanges.len() + self.leaving.len();
            self.counts.hold(held);
            let timeout = self.timeout(Instant::now());
            events.clear();
            if let Err(error) = self.poller.wait(&mut events, timeout)
                && error.kind() != ErrorKind::Interrupted
            {
                log::error!("the gate cannot wait for connections: {error}");
                std::thread::sleep(PAUSE); // Rather than spin.
            }
            let now = Instant::now();
            let mut callers = Vec::new();
            for event in events.iter() {
                let number = event.key >> 1;
                if number < self.doors.count() {
                    callers.push(number);
                } else {
                    self.serve(number, event, now);
                }
            }
            self.expire(now);
            self.call_in(now);
            // Last, so that those who are here are heard before newcomers can push them out.
            for number in callers {
                self.accept(number, now);
            }
            // A newcomer's exchange may have ended already.
            self.call_in(now);
            // Nobody waits for it any more where this fails.
            for question in asked.try_iter() {
                let _ = question.send(());
            }
        }
        self.cut_off();
    }

    /// Closes what is left when time is up, once tiny_http has taken what is under way to it.
    fn cut_off(&mut self) {
        for _ in 0..CUT_TRIES {
            self.exchanges.retain(|_, exchange| !exchange.can_be_cut());
            if self.exchanges.is_empty() {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Once told to stop: no one comes in, and it is over when all are answered or time is up.
    fn is_over(&mut self) -> bool {
        let Some(&deadline) = self.stop.get() else {
            return false;
        };
        self.doors.close();
        self.waiting.clear();
        while let Some(late) = self.line.pop_front() {
            self.refuse(late.number, late.client.into_parts().0, Refusal::Closed, Instant::now());
        }
        self.leaving.retain(|_, leaving| !leaving.is_told());
        (self.exchanges.is_empty() && self.leaving.is_empty()) || Instant::now() >= deadline
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        // Numbers grow with age, so the first of those waiting is the first to expire.
        let head = self.waiting.values().next().map(|first| first.since() + self.limits.head_time);
        let idle = self.exchanges.values().filter_map(|one| one.deadline(self.limits.idle)).min();
        let leave = self.leaving.values().map(Leaving::deadline).min();
        let turn = self.line.front().map(|first| first.until);
        let stop = self.stop.get().copied();
        [head, turn, idle, leave, stop, self.doors.deadline()]
            .into_iter()
            .flatten()
            .min()
            .map(|deadline| deadline.saturating_duration_since(now))
    }

    fn expire(&mut self, now: Instant) {
        while let Some(first) = self.waiting.first_entry()
            && first.get().since() + self.limits.head_time <= now
        {
            let (number, late) = first.remove_entry();
            if late.has_spoken() {
                self.refuse(number, late.into_parts().0, Refusal::TooSlow, now);
            }
        }
        self.leaving.retain(|_, leaving| leaving.deadline() > now);
        let idle = self.limits.idle;
        let late: Vec<Number> = self
            .exchanges
            .iter()
            .filter(|(_, one)| one.deadline(idle).is_some_and(|deadline| deadline <= now))
            .map(|(&number, _)| number)
            .collect();
        for number in late {
            if let Some(exchange) = self.exchanges.get_mut(&number) {
                exchange.expire();
            }
            self.advance(number, now);
        }
        self.doors.expire(now);
    }

    fn serve(&mut self, number: Number, event: Event, now: Instant) {
        if let Some(exchange) = self.exchanges.get_mut(&number) {
            if event.key & 1 == 1 {
                exchange.upstream_fired();
            } else {
                exchange.client_fired(event.readable, event.writable);
            }
            self.advance(number, now);
        } else if let Some(leaving) = self.leaving.get_mut(&number) {
            leaving.fired();
            if !leaving.advance(&mut self.scratch, now) {
                self.leaving.remove(&number);
            }
        } else if let Some(mut waiting) = self.waiting.remove(&number) {
            waiting.fired();
            self.hear(number, waiting, now);
        }
        // Otherwise it went earlier in this turn.
    }

    fn advance(&mut self, number: Number, now: Instant) {
        let Some(exchange) = self.exchanges.get_mut(&number) else {
            return;
        };
        match exchange.advance(&mut self.scratch, now) {
            Turn::Going => {}
            Turn::Gone => drop(self.exchanges.remove(&number)),
            Turn::Answered(rest) => {
                if let Some(exchange) = self.exchanges.remove(&number) {
                    self.leave(number, exchange.into_client(), rest, now);
                }
            }
            Turn::Unanswered => {
                if let Some(exchange) = self.exchanges.remove(&number) {
                    self.refuse(number, exchange.into_client(), Refusal::Unanswered, now);
                }
            }
        }
    }

    fn accept(&mut self, door: usize, now: Instant) {
        for _ in 0..ACCEPTS {
            let admitted = match self.doors.accept(door) {
                Caller::Client(stream, via) => self.admit(stream, via, now),
                Caller::Nobody => break,
                Caller::Trouble(error) => Err(error),
            };
            if let Err(error) = admitted {
                self.doors.back_off(&error, now);
                // Most likely there are no descriptors left. After other errors it does little harm.
                for _ in 0..FREED {
                    self.drop_one();
                }
                break;
            }
            self.make_room();
        }
        self.doors.watch(door);
    }

    fn admit(&mut self, stream: Stream, via: Via, now: Instant) -> io::Result<()> {
        stream.prepare()?;
        let number = self.next;
        self.next += 1;
        let client = Watched::new(stream, &self.poller, number << 1)?;
        let newcomer = Waiting::new(client, via, now);
        self.hear(number, newcomer, now);
        Ok(())
    }

    fn make_room(&mut self) {
        while self.waiting.len() + self.line.len() + self.leaving.len() > self.limits.connections {
            self.drop_one();
        }
    }

    /// Drops the oldest of the more numerous, which is where a crowd stands.
    fn drop_one(&mut self) {
        if self.waiting.len() >= self.leaving.len() {
            self.waiting.pop_first();
        } else {
            self.leaving.pop_first();
        }
    }

    fn hear(&mut self, number: Number, mut waiting: Waiting, now: Instant) {
        match waiting.hear(&mut self.scratch, self.limits.head_bytes) {
            Heard::Part => drop(self.waiting.insert(number, waiting)),
            Heard::Head(end) => self.line_up(number, waiting, end, now),
            Heard::Unfit(refusal) => self.refuse(number, waiting.into_parts().0, refusal, now),
            Heard::Gone => {}
        }
    }

    fn line_up(&mut self, number: Number, client: Waiting, end: usize, now: Instant) {
        if self.line.is_empty() && self.exchanges.len() < self.limits.requests {
            self.relay(number, client, end, now);
        } else if self.line.len() < self.limits.connections / 2 {
            self.line.push_back(InLine { number, client, end, until: now + self.limits.turn });
            self.make_room();
        } else {
            self.refuse(number, client.into_parts().0, Refusal::TooMany, now);
        }
    }

    /// Takes the first in line to the places that are free, and sends away those who waited too long.
    fn call_in(&mut self, now: Instant) {
        while let Some(first) = self.line.front() {
            let is_free = self.exchanges.len() < self.limits.requests;
            if !is_free && first.until > now {
                break;
            }
            let Some(InLine { number, client, end, .. }) = self.line.pop_front() else { break };
            if is_free {
                self.relay(number, client, end, now);
            } else {
                self.refuse(number, client.into_parts().0, Refusal::TooMany, now);
            }
        }
    }

    /// Takes a whole head, the first `end` bytes, to tiny_http.
    fn relay(&mut self, number: Number, waiting: Waiting, end: usize, now: Instant) {
        let (client, via, sent) = waiting.into_parts();
        let (head, early) = sent.split_at(end);
        let head = match head::rewrite(head, via) {
            Ok(head) => head,
            Err(why) => return self.refuse(number, client, Refusal::Malformed(why), now),
        };
        if !client.source().can_spare(HEADROOM) {
            return self.refuse(number, client, Refusal::TooMany, now);
        }
        let upstream = UnixStream::connect(&self.upstream).and_then(|stream| {
            let stream = Stream::Unix(stream);
            stream.prepare()?;
            Watched::new(stream, &self.poller, number << 1 | 1)
        });
        match upstream {
            Ok(upstream) => {
                let exchange = Exchange::new(client, upstream, head, early, now);
                self.exchanges.insert(number, exchange);
                self.advance(number, now);
            }
            Err(error) => {
                log::debug!("cannot connect to the handlers: {error}");
                self.refuse(number, client, Refusal::Closed, now);
            }
        }
    }

    fn refuse(&mut self, number: Number, client: Watched<Stream>, refusal: Refusal, now: Instant) {
        log::debug!("a request was refused: {refusal:?}");
        self.counts.refuse(refusal);
        self.leave(number, client, Buffer::from(refusal.answer()), now);
    }

    fn leave(&mut self, number: Number, client: Watched<Stream>, rest: Buffer, now: Instant) {
        let mut leaving = Leaving::new(client, rest, self.limits.idle, now);
        if leaving.advance(&mut self.scratch, now) {
            self.leaving.insert(number, leaving);
            self.make_room();
        }
    }
}
