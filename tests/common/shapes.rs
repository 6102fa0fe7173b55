//! What holds for every JSON answer, of the command and of the service: one shape for a box and for a threshold, one
//! scale for a similarity, and no digits that nobody computed.

use serde_json::Value;

/// Holds the value and all within it; `at` names it.
#[track_caller]
pub fn hold(value: &Value, at: &str) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| hold(item, at)),
        Value::Object(members) => {
            for (name, member) in members {
                let at = format!("{at}.{name}");
                match name.as_str() {
                    "bbox" | "threshold_fmr" | "threshold_distance" => panic!("{at} is of another shape"),
                    "box" => members_are(member, &["x0", "x1", "y0", "y1"], &at),
                    "threshold" => {
                        members_are(member, &["comparisons", "distance", "extrapolated", "fmr", "max_fpir"], &at);
                    }
                    "similarity" => {
                        let percent = member.as_f64();
                        assert!(
                            member.is_null() || percent.is_some_and(|p| (0.0..=100.0).contains(&p)),
                            "{at}: {member}"
                        );
                    }
                    _ => {}
                }
                hold(member, &at);
            }
        }
        Value::Number(number) => {
            let exact = number.as_f64().filter(|long| number.is_f64() && f64::from(*long as f32) == *long);
            let short = exact.map(|long| (long as f32).to_string().parse::<f64>().unwrap());
            assert_eq!(short, exact, "{at}: an f32 with digits that nobody computed");
        }
        _ => {}
    }
}

#[track_caller]
fn members_are(value: &Value, names: &[&str], at: &str) {
    let mut held: Vec<&str> = value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    held.sort_unstable();
    assert_eq!(held, names, "{at}: {value}");
}
