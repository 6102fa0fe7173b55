//! Where and with what a report was measured.

use serde::Serialize;

use crate::engine::Engine;

/// Program and machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// This program's version.
    pub kith: &'static str,
    /// The processor, as the system names it.
    pub processor: String,
    /// Threads that the program ran on.
    pub threads: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Where the networks ran.
    pub device: String,
    /// The numbers that the embedder's large convolutions were computed in.
    pub precision: &'static str,
}

impl Machine {
    /// This program and machine, with the engine's device.
    pub fn of(engine: &Engine) -> Self {
        Self {
            kith: env!("CARGO_PKG_VERSION"),
            processor: processor().unwrap_or_else(|| "unknown processor".to_string()),
            threads: rayon::current_num_threads(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            device: engine.device(),
            precision: engine.precision(),
        }
    }
}

/// Linux names it in a file; other systems do not.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name") || l.starts_with("Processor"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}
