-- What a txkv table does otherwise than a native one: each is a row of the table "What remains different" in
-- docs/sql-reference.md, in its order. differences.diff holds the lines in which the two outputs differ.
.print UPSERT, triggers, ALTER TABLE, RETURNING of UPDATE and DELETE
TABLE r(id INTEGER PRIMARY KEY, a TEXT UNIQUE, n INT);
INSERT INTO r VALUES(1, 'x', 1), (2, 'y', 2);
INSERT INTO r VALUES(3, 'x', 1) ON CONFLICT(a) DO UPDATE SET n = n + 1;
INSERT INTO r VALUES(3, 'x', 1) ON CONFLICT DO NOTHING;
UPDATE r SET n = 5 WHERE id = 2 RETURNING id, n;
DELETE FROM r WHERE id = 2 RETURNING id;
CREATE TEMP TRIGGER log AFTER INSERT ON r BEGIN SELECT 1; END;
ALTER TABLE r ADD COLUMN more;
ALTER TABLE r DROP COLUMN n;
.print RETURNING of an INSERT: a rowid that the table chose, a row that OR IGNORE left out
TABLE t(id INTEGER PRIMARY KEY, a TEXT UNIQUE, n INT);
INSERT INTO t(a) VALUES('z') RETURNING id, a;
SELECT 'last_insert_rowid', last_insert_rowid();
INSERT OR IGNORE INTO t VALUES(9, 'z', 0) RETURNING id, a;
.print CREATE INDEX later
CREATE INDEX temp.later ON t(n);
CREATE INDEX temp.later_expression ON t(lower(a));
.print a PRIMARY KEY that is not INTEGER, without WITHOUT ROWID
TABLE words(word TEXT PRIMARY KEY, n INT);
INSERT INTO words VALUES(NULL, 1), ('a', 2);
INSERT INTO words VALUES('b', 3);
SELECT word, n FROM words ORDER BY n;
SELECT rowid FROM words WHERE word = 'b';
.print PRAGMA table_info of several columns of a key
TABLE k(a INT, b INT, v INT, PRIMARY KEY(a, b)) WITHOUT ROWID;
SELECT name, pk FROM pragma_table_info('k');
SELECT 'columns, with the hidden one', count(*) FROM pragma_table_xinfo('k');
.print an UPDATE OR REPLACE whose keys move onto rows still to be visited
INSERT INTO k VALUES(1, 1, 10), (1, 2, 20), (1, 3, 30);
UPDATE OR REPLACE k SET b = b + 1, v = v + 1;
SELECT 'k', * FROM k ORDER BY a, b;
.print a wrong type for the rowid in the middle of INSERT OR FAIL, in a transaction
TABLE f(id INTEGER PRIMARY KEY, a TEXT, n INT);
BEGIN;
INSERT OR FAIL INTO f VALUES(50, 'e', 0), ('no', 'f', 0), (52, 'g', 0);
SELECT 'kept', count(*) FROM f;
ROLLBACK;
.print a column without a type, compared with a column that has one
TABLE untyped(x, INDEX(x));
INSERT INTO untyped VALUES(1), ('1');
CREATE TEMP TABLE numbers(n INT, s TEXT);
INSERT INTO numbers VALUES(1, '1');
SELECT 'x = n', typeof(x) FROM numbers CROSS JOIN untyped ON x = n ORDER BY 2;
SELECT 'with a CAST', typeof(x) FROM numbers CROSS JOIN untyped ON CAST(x AS TEXT) = CAST(n AS TEXT) ORDER BY 2;
.print a TEXT column compared with a number: right, also where the text is written otherwise
TABLE texts(s TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO texts VALUES('1'), ('1.0'), ('2');
SELECT s FROM texts WHERE s IN (SELECT n FROM numbers) ORDER BY s;
SELECT s FROM texts WHERE s = 1 ORDER BY s;
SELECT texts.s FROM numbers JOIN texts ON texts.s = numbers.n ORDER BY 1;
.print NOCASE on texts with a zero byte
TABLE zero(s TEXT COLLATE NOCASE, INDEX(s));
INSERT INTO zero VALUES('a' || char(0) || 'b'), ('A' || char(0) || 'c');
SELECT 'another text', count(*) FROM zero WHERE s = 'a' || char(0) || 'x';
SELECT 'other letters', count(*) FROM zero WHERE s = 'A' || char(0) || 'B';
.print changes() behind a SELECT from the table in a transaction
DELETE FROM k WHERE a = 1;
BEGIN;
SELECT count(*) FROM k;
SELECT 'changes', changes() > 0;
COMMIT;
