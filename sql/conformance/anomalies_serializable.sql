-- The anomalies of the literature (Berenson et al., "A critique of ANSI SQL isolation levels", 1995; Adya, 1999) at
-- isolation=serializable, the default: none of them can happen. T1 is connection 1, T2 is connection 2; connection 0
-- prepares each case and looks at the end. anomalies_snapshot.sql is the same at isolation=snapshot.
.mode list
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', isolation=serializable);
.connection 1
.open :memory:
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', isolation=serializable);
.connection 2
.open :memory:
.load ./txkv
CREATE VIRTUAL TABLE temp.kv USING txkv('@DIR@/store', isolation=serializable);

-- Dirty write (G0): two transactions write the same two rows, neither having read them. Both commit, one after the
-- other: the rows are those of one transaction, never one of each.
.print
.print dirty write
.connection 0
INSERT INTO kv VALUES('x', 'old'), ('y', 'old');
.connection 1
BEGIN;
REPLACE INTO kv VALUES('x', 'T1');
.connection 2
BEGIN;
REPLACE INTO kv VALUES('x', 'T2');
REPLACE INTO kv VALUES('y', 'T2');
.print T2 commits
COMMIT;
.connection 1
REPLACE INTO kv VALUES('y', 'T1');
.print T1 commits
COMMIT;
.connection 0
SELECT key, value FROM kv;

-- Dirty read (G1a): what T1 wrote and rolled back was seen by nobody.
.print
.print dirty read, rolled back
.connection 0
REPLACE INTO kv VALUES('x', 'old'), ('y', 'old');
.connection 1
BEGIN;
UPDATE kv SET value = 'never' WHERE key = 'x';
.connection 2
BEGIN;
SELECT 'T2 reads', value FROM kv WHERE key = 'x';
.connection 1
ROLLBACK;
.connection 2
SELECT 'T2 reads', value FROM kv WHERE key = 'x';
.print T2 commits
COMMIT;

-- Dirty read (G1b): the first of two values that T1 wrote was seen by nobody.
.print
.print dirty read, overwritten
.connection 1
BEGIN;
UPDATE kv SET value = 'half' WHERE key = 'x';
.connection 2
BEGIN;
SELECT 'T2 reads', value FROM kv WHERE key = 'x';
.connection 1
UPDATE kv SET value = 'whole' WHERE key = 'x';
.print T1 commits
COMMIT;
.connection 2
SELECT 'T2 reads', value FROM kv WHERE key = 'x';
.print T2 commits
COMMIT;
SELECT 'T2 reads in its next transaction', value FROM kv WHERE key = 'x';

-- Circular information flow (G1c): T1 and T2 would each see what the other one wrote. Neither does.
-- So each has missed what the other one wrote, which is write skew: the second COMMIT fails.
.print
.print circular information flow
.connection 0
REPLACE INTO kv VALUES('x', 'old'), ('y', 'old');
.connection 1
BEGIN;
REPLACE INTO kv VALUES('x', 'T1');
.connection 2
BEGIN;
REPLACE INTO kv VALUES('y', 'T2');
.connection 1
SELECT 'T1 reads', value FROM kv WHERE key = 'y';
.connection 2
SELECT 'T2 reads', value FROM kv WHERE key = 'x';
.connection 1
.print T1 commits
COMMIT;
.connection 2
.print T2 commits, which must fail
COMMIT;
.connection 0
SELECT key, value FROM kv;

-- Read skew (G-single): T1 reads x before and y after T2 has changed both. It sees the old y, and commits, having
-- written nothing.
.print
.print read skew, read only
.connection 0
REPLACE INTO kv VALUES('x', 50), ('y', 50);
.connection 1
BEGIN;
SELECT 'T1 reads x', value FROM kv WHERE key = 'x';
.connection 2
BEGIN;
UPDATE kv SET value = value - 25 WHERE key = 'x';
UPDATE kv SET value = value + 25 WHERE key = 'y';
.print T2 commits
COMMIT;
.connection 1
SELECT 'T1 reads y', value FROM kv WHERE key = 'y';
.print T1 commits
COMMIT;

-- The same, and T1 writes what it has computed from its reads into a third row.
-- T1 fails: its reads are not those of the state that it would come after.
.print
.print read skew, writing another row
.connection 0
REPLACE INTO kv VALUES('x', 50), ('y', 50);
.connection 1
BEGIN;
SELECT 'T1 reads x', value FROM kv WHERE key = 'x';
.connection 2
BEGIN;
UPDATE kv SET value = value - 25 WHERE key = 'x';
UPDATE kv SET value = value + 25 WHERE key = 'y';
.print T2 commits
COMMIT;
.connection 1
SELECT 'T1 reads y', value FROM kv WHERE key = 'y';
REPLACE INTO kv VALUES('sum', 100);
.print T1 commits, which must fail
COMMIT;
.connection 0
SELECT key, value FROM kv;
DELETE FROM kv;

-- Lost update (P4): T1 and T2 add to the same counter. The second COMMIT fails, and run again it counts.
.print
.print lost update
.connection 0
INSERT INTO kv VALUES('n', 100);
.connection 1
BEGIN;
UPDATE kv SET value = value + 1 WHERE key = 'n';
.connection 2
BEGIN;
UPDATE kv SET value = value + 10 WHERE key = 'n';
.print T2 commits
COMMIT;
.connection 1
.print T1 commits, which must fail
COMMIT;
BEGIN;
UPDATE kv SET value = value + 1 WHERE key = 'n';
.print T1 commits again
COMMIT;
.connection 0
SELECT key, value FROM kv;
DELETE FROM kv;

-- Lost update of a value that the program computes: T1 reads it with SELECT and writes it with REPLACE.
.print
.print lost update, SELECT and REPLACE
.connection 0
INSERT INTO kv VALUES('n', 100);
.connection 1
BEGIN;
SELECT 'T1 reads', value FROM kv WHERE key = 'n';
.connection 2
UPDATE kv SET value = value + 10 WHERE key = 'n';
.connection 1
REPLACE INTO kv VALUES('n', 101);
.print T1 commits, which must fail
COMMIT;
.connection 0
SELECT key, value FROM kv;
DELETE FROM kv;

-- Write skew on items (A5B, G2-item): one of two doctors has to stay on call. Each looks at both and leaves.
-- The second COMMIT fails.
.print
.print write skew on items
.connection 0
INSERT INTO kv VALUES('ann', 'on call'), ('bob', 'on call');
.connection 1
BEGIN;
SELECT 'T1 reads', key, value FROM kv WHERE key IN ('ann', 'bob');
UPDATE kv SET value = 'away' WHERE key = 'ann';
.connection 2
BEGIN;
SELECT 'T2 reads', key, value FROM kv WHERE key IN ('ann', 'bob');
UPDATE kv SET value = 'away' WHERE key = 'bob';
.print T2 commits
COMMIT;
.connection 1
.print T1 commits, which must fail
COMMIT;
.connection 0
SELECT key, value FROM kv;
DELETE FROM kv;

-- Write skew on a predicate (G2): at most two bookings of a room. Each counts those in its range, and adds another key.
-- The second COMMIT fails, on the key that has come into the range that it counted.
.print
.print write skew on a predicate
.connection 0
INSERT INTO kv VALUES('room 1: 09:00', 'ann');
.connection 1
BEGIN;
SELECT 'T1 counts', count(*) FROM kv WHERE key >= 'room 1:' AND key < 'room 1;';
INSERT INTO kv VALUES('room 1: 10:00', 'bob');
.connection 2
BEGIN;
SELECT 'T2 counts', count(*) FROM kv WHERE key >= 'room 1:' AND key < 'room 1;';
INSERT INTO kv VALUES('room 1: 11:00', 'cyd');
.print T2 commits
COMMIT;
.connection 1
.print T1 commits, which must fail
COMMIT;
.connection 0
SELECT key, value FROM kv;

-- The same in two ranges beside each other: no conflict, both commit.
.print
.print two predicates that do not meet
.connection 1
BEGIN;
SELECT 'T1 counts', count(*) FROM kv WHERE key GLOB 'room 2:*';
INSERT INTO kv VALUES('room 2: 10:00', 'bob');
.connection 2
BEGIN;
SELECT 'T2 counts', count(*) FROM kv WHERE key GLOB 'room 3:*';
INSERT INTO kv VALUES('room 3: 11:00', 'cyd');
.print T2 commits
COMMIT;
.connection 1
.print T1 commits
COMMIT;
.connection 0
SELECT key, value FROM kv WHERE key > 'room 2';
DELETE FROM kv;

-- Phantom (P3): T2 adds a row to a range between two reads of T1. T1 sees the same rows twice, and commits, having
-- written nothing.
.print
.print phantom, read only
.connection 0
INSERT INTO kv VALUES(10, 'a'), (20, 'b');
.connection 1
BEGIN;
SELECT 'T1 reads', key, value FROM kv WHERE key BETWEEN 10 AND 20;
.connection 2
INSERT INTO kv VALUES(15, 'phantom');
.connection 1
SELECT 'T1 reads', key, value FROM kv WHERE key BETWEEN 10 AND 20;
.print T1 commits
COMMIT;
.connection 0
SELECT key, value FROM kv;

-- The same, and T1 writes down what it has seen.
-- T1 fails, on the row that came into its range; so it does on one that went out of it.
.print
.print phantom, an insert
.connection 1
BEGIN;
SELECT 'T1 counts', count(*) FROM kv WHERE key BETWEEN 10 AND 20;
.connection 2
INSERT INTO kv VALUES(16, 'phantom');
.connection 1
REPLACE INTO kv VALUES('count', 3);
.print T1 commits, which must fail
COMMIT;
.print phantom, a deletion
BEGIN;
SELECT 'T1 counts', count(*) FROM kv WHERE key BETWEEN 10 AND 20;
.connection 2
DELETE FROM kv WHERE key = 16;
.connection 1
REPLACE INTO kv VALUES('count', 4);
.print T1 commits, which must fail
COMMIT;
.connection 0
SELECT key, value FROM kv;

-- A row outside of the range is none, nor one behind the last row of a LIMIT: T1 commits both times.
.print
.print no phantom
.connection 1
BEGIN;
SELECT 'T1 counts', count(*) FROM kv WHERE key BETWEEN 10 AND 20;
.connection 2
INSERT INTO kv VALUES(21, 'outside');
.connection 1
REPLACE INTO kv VALUES('count', 3);
.print T1 commits
COMMIT;
BEGIN;
SELECT 'T1 reads', key FROM kv WHERE key >= 10 ORDER BY key LIMIT 1;
.connection 2
INSERT INTO kv VALUES(12, 'behind');
.connection 1
REPLACE INTO kv VALUES('first', 10);
.print T1 commits
COMMIT;
.connection 0
SELECT key, value FROM kv;
DELETE FROM kv;

-- The read-only anomaly (Fekete et al., 2004): T2 withdraws and is charged for an overdraft, T1 has paid in meanwhile,
-- and a third transaction that only reads has seen T1's payment, but not T2's charge.
-- T2 fails: it has not seen the payment.
.print
.print read-only anomaly
.connection 0
INSERT INTO kv VALUES('checking', 0), ('savings', 0);
.connection 2
BEGIN;
SELECT 'T2 reads', key, value FROM kv;
.connection 1
BEGIN;
UPDATE kv SET value = value + 20 WHERE key = 'savings';
.print T1 commits
COMMIT;
.connection 0
SELECT 'T3 reads', key, value FROM kv;
.connection 2
REPLACE INTO kv VALUES('checking', -11);
.print T2 commits, which must fail
COMMIT;
.connection 0
SELECT key, value FROM kv;
