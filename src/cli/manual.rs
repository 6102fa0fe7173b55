//! `kith completions` and `kith man`: what shells and `man` know of the command.

use std::path::PathBuf;

use clap_mangen::Man;

use super::args::common::Common;
use super::args::manual::{Completions, Manual};
use super::args::table;
use super::codes::DONE;
use super::output;
use crate::files::spelled;
use crate::json::json;

pub(super) fn completions(common: &Common, asked: &Completions) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut table::command(), "kith", &mut script);
    let script = String::from_utf8(script)?;
    match common.json {
        true => output::json(&json!({ "shell": asked.shell.to_string(), "script": script }))?,
        false => output::line(script.trim_end()),
    }
    Ok(DONE)
}

pub(super) fn man(common: &Common, asked: &Manual) -> anyhow::Result<u8> {
    let Some(folder) = &asked.output else {
        let mut page = Vec::new();
        Man::new(table::command()).render(&mut page)?;
        let page = String::from_utf8(page)?;
        match common.json {
            true => output::json(&json!({ "page": page }))?,
            false => output::line(page.trim_end()),
        }
        return Ok(DONE);
    };
    let failed = |e: std::io::Error| anyhow::anyhow!("{}: writing the manual: {e}", spelled(folder));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut root = table::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    write(&root, folder, &mut pages).map_err(failed)?;
    pages.sort();
    match common.json {
        true => output::json(&json!({ "pages": pages.iter().map(spelled).collect::<Vec<_>>() }))?,
        false => output::line(&format!("{} pages in {}", pages.len(), spelled(folder))),
    }
    Ok(DONE)
}

/// A page of the command, and of each beneath it.
fn write(command: &clap::Command, folder: &PathBuf, pages: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for inner in command.get_subcommands() {
        write(inner, folder, pages)?;
    }
    pages.push(Man::new(command.clone()).generate_to(folder)?);
    Ok(())
}
