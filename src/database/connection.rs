//! The command's side of a conversation with the service that has the database open.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::socket::Reach;
use super::wire::{
    Claim, DONE, FAILED, Fault, HELLO, Hello, LARGEST_ANSWER, LARGEST_REQUEST, PROGRAM, PROGRESS, PROTOCOL, REQUEST,
    Request, decode, encode, receive, renamed, send,
};
use crate::error::{Result, StoreError};
use crate::store::MasterKey;

/// How long a service may take to say who it is.
const GREETING: Duration = Duration::from_secs(10);

/// A conversation, shared by threads, which take turns.
#[derive(Debug)]
pub(crate) struct Connection {
    folder: PathBuf,
    /// What the service calls that.
    theirs: String,
    /// None once it broke off.
    stream: Mutex<Option<UnixStream>>,
    /// Galleries that this command wants searched by the exact scan.
    by_scan: Mutex<BTreeSet<String>>,
}

/// Process id of the service that listens for commands about the database in `folder`; none where there is none, or it
/// has no time now.
pub(crate) fn server(folder: &Path) -> Option<u32> {
    greeted(folder).ok().flatten().map(|(_, hello)| hello.process)
}

/// A stream to the service, and who that is; `None` where there is none.
fn greeted(folder: &Path) -> io::Result<Option<(UnixStream, Hello)>> {
    let connected = Reach::to(folder).and_then(|reach| UnixStream::connect(reach.socket()));
    let mut stream = match connected {
        Ok(stream) => stream,
        // Nobody listens: the socket of a service that was killed, or none at all.
        Err(_) => return Ok(None),
    };
    stream.set_read_timeout(Some(GREETING))?;
    stream.set_write_timeout(Some(GREETING))?;
    // One that says nothing has no room for more conversations, or is stopping.
    let Some((kind, body)) = receive(&mut stream, LARGEST_REQUEST)? else { return Ok(None) };
    let hello = (kind == HELLO).then(|| decode::<Hello, LARGEST_REQUEST>(&body)).flatten();
    let hello = hello.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it does not say who it is"))?;
    Ok(Some((stream, hello)))
}

/// A body that says why there is no answer, as an error.
fn refused(folder: &Path, body: &[u8]) -> crate::Error {
    match decode::<Fault, LARGEST_ANSWER>(body) {
        Some(fault) => fault.into(),
        None => broken(folder, "answers what this program does not understand").into(),
    }
}

fn broken(folder: &Path, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Connection { path: folder.display().to_string(), reason: reason.to_string() }
}

impl Connection {
    /// Joins the service that has the database in `folder` open; `None` where there is none. `key` is the one that
    /// would open the database.
    ///
    /// # Errors
    /// Those of a wrong or a missing key, as if the database was opened; [`StoreError::OtherVersion`],
    /// [`StoreError::Connection`].
    pub(crate) fn to(folder: &Path, key: Option<&MasterKey>) -> Result<Option<Self>> {
        let failed = |e: io::Error| broken(folder, format!("does not talk to this program ({e})"));
        let Some((mut stream, hello)) = greeted(folder).map_err(failed)? else { return Ok(None) };
        if (hello.protocol, hello.program.as_str()) != (PROTOCOL, PROGRAM) {
            let (path, command) = (folder.display().to_string(), PROGRAM.to_string());
            return Err(
                StoreError::OtherVersion { path, process: hello.process, service: hello.program, command }.into()
            );
        }
        let proof = key.map(|key| key.prove(&hello.challenge)).transpose()?;
        let claim = encode(&Claim { protocol: PROTOCOL, program: PROGRAM.to_string(), proof })?;
        send(&mut stream, HELLO, &claim).map_err(failed)?;
        match receive(&mut stream, LARGEST_ANSWER).map_err(failed)? {
            Some((DONE, _)) => {}
            Some((FAILED, body)) => return Err(renamed(refused(folder, &body), &hello.folder, folder)),
            _ => return Err(broken(folder, "went away").into()),
        }
        // What is asked may take as long as it takes.
        stream.set_read_timeout(None).map_err(failed)?;
        stream.set_write_timeout(None).map_err(failed)?;
        let (folder, theirs, stream) = (folder.to_path_buf(), hello.folder, Mutex::new(Some(stream)));
        Ok(Some(Self { folder, theirs, stream, by_scan: Mutex::default() }))
    }

    /// The folder, as this process names it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Has a gallery searched by the exact scan from now on, or as the service does.
    pub(crate) fn search_by_scan(&self, gallery: &str, by_scan: bool) {
        let mut galleries = self.by_scan.lock().unwrap_or_else(PoisonError::into_inner);
        if by_scan {
            galleries.insert(gallery.to_string());
        } else {
            galleries.remove(gallery);
        }
    }

    pub(crate) fn searches_by_scan(&self, gallery: &str) -> bool {
        self.by_scan.lock().unwrap_or_else(PoisonError::into_inner).contains(gallery)
    }

    /// The service's answer.
    ///
    /// # Errors
    /// Those of the method that the request names; [`StoreError::Connection`] when the service went away.
    pub(crate) fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        self.ask_telling(request, &|_, _| {})
    }

    /// [`Connection::ask`], where `told` hears how far it is.
    pub(crate) fn ask_telling<T: DeserializeOwned>(&self, request: &Request, told: &dyn Fn(u64, u64)) -> Result<T> {
        let body = encode(request)?;
        if body.len() >= LARGEST_REQUEST {
            let text = format!("{} bytes are more than a service takes at once", body.len());
            return Err(StoreError::Answered { code: "store.connection", text }.into());
        }
        let mut held = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = held.as_mut().ok_or_else(|| broken(&self.folder, "went away"))?;
        let answer = match converse(stream, &body, told) {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                *held = None;
                return Err(broken(&self.folder, "went away").into());
            }
            Err(e) => {
                *held = None;
                return Err(broken(&self.folder, format!("went away ({e})")).into());
            }
        };
        match answer {
            (DONE, body) => {
                let odd = || broken(&self.folder, "answers what this program does not understand").into();
                decode::<T, LARGEST_ANSWER>(&body).ok_or_else(odd)
            }
            (_, body) => Err(renamed(refused(&self.folder, &body), &self.theirs, &self.folder)),
        }
    }
}

/// One question and its answer; `None` where the service has gone.
fn converse(stream: &mut UnixStream, body: &[u8], told: &dyn Fn(u64, u64)) -> io::Result<Option<(u8, Vec<u8>)>> {
    send(stream, REQUEST, body)?;
    loop {
        match receive(stream, LARGEST_ANSWER)? {
            Some((PROGRESS, body)) => {
                if let Some((done, all)) = decode::<(u64, u64), LARGEST_ANSWER>(&body) {
                    told(done, all);
                }
            }
            other => return Ok(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Database;
    use super::*;
    use crate::gallery::DatabaseOptions;
    use std::os::unix::net::UnixListener;

    /// What joining comes to where whoever has the database says this first.
    fn joined(says: impl Fn(&mut UnixStream) + Send + 'static) -> &'static str {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces");
        let options = DatabaseOptions { wait: Duration::from_millis(50), ..DatabaseOptions::default() };
        let held = Database::open(&path, &options).unwrap();
        let listener = UnixListener::bind(Reach::to(&path).unwrap().socket()).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                says(&mut stream);
            }
        });
        let refused = Database::join(&path, &options, &|_| {}).unwrap_err();
        drop(held);
        refused.code()
    }

    fn hello(program: &str) -> Vec<u8> {
        let (program, challenge) = (program.to_string(), [7; 32]);
        let folder = "elsewhere".to_string();
        encode(&Hello { protocol: PROTOCOL, program, process: 4711, folder, encrypted: false, challenge }).unwrap()
    }

    #[test]
    fn whoever_is_not_this_version_or_not_a_service_is_not_trusted() {
        let other = |stream: &mut UnixStream| send(stream, HELLO, &hello("99.0.0")).unwrap();
        assert_eq!(joined(other), "store.other_version");
        assert_eq!(joined(|stream| send(stream, HELLO, b"nonsense").unwrap()), "store.connection");
        assert_eq!(joined(|stream| send(stream, DONE, &[]).unwrap()), "store.connection");
        assert_eq!(joined(|stream| send(stream, HELLO, &hello(PROGRAM)).unwrap()), "store.connection");
        // One that says nothing has no time now: its turn is waited for.
        assert_eq!(joined(|_| {}), "store.locked");
        assert_eq!(
            joined(|stream| {
                send(stream, HELLO, &hello(PROGRAM)).unwrap();
                let _ = receive(stream, LARGEST_REQUEST);
                let fault = Fault::Store(StoreError::WrongKey { path: "ring".to_string() });
                send(stream, FAILED, &encode(&fault).unwrap()).unwrap();
            }),
            "store.wrong_key"
        );
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_error_and_so_is_every_question_after_it() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let connection = Connection {
            folder: PathBuf::from("faces"),
            theirs: String::new(),
            stream: Mutex::new(Some(ours)),
            by_scan: Mutex::default(),
        };
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (kind, _) = receive(&mut theirs, LARGEST_REQUEST).unwrap().unwrap();
                assert_eq!(kind, REQUEST);
                send(&mut theirs, PROGRESS, &encode(&(1u64, 2u64)).unwrap()).unwrap();
                send(&mut theirs, DONE, &encode(&vec!["main".to_string()]).unwrap()).unwrap();
                drop(receive(&mut theirs, LARGEST_REQUEST).unwrap().unwrap());
                // Half of an answer.
                std::io::Write::write_all(&mut theirs, &[200, 0, 0, 0, DONE, 1, 2]).unwrap();
            });
            let heard = Mutex::new(Vec::new());
            let told = |done, all| heard.lock().unwrap().push((done, all));
            let galleries: Vec<String> = connection.ask_telling(&Request::Galleries, &told).unwrap();
            assert_eq!((galleries, heard.into_inner().unwrap()), (vec!["main".to_string()], vec![(1, 2)]));
            for _ in 0..2 {
                let refused = connection.ask::<Vec<String>>(&Request::Galleries).unwrap_err();
                assert_eq!(refused.code(), "store.connection");
            }
        });
    }
}
