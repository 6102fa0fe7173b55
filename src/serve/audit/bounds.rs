//! How much of what callers send a line may hold: every text and list is cut to a bound here, and nowhere else.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::files::hex;
use crate::json::json;

/// Longest text in bytes: above the longest name that can be enrolled (200).
const TEXT: usize = 256;
/// Most members of a list or an object.
const MEMBERS: usize = 1000;
/// Deepest nesting.
const DEPTH: usize = 16;
/// Longest evidence in bytes, as JSON.
const EVIDENCE: usize = 64 << 10;

/// A text within the bound. Of a longer one the beginning stays, with its length and the first digits of its SHA-256,
/// so that it can be told from others and proved by whoever has it.
pub(super) fn text(text: &str) -> String {
    if text.len() <= TEXT {
        return text.to_string();
    }
    let digest = hex(&Sha256::digest(text.as_bytes())[..8]);
    let end = format!("... ({} bytes, sha256 {digest})", text.len());
    let mut cut = TEXT - end.len();
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{end}", &text[..cut])
}

/// Evidence within the bounds.
pub(super) fn evidence(value: &Value) -> Value {
    let bounded = within(value, DEPTH);
    match serde_json::to_vec(&bounded) {
        Ok(bytes) if bytes.len() > EVIDENCE => {
            json!({ "omitted": { "bytes": bytes.len(), "sha256": hex(&Sha256::digest(&bytes)) } })
        }
        _ => bounded,
    }
}

fn within(value: &Value, depth: usize) -> Value {
    match value {
        Value::String(said) => text(said).into(),
        Value::Array(_) | Value::Object(_) if depth == 0 => "... (nested too deeply)".into(),
        Value::Array(members) => {
            let mut kept: Vec<Value> = members.iter().take(MEMBERS).map(|v| within(v, depth - 1)).collect();
            if members.len() > MEMBERS {
                kept.push(format!("... ({} more)", members.len() - MEMBERS).into());
            }
            kept.into()
        }
        Value::Object(members) => members
            .iter()
            .take(MEMBERS)
            .map(|(k, v)| (text(k), within(v, depth - 1)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_said_a_line_stays_short_and_what_is_within_the_bounds_stays() {
        let name = "é".repeat(100);
        assert_eq!(text(&name), name);
        let plain = json!({ "a": [1, 2.5, null, true, name], "b": { "c": "d" } });
        assert_eq!(evidence(&plain), plain);
        for long in ["x".repeat(15 << 20), "é".repeat(129), "\u{1f600}".repeat(100), "\"\\\n".repeat(1000)] {
            let cut = text(&long);
            assert!(cut.len() <= TEXT && cut.contains(&format!("({} bytes, sha256 ", long.len())), "{cut}");
            assert_ne!(cut, text(&(long + "y")));
        }
        let many = evidence(&json!({ "people": vec!["Ada"; 10_000] }));
        assert_eq!(
            (many["people"].as_array().unwrap().len(), &many["people"][MEMBERS]),
            (1001, &json!("... (9000 more)"))
        );
        let wide = evidence(&json!(vec!["x".repeat(250); 1000]));
        assert!(wide["omitted"]["bytes"].as_u64().unwrap() > 200_000, "{wide}");
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = Value::Array(vec![deep]);
        }
        assert!(evidence(&deep).to_string().len() < 100);
    }
}
