//! The guide: what the README has no room for, one page a topic.
//!
//! | page | what it answers |
//! | --- | --- |
//! | [`library`] | kith in your own program: features, and an example for each use |
//! | [`calibration`] | what a verdict, a threshold and a similarity mean, and how to measure them on your own photos |
//! | [`galleries`] | enrolling, identifying and forgetting people; what survives a crash; export, import, change of model |
//! | [`encryption`] | keys, backups, and what somebody learns who has which file |
//! | [`service`] | `kith serve`: keys, access decisions, settings, limits, audit log |
//! | [`compreface`] | programs written for CompreFace |
//! | [`evaluation`] | `kith eval` and `kith train`, with the accuracy measured |
//! | [`training`] | networks learnt from your own photos, and a model adapted to the people of a gallery |
//! | [`networks_and_performance`] | the networks, their licences, precisions, and speed beside other programs |
//! | [`photos`] | formats and bounds |
//! | [`photo_library`] | a photo library: scanning, people, names and corrections, finding photos |
//! | [`searching`] | exact scan and graph, with recall and speed beside other libraries |
//! | [`formats_on_disk`] | where each file format is written down, and why there is a journal beside sled |
//! | [`house`] | the layers of the code, and why each dependency is there |
//! | [`words`] | the project's words and the field's standard terms |
//!
//! The pages are Markdown files, readable where the sources are; `links.md` goes before each of them, so that in this
//! documentation their links lead from page to page instead of from file to file.

/// A page of the guide: a module with nothing in it but its documentation.
macro_rules! pages {
    ($($name:ident = $file:literal,)*) => {$(
        #[doc = include_str!("links.md")]
        #[doc = include_str!($file)]
        pub mod $name {}
    )*};
}

pages! {
    calibration = "calibration.md",
    galleries = "galleries.md",
    encryption = "encryption.md",
    service = "service.md",
    compreface = "compreface.md",
    evaluation = "evaluation.md",
    training = "training.md",
    networks_and_performance = "networks-and-performance.md",
    photos = "photos.md",
    photo_library = "photo-library.md",
    searching = "searching.md",
    formats_on_disk = "formats-on-disk.md",
    house = "house.md",
    words = "words.md",
}

/// A program with its source.
macro_rules! programs {
    ($($name:literal,)*) => {
        #[doc = include_str!("links.md")]
        #[doc = include_str!("library.md")]
        $(
            #[doc = concat!("\n## `", $name, "`\n\n```rust,ignore\n", include_str!(concat!("../../examples/", $name, ".rs")), "```")]
        )*
        pub mod library {}
    };
}

programs! {
    "compare",
    "enrol_and_identify",
    "verify_at_a_door",
    "live_batch",
    "custom_calibration",
    "train_a_network",
}

/// The README's example is compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
