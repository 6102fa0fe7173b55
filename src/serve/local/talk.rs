//! A conversation with one command: see `database::wire` for what is said.

use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::runtime::Handle;

use super::super::state::Service;
use super::noting::{Whose, noted};
use crate::database::{
    Claim, Conversation, DONE, FAILED, Fault, HELLO, LARGEST_REQUEST, PROGRESS, REQUEST, Request, begin, decode,
    encode, rest, send,
};
use crate::error::StoreError;
use crate::{Error, Result};

/// How long a command may take for a frame that it has begun, and to take one that it is sent. One that is stopped
/// holds nothing longer than that: an export keeps writers waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far a conversation is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// The command has said who it is, and may ask.
    Admitted,
    /// It waits for an answer.
    Asked,
    /// It has its answer.
    Answered,
}

/// Talks until the command goes away or the service stops; `step` hears how far it is.
pub(super) fn talk(
    mut stream: &UnixStream,
    whose: &Whose,
    service: &Service,
    runtime: &Handle,
    step: &dyn Fn(Step),
) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let said = |e: Error| io::Error::other(e.to_string());
    let Some(mut conversation) = Conversation::begin(service.database()).map_err(said)? else { return Ok(()) };
    send(&mut stream, HELLO, &encode(conversation.hello()).map_err(said)?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let Some((kind, body)) = begin(&mut stream)?.map(|first| rest(first, &mut stream, LARGEST_REQUEST)).transpose()?
    else {
        // It only wanted to know who is here.
        return Ok(());
    };
    let claim = (kind == HELLO).then(|| decode::<Claim, LARGEST_REQUEST>(&body)).flatten();
    let admitted = claim.ok_or_else(odd).and_then(|claim| conversation.admit(&claim));
    let is_in = admitted.is_ok();
    answer(stream, admitted.and_then(|()| encode(&())))?;
    if !is_in {
        return Ok(());
    }
    step(Step::Admitted);
    while !service.is_stopping() {
        stream.set_read_timeout(None)?;
        let Some(first) = begin(&mut stream)? else { return Ok(()) };
        step(Step::Asked);
        stream.set_read_timeout(Some(PATIENCE))?;
        let (kind, body) = rest(first, &mut stream, LARGEST_REQUEST)?;
        let request = (kind == REQUEST).then(|| decode::<Request, LARGEST_REQUEST>(&body)).flatten();
        let Some(request) = request else { return answer(stream, Err(odd())) };
        drop(body);
        let told = |done: u64, all: u64| -> Result<()> {
            let gone = |e: io::Error| StoreError::Connection {
                path: service.database().folder().unwrap_or(std::path::Path::new("")).display().to_string(),
                reason: format!("could not tell its command how far it is ({e})"),
            };
            Ok(send(&mut &*stream, PROGRESS, &encode(&(done, all))?).map_err(gone)?)
        };
        let answered = noted(service, runtime, whose, request, |request| {
            let answered = catch_unwind(AssertUnwindSafe(|| conversation.answer(request, &told)));
            answered.unwrap_or_else(|_| {
                let text = "the service failed over this; its log says more".to_string();
                Err(StoreError::Answered { code: "internal.panic", text }.into())
            })
        });
        answer(stream, answered)?;
        step(Step::Answered);
    }
    Ok(())
}

fn odd() -> Error {
    let text = "the command says what this service does not understand".to_string();
    StoreError::Answered { code: "store.connection", text }.into()
}

fn answer(mut stream: &UnixStream, answered: Result<Vec<u8>>) -> io::Result<()> {
    match answered {
        Ok(body) => send(&mut stream, DONE, &body),
        Err(error) => {
            let body = encode(&Fault::from(&error)).map_err(|e| io::Error::other(e.to_string()))?;
            send(&mut stream, FAILED, &body)
        }
    }
}
