//! Places: how many requests may be with tiny_http at a time, by what they cost and by who sends them.
//!
//! Each place stands for a handler thread. Short calls, long calls and calls about the daemon's own state have places of
//! their own, so none of them takes the last one from another.

use super::head::Via;

/// How long a call may keep a handler busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Reports the state of the daemon; the handler needs milliseconds.
    Watch,
    /// The body is small, and so is the work.
    Short,
    /// The body may have any length. The call is short when the whole body came before it takes a place.
    LongBody,
    /// The answer may have any length.
    LongAnswer,
}

/// What the daemon decides about a request by its head alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    pub load: Load,
    /// Whose share of the places the request counts in: a number for each token and for the Unix socket.
    pub holder: usize,
    /// Whether the answer depends on the body. It does not where the caller has no right to the call.
    pub needs_body: bool,
}

/// The kinds of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Watch,
    Short,
    Long,
    /// For requests over the Unix socket that find no other place.
    Unix,
}

/// A place that is taken, or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub kind: Kind,
    pub holder: usize,
}

/// How many places of each kind there are.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub watch: usize,
    pub short: usize,
    pub long: usize,
    pub unix: usize,
}

impl Places {
    pub fn total(&self) -> usize {
        self.watch + self.short + self.long + self.unix
    }

    /// Lowers the numbers to what `descriptors` allow: a request takes four (client, upstream, and two in tiny_http).
    pub(super) fn fitted_to(self, descriptors: usize) -> Places {
        let fit = |places: usize, part: usize| places.min(descriptors / part).max(1);
        Places {
            watch: fit(self.watch, 128),
            short: fit(self.short, 32),
            long: fit(self.long, 32),
            unix: fit(self.unix, 128),
        }
    }

    fn of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Watch => self.watch,
            Kind::Short => self.short,
            Kind::Long => self.long,
            Kind::Unix => self.unix,
        }
    }

    /// The place that a request gets beside those that are `taken`; none while it has to wait.
    ///
    /// One holder has at most three quarters of the short and of the long places.
    pub(super) fn find<'a>(
        &self,
        wanted: Place,
        via: Via,
        taken: impl Iterator<Item = &'a Place> + Clone,
    ) -> Option<Place> {
        let count = |kind| taken.clone().filter(|place| place.kind == kind).count();
        let of_holder = taken.clone().filter(|place| **place == wanted).count();
        let share = match wanted.kind {
            Kind::Short | Kind::Long => (self.of(wanted.kind) * 3).div_ceil(4),
            Kind::Watch | Kind::Unix => self.of(wanted.kind),
        };
        if of_holder < share && count(wanted.kind) < self.of(wanted.kind) {
            return Some(wanted);
        }
        let is_spare = via == Via::Unix && count(Kind::Unix) < self.unix;
        is_spare.then_some(Place { kind: Kind::Unix, ..wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places = Places { watch: 1, short: 4, long: 4, unix: 1 };

    /// Takes places until there are no more for this request.
    fn take_all(taken: &mut Vec<Place>, kind: Kind, holder: usize, via: Via) -> usize {
        let before = taken.len();
        while let Some(place) = PLACES.find(Place { kind, holder }, via, taken.clone().iter()) {
            taken.push(place);
        }
        taken.len() - before
    }

    #[test]
    fn one_holder_leaves_a_quarter_of_the_places_to_others() {
        let mut taken = Vec::new();
        assert_eq!(take_all(&mut taken, Kind::Short, 1, Via::Tcp), 3);
        assert_eq!(take_all(&mut taken, Kind::Short, 2, Via::Tcp), 1);
        assert_eq!(take_all(&mut taken, Kind::Long, 1, Via::Tcp), 3);
        assert_eq!(take_all(&mut taken, Kind::Long, 2, Via::Tcp), 1);
    }

    #[test]
    fn the_state_of_the_daemon_and_the_unix_socket_have_places_of_their_own() {
        let mut taken = Vec::new();
        for kind in [Kind::Short, Kind::Long] {
            take_all(&mut taken, kind, 1, Via::Tcp);
            take_all(&mut taken, kind, 2, Via::Tcp);
        }
        assert_eq!(take_all(&mut taken, Kind::Watch, 1, Via::Tcp), 1);
        assert_eq!(take_all(&mut taken, Kind::Short, 3, Via::Tcp), 0);
        assert_eq!(take_all(&mut taken, Kind::Short, 3, Via::Unix), 1);
    }

    #[test]
    fn few_descriptors_leave_a_place_of_each_kind() {
        let few = Places { watch: 4, short: 24, long: 32, unix: 4 }.fitted_to(64);
        assert_eq!((few.watch, few.short, few.long, few.unix), (1, 2, 2, 1));
    }
}
