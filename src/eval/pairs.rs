//! Lists of pairs: LFW's `pairs.txt`, a CSV file, or pairs drawn from a folder with one folder a person.
//!
//! | list | lines |
//! | --- | --- |
//! | `pairs.txt` (G. Huang et al., "Labeled Faces in the Wild", 2007) | the first: folds, pairs of each kind (or the pairs alone: one fold); then in each fold `name i j` for genuine and `name i name j` for impostor pairs, parted by tabs |
//! | CSV | `file_x,file_y,same`, with that heading or without; same is 1, 0, true, false, yes or no |
//!
//! In folds drawn from folders no person is in two folds, as in LFW's. Pairs of a CSV are dealt to the
//! folds in turn, so there the same person may be in several.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::people::Person;
use crate::error::EvalError;
use crate::files::spelled;

/// Folds of a list that names none.
pub const FOLDS: usize = 10;
/// Endings under which a photo that `pairs.txt` names is looked for.
const ENDINGS: [&str; 7] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "gif"];
/// Draws of an impostor pair before a fold is taken to hold no more new ones.
const DRAWS_A_PAIR: usize = 50;

/// Two photos, by their places in [`PairList::photos`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The first photo.
    pub a: u32,
    /// The second photo.
    pub b: u32,
    /// Whether both show the same person.
    pub genuine: bool,
    /// The fold that it belongs to.
    pub fold: u16,
}

/// Pairs to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct PairList {
    /// Every photo once.
    pub photos: Vec<PathBuf>,
    /// The pairs.
    pub pairs: Vec<Pair>,
    /// How many folds.
    pub folds: usize,
    /// What the list is, in a sentence.
    pub source: String,
}

/// Gives each path one number.
#[derive(Default)]
struct Photos {
    paths: Vec<PathBuf>,
    numbers: HashMap<PathBuf, u32>,
}

impl Photos {
    fn number(&mut self, path: PathBuf) -> u32 {
        if let Some(&number) = self.numbers.get(&path) {
            return number;
        }
        let number = self.paths.len() as u32;
        self.numbers.insert(path.clone(), number);
        self.paths.push(path);
        number
    }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> EvalError {
    let path = spelled(path);
    move |e| EvalError::Io { path: path.clone(), reason: e.to_string() }
}

fn bad_line(path: &Path, line: u64, reason: impl Into<String>) -> EvalError {
    EvalError::BadLine { path: spelled(path), line, reason: reason.into() }
}

impl PairList {
    /// Reads `pairs.txt` or CSV, told apart by their content. `images` is the folder that the photos are in:
    /// `NAME/NAME_0001.jpg` for `pairs.txt`.
    ///
    /// # Errors
    /// [`EvalError::BadLine`], [`EvalError::NoPhoto`] or [`EvalError::Io`], each with the line or the file.
    pub fn read(file: &Path, images: &Path) -> Result<Self, EvalError> {
        let text = std::fs::read_to_string(file).map_err(io(file))?;
        let first = text.lines().next().unwrap_or_default();
        let numbers = |line: &str| line.split_whitespace().all(|w| w.parse::<u64>().is_ok()) && !line.trim().is_empty();
        if numbers(first) { Self::lfw(file, &text, images) } else { Self::csv(file, &text, images) }
    }

    fn lfw(file: &Path, text: &str, images: &Path) -> Result<Self, EvalError> {
        let mut lines = text.lines().enumerate().map(|(i, l)| (i as u64 + 1, l.trim_end()));
        let head: Vec<usize> = lines
            .next()
            .map(|(_, l)| l.split_whitespace().filter_map(|w| w.parse().ok()).collect())
            .unwrap_or_default();
        let (folds, each) = match head[..] {
            [each] => (1, each),
            [folds, each] => (folds, each),
            _ => return Err(bad_line(file, 1, "the first line holds the number of folds and of pairs of each kind")),
        };
        if folds == 0 || each == 0 || folds > usize::from(u16::MAX) {
            return Err(bad_line(file, 1, format!("{folds} folds of {each} pairs are none")));
        }
        let (mut photos, mut pairs) = (Photos::default(), Vec::new());
        for (line, content) in lines.filter(|(_, l)| !l.is_empty()) {
            let words: Vec<&str> = content.split('\t').map(str::trim).collect();
            let ((x, i), (y, j), genuine) = match words[..] {
                [name, i, j] => ((name, i), (name, j), true),
                [x, i, y, j] => ((x, i), (y, j), false),
                _ => return Err(bad_line(file, line, "a pair has three or four columns, parted by tabs")),
            };
            let fold = pairs.len() / (2 * each);
            // Folds without an end would put the rest of a file into folds that were never announced.
            if fold >= folds {
                return Err(bad_line(file, line, format!("more pairs than {folds} folds of 2 x {each}")));
            }
            if genuine != (pairs.len() % (2 * each) < each) {
                let wanted = if genuine { "different people" } else { "the same person" };
                return Err(bad_line(
                    file,
                    line,
                    format!("pair {} of the fold should be of {wanted}", pairs.len() % (2 * each) + 1),
                ));
            }
            let mut find = |name: &str, number: &str| -> Result<u32, EvalError> {
                let number: u32 =
                    number.parse().map_err(|_| bad_line(file, line, format!("{number:?} is no number")))?;
                let stem = images.join(name).join(format!("{name}_{number:04}"));
                let path = |ending: &str| {
                    let mut path = stem.clone().into_os_string();
                    path.push(format!(".{ending}"));
                    PathBuf::from(path)
                };
                let found = ENDINGS.iter().map(|e| path(e)).find(|p| p.is_file());
                let missing = || EvalError::NoPhoto { path: spelled(file), line, photo: spelled(path(ENDINGS[0])) };
                Ok(photos.number(found.ok_or_else(missing)?))
            };
            let (a, b) = (find(x, i)?, find(y, j)?);
            pairs.push(Pair { a, b, genuine, fold: fold as u16 });
        }
        if pairs.len() != folds * each * 2 {
            let reason = format!("{} pairs, {folds} folds of 2 x {each} were announced", pairs.len());
            return Err(bad_line(file, 1, reason));
        }
        let source = format!("LFW protocol, {folds} folds of {each} genuine and {each} impostor pairs: {}", name(file));
        Ok(Self { photos: photos.paths, pairs, folds, source })
    }

    fn csv(file: &Path, text: &str, images: &Path) -> Result<Self, EvalError> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let (mut photos, mut pairs) = (Photos::default(), Vec::new());
        let mut dealt = [0usize; 2];
        for row in reader.records() {
            let row = row.map_err(|e| bad_line(file, e.position().map_or(0, csv::Position::line), e.to_string()))?;
            let line = row.position().map_or(0, csv::Position::line);
            let fields: Vec<&str> = row.iter().collect();
            let [x, y, same] = fields[..] else {
                let reason = format!("{} columns, three are expected: file_x,file_y,same", fields.len());
                return Err(bad_line(file, line, reason));
            };
            let genuine = match same.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" => true,
                "0" | "false" | "no" => false,
                "same" if line == 1 => continue,
                other => {
                    return Err(bad_line(
                        file,
                        line,
                        format!("same is {other:?}, must be 1, 0, true, false, yes or no"),
                    ));
                }
            };
            let mut find = |photo: &str| -> Result<u32, EvalError> {
                let path = images.join(photo);
                if path.is_file() {
                    return Ok(photos.number(path));
                }
                let (photo, path) = (spelled(&path), spelled(file));
                Err(EvalError::NoPhoto { path, line, photo })
            };
            let (a, b) = (find(x)?, find(y)?);
            let turn = &mut dealt[usize::from(genuine)];
            pairs.push(Pair { a, b, genuine, fold: (*turn % FOLDS) as u16 });
            *turn += 1;
        }
        // A fold needs a pair of each kind, on either side of it.
        let folds = dealt[0].min(dealt[1]).clamp(1, FOLDS);
        pairs.iter_mut().for_each(|p| p.fold %= folds as u16);
        let source = format!("{} genuine and {} impostor pairs of {}", dealt[1], dealt[0], name(file));
        Ok(Self { photos: photos.paths, pairs, folds, source })
    }

    /// Draws pairs from labelled people: people are dealt to the folds, and in each fold at most `each` pairs
    /// of either kind are drawn. The same seed draws the same pairs.
    ///
    /// # Errors
    /// [`EvalError::TooLittle`] with fewer than two people, or nobody with two photos.
    pub fn drawn(people: &[Person], folds: usize, each: usize, seed: u64) -> Result<Self, EvalError> {
        let with_two = people.iter().filter(|p| p.photos.len() > 1).count();
        if people.len() < 2 || with_two == 0 {
            let reason = format!("{} people, {with_two} of them with two photos or more", people.len());
            return Err(EvalError::TooLittle { reason });
        }
        let folds = folds.clamp(1, (people.len() / 2).min(with_two));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Those with genuine pairs are dealt first, so that every fold gets some.
        let (mut several, mut single): (Vec<&Person>, Vec<&Person>) = people.iter().partition(|p| p.photos.len() > 1);
        several.shuffle(&mut rng);
        single.shuffle(&mut rng);
        let dealt: Vec<&Person> = several.into_iter().chain(single).collect();
        let (mut photos, mut pairs) = (Photos::default(), Vec::new());
        for fold in 0..folds {
            let members: Vec<&Person> = dealt.iter().skip(fold).step_by(folds).copied().collect();
            let mut add = |a: &PathBuf, b: &PathBuf, genuine: bool| {
                let (a, b) = (photos.number(a.clone()), photos.number(b.clone()));
                pairs.push(Pair { a, b, genuine, fold: fold as u16 });
            };
            for (p, (i, j)) in genuine_pairs(&members, each, &mut rng) {
                add(&members[p].photos[i], &members[p].photos[j], true);
            }
            for ((p, i), (q, j)) in impostor_pairs(&members, each, &mut rng) {
                add(&members[p].photos[i], &members[q].photos[j], false);
            }
        }
        let (genuine, all) = (pairs.iter().filter(|p| p.genuine).count(), pairs.len());
        let source = format!(
            "{genuine} genuine and {} impostor pairs drawn from {} people, seed {seed}, no person in two folds",
            all - genuine,
            people.len()
        );
        Ok(Self { photos: photos.paths, pairs, folds, source })
    }

    /// Every pair of photos, in one fold.
    ///
    /// # Errors
    /// As [`PairList::drawn`].
    pub fn every(people: &[Person]) -> Result<Self, EvalError> {
        let mut photos = Photos::default();
        let numbered: Vec<(usize, u32)> = people
            .iter()
            .enumerate()
            .flat_map(|(person, p)| p.photos.iter().map(move |photo| (person, photo.clone())))
            .map(|(person, photo)| (person, photos.number(photo)))
            .collect();
        let mut pairs = Vec::with_capacity(numbered.len() * numbered.len().saturating_sub(1) / 2);
        for (i, &(person, a)) in numbered.iter().enumerate() {
            pairs.extend(numbered[i + 1..].iter().map(|&(q, b)| Pair { a, b, genuine: person == q, fold: 0 }));
        }
        let genuine = pairs.iter().filter(|p| p.genuine).count();
        if genuine == 0 || genuine == pairs.len() {
            let reason = format!("{} photos of {} people", numbered.len(), people.len());
            return Err(EvalError::TooLittle { reason });
        }
        let source = format!("every pair of {} photos of {} people", numbered.len(), people.len());
        Ok(Self { photos: photos.paths, pairs, folds: 1, source })
    }
}

fn name(file: &Path) -> String {
    spelled(file.file_name().unwrap_or_default())
}

/// Person and photo numbers of at most `most` genuine pairs: each person gives one in turn, so that those
/// with many photos do not crowd out the rest.
fn genuine_pairs(members: &[&Person], most: usize, rng: &mut ChaCha8Rng) -> Vec<(usize, (usize, usize))> {
    let mut of_each: Vec<Vec<(usize, usize)>> = members
        .iter()
        .map(|p| {
            let n = p.photos.len();
            let mut pairs: Vec<(usize, usize)> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
            pairs.shuffle(rng);
            pairs.truncate(most);
            pairs
        })
        .collect();
    let mut drawn = Vec::new();
    while drawn.len() < most && of_each.iter().any(|p| !p.is_empty()) {
        for (person, pairs) in of_each.iter_mut().enumerate() {
            drawn.extend(pairs.pop().map(|pair| (person, pair)));
        }
    }
    drawn.truncate(most);
    drawn
}

type Shot = (usize, usize);

/// At most `most` different pairs of photos of two people.
fn impostor_pairs(members: &[&Person], most: usize, rng: &mut ChaCha8Rng) -> Vec<(Shot, Shot)> {
    let mut seen = std::collections::HashSet::new();
    let mut drawn = Vec::new();
    if members.len() < 2 {
        return drawn;
    }
    for _ in 0..most.saturating_mul(DRAWS_A_PAIR) {
        if drawn.len() == most {
            break;
        }
        let p = rng.random_range(0..members.len());
        let q = (p + rng.random_range(1..members.len())) % members.len();
        let (p, q) = (p.min(q), p.max(q));
        let pair =
            ((p, rng.random_range(0..members[p].photos.len())), (q, rng.random_range(0..members[q].photos.len())));
        if seen.insert(pair) {
            drawn.push(pair);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        folder
    }

    fn read(text: &str, images: &Path) -> Result<PairList, EvalError> {
        let file = images.join("list");
        std::fs::write(&file, text).unwrap();
        PairList::read(&file, images)
    }

    #[test]
    fn pairs_txt_is_read_fold_by_fold() {
        let images = folder(&["A_B/A_B_0001.jpg", "A_B/A_B_0012.png", "C/C_0003.jpg"]);
        let text = "2\t1\nA_B\t1\t12\nA_B\t1\tC\t3\r\nA_B\t12\t1\nC\t3\tA_B\t12\n\n";
        let list = read(text, images.path()).unwrap();
        assert_eq!((list.folds, list.photos.len()), (2, 3));
        let shape: Vec<(bool, u16)> = list.pairs.iter().map(|p| (p.genuine, p.fold)).collect();
        assert_eq!(shape, [(true, 0), (false, 0), (true, 1), (false, 1)]);
        assert_eq!((list.pairs[3].a, list.pairs[3].b), (2, 1));
        let view_1 = read("1\nA_B\t1\t12\nA_B\t1\tC\t3\n", images.path()).unwrap();
        assert_eq!((view_1.folds, view_1.pairs.len()), (1, 2));
    }

    #[test]
    fn what_is_wrong_with_pairs_txt_is_said_with_its_line() {
        let images = folder(&["A/A_0001.jpg", "A/A_0002.jpg", "B/B_0001.jpg"]);
        for (text, code, words) in [
            ("1\t1\nA\t1\t3\nA\t1\tB\t1\n", "eval.no_photo", "A_0003.jpg"),
            ("1\t1\nA\t1\tB\t1\nA\t1\t2\n", "eval.bad_line", "line 2: pair 1 of the fold should be of the same person"),
            ("1\t1\nA\t1\t2\n", "eval.bad_line", "1 pairs, 1 folds of 2 x 1 were announced"),
            ("1\t1\nA\t1\t2\nA\t1\tB\t1\nA\t1\t2\n", "eval.bad_line", "line 4: more pairs"),
            ("1\t1\nA\tx\t2\n", "eval.bad_line", "\"x\" is no number"),
            ("1\t1\nA 1 2\n", "eval.bad_line", "three or four columns"),
            ("0\t300\n", "eval.bad_line", "0 folds"),
            ("1\t2\t3\n", "eval.bad_line", "first line"),
        ] {
            let error = read(text, images.path()).unwrap_err();
            assert_eq!(error.code(), code, "{text:?}: {error}");
            assert!(error.to_string().contains(words), "{text:?}: {error}");
        }
        let nowhere = PairList::read(&images.path().join("nowhere"), images.path()).unwrap_err();
        assert_eq!(nowhere.code(), "eval.io");
    }

    #[test]
    fn csv_with_a_heading_or_without() {
        let images = folder(&["a.jpg", "b.jpg", "c, d.jpg"]);
        let rows = "a.jpg,b.jpg,1\na.jpg,\"c, d.jpg\",no\nb.jpg,\"c, d.jpg\",FALSE\n";
        for text in [rows.to_string(), format!("file_x,file_y,same\n{rows}")] {
            let list = read(&text, images.path()).unwrap();
            assert_eq!(list.pairs.iter().map(|p| p.genuine).collect::<Vec<_>>(), [true, false, false]);
            assert_eq!((list.folds, list.photos.len()), (1, 3), "one genuine pair makes no second fold");
        }
        for (text, words) in [
            ("a.jpg,b.jpg\n", "2 columns"),
            ("a.jpg,b.jpg,maybe\n", "\"maybe\""),
            ("a.jpg,b.jpg,1\nfile_x,file_y,same\n", "line 2"),
            ("a.jpg,nobody.jpg,1\n", "nobody.jpg"),
        ] {
            let error = read(text, images.path()).unwrap_err().to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        let many = "a.jpg,b.jpg,1\na.jpg,b.jpg,0\n".repeat(25);
        let list = read(&many, images.path()).unwrap();
        assert_eq!(list.folds, 10);
        for fold in 0..10 {
            let of = |genuine| list.pairs.iter().filter(|p| p.fold == fold && p.genuine == genuine).count();
            assert!(of(true) >= 2 && of(false) >= 2);
        }
    }

    fn people(photos: &[usize]) -> Vec<Person> {
        let photo = |p: usize, i: usize| PathBuf::from(format!("{p}/{i}"));
        let person =
            |(p, &n): (usize, &usize)| Person { name: p.to_string(), photos: (0..n).map(|i| photo(p, i)).collect() };
        photos.iter().enumerate().map(person).collect()
    }

    #[test]
    fn drawn_pairs_are_what_they_say_and_nobody_is_in_two_folds() {
        let people = people(&[4, 1, 3, 2, 1, 6, 2, 1, 1, 2]);
        let list = PairList::drawn(&people, 3, 5, 42).unwrap();
        assert_eq!(list, PairList::drawn(&people, 3, 5, 42).unwrap());
        assert_ne!(list.pairs, PairList::drawn(&people, 3, 5, 43).unwrap().pairs);
        let owner = |photo: u32| list.photos[photo as usize].parent().unwrap().to_path_buf();
        let mut fold_of = HashMap::new();
        let mut seen = std::collections::HashSet::new();
        for p in &list.pairs {
            assert_eq!(owner(p.a) == owner(p.b), p.genuine);
            assert!(p.a != p.b && seen.insert((p.a.min(p.b), p.a.max(p.b))), "drawn twice");
            for photo in [p.a, p.b] {
                assert_eq!(*fold_of.entry(owner(photo)).or_insert(p.fold), p.fold);
            }
        }
        for fold in 0..3 {
            let of = |genuine| list.pairs.iter().filter(|p| p.fold == fold && p.genuine == genuine).count();
            assert!((1..=5).contains(&of(true)) && (1..=5).contains(&of(false)));
        }
    }

    #[test]
    fn every_pair_and_too_few() {
        let list = PairList::every(&people(&[3, 1, 2])).unwrap();
        assert_eq!((list.pairs.len(), list.pairs.iter().filter(|p| p.genuine).count()), (15, 4));
        assert!(PairList::every(&people(&[1, 1])).is_err() && PairList::every(&people(&[5])).is_err());
        assert!(PairList::drawn(&people(&[1, 1, 1]), 10, 300, 1).is_err());
        assert!(PairList::drawn(&people(&[9]), 10, 300, 1).is_err());
        assert_eq!(PairList::drawn(&people(&[2, 1]), 10, 300, 1).unwrap().folds, 1);
    }
}
