//! The gate's loop: accepts, reads heads, and moves every connection through its stages.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use polling::{Event, Events, Poller};

use super::collecting::{Collected, Collecting, Progress};
use super::counts::Counts;
use super::doors::{Caller, Doors};
use super::exchange::{Bounds, Exchange, Turn};
use super::head::{self, Via};
use super::leaving::Leaving;
use super::places::{Admission, Kind, Load, Place};
use super::refusal::Refusal;
use super::upload::Upload;
use super::waiting::{Heard, Waiting};
use super::wire::{Buffer, Stream, Watched};
use super::{Admit, Limits, Listener, Question};

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
    request: Collected,
    wanted: Place,
    until: Instant,
}

pub struct Server {
    poller: Arc<Poller>,
    stop: Arc<OnceLock<Instant>>,
    upstream: PathBuf,
    limits: Limits,
    admit: Admit,
    counts: Arc<Counts>,
    doors: Doors,
    waiting: BTreeMap<Number, Waiting>,
    collecting: BTreeMap<Number, Collecting>,
    /// Requests that wait for a place with tiny_http. For each kind of place and each holder the first is served first.
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
        admit: Admit,
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
            admit,
            counts,
            next: doors.count(),
            doors,
            waiting: BTreeMap::new(),
            collecting: BTreeMap::new(),
            line: VecDeque::new(),
            exchanges: BTreeMap::new(),
            leaving: BTreeMap::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        })
    }

    pub fn run(mut self, asked: &Receiver<Question>) {
        let mut events = Events::new();
        while !self.is_over() {
            self.counts.hold(self.unplaced() + self.exchanges.len());
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
        let collecting = std::mem::take(&mut self.collecting).into_iter();
        let collecting = collecting.map(|(number, late)| (number, late.into_request()));
        let line = std::mem::take(&mut self.line).into_iter().map(|late| (late.number, late.request));
        for (number, late) in collecting.chain(line) {
            self.refuse(number, late.client, Refusal::Closed, Instant::now());
        }
        self.leaving.retain(|_, leaving| !leaving.is_told());
        (self.exchanges.is_empty() && self.leaving.is_empty()) || Instant::now() >= deadline
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        // Numbers grow with age, so the first of those waiting is the first to expire.
        let head = self.waiting.values().next().map(|first| first.since() + self.limits.head_time);
        let body = self.collecting.values().map(|one| self.body_deadline(one)).min();
        let idle = self.exchanges.values().filter_map(Exchange::deadline).min();
        let leave = self.leaving.values().map(Leaving::deadline).min();
        let turn = self.line.front().map(|first| first.until);
        let stop = self.stop.get().copied();
        [head, body, turn, idle, leave, stop, self.doors.deadline()]
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
        let late = self.collecting.iter().filter(|(_, one)| self.body_deadline(one) <= now);
        for number in late.map(|(&number, _)| number).collect::<Vec<_>>() {
            self.end_collecting(number, now);
        }
        let late = self.exchanges.iter().filter(|(_, one)| one.deadline().is_some_and(|deadline| deadline <= now));
        for number in late.map(|(&number, _)| number).collect::<Vec<_>>() {
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
        } else if let Some(mut collecting) = self.collecting.remove(&number) {
            collecting.fired();
            self.collect(number, collecting, now);
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

    /// Connections that hold no place with tiny_http.
    fn unplaced(&self) -> usize {
        self.waiting.len() + self.collecting.len() + self.line.len() + self.leaving.len()
    }

    fn make_room(&mut self) {
        while self.unplaced() > self.limits.connections {
            self.drop_one();
        }
    }

    /// Drops the oldest of the more numerous, which is where a crowd stands.
    fn drop_one(&mut self) {
        if self.collecting.len() > self.waiting.len().max(self.leaving.len()) {
            self.collecting.pop_first();
        } else if self.waiting.len() >= self.leaving.len() {
            self.waiting.pop_first();
        } else {
            self.leaving.pop_first();
        }
    }

    fn hear(&mut self, number: Number, mut waiting: Waiting, now: Instant) {
        match waiting.hear(&mut self.scratch, self.limits.head_bytes) {
            Heard::Part => drop(self.waiting.insert(number, waiting)),
            Heard::Head(end) => self.take_head(number, waiting, end, now),
            Heard::Unfit(refusal) => self.refuse(number, waiting.into_parts().0, refusal, now),
            Heard::Gone => {}
        }
    }

    /// The head is whole: the first `end` bytes of what the client sent.
    fn take_head(&mut self, number: Number, waiting: Waiting, end: usize, now: Instant) {
        let (client, via, sent) = waiting.into_parts();
        let (head, early) = sent.split_at(end);
        let head = match head::rewrite(head, via) {
            Ok(head) => head,
            Err(why) => return self.refuse(number, client, Refusal::Malformed(why), now),
        };
        let admission = (self.admit)(&head.view());
        let expects = head.expects;
        let mut upload = Upload::new(head);
        if !admission.needs_body {
            upload.cut();
        }
        upload.take(early);
        if upload.is_open() {
            self.end_oldest_of(admission.holder, now);
            self.collect(number, Collecting::new(client, upload, admission, expects, now), now);
        } else {
            self.line_up(number, Collected { client, upload, admission }, now);
        }
    }

    fn collect(&mut self, number: Number, mut collecting: Collecting, now: Instant) {
        match collecting.advance(&mut self.scratch, self.limits.body_bytes) {
            Progress::Part => {
                self.collecting.insert(number, collecting);
                self.make_room();
            }
            Progress::Done => self.line_up(number, collecting.into_request(), now),
        }
    }

    fn body_deadline(&self, collecting: &Collecting) -> Instant {
        collecting.deadline(self.limits.body_time, self.limits.body_rate)
    }

    /// Time is up. A body that may be long goes on beside a handler; any other is refused.
    fn end_collecting(&mut self, number: Number, now: Instant) {
        let Some(request) = self.collecting.remove(&number).map(Collecting::into_request) else { return };
        match request.admission.load {
            Load::LongBody => self.line_up(number, request, now),
            _ => self.refuse(number, request.client, Refusal::BodyTooSlow, now),
        }
    }

    /// Makes room for one more body of this holder: at the limit, refuses its oldest body. Other bodies are complete
    /// within moments, so the oldest one is a slow one.
    fn end_oldest_of(&mut self, holder: usize, now: Instant) {
        let of_holder = || self.collecting.iter().filter(|(_, one)| one.admission.holder == holder);
        if of_holder().count() < self.limits.bodies {
            return;
        }
        let oldest = of_holder().next().map(|(&number, _)| number);
        if let Some((number, late)) = oldest.and_then(|number| self.collecting.remove_entry(&number)) {
            self.refuse(number, late.into_request().client, Refusal::TooMany, now);
        }
    }

    fn line_up(&mut self, number: Number, mut request: Collected, now: Instant) {
        let Admission { load, holder, .. } = request.admission;
        let kind = match load {
            Load::Watch => Kind::Watch,
            Load::LongAnswer => Kind::Long,
            Load::LongBody if request.upload.is_open() => Kind::Long,
            Load::LongBody | Load::Short => Kind::Short,
        };
        if load != Load::LongBody {
            // Longer than a call of this kind takes: what came is enough for the handler to say so.
            request.upload.cut();
        }
        let wanted = Place { kind, holder };
        self.line.push_back(InLine { number, request, wanted, until: now + self.limits.turn });
        self.call_in(now);
        let most = self.limits.connections / 2;
        let of_holder = self.line.iter().filter(|one| one.wanted.holder == holder).count();
        let is_last = self.line.back().is_some_and(|last| last.number == number);
        if is_last
            && (self.line.len() > most || of_holder > most.div_ceil(2))
            && let Some(last) = self.line.pop_back()
        {
            self.refuse(number, last.request.client, Refusal::TooMany, now);
        }
        self.make_room();
    }

    /// Gives free places to the first waiting requests that fit, and refuses those that waited too long.
    fn call_in(&mut self, now: Instant) {
        let mut at = 0;
        // Places that `find` refused in this pass: a later request for the same place and listener would be refused too.
        let mut without: Vec<(Place, Via)> = Vec::new();
        while let Some(first) = self.line.get(at) {
            let (wanted, via) = (first.wanted, first.request.upload.via());
            let place = match without.contains(&(wanted, via)) {
                true => None,
                false => self.limits.places.find(wanted, via, self.exchanges.values().map(|one| &one.place)),
            };
            if place.is_none() && first.until > now {
                without.push((wanted, via));
                at += 1;
                continue;
            }
            let Some(InLine { number, request, .. }) = self.line.remove(at) else { break };
            match place {
                Some(place) => self.relay(number, request, place, now),
                None => self.refuse(number, request.client, Refusal::TooMany, now),
            }
        }
    }

    fn relay(&mut self, number: Number, request: Collected, place: Place, now: Instant) {
        if !request.client.source().can_spare(HEADROOM) {
            return self.refuse(number, request.client, Refusal::TooMany, now);
        }
        let upstream = UnixStream::connect(&self.upstream).and_then(|stream| {
            let stream = Stream::Unix(stream);
            stream.prepare()?;
            Watched::new(stream, &self.poller, number << 1 | 1)
        });
        match upstream {
            Ok(upstream) => {
                let Limits { pace, idle: within, answer_ahead, .. } = self.limits;
                let bounds = Bounds { pace, within, answer_ahead };
                self.exchanges.insert(number, Exchange::new(request, upstream, place, bounds, now));
                self.advance(number, now);
            }
            Err(error) => {
                log::debug!("cannot connect to the handlers: {error}");
                self.refuse(number, request.client, Refusal::Closed, now);
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
