-- A durable work queue. A job's key orders it: state, priority, number. Taking a job moves it from one
-- range of keys to another, in a transaction; two workers that take the same one cannot both commit.
.load ./txkv
CREATE VIRTUAL TABLE temp.jobs USING txkv('store');

INSERT INTO jobs VALUES
  ('ready:1:0001', '{"task":"send mail"}'),
  ('ready:0:0002', '{"task":"restart the pump"}'),
  ('ready:1:0003', '{"task":"write the report"}');

-- The most urgent job: the first key of the range. No sorter: the table is in key order.
SELECT key, value ->> 'task' FROM jobs WHERE key >= 'ready:' AND key < 'ready;' ORDER BY key LIMIT 1;

BEGIN;
UPDATE jobs SET key = 'taken' || substr(key, 6)
  WHERE key = (SELECT key FROM jobs WHERE key >= 'ready:' AND key < 'ready;' ORDER BY key LIMIT 1);
COMMIT;

-- The pump's worker died; its job goes back.
BEGIN;
UPDATE jobs SET key = 'ready' || substr(key, 6) WHERE key GLOB 'taken:*';
COMMIT;

BEGIN;
DELETE FROM jobs WHERE key = 'ready:0:0002';
COMMIT;
SELECT key, value ->> 'task' FROM jobs ORDER BY key;
