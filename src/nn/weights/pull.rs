//! Fetching weights from their upstream release.
//!
//! A download goes to `NAME.part` and survives a cut connection or a killed process: the next try asks
//! for the rest, under the validator (ETag or date) that the first answer carried, so that two
//! versions are never joined. What arrives is held against the published sha256, or, where upstream
//! publishes none, against the one recorded when it was first fetched.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::locate::checksum_file;
use super::{Imported, ModelEntry, Precision, files, import};
use crate::error::WeightsError;
use crate::files::hex;

/// Largest download; no known weights come near.
const MOST_BYTES: u64 = 4 << 30;
/// Tries in a row that bring no byte before giving up.
const FRUITLESS_TRIES: u32 = 3;
/// Wait after the first fruitless try; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for the head of an answer; the body may take as long as it takes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are here, those of earlier tries included.
    pub done: u64,
    /// Bytes in all, where the server says.
    pub total: Option<u64>,
}

/// How to fetch.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The user has read the licence of weights that are not free for any use.
    pub accept_licence: bool,
    /// An address to use in place of the release's own: a mirror.
    pub url: Option<String>,
    /// A proxy; the environment's (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`) when not given.
    pub proxy: Option<String>,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Pulled {
    /// kith's own file, made from the download.
    pub imported: Imported,
    /// Hex sha256 of the download.
    pub upstream_sha256: String,
    /// Whether that checksum was recorded just now, since upstream publishes none.
    pub recorded: bool,
}

/// Downloads the model's released file into `folder`, checks it, and imports it there.
///
/// # Errors
/// [`WeightsError::LicenceNotAccepted`] before a byte is fetched; [`WeightsError::Download`] with how
/// much is kept for the next try; [`WeightsError::WrongChecksum`], [`WeightsError::Malformed`] or
/// [`WeightsError::MissingTensor`] when the bytes are not the weights, which are then deleted.
pub fn pull(
    entry: &ModelEntry,
    folder: &Path,
    options: &PullOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Pulled, WeightsError> {
    if !entry.free_for_any_use && !options.accept_licence {
        return Err(WeightsError::LicenceNotAccepted {
            name: entry.name.clone(),
            licence: format!("Licence: {}. {}", entry.licence, entry.note),
        });
    }
    let Some(url) = options.url.as_ref().or(entry.upstream.urls.first()) else {
        return Err(WeightsError::NotDownloadable {
            name: entry.name.clone(),
            reason: format!("it comes inside the {}; unpack that and run `kith weights import`", entry.upstream.name),
        });
    };
    fs::create_dir_all(folder).map_err(files::io_error(folder))?;
    let part = Part::new(folder, &entry.name);
    download(url, &agent(options, url)?, &part, progress)?;

    let bytes = files::read(&part.path)?;
    let upstream_sha256 = hex(&Sha256::digest(&bytes));
    drop(bytes);
    let record = folder.join(format!("{}.upstream.sha256", entry.name));
    let known = match entry.upstream.files.as_slice() {
        [file] => Some(file.sha256.clone()),
        _ if record.is_file() => Some(String::from_utf8_lossy(&files::read(&record)?).trim().to_string()),
        _ => None,
    };
    if let Some(expected) = known.as_ref().filter(|k| **k != upstream_sha256) {
        part.delete();
        let (expected, path) = (expected.clone(), url.clone());
        return Err(WeightsError::WrongChecksum { path, expected, received: upstream_sha256 });
    }
    let precision = match entry.stored.as_str() {
        "f16" => Precision::F16,
        "int8 blocks" => Precision::Blocks,
        _ => Precision::F32,
    };
    let target = folder.join(entry.file_name());
    let imported = import(std::slice::from_ref(&part.path), Some(&entry.architecture), precision, &target);
    part.delete();
    let imported = imported?;
    files::write_whole(&checksum_file(&target), format!("{}\n", imported.sha256).as_bytes())?;
    if known.is_none() {
        files::write_whole(&record, format!("{upstream_sha256}\n").as_bytes())?;
    }
    Ok(Pulled { imported, upstream_sha256, recorded: known.is_none() })
}

/// The unfinished download and the validator of the version that it is part of.
struct Part {
    path: PathBuf,
    validator: PathBuf,
}

impl Part {
    fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(format!("{name}.part")), validator: folder.join(format!("{name}.part.version")) }
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |m| m.len())
    }

    /// The validator, if there is something to resume.
    fn resumable(&self) -> Option<String> {
        fs::read_to_string(&self.validator).ok().filter(|v| !v.is_empty() && self.length() > 0)
    }

    fn delete(&self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.validator);
    }
}

fn agent(options: &PullOptions, url: &str) -> Result<ureq::Agent, WeightsError> {
    let proxy = match &options.proxy {
        Some(given) => Some(ureq::Proxy::new(given).map_err(|e| failed(url, format!("proxy {given}: {e}"), 0))?),
        None => ureq::Proxy::try_from_env(),
    };
    let config = ureq::Agent::config_builder()
        .proxy(proxy)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        .http_status_as_error(false)
        .user_agent(concat!("kith/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(config.into())
}

fn failed(url: &str, reason: impl ToString, kept: u64) -> WeightsError {
    WeightsError::Download { url: url.to_string(), reason: reason.to_string(), kept }
}

/// Why a try ended early.
enum Stop {
    /// Another try may go further.
    Cut(String),
    /// No try will.
    Final(WeightsError),
}

fn download(
    url: &str,
    agent: &ureq::Agent,
    part: &Part,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), WeightsError> {
    let mut fruitless = 0;
    loop {
        let before = part.length();
        let reason = match fetch(url, agent, part, progress) {
            Ok(()) => return Ok(()),
            Err(Stop::Final(e)) => return Err(e),
            Err(Stop::Cut(reason)) => reason,
        };
        if part.length() > before {
            fruitless = 0;
            continue;
        }
        fruitless += 1;
        if fruitless == FRUITLESS_TRIES {
            return Err(failed(url, reason, part.length()));
        }
        std::thread::sleep(FIRST_WAIT * 2u32.pow(fruitless - 1));
    }
}

/// One request: the whole file, or the rest of it.
fn fetch(url: &str, agent: &ureq::Agent, part: &Part, progress: &mut dyn FnMut(Progress)) -> Result<(), Stop> {
    let mut request = agent.get(url);
    let resumed = part.resumable();
    if let Some(validator) = &resumed {
        request = request.header("Range", format!("bytes={}-", part.length())).header("If-Range", validator);
    }
    let response = request.call().map_err(|e| Stop::Cut(e.to_string()))?;
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
    let status = response.status().as_u16();
    let start = match (status, &resumed) {
        (206, Some(_)) => {
            let start = header("content-range").and_then(|r| r.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
            if start != Some(part.length()) {
                part.delete();
                return Err(Stop::Cut("the server sent another range than it was asked for".to_string()));
            }
            part.length()
        }
        (200, _) => 0,
        (416, Some(_)) => {
            part.delete();
            return Err(Stop::Cut("the server has no such range".to_string()));
        }
        (408 | 429 | 500..=599, _) => return Err(Stop::Cut(format!("the server answered {status}"))),
        _ => return Err(Stop::Final(failed(url, format!("the server answered {status}"), part.length()))),
    };
    let rest: Option<u64> = header("content-length").and_then(|l| l.parse().ok());
    let total = rest.map(|rest| start + rest);
    if total.is_some_and(|t| t > MOST_BYTES) {
        return Err(Stop::Final(failed(url, "the file is larger than any weights", 0)));
    }
    let disk = |e: std::io::Error| Stop::Final(files::io_error(&part.path)(e));
    // Weak validators do not promise equal bytes, so they cannot be resumed under.
    let validator = header("etag").filter(|e| !e.starts_with("W/")).or_else(|| header("last-modified"));
    let mut file = if start > 0 {
        OpenOptions::new().append(true).open(&part.path).map_err(disk)?
    } else {
        // Emptied before the validator changes, so that the two never disagree after a crash.
        let file = File::create(&part.path).map_err(disk)?;
        fs::write(&part.validator, validator.unwrap_or_default()).map_err(disk)?;
        file
    };
    let mut body = response.into_body().into_with_config().limit(MOST_BYTES).reader();
    let mut buffer = vec![0; 1 << 16];
    let mut done = start;
    loop {
        progress(Progress { done, total });
        let count = body.read(&mut buffer).map_err(|e| Stop::Cut(e.to_string()))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(disk)?;
        done += count as u64;
    }
    file.sync_all().map_err(disk)?;
    match total {
        Some(total) if done < total => Err(Stop::Cut(format!("{done} of {total} bytes came"))),
        _ => Ok(()),
    }
}
