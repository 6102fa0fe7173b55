//! What can be said about the photo library.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

use super::names::name;
use super::numbers::within;
use super::place::Place;

#[derive(Debug, Group)]
pub(in crate::cli) struct LibraryArgs {
    #[command(subcommand)]
    pub action: LibraryAction,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LibraryAction {
    /// Bring the library up to what is in these folders: new, changed, moved and deleted photos
    Add {
        /// Folders of photos, with all that are in them
        #[arg(required = true, value_name = "FOLDER")]
        folders: Vec<PathBuf>,
        /// Go on, and look for changes again and again, until interrupted
        #[arg(long)]
        watch: bool,
        /// With --watch: seconds between two looks
        #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = within(0.1, 86_400.0))]
        every: f64,
        /// Look again at photos that could not be read before
        #[arg(long)]
        again: bool,
    },
    /// List the photos, by when they were taken
    List,
    /// Forget photos under these folders; the files stay
    Remove {
        /// Folders or photos
        #[arg(value_name = "PATH", required_unless_present = "missing")]
        paths: Vec<PathBuf>,
        /// Forget photos that are not where they were any more
        #[arg(long)]
        missing: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Leave the bytes of what is forgotten in the files until something else rewrites them: faster
        #[arg(long)]
        no_scrub: bool,
    },
    /// List pictures that are saved more than once: copies, and the same picture compressed again or made smaller
    Duplicates,
    /// Say what the library holds
    Status,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Cluster {
    #[command(subcommand)]
    pub action: Option<ClusterAction>,
    /// Group faces that are too small, blurred, dark or turned away, too: they are easily taken for somebody else
    #[arg(long)]
    pub poor_faces: bool,
    /// Write a contact sheet of the groups here
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ClusterAction {
    /// List the groups as they were found last
    List,
    /// List the faces of a group, and the photos that they are in
    Show {
        /// Number or name of the group
        #[arg(value_parser = name())]
        group: String,
    },
    /// Say whose a group is
    Name {
        /// Number or name of the group; the name itself with --face
        #[arg(value_parser = name())]
        group: String,
        /// The name
        #[arg(value_parser = name(), required_unless_present = "face")]
        name: Option<String>,
        /// Say whose one face is, in a group or not
        #[arg(long, value_name = "FACE", conflicts_with = "name")]
        face: Option<u64>,
        /// Where another group has the name, it is the same person: make the two one
        #[arg(long, conflicts_with = "face")]
        merge: bool,
    },
    /// Take a group's name away; its faces stay together
    Unname {
        /// Number or name of the group
        #[arg(value_parser = name())]
        group: String,
    },
    /// Make two groups one
    Merge {
        /// Who is no more then
        #[arg(value_parser = name())]
        from: String,
        /// Who has the faces of both then
        #[arg(value_parser = name())]
        into: String,
    },
    /// Say that two groups are two people's, for ever
    Different {
        /// Number or name of a group
        #[arg(value_parser = name())]
        one: String,
        /// Number or name of another
        #[arg(value_parser = name())]
        other: String,
    },
    /// Is this the same person? List the most doubtful pairs of groups, to be answered by `merge` or `different`
    Questions {
        /// List at most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = within(1usize, 100_000))]
        most: usize,
    },
    /// Take faces out of a group for ever: they are another person's, a group of their own
    Split {
        /// Number or name of the group
        #[arg(value_parser = name())]
        group: String,
        /// Numbers of the faces
        #[arg(required = true, value_name = "FACE")]
        faces: Vec<u64>,
    },
    /// A face is not the person's in whose group it is
    NotPerson {
        /// Number of the face
        face: u64,
    },
    /// What was found is no face
    NotFace {
        /// Number of the face
        face: u64,
        /// It is one after all
        #[arg(long)]
        undo: bool,
    },
    /// List what was said to be no face
    NoFaces,
    /// Leave a group out of lists
    Hide {
        /// Number or name of the group
        #[arg(value_parser = name())]
        group: String,
        /// Show it again
        #[arg(long)]
        undo: bool,
    },
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Find {
    /// Number or name of the group
    #[arg(value_parser = name())]
    pub person: String,
    /// Only photos that this one is in, too (may be said again)
    #[arg(long, value_name = "PERSON", value_parser = name())]
    pub with: Vec<String>,
    /// Taken in this year, month or day, or later: 2024, 2024-05, 2024-05-31
    #[arg(long, value_name = "DATE")]
    pub from: Option<String>,
    /// Taken in this year, month or day, or earlier
    #[arg(long, value_name = "DATE")]
    pub to: Option<String>,
    /// Put links to the photos into this folder
    #[arg(long, short, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
    /// Write a contact sheet of the photos here
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}
