//! Policies: what must hold for somebody to be let in. Read from one TOML file, once, at the start.
//!
//! ```toml
//! [policy.front-door]
//! liveness = false             # must be said; true is refused until there is a model for it
//! max_fpir = 0.02              # asked without a name: share of strangers taken for somebody
//! max_fmr = 0.0001             # asked with a name: share of strangers taken for that person
//! model = "dlib-resnet"        # the service's embedder, or its whole id
//! calibration = "a1b2c3d4e5f6" # the id of the calibration that the rates were chosen by
//! gallery = "main"
//! face = "largest"             # or "only", when not said
//! groups = ["staff"]           # in at least one of these; everybody, when not said
//! timezone = "Europe/Berlin"
//! hours = [{ days = ["mon", "tue", "wed", "thu", "fri"], from = "07:00", to = "19:00" }]
//! min_quality = { eye_distance = 40.0, sharpness = 0.01, yaw = 35.0, pitch = 30.0, roll = 30.0 }
//! #              further: least_brightness, most_brightness, covered and inverted (most likelihood of it; 1.0: off)
//! cool_down = { failures = 5, within_seconds = 60, seconds = 120 }   # of a key, whatever the door is called
//! ```
//!
//! A rate below what the calibration record measured is not decided by (`calibration_insufficient`), unless
//! `extrapolate = true`: a search without a name among N faces needs comparisons at `1 - (1 - max_fpir)^(1/N)`. The
//! shipped records measure down to 2e-6, so `max_fpir = 0.02` supports `ln(1 - 0.02) / ln(1 - 2e-6)` = 10101 faces and
//! 0.001 supports 500. `kith config check`, the start, the answer to an enrolment, the health page and `/metrics` say
//! what each policy supports and what there is. At so low a rate many who belong are turned away (the record's FNMR):
//! a door for many people better asks with a name.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;

use super::super::files::io;
use super::super::ranged::{Few, Seconds};
use super::reason::Reason;
use crate::error::ServeError;
use crate::{Engine, FaceChoice, QualityBounds};

/// After how many failures of a key, or of claims to be one person, nothing is decided for a while.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CoolDown {
    pub failures: Few,
    pub within_seconds: Seconds,
    pub seconds: Seconds,
}

/// A policy, checked.
#[derive(Debug, Clone)]
pub(in super::super) struct Policy {
    pub name: String,
    pub max_fpir: Option<f64>,
    pub max_fmr: Option<f64>,
    pub model: Option<String>,
    pub calibration: Option<String>,
    /// Whether rates below what the calibration measured are accepted.
    pub extrapolate: bool,
    pub gallery: String,
    pub face: FaceChoice,
    pub groups: Vec<String>,
    pub bounds: QualityBounds,
    pub(super) cool_down: Option<CoolDown>,
    pub(super) hours: Vec<Hours>,
    pub(super) zone: TimeZone,
}

#[derive(Debug, Clone)]
pub(super) struct Hours {
    pub days: Vec<Weekday>,
    pub from: Time,
    /// Not included. Before `from`: on the next day.
    pub to: Time,
}

/// The policies of a service, by name.
#[derive(Debug, Default)]
pub(in super::super) struct Policies {
    pub(super) by_name: BTreeMap<String, Policy>,
}

impl Policies {
    /// # Errors
    /// [`ServeError::Io`], [`ServeError::Malformed`], and [`ServeError::Policy`] for a policy that cannot be kept.
    pub(in super::super) fn load(path: &Path) -> Result<Self, ServeError> {
        let text = std::fs::read_to_string(path).map_err(|e| io(path, "reading the policies", &e))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// What in the policies does not fit the engine, so that whoever asks by them is denied.
    pub(in super::super) fn unfit(&self, engine: &Engine) -> Vec<String> {
        let said = |p: &Policy| p.unfit(engine).map(|(_, why)| format!("policy {:?} lets nobody in: {why}", p.name));
        self.by_name.values().filter_map(said).collect()
    }

    pub(in super::super) fn get(&self, name: &str) -> Option<&Policy> {
        self.by_name.get(name)
    }
}

impl Policy {
    /// Why the policy decides nothing with this engine; none where it does.
    pub(super) fn unfit(&self, engine: &Engine) -> Option<(Reason, String)> {
        let running = engine.model().as_str();
        if let Some(model) = self.model.as_deref().filter(|m| *m != running && running.split('/').next() != Some(*m)) {
            let why = format!("the policy needs model {model}, the service runs {running}");
            return Some((Reason::ModelMissing, why));
        }
        let Some(calibration) = engine.calibration() else {
            return Some((Reason::CalibrationMissing, format!("{running} has no calibration")));
        };
        let id = calibration.id();
        if calibration.model != running || self.calibration.as_ref().is_some_and(|c| *c != id) {
            let why = format!("the policy was not made for the calibration in use, {id}");
            return Some((Reason::CalibrationStale, why));
        }
        None
    }

    /// Whether the policy lets anybody in at that moment.
    pub(super) fn is_open_at(&self, now: Timestamp) -> bool {
        if self.hours.is_empty() {
            return true;
        }
        let local = self.zone.to_datetime(now);
        let (today, time) = (local.weekday(), local.time());
        let yesterday = local.checked_sub(1.day()).map_or(today, |d| d.weekday());
        self.hours.iter().any(|h| match h.from < h.to {
            true => h.days.contains(&today) && h.from <= time && time < h.to,
            false => (h.days.contains(&today) && h.from <= time) || (h.days.contains(&yesterday) && time < h.to),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(body: &str) -> Result<Policy, ServeError> {
        let all = Policies::parse(&format!("[policy.door]\n{body}"), "policies.toml")?;
        Ok(all.get("door").unwrap().clone())
    }

    #[test]
    fn hours_hold_in_their_zone_and_over_midnight() {
        let open = |body: &str, at: &str| {
            one(&format!("liveness = false\nmax_fmr = 0.1\n{body}")).unwrap().is_open_at(at.parse().unwrap())
        };
        let office = "hours = [{ days = [\"mon\", \"tue\"], from = \"07:00\", to = \"19:00\" }]";
        // 2026-11-23 is a Monday.
        assert!(open(office, "2026-11-23T07:00:00Z") && open(office, "2026-11-24T18:59:59Z"));
        assert!(!open(office, "2026-11-23T06:59:59Z") && !open(office, "2026-11-23T19:00:00Z"));
        assert!(!open(office, "2026-11-25T12:00:00Z"));
        let night = "hours = [{ days = [\"fri\"], from = \"22:00\", to = \"06:00\" }]";
        assert!(open(night, "2026-11-27T23:00:00Z") && open(night, "2026-11-28T05:59:00Z"));
        assert!(!open(night, "2026-11-27T05:00:00Z") && !open(night, "2026-11-28T22:30:00Z"));
        assert!(open("", "2026-11-28T22:30:00Z"));
    }
}
