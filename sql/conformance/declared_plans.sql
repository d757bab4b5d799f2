-- Which key or index a query of declared columns uses, and that it answers as it should.
.load ./txkv
CREATE VIRTUAL TABLE temp.users USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, age INT, UNIQUE(name), INDEX(age, name));
CREATE VIRTUAL TABLE temp.part USING txkv('@DIR@/store', room TEXT, seat INT, who, PRIMARY KEY(room, seat));
.eqp on
SELECT * FROM users WHERE id = 1;
SELECT * FROM users WHERE rowid > 1 AND id <= 5 ORDER BY id DESC;
SELECT * FROM users WHERE name = 'x';
SELECT * FROM users WHERE name = 'x' COLLATE BINARY;
SELECT * FROM users WHERE age = 1 AND name > 'x' ORDER BY name;
SELECT * FROM users WHERE age IS NULL;
SELECT * FROM users WHERE age = 1 ORDER BY name DESC, id DESC;
SELECT * FROM users ORDER BY age, name;
SELECT * FROM users ORDER BY age, name DESC;
SELECT count(*) FROM users;
SELECT * FROM part WHERE room = 'a' AND seat = 1;
SELECT * FROM part WHERE room = 'a' ORDER BY seat DESC;
SELECT * FROM part WHERE seat = 1;
SELECT * FROM part JOIN users ON users.id = part.seat WHERE room >= 'a' AND room < 'b';
.print -- lists: one pass in the order of the key, each row once
.eqp off
INSERT INTO part VALUES('a', 1, 'a1'), ('a', 2, 'a2'), ('b', 1, 'b1'), ('b', 3, 'b3'), ('c', 2, 'c2'), ('1', 7, 'one'), ('1.0', 5, 'one point');
INSERT INTO users VALUES(1, 'Ann', 31), (2, 'Bob', 27), (3, 'Cyd', NULL), (4, 'Dan', 27), (5, 'Eve', 31), (6, '12', NULL);
CREATE TABLE wanted(room, seat INT, id INT);
INSERT INTO wanted VALUES('b', 1, 2), ('a', 2, 2), ('b', 9, NULL), (NULL, 3, 5), ('a', 1, 77);
.eqp on
SELECT * FROM part WHERE room IN ('b', 'x', 'a', 'b', NULL) ORDER BY room DESC, seat DESC;
SELECT who FROM part WHERE room = 'a' AND seat IN (2, 1, 2.0, '1') ORDER BY seat;
SELECT who FROM part WHERE room IN ('b', 'a') AND seat IN (3, 1) ORDER BY room, seat;
SELECT who FROM part WHERE room IN (SELECT room FROM wanted) AND seat > 1 ORDER BY room;
SELECT id FROM users WHERE id IN (5, 3, 4) ORDER BY id DESC;
SELECT id, name FROM users WHERE id IN (SELECT id FROM wanted) ORDER BY id;
SELECT id, name FROM users WHERE name IN ('EVE', 'bob', 12) ORDER BY name;
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
.print -- joins: the small table outside, whichever is named first
.eqp off
CREATE VIRTUAL TABLE temp.big USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, small_id INT, tag TEXT, INDEX(small_id), INDEX(tag, small_id));
CREATE VIRTUAL TABLE temp.small USING txkv('@DIR@/store', id INTEGER PRIMARY KEY, name TEXT);
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 5000) INSERT INTO big SELECT i, i % 500, 'tag' || (i % 4) FROM c;
WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 499) INSERT INTO small SELECT i, 'n' || i FROM c;
CREATE TABLE few(id INT, small_id INT);
INSERT INTO few VALUES(5, 7), (6, 7);
ANALYZE;
.eqp on
SELECT count(*) FROM big JOIN small ON small.id = big.small_id WHERE small.name = 'n7';
SELECT count(*) FROM small JOIN big ON small.id = big.small_id WHERE big.id = 7;
SELECT count(tag) FROM big JOIN few ON few.small_id = big.small_id;
SELECT count(tag) FROM big JOIN few ON few.id = big.id;
SELECT count(*) FROM small JOIN big ON big.id = small.id;
.print -- an index of several columns, and a range with its rows
SELECT count(id) FROM big WHERE tag = 'tag3' AND small_id = 7;
SELECT max(length(tag)) FROM big WHERE small_id BETWEEN 7 AND 8;
SELECT txkv_checkpoint('big') IS NOT NULL;
SELECT count(*) FROM big JOIN small ON small.id = big.small_id WHERE small.name = 'n7';
