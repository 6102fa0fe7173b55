//! The end of the log, read backwards: what a look costs grows with what it returns, and not with what there is.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::super::files::io;
use super::segments::{log_in, whole};
use crate::error::ServeError;

/// Read in blocks of this many bytes.
const BLOCK: u64 = 1 << 16;

/// The last lines of a service's log, newest first: at most `limit`, and only those before line `before`.
///
/// # Errors
/// [`ServeError::Io`].
pub fn last_lines(state: &Path, before: Option<u64>, limit: usize) -> std::result::Result<Vec<Value>, ServeError> {
    let (rotated, active) = whole(state)?;
    let mut before = before.unwrap_or(u64::MAX);
    let mut found = Vec::new();
    if let Some(file) = active {
        let path = log_in(state);
        take(file, &mut before, limit, &mut found).map_err(|e| io(&path, "reading", &e))?;
    }
    for file in rotated.iter().rev() {
        if found.len() >= limit || file.first >= before {
            continue;
        }
        let opened = File::open(&file.path);
        let taken = opened.and_then(|f| take(f, &mut before, limit, &mut found));
        taken.map_err(|e| io(&file.path, "reading", &e))?;
    }
    Ok(found)
}

/// Takes lines before line `before` off the end of a file until there are `limit`.
fn take(mut file: File, before: &mut u64, limit: usize, found: &mut Vec<Value>) -> Result<()> {
    if found.len() >= limit {
        return Ok(());
    }
    let length = file.seek(SeekFrom::End(0))?;
    let end = if *before == u64::MAX { length } else { start_of(&mut file, *before, length)? };
    let mut lines = Backwards { file, at: end, block: Vec::new(), pieces: Vec::new(), ended: false };
    while found.len() < limit
        && let Some(line) = lines.next()?
    {
        let Ok(value) = serde_json::from_slice::<Value>(&line) else { continue };
        let number = value["seq"].as_u64().unwrap_or(u64::MAX);
        if number < *before {
            *before = number;
            found.push(value);
        }
    }
    Ok(())
}

/// Where to begin so that every line below `number` is before, and few others are: found by halving, since the numbers
/// rise.
fn start_of(file: &mut File, number: u64, length: u64) -> Result<u64> {
    // Lines before `low` are below; those from `high` on are not.
    let (mut low, mut high) = (0, length);
    while high - low > BLOCK {
        let middle = low + (high - low) / 2;
        match next_line(file, middle, high)? {
            Some(start) if number_at(file, start)?.is_some_and(|n| n < number) => low = start,
            Some(start) => high = start,
            // One line covers the second half.
            None => break,
        }
    }
    Ok(high)
}

/// Where the first line begins after the line end that comes next, before `end`.
fn next_line(file: &mut File, from: u64, end: u64) -> Result<Option<u64>> {
    let mut at = from;
    let mut block = vec![0; BLOCK as usize];
    while at < end {
        let part = &mut block[..(end - at).min(BLOCK) as usize];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(part)?;
        if let Some(found) = part.iter().position(|b| *b == b'\n') {
            let start = at + found as u64 + 1;
            return Ok((start < end).then_some(start));
        }
        at += part.len() as u64;
    }
    Ok(None)
}

/// The number of the line that begins there; none where it is no whole line of a log.
fn number_at(file: &mut File, start: u64) -> Result<Option<u64>> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: u64,
    }
    file.seek(SeekFrom::Start(start))?;
    let mut line = Vec::new();
    let mut reader = std::io::BufReader::with_capacity(BLOCK as usize, file);
    std::io::BufRead::read_until(&mut reader, b'\n', &mut line)?;
    Ok(serde_json::from_slice::<Numbered>(&line).ok().map(|n| n.seq))
}

/// The lines of a file before `at`, the last first. What stands after the last line end is no line yet.
struct Backwards {
    file: File,
    at: u64,
    /// What was read and not given yet; its end is the end of a line whose other pieces are in `pieces`.
    block: Vec<u8>,
    /// Pieces of one line, the last first.
    pieces: Vec<Vec<u8>>,
    /// Whether a line end was seen.
    ended: bool,
}

impl Backwards {
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.block.iter().rposition(|b| *b == b'\n') {
                let piece = self.block.split_off(end + 1);
                self.block.pop();
                let line = self.joined(piece);
                if std::mem::replace(&mut self.ended, true) && !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            let piece = std::mem::take(&mut self.block);
            if self.at == 0 {
                let line = self.joined(piece);
                return Ok(Some(line).filter(|l| std::mem::take(&mut self.ended) && !l.is_empty()));
            }
            self.pieces.push(piece);
            let size = BLOCK.min(self.at);
            self.at -= size;
            self.block = vec![0; size as usize];
            self.file.seek(SeekFrom::Start(self.at))?;
            self.file.read_exact(&mut self.block)?;
        }
    }

    /// The line that begins with this piece.
    fn joined(&mut self, first: Vec<u8>) -> Vec<u8> {
        let mut line = first;
        self.pieces.drain(..).rev().for_each(|piece| line.extend(piece));
        line
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::segments::rotated_in;
    use super::*;

    fn line(number: u64, length: usize) -> String {
        format!("{{\"seq\":{number},\"text\":\"{}\"}}\n", "x".repeat(length))
    }

    fn numbers(state: &Path, before: Option<u64>, limit: usize) -> Vec<u64> {
        last_lines(state, before, limit).unwrap().iter().map(|l| l["seq"].as_u64().unwrap()).collect()
    }

    #[test]
    fn every_end_of_every_length_is_found_over_all_files() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        assert!(numbers(state, None, 5).is_empty());
        // Lines of all sizes, longer than a block too, in three files; and the last one torn.
        let lengths = [0, 10, 300, 70_000, 5, 200_000, 1, 131_050, 40];
        let text = |lines: std::ops::Range<u64>| -> String {
            lines.map(|n| line(n, lengths[n as usize % lengths.len()])).collect()
        };
        fs::write(rotated_in(state, 1), text(1..30)).unwrap();
        fs::write(rotated_in(state, 30), text(30..31)).unwrap();
        fs::write(log_in(state), text(31..60) + "{\"seq\":60,").unwrap();
        for limit in [1, 2, 7, 29, 30, 31, 100] {
            for before in [None, Some(60), Some(59), Some(45), Some(32), Some(31), Some(30), Some(12), Some(2), Some(1)]
            {
                let last = before.unwrap_or(60).min(60);
                let expected: Vec<u64> = (1..last).rev().take(limit).collect();
                assert_eq!(numbers(state, before, limit), expected, "before {before:?}, {limit}");
            }
        }
    }

    /// Bytes that this process has read from files so far.
    #[cfg(target_os = "linux")]
    fn bytes_read() -> u64 {
        let text = fs::read_to_string("/proc/thread-self/io").unwrap();
        text.lines().find_map(|l| l.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_look_reads_what_it_returns_wherever_that_lies() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let text: String = (1..=100_000).map(|n| line(n, 400)).collect();
        fs::write(log_in(state), text).unwrap();
        for before in [None, Some(90_000), Some(50_000), Some(7)] {
            let start = bytes_read();
            let last = before.unwrap_or(100_001);
            assert_eq!(numbers(state, before, 3), [last - 1, last - 2, last - 3]);
            let read = bytes_read() - start;
            // Halving 43 MB takes ten looks of two blocks each; a scan would read megabytes.
            assert!(read < 40 * BLOCK, "before {before:?}: {read} bytes");
        }
        // A long line is put together once, not with every block anew.
        fs::write(log_in(state), line(1, 8 << 20) + &line(2, 5)).unwrap();
        let start = bytes_read();
        assert_eq!(numbers(state, None, 2), [2, 1]);
        assert!(bytes_read() - start < (8 << 20) + 10 * BLOCK);
    }
}
