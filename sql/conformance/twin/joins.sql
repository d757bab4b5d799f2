-- txkv tables beside native ones, in every place of a join.
TABLE t(id INTEGER PRIMARY KEY, a INT, s TEXT, INDEX(a), UNIQUE(s));
TABLE k(a INT, b TEXT, v REAL, PRIMARY KEY(a, b)) WITHOUT ROWID;
CREATE TABLE native(id INTEGER PRIMARY KEY, a INT, s TEXT);
CREATE INDEX native_a ON native(a);
INSERT INTO t VALUES(1, 1, 'one'), (2, 1, 'two'), (3, 2, 'three'), (4, NULL, 'four'), (5, 9, NULL);
INSERT INTO k VALUES(1, 'x', 1.5), (1, 'y', 2.5), (2, 'x', NULL), (7, 'z', 7);
INSERT INTO native VALUES(1, 1, 'one'), (2, 2, 'TWO'), (3, 7, 'three'), (4, NULL, NULL);
SELECT t.id, native.id FROM t JOIN native ON native.a = t.a ORDER BY 1, 2;
SELECT t.id, native.id FROM native JOIN t ON native.a = t.a ORDER BY 1, 2;
SELECT t.id, native.id FROM native LEFT JOIN t ON native.a = t.a ORDER BY 2, 1;
SELECT t.id, native.id FROM t LEFT JOIN native ON native.s = t.s AND native.a > 1 ORDER BY 1, 2;
SELECT t.id FROM t LEFT JOIN native ON native.s = t.s WHERE native.id IS NULL ORDER BY 1;
SELECT native.id, t.s, k.b FROM native, t, k WHERE t.id = native.id AND k.a = t.a ORDER BY 1, 2, 3;
SELECT native.id, t.s, k.b FROM native LEFT JOIN t ON t.s = native.s LEFT JOIN k ON k.a = native.a AND k.b >= 'y' ORDER BY 1, 3;
SELECT t.id, k.b, n.id FROM t JOIN k ON k.a = t.a AND k.b = 'x' LEFT JOIN native AS n ON n.id = k.v ORDER BY 1;
SELECT count(*) FROM t CROSS JOIN native CROSS JOIN k;
SELECT s FROM native INTERSECT SELECT s FROM t ORDER BY 1;
SELECT a FROM t EXCEPT SELECT a FROM k ORDER BY 1;
SELECT s FROM t WHERE a IN (SELECT a FROM native) ORDER BY s;
SELECT s FROM native WHERE EXISTS (SELECT 1 FROM k WHERE k.a = native.a) ORDER BY s;
SELECT s, (SELECT group_concat(b) FROM (SELECT b FROM k WHERE k.a = native.a ORDER BY b)) FROM native ORDER BY id;
SELECT x.id, y.id FROM t AS x, t AS y WHERE x.a = y.a AND x.id < y.id;
SELECT t.id, j.value FROM t, json_each('[1, 2, 5]') AS j WHERE t.id = j.value ORDER BY 1;
SELECT t.id FROM json_each('[2, 9]') AS j JOIN t ON t.a = j.value ORDER BY 1;
WITH RECURSIVE walk(id, depth) AS (SELECT 3, 0 UNION SELECT t.a, depth + 1 FROM walk JOIN t ON t.id = walk.id WHERE depth < 5) SELECT * FROM walk ORDER BY depth, id;
-- from one into the other
INSERT INTO native SELECT id + 100, a, s FROM t WHERE a IS NOT NULL;
INSERT INTO t SELECT id + 100, a, s || '!' FROM native WHERE id < 100 AND s IS NOT NULL;
SELECT changes();
UPDATE native SET s = (SELECT t.s FROM t WHERE t.id = native.id - 100) WHERE id > 100;
UPDATE t SET a = n.a FROM native AS n WHERE n.s = t.s;
DELETE FROM t WHERE id IN (SELECT id FROM native WHERE id > 101);
SELECT * FROM native ORDER BY id;
SELECT * FROM t ORDER BY id;
-- a native table's triggers write into txkv tables; tables of temp are seen by triggers of temp
CREATE TEMP TRIGGER log_insert AFTER INSERT ON native BEGIN
    INSERT INTO t VALUES(NEW.id + 1000, NEW.a, 'inserted ' || NEW.s);
    REPLACE INTO k VALUES(NEW.a, 'trigger', (SELECT count(*) FROM t));
END;
CREATE TEMP TRIGGER log_delete AFTER DELETE ON native BEGIN
    DELETE FROM t WHERE id = OLD.id + 1000;
    UPDATE k SET v = -1 WHERE a = OLD.a AND b = 'trigger';
END;
INSERT INTO native VALUES(200, 50, 'by hand'), (201, 51, 'too');
SELECT changes(), total_changes() > 10, last_insert_rowid();
SELECT * FROM t WHERE id > 1000 ORDER BY id;
DELETE FROM native WHERE id = 200;
SELECT * FROM t WHERE id > 1000 ORDER BY id;
SELECT * FROM k ORDER BY a, b;
-- a failure in a trigger takes all of the statement back
INSERT INTO t VALUES(1300, 0, 'in the way');
INSERT INTO native VALUES(299, 60, 'fine'), (300, 61, 'collides');
SELECT count(*) FROM native WHERE id >= 299;
SELECT count(*) FROM t WHERE id >= 1299;
SELECT count(*) FROM k WHERE a >= 60;
