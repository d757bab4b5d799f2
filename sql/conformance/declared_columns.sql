-- as native
-- Declared columns: what a native table answers, a txkv table answers.
.load ./txkv
CREATE VIRTUAL TABLE temp.users USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE, age INT, UNIQUE(name), INDEX(age)); -- native: CREATE TABLE temp.users(id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE, age INT, UNIQUE(name)); CREATE INDEX temp.by_age ON users(age);
INSERT INTO users VALUES(1, 'Ann', 31), (NULL, 'Bob', '27'), (10, 'Cyd', 5.0), (NULL, 'Dan', 'old');
SELECT *, typeof(age), rowid FROM users;
SELECT last_insert_rowid(), changes();
-- constraints and their messages
INSERT INTO users VALUES(1, 'Eve', 1);
INSERT INTO users VALUES(NULL, 'ANN', 1);
INSERT INTO users VALUES(NULL, NULL, 1);
INSERT INTO users VALUES('x', 'Eve', 1);
INSERT INTO users VALUES(20, 'Eve', 1), (21, 'bob', 2);
SELECT count(*) FROM users;
INSERT OR FAIL INTO users VALUES(20, 'Eve', 1), (21, 'bob', 2), (22, 'Fay', 3);
INSERT OR IGNORE INTO users VALUES(23, 'Gus', NULL), (20, 'Hal', 2), (24, 'gus', 3), (25, NULL, 1);
SELECT changes(), count(*) FROM users;
-- REPLACE removes every row in the way
INSERT INTO users VALUES(30, 'three', 3), (31, 'one', 3);
REPLACE INTO users VALUES(30, 'ONE', 4);
SELECT * FROM users WHERE age BETWEEN 3 AND 4 ORDER BY id;
UPDATE OR REPLACE users SET id = 20, name = 'gus' WHERE id = 30;
SELECT * FROM users ORDER BY name DESC;
BEGIN;
DELETE FROM users WHERE id = 1;
INSERT OR ROLLBACK INTO users VALUES(20, 'x', 1);
SELECT count(*) FROM users;
-- comparisons under the column's affinity
SELECT id FROM users WHERE age = '27';
SELECT id FROM users WHERE age > '26' ORDER BY age DESC, id;
SELECT id FROM users WHERE id = '10';
SELECT id FROM users WHERE id > 9.5 AND id < 'x' ORDER BY id;
SELECT id FROM users WHERE id = 10.5;
SELECT id FROM users WHERE age IS NULL;
SELECT id, name FROM users WHERE name = 'ann';
SELECT id, name FROM users WHERE name = 'ann' COLLATE BINARY;
SELECT id, name FROM users WHERE name LIKE 'a%';
SELECT id FROM users WHERE name IN ('BOB', 'cyd', 'zed') ORDER BY id;
SELECT id FROM users WHERE age = 5 OR name = 'dan' ORDER BY id;
-- keys that move over each other
UPDATE users SET id = id + 1;
SELECT group_concat(id) FROM (SELECT id FROM users ORDER BY id);
UPDATE users SET id = id + 100 WHERE name = 'Bob';
UPDATE users SET id = 'no' WHERE id = 103;
SELECT id, name FROM users ORDER BY id DESC LIMIT 2;
UPDATE users SET rowid = 7 WHERE id = 103;
SELECT id, rowid, name FROM users WHERE rowid = 7;
DROP TABLE users;

-- a key of several columns
CREATE VIRTUAL TABLE temp.part USING txkv('@DIR@/store', room TEXT, seat INT, who, PRIMARY KEY(room, seat), UNIQUE(who), INDEX(seat, who)); -- native: CREATE TABLE temp.part(room TEXT, seat INT, who, PRIMARY KEY(room, seat), UNIQUE(who)) WITHOUT ROWID; CREATE INDEX temp.by_seat ON part(seat, who);
INSERT INTO part VALUES('a', 2, 'ann'), ('a', 10, 'bob'), ('b', 1, NULL), ('a', '3', NULL), (5, 1.0, x'00'), ('ab', 1, 1.0);
SELECT *, typeof(room), typeof(seat), typeof(who) FROM part ORDER BY room, seat;
SELECT * FROM part ORDER BY room DESC, seat DESC;
SELECT * FROM part WHERE room = 'a' AND seat > 2 ORDER BY seat;
SELECT * FROM part WHERE room = 5;
SELECT * FROM part WHERE room = CAST(5 AS INTEGER);
SELECT * FROM part WHERE seat = 1 ORDER BY who;
SELECT * FROM part WHERE who = 1;
INSERT INTO part VALUES('a', 2, 'x');
INSERT INTO part VALUES('c', 2, 1);
INSERT INTO part VALUES(NULL, 2, 'x');
UPDATE part SET seat = seat + 1 WHERE room = 'a' AND seat = 2;
UPDATE part SET who = NULL WHERE room = 'ab';
UPDATE part SET room = 'z', seat = 9 WHERE who IS NULL AND room = 'b';
SELECT * FROM part ORDER BY room, seat;
SELECT rowid FROM part;
DROP TABLE part;

-- no PRIMARY KEY: a rowid that no column shows
CREATE VIRTUAL TABLE temp.log USING txkv('@DIR@/store', at REAL, what); -- native: CREATE TABLE temp.log(at REAL, what);
INSERT INTO log VALUES(1, 'one'), ('2', 2.0), ('x', NULL);
INSERT INTO log(rowid, at) VALUES(7, 7);
INSERT INTO log(rowid, at) VALUES(7, 8);
INSERT INTO log DEFAULT VALUES;
SELECT rowid, *, typeof(at) FROM log;
UPDATE log SET rowid = 3 WHERE rowid = 7;
DELETE FROM log WHERE rowid < 3;
SELECT rowid, * FROM log ORDER BY rowid DESC;
SELECT max(rowid), count(*), last_insert_rowid() FROM log;
DROP TABLE log;

-- one column that is no rowid
CREATE VIRTUAL TABLE temp.words USING txkv('@DIR@/store', word TEXT COLLATE RTRIM PRIMARY KEY, n NUMERIC); -- native: CREATE TABLE temp.words(word TEXT COLLATE RTRIM PRIMARY KEY, n NUMERIC) WITHOUT ROWID;
INSERT INTO words VALUES('a  ', '1.50'), ('b', 1e3), (10, 'ten');
INSERT INTO words VALUES('a', 2);
REPLACE INTO words VALUES('b ', 7);
SELECT word || '|', n, typeof(n) FROM words;
SELECT n FROM words WHERE word = 'a';
SELECT n FROM words WHERE word = 10;
BEGIN;
UPDATE words SET n = n + 1 WHERE word = 'b';
SAVEPOINT s;
DELETE FROM words;
SELECT count(*) FROM words;
ROLLBACK TO s;
COMMIT;
SELECT word || '|', n FROM words ORDER BY word DESC;
