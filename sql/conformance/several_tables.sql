-- Several tables of one store on one connection: apart in their rows, together in their transactions.
.mode list
.load ./txkv
CREATE VIRTUAL TABLE temp.a USING txkv('@DIR@/store');
CREATE VIRTUAL TABLE temp.b USING txkv('@DIR@/store', sync=normal);
CREATE VIRTUAL TABLE main.also_a USING txkv('@DIR@/store', table=a);
CREATE VIRTUAL TABLE temp.elsewhere USING txkv('@DIR@/another', table='a');
BEGIN;
INSERT INTO a VALUES('k', 'in a');
INSERT INTO b VALUES('k', 'in b');
INSERT INTO elsewhere VALUES('k', 'elsewhere');
SELECT 'own writes', (SELECT value FROM a), (SELECT value FROM b), (SELECT value FROM also_a), (SELECT value FROM elsewhere);
COMMIT;
SELECT 'committed', (SELECT value FROM a), (SELECT value FROM b), (SELECT value FROM also_a), (SELECT value FROM elsewhere);
-- two tables, one log record
SELECT store LIKE '%another', value FROM txkv_stats WHERE name = 'commits' ORDER BY 1;
BEGIN;
DELETE FROM a;
UPDATE b SET value = 'changed';
DELETE FROM elsewhere;
ROLLBACK;
SELECT 'rolled back', (SELECT value FROM a), (SELECT value FROM b), (SELECT value FROM elsewhere);
INSERT INTO b SELECT key || n, value FROM a, (SELECT 1 AS n UNION SELECT 2);
SELECT 'copied', key, value FROM b;
INSERT INTO a SELECT key || '!', value FROM a;
SELECT 'copied', key, value FROM also_a;
INSERT INTO elsewhere SELECT 'from b ' || key, value FROM b;
SELECT 'between stores', key, value FROM elsewhere;
SELECT count(*) FROM a JOIN b USING(key) JOIN elsewhere USING(key);
-- DROP TABLE detaches and keeps the rows
DROP TABLE b;
SELECT * FROM b;
CREATE VIRTUAL TABLE temp.b2 USING txkv('@DIR@/store', table=b);
SELECT 'still there', count(*) FROM b2;
DROP TABLE a;
SELECT 'through the other', count(*) FROM also_a;
DROP TABLE also_a;
DROP TABLE b2;
DROP TABLE elsewhere;
SELECT 'open stores', count(DISTINCT store) FROM txkv_stats;
-- dropped inside a transaction: its writes stay with the transaction
CREATE VIRTUAL TABLE temp.a USING txkv('@DIR@/store');
BEGIN;
INSERT INTO a VALUES('kept', 1);
DROP TABLE a;
COMMIT;
SELECT 'open stores', count(DISTINCT store) FROM txkv_stats;
CREATE VIRTUAL TABLE temp.a USING txkv('@DIR@/store');
SELECT count(*) FROM a WHERE key = 'kept';
BEGIN;
INSERT INTO a VALUES('undone', 1);
DROP TABLE a;
ROLLBACK;
SELECT count(*) FROM a WHERE key IN ('kept', 'undone');
BEGIN;
CREATE VIRTUAL TABLE temp.c USING txkv('@DIR@/store');
INSERT INTO c VALUES('new', 1);
SELECT count(*) FROM c;
COMMIT;
SELECT count(*) FROM c;
BEGIN;
CREATE VIRTUAL TABLE temp.d USING txkv('@DIR@/store');
INSERT INTO d VALUES('new', 1);
ROLLBACK;
SELECT * FROM d;
CREATE VIRTUAL TABLE temp.d USING txkv('@DIR@/store');
SELECT 'd', count(*) FROM d;
-- renaming: in the store too, where the table has its own name there
ALTER TABLE c RENAME TO c2;
CREATE VIRTUAL TABLE temp.e USING txkv('@DIR@/store', table=c2);
ALTER TABLE e RENAME TO e2;
SELECT 'renamed', count(*) FROM e2;
INSERT INTO e2 VALUES('new', 2);
