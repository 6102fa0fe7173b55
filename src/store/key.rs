//! The master key of an encrypted database, and the one cipher that everything is sealed with.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): 256-bit keys, 192-bit nonces drawn anew for every
//! sealing, so that none comes twice however much is written; a 128-bit tag over the ciphertext and the
//! associated data.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::files::Secret;

/// Bytes of a key.
pub(super) const KEY: usize = 32;
/// Bytes that sealing puts before the ciphertext.
pub(super) const NONCE: usize = 24;
/// Bytes that sealing puts after it.
pub(super) const TAG: usize = 16;

/// What a proof that a key is known is bound to, so that it is nothing else.
#[cfg(unix)]
const PROOF: &[u8] = b"kith: the master key is known";

/// A key as bytes; wiped from memory when dropped.
pub(super) type KeyBytes = Zeroizing<[u8; KEY]>;

/// The key that opens an encrypted database. Its debug print does not show it.
///
/// ```
/// use kith::{Database, DatabaseOptions, MasterKey};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("faces");
/// let key = MasterKey::generate()?;
/// let text = key.to_text(); // 64 hexadecimal digits: keep them apart from the database
/// let options = DatabaseOptions { key: Some(MasterKey::parse(&text)?), ..DatabaseOptions::default() };
/// drop(Database::open(&path, &options)?);
/// let refused = Database::open(&path, &DatabaseOptions::default()).unwrap_err();
/// assert_eq!(refused.code(), "store.key_needed");
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Clone)]
pub struct MasterKey(KeyBytes);

impl MasterKey {
    /// A new key from the operating system's random generator.
    ///
    /// # Errors
    /// [`StoreError::BadKey`] when the system has none.
    pub fn generate() -> Result<Self, StoreError> {
        random().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Reads a key as [`MasterKey::to_text`] writes it; space around it does not count.
    ///
    /// # Errors
    /// [`StoreError::BadKey`], which never holds the text.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let bad = |reason: String| StoreError::BadKey { reason };
        let text = text.trim();
        if text.len() != 2 * KEY {
            return Err(bad(format!("it has {} characters, and not {}", text.chars().count(), 2 * KEY)));
        }
        let mut bytes = Zeroizing::new([0; KEY]);
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16);
            match (digit(pair[0]), digit(pair[1])) {
                (Some(high), Some(low)) => *byte = (high * 16 + low) as u8,
                _ => return Err(bad("it holds something else than hexadecimal digits".to_string())),
            }
        }
        Ok(Self(bytes))
    }

    /// 64 hexadecimal digits.
    pub fn to_text(&self) -> Secret {
        Secret::new(self.0.iter().map(|b| format!("{b:02x}")).collect())
    }

    pub(super) fn bytes(&self) -> &KeyBytes {
        &self.0
    }

    /// Shows whoever has drawn `challenge` and holds this key too that it is known here, and shows nothing of it.
    ///
    /// # Errors
    /// [`StoreError::BadKey`] when the system has no random numbers.
    #[cfg(unix)]
    pub(crate) fn prove(&self, challenge: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        seal(&self.0, PROOF, challenge)
    }

    /// Whether that was this key's.
    #[cfg(all(unix, any(test, feature = "serve")))]
    pub(super) fn is_proved(&self, challenge: &[u8; 32], proof: &[u8]) -> bool {
        unseal(&self.0, PROOF, proof).is_some_and(|proved| proved[..] == challenge[..])
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(not shown)")
    }
}

/// Bytes from the operating system's random generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| StoreError::BadKey { reason: format!("the system has no random numbers: {e}") })?;
    Ok(bytes)
}

/// Nonce, ciphertext and tag.
pub(super) fn seal(key: &KeyBytes, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let nonce: [u8; NONCE] = random()?;
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: bound });
    let sealed = sealed.map_err(|_| StoreError::BadKey { reason: "the cipher refused to seal".to_string() })?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// What was sealed under this key and bound to the same data; `None` for anything else.
pub(super) fn unseal(key: &KeyBytes, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let cipher = XChaCha20Poly1305::new((&**key).into());
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: bound }).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix A.3.1 of draft-irtf-cfrg-xchacha-03.
    #[test]
    fn the_cipher_is_the_published_one() {
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                      sunscreen would be it.";
        let key = Zeroizing::new(std::array::from_fn(|i| 0x80 + i as u8));
        let nonce: [u8; NONCE] = std::array::from_fn(|i| 0x40 + i as u8);
        let bound = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let cipher = XChaCha20Poly1305::new((&*key).into());
        let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &bound }).unwrap();
        assert_eq!(sealed[..16], *b"\xbd\x6d\x17\x9d\x3e\x83\xd4\x3b\x95\x76\x57\x94\x93\xc0\xe9\x39");
        assert_eq!(sealed[plain.len()..], *b"\xc0\x87\x59\x24\xc1\xc7\x98\x79\x47\xde\xaf\xd8\x78\x0a\xcf\x49");
        let whole = [nonce.as_slice(), &sealed].concat();
        assert_eq!(unseal(&key, &bound, &whole).unwrap()[..], plain[..]);
    }

    #[test]
    fn only_the_same_key_and_the_same_binding_open_it() {
        let (key, other) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let sealed = seal(key.bytes(), b"here", b"secret").unwrap();
        assert_eq!(unseal(key.bytes(), b"here", &sealed).unwrap()[..], *b"secret");
        assert!(unseal(other.bytes(), b"here", &sealed).is_none());
        assert!(unseal(key.bytes(), b"there", &sealed).is_none());
        for cut in 0..sealed.len() {
            assert!(unseal(key.bytes(), b"here", &sealed[..cut]).is_none());
        }
        assert_ne!(sealed, seal(key.bytes(), b"here", b"secret").unwrap(), "every sealing has its own nonce");
    }

    #[cfg(unix)]
    #[test]
    fn a_proof_is_of_one_key_and_one_challenge() {
        let (key, other) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let proof = key.prove(&[7; 32]).unwrap();
        assert!(key.is_proved(&[7; 32], &proof));
        assert!(
            !other.is_proved(&[7; 32], &proof) && !key.is_proved(&[8; 32], &proof) && !key.is_proved(&[7; 32], &[])
        );
        assert!(!proof.windows(KEY).any(|w| *w == key.bytes()[..]));
    }

    #[test]
    fn keys_are_read_strictly_and_never_shown() {
        let key = MasterKey::generate().unwrap();
        let text = key.to_text();
        assert_eq!(MasterKey::parse(&format!(" {}\n", text.to_uppercase())).unwrap().bytes(), key.bytes());
        assert!(!format!("{key:?}").contains(&text[..8]));
        for bad in ["", "abc", &text[1..], &text.replace(&text[..1], "g"), &"é".repeat(32)] {
            let refused = MasterKey::parse(bad).unwrap_err();
            assert_eq!(refused.code(), "store.bad_key");
            assert!(bad.is_empty() || !refused.to_string().contains(bad), "an error does not repeat the key");
        }
    }
}
