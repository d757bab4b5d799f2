-- as native: INSERT and its OR clauses, duplicate and NULL keys.
.load ./txkv
.mode list
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
INSERT INTO kv VALUES('a', 1);
INSERT INTO kv(key) VALUES('b');
INSERT INTO kv(value, key) VALUES(3, 'c');
SELECT changes(), total_changes();
INSERT INTO kv VALUES('a', 2);
INSERT OR ABORT INTO kv VALUES('a', 2);
INSERT OR FAIL INTO kv VALUES('a', 2);
INSERT OR IGNORE INTO kv VALUES('a', 2);
SELECT changes();
SELECT 'after duplicates', quote(key), quote(value) FROM kv ORDER BY key;
INSERT OR REPLACE INTO kv VALUES('a', 4);
SELECT changes();
REPLACE INTO kv VALUES('d', 5);
SELECT 'after replace', quote(key), quote(value) FROM kv ORDER BY key;
INSERT INTO kv VALUES(NULL, 1);
INSERT INTO kv(value) VALUES(1);
INSERT OR IGNORE INTO kv VALUES(NULL, 1);
SELECT changes();
REPLACE INTO kv VALUES(NULL, 1);
SELECT 'after nulls', count(*) FROM kv;
-- 1 and 1.0 are one key; '1' and x'31' are others
INSERT INTO kv VALUES(1, 'integer');
INSERT INTO kv VALUES(1.0, 'real');
INSERT INTO kv VALUES('1', 'text');
INSERT INTO kv VALUES(x'31', 'blob');
SELECT quote(key), value FROM kv WHERE key IN (1, '1', x'31') ORDER BY key;
-- what one statement has written counts for its next row
INSERT INTO kv VALUES('twice', 1), ('twice', 2);
SELECT count(*) FROM kv WHERE key = 'twice';
INSERT OR IGNORE INTO kv VALUES('twice', 1), ('twice', 2), ('thrice', 3);
SELECT changes();
REPLACE INTO kv VALUES('twice', 5), ('twice', 6);
SELECT changes();
SELECT key, value FROM kv WHERE key IN ('twice', 'thrice') ORDER BY key;
-- OR FAIL keeps the rows before the bad one, ABORT does not, ROLLBACK takes the whole transaction
INSERT OR FAIL INTO kv VALUES('f1', 1), ('a', 0), ('f2', 2);
INSERT OR ABORT INTO kv VALUES('g1', 1), ('a', 0), ('g2', 2);
SELECT key FROM kv WHERE key >= 'f' AND key < 'h';
BEGIN;
INSERT INTO kv VALUES('h', 1);
INSERT OR ROLLBACK INTO kv VALUES('a', 0);
COMMIT;
SELECT count(*) FROM kv WHERE key = 'h';
-- rows without a rowid leave last_insert_rowid() as it is
CREATE TABLE other(x);
INSERT INTO other(rowid, x) VALUES(77, 1);
INSERT INTO kv VALUES('r', 1);
SELECT last_insert_rowid();
INSERT INTO kv DEFAULT VALUES;
INSERT INTO kv SELECT key || key, value FROM kv WHERE key IN ('b', 'c');
SELECT quote(key), quote(value) FROM kv WHERE key >= 'b' AND key < 'd' ORDER BY key;
