//! JSON values as they were computed: a 32-bit float keeps its shortest decimal form (0.3, not 0.30000001192092896).
//!
//! `serde_json` holds every float of a value in 64 bits, and so writes an f32 with digits that nobody computed. Written
//! directly, as a structure's field, it is short; so it is here.

use serde_json::{Number, Value};

/// The same value with each float that is exactly a 32-bit one in that one's shortest form. Others are left as they
/// are: a 64-bit result is one of the 32-bit floats by chance once in half a billion times, and then moves by less
/// than its ten-millionth part.
pub(crate) fn shortened(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::Number(short(number)),
        Value::Array(items) => items.into_iter().map(shortened).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, shortened(value))).collect(),
        other => other,
    }
}

fn short(number: Number) -> Number {
    let exact = number.as_f64().filter(|long| f64::from(*long as f32) == *long);
    let short = exact.and_then(|long| (long as f32).to_string().parse().ok()).and_then(Number::from_f64);
    short.unwrap_or(number)
}

/// `serde_json`'s macro of that name, without the noise. Every value of the crate is made with this one.
macro_rules! json {
    ($($member:tt)*) => { $crate::json::shortened(::serde_json::json!($($member)*)) };
}
pub(crate) use json;

#[cfg(test)]
mod tests {
    #[derive(serde::Serialize)]
    struct Measured {
        single: f32,
        double: f64,
    }

    #[test]
    fn floats_are_written_as_short_as_they_are() {
        let measured = Measured { single: 0.3, double: 0.1 + 0.2 };
        assert_eq!(
            json!({ "near": 0.3f32, "all": [measured], "rate": 1e-3, "count": 7, "name": "0.30000001192092896" })
                .to_string(),
            r#"{"all":[{"double":0.30000000000000004,"single":0.3}],"count":7,"name":"0.30000001192092896","near":0.3,"rate":0.001}"#
        );
        for bits in (0..u32::MAX).step_by(7_654_321) {
            let float = f32::from_bits(bits);
            let written = json!(float).to_string();
            match float.is_finite() {
                true => assert_eq!(written.parse::<f32>().unwrap().to_bits(), bits, "{written}"),
                false => assert_eq!(written, "null"),
            }
        }
    }
}
