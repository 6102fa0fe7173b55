//! `kith eval`

use std::path::Path;

use super::args::Common;
use super::eval_args::{Eval, EvalPairs, EvalWhat};
use super::{DONE, output};
use crate::eval::{self, PairList, Verification, people_of};
use crate::media::write_whole;

pub(super) fn run(common: &Common, command: &Eval) -> anyhow::Result<u8> {
    match &command.what {
        EvalWhat::Pairs(c) => pairs(common, c),
    }
}

fn pairs(common: &Common, command: &EvalPairs) -> anyhow::Result<u8> {
    let list = if command.list.is_dir() {
        let people = people_of(&command.list)?;
        match command.all_pairs {
            true => PairList::every(&people)?,
            false => PairList::drawn(&people, command.folds, command.pairs, command.evaluated.seed)?,
        }
    } else {
        PairList::read(&command.list, &command.images())?
    };
    let evaluated = &command.evaluated;
    let engines = evaluated.engines(common)?;
    let names = evaluated.names(common);
    let cache = evaluated.cache(common, &engines[0])?;
    let (choice, limits) = (evaluated.choice(), common.limits());
    let bar = output::bar(common, list.photos.len(), "embedding");
    let answer = eval::verification(&engines, &names, &list, choice, &limits, &cache, &|| bar.inc(1))?;
    bar.finish_and_clear();
    if let Some(path) = &evaluated.html {
        write_page(path, &eval::verification_page(&answer, &engines, choice, &limits)?)?;
    }
    for failure in &answer.failures {
        eprintln!("kith: {}", failure.message);
    }
    if common.json {
        output::json(&answer)?;
    } else {
        print_pairs(&answer, evaluated.html.as_deref());
    }
    Ok(DONE)
}

fn write_page(path: &Path, html: &str) -> anyhow::Result<()> {
    write_whole(path, html.as_bytes()).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))
}

fn print_pairs(v: &Verification, page: Option<&Path>) {
    output::line(&v.source);
    output::line(&format!(
        "{} genuine and {} impostor pairs of {} photos; no usable face in {} photos ({} genuine, {} impostor pairs)",
        v.genuine_pairs,
        v.impostor_pairs,
        v.photos,
        v.failures.len(),
        v.pairs_with_failures.0,
        v.pairs_with_failures.1
    ));
    if !v.failures.is_empty() {
        output::line(v.treatment);
    }
    output::line("");
    let mut rows = vec![["model", "accuracy", "EER", "AUC", "d'", "threshold"].map(str::to_string).to_vec()];
    let rates: Vec<f64> = v.models[0].tar_at_far.iter().map(|t| t.far).collect();
    rows[0].extend(rates.iter().map(|far| format!("TAR@{far:e}")));
    for m in &v.models {
        let mut row = vec![
            m.name.clone(),
            match m.accuracy.standard_error {
                Some(e) => format!("{:.4} +- {e:.4}", m.accuracy.accuracy),
                None => format!("{:.4}", m.accuracy.accuracy),
            },
            format!("{:.4}", m.equal_error.rate),
            format!("{:.5}", m.area_under_roc),
            m.d_prime.map_or("-".to_string(), |d| format!("{d:.2}")),
            format!("{:.4}", m.best.distance),
        ];
        row.extend(m.tar_at_far.iter().map(|t| t.measured.map_or("-".to_string(), |t| format!("{:.4}", t.tar))));
        rows.push(row);
    }
    output::table(&rows);
    output::line("");
    let folds = v.models[0].accuracy.folds.len();
    output::line(&match folds {
        1 => "accuracy: of the best threshold on these very pairs, so it flatters".to_string(),
        n => format!("accuracy: mean of {n} folds, each judged by the threshold best on the others, +- its standard error"),
    });
    output::line("TAR@FAR: only where at least 30 impostor pairs lie below the threshold (rule of 30); - where fewer do");
    for m in &v.models {
        if let Some(d) = &m.at_default {
            output::line(&format!(
                "{} at its calibrated threshold {:.4} (record {}, FMR {:e}): FMR {:.5}, FNMR {:.5}, accuracy {:.4} here",
                m.name, d.measured.distance, d.calibration, d.calibrated_fmr, d.measured.fmr, d.measured.fnmr, d.accuracy
            ));
        }
    }
    if let Some(page) = page {
        output::line(&format!("report: {}", page.display()));
    }
}
