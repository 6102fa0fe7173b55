//! One vector for each person, their mean direction, kept up to date face by face.
//!
//! Invariants of [`Templates`], held against by `check` of the shelf:
//! 1. everybody whose faces have a mean direction is in `index`, under their own number, with exactly the vector that
//!    adding up their faces in order of enrolment gives; nobody else is;
//! 2. `counted` has the comparisons of each of them, and `comparisons` and `sizes` are made of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::index::{FaceIndex, Precision};
use crate::vector::{mean_direction, template_comparisons};

/// The templates of a gallery.
#[derive(Debug)]
pub(super) struct Templates {
    dimension: usize,
    /// By the people's ids.
    index: FaceIndex,
    /// What a search of each template counts as.
    counted: HashMap<u64, usize>,
    /// What a search through all of them counts as.
    comparisons: usize,
    /// How many templates count as so many comparisons.
    sizes: BTreeMap<usize, usize>,
}

impl Templates {
    pub(super) fn new(dimension: usize) -> Self {
        Self {
            dimension,
            index: FaceIndex::new(dimension, Precision::F32),
            counted: HashMap::new(),
            comparisons: 0,
            sizes: BTreeMap::new(),
        }
    }

    pub(super) fn index(&self) -> &FaceIndex {
        &self.index
    }

    /// What a search through all of them counts as.
    pub(super) fn comparisons(&self) -> usize {
        self.comparisons
    }

    /// What the one of most faces counts as.
    pub(super) fn largest(&self) -> usize {
        self.sizes.last_key_value().map_or(0, |(counted, _)| *counted)
    }

    /// Puts a person's template in place of the one that was there; none where they have no mean direction: faces
    /// that cancel out, or no faces. Such a person is found by best face only.
    pub(super) fn put(&mut self, person: u64, faces: usize, mean: Option<&[f32]>) {
        if let Some(counted) = self.counted.remove(&person) {
            self.comparisons -= counted;
            if let Some(count) = self.sizes.get_mut(&counted) {
                *count -= 1;
                if *count == 0 {
                    self.sizes.remove(&counted);
                }
            }
        }
        match mean {
            None => drop(self.index.remove(person)),
            Some(mean) => {
                self.index.insert(person, mean);
                let counted = template_comparisons(faces);
                self.counted.insert(person, counted);
                self.comparisons += counted;
                *self.sizes.entry(counted).or_default() += 1;
            }
        }
    }

    /// The first invariant that does not hold; `faces` gives the vectors of a person's faces in order of enrolment.
    pub(super) fn check(
        &self,
        people: impl Iterator<Item = u64>,
        faces: impl Fn(u64) -> Vec<Vec<f32>>,
    ) -> Result<(), String> {
        self.index.check()?;
        let (mut counted, mut sizes) = (HashMap::new(), BTreeMap::new());
        for person in people {
            let vectors = faces(person);
            let count = template_comparisons(vectors.len());
            let mean = mean_direction(vectors.into_iter(), self.dimension);
            let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            if self.index.vector(person).map(bits) != mean.clone().map(bits) {
                return Err(format!("the template of person {person} is not their faces' mean"));
            }
            if mean.is_some() {
                counted.insert(person, count);
                *sizes.entry(count).or_default() += 1;
            }
        }
        if counted.len() != self.index.len() || counted != self.counted || sizes != self.sizes {
            return Err("the templates are not those of the people".to_string());
        }
        if self.comparisons != counted.values().sum::<usize>() {
            return Err(format!("the templates count as {} comparisons, and not so many", self.comparisons));
        }
        Ok(())
    }
}

/// What a gallery has of templates. Nothing until somebody searches by them, then always.
#[derive(Debug, Default)]
pub(super) enum Means {
    /// Nobody has asked for them.
    #[default]
    Unasked,
    /// They are being made; whose faces have changed since that began.
    Making(BTreeSet<u64>),
    /// They are kept; whose faces have changed in this turn of a writer.
    Kept(Box<Templates>, BTreeSet<u64>),
}

impl Means {
    /// A face of this person came or went.
    pub(super) fn touch(&mut self, person: u64) {
        match self {
            Self::Unasked => {}
            Self::Making(touched) | Self::Kept(_, touched) => drop(touched.insert(person)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shelf::Shelf;
    use super::super::{Database, DatabaseOptions, EnrolmentPolicy, NewFace, SearchPolicy};
    use super::*;
    use crate::geometry::{BBox, Landmarks};
    use crate::store::{FaceRecord, GalleryRecord, PersonRecord};
    use crate::vector::{Embedding, ModelId, TemplateRule};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const DIMENSION: usize = 8;

    fn embedding(rng: &mut ChaCha8Rng) -> Embedding {
        // Few directions, so that some people's faces cancel out.
        let axis = rng.random_range(0..DIMENSION);
        let sign = if rng.random() { 1.0 } else { -1.0 };
        let plain = rng.random_bool(0.3);
        let value = |i: usize| match (i == axis, plain) {
            (true, _) => sign,
            (false, true) => 0.0,
            (false, false) => (i as f32 * 0.7 + sign).sin(),
        };
        Embedding::from_raw((0..DIMENSION).map(value).collect(), ModelId::from_text("m/0/t")).unwrap()
    }

    fn face(rng: &mut ChaCha8Rng) -> NewFace {
        NewFace {
            embedding: embedding(rng),
            bbox: BBox::new(0.0, 0.0, 9.0, 9.0),
            landmarks: Landmarks([[0.0; 2]; 5]),
            score: 0.9,
            quality: crate::geometry::FaceQuality::default(),
            source: "drawn".to_string(),
            source_sha256: None,
            pictures: None,
        }
    }

    /// Every template, to the bit.
    fn bits(database: &Database) -> BTreeMap<String, Vec<u32>> {
        let shelf = database.shelf("main").unwrap();
        let inside = shelf.read_with_templates();
        let templates = inside.templates().unwrap();
        let of = |(id, p): (&u64, &PersonRecord)| {
            let vector = templates.index().vector(*id)?;
            Some((p.name.clone(), vector.into_iter().map(f32::to_bits).collect()))
        };
        inside.people.iter().filter_map(of).collect()
    }

    #[test]
    fn templates_that_are_kept_are_those_that_would_be_made_again() {
        for seed in 0..6 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("faces");
            let options = DatabaseOptions::default();
            let mut database = Database::open(&path, &options).unwrap();
            let name = |rng: &mut ChaCha8Rng| format!("p{}", rng.random_range(0..6));
            database.enroll("main", "p0", face(&mut rng), &EnrolmentPolicy::default()).unwrap();
            for step in 0..120 {
                let (one, other) = (name(&mut rng), name(&mut rng));
                // Whether somebody of that name is there is left to chance too.
                match rng.random_range(0..10) {
                    0..5 => drop(database.enroll("main", &one, face(&mut rng), &EnrolmentPolicy::default())),
                    5 => drop(database.merge("main", &one, &other)),
                    6 => drop(database.rename("main", &one, &other)),
                    7 => drop(database.forget("main", &one, false)),
                    8 => {
                        let faces = database.person("main", &one).map_or_else(|_| Vec::new(), |(_, faces)| faces);
                        if let Some(face) = faces.get(rng.random_range(0..3)) {
                            database.forget_face("main", face.id, false).unwrap();
                        }
                    }
                    _ => {
                        let kept = bits(&database);
                        drop(database);
                        database = Database::open(&path, &options).unwrap();
                        assert_eq!(kept, bits(&database), "seed {seed}, step {step}");
                    }
                }
                let report = database.check().unwrap();
                assert!(report.is_clean(), "seed {seed}, step {step}: {report:?}");
                let probe = embedding(&mut rng);
                let policy =
                    SearchPolicy { by: TemplateRule::Mean, top: 9, threshold: Some(0.5), ..SearchPolicy::default() };
                let found = database.identify("main", &probe, &policy, None).unwrap();
                let kept = bits(&database);
                assert_eq!(found.candidates.len(), kept.len(), "seed {seed}, step {step}");
                for candidate in found.candidates {
                    let mean: Vec<f32> = kept[&candidate.name].iter().map(|b| f32::from_bits(*b)).collect();
                    let distance = crate::vector::squared_distance(&mean, probe.values()).sqrt();
                    assert_eq!(candidate.distance, distance, "seed {seed}, step {step}");
                }
            }
        }
    }

    #[test]
    fn faces_that_change_while_templates_are_made_are_in_them() {
        let record = GalleryRecord {
            name: "main".to_string(),
            model: "m/0/t".to_string(),
            dimension: DIMENSION as u32,
            created_ms: 0,
            half: false,
            replaces: None,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let stored = |rng: &mut ChaCha8Rng, person| -> FaceRecord {
            super::super::enroll::stored(person, &face(rng), false, Some(0))
        };
        for round in 0..10 {
            let shelf = Shelf::new(1, record.clone());
            for person in 0..2000 {
                let known =
                    PersonRecord { name: person.to_string(), groups: vec![], labels: BTreeMap::new(), created_ms: 0 };
                let mut inside = shelf.write();
                inside.add_person(person, known);
                inside.add_face(person, &stored(&mut rng, person));
            }
            std::thread::scope(|scope| {
                scope.spawn(|| drop(shelf.read_with_templates()));
                scope.spawn(|| drop(shelf.read_with_templates()));
                for n in 0..300 {
                    let person = rng.random_range(0..2000);
                    let mut inside = shelf.write();
                    match n % 3 {
                        0 => inside.remove_person(person),
                        1 if inside.people.contains_key(&person) => {
                            inside.add_face(10_000 + n, &stored(&mut rng, person));
                        }
                        _ => inside.remove_face(person),
                    }
                }
            });
            shelf.read().check().unwrap_or_else(|fault| panic!("round {round}: {fault}"));
            assert!(shelf.read().templates().is_some());
        }
    }
}
