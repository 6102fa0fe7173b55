//! `kith eval`

use std::path::Path;

use super::args::common::Common;
use super::args::eval::{Eval, EvalCluster, EvalDetect, EvalIdentify, EvalPairs, EvalWhat};
use super::codes::DONE;
use super::output;
use super::targets::spare;
use crate::TemplateRule;
use crate::eval::{
    self, AgainstRecord, BoxList, DetectionReport, IdentificationReport, PairList, Split, Verification,
    VerificationSetup, people_of,
};
use crate::files::{Audience, spelled};

pub(super) fn run(common: &Common, command: &Eval) -> anyhow::Result<u8> {
    let page = match &command.what {
        EvalWhat::Pairs(c) => &c.evaluated.html,
        EvalWhat::Identify(c) => &c.evaluated.html,
        EvalWhat::Cluster(c) => &c.evaluated.html,
        EvalWhat::Detect(c) => &c.html,
        EvalWhat::Quality(c) => &c.html,
        EvalWhat::Alignment(_) => &None,
    };
    // Before hours of work.
    page.as_ref().map_or(Ok(()), |page| spare(page, &[], false))?;
    match &command.what {
        EvalWhat::Pairs(c) => pairs(common, c),
        EvalWhat::Identify(c) => identify(common, c),
        EvalWhat::Cluster(c) => cluster(common, c),
        EvalWhat::Detect(c) => detect(common, c),
        EvalWhat::Alignment(c) => super::eval_alignment::run(common, c),
        EvalWhat::Quality(c) => super::eval_quality::run(common, c),
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
    let (choice, limits) = (evaluated.face.choice(), common.limits());
    let bar = output::bar(common, list.photos.len(), "embedding");
    let setup = VerificationSetup { choice, limits: &limits, cache: &cache, mistakes: command.mistakes };
    let answer = eval::verification(&engines, &names, &list, setup, &|| bar.inc(1))?;
    bar.finish_and_clear();
    if let Some(path) = &evaluated.html {
        output::page(path, &eval::verification_page(&answer, &engines, choice, &limits)?, Audience::Umask)?;
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

/// How the pairs compare with the record, in a sentence: the first thing to know of one's own photos.
fn against_record(name: &str, r: &AgainstRecord) -> String {
    let times =
        |times: Option<f64>, few: String| times.map_or(few, |t| format!("{t:.1} times as often as the record says"));
    format!(
        "{name}: false matches {}; pairs turned away {} (threshold {:.4}: FMR {:.1e}, record {:.0e}; FNMR {:.4}, record {:.4})",
        times(r.times_fmr, format!("too few to compare ({})", r.false_matches)),
        times(r.times_fnmr, "too few to compare".to_string()),
        r.distance,
        r.fmr,
        r.record_fmr,
        r.fnmr,
        r.record_fnmr
    )
}

fn print_pairs(v: &Verification, page: Option<&Path>) {
    for (name, r) in v.models.iter().filter_map(|m| Some((&m.name, m.against_record.as_ref()?))) {
        output::line(&against_record(name, r));
    }
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
        n => format!(
            "accuracy: mean of {n} folds, each judged by the threshold best on the others, +- its standard error"
        ),
    });
    output::line(
        "TAR@FAR: only where at least 30 impostor pairs lie below the threshold (rule of 30); - where fewer do",
    );
    for m in &v.models {
        if let Some(d) = &m.at_default {
            output::line(&format!(
                "{} at its calibrated threshold {:.4} (record {}, FMR {:e}): FMR {:.5}, FNMR {:.5}, accuracy {:.4} here",
                m.name,
                d.measured.distance,
                d.calibration,
                d.calibrated_fmr,
                d.measured.fmr,
                d.measured.fnmr,
                d.accuracy
            ));
        }
    }
    if let Some(page) = page {
        output::line(&format!("report: {}", spelled(page)));
    }
}

fn identify(common: &Common, command: &EvalIdentify) -> anyhow::Result<u8> {
    let evaluated = &command.evaluated;
    let people = people_of(&command.people)?;
    let split = Split::drawn(&people, command.enrolled, command.gallery_photos, evaluated.seed)?;
    let source = format!(
        "{} photos of {} people, {} enrolled with {} photo{} each, seed {}",
        split.photos.len(),
        people.len(),
        split.gallery.len(),
        command.gallery_photos.max(1),
        if command.gallery_photos > 1 { "s" } else { "" },
        evaluated.seed
    );
    let engines = evaluated.engines(common)?;
    let cache = evaluated.cache(common, &engines[0])?;
    let (names, choice, limits) = (evaluated.names(common), evaluated.face.choice(), common.limits());
    let bar = output::bar(common, split.photos.len(), "embedding");
    let by: Vec<TemplateRule> = command.by.iter().map(|b| b.by()).collect();
    let answer = eval::identification(&engines, &names, &split, &by, &source, choice, &limits, &cache, &|| bar.inc(1))?;
    bar.finish_and_clear();
    if let Some(path) = &evaluated.html {
        output::page(path, &eval::identification_page(&answer)?, Audience::Umask)?;
    }
    for failure in &answer.failures {
        eprintln!("kith: {}", failure.message);
    }
    if common.json {
        output::json(&answer)?;
    } else {
        print_identification(&answer, evaluated.html.as_deref());
    }
    Ok(DONE)
}

fn print_identification(r: &IdentificationReport, page: Option<&Path>) {
    output::line(&r.source);
    output::line(&format!(
        "{} people enrolled ({} without a usable photo); {} mated and {} non-mated searches; no usable face in {} photos",
        r.enrolled,
        r.failures_to_enrol,
        r.mated_searches,
        r.non_mated_searches,
        r.failures.len()
    ));
    if !r.failures.is_empty() {
        output::line(r.treatment);
    }
    output::line("");
    let mut rows = vec![vec!["model".to_string()]];
    rows[0].extend(r.models[0].ranks.iter().map(|rank| format!("rank {}", rank.rank)));
    rows[0].extend(r.models[0].tpir_at_fpir.iter().map(|t| format!("FNIR@{:e}", t.far)));
    for m in &r.models {
        let mut row = vec![m.name.clone()];
        row.extend(m.ranks.iter().map(|rank| format!("{:.4}", rank.rate)));
        let fnir = m.tpir_at_fpir.iter().map(|t| t.measured.map_or("-".to_string(), |t| format!("{:.4}", 1.0 - t.tar)));
        row.extend(fnir);
        rows.push(row);
    }
    output::table(&rows);
    output::line("");
    output::line(
        "FNIR@FPIR: only where at least 30 strangers were taken for somebody (rule of 30); - where fewer were",
    );
    for m in &r.models {
        let Some(growth) = &m.growth else { continue };
        output::line("");
        output::line(&format!(
            "{}: FPIR by gallery size at distance {:.4} (calibration {}, FMR {:e}); independent: 1 - (1 - FMR)^comparisons",
            m.name, growth.distance, growth.calibration, growth.fmr
        ));
        let head = ["people", "faces", "measured", "independent"].map(str::to_string).to_vec();
        let row = |s: &eval::GrowthPoint| {
            vec![s.people.to_string(), s.faces.to_string(), format!("{:.4}", s.measured), format!("{:.4}", s.predicted)]
        };
        output::table(&[vec![head], growth.sizes.iter().map(row).collect()].concat());
    }
    if let Some(page) = page {
        output::line(&format!("report: {}", spelled(page)));
    }
}

fn cluster(common: &Common, command: &EvalCluster) -> anyhow::Result<u8> {
    let evaluated = &command.evaluated;
    anyhow::ensure!(evaluated.html.is_none(), "eval cluster draws no page: leave --html out");
    let people = eval::with_photos(people_of(&command.people)?, command.at_least)?;
    let engines = evaluated.engines(common)?;
    let cache = evaluated.cache(common, &engines[0])?;
    let (names, choice, limits) = (evaluated.names(common), evaluated.face.choice(), common.limits());
    let bar = output::bar(common, people.iter().map(|p| p.photos.len()).sum(), "embedding");
    let method = command.method.method();
    let answer = eval::grouping(&engines, &names, &people, method, choice, &limits, &cache, &|| bar.inc(1))?;
    bar.finish_and_clear();
    for failure in &answer.failures {
        eprintln!("kith: {}", failure.message);
    }
    if common.json {
        output::json(&answer)?;
        return Ok(DONE);
    }
    let (faces, of) = (output::faces(answer.faces), output::people(answer.people));
    output::line(&format!("{faces} of {of}, grouped by {}", answer.method));
    let head = ["model", "groups", "BCubed P", "R", "F1", "pairs P", "R", "F1", "mixed", "split", "seconds"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    for m in &answer.models {
        let s = &m.scores;
        let rates = [s.bcubed, s.pairwise].into_iter().flat_map(|a| [a.precision, a.recall, a.f1]);
        let mut row = vec![m.name.clone(), m.groups.to_string()];
        row.extend(rates.map(|r| format!("{r:.4}")));
        row.extend([s.mixed_groups.to_string(), s.split_people.to_string(), format!("{:.2}", m.grouping_seconds)]);
        rows.push(row);
    }
    output::table(&rows);
    output::line("mixed: groups with several people in them; split: people in several groups");
    Ok(DONE)
}

fn detect(common: &Common, command: &EvalDetect) -> anyhow::Result<u8> {
    let list = BoxList::read(&command.boxes, &command.images())?;
    let engine = common.engine()?;
    let bar = output::bar(common, list.photos.len(), "detecting");
    let source = spelled(command.boxes.file_name().unwrap_or_default());
    let answer = eval::detection(&engine, &list, &source, &common.limits(), &|| bar.inc(1))?;
    bar.finish_and_clear();
    if let Some(path) = &command.html {
        output::page(path, &eval::detection_page(&answer)?, Audience::Umask)?;
    }
    for failure in &answer.failures {
        eprintln!("kith: {}", failure.message);
    }
    if common.json {
        output::json(&answer)?;
    } else {
        print_detection(&answer, command.html.as_deref());
    }
    Ok(DONE)
}

fn print_detection(r: &DetectionReport, page: Option<&Path>) {
    let m = &r.matched;
    let or_dash = |v: Option<f64>| v.map_or("-".to_string(), |v| format!("{v:.4}"));
    output::line(&format!("{}: {} photos, {} labelled faces, detector {}", r.source, r.photos, m.faces, r.detector));
    output::line(&format!("recall {:.4} ({} of {} found)", m.recall, m.found, m.faces));
    output::line(&format!("precision {} ({} detections on no labelled face)", or_dash(m.precision), m.false_positives));
    output::line(&format!("average precision {:.4}", m.average_precision));
    output::line(&format!("mean IoU of found faces {}", or_dash(m.mean_overlap)));
    output::line(&format!("landmark error {} distances between the eyes", or_dash(m.landmark_error)));
    for (what, places) in [("missed", &r.missed_faces), ("on no labelled face", &r.spurious_detections)] {
        for p in places {
            let b = p.bbox;
            let score = p.score.map_or(String::new(), |s| format!(", score {s:.4}"));
            let photo = spelled(&p.photo);
            output::line(&format!("{what}: {photo}: {:.0},{:.0} to {:.0},{:.0}{score}", b.x0, b.y0, b.x1, b.y1));
        }
    }
    if let Some(page) = page {
        output::line(&format!("report: {}", spelled(page)));
    }
}
