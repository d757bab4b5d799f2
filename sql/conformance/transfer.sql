-- txkv_export and txkv_import: a store as a script, as CSV, as JSON lines, and back.
.mode list
.nullvalue NULL
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
CREATE VIRTUAL TABLE temp.staff USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, name TEXT NOT NULL, wage REAL, UNIQUE(name), INDEX(wage), sync=normal);
CREATE VIRTUAL TABLE temp.notes USING txkv('@DIR@/store', a, "rowid", b TEXT);
INSERT INTO kv VALUES(1, 'one'), (2.0, 'it''s'), (-0.0, x'00ff'), ('n' || char(0), NULL), (x'6b', 9e999), (9223372036854775807, 1e-300);
INSERT INTO staff VALUES(1, 'Ann', 9), (2, 'Bob "B"', 7.1), (5, '', NULL);
INSERT INTO notes(_rowid_, a, "rowid", b) VALUES(7, 1, '1', '1'), (-3, CAST(x'ff' AS TEXT), NULL, 'two' || char(10) || 'lines');
-- the whole store as a script: keys, indexes, options and rowids
SELECT txkv_export('@DIR@/store', '@DIR@/all.sql', 'dir=''@DIR@/from a script''');
CREATE TABLE text(line);
.separator "\037" "\n"
.import @DIR@/all.sql text
.separator "|" "\n"
SELECT substr(line, 1, 200) FROM text;
DROP TABLE kv;
DROP TABLE staff;
DROP TABLE notes;
.read '@DIR@/all.sql'
SELECT txkv_export('@DIR@/store', '@DIR@/1.jsonl'), txkv_export('@DIR@/from a script', '@DIR@/2.jsonl');
.shell cmp 1.jsonl 2.jsonl && cat 1.jsonl
SELECT txkv_check('@DIR@/from a script') ->> 'problem_count';
-- JSON lines: the tables are made
SELECT txkv_import('@DIR@/from json', '@DIR@/1.jsonl', 'create=yes');
SELECT txkv_export('@DIR@/from json', '@DIR@/3.jsonl');
.shell cmp 1.jsonl 3.jsonl && echo the same
SELECT name, columns, rows FROM txkv_tables('@DIR@/from json');
-- CSV: a table, into one that is there
SELECT txkv_export('staff', '@DIR@/staff.csv'), txkv_export('@DIR@/store', '@DIR@/notes.csv', 'table=notes null=NULL');
.shell sed -n l staff.csv notes.csv
DELETE FROM staff WHERE id < 5;
SELECT txkv_import('staff', '@DIR@/staff.csv');
SELECT txkv_import('staff', '@DIR@/staff.csv', 'conflict=ignore');
SELECT id, quote(name), wage FROM staff WHERE wage > 0 ORDER BY wage;
-- and into a new one
SELECT txkv_import('@DIR@/from csv', '@DIR@/notes.csv', 'create=yes table=notes null=NULL columns=''a, "rowid", b TEXT''');
SELECT key, row FROM txkv_scan('@DIR@/from csv', 'notes');
-- rows alone
SELECT txkv_export('staff', '@DIR@/staff.jsonl', 'plain=yes');
.shell cat staff.jsonl
SELECT txkv_import('@DIR@/from csv', '@DIR@/staff.jsonl', 'plain=yes table=staff columns=''id INTEGER PRIMARY KEY, name TEXT, wage''');
-- a transaction that is not committed is not in it, and is not in the way
BEGIN;
INSERT INTO kv VALUES('open', 1);
SELECT txkv_export('kv', '@DIR@/kv.csv', 'overwrite=no');
SELECT txkv_import('kv', '@DIR@/kv.csv', 'conflict=replace');
COMMIT;
SELECT count(*) FROM kv;
-- mistakes
SELECT txkv_export('kv', '@DIR@/kv.csv');
SELECT txkv_export('@DIR@/store', '@DIR@/x.csv');
SELECT txkv_export('@DIR@/store', '@DIR@/x.csv', 'table=nowhere');
SELECT txkv_export('@DIR@/store', '@DIR@/x');
SELECT txkv_export('@DIR@/nowhere', '@DIR@/x.csv');
SELECT txkv_export('kv', NULL);
SELECT txkv_export('kv', '@DIR@/x.csv', 'conflict=replace');
SELECT txkv_export('kv');
SELECT txkv_import('staff', '@DIR@/staff.csv');
SELECT txkv_import('kv', '@DIR@/1.jsonl', 'table=nothing');
SELECT txkv_import('@DIR@/nowhere', '@DIR@/1.jsonl');
SELECT txkv_import('@DIR@/store', '@DIR@/kv.csv');
CREATE VIEW v AS SELECT txkv_export('kv', '@DIR@/x.csv');
SELECT * FROM v;
-- nothing is left over
.shell ls
