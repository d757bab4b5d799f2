/*
 * options.c - defaults and ranges of struct txkv_options.
 */
#include "options.h"

static const uint64_t KIB = 1024, MIB = 1024 * 1024, GIB = 1024 * 1024 * 1024;

static enum txkv_rc
check_range(const char *name, uint64_t value, uint64_t least, uint64_t most, struct txkv_error *err)
{
    if (value == 0 || (value >= least && value <= most))
        return TXKV_OK;
    return tx_fail(err, TXKV_MISUSE, "%s=%llu is out of range: it takes %llu to %llu", name,
                   (unsigned long long)value, (unsigned long long)least, (unsigned long long)most);
}

enum txkv_rc
tx_options_check(const struct txkv_options *o, struct txkv_error *err)
{
    enum txkv_rc rc = check_range("flush_interval_ms", o->flush_interval_ms, 1, 60000, err);

    if (rc == TXKV_OK)
        rc = check_range("checkpoint_interval", o->checkpoint_interval_s, 1, 86400, err);
    if (rc == TXKV_OK)
        rc = check_range("checkpoint_bytes", o->checkpoint_bytes, 64 * KIB, 1024 * GIB, err);
    if (rc == TXKV_OK)
        rc = check_range("map_size", o->map_size, MIB, 64 * 1024 * GIB, err);
    if (rc == TXKV_OK)
        rc = check_range("overlay_limit", o->overlay_limit, MIB, 1024 * GIB, err);
    if (rc == TXKV_OK)
        rc = check_range("stall_timeout_ms", o->stall_timeout_ms, 1, 3600000, err);
    if (rc == TXKV_OK)
        rc = check_range("snapshot_timeout_s", o->snapshot_timeout_s, 1, 86400, err);
    if (rc == TXKV_OK)
        rc = check_range("segment_bytes", o->segment_bytes, 64 * KIB, GIB, err);
    if (rc == TXKV_OK && o->segment_bytes % 4096 != 0)
        rc = tx_fail(err, TXKV_MISUSE, "segment_bytes=%u is not a multiple of 4096",
                     o->segment_bytes);
    if (rc == TXKV_OK && o->archive_dir != NULL && o->archive_dir[0] == '\0')
        rc = tx_fail(err, TXKV_MISUSE, "archive_dir is empty: name a directory, or \"off\"");
    if (rc == TXKV_OK && (uint32_t)o->decide > TXKV_DECIDED_ABORT)
        rc = tx_fail(err, TXKV_MISUSE, "decide=%d is none of enum txkv_decision", (int)o->decide);
    return rc;
}

void
tx_options_fill(struct txkv_options *o)
{
    if (o->flush_interval_ms == 0)
        o->flush_interval_ms = 10;
    if (o->checkpoint_interval_s == 0)
        o->checkpoint_interval_s = 60;
    if (o->checkpoint_bytes == 0)
        o->checkpoint_bytes = 64 * MIB;
    if (o->map_size == 0)
        o->map_size = 64 * GIB;
    if (o->overlay_limit == 0)
        o->overlay_limit = 256 * MIB;
    if (o->stall_timeout_ms == 0)
        o->stall_timeout_ms = 10000;
    if (o->segment_bytes == 0)
        o->segment_bytes = (uint32_t)(16 * MIB);
}

static void
apply(uint64_t value, uint64_t scale, uint64_t *limit)
{
    if (value != 0)
        tx_store_relaxed_64(limit, value * scale);
}

void
tx_options_apply(const struct txkv_options *o, struct tx_limits *limits)
{
    apply(o->flush_interval_ms, 1000, &limits->flush_interval_us);
    apply(o->checkpoint_interval_s, 1000000, &limits->checkpoint_interval_us);
    apply(o->checkpoint_bytes, 1, &limits->checkpoint_bytes);
    apply(o->overlay_limit, 1, &limits->overlay_limit);
    apply(o->stall_timeout_ms, 1000, &limits->stall_timeout_us);
    apply(o->snapshot_timeout_s, 1000000, &limits->snapshot_timeout_us);
}
