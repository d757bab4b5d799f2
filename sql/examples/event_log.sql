-- Events by time: the key is the moment and a number, so that a stretch of time is a range of keys. A native
-- table knows the devices; a join brings them together.
.load ./txkv
CREATE VIRTUAL TABLE temp.events USING txkv('store', sync=normal);
CREATE TABLE devices(id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO devices VALUES(1, 'boiler'), (2, 'pump');

INSERT INTO events
  WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
  SELECT strftime('%Y-%m-%dT%H:%M:%S', '2024-02-28', (i * 137) || ' seconds') || printf('#%04d', i),
         json_object('device', 1 + i % 2, 'celsius', 20 + i % 60)
  FROM n;

-- One hour, by device.
SELECT name, count(*), min(value ->> 'celsius'), max(value ->> 'celsius')
  FROM events JOIN devices ON id = value ->> 'device'
  WHERE key >= '2024-02-28T12' AND key < '2024-02-28T13'
  GROUP BY name ORDER BY name;

-- The newest three: the range from its end.
SELECT substr(key, 1, 19), value ->> 'celsius' FROM events ORDER BY key DESC LIMIT 3;

-- Yesterday's may go.
DELETE FROM events WHERE key < '2024-02-29';
SELECT count(*) FROM events;
