//! Embeddings kept in a folder, by the content of the photo and everything that made them.
//!
//! One file for each photo and model, named by the sha256 of: this format's name, the photo's own sha256,
//! the model id, the program's version, and the set-up that the caller names (detector, its options, which
//! face counts).
//!
//! | bytes | content |
//! | --- | --- |
//! | 0..8 | `KITHEMB2` |
//! | 8..40 | the sha256 that the file is named by |
//! | 40..44 | numbers in the embedding, little endian; 0 where no face was found |
//! | 44..48 | zeros; older programs wrote a weight here, which is not read |
//! | then | the numbers, f32, little endian |
//! | last 32 | sha256 of all before |
//!
//! A file that is not exactly so is taken for none: the photo is embedded again and the file replaced.
//! The folder holds templates, which are biometric data: on Unix only its owner may look into it.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::EvalError;
use crate::files::{Audience, spelled, write_whole};
use crate::vector::{Embedding, ModelId};

const MAGIC: &[u8; 8] = b"KITHEMB2";
/// Length of a sha256.
const DIGEST: usize = 32;
/// Bytes before the numbers.
const HEAD: usize = MAGIC.len() + DIGEST + 8;

/// A folder of embeddings, or none.
#[derive(Debug, Clone)]
pub struct EmbeddingCache {
    folder: Option<PathBuf>,
    setup: String,
}

impl EmbeddingCache {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self { folder: None, setup: String::new() }
    }

    /// Keeps embeddings in `folder`, which is made if it is not there. `setup` says in any words what else
    /// the embeddings depend on: the detector, its options, and which of several faces counts.
    ///
    /// # Errors
    /// [`EvalError::Io`] when the folder cannot be made.
    pub fn open(folder: &Path, setup: &str) -> Result<Self, EvalError> {
        let failed = |e: std::io::Error| EvalError::Io { path: spelled(folder), reason: e.to_string() };
        if !folder.is_dir() {
            std::fs::create_dir_all(folder).map_err(failed)?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
            }
        }
        Ok(Self { folder: Some(folder.to_path_buf()), setup: setup.to_string() })
    }

    fn key(&self, photo: &str, model: &ModelId) -> [u8; DIGEST] {
        let program = env!("CARGO_PKG_VERSION");
        let text = format!("kith embedding cache\n{photo}\n{model}\n{program}\n{}", self.setup);
        Sha256::digest(text).into()
    }

    fn place(&self, key: &[u8; DIGEST]) -> Option<PathBuf> {
        let name: String = key.iter().map(|b| format!("{b:02x}")).collect();
        // Two levels, so that no folder holds more than some thousand files.
        Some(self.folder.as_ref()?.join(&name[..2]).join(name))
    }

    /// What is known of a photo (its hex sha256) under a model: an embedding, or that no face was found in
    /// it; `None` when nothing is.
    pub fn get(&self, photo: &str, model: &ModelId) -> Option<Option<Embedding>> {
        let key = self.key(photo, model);
        let bytes = std::fs::read(self.place(&key)?).ok()?;
        parse(&bytes, &key, model)
    }

    /// Remembers an embedding, or that no face was found.
    ///
    /// # Errors
    /// [`EvalError::Io`] when it cannot be written.
    pub fn put(&self, photo: &str, model: &ModelId, embedding: Option<&Embedding>) -> Result<(), EvalError> {
        let key = self.key(photo, model);
        let Some(path) = self.place(&key) else { return Ok(()) };
        let values = embedding.map_or(&[][..], Embedding::values);
        let mut bytes = Vec::with_capacity(HEAD + 4 * values.len() + DIGEST);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&key);
        bytes.extend_from_slice(&(values.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        let folder = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(folder)
            .and_then(|()| write_whole(&path, &bytes, Audience::Umask))
            .map_err(|e| EvalError::Io { path: spelled(&path), reason: e.to_string() })
    }
}

fn parse(bytes: &[u8], key: &[u8; DIGEST], model: &ModelId) -> Option<Option<Embedding>> {
    let (content, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    let sound = content.starts_with(MAGIC) && content.get(MAGIC.len()..HEAD - 8)? == key;
    if !sound || Sha256::digest(content).as_slice() != digest {
        return None;
    }
    let count = u32::from_le_bytes(content.get(HEAD - 8..HEAD - 4)?.try_into().ok()?) as usize;
    let numbers = content.get(HEAD..)?;
    if Some(numbers.len()) != count.checked_mul(4) {
        return None;
    }
    if count == 0 {
        return Some(None);
    }
    let values = numbers.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Embedding::of_unit(values, model.clone()).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_comes_back_to_the_bit_and_only_for_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("cache");
        let cache = EmbeddingCache::open(&place, "mtcnn, central").unwrap();
        let model = ModelId::from_text("m/abc/test");
        let e = Embedding::from_raw((0..128).map(|i| (i as f32).sin()).collect(), model.clone()).unwrap();
        assert_eq!(cache.get("aa", &model), None);
        cache.put("aa", &model, Some(&e)).unwrap();
        cache.put("bb", &model, None).unwrap();
        let back = cache.get("aa", &model).unwrap().unwrap();
        let same = back.values().iter().zip(e.values()).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same);
        assert_eq!(cache.get("bb", &model), Some(None));
        assert_eq!(cache.get("aa", &ModelId::from_text("m/abd/test")), None);
        assert_eq!(EmbeddingCache::open(&place, "mtcnn, largest").unwrap().get("aa", &model), None);
        assert_eq!(EmbeddingCache::none().get("aa", &model), None);
        EmbeddingCache::none().put("aa", &model, Some(&e)).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_damaged_file_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EmbeddingCache::open(folder.path(), "").unwrap();
        let model = ModelId::from_text("m/abc/test");
        let e = Embedding::from_raw(vec![3.0, 4.0], model.clone()).unwrap();
        cache.put("aa", &model, Some(&e)).unwrap();
        let path = cache.place(&cache.key("aa", &model)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), HEAD + 8 + DIGEST);
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(cache.get("aa", &model), None, "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            std::fs::write(&path, &bent).unwrap();
            assert_eq!(cache.get("aa", &model), None, "bent at {at}");
        }
        cache.put("aa", &model, Some(&e)).unwrap();
        assert_eq!(cache.get("aa", &model), Some(Some(e.clone())));
        // A file of an older program has a weight where zeros are now.
        let mut older = whole[..whole.len() - DIGEST].to_vec();
        older[HEAD - 4..HEAD].copy_from_slice(&0.37f32.to_le_bytes());
        let digest = Sha256::digest(&older);
        older.extend_from_slice(&digest);
        std::fs::write(&path, older).unwrap();
        assert_eq!(cache.get("aa", &model), Some(Some(e)));
    }
}
