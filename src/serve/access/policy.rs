//! Policies: what must hold for somebody to be let in. Read from one TOML file, once, at the start.
//!
//! ```toml
//! [policy.front-door]
//! liveness = false             # must be said; true is refused until there is a model for it
//! max_fpir = 0.001             # asked without a name: share of strangers taken for somebody
//! max_fmr = 0.0001             # asked with a name: share of strangers taken for that person
//! model = "dlib-resnet"        # the service's embedder, or its whole id
//! calibration = "a1b2c3d4e5f6" # the id of the calibration that the rates were chosen by
//! gallery = "main"
//! face = "largest"             # or "only", when not said
//! groups = ["staff"]           # in at least one of these; everybody, when not said
//! timezone = "Europe/Berlin"
//! hours = [{ days = ["mon", "tue", "wed", "thu", "fri"], from = "07:00", to = "19:00" }]
//! min_quality = { eye_distance = 40.0, sharpness = 0.01, yaw = 35.0, pitch = 30.0, roll = 30.0 }
//! cool_down = { failures = 5, within_seconds = 60, seconds = 120 }
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;

use super::super::files::io;
use crate::error::ServeError;
use crate::{DEFAULT_GALLERY, FaceChoice, QualityBounds};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    policy: BTreeMap<String, Written>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    liveness: bool,
    max_fpir: Option<f64>,
    max_fmr: Option<f64>,
    model: Option<String>,
    calibration: Option<String>,
    #[serde(default)]
    extrapolate: bool,
    gallery: Option<String>,
    #[serde(default)]
    face: WhichFace,
    #[serde(default)]
    groups: Vec<String>,
    timezone: Option<String>,
    #[serde(default)]
    hours: Vec<WrittenHours>,
    #[serde(default)]
    min_quality: WrittenQuality,
    cool_down: Option<CoolDown>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WhichFace {
    #[default]
    Only,
    Largest,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHours {
    days: Option<Vec<String>>,
    from: String,
    to: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenQuality {
    eye_distance: Option<f32>,
    sharpness: Option<f32>,
    least_brightness: Option<f32>,
    most_brightness: Option<f32>,
    yaw: Option<f32>,
    pitch: Option<f32>,
    roll: Option<f32>,
}

/// After how many failures nothing is decided for a while.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CoolDown {
    pub failures: u32,
    pub within_seconds: f64,
    pub seconds: f64,
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
    hours: Vec<Hours>,
    zone: TimeZone,
}

#[derive(Debug, Clone)]
struct Hours {
    days: Vec<Weekday>,
    from: Time,
    /// Not included. Before `from`: on the next day.
    to: Time,
}

/// The policies of a service, by name.
#[derive(Debug, Default)]
pub(in super::super) struct Policies {
    by_name: BTreeMap<String, Policy>,
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Policies {
    /// # Errors
    /// [`ServeError::Io`], [`ServeError::Malformed`], and [`ServeError::Policy`] for a policy that cannot be kept.
    pub(in super::super) fn load(path: &Path) -> Result<Self, ServeError> {
        let text = std::fs::read_to_string(path).map_err(|e| io(path, "reading the policies", &e))?;
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, path: &str) -> Result<Self, ServeError> {
        let content: Content = toml::from_str(text).map_err(|e| ServeError::Malformed {
            path: path.to_string(),
            what: format!("not a file of policies: {e}"),
        })?;
        let mut by_name = BTreeMap::new();
        for (name, written) in content.policy {
            let refused = |reason| ServeError::Policy { path: path.to_string(), policy: name.clone(), reason };
            let policy = written.checked(&name).map_err(refused)?;
            by_name.insert(name.clone(), policy);
        }
        Ok(Self { by_name })
    }

    pub(in super::super) fn get(&self, name: &str) -> Option<&Policy> {
        self.by_name.get(name)
    }
}

impl Written {
    fn checked(self, name: &str) -> Result<Policy, String> {
        if self.liveness {
            return Err("it requires liveness, and this program has no liveness model; a photo held before the \
                        camera would pass as its person. Say liveness = false only where somebody watches"
                .to_string());
        }
        let rates = [("max_fpir", self.max_fpir), ("max_fmr", self.max_fmr)];
        if rates.iter().all(|(_, rate)| rate.is_none()) {
            return Err("it says neither max_fpir (asked without a name) nor max_fmr (asked with one)".to_string());
        }
        for (what, rate) in rates {
            if rate.is_some_and(|r| !(r > 0.0 && r < 1.0)) {
                return Err(format!("{what} must be above 0 and below 1"));
            }
        }
        let q = self.min_quality;
        let mut bounds = QualityBounds::default();
        bounds.eye_distance = q.eye_distance.unwrap_or(bounds.eye_distance);
        bounds.sharpness = q.sharpness.unwrap_or(bounds.sharpness);
        bounds.brightness.0 = q.least_brightness.unwrap_or(bounds.brightness.0);
        bounds.brightness.1 = q.most_brightness.unwrap_or(bounds.brightness.1);
        bounds.yaw = q.yaw.unwrap_or(bounds.yaw);
        bounds.pitch = q.pitch.unwrap_or(bounds.pitch);
        bounds.roll = q.roll.unwrap_or(bounds.roll);
        let numbers = [
            bounds.eye_distance,
            bounds.sharpness,
            bounds.brightness.0,
            bounds.brightness.1,
            bounds.yaw,
            bounds.pitch,
            bounds.roll,
        ];
        // Nothing is ever beyond a bound that is not a number.
        if numbers.iter().any(|n| !n.is_finite() || *n < 0.0) {
            return Err("min_quality: every bound is a number of at least 0".to_string());
        }
        if let Some(c) = self.cool_down
            && !(c.failures > 0 && c.within_seconds > 0.0 && c.seconds > 0.0 && c.seconds <= 86_400.0)
        {
            return Err(
                "cool_down: failures, within_seconds and seconds are above 0, seconds at most 86400".to_string()
            );
        }
        Ok(Policy {
            name: name.to_string(),
            max_fpir: self.max_fpir,
            max_fmr: self.max_fmr,
            model: self.model,
            calibration: self.calibration,
            extrapolate: self.extrapolate,
            gallery: self.gallery.unwrap_or_else(|| DEFAULT_GALLERY.to_string()),
            face: match self.face {
                WhichFace::Only => FaceChoice::Only,
                WhichFace::Largest => FaceChoice::Largest,
            },
            groups: self.groups,
            bounds,
            cool_down: self.cool_down,
            hours: self.hours.into_iter().map(WrittenHours::checked).collect::<Result<_, _>>()?,
            zone: zone(self.timezone.as_deref())?,
        })
    }
}

fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        None | Some("UTC") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name).map_err(|e| format!("timezone {name:?}: {e}")),
    }
}

impl WrittenHours {
    fn checked(self) -> Result<Hours, String> {
        let time = |text: &str| {
            Time::strptime("%H:%M", text).map_err(|_| format!("hours: {text:?} is no time of day such as 07:30"))
        };
        let day = |text: &String| {
            let known = DAYS.iter().find(|(name, _)| name == text).map(|(_, day)| *day);
            known.ok_or_else(|| format!("hours: {text:?} is no day: mon, tue, wed, thu, fri, sat or sun"))
        };
        let days = match &self.days {
            Some(days) => days.iter().map(day).collect::<Result<_, _>>()?,
            None => DAYS.iter().map(|(_, day)| *day).collect(),
        };
        let (from, to) = (time(&self.from)?, time(&self.to)?);
        if from == to {
            return Err("hours: from and to are the same time; leave hours away for all day".to_string());
        }
        Ok(Hours { days, from, to })
    }
}

impl Policy {
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
    fn a_policy_that_cannot_be_kept_is_refused_with_its_reason() {
        for (body, reason) in [
            ("liveness = true\nmax_fmr = 0.001", "no liveness model"),
            ("liveness = false", "neither max_fpir"),
            ("liveness = false\nmax_fmr = 0.0", "above 0 and below 1"),
            ("liveness = false\nmax_fmr = nan", "above 0 and below 1"),
            ("liveness = false\nmax_fmr = 0.1\ntimezone = \"Mars/Olympus\"", "timezone"),
            ("liveness = false\nmax_fmr = 0.1\nhours = [{ from = \"7\", to = \"19:00\" }]", "no time of day"),
            (
                "liveness = false\nmax_fmr = 0.1\nhours = [{ days = [\"Montag\"], from = \"07:00\", to = \"19:00\" }]",
                "no day",
            ),
            ("liveness = false\nmax_fmr = 0.1\nmin_quality = { yaw = nan }", "at least 0"),
            (
                "liveness = false\nmax_fmr = 0.1\ncool_down = { failures = 0, within_seconds = 1, seconds = 1 }",
                "cool_down",
            ),
        ] {
            let error = one(body).unwrap_err();
            assert_eq!(error.code(), "serve.policy", "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
        for body in ["max_fmr = 0.1", "liveness = false\nmax_fmr = 0.1\nlivness = true"] {
            assert_eq!(one(body).unwrap_err().code(), "serve.malformed", "{body}");
        }
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
