//! The commands: what there is to say, its help, and its examples.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::args::{Catalogue, Demo, Download, Item, Labels, MarkArgs, Relabel};
use super::filter::{Filter, Publish, Span, Traits};
use super::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  relabeld demo                                   a tour with sample data
  relabeld serve --data-dir /var/lib/relabeld     the daemon
  relabeld import conversations.ndjson.gz         bring in what is to be labelled
  relabeld catalogue apply topics.json            say what to look for
  relabeld publish --from 30d --watch             relabel the last 30 days
  relabeld changes 1 > changes.csv                see what that did

Environment: RELABELD_URL, RELABELD_TOKEN_FILE, RELABELD_DATA_DIR, RELABELD_JSON, NO_COLOR.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 cannot reach the daemon, 5 refused.";

/// Reprocesses labelled conversations and notes when the rules change
#[derive(Debug, Parser)]
#[command(name = "relabeld", version, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// They stand before the command or after it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The daemon's address: http://HOST:PORT or unix:PATH
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// The file with the token to show it
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The daemon's directory, which has its address and tokens [default: $STATE_DIRECTORY, /var/lib/relabeld, or ~/.local/state/relabeld]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Answer with one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// Say nothing but the answer and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    #[default]
    Auto,
    Always,
    Never,
}

/// Every command but serve, demo, check, completions and man asks a running daemon over HTTP.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    #[command(
        after_help = "Every setting may also stand in the config file, or in the environment as RELABELD_ and its name in capitals.\nFlags win over the environment, the environment over the file."
    )]
    Serve(Settings),
    /// Show it all: sample data, a daemon, a catalogue, a job, the page
    Demo(Demo),
    /// Check the configuration and the database, and recount
    Check(Settings),

    /// Import conversations and notes: NDJSON, also gzipped; - is stdin
    #[command(
        after_help = "Import labels nothing, and repeating it is safe.\n\nExamples:\n  relabeld import conversations.ndjson.gz notes.ndjson\n  zstdcat old.zst | relabeld import -"
    )]
    Import {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Check each file first, and import nothing of it when a line is bad
        #[arg(long)]
        strict: bool,
    },
    /// Apply, show and try the rules
    #[command(
        subcommand,
        after_help = "Example:\n  relabeld catalogue show > c.json; $EDITOR c.json; relabeld catalogue apply c.json"
    )]
    Catalogue(Catalogue),
    /// Count the items that a filter selects
    #[command(after_help = "Example:\n  relabeld count --from 2026-01-01 --types notes --stale-only")]
    Count(Filter),
    /// Make a job that relabels items, and start it
    #[command(after_help = "\
Examples:
  relabeld publish --from 30d --programs billing --watch
  relabeld publish --from 2026-01-01 --stale-only --split
  relabeld publish --dry-run --keep-when-empty false --name 'mended refund'
  relabeld items 7 | relabeld publish --ids -")]
    Publish(Publish),
    /// Relabel one conversation or note, ahead of all jobs
    #[command(subcommand, after_help = "Example:\n  relabeld relabel note n-9 --version 3 --watch")]
    Relabel(Relabel),
    /// Show an item with its labels and marks
    Item(Item),
    /// Say that a topic is or is not on a block, against all rules
    #[command(after_help = "Example:\n  relabeld mark conversation fs-1 t1 0 refund is-not")]
    Mark(MarkArgs),
    /// Erase an item: text, labels, marks, history
    Erase {
        #[command(flatten)]
        item: Item,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },

    /// List the jobs
    Jobs {
        /// Only those in these states
        #[arg(long, value_name = "STATE,…")]
        state: Option<String>,
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Where the last list ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show a job
    Show { job: String },
    /// Show a job's progress until it ends
    #[command(
        after_help = "Exit status: 1 when the job failed, was cancelled, or left errors or quarantined items.\nItems without topics (no_topics_detected) are no errors."
    )]
    Watch { job: String },
    /// Hold a job; resume lets it go on
    Pause { job: String },
    /// Let a paused job go on
    Resume { job: String },
    /// End a job; what it did stays, and can be reverted
    Cancel { job: String },
    /// Run a job's errors and quarantined items again, with the rules of now
    Retry {
        job: String,
        /// Also the items in which no topics were detected
        #[arg(long)]
        no_topics_detected: bool,
        #[arg(long)]
        watch: bool,
    },
    /// Put back the labels that a job changed, wherever nothing has changed since
    Revert {
        job: String,
        #[arg(long)]
        watch: bool,
    },
    /// Make the changes that a dry run worked out
    Apply {
        job: String,
        #[arg(long)]
        watch: bool,
    },
    /// Remove a draft or an ended job with its history; labels stay
    Delete { job: String },
    /// Change a job, also while it runs
    #[command(
        after_help = "Example:\n  relabeld set 7 --max-per-second 200 --priority 5",
        mut_group("Traits", |changes| changes.required(true))
    )]
    Set {
        job: String,
        #[command(flatten)]
        traits: Traits,
    },
    /// Download a job's items with their outcomes
    Items {
        job: String,
        #[command(flatten)]
        download: Download,
    },
    /// Download the label changes of a job
    #[command(after_help = "Example:\n  relabeld changes 7 --change all --format ndjson -o changes.ndjson")]
    Changes {
        job: String,
        #[arg(long, value_name = "CHANGE", value_parser = ["added", "removed", "updated", "all"])]
        change: Option<String>,
        #[command(flatten)]
        download: Download,
    },

    /// Download all labels that stand, or all changes since a change number
    #[command(after_help = "Example:\n  relabeld labels --from 7d --topics refund,cancel > labels.csv")]
    Labels(Labels),
    /// How many items carry each topic, and how many the rules of now have not read
    Topics(Span),
    /// How the daemon is
    Status,
    /// Print a URL that opens the page, once
    Login {
        /// For looking only
        #[arg(long)]
        read: bool,
    },
    /// Replace a token
    #[command(subcommand)]
    Token(Token),

    /// Print the completions of a shell
    #[command(after_help = "Example:\n  relabeld completions bash > /etc/bash_completion.d/relabeld")]
    Completions { shell: Shell },
    /// Print the manual page of relabeld or of one of its commands
    #[command(after_help = "Example:\n  relabeld man publish | man -l -")]
    Man { command: Vec<String> },
}

#[derive(Debug, Clone, Subcommand)]
pub enum Token {
    /// End the old one and its sessions at once
    Rotate {
        /// Its file's name: token, token.read or token.metrics
        name: String,
    },
}
