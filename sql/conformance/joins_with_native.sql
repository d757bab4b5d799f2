-- as native: joins, subqueries, views and transactions together with native tables.
.load ./txkv
.mode list
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store');
CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, city);
INSERT INTO people VALUES(1, 'Ann', 'b'), (2, 'Bob', 'a'), (3, 'Cid', 'none'), (4, 'Dan', NULL);
INSERT INTO kv VALUES('a', 'Aachen'), ('b', 'Bern'), (1, 'first'), (2, 'second'), (9, 'ninth');
SELECT name, value FROM people JOIN kv ON key = city ORDER BY id;
SELECT name, value FROM people LEFT JOIN kv ON key = city ORDER BY id;
SELECT name, value FROM people JOIN kv ON key = id ORDER BY id;
SELECT key, value, name FROM kv LEFT JOIN people ON id = key ORDER BY key;
SELECT name FROM people WHERE city IN (SELECT key FROM kv) ORDER BY id;
SELECT name FROM people WHERE EXISTS (SELECT 1 FROM kv WHERE key = city AND value LIKE 'B%');
SELECT name, (SELECT value FROM kv WHERE key = city) FROM people ORDER BY id;
SELECT value FROM kv WHERE key = (SELECT city FROM people WHERE id = 1);
SELECT value FROM kv WHERE key IN (SELECT id FROM people) ORDER BY key DESC;
SELECT count(*) FROM people, kv;
SELECT p.name, q.name, value FROM people p, people q, kv WHERE kv.key = p.city AND q.id > p.id ORDER BY p.id, q.id;
SELECT key, count(*) FROM (SELECT key FROM kv UNION ALL SELECT city FROM people) GROUP BY key ORDER BY key;
SELECT key FROM kv EXCEPT SELECT city FROM people ORDER BY key;
SELECT key FROM kv INTERSECT SELECT id FROM people ORDER BY key;
WITH RECURSIVE chain(k, n) AS (SELECT 'a', 0 UNION ALL SELECT key, n + 1 FROM chain JOIN kv ON key > k WHERE n < 2)
SELECT k, n FROM chain;
SELECT key, value, row_number() OVER (ORDER BY key DESC) FROM kv ORDER BY key;
CREATE TEMP VIEW named AS SELECT name, value FROM people JOIN kv ON key = city;
SELECT * FROM named ORDER BY name;
CREATE TABLE copy AS SELECT * FROM kv;
SELECT count(*), sum(length(value)) FROM copy;
INSERT INTO people(name, city) SELECT value, key FROM kv WHERE typeof(key) = 'integer';
INSERT INTO kv SELECT 'person ' || id, name FROM people;
UPDATE kv SET value = (SELECT name FROM people WHERE id = kv.key) WHERE key IN (1, 2);
UPDATE people SET name = (SELECT value FROM kv WHERE key = city) WHERE city IN ('a', 'b');
DELETE FROM kv WHERE key IN (SELECT 'person ' || id FROM people WHERE id > 3);
SELECT key, value FROM kv ORDER BY key;
SELECT id, name FROM people ORDER BY id;
-- a trigger of a native table writes here
CREATE TEMP TRIGGER note AFTER INSERT ON main.people BEGIN
  REPLACE INTO kv VALUES('last person', new.name);
END;
INSERT INTO people(name) VALUES('Eve'), ('Fay');
SELECT value FROM kv WHERE key = 'last person';
-- one transaction over both
BEGIN;
INSERT INTO people(name, city) VALUES('Gus', 'g');
INSERT INTO kv VALUES('g', 'Graz');
SELECT name, value FROM people JOIN kv ON key = city WHERE city = 'g';
ROLLBACK;
SELECT count(*) FROM people WHERE city = 'g';
SELECT count(*) FROM kv WHERE key = 'g';
BEGIN;
INSERT INTO kv VALUES('g', 'Graz');
SELECT changes();
INSERT INTO people(name, city) VALUES('Gus', 'g');
COMMIT;
SELECT name, value FROM people JOIN kv ON key = city WHERE city = 'g';
SELECT json_extract(value, '$.n') FROM (SELECT '{"n":5}' AS value);
REPLACE INTO kv VALUES('json', '{"n":[5,6]}');
SELECT value ->> '$.n[1]' FROM kv WHERE key = 'json';
SELECT e.value FROM kv, json_each(kv.value, '$.n') AS e WHERE kv.key = 'json';
