//! Codes, sessions and tickets: short-lived secrets. A restart forgets all but the sessions, which `kept` puts back.

use super::AccessError;
use super::tokens::{random, same};
use crate::model::Millis;

/// Secrets in memory, each with what it opens: few, so a look compares them all; the least recently used makes room.
pub(super) struct Shelf<T> {
    held: Vec<Held<T>>,
    room: usize,
    idle: Millis,
    life: Millis,
}

pub(super) struct Held<T> {
    pub(super) secret: String,
    pub(super) made: Millis,
    pub(super) used: Millis,
    pub(super) token: usize,
    pub(super) what: T,
}

impl<T: Clone> Shelf<T> {
    pub(super) fn new(room: usize, idle: Millis, life: Millis) -> Shelf<T> {
        Shelf { held: Vec::new(), room, idle, life }
    }

    pub(super) fn put(&mut self, what: T, token: usize, now: Millis) -> Result<String, AccessError> {
        let secret = random()?;
        self.drop_expired(now);
        if self.held.len() >= self.room {
            let oldest = self.held.iter().enumerate().min_by_key(|(_, held)| held.used);
            if let Some((index, _)) = oldest {
                self.held.remove(index);
            }
        }
        self.held.push(Held { secret: secret.clone(), made: now, used: now, token, what });
        Ok(secret)
    }

    pub(super) fn put_back(&mut self, held: Held<T>) {
        self.held.push(held);
    }

    pub(super) fn held(&self) -> impl Iterator<Item = &Held<T>> {
        self.held.iter()
    }

    /// What the secret opens, and the token behind it.
    pub(super) fn find(&mut self, secret: &str, now: Millis) -> Option<(T, usize)> {
        self.drop_expired(now);
        let held = self.held.iter_mut().find(|held| same(&held.secret, secret))?;
        held.used = now;
        Some((held.what.clone(), held.token))
    }

    /// As [`Shelf::find`], for the last time.
    pub(super) fn take(&mut self, secret: &str, now: Millis) -> Option<(T, usize)> {
        let found = self.find(secret, now)?;
        self.held.retain(|held| !same(&held.secret, secret));
        Some(found)
    }

    fn drop_expired(&mut self, now: Millis) {
        let (idle, life) = (self.idle, self.life);
        self.held.retain(|held| now.saturating_sub(held.used) < idle && now.saturating_sub(held.made) < life);
    }

    pub(super) fn drop_those_of(&mut self, token: usize) {
        self.held.retain(|held| held.token != token);
    }
}
