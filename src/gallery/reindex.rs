//! The index of a gallery: the method that answers searches, building it, and its file.
//!
//! A graph is kept in `index/GALLERY.graph` in the database's folder. It holds who neighbours whom, and no
//! vector; every vector comes from the store. A file that is whole and this gallery's is brought up to the
//! faces that the store has; any other is not used, and the exact scan answers until a graph is built
//! again. So the file decides how soon an answer comes, never which. In an encrypted database it is sealed.

use std::sync::PoisonError;

use super::Database;
use super::shelf::{Inside, Shelf};
use super::stats::IndexStats;
use crate::error::{Result, StoreError};
use crate::index::{CROSSOVER, IndexChoice, Parameters, Stamp};

/// Faces that may come and go before the graph's file is written again when the database is closed,
/// beside one in [`BEHIND_SHARE`]. A file that is this far behind is as good: what it lacks is scanned.
const BEHIND: usize = 512;
const BEHIND_SHARE: usize = 32;

impl Inside {
    pub(super) fn index_stats(&self) -> IndexStats {
        let graph = self.index().graph();
        IndexStats {
            kind: self.index().kind(),
            bytes: self.index().bytes(),
            width: self.index().width(),
            waiting: graph.map_or(0, |g| g.waiting()),
            removed: self.index().removed_rows(),
            note: self.index_note.clone(),
        }
    }

    fn has_graph(&self) -> bool {
        self.index().kind() == IndexChoice::Graph
    }
}

impl Shelf {
    /// A piece of upkeep of the graph, where one is due: milliseconds, in which others search.
    pub(super) fn tend(&self) {
        let plan = {
            let inside = self.read();
            if !inside.has_graph() {
                return;
            }
            inside.index().plan(false)
        };
        if let Some(plan) = plan {
            self.write().index_mut().apply(plan);
        }
    }

    /// Builds a graph anew; `progress` is told faces done and all faces.
    fn build(&self, progress: &dyn Fn(usize, usize)) {
        self.write().index_mut().begin_graph(Parameters::default());
        loop {
            let (plan, waiting, all) = {
                let inside = self.read();
                let waiting = inside.index().graph().map_or(0, |g| g.waiting());
                (inside.index().plan(true), waiting, inside.index().len())
            };
            progress(all.saturating_sub(waiting), all);
            let Some(plan) = plan else { return };
            // A plan that a write has overtaken is made again.
            self.write().index_mut().apply(plan);
        }
    }
}

impl Database {
    fn index_name(shelf: &Shelf) -> String {
        format!("{}.graph", shelf.id)
    }

    fn stamp(&self, shelf: &Shelf) -> Stamp {
        let head = self.store.head();
        Stamp { database: head.id, gallery: shelf.id, write: head.write, model: shelf.record().model.clone() }
    }

    /// Reads the graphs of large galleries, and of those that were given one.
    pub(super) fn load_indexes(&self) {
        let names: Vec<String> = {
            let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
            shelves.values().map(|shelf| Self::index_name(shelf)).collect()
        };
        self.store.keep_caches(&names);
        for shelf in self.shelves.read().unwrap_or_else(PoisonError::into_inner).values() {
            let (name, stamp) = (Self::index_name(shelf), self.stamp(shelf));
            let mut inside = shelf.write();
            match self.store.read_cache(&name, |from| inside.index().read_graph(&stamp, from)) {
                Some(Ok(graph)) => {
                    inside.unsaved = graph.waiting();
                    inside.index_mut().put_graph(graph);
                }
                Some(Err(why)) => {
                    let path = self.store.cache_path(&name);
                    inside.index_note =
                        Some(format!("{}: not used: {why}; `kith reindex` makes it anew", path.display()));
                }
                None if inside.index().len() >= CROSSOVER => {
                    inside.index_note = Some("there is none on disk; `kith reindex` builds one".to_string());
                }
                None => {}
            }
        }
    }

    /// Sees to it that `choice` answers the searches of a gallery, and builds a graph where one is missing.
    /// `progress` is told faces done and all faces. Searching goes on meanwhile, by the exact scan.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`]. A graph that cannot be saved is used all the same,
    /// and [`IndexStats::note`] says why it was not saved.
    pub fn use_index(&self, gallery: &str, choice: IndexChoice, progress: &dyn Fn(usize, usize)) -> Result<IndexStats> {
        let shelf = self.shelf(gallery)?;
        let (faces, there, kind) = {
            let inside = shelf.read();
            (inside.index().len(), inside.has_graph(), inside.index().kind())
        };
        if choice == IndexChoice::Hnsw {
            if kind != IndexChoice::Hnsw && faces > 0 {
                self.build_hnsw(&shelf, progress)?;
            }
            return Ok(shelf.read().index_stats());
        }
        let wanted = match choice {
            IndexChoice::Auto => faces >= CROSSOVER || there,
            IndexChoice::Graph => faces > 0,
            IndexChoice::Exact | IndexChoice::Hnsw => false,
        };
        if !wanted {
            shelf.write().index_mut().drop_over();
        } else if !there {
            shelf.build(progress);
            let saved = self.save_index(&shelf);
            shelf.write().index_note = saved.err().map(|e| format!("not saved: {e}"));
        }
        let inside = shelf.read();
        Ok(inside.index_stats())
    }

    /// Makes the index of a gallery anew from the vectors, and its file. [`IndexChoice::Exact`], and
    /// [`IndexChoice::Auto`] in a small gallery, remove the file.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], or [`StoreError::Io`] when the file cannot be written.
    pub fn reindex(&self, gallery: &str, choice: IndexChoice, progress: &dyn Fn(usize, usize)) -> Result<IndexStats> {
        let shelf = self.shelf(gallery)?;
        let faces = shelf.read().index().len();
        shelf.write().index_note = None;
        if choice == IndexChoice::Exact || faces == 0 || (choice == IndexChoice::Auto && faces < CROSSOVER) {
            shelf.write().index_mut().drop_over();
            self.remove_index(&shelf)?;
        } else if choice == IndexChoice::Hnsw {
            self.build_hnsw(&shelf, progress)?;
        } else {
            shelf.build(progress);
            self.save_index(&shelf)?;
        }
        let inside = shelf.read();
        Ok(inside.index_stats())
    }

    /// Builds the graph of `hnsw_rs`. Writers wait until it is there; they wait for the store's turn and not for the
    /// shelf, where a writer that waits would hold up every search.
    fn build_hnsw(&self, shelf: &Shelf, progress: &dyn Fn(usize, usize)) -> Result<()> {
        let _turn = self.store.writer()?;
        shelf.write().index_mut().drop_over();
        let built = shelf.read().index().build_hnsw(progress);
        shelf.write().index_mut().put_hnsw(built);
        Ok(())
    }

    /// After somebody was forgotten for good: nothing of them stays in the graph or its file.
    pub(super) fn scrub_index(&self, shelf: &Shelf) -> Result<()> {
        if !self.store.cache_path(&Self::index_name(shelf)).exists() && !shelf.read().has_graph() {
            return Ok(());
        }
        while shelf.read().index_stats().removed > 0 {
            let plan = shelf.read().index().plan(true);
            let Some(plan) = plan else { break };
            shelf.write().index_mut().apply(plan);
        }
        if shelf.read().has_graph() { Ok(self.save_index(shelf)?) } else { Ok(self.remove_index(shelf)?) }
    }

    pub(super) fn remove_index(&self, shelf: &Shelf) -> Result<(), StoreError> {
        self.store.remove_cache(&Self::index_name(shelf))
    }

    /// Writes the graph's file; it is on disk when this returns.
    fn save_index(&self, shelf: &Shelf) -> Result<(), StoreError> {
        // One at a time: a later one must not be overtaken by an earlier one.
        let _turn = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.stamp(shelf);
        // Copied under the lock, written without it: no search waits for the disk, not even one that stands behind
        // a writer who waits for this reader.
        let (graph, unsaved) = {
            let inside = shelf.read();
            if !inside.has_graph() {
                return Ok(());
            }
            let Some(graph) = inside.index().snapshot() else { return Ok(()) };
            (graph, inside.unsaved)
        };
        self.store.write_cache(&Self::index_name(shelf), |out| {
            graph.write(&stamp, &mut |faces| shelf.read().index().sums(faces), out)
        })?;
        let mut inside = shelf.write();
        inside.unsaved = inside.unsaved.saturating_sub(unsaved);
        Ok(())
    }
}

/// A database that is closed writes the graphs that have gone far from their files.
impl Drop for Database {
    fn drop(&mut self) {
        let shelves = std::mem::take(&mut *self.shelves.write().unwrap_or_else(PoisonError::into_inner));
        for shelf in shelves.values() {
            let due = {
                let inside = shelf.read();
                inside.has_graph() && inside.unsaved > BEHIND + inside.index().len() / BEHIND_SHARE
            };
            if due {
                // The file is a cache: without it the next opening says so, and scans.
                let _ = self.save_index(shelf);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DatabaseOptions, EnrolmentPolicy, MasterKey, NewFace, SearchPolicy};
    use super::*;
    use crate::geometry::{BBox, Landmarks};
    use crate::vector::{Embedding, ModelId};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn face(rng: &mut ChaCha8Rng) -> NewFace {
        let model = ModelId::new("test", "00ff00ff00ff00ff", "none");
        let values = (0..32).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        NewFace {
            embedding: Embedding::from_raw(values, model).unwrap(),
            bbox: BBox { x0: 0.0, y0: 0.0, x1: 9.0, y1: 9.0 },
            landmarks: Landmarks([[1.0; 2]; 5]),
            score: 1.0,
            quality: [1.0; 6].into(),
            source: "photo.jpg".to_string(),
            source_sha256: None,
            pictures: None,
        }
    }

    #[test]
    fn the_graph_of_an_encrypted_database_is_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces");
        let key = MasterKey::generate().unwrap();
        let sealed = DatabaseOptions { key: Some(key.clone()), ..DatabaseOptions::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let database = Database::open(&path, &sealed).unwrap();
        for n in 0..300 {
            let (name, policy) = (format!("p{n}"), EnrolmentPolicy::default());
            let (_, pending) = database.enroll_pending("main", &name, face(&mut rng), &policy).unwrap();
            database.settle(pending).unwrap();
        }
        let graph = |database: &Database| database.stats().unwrap().galleries[0].index.clone();
        let reindexed = |options: &DatabaseOptions| {
            let database = Database::open(&path, options).unwrap();
            database.reindex("main", IndexChoice::Graph, &|_, _| {}).unwrap();
            drop(database);
            let file = std::fs::read_dir(path.join("index")).unwrap().next().unwrap().unwrap().path();
            let bytes = std::fs::read(&file).unwrap();
            (file, bytes)
        };
        drop(database);
        let (file, bytes) = reindexed(&sealed);
        assert!(!bytes.windows(8).any(|w| w == b"kithgrf1"), "the graph's own header is not to be seen");
        let database = Database::open(&path, &sealed).unwrap();
        assert_eq!((graph(&database).kind, graph(&database).note), (IndexChoice::Graph, None));
        // Whoever is forgotten leaves the file too, whether or not the records are written anew.
        database.forget("main", "p7", false).unwrap();
        assert_eq!(graph(&database).removed, 0);
        assert_ne!(std::fs::read(&file).unwrap().len(), bytes.len());
        drop(database);
        // What a crash left, and what is of no gallery, goes at the next opening.
        let strays = ["1.new", "99.graph"].map(|name| file.with_file_name(name));
        strays.iter().for_each(|stray| std::fs::write(stray, b"kithgrf1").unwrap());
        assert_eq!(graph(&Database::open(&path, &sealed).unwrap()).kind, IndexChoice::Graph);
        assert!(file.exists() && !strays.iter().any(|stray| stray.exists()));
        // With another master key the data keys stay, and the file with them.
        let other = DatabaseOptions { key: Some(MasterKey::generate().unwrap()), ..sealed.clone() };
        Database::rekey(&path, &sealed, other.key.as_ref()).unwrap();
        assert_eq!(graph(&Database::open(&path, &other).unwrap()).kind, IndexChoice::Graph);
        // Without encryption, and back, nothing of the other kind stays.
        Database::rekey(&path, &other, None).unwrap();
        assert!(!file.exists());
        let plain = DatabaseOptions { key: None, ..sealed.clone() };
        let (file, bytes) = reindexed(&plain);
        assert_eq!(bytes[..8], *b"kithgrf1");
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, b"another's").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&elsewhere, file.with_file_name("link")).unwrap();
        Database::rekey(&path, &plain, Some(&key)).unwrap();
        assert!(!file.exists());
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"another's", "a link is not followed");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &bytes).unwrap();
        let note = graph(&Database::open(&path, &sealed).unwrap()).note.unwrap();
        assert!(note.contains("it was not sealed, as the database is, and was removed"), "{note}");
        assert!(!file.exists());
    }

    #[test]
    fn a_graph_is_built_saved_loaded_kept_up_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces");
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let database = Database::open(&path, &DatabaseOptions::default()).unwrap();
        let policy = EnrolmentPolicy::default();
        let mut enrolled = Vec::new();
        let mut last = None;
        let mut enroll = |database: &Database, number: usize| {
            let f = face(&mut rng);
            let (_, pending) = database.enroll_pending("main", &format!("p{number}"), f.clone(), &policy).unwrap();
            enrolled.push((format!("p{number}"), f.embedding));
            last = Some(pending);
        };
        (0..400).for_each(|n| enroll(&database, n));
        assert_eq!(database.stats().unwrap().galleries[0].index.kind, IndexChoice::Exact, "a small gallery");
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let progress = |done: usize, all: usize| {
            assert!(done <= all);
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        let stats = database.reindex("main", IndexChoice::Graph, &progress).unwrap();
        assert_eq!((stats.kind, stats.waiting, stats.removed), (IndexChoice::Graph, 0, 0));
        assert!(calls.into_inner() > 2);
        // Too few to be worth writing again: the next opening finds them missing, and scans them.
        (400..420).for_each(|n| enroll(&database, n));
        database.settle(last.unwrap()).unwrap();
        drop(database);

        let file = path
            .join("index")
            .join(std::fs::read_dir(path.join("index")).unwrap().next().unwrap().unwrap().file_name());
        let open = || Database::open(&path, &DatabaseOptions { create: false, ..DatabaseOptions::default() }).unwrap();
        let search = SearchPolicy { threshold: Some(0.01), top: 1, ..SearchPolicy::default() };
        let all_there = |database: &Database, of: &[(String, Embedding)]| {
            for (name, embedding) in of {
                let found = database.identify("main", embedding, &search, None).unwrap();
                assert_eq!(found.name.as_ref(), Some(name));
            }
        };
        let database = open();
        let stats = database.stats().unwrap().galleries[0].index.clone();
        assert_eq!((stats.kind, stats.waiting, stats.note), (IndexChoice::Graph, 20, None));
        all_there(&database, &enrolled);
        assert!(database.check().unwrap().is_clean());
        // Forgotten for good: out of the graph, and out of its file.
        let (gone, embedding) = enrolled.swap_remove(7);
        database.forget("main", &gone, true).unwrap();
        assert_eq!(database.stats().unwrap().galleries[0].index.removed, 0);
        assert_eq!(database.identify("main", &embedding, &search, None).unwrap().name, None);
        all_there(&database, &enrolled);
        drop(database);

        // A damaged file is not used, and said so: a neighbour that there cannot be, and a sum that is not the
        // content's. Then it is made again.
        let whole = std::fs::read(&file).unwrap();
        let with_damage = |at: usize, said: &str| {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            std::fs::write(&file, &bytes).unwrap();
            let database = open();
            let stats = database.stats().unwrap().galleries[0].index.clone();
            let note = stats.note.unwrap();
            assert!(stats.kind == IndexChoice::Exact && note.contains("not used: ") && note.contains(said), "{note}");
            database
        };
        drop(with_damage(whole.len() - 1, "the checksum is wrong"));
        let database = with_damage(whole.len() / 2, "it has no row");
        all_there(&database, &enrolled);
        let stats = database.use_index("main", IndexChoice::Graph, &|_, _| {}).unwrap();
        assert_eq!((stats.kind, stats.note), (IndexChoice::Graph, None));
        assert_eq!(database.use_index("main", IndexChoice::Hnsw, &|_, _| {}).unwrap().kind, IndexChoice::Hnsw);
        all_there(&database, &enrolled);
        assert!(database.check().unwrap().is_clean());
        assert_eq!(database.use_index("main", IndexChoice::Exact, &|_, _| {}).unwrap().kind, IndexChoice::Exact);
        assert!(file.exists(), "one search by the scan takes no file away");
        assert_eq!(database.reindex("main", IndexChoice::Auto, &|_, _| {}).unwrap().kind, IndexChoice::Exact);
        assert!(!file.exists(), "a small gallery needs none");
        assert!(database.reindex("nobody", IndexChoice::Auto, &|_, _| {}).is_err());
        // What stands where the file belongs cannot be written over.
        std::fs::create_dir(&file).unwrap();
        assert_eq!(database.reindex("main", IndexChoice::Graph, &|_, _| {}).unwrap_err().code(), "store.io");
        let stats = database.use_index("main", IndexChoice::Exact, &|_, _| {}).unwrap();
        assert_eq!(stats.kind, IndexChoice::Exact);
        let stats = database.use_index("main", IndexChoice::Graph, &|_, _| {}).unwrap();
        assert!(stats.note.is_some_and(|n| n.starts_with("not saved")), "used all the same");
        all_there(&database, &enrolled);
    }

    /// A graph's file that takes its bytes only when it is told to: a named pipe in the place of the file.
    #[cfg(unix)]
    #[test]
    fn neither_a_search_nor_a_writer_waits_for_a_graph_that_is_being_written() {
        use std::io::Read;
        use std::sync::mpsc::channel;
        use std::time::Duration;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces");
        let database = Database::open(&path, &DatabaseOptions::default()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (first, policy) = (face(&mut rng), EnrolmentPolicy::default());
        database.enroll("main", "first", first.clone(), &policy).unwrap();
        // More bytes than the buffers of the writer and of a pipe take together.
        for n in 0..12_000 {
            drop(database.enroll_pending("main", &format!("p{n}"), face(&mut rng), &policy).unwrap());
        }
        database.reindex("main", IndexChoice::Graph, &|_, _| {}).unwrap();
        let file = std::fs::read_dir(path.join("index")).unwrap().next().unwrap().unwrap().path();
        assert!(file.metadata().unwrap().len() > (1 << 20) + (128 << 10));
        let pipe = file.with_extension("new");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());

        let shelf = database.shelf("main").unwrap();
        std::thread::scope(|scope| {
            let saving = scope.spawn(|| database.save_index(&shelf));
            let mut reader = std::fs::File::open(&pipe).unwrap();
            // The writer has begun, and has far more to write than anybody takes from it now.
            reader.read_exact(&mut [0; 1000]).unwrap();
            let (done, told) = channel();
            let (database, policy) = (&database, &policy);
            scope.spawn(move || {
                database.enroll("main", "second", face(&mut rng), policy).unwrap();
                let search = SearchPolicy { threshold: Some(0.01), ..SearchPolicy::default() };
                let found = database.identify("main", &first.embedding, &search, None).unwrap();
                done.send(found.name).unwrap();
            });
            let found = told.recv_timeout(Duration::from_secs(60));
            // Whatever came of that, the writer is let go.
            std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
            assert_eq!(found.expect("they wait for the file"), Some("first".to_string()));
            // A pipe cannot be synced, so the file stays the one before.
            assert_eq!(saving.join().unwrap().unwrap_err().code(), "store.io");
        });
        assert!(database.check().unwrap().is_clean());
    }
}
