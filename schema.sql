-- The map of relabeld's data: one SQLite file holds all of it.
--
-- Times are milliseconds since 1970-01-01T00:00:00Z. Words of states are stored as contract words. Numbers stand for
-- ids (`program`, `topic`, `phrase`, `shape`) where a row of every item or label would otherwise repeat a string.
--
-- How the queue lies: a job's frozen list is cut into chunks, one row each. A lease takes the next items of a chunk and
-- changes that one row. What comes of them is one `result` row a lease, with an entry an item. Only an item that met
-- trouble (an error, a retry, a crash) gets a row of its own, in `task`. So the cost of a lease does not grow with the
-- queue, and a finished task takes a few bytes.
--
-- Packed columns (BLOB) hold LEB128 varints, signed ones zigzagged. src/store/codec.rs is their only reader and writer;
-- `relabeld check` decodes them all.
--
-- `sum` is the CRC-32 of the other columns of its row (src/store/sums.rs), NULL where the row was last written before
-- schema 4. Tables without it hold what `relabeld check` can count again or derive from other tables.

CREATE TABLE daemon (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  -- Starts so far. A lease names the epoch that took it; one of an older epoch is void.
  epoch   INTEGER NOT NULL,
  -- The last number that `change` had given out, and the highest that was pruned, when something was pruned last: a
  -- number is never given twice, and who follows the feed from before a gap is told.
  last_change   INTEGER NOT NULL DEFAULT 0,
  pruned_change INTEGER NOT NULL DEFAULT 0,
  sum INTEGER
) STRICT;

-- Interned words -----------------------------------------------------------------------------------------------------

CREATE TABLE program (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  sum INTEGER
) STRICT;

CREATE TABLE topic (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  sum INTEGER
) STRICT;

CREATE TABLE phrase (
  no   INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE,
  sum INTEGER
) STRICT;

-- What many items have in common. A filter is decided once a shape, not once an item.
CREATE TABLE shape (
  no        INTEGER PRIMARY KEY,
  kind      TEXT NOT NULL CHECK (kind IN ('conversation', 'note')),
  -- '' for notes, so that UNIQUE sees them as equal.
  media     TEXT NOT NULL,
  -- JSON array of program ids, sorted, never empty.
  programs  TEXT NOT NULL,
  -- JSON array of the transcripts' languages, sorted.
  languages TEXT NOT NULL,
  -- Items of this shape that there are now.
  items     INTEGER NOT NULL DEFAULT 0 CHECK (items >= 0),
  sum INTEGER,
  UNIQUE (kind, media, programs, languages)
) STRICT;

-- Items --------------------------------------------------------------------------------------------------------------

-- Every key that was ever imported or named. An erased item keeps its row with `at` NULL: jobs may still name its key,
-- and its edition must not start again from one.
CREATE TABLE item (
  no          INTEGER PRIMARY KEY,
  kind        TEXT    NOT NULL CHECK (kind IN ('conversation', 'note')),
  id          TEXT    NOT NULL,
  -- Contents this key has had. A reading is committed only onto the edition that was read.
  edition     INTEGER NOT NULL,
  -- The edition since which a labeller sees the same: a job is taken back only where it read this text.
  text_since  INTEGER NOT NULL DEFAULT 1,
  at          INTEGER,
  shape       INTEGER REFERENCES shape (no),
  -- Of a note; only the latest is kept.
  version     INTEGER,
  -- Bytes of `body.content`: how much work it is to read.
  size        INTEGER NOT NULL DEFAULT 0,
  -- 1 when `mark` has rows of it: spares every commit a look there.
  marked      INTEGER NOT NULL DEFAULT 0 CHECK (marked IN (0, 1)),
  -- JSON array of every transcript id the item ever had. It only grows until the item is erased: labels and
  -- history name transcripts by ordinal.
  transcripts TEXT    NOT NULL DEFAULT '[]',
  CHECK ((at IS NULL) = (shape IS NULL))
) STRICT;

-- The items by their keys, for which a hash stands (src/store/keys.rs): a fifth of an index of the keys themselves. A key
-- stands once, as the writer looks before it inserts.
CREATE TABLE key (
  hash INTEGER NOT NULL,
  item INTEGER NOT NULL,
  PRIMARY KEY (hash, item)
) STRICT, WITHOUT ROWID;

-- Where keys come in first, and where they are next. Keys come in any order, and straight into a large index each would
-- change a page of its own; from here many that lie together are moved on at a time.
CREATE TABLE new_key (
  hash INTEGER NOT NULL,
  item INTEGER NOT NULL,
  PRIMARY KEY (hash, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE recent_key (
  hash INTEGER NOT NULL,
  item INTEGER NOT NULL,
  PRIMARY KEY (hash, item)
) STRICT, WITHOUT ROWID;

CREATE INDEX item_by_time ON item (at, no, shape, size) WHERE at IS NOT NULL;

-- The text, apart from `item` so that planning and counting never page it in.
CREATE TABLE body (
  item    INTEGER PRIMARY KEY REFERENCES item (no),
  content BLOB NOT NULL,
  -- Also of transcripts and version in `item`: an import writes both rows together.
  sum INTEGER
) STRICT;

-- What was made of an item: a row since it was first read or marked.
CREATE TABLE reading (
  item   INTEGER PRIMARY KEY REFERENCES item (no),
  -- Per program the revision that read the item last. The revision says by which topics and which labeller.
  fresh  BLOB NOT NULL,
  -- The labels that stand, by place, at most one a (block, topic).
  labels BLOB NOT NULL,
  -- Numbers of the changes on it, some of which may be pruned by now: erasing the item takes them out of `change`.
  changes BLOB NOT NULL,
  sum INTEGER
) STRICT;

-- A person's word on a (block, topic). Jobs read marks and never write them.
CREATE TABLE mark (
  item       INTEGER NOT NULL REFERENCES item (no),
  transcript INTEGER NOT NULL,
  block      INTEGER NOT NULL,
  topic      INTEGER NOT NULL REFERENCES topic (no),
  mark       TEXT    NOT NULL CHECK (mark IN ('is', 'is_not')),
  sum INTEGER,
  PRIMARY KEY (item, transcript, block, topic)
) STRICT, WITHOUT ROWID;

-- History: what was committed of a lease at once, old and new of each label that it changed; or what an import, a mark or
-- an erasure changed on one item. It is also the change feed. Each item's part has a number of its own; numbers only grow,
-- and all of a row are above those of the row before it.
CREATE TABLE change (
  -- The number of its last entry.
  no       INTEGER PRIMARY KEY,
  -- NULL where an import or a mark changed labels.
  job      INTEGER,
  revision INTEGER,
  at       INTEGER NOT NULL,
  -- Per item: number, item, edits. Those of an erased item are not there any more.
  entries  BLOB NOT NULL,
  sum INTEGER
) STRICT;

-- What a dry run would have changed, a row an item: never part of the feed.
CREATE TABLE dry_change (
  -- AUTOINCREMENT: results keep the number of a row that went with its item, so no other may get it.
  no    INTEGER PRIMARY KEY AUTOINCREMENT,
  item  INTEGER NOT NULL REFERENCES item (no),
  job   INTEGER NOT NULL,
  at    INTEGER NOT NULL,
  edits BLOB NOT NULL,
  sum INTEGER
) STRICT;

CREATE INDEX dry_change_by_item ON dry_change (item);

-- How many items and blocks of a day (of `item.at`, UTC, since 1970-01-01) carry a topic. Changed with the labels.
CREATE TABLE topic_day (
  topic  INTEGER NOT NULL REFERENCES topic (no),
  day    INTEGER NOT NULL,
  items  INTEGER NOT NULL CHECK (items >= 0),
  blocks INTEGER NOT NULL CHECK (blocks >= 0),
  PRIMARY KEY (topic, day)
) STRICT, WITHOUT ROWID;

-- Catalogue ----------------------------------------------------------------------------------------------------------

CREATE TABLE revision (
  no         INTEGER PRIMARY KEY,
  applied_at INTEGER NOT NULL,
  -- Name and version of the labeller that the revision was made for.
  labeller   TEXT NOT NULL,
  -- As JSON, in the form in which it is applied.
  catalogue  TEXT NOT NULL,
  sum INTEGER
) STRICT;

-- Per revision and program: do two revisions read alike?
CREATE TABLE ruleset (
  revision INTEGER NOT NULL REFERENCES revision (no),
  program  INTEGER NOT NULL REFERENCES program (no),
  -- Of the program's topics as they read, and of the labeller's version.
  hash     INTEGER NOT NULL,
  PRIMARY KEY (revision, program)
) STRICT, WITHOUT ROWID;

-- Every topic that a program ever had, since the first revision in which it had it.
CREATE TABLE held (
  program INTEGER NOT NULL REFERENCES program (no),
  topic   INTEGER NOT NULL REFERENCES topic (no),
  since   INTEGER NOT NULL,
  PRIMARY KEY (program, topic)
) STRICT, WITHOUT ROWID;

-- How many items of a program were last read by which revision (0: by none). Changed with the readings themselves.
CREATE TABLE coverage (
  program  INTEGER NOT NULL REFERENCES program (no),
  revision INTEGER NOT NULL,
  items    INTEGER NOT NULL CHECK (items >= 0),
  PRIMARY KEY (program, revision)
) STRICT, WITHOUT ROWID;

-- The queue ----------------------------------------------------------------------------------------------------------

CREATE TABLE job (
  -- AUTOINCREMENT: labels keep the number of a job that was deleted, so no other may get it.
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  kind           TEXT    NOT NULL CHECK (kind IN ('range', 'list', 'single', 'retry', 'revert')),
  name           TEXT,
  description    TEXT,
  state          TEXT    NOT NULL CHECK (state IN ('draft', 'queued', 'planning', 'running', 'paused', 'cancelling',
                                                   'completed', 'completed_with_failures', 'failed', 'cancelled')),
  -- Where a paused job resumes to.
  paused_from    TEXT    CHECK (paused_from IN ('queued', 'planning', 'running')),
  lane           TEXT    NOT NULL CHECK (lane IN ('live', 'bulk')),
  priority       INTEGER NOT NULL CHECK (priority BETWEEN 1 AND 100),
  max_per_second REAL    CHECK (max_per_second > 0),
  -- 1: everything as it would be, and no label written.
  dry_run        INTEGER NOT NULL DEFAULT 0 CHECK (dry_run IN (0, 1)),
  -- As JSON, in the form of src/job.rs.
  filter         TEXT    NOT NULL,
  -- Of a draft of a range: `from` and `until` as they were asked for, JSON. Spans count back from its publishing.
  span           TEXT,
  -- 1: make as many jobs as it takes.
  split          INTEGER NOT NULL DEFAULT 0 CHECK (split IN (0, 1)),
  -- The rules, frozen when it was published. NULL where no rules are used: a draft, a revert.
  revision       INTEGER REFERENCES revision (no),
  -- The job that it retries, takes back or applies; that one may be deleted by now.
  parent         INTEGER,
  -- The job whose changes it takes back. The frozen list then names positions of that job.
  reverts        INTEGER,
  -- Of a dry run: the job that applied it.
  applied_by     INTEGER,
  -- What the publisher sent with it, so that a repeated request makes no second job.
  request_key    TEXT,
  request_hash   BLOB,
  -- The first job of the group that a split made.
  leader         INTEGER REFERENCES job (id),
  -- How far planning has come through item_by_time, and where another job of the group goes on.
  plan_at        INTEGER,
  plan_item      INTEGER,
  plan_end_at    INTEGER,
  plan_end_item  INTEGER,
  -- Chunk rows; 0 once they are pruned.
  chunks         INTEGER NOT NULL DEFAULT 0,
  planned        INTEGER NOT NULL DEFAULT 0,
  -- Bytes of text, and a share for each item, of the whole list; and of the tasks that ended.
  weight         INTEGER NOT NULL DEFAULT 0,
  weight_done    INTEGER NOT NULL DEFAULT 0,
  -- Tasks by state: changed in the transaction that changes the tasks. NULL until planning ends.
  total          INTEGER,
  pending        INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
  running        INTEGER NOT NULL DEFAULT 0 CHECK (running >= 0),
  done           INTEGER NOT NULL DEFAULT 0,
  failed         INTEGER NOT NULL DEFAULT 0,
  quarantined    INTEGER NOT NULL DEFAULT 0,
  cancelled      INTEGER NOT NULL DEFAULT 0,
  -- Of those failed: all but the expected `no_topics_detected`.
  errors         INTEGER NOT NULL DEFAULT 0,
  labels_added   INTEGER NOT NULL DEFAULT 0,
  labels_removed INTEGER NOT NULL DEFAULT 0,
  labels_updated INTEGER NOT NULL DEFAULT 0,
  labels_kept    INTEGER NOT NULL DEFAULT 0,
  created_by     TEXT    NOT NULL,
  created_at     INTEGER NOT NULL,
  published_at   INTEGER,
  started_at     INTEGER,
  finished_at    INTEGER,
  empty_because  TEXT,
  error          TEXT,
  -- How its last tasks ended, oldest first, a byte each (1: an error). NULL until the first error.
  recent         BLOB,
  -- When its list, its results and its history were pruned.
  pruned_at      INTEGER,
  -- 1: as good as gone; its rows go in small steps.
  deleted        INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
  sum INTEGER,
  CHECK ((state = 'paused') = (paused_from IS NOT NULL)),
  CHECK ((kind = 'revert') <= (reverts IS NOT NULL)),
  CHECK (revision IS NOT NULL OR reverts IS NOT NULL OR published_at IS NULL),
  CHECK (total IS NULL OR total = pending + running + done + failed + quarantined + cancelled),
  CHECK (total IS NOT NULL OR pending + running + done + failed + quarantined = 0),
  CHECK (finished_at IS NULL OR pending + running = 0)
) STRICT;

CREATE INDEX job_to_plan ON job (id) WHERE state IN ('queued', 'planning') AND lane = 'bulk';
CREATE INDEX job_bulk    ON job (id) WHERE state = 'running' AND lane = 'bulk';
CREATE INDEX job_live    ON job (id) WHERE state IN ('queued', 'running') AND lane = 'live' AND pending > 0;
CREATE INDEX job_group   ON job (leader) WHERE leader IS NOT NULL;
CREATE INDEX job_open    ON job (id) WHERE finished_at IS NULL;
CREATE INDEX job_revert  ON job (reverts) WHERE reverts IS NOT NULL AND finished_at IS NULL;
CREATE INDEX job_kept    ON job (finished_at) WHERE finished_at IS NOT NULL AND chunks > 0;
CREATE INDEX job_deleted ON job (id) WHERE deleted = 1;
CREATE UNIQUE INDEX job_request ON job (request_key) WHERE request_key IS NOT NULL;

-- Of a job: how many tasks by outcome, and how many by reason.
CREATE TABLE tally (
  job  INTEGER NOT NULL REFERENCES job (id),
  what TEXT    NOT NULL CHECK (what IN ('outcome', 'reason')),
  word TEXT    NOT NULL,
  n    INTEGER NOT NULL,
  PRIMARY KEY (job, what, word)
) STRICT, WITHOUT ROWID;

-- Of a job: what it did, or would have done, to the labels of each topic.
CREATE TABLE job_topic (
  job     INTEGER NOT NULL REFERENCES job (id),
  topic   INTEGER NOT NULL REFERENCES topic (no),
  added   INTEGER NOT NULL,
  removed INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  sum INTEGER,
  PRIMARY KEY (job, topic)
) STRICT, WITHOUT ROWID;

-- A piece of a job's frozen list, and how far it has been worked off. At most one lease at a time.
CREATE TABLE chunk (
  job    INTEGER NOT NULL REFERENCES job (id),
  no     INTEGER NOT NULL,
  -- Position in the job of its first item, from 0.
  pos    INTEGER NOT NULL,
  n      INTEGER NOT NULL CHECK (n > 0),
  -- Of its items together, as job.weight.
  weight INTEGER NOT NULL DEFAULT 0,
  -- Its first items that need no further lease of this chunk.
  done   INTEGER NOT NULL DEFAULT 0,
  -- Items after those that are leased, by which epoch, under which number.
  leased INTEGER NOT NULL DEFAULT 0,
  epoch  INTEGER,
  lease  INTEGER,
  -- open: has items to lease; leased; closed: all are worked off.
  state  TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'leased', 'closed')),
  -- Per item its number (as a difference to the one before) and the version asked for (0: any, else version + 1); in a
  -- job that takes another back, its position there in place of the version.
  keys   BLOB    NOT NULL,
  sum INTEGER,
  PRIMARY KEY (job, no),
  CHECK (done + leased <= n),
  CHECK ((state = 'leased') = (lease IS NOT NULL AND epoch IS NOT NULL AND leased > 0)),
  CHECK ((state = 'closed') = (done = n))
) STRICT, WITHOUT ROWID;

CREATE INDEX chunk_open   ON chunk (job, no) WHERE state = 'open';
CREATE INDEX chunk_leased ON chunk (job, no) WHERE state = 'leased';

-- What came of the items [pos, pos + n) of a job, committed together.
CREATE TABLE result (
  job     INTEGER NOT NULL REFERENCES job (id),
  pos     INTEGER NOT NULL,
  n       INTEGER NOT NULL CHECK (n > 0),
  at      INTEGER NOT NULL,
  -- Per item: outcome, edition and version read, change number, freshness before and after; or a note that it has a `task` row.
  entries BLOB    NOT NULL,
  sum INTEGER,
  PRIMARY KEY (job, pos)
) STRICT, WITHOUT ROWID;

-- An item of a job that met trouble: it waits to be run again, or ended in an error.
CREATE TABLE task (
  job         INTEGER NOT NULL REFERENCES job (id),
  pos         INTEGER NOT NULL,
  item        INTEGER NOT NULL REFERENCES item (no),
  -- As in chunk.keys.
  asked       INTEGER,
  state       TEXT    NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed', 'quarantined', 'cancelled')),
  -- Attempts whose analysis began.
  attempts    INTEGER NOT NULL DEFAULT 0,
  -- Of those, the ones that ended in the death of the process with nothing else in flight.
  deaths      INTEGER NOT NULL DEFAULT 0,
  -- And the ones that ended in a death with others in flight: not charged, for nobody knows whose fault it was.
  uncharged   INTEGER NOT NULL DEFAULT 0,
  -- 1 when it was in flight at a death: it is run again with nothing beside it.
  suspect     INTEGER NOT NULL DEFAULT 0 CHECK (suspect IN (0, 1)),
  not_before  INTEGER NOT NULL,
  epoch       INTEGER,
  lease       INTEGER,
  reason      TEXT,
  error       TEXT,
  finished_at INTEGER,
  -- Once its item was read: as an entry of result.
  entry       BLOB,
  sum INTEGER,
  PRIMARY KEY (job, pos),
  CHECK ((state = 'running') = (lease IS NOT NULL AND epoch IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX task_due     ON task (job, not_before, pos) WHERE state = 'pending';
CREATE INDEX task_suspect ON task (job, pos) WHERE state = 'pending' AND suspect = 1;
CREATE INDEX task_running ON task (job, pos) WHERE state = 'running';
