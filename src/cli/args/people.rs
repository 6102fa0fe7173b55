//! What can be said about galleries and the people in them.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum};

use super::common::{Count, Stored};
use super::index::Way;
use super::names::{gate, label, name};
use super::numbers::{rate, within};
use super::place::Place;
use crate::error::Gate;
use crate::{EnrolOptions, FaceChoice, PersonFilter, SearchPolicy, Selection, TemplateRule};

/// How a gallery is searched.
#[derive(Debug, Group)]
pub(in crate::cli) struct Search {
    /// Share of strangers who may be taken for somebody in the gallery
    #[arg(long, value_name = "RATE", default_value_t = SearchPolicy::DEFAULT_FPIR, value_parser = rate)]
    pub max_fpir: f64,
    /// Bound the false-match rate of each comparison instead; the answer says what it makes of the search
    #[arg(long, value_name = "RATE", conflicts_with = "max_fpir", value_parser = rate)]
    pub max_fmr: Option<f64>,
    /// Decide at this distance between unit vectors instead (0 to 2)
    #[arg(long, value_name = "DISTANCE", conflicts_with_all = ["max_fpir", "max_fmr"])]
    pub threshold: Option<f32>,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Enroll {
    /// The person's name
    #[arg(required_unless_present = "dir", conflicts_with = "dir", value_parser = name())]
    pub name: Option<String>,
    /// Photos of the person
    #[arg(value_name = "IMG", required_unless_present = "dir", conflicts_with = "dir")]
    pub images: Vec<PathBuf>,
    /// Enrol a whole folder: one folder of photos for each person, or photos named NAME_0001.jpg. Names that a
    /// camera or a date makes (IMG_1234.jpg) are nobody's, and are told
    #[arg(long, value_name = "PEOPLE")]
    pub dir: Option<PathBuf>,
    /// Go on after an interruption. Photos that are enrolled already are passed over undecoded, with
    /// this or without
    #[arg(long, requires = "dir")]
    pub resume: bool,
    /// Where a photo shows several faces, take the largest instead of refusing
    #[arg(long)]
    pub largest: bool,
    /// Of a photo with several faces, take the one with this number in `kith identify`
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["dir", "largest"], value_parser = within(1usize, 99_999))]
    pub face: Option<usize>,
    #[command(flatten)]
    pub count: Count,
    /// Enrol in spite of these refusals
    #[arg(long, value_name = "REFUSAL", value_delimiter = ',', value_parser = gate())]
    pub allow: Vec<Gate>,
    /// Keep each face's chip and a thumbnail, which a change of model needs: about 40 to 55 KB a face, where its vector
    /// takes 1
    #[arg(long)]
    pub keep_chips: bool,
    /// Where this makes the gallery: how its vectors are stored. f16 takes half the space and moves
    /// distances by less than 0.001
    #[arg(long, value_enum, default_value = "f32")]
    pub store: Stored,
    /// Put the person into this group (may be said again)
    #[arg(long, value_name = "NAME", value_parser = name())]
    pub group: Vec<String>,
    /// Give the person this label (may be said again)
    #[arg(long, value_name = "KEY=VALUE", value_parser = label())]
    pub label: Vec<(String, String)>,
    #[command(flatten)]
    pub search: Search,
    #[command(flatten)]
    pub way: Way,
    #[command(flatten)]
    pub place: Place,
}

impl Enroll {
    pub(in crate::cli) fn options(&self) -> EnrolOptions {
        EnrolOptions {
            selection: match self.face {
                Some(number) => Selection { choice: FaceChoice::Number(number), ..self.count.selection(false) },
                None => self.count.selection(self.largest),
            },
            allow: self.allow.iter().copied().collect(),
            keep_chips: self.keep_chips,
            half: matches!(self.store, Stored::F16),
            search: SearchPolicy {
                max_fpir: self.search.max_fpir,
                max_fmr: self.search.max_fmr,
                threshold: self.search.threshold,
                ..SearchPolicy::default()
            },
            groups: self.group.clone(),
            labels: self.label.iter().cloned().collect(),
            ..EnrolOptions::default()
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Stand {
    /// A person's nearest face counts
    Best,
    /// The mean of a person's faces counts
    Mean,
}

impl Stand {
    pub(in crate::cli) fn by(self) -> TemplateRule {
        match self {
            Stand::Best => TemplateRule::Best,
            Stand::Mean => TemplateRule::Mean,
        }
    }
}

/// Who is meant.
#[derive(Debug, Group)]
pub(in crate::cli) struct Who {
    /// Only people in this group (said again: in all of them)
    #[arg(long, value_name = "NAME", value_parser = name())]
    pub group: Vec<String>,
    /// Only people with this label (said again: with all of them)
    #[arg(long, value_name = "KEY=VALUE", value_parser = label())]
    pub label: Vec<(String, String)>,
}

impl Who {
    pub(in crate::cli) fn filter(&self) -> PersonFilter {
        PersonFilter { groups: self.group.clone(), labels: self.label.iter().cloned().collect() }
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Identify {
    /// The photos
    #[arg(required = true, value_name = "IMG")]
    pub images: Vec<PathBuf>,
    /// Name at most this many people for each face
    #[arg(long, default_value_t = 3, value_name = "K", value_parser = within(1usize, 1_000_000))]
    pub top: usize,
    /// How a person's faces stand for the person
    #[arg(long, value_enum, default_value = "best")]
    pub by: Stand,
    /// Write the photo with names on its faces here; a folder when there are several photos
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub search: Search,
    #[command(flatten)]
    pub who: Who,
    #[command(flatten)]
    pub way: Way,
    #[command(flatten)]
    pub place: Place,
}

impl Identify {
    pub(in crate::cli) fn policy(&self) -> SearchPolicy {
        SearchPolicy {
            top: self.top,
            max_fpir: self.search.max_fpir,
            max_fmr: self.search.max_fmr,
            threshold: self.search.threshold,
            by: self.by.by(),
            filter: self.who.filter(),
        }
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct People {
    #[command(subcommand)]
    pub action: Option<PeopleAction>,
    #[command(flatten)]
    pub who: Who,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PeopleAction {
    /// A person and their faces
    Show {
        /// Who
        #[arg(value_parser = name())]
        name: String,
    },
    /// Give a person another name
    Rename {
        /// Who
        #[arg(value_parser = name())]
        name: String,
        /// The new name
        #[arg(value_parser = name())]
        to: String,
    },
    /// Make two people one. Where they are not alike, it asks first
    Merge {
        /// Who is no more
        #[arg(value_parser = name())]
        from: String,
        /// Who gets the faces, groups and labels
        #[arg(value_parser = name())]
        into: String,
        /// Do not ask, however far apart they are
        #[arg(long, short)]
        yes: bool,
    },
    /// Take a merge back: whoever was merged into a person has their faces, groups and labels again
    Split {
        /// Who has the faces
        #[arg(value_parser = name())]
        name: String,
        /// Who was merged into them; the last one, when not said
        #[arg(value_parser = name())]
        taken: Option<String>,
        /// What they are called now; their own name, when not said
        #[arg(long, value_name = "NAME", value_parser = name())]
        called: Option<String>,
    },
    /// Change a person's groups and labels
    Label {
        /// Who
        #[arg(value_parser = name())]
        name: String,
        /// Join a group (may be said again)
        #[arg(long, value_name = "GROUP", value_parser = name())]
        join: Vec<String>,
        /// Leave a group (may be said again)
        #[arg(long, value_name = "GROUP", value_parser = name())]
        leave: Vec<String>,
        /// Set a label (may be said again)
        #[arg(long, value_name = "KEY=VALUE", value_parser = label())]
        set: Vec<(String, String)>,
        /// Take a label off (may be said again)
        #[arg(long, value_name = "KEY", value_parser = name())]
        unset: Vec<String>,
    },
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Forget {
    /// Who
    #[arg(required_unless_present = "face", conflicts_with = "face", value_parser = name())]
    pub name: Option<String>,
    /// One face, by its number in `kith people show`
    #[arg(long, value_name = "ID")]
    pub face: Option<u64>,
    /// Do not rewrite the store's files. Faster on a large database; the forgotten bytes stay in its log
    /// until that is overwritten
    #[arg(long)]
    pub no_scrub: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Check {
    /// Remove what is damaged, say what was lost, and keep the rest
    #[arg(long)]
    pub repair: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct BackupArgs {
    /// The file to write
    pub file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    /// Of an encrypted database: copy its key ring here, in place of the copy that is there. A backup
    /// opens with the key and this alone. Keep one copy, the newest: whoever is forgotten drops out of it
    #[arg(long, value_name = "FILE")]
    pub ring: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct RestoreArgs {
    /// The backup
    pub file: PathBuf,
    /// Of an encrypted database: the newest copy of its key ring, or the ring in the living database
    #[arg(long, value_name = "FILE")]
    pub ring: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}
