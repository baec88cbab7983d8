//! What selects items.

use serde::{Deserialize, Serialize};

use crate::model::{Kind, Millis};

/// A set of items, by what they are: the wish of a range job, also what `count` counts.
///
/// An item fits when its time is in [from, until), its kind and media are among those named, and any one of its
/// programs is. An empty list names all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub from: Option<Millis>,
    pub until: Option<Millis>,
    pub types: Vec<Kind>,
    /// Where it names any, notes are left out: they have no media.
    pub media: Vec<String>,
    pub programs: Vec<String>,
    /// Of the transcripts; any one of them is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// Skip the items whose programs in scope were all read by the rules of the job's revision.
    pub stale_only: bool,
    /// A block on which nothing is found keeps what it has.
    pub keep_when_empty: bool,
}

impl Filter {
    /// Every item there is.
    pub fn all() -> Filter {
        Filter {
            from: None,
            until: None,
            types: Vec::new(),
            media: Vec::new(),
            programs: Vec::new(),
            languages: Vec::new(),
            stale_only: false,
            keep_when_empty: true,
        }
    }

    pub fn fits_time(&self, at: Millis) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }

    /// All but the time: what a whole shape of items has in common.
    pub fn fits_shape(&self, kind: Kind, media: Option<&str>, programs: &[String], languages: &[String]) -> bool {
        let fits_kind = self.types.is_empty() || self.types.contains(&kind);
        let fits_media =
            self.media.is_empty() || media.is_some_and(|media| self.media.iter().any(|wanted| wanted == media));
        let fits_program = self.programs.is_empty() || programs.iter().any(|program| self.programs.contains(program));
        let fits_language = self.languages.is_empty()
            || languages.iter().any(|spoken| self.languages.iter().any(|wanted| wanted.eq_ignore_ascii_case(spoken)));
        fits_kind && fits_media && fits_program && fits_language
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_filter_leaves_notes_out() {
        let filter = Filter { media: vec!["voice".into()], ..Filter::all() };
        assert!(filter.fits_shape(Kind::Conversation, Some("voice"), &[], &[]));
        assert!(!filter.fits_shape(Kind::Conversation, Some("chat"), &[], &[]));
        assert!(!filter.fits_shape(Kind::Note, None, &[], &[]));
    }

    #[test]
    fn one_language_of_many_is_enough_in_any_case() {
        let filter = Filter { languages: vec!["en-US".into(), "de".into()], ..Filter::all() };
        let fits = |languages: &[&str]| {
            let languages: Vec<String> = languages.iter().map(|&l| l.to_owned()).collect();
            filter.fits_shape(Kind::Conversation, Some("voice"), &[], &languages)
        };
        assert!(fits(&["fr", "EN-us"]) && fits(&["de"]));
        assert!(!fits(&[]) && !fits(&["en"]));
    }

    #[test]
    fn a_range_is_half_open() {
        let filter = Filter { from: Some(10), until: Some(20), ..Filter::all() };
        assert!(filter.fits_time(10) && filter.fits_time(19));
        assert!(!filter.fits_time(9) && !filter.fits_time(20));
    }
}
