//! The file of policies, as it is written, and what must be right in it.

use std::collections::BTreeMap;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::super::ranged::{Bound, Rate};
use super::super::toml_file;
use super::policy::{CoolDown, Hours, Policies, Policy};
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
    max_fpir: Option<Rate>,
    max_fmr: Option<Rate>,
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
    eye_distance: Option<Bound>,
    sharpness: Option<Bound>,
    least_brightness: Option<Bound>,
    most_brightness: Option<Bound>,
    yaw: Option<Bound>,
    pitch: Option<Bound>,
    roll: Option<Bound>,
    covered: Option<Bound>,
    inverted: Option<Bound>,
    embedding_length: Option<Bound>,
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
    pub(super) fn parse(text: &str, path: &str) -> Result<Self, ServeError> {
        let content: Content = toml::from_str(text).map_err(|e| ServeError::Malformed {
            path: path.to_string(),
            what: format!("not a file of policies: {}", toml_file::fault(text, &e)),
        })?;
        let mut by_name = BTreeMap::new();
        for (name, written) in content.policy {
            let refused = |reason| ServeError::Policy { path: path.to_string(), policy: name.clone(), reason };
            let policy = written.checked(&name).map_err(refused)?;
            by_name.insert(name.clone(), policy);
        }
        Ok(Self { by_name })
    }
}

impl Written {
    fn checked(self, name: &str) -> Result<Policy, String> {
        if self.liveness {
            return Err("it requires liveness, and this program has no liveness model; a photo held before the \
                        camera would pass as its person. Say liveness = false only where somebody watches"
                .to_string());
        }
        if self.max_fpir.is_none() && self.max_fmr.is_none() {
            return Err("it says neither max_fpir (asked without a name) nor max_fmr (asked with one)".to_string());
        }
        let q = self.min_quality;
        let mut bounds = QualityBounds::default();
        for (bound, said) in [
            (&mut bounds.eye_distance, q.eye_distance),
            (&mut bounds.sharpness, q.sharpness),
            (&mut bounds.brightness.0, q.least_brightness),
            (&mut bounds.brightness.1, q.most_brightness),
            (&mut bounds.yaw, q.yaw),
            (&mut bounds.pitch, q.pitch),
            (&mut bounds.roll, q.roll),
            (&mut bounds.covered, q.covered),
            (&mut bounds.inverted, q.inverted),
        ] {
            *bound = said.map_or(*bound, Bound::get);
        }
        bounds.embedding_length = q.embedding_length.map(Bound::get);
        if bounds.brightness.0 > bounds.brightness.1 {
            return Err("min_quality: least_brightness is above most_brightness, so no photo would do".to_string());
        }
        Ok(Policy {
            name: name.to_string(),
            max_fpir: self.max_fpir.map(Rate::get),
            max_fmr: self.max_fmr.map(Rate::get),
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
            ("liveness = false\nmax_fmr = 0.1\ntimezone = \"Mars/Olympus\"", "timezone"),
            ("liveness = false\nmax_fmr = 0.1\nhours = [{ from = \"7\", to = \"19:00\" }]", "no time of day"),
            (
                "liveness = false\nmax_fmr = 0.1\nhours = [{ days = [\"Montag\"], from = \"07:00\", to = \"19:00\" }]",
                "no day",
            ),
            ("liveness = false\nmax_fmr = 0.1\nmin_quality = { least_brightness = 300.0 }", "most_brightness"),
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
    fn numbers_that_cannot_be_kept_are_refused_with_their_line() {
        let cool = |rule: &str| format!("liveness = false\nmax_fmr = 0.1\ncool_down = {{ {rule} }}");
        let mut bodies: Vec<String> = ["0.0", "1.0", "nan", "inf", "-1e300"]
            .iter()
            .flat_map(|n| ["max_fmr", "max_fpir"].map(|rate| format!("liveness = false\n\n{rate} = {n}")))
            .collect();
        for bound in
            ["eye_distance", "sharpness", "least_brightness", "most_brightness", "yaw", "pitch", "roll", "covered"]
        {
            bodies.push(format!("liveness = false\nmax_fmr = 0.1\nmin_quality = {{ {bound} = nan }}"));
        }
        for time in ["inf", "1e300", "nan", "0", "-1", "86401", "1e-300"] {
            bodies.push(cool(&format!("failures = 3, within_seconds = {time}, seconds = 1")));
            bodies.push(cool(&format!("failures = 3, within_seconds = 1, seconds = {time}")));
        }
        for failures in ["0", "-1", "101", "9223372036854775807", "1.5"] {
            bodies.push(cool(&format!("failures = {failures}, within_seconds = 1, seconds = 1")));
        }
        for body in bodies {
            let error = one(&body).unwrap_err();
            assert_eq!(error.code(), "serve.malformed", "{body}: {error}");
            assert!(error.to_string().contains("line 4: "), "{body}: {error}");
        }
        assert!(one(&cool("failures = 3, within_seconds = 60, seconds = 86400")).is_ok());
    }
}
