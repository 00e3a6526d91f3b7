-- The state of one output folder. PRAGMA application_id and user_version are set beside it (store.c).
--
-- A row of `file` holds values only. Which columns those values belong to is its shape: files of one series
-- share one, so that the table's columns, and how often each is filled, come from a few shapes instead of from
-- all values. Paths are BLOBs: they sort by byte, and may hold any byte but NUL.
-- The reading order of every table of ours is that of the paths, so nothing here depends on arrival.

CREATE TABLE fact(
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Ids are dense, from 1. The first three stand behind the cells of every row.
CREATE TABLE column_name(
    id   INTEGER PRIMARY KEY,
    name BLOB NOT NULL
);
INSERT INTO column_name VALUES (1, CAST('file' AS BLOB)),
                               (2, CAST('has_pix_array' AS BLOB)),
                               (3, CAST('category' AS BLOB));

CREATE TABLE shape(
    id      INTEGER PRIMARY KEY,
    digest  BLOB NOT NULL UNIQUE, -- SHA-256 of `columns`
    columns BLOB NOT NULL         -- for each cell in order: varint of column id * 2, + 1 where the cell is empty
);

-- The large values stand last: a scan that does not read them does not load them.
CREATE TABLE file(
    id              INTEGER PRIMARY KEY,
    path            BLOB NOT NULL UNIQUE, -- below DICOMHome
    seq             INTEGER NOT NULL DEFAULT 0, -- of the task that made it what it is
    size            INTEGER NOT NULL,     -- of the DICOM file, bytes
    mtime           INTEGER NOT NULL,     -- of the DICOM file, nanoseconds since 1970
    status          INTEGER NOT NULL,     -- enum record_status
    category        INTEGER NOT NULL,     -- enum category
    pictures        INTEGER NOT NULL,     -- frames that have a PNG
    flags           INTEGER NOT NULL,     -- 1: has_pix_array, 2: category is "uncategorized"
    shape           INTEGER NOT NULL,
    code            TEXT NOT NULL,
    reason          TEXT NOT NULL,
    transfer_syntax TEXT NOT NULL,
    modality        TEXT NOT NULL,
    failed_copy     TEXT NOT NULL,        -- its copy below failed-dicom/; empty: none
    claim           TEXT, -- compatibility: the picture's name as the file would like it
    settled         TEXT, -- compatibility: the name its picture has got; NULL: still the worker's own
    planned         TEXT, -- compatibility: the name its picture is about to get
    frames          BLOB, -- store_internal.h
    cells           BLOB  -- for each non-empty cell in order: varint of its length, its bytes
);

-- Which tasks of the job at hand have been answered, a bit for each: UNIQUE(job, seq), at 12 bytes a hundred files.
CREATE TABLE answered(
    block INTEGER PRIMARY KEY, -- seq / 32768
    bits  BLOB NOT NULL        -- of seq % 32768; this machine's order, as frames
);

-- Pictures and copies that perhaps no file has any more: deleted when the job is completed, if so.
CREATE TABLE stale(
    path TEXT PRIMARY KEY
) WITHOUT ROWID;
