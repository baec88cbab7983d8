//! The commands: what there is to say, its help, and its examples.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::args::{Catalogue, Demo, Download, Item, Job, Labels, MarkArgs, Relabel, STATES, Token, Which, whole};
use super::filter::{Filter, Span};
use super::pages;
use super::settings::Settings;
use super::wish::{Again, Apply, Publish, Retry, Set};

const EXAMPLES: &str = "\
Examples:
  relabeld demo                             a tour with sample data; needs nothing else
  relabeld serve                            the daemon, which the other commands ask
  relabeld import conversations.ndjson.gz   bring in what is to be labelled
  relabeld catalogue apply topics.json      say what to look for
  relabeld publish --from 30d --watch       relabel the last 30 days
  relabeld changes 1 > changes.csv          see what job 1 did

Environment: RELABELD_URL, RELABELD_TOKEN_FILE, RELABELD_DATA_DIR, RELABELD_JSON (each as the flag), NO_COLOR.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 cannot reach the daemon, 5 refused.";

/// Reprocesses labelled conversations and notes when the rules change
#[derive(Debug, Parser)]
#[command(name = "relabeld", version, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 120)]
#[command(help_template = pages::overview())]
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
    /// The file with the token for --url; with --data-dir it is found there
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The daemon's directory, which has its address and tokens [default: $STATE_DIRECTORY, /var/lib/relabeld, or ~/.local/state/relabeld]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Answer with one JSON document, for scripts
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// Print the answer and errors, no progress and no hints
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

/// Every command but serve, demo, check, restore, completions and man asks a running daemon over HTTP.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    #[command(after_help = "\
Every setting may also stand in the config file (max_attempts = 5) or in the environment (RELABELD_MAX_ATTEMPTS=5).
Flags win over the environment, the environment over the file.

Examples:
  relabeld serve
  relabeld serve --data-dir ./data --listen 127.0.0.1:0     a free port, see ./data/address
  relabeld serve --socket /run/relabeld/relabeld.sock")]
    Serve(Settings),
    /// A tour: sample data, a daemon of its own, a catalogue, a job, its result, the page
    #[command(
        after_help = "Everything lies in a scratch directory that goes with the demo.\n\nExamples:\n  relabeld demo\n  relabeld demo --exit --conversations 500"
    )]
    Demo(Demo),
    /// Check the settings and, while no daemon runs, the database: a full recount
    #[command(
        after_help = "Nothing is written: the data directory stays as it is. A database of an older relabeld is refused: the next start of the daemon brings it up to date.\n\nWith --json: {\"config\": \"ok\", \"database\", \"faults\"}. The database is \"ok\", \"faulty\", or null where the directory was never used. A database that is missing although the directory was used before is \"faulty\". Exit code 1 with any fault.\n\nExample:\n  relabeld check --data-dir /var/lib/relabeld"
    )]
    Check(Settings),

    /// Import conversations and notes: NDJSON, also gzipped; - is stdin
    #[command(after_help = "\
A line is one conversation or one note:
  {\"kind\":\"conversation\",\"id\":\"fs-1\",\"media\":\"voice\",\"started_at\":\"2026-11-01T10:00:00Z\",
   \"programs\":[\"billing\"],\"transcripts\":[{\"id\":\"t1\",\"blocks\":[{\"speaker\":\"customer\",\"text\":\"…\"}]}]}
  {\"kind\":\"note\",\"id\":\"n-9\",\"version\":3,\"created_at\":\"2026-11-02T09:00:00Z\",\"text\":\"…\"}

Bad lines are named, and the others go in. Import labels nothing (publish does), and repeating it is safe.
What one that broke off had stored by then stays, with --strict too.

Examples:
  relabeld import conversations.ndjson.gz notes.ndjson
  zstdcat old.zst | relabeld import -
  relabeld import --strict notes.ndjson")]
    Import {
        /// NDJSON files, plain or gzipped; - is stdin
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Check a whole file first, and import nothing of it when a line is bad
        #[arg(long)]
        strict: bool,
    },
    /// Apply, show and try the rules: topics and their phrases
    #[command(
        subcommand,
        after_help = "Example:\n  relabeld catalogue show > c.json; $EDITOR c.json; relabeld catalogue apply c.json\n  relabeld publish --stale-only --from 1970-01-01 --watch"
    )]
    Catalogue(Catalogue),
    /// Count the items that a filter selects
    #[command(
        after_help = "Examples:\n  relabeld count --from 7d\n  relabeld count --from 2026-01-01 --types notes --stale-only"
    )]
    Count(Filter),
    /// Make a job that relabels the items of a time range, or of a list
    #[command(after_help = "\
The daemon does the job by itself, over restarts too; --watch only looks on.
A list may be what `relabeld items` or `changes` wrote. An item that is not there ends as gone.

Examples:
  relabeld publish --watch                                the last 30 days
  relabeld publish --from 7d --programs billing --name 'mended refund'
  relabeld publish --from 2026-01-01 --stale-only --split
  relabeld publish --keep-when-empty false --dry-run --watch && relabeld apply 7
  relabeld items 7 --state quarantined | relabeld publish --ids - --max-per-second 20
  relabeld publish --from 90d --draft; relabeld publish --job 8
  relabeld publish --from 1d --idempotency-key nightly-$(date -I)")]
    Publish(Publish),
    /// Relabel one conversation or note, ahead of all jobs
    #[command(
        subcommand,
        after_help = "Examples:\n  relabeld relabel conversation fs-1 --watch\n  relabeld relabel note n-9 --version 3"
    )]
    Relabel(Relabel),
    /// Show an item with its labels and marks
    #[command(after_help = "Examples:\n  relabeld item conversation fs-1\n  relabeld item note n-9 --json")]
    Item(Item),
    /// Say that a topic is or is not on a block, against all rules
    #[command(after_help = "Example:\n  relabeld mark conversation fs-1 t1 0 refund is-not")]
    Mark(MarkArgs),
    /// Erase an item for good: text, labels, marks, history
    #[command(
        after_help = "Jobs keep its key alone. An import of a file that still has it brings it in again.\n\nExample:\n  relabeld erase conversation fs-1 --yes"
    )]
    Erase {
        #[command(flatten)]
        item: Item,
        /// Do not ask; needed where there is no terminal to ask on
        #[arg(short, long)]
        yes: bool,
    },

    /// List the jobs, newest first
    #[command(after_help = "Examples:\n  relabeld jobs\n  relabeld jobs --state running --json")]
    Jobs {
        /// Only those in this state
        #[arg(long, value_name = "STATE", value_parser = STATES)]
        state: Option<String>,
        /// At most so many [default: 50]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: Option<u32>,
        /// Go on where a list ended, which names it
        #[arg(long, value_parser = whole::<u64>)]
        cursor: Option<u64>,
    },
    /// Show a job: its state, counts, outcomes, and what it did to each topic
    #[command(after_help = "Examples:\n  relabeld show 7\n  relabeld show 7 --json | jq .counts")]
    Show(Job),
    /// Show a job's progress until it ends
    #[command(after_help = "\
Ctrl-C ends the watching, not the job. A restart of the daemon is waited for.
Exit status: 1 when the job failed, was cancelled, or left errors or quarantined items.
Items in which no topic was found (no_topics_detected) are no errors.

Example:
  relabeld watch 7 && relabeld changes 7 > changes.csv")]
    Watch(Job),
    /// Hold a job; `resume` lets it go on
    #[command(after_help = "Example:\n  relabeld pause 7")]
    Pause(Job),
    /// Let a paused job go on where it was
    #[command(after_help = "Example:\n  relabeld resume 7")]
    Resume(Job),
    /// End a job for good; the labels that it wrote stay until `revert`
    #[command(after_help = "Example:\n  relabeld cancel 7")]
    Cancel(Job),
    /// Do again what went wrong in an ended job, with the rules of now
    #[command(after_help = "\
A new job takes the errors and the quarantined items; the old one stays as it is.

Examples:
  relabeld retry 7 --watch
  relabeld retry 7 --no-topics-detected --dry-run --watch     do the rules of now find more?")]
    Retry(Retry),
    /// Take back what an ended job changed, item by item
    #[command(after_help = "\
A new job does it, and can be reverted in its turn. Labels go back exactly to what they were.
An item that was changed since, by an import, a mark or a later job, is left (newer_change).
To undo several jobs, begin with the newest.

Examples:
  relabeld revert 7 --watch
  relabeld revert 7 --dry-run --watch && relabeld apply 8")]
    Revert(Again),
    /// Do in earnest what a dry run would do: the same items, by the same rules, once
    #[command(after_help = "\
The items are read anew. Refused when the rules that concern them have changed since.

Example:
  relabeld publish --from 7d --dry-run --watch && relabeld apply 7 --watch")]
    Apply(Apply),
    /// Change a job's name, or its priority and speed while it runs
    #[command(
        after_help = "Examples:\n  relabeld set 7 --max-per-second 50 --priority 80\n  relabeld set 7 --max-per-second none\n  relabeld set 7 --name 'mended refund'"
    )]
    Set {
        #[command(flatten)]
        job: Job,
        #[command(flatten)]
        set: Set,
    },
    /// Delete a draft or an ended job with its results and history; its labels stay
    #[command(after_help = "Example:\n  relabeld delete 7 --yes")]
    Delete {
        #[command(flatten)]
        job: Job,
        /// Do not ask; needed where there is no terminal to ask on
        #[arg(short, long)]
        yes: bool,
    },
    /// Download a job's items with their outcomes
    #[command(
        after_help = "Examples:\n  relabeld items 7 > items.csv\n  relabeld items 7 --state failed,quarantined --format ndjson"
    )]
    Items {
        #[command(flatten)]
        job: Job,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        download: Download,
    },
    /// Download the label changes of a job, or those that a dry run would make
    #[command(
        after_help = "Examples:\n  relabeld changes 7 > added.csv\n  relabeld changes 7 --change all --before --format ndjson -o changes.ndjson"
    )]
    Changes {
        #[command(flatten)]
        job: Job,
        /// Which changes [default: added]
        #[arg(long, value_name = "CHANGE", value_parser = ["added", "removed", "updated", "all"])]
        change: Option<String>,
        /// And what stood there before: old_phrase, old_score, old_start, old_end, old_job
        #[arg(long)]
        before: bool,
        #[command(flatten)]
        download: Download,
    },

    /// Download all labels that stand, or all changes since a change number
    #[command(
        after_help = "Examples:\n  relabeld labels --from 7d --topics refund,cancel > labels.csv\n  relabeld labels --since 120 --format ndjson     what changed after change 120"
    )]
    Labels(Labels),
    /// How many items carry each topic, and how many the rules of now have not read
    #[command(
        after_help = "NOT FRESH items are those, of all times, that `relabeld publish --stale-only` takes where --from and --until let it.\n\nExample:\n  relabeld topics --from 7d"
    )]
    Topics(Span),
    /// How the daemon is: version, queue, sizes
    #[command(after_help = "Examples:\n  relabeld status\n  relabeld status --json | jq .queue.bulk.pending")]
    Status,
    /// Print a URL that opens the page, once, within 10 minutes
    #[command(after_help = "Example:\n  xdg-open $(relabeld login -q)")]
    Login {
        /// For looking only: the page can change nothing
        #[arg(long)]
        read: bool,
    },
    /// Replace a token
    #[command(subcommand)]
    Token(Token),

    /// Copy the daemon's database, while it goes on, to FILE, which appears when it is whole
    #[command(after_help = "\
The copy is of one moment and holds all but the tokens; nothing waits for it. It needs the room of the database in the
daemon's data directory while it lasts, and comes with a digest that is checked. The token token.read is enough.

Examples:
  relabeld backup relabeld-$(date -I).db
  relabeld backup - | zstd | ssh box 'cat > relabeld.db.zst'
  relabeld backup --json --force latest.db")]
    Backup {
        /// Where to; - is stdout
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace FILE where it exists
        #[arg(long)]
        force: bool,
    },
    /// Make the database of a data directory from a backup, with no daemon running there
    #[command(after_help = "\
The backup is checked whole first: a full recount. A database that is there is never replaced: move it away.
Bulk jobs that had not ended come back paused, and `relabeld resume JOB` lets each go on where it was.
Tokens are not in a backup: the next start makes new ones, where there are none.
Who follows `relabeld labels --since` is told to begin anew, for the feed may have gone further than the backup.

Examples:
  relabeld restore relabeld-2026-11-20.db --data-dir /var/lib/relabeld
  ssh box relabeld backup - | relabeld restore - --data-dir ./data")]
    Restore {
        /// What `relabeld backup` wrote, plain or gzipped; - is stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },

    /// Print the completions of a shell
    #[command(after_help = "Example:\n  relabeld completions bash > /etc/bash_completion.d/relabeld")]
    Completions {
        /// Which one
        shell: Shell,
    },
    /// Print the manual page of relabeld or of one of its commands
    #[command(after_help = "Example:\n  relabeld man catalogue apply | man -l -")]
    Man {
        /// The words of a command
        command: Vec<String>,
    },
}
