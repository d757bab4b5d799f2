-- as native
-- The forms of queries that plans are made for: what a native table answers, a txkv table answers.
.load ./txkv
CREATE VIRTUAL TABLE temp.users USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, age INT, UNIQUE(name), INDEX(age, name)); -- native: CREATE TABLE temp.users(id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, age INT, UNIQUE(name)); CREATE INDEX temp.by_age ON users(age, name);
CREATE VIRTUAL TABLE temp.part USING txkv('@DIR@/store', room TEXT, seat INT, who, PRIMARY KEY(room, seat)); -- native: CREATE TABLE temp.part(room TEXT, seat INT, who, PRIMARY KEY(room, seat)) WITHOUT ROWID;
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
INSERT INTO kv VALUES(1, 'one'), ('b', 'bee'), (2.5, 'x'), (x'62', 'blob'), ('10', 'text'), (10, 'number');
SELECT quote(key) FROM kv WHERE key IN (10, 'b', '10', 10.0, NULL, x'62') ORDER BY key DESC;
SELECT value FROM kv WHERE key IN (SELECT 2.5 UNION ALL SELECT 1 UNION ALL SELECT 1.0) ORDER BY key;
SELECT min(key), max(quote(key)) FROM kv;
SELECT count(*) FROM kv WHERE key IS NOT NULL AND key IN (1, 2);
SELECT value FROM kv WHERE key IS NULL OR key = 'b' OR key = 1 ORDER BY key;
SELECT count(*) FROM (SELECT 1 FROM kv WHERE key > 2 LIMIT 10 OFFSET 2);
.print -- lists: one pass in the order of the key, each row once
INSERT INTO part VALUES('a', 1, 'a1'), ('a', 2, 'a2'), ('b', 1, 'b1'), ('b', 3, 'b3'), ('c', 2, 'c2'), ('1', 7, 'one'), ('1.0', 5, 'one point');
INSERT INTO users VALUES(1, 'Ann', 31), (2, 'Bob', 27), (3, 'Cyd', NULL), (4, 'Dan', 27), (5, 'Eve', 31), (6, '12', NULL);
CREATE TABLE wanted(room, seat INT, id INT);
INSERT INTO wanted VALUES('b', 1, 2), ('a', 2, 2), ('b', 9, NULL), (NULL, 3, 5), ('a', 1, 77);
SELECT * FROM part WHERE room IN ('b', 'x', 'a', 'b', NULL) ORDER BY room DESC, seat DESC;
SELECT who FROM part WHERE room = 'a' AND seat IN (2, 1, 2.0, '1') ORDER BY seat;
SELECT who FROM part WHERE room IN ('b', 'a') AND seat IN (3, 1) ORDER BY room, seat;
SELECT who FROM part WHERE room IN (SELECT room FROM wanted) AND seat > 1 ORDER BY room;
SELECT id FROM users WHERE id IN (5, 3, 4) ORDER BY id DESC;
SELECT id, name FROM users WHERE id IN (SELECT id FROM wanted) ORDER BY id;
SELECT id, name FROM users WHERE name IN ('EVE', 'bob', 12) ORDER BY name;
BEGIN;
INSERT INTO part VALUES('b', 2, 'mine');
DELETE FROM part WHERE room = 'a' AND seat = 1;
SELECT who FROM part WHERE room IN ('a', 'b') AND seat IN (1, 2) ORDER BY room DESC, seat DESC;
ROLLBACK;
SELECT w.room, p.who FROM wanted AS w JOIN part AS p ON p.room = w.room AND p.seat IN (w.seat, w.id) ORDER BY w.rowid, p.seat;
SELECT who FROM part WHERE room NOT IN ('a', 'b', '1');
SELECT count(*) FROM part WHERE room IN ();
.print -- a number and a TEXT column: the order of what is behind it holds all the same
SELECT who FROM part WHERE room = (SELECT seat FROM wanted WHERE id = 77) ORDER BY seat;
SELECT who FROM part WHERE room = CAST('1' AS INTEGER) ORDER BY seat;
SELECT who FROM part WHERE room = CAST('1' AS INTEGER) AND seat IN (7, 5, 6) ORDER BY seat DESC;
SELECT room, count(*) FROM part WHERE room = CAST('1' AS INTEGER) GROUP BY room, seat ORDER BY 1;
.print -- NULL, and several columns
SELECT id FROM users WHERE age IS NOT NULL AND age < 30;
SELECT age FROM users WHERE age IS NOT NULL ORDER BY age LIMIT 1;
SELECT min(age), max(age) FROM users;
SELECT max(age) FROM users;
SELECT min(room) FROM part;
SELECT who FROM part WHERE (room, seat) > ('a', 1) ORDER BY room, seat;
SELECT who FROM part WHERE (room, seat) = ('b', 3);
SELECT who FROM part WHERE room = 'a' OR room = 'c';
SELECT id FROM users WHERE name = 'ann' OR age = 27;
.print -- an index alone
SELECT age, id FROM users WHERE age = 27;
SELECT id FROM users WHERE age IN (27, 31) ORDER BY age, id;
SELECT count(*) FROM users WHERE age > 27;
SELECT room, seat FROM part WHERE seat = 2;
.print -- groups
SELECT seat, room, count(*) FROM part GROUP BY seat, room ORDER BY seat, room;
SELECT room, max(seat) FROM part GROUP BY room;
SELECT room, seat, count(*) FROM part WHERE room IN ('a', 'b') GROUP BY room, seat ORDER BY room DESC, seat LIMIT 3;
SELECT room, seat, count(*) FROM part GROUP BY room, seat ORDER BY room DESC, seat DESC LIMIT 3;
SELECT DISTINCT room FROM part ORDER BY room DESC;
SELECT DISTINCT age FROM users WHERE age IS NOT NULL;
CREATE VIRTUAL TABLE temp.repeats USING txkv('@DIR@/store', a INT, b INT, c INT, PRIMARY KEY(a, b, c), INDEX(a)); -- native: CREATE TABLE temp.repeats(a INT, b INT, c INT, PRIMARY KEY(a, b, c)) WITHOUT ROWID; CREATE INDEX temp.by_a ON repeats(a);
INSERT INTO repeats VALUES(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2), (2, 1, 1);
SELECT a, c, count(*) FROM repeats GROUP BY a, c ORDER BY a, c;
SELECT count(*) FROM repeats GROUP BY c, a;
SELECT a, b FROM repeats WHERE a IN (2, 1) ORDER BY a, b, c;
.print -- patterns
SELECT who FROM part WHERE room GLOB 'b*' ORDER BY room;
SELECT id FROM users WHERE name LIKE 'b%';
SELECT id FROM users WHERE name LIKE '1%';
SELECT id FROM users WHERE name LIKE (SELECT 'B' || '%');
SELECT who FROM part WHERE room GLOB '1*';
SELECT who FROM part WHERE room = 'b' OR room GLOB '[ab]*' ORDER BY who;
SELECT who FROM part WHERE room LIKE 'b%';
.print -- LIMIT: an order for few rows, a search for many
SELECT id FROM users WHERE age IN (27, 31) ORDER BY id LIMIT 1 OFFSET 1;
SELECT who FROM part ORDER BY room, seat LIMIT 2 OFFSET 3;
SELECT who FROM part WHERE room = 'b' UNION ALL SELECT who FROM part WHERE room = 'a' LIMIT 3 OFFSET 1;
.print -- one row, one pass
DELETE FROM part WHERE room = 'c' AND seat = 2;
UPDATE part SET who = 'new' WHERE room IN ('a', 'b') AND seat = 1;
DELETE FROM users WHERE id IN (1, 2, 99);
SELECT changes();
SELECT * FROM part;
