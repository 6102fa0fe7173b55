//! Faults of TOML files in words: the line, and for an unknown key the nearest that is known.

/// Line of a byte in a text, counted from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
}

/// The one of the known names that is most like this one.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known.min_by_key(|k| strsim::damerau_levenshtein(k, name)).unwrap_or_default()
}

/// What is wrong with a text that serde did not take.
pub(crate) fn fault(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |s| line_of(text, s.start));
    let message = error.message();
    // serde lists the known keys in the order of their fields, each in backticks.
    let mut quoted = message.split('`').skip(1).step_by(2);
    match quoted.next().filter(|_| message.starts_with("unknown field")) {
        Some(name) => format!("line {line}: there is no setting {name:?}; the nearest is {}", nearest(name, quoted)),
        None => format!("line {line}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Two {
        _liveness: Option<bool>,
        _max_fmr: Option<f64>,
    }

    #[test]
    fn the_line_is_named_and_the_nearest_key() {
        let told = |text: &str| fault(text, &toml::from_str::<Two>(text).unwrap_err());
        assert_eq!(told("\n\n_max_frm = 1.0"), "line 3: there is no setting \"_max_frm\"; the nearest is _max_fmr");
        assert!(told("_liveness = 7").starts_with("line 1: invalid type"), "{}", told("_liveness = 7"));
        assert!(told("_liveness = ").starts_with("line 1: "));
    }
}
