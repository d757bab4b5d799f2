-- Lists: the values of one are read and nothing between them, at isolation=serializable, as from an index what is looked up;
-- the looks at an index that a plan takes are no reads. And their order.
.load ./txkv
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, tag TEXT, n INT, INDEX(tag));
CREATE VIRTUAL TABLE temp.out USING txkv('@DIR@/store');
INSERT INTO t VALUES(10, 'a', 1), (20, 'b', 2), (30, 'c', 3), (40, 'd', 4);
.connection 1
.open :memory:
.load ./txkv
CREATE VIRTUAL TABLE temp.t USING txkv('@DIR@/store');
CREATE VIRTUAL TABLE temp.out USING txkv('@DIR@/store');
.print -- rows between the values of a list: no conflict
BEGIN;
SELECT sum(n) FROM t WHERE id IN (40, 10, 25) ORDER BY id;
SELECT id FROM t WHERE tag IN ('d', 'a') ORDER BY tag DESC;
INSERT INTO out VALUES('first', 1);
.connection 0
INSERT INTO t VALUES(15, 'bb', 5);
UPDATE t SET n = 30 WHERE id = 30;
DELETE FROM t WHERE id = 20;
.connection 1
COMMIT;
.print -- a value of the list that was not there: conflict
BEGIN;
SELECT sum(n) FROM t WHERE id IN (40, 10, 25);
INSERT INTO out VALUES('second', 1);
.connection 0
INSERT INTO t VALUES(25, 'x', 6);
.connection 1
COMMIT;
.print -- one in an index: conflict
BEGIN;
SELECT id FROM t WHERE tag IN ('a', 'z');
INSERT INTO out VALUES('third', 1);
.connection 0
INSERT INTO t VALUES(26, 'z', 7);
.connection 1
COMMIT;
.print -- an index alone tells what its rows have, and a change of the rest of a row is no conflict
BEGIN;
SELECT tag, id FROM t WHERE tag = 'a';
INSERT INTO out VALUES('fourth', 1);
.connection 0
UPDATE t SET n = 100 WHERE id = 10;
.connection 1
COMMIT;
.print -- a plan that looks at the whole index: no conflict
BEGIN;
EXPLAIN QUERY PLAN SELECT n FROM t WHERE tag = 'a';
SELECT n FROM t WHERE tag = 'a';
INSERT INTO out VALUES('fifth', 1);
.connection 0
UPDATE t SET tag = 'y' WHERE id = 40;
.connection 1
COMMIT;
SELECT key FROM out;
.print -- in a database of UTF-16 SQLite has its lists in another order than keys are in
.connection 2
.open :memory:
PRAGMA encoding = 'UTF-16le';
.load ./txkv
CREATE VIRTUAL TABLE temp.words USING txkv('@DIR@/store', word TEXT PRIMARY KEY);
INSERT INTO words VALUES('b'), ('ā'), ('c'), ('Ā');
SELECT word FROM words WHERE word IN ('ā', 'b', 'Ā', 'c') ORDER BY word;
SELECT word FROM words WHERE word IN ('ā', 'b', 'Ā', 'c') ORDER BY word DESC;
