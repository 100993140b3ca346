#!/bin/sh
# sh migrate.sh shop.db: changes the database while nobody uses it, and no client gets an error. What follows the file's name is for drover,
# to find the cluster: --socket PATH or --config FILE.
set -eu
db=$1
shift

# Every new request waits from here on; it returns when those inside have been answered. Should this script hang, they wait no longer than 30 s.
drover hold shop --max 30s "$@"
# Whatever becomes of the migration, the requests go on.
trap 'drover resume shop "$@"' EXIT

python3 - "$db" <<'END'
import sqlite3
import sys

db = sqlite3.connect(sys.argv[1], isolation_level="EXCLUSIVE")  # nobody else can read or write meanwhile
db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.executescript("""
    BEGIN EXCLUSIVE;
    CREATE TABLE IF NOT EXISTS things (name TEXT);
    ALTER TABLE things RENAME TO old_things;
    CREATE TABLE things (name TEXT PRIMARY KEY);
    INSERT OR IGNORE INTO things SELECT name FROM old_things;
    INSERT OR IGNORE INTO things VALUES ('a new one');
    DROP TABLE old_things;
    COMMIT;
""")
END
