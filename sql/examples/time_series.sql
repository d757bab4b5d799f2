-- Measurements of many sensors. The primary key is (sensor, time): what one sensor measured in a stretch of time is
-- one range of keys, in order, and two sensors that write at the same time never touch each other's keys.
.load ./txkv
CREATE VIRTUAL TABLE temp.samples USING txkv('store', sensor TEXT, time INT, celsius REAL NOT NULL, PRIMARY KEY(sensor, time), sync=normal);
CREATE TABLE sensors(name TEXT PRIMARY KEY, place TEXT);
INSERT INTO sensors VALUES('boiler', 'cellar'), ('door', 'hall'), ('roof', 'outside'), ('spare', 'cupboard');

-- Four hours of samples each minute: a wave of two hours, around the sensor's own temperature.
INSERT INTO samples
  WITH RECURSIVE minute(m) AS (SELECT 0 UNION ALL SELECT m + 1 FROM minute WHERE m < 239)
  SELECT name, 1700000000 + 60 * m, 10 * length(name) + abs(m % 120 - 60) * 0.25
  FROM minute, sensors WHERE name <> 'spare';
SELECT count(*) FROM samples;

-- A sample comes twice when a sensor has not heard that it was taken: the second one changes nothing.
INSERT OR IGNORE INTO samples VALUES('roof', 1700000000, -99);
SELECT changes(), celsius FROM samples WHERE sensor = 'roof' AND time = 1700000000;

-- Five minutes of one sensor.
SELECT time(time, 'unixepoch'), celsius FROM samples WHERE sensor = 'boiler' AND time BETWEEN 1700003600 AND 1700003840;
EXPLAIN QUERY PLAN SELECT celsius FROM samples WHERE sensor = 'boiler' AND time BETWEEN 1700003600 AND 1700003840;

-- The last value of every sensor: for each one the end of its range, however many samples it has.
SELECT place, (SELECT celsius FROM samples WHERE sensor = name ORDER BY time DESC LIMIT 1) AS latest
  FROM sensors ORDER BY place;

-- By the hour, for whoever draws it.
SELECT sensor, datetime(time / 3600 * 3600, 'unixepoch') AS hour, count(*), min(celsius), round(avg(celsius), 2), max(celsius)
  FROM samples WHERE sensor IN ('boiler', 'roof') AND time >= 1700000000
  GROUP BY sensor, time / 3600 ORDER BY sensor, hour;

-- Where it got warmer by most from one quarter of an hour to the next.
SELECT sensor, datetime(quarter * 900, 'unixepoch'), rise FROM (
    SELECT sensor, quarter, warmth - lag(warmth) OVER (PARTITION BY sensor ORDER BY quarter) AS rise FROM (
        SELECT sensor, time / 900 AS quarter, avg(celsius) AS warmth FROM samples GROUP BY sensor, time / 900))
  ORDER BY rise DESC, sensor, quarter LIMIT 3;

-- Retention: what is older than an hour is kept as one row for each hour, in a second table of the same store. One
-- transaction moves it: nobody sees a sample in both tables or in none.
CREATE VIRTUAL TABLE temp.hours USING txkv('store', sensor TEXT, hour INT, samples INT, low REAL, mean REAL, high REAL, PRIMARY KEY(sensor, hour));
BEGIN;
REPLACE INTO hours
  SELECT sensor, time / 3600, count(*), min(celsius), avg(celsius), max(celsius)
  FROM samples WHERE time < 1700010000 GROUP BY sensor, time / 3600;
DELETE FROM samples WHERE time < 1700010000;
COMMIT;
SELECT (SELECT count(*) FROM samples), (SELECT count(*) FROM hours), (SELECT sum(samples) FROM hours);
SELECT sensor, datetime(hour * 3600, 'unixepoch'), samples, round(mean, 2) FROM hours WHERE sensor = 'door' ORDER BY hour;
