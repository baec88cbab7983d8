//! A field of a line: first read as whatever JSON it is, and only then judged.
//!
//! So one pass serves good and bad lines alike, and of a bad one the field's place is known and what it should hold.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// What is wrong, and where. The place is put together on the way out, so that good lines pay nothing for it.
pub(super) struct Complaint {
    place: String,
    what: String,
}

impl Complaint {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Complaint { place: String::new(), what: what.into() }
    }

    pub(super) fn within(mut self, field: &str) -> Self {
        let joint = if self.place.is_empty() { "" } else { "." };
        self.place = format!("{field}{joint}{}", self.place);
        self
    }

    pub(super) fn at(self, list: &str, place: usize) -> Self {
        self.within(&format!("{list}[{place}]"))
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of the whole line, there is no place to name.
        let joint = if self.place.is_empty() { "" } else { ": " };
        write!(f, "{}{joint}{}", self.place, self.what)
    }
}

/// A field of any JSON at all, not yet judged. `null` is as good as absent.
#[derive(Default)]
pub(super) enum Field<T> {
    #[default]
    Absent,
    /// Holds what stands there instead.
    Wrong(&'static str),
    Given(T),
}

impl<'de, T: Reads<'de>> Field<T> {
    pub(super) fn required(self, called: &str) -> Result<T, Complaint> {
        self.optional(called)?.ok_or_else(|| Complaint::new("missing").within(called))
    }

    pub(super) fn optional(self, called: &str) -> Result<Option<T>, Complaint> {
        match self {
            Field::Absent => Ok(None),
            Field::Wrong(found) => Err(mistaken(T::WANTED, found).within(called)),
            Field::Given(value) => Ok(Some(value)),
        }
    }

    /// For an entry of a list, or the line itself, which cannot be absent.
    pub(super) fn entry(self) -> Result<T, Complaint> {
        match self {
            Field::Absent => Err(mistaken(T::WANTED, "null")),
            Field::Wrong(found) => Err(mistaken(T::WANTED, found)),
            Field::Given(value) => Ok(value),
        }
    }
}

fn mistaken(wanted: &str, found: &str) -> Complaint {
    Complaint::new(format!("must be {wanted}, not {found}"))
}

/// A type that a field can hold, made from those kinds of JSON that it takes.
pub(super) trait Reads<'de>: Sized {
    const WANTED: &'static str;

    /// False only of what is certain to be refused.
    fn is_sound(&self) -> bool {
        true
    }

    fn text(_: &str) -> Option<Self> {
        None
    }

    fn integer(_: i64) -> Option<Self> {
        None
    }

    fn float(_: f64) -> Option<Self> {
        None
    }

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de> Reads<'de> for String {
    const WANTED: &'static str = "a string";

    fn text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl<'de> Reads<'de> for i64 {
    const WANTED: &'static str = "a whole number";

    fn integer(number: i64) -> Option<Self> {
        Some(number)
    }

    /// JSON does not tell 1200.0 from 1200, and some languages print every number as the former.
    fn float(number: f64) -> Option<Self> {
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    }
}

impl<'de> Reads<'de> for Value {
    const WANTED: &'static str = "a string or a number";

    fn text(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn integer(number: i64) -> Option<Self> {
        Some(number.into())
    }

    fn float(number: f64) -> Option<Self> {
        Some(number.into())
    }
}

impl<'de, T: Reads<'de>> Reads<'de> for Vec<Field<T>> {
    const WANTED: &'static str = "an array";

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            let is_sound = matches!(&entry, Field::Given(value) if T::is_sound(value));
            entries.push(entry);
            // The line is lost, so the rest need not be kept: of `[0,0,0,…` it would take fifty times its length.
            if !is_sound {
                while list.next_element::<IgnoredAny>()?.is_some() {}
            }
        }
        Ok(Some(entries))
    }
}

impl<'de, T: Reads<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

fn or_wrong<T>(value: Option<T>, found: &'static str) -> Field<T> {
    value.map_or(Field::Wrong(found), Field::Given)
}

/// Never fails by itself: only what is not JSON, or has a key twice, is a serde error.
impl<'de, T: Reads<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_unit<E>(self) -> Result<Field<T>, E> {
        Ok(Field::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field<T>, E> {
        Ok(Field::Wrong("true or false"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<T>, E> {
        Ok(or_wrong(T::text(text), "a string"))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<T>, E> {
        Ok(or_wrong(T::integer(number), "a number"))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<T>, E> {
        match i64::try_from(number) {
            Ok(number) => Ok(or_wrong(T::integer(number), "a number")),
            Err(_) => Ok(or_wrong(None, "a number so large")),
        }
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field<T>, E> {
        Ok(or_wrong(T::float(number), "a fraction"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Field<T>, A::Error> {
        Ok(or_wrong(T::list(list)?, "an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Field<T>, A::Error> {
        Ok(or_wrong(T::object(object)?, "an object"))
    }
}
/// Lets a field hold these structs, which derive `Deserialize`; each with a field that it cannot do without.
macro_rules! reads_object {
    ($($raw:ty: $required:ident),*) => {$(
        impl<'de> $crate::lines::field::Reads<'de> for $raw {
            const WANTED: &'static str = "an object";

            fn is_sound(&self) -> bool {
                matches!(self.$required, Field::Given(_))
            }

            fn object<A: serde::de::MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
                let object = serde::de::value::MapAccessDeserializer::new(object);
                serde::Deserialize::deserialize(object).map(Some)
            }
        }
    )*};
}

pub(super) use reads_object;
