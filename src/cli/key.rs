//! `kith key` and `kith rekey`

use std::io::Write;

use super::args::common::Common;
use super::args::store::{KeyAction, KeyArgs, Rekey};
use super::args::{from_command, from_file};
use super::codes::DONE;
use super::output;
use crate::files::spelled;
use crate::json::json;
use crate::{Database, DatabaseOptions, MasterKey};

pub(super) fn run(common: &Common, command: &KeyArgs) -> anyhow::Result<u8> {
    let KeyAction::New { file } = &command.action;
    let shown = spelled(file);
    let text = MasterKey::generate().map_err(crate::Error::from)?.to_text();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Never over another key: what is sealed with that could not be opened again.
    let made = options.open(file).and_then(|mut f| writeln!(f, "{}", text.as_str()).and_then(|()| f.sync_all()));
    made.map_err(|e| anyhow::anyhow!("{shown}: making the key file: {e}"))?;
    if common.json {
        output::json(&json!({ "key_file": spelled(file) }))?;
    } else {
        output::line(&format!(
            "{shown}: a new key. Keep a copy of it apart from the database and its backups: without it nothing opens"
        ));
    }
    Ok(DONE)
}

pub(super) fn rekey(common: &Common, command: &Rekey) -> anyhow::Result<u8> {
    let new = match (&command.new_key_file, &command.new_key_command) {
        (Some(path), _) => Some(from_file(path)?),
        (None, Some(text)) => Some(from_command(text)?),
        (None, None) => None,
    };
    let folder = command.place.folder()?;
    let options = command.place.options(false)?;
    let was = options.key.is_some();
    let waiting = output::waiting(common, "sealing every record anew");
    command.place.alone(&options, |folder, options| Database::rekey(folder, options, new.as_ref()))?;
    waiting.finish_and_clear();
    // What is said to be done is a database that opens.
    let reopened = DatabaseOptions { key: new.clone(), ..options };
    let stats = command.place.alone(&reopened, |folder, options| Database::open(folder, options)?.stats())?;
    if common.json {
        output::json(&json!({ "path": spelled(&folder), "encrypted": stats.encrypted }))?;
        return Ok(DONE);
    }
    let shown = spelled(&folder);
    output::line(&match (was, stats.encrypted) {
        (false, false) => format!("{shown}: not encrypted, as before"),
        (true, false) => format!("{shown}: decrypted"),
        (false, true) => format!("{shown}: encrypted; backups taken before are not"),
        (true, true) => {
            format!("{shown}: opens with the new key alone; take a new copy of the key ring (`kith backup --ring`)")
        }
    });
    Ok(DONE)
}
