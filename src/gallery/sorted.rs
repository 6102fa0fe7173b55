//! People from anywhere in a gallery, in the order that a reader asks for, with how many there are: what a list needs
//! that is scrolled, where [`Database::people_page`] goes on from a name.

use std::cmp::Reverse;

use serde::Serialize;

use super::names;
use super::people::listed;
use super::{Database, Person, PersonFilter};
use crate::error::Result;
use crate::store::PersonRecord;

/// In which order people are listed; those alike in it by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PeopleOrder {
    /// By name, code point by code point.
    #[default]
    Name,
    /// Whoever was enrolled last first.
    Newest,
    /// Whoever has most faces first.
    Faces,
}

/// Some of the people of a gallery, and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeopleSlice {
    /// The people.
    pub people: Vec<Person>,
    /// Everybody whom the filter takes.
    pub total: usize,
}

impl Database {
    /// At most `limit` people of a gallery in that order, after the first `skip`; with `containing` only those whose name
    /// holds that text, in whatever case. It looks at everybody.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`].
    pub fn people_slice(
        &self,
        gallery: &str,
        filter: &PersonFilter,
        containing: Option<&str>,
        order: PeopleOrder,
        (skip, limit): (usize, usize),
    ) -> Result<PeopleSlice> {
        let shelf = self.shelf(gallery)?;
        let inside = shelf.read();
        let wanted = containing.map(names::key);
        let named = |p: &PersonRecord| wanted.as_ref().is_none_or(|w| names::key(&p.name).contains(&**w));
        let mut all: Vec<(u64, &PersonRecord)> =
            inside.people_after(None).filter(|(_, p)| filter.takes(p) && named(p)).collect();
        // The sort is stable, and they came by name.
        match order {
            PeopleOrder::Name => {}
            PeopleOrder::Newest => all.sort_by_key(|(_, p)| Reverse(p.created_ms)),
            PeopleOrder::Faces => all.sort_by_key(|(id, _)| Reverse(inside.faces_of(*id).len())),
        }
        let page = all.iter().skip(skip).take(limit);
        let people = page.map(|(id, p)| listed(*id, p, inside.faces_of(*id).len())).collect();
        Ok(PeopleSlice { people, total: all.len() })
    }
}

impl PeopleSlice {
    /// The same from people who are at hand, by name.
    pub(crate) fn of(people: Vec<Person>, containing: Option<&str>, order: PeopleOrder, range: (usize, usize)) -> Self {
        let wanted = containing.map(names::key);
        let named = |p: &Person| wanted.as_ref().is_none_or(|w| names::key(&p.name).contains(&**w));
        let mut all: Vec<Person> = people.into_iter().filter(named).collect();
        match order {
            PeopleOrder::Name => {}
            PeopleOrder::Newest => all.sort_by_key(|p| Reverse(p.created_ms)),
            PeopleOrder::Faces => all.sort_by_key(|p| Reverse(p.faces)),
        }
        let total = all.len();
        Self { people: all.into_iter().skip(range.0).take(range.1).collect(), total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::DatabaseOptions;
    use crate::vector::ModelId;

    #[test]
    fn every_part_of_every_order_is_that_of_the_whole_list() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
        let model = ModelId::from_text("m/abc/test");
        for name in ["Émile", "ada", "Bo", "Adam", "Zoë"] {
            database.add_person("main", name, &[], &Default::default(), &model, 2).unwrap();
        }
        let none = PersonFilter::default();
        for order in [PeopleOrder::Name, PeopleOrder::Newest, PeopleOrder::Faces] {
            let slice = |range, q: Option<&str>| database.people_slice("main", &none, q, order, range).unwrap();
            let whole = slice((0, 100), None);
            assert_eq!((whole.total, whole.people.len()), (5, 5));
            assert_eq!(slice((0, 100), Some("ADA")).total, 2);
            for skip in 0..7 {
                let part = slice((skip, 2), None);
                let expected: Vec<Person> = whole.people.iter().skip(skip).take(2).cloned().collect();
                assert_eq!((part.people, part.total), (expected, 5), "{order:?}, {skip}");
            }
            let all = database.people("main", &none).unwrap();
            assert_eq!(PeopleSlice::of(all, Some("a"), order, (1, 2)), slice((1, 2), Some("a")), "{order:?}");
            let created: Vec<u64> = whole.people.iter().map(|p| p.created_ms).collect();
            assert!(order != PeopleOrder::Newest || created.windows(2).all(|w| w[0] >= w[1]));
        }
    }
}
