/* Arrow columns as the kernel reads them. Nothing is read that a buffer's length does not cover. */

#ifndef LINKAGE_KERNEL_COLUMNS_H
#define LINKAGE_KERNEL_COLUMNS_H

#include <stdint.h>
#include <string.h>

enum { OFFSETS_32 = 0, OFFSETS_64 = 1, VIEWS = 2, FIXED_16 = 3, INT_64 = 4 };
enum { CORRUPT = -1, NOTHING = 0, SOMETHING = 1 };

typedef struct {
    const uint8_t *bytes;
    int64_t length;
} Bytes;

typedef struct {
    int layout;
    Bytes validity; /* a bit for each row, least significant first; no bytes where all rows are there */
    Bytes index;    /* offsets, views, or the values themselves */
    const Bytes *data;
    int64_t data_count;
    int64_t offset, rows;
} Column;

static const int64_t WIDTH[] = {4, 8, 16, 16, 8};

/* Whether every row's entry in the index and in the validity bitmap is inside its buffer. */
static int covered(const Column *column) {
    int64_t most = (int64_t)1 << 56, last;
    if (column->offset < 0 || column->rows < 0 || column->offset > most || column->rows > most) return 0;
    last = column->offset + column->rows;
    if (column->validity.bytes && column->validity.length < (last + 7) / 8) return 0;
    if (column->rows == 0) return 1;
    if (column->layout <= OFFSETS_64) last++;
    if (column->layout <= OFFSETS_64 && column->data_count != 1) return 0;
    return column->index.length / WIDTH[column->layout] >= last;
}

static inline int inside(const Bytes *buffer, int64_t start, int64_t length) {
    return start >= 0 && length >= 0 && start <= buffer->length && length <= buffer->length - start;
}

/* The bytes of one row of text, binary or fixed 16 bytes. */
static inline int value_at(const Column *column, int64_t row, const uint8_t **bytes, int64_t *length) {
    int64_t at = column->offset + row, from, to;
    const uint8_t *entry = column->index.bytes + at * WIDTH[column->layout];
    if (column->validity.bytes && !(column->validity.bytes[at >> 3] >> (at & 7) & 1)) return NOTHING;
    if (column->layout == FIXED_16) {
        *bytes = entry;
        *length = 16;
        return SOMETHING;
    }
    if (column->layout == VIEWS) {
        int32_t view[4];
        memcpy(view, entry, 16);
        *length = view[0];
        if (view[0] < 0) return CORRUPT;
        if (view[0] <= 12) {
            *bytes = entry + 4;
            return SOMETHING;
        }
        if (view[2] < 0 || view[2] >= column->data_count) return CORRUPT;
        if (!inside(&column->data[view[2]], view[3], view[0])) return CORRUPT;
        *bytes = column->data[view[2]].bytes + view[3];
        return SOMETHING;
    }
    if (column->layout == OFFSETS_32) {
        int32_t pair[2];
        memcpy(pair, entry, 8);
        from = pair[0], to = pair[1];
    } else {
        int64_t pair[2];
        memcpy(pair, entry, 16);
        from = pair[0], to = pair[1];
    }
    if (from < 0 || to < from || !inside(column->data, from, to - from)) return CORRUPT;
    *bytes = column->data->bytes + from;
    *length = to - from;
    return SOMETHING;
}

/* One row of integers. */
static inline int integer_at(const Column *column, int64_t row, int64_t *value) {
    int64_t at = column->offset + row;
    if (column->validity.bytes && !(column->validity.bytes[at >> 3] >> (at & 7) & 1)) return NOTHING;
    memcpy(value, column->index.bytes + at * 8, 8);
    return SOMETHING;
}

#endif
