/* The token format, version 1, over columns: the same bytes as token.py, as fast as the processor allows.

   Rows go through one stage after another, ROWS at a time, so that every stage is many independent compressions. Every
   buffer of this file that held digits, codes or key states is wiped after use. */

#ifndef LINKAGE_KERNEL_TOKENS_H
#define LINKAGE_KERNEL_TOKENS_H

#include "_kernel_columns.h"
#include "_kernel_numbers.h"
#include "_kernel_sha256.h"

#define ROWS 64 /* at a time: their blocks and states stay in the first-level cache */
#define MASK_HI UINT64_C(0xffffffffffff0fff)
#define VERSION UINT64_C(0x8000)
#define MASK_LO UINT64_C(0x3fffffffffffffff)
#define VARIANT (UINT64_C(1) << 63)

typedef struct {
    State inner, outer;
} Keyed;

typedef struct {
    Keyed mac, enc, record;
} Keys;

static void wipe(void *memory, size_t size) {
    volatile uint8_t *byte = memory;
    while (size--) *byte++ = 0;
}

static inline uint32_t load32(const uint8_t *from) {
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static inline void store64(uint8_t *to, uint64_t value) {
    for (int i = 0; i < 8; i++) to[i] = (uint8_t)(value >> (56 - 8 * i));
}

static inline uint64_t load64(const uint8_t *from) { return (uint64_t)load32(from) << 32 | load32(from + 4); }

/* ---- HMAC-SHA-256 (RFC 2104) with the key already taken in ---- */

static void take_in(const uint8_t key[32], Keyed *keyed) {
    Block pads[2];
    State states[2];
    for (int i = 0; i < 16; i++) {
        uint32_t word = i < 8 ? load32(key + 4 * i) : 0;
        pads[0].w[i] = word ^ 0x36363636;
        pads[1].w[i] = word ^ 0x5c5c5c5c;
    }
    compress_portable(&INITIAL, pads, states, 2);
    keyed->inner = states[0];
    keyed->outer = states[1];
    wipe(pads, sizeof pads);
    wipe(states, sizeof states);
}

/* Blocks for the outer hash from the states of the inner one. */
static void wrap(const State *states, Block *blocks, size_t count) {
    for (size_t i = 0; i < count; i++) {
        memset(blocks[i].w + 8, 0, 32);
        memcpy(blocks[i].w, states[i].h, 32);
        blocks[i].w[8] = 0x80000000;
        blocks[i].w[15] = (64 + 32) * 8;
    }
}

/* HMAC of messages of one block each, which `blocks` holds padded; they are overwritten. */
static void hmac_each(Compress compress, const Keyed *keyed, Block *blocks, State *codes, size_t count) {
    compress(&keyed->inner, blocks, codes, count);
    wrap(codes, blocks, count);
    compress(&keyed->outer, blocks, codes, count);
}

/* ---- person tokens ---- */

typedef struct {
    Block blocks[ROWS];
    State codes[ROWS];
    uint64_t hi[ROWS];
    Digits digits[ROWS];
    int64_t row[ROWS];
    uint32_t s[ROWS];
    uint32_t low[ROWS];
    size_t count;
} Work;

/* The 92 bits that identify each number: `hi` and `s`. */
static void identify(const Keys *keys, Compress compress, Work *work) {
    for (size_t i = 0; i < work->count; i++) {
        const uint8_t *text = work->digits[i].text;
        Block *block = &work->blocks[i];
        memset(block->w + 3, 0, 48);
        block->w[0] = load32(text);
        block->w[1] = load32(text + 4);
        block->w[2] = (uint32_t)text[8] << 24 | (uint32_t)text[9] << 16 | 0x8000;
        block->w[15] = (64 + 10) * 8;
    }
    hmac_each(compress, &keys->mac, work->blocks, work->codes, work->count);
    for (size_t i = 0; i < work->count; i++) {
        const uint32_t *h = work->codes[i].h;
        work->hi[i] = (((uint64_t)h[0] << 32 | h[1]) & MASK_HI) | VERSION;
        work->s[i] = h[2];
    }
}

/* The 30 bits of keystream that belong to `hi` and `s`, into `low`. */
static void keystream(const Keys *keys, Compress compress, Work *work) {
    for (size_t i = 0; i < work->count; i++) {
        Block *block = &work->blocks[i];
        memset(block->w + 4, 0, 48);
        block->w[0] = (uint32_t)(work->hi[i] >> 32);
        block->w[1] = (uint32_t)work->hi[i];
        block->w[2] = work->s[i];
        block->w[3] = 0x80000000;
        block->w[15] = (64 + 12) * 8;
    }
    hmac_each(compress, &keys->enc, work->blocks, work->codes, work->count);
    for (size_t i = 0; i < work->count; i++) work->low[i] = work->codes[i].h[0] >> 2;
}

static void make_tokens(const Keys *keys, Compress compress, Work *work, uint8_t *tokens) {
    identify(keys, compress, work);
    keystream(keys, compress, work);
    for (size_t i = 0; i < work->count; i++) {
        uint8_t *token = tokens + 16 * work->row[i];
        store64(token, work->hi[i]);
        store64(token + 8, VARIANT | (uint64_t)work->s[i] << 30 | (work->low[i] ^ (uint32_t)(work->digits[i].number / 10)));
    }
    work->count = 0;
}

/* Tokens and reasons of a column; false when its buffers contradict each other. */
static int tokenise(const Keys *keys, Compress compress, const Column *column, int flags, uint8_t *tokens,
                    uint8_t *reasons) {
    Work work;
    int good = 1;
    work.count = 0;
    for (int64_t row = 0; row < column->rows && good; row++) {
        Digits *digits = &work.digits[work.count];
        int found, reason;
        if (column->layout == INT_64) {
            int64_t value;
            found = integer_at(column, row, &value);
            reason = found ? read_integer(value, flags, digits) : MISSING;
        } else {
            const uint8_t *text;
            int64_t length;
            found = value_at(column, row, &text, &length);
            if (found == CORRUPT) good = 0;
            reason = found == SOMETHING ? read_number(text, length, flags, digits) : MISSING;
        }
        reasons[row] = (uint8_t)reason;
        if (reason != USABLE) {
            memset(tokens + 16 * row, 0, 16);
            continue;
        }
        work.row[work.count] = row;
        if (++work.count == ROWS) make_tokens(keys, compress, &work, tokens);
    }
    make_tokens(keys, compress, &work, tokens);
    wipe(&work, sizeof work);
    return good;
}

/* ---- the way back ---- */

static inline int has_form(const uint8_t *token) { return token[6] >> 4 == 8 && token[8] >> 6 == 2; }

/* The numbers behind `work->row` tokens, -1 where one is refused. All comparisons are made for every token. */
static void unmake(const Keys *keys, Compress compress, Work *work, const uint8_t (*tokens)[16], int64_t *numbers) {
    uint64_t hi[ROWS];
    uint32_t s[ROWS], cipher[ROWS];
    int valid[ROWS];
    for (size_t i = 0; i < work->count; i++) {
        uint64_t lo = load64(tokens[i] + 8);
        hi[i] = work->hi[i] = load64(tokens[i]);
        s[i] = work->s[i] = (uint32_t)(lo >> 30);
        cipher[i] = (uint32_t)lo & 0x3fffffff;
    }
    keystream(keys, compress, work);
    for (size_t i = 0; i < work->count; i++) {
        uint32_t nine = cipher[i] ^ work->low[i];
        valid[i] = nine < 1000000000;
        valid[i] &= complete(valid[i] ? nine : 0, &work->digits[i]);
    }
    identify(keys, compress, work);
    for (size_t i = 0; i < work->count; i++) {
        uint64_t difference = (work->hi[i] ^ hi[i]) | (work->s[i] ^ s[i]);
        numbers[work->row[i]] = difference || !valid[i] ? -1 : work->digits[i].number;
    }
    wipe(hi, sizeof hi);
    wipe(s, sizeof s);
    work->count = 0;
}

/* Of a column of tokens: their numbers, -1 where one is refused, or with `target` its tokens and reasons (1: refused). */
static int reverse(const Keys *keys, const Keys *target, Compress compress, const Column *column, int64_t *numbers,
                   uint8_t *tokens, uint8_t *reasons) {
    Work work;
    uint8_t batch[ROWS][16];
    int64_t found[ROWS];
    int good = 1;
    work.count = 0;
    for (int64_t start = 0; start < column->rows && good; start += ROWS) {
        int64_t rows = column->rows - start < ROWS ? column->rows - start : ROWS;
        for (int64_t i = 0; i < rows; i++) {
            const uint8_t *token;
            int64_t length;
            int there = value_at(column, start + i, &token, &length);
            if (there == CORRUPT) good = 0;
            found[i] = -1;
            if (there != SOMETHING || length != 16 || !has_form(token)) continue;
            memcpy(batch[work.count], token, 16);
            work.row[work.count++] = i;
        }
        unmake(keys, compress, &work, (const uint8_t(*)[16])batch, found);
        if (!target) {
            memcpy(numbers + start, found, sizeof *found * (size_t)rows);
            continue;
        }
        for (int64_t i = 0; i < rows; i++) {
            reasons[start + i] = found[i] < 0;
            memset(tokens + 16 * (start + i), 0, 16);
            if (found[i] < 0) continue;
            work.digits[work.count].number = found[i];
            spell(found[i], work.digits[work.count].text);
            work.row[work.count++] = start + i;
        }
        make_tokens(target, compress, &work, tokens);
    }
    wipe(&work, sizeof work);
    wipe(batch, sizeof batch);
    wipe(found, sizeof found);
    return good;
}

/* ---- record tokens ---- */

static void put(Block *block, size_t at, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) block->w[(at + i) >> 2] |= (uint32_t)bytes[i] << (24 - 8 * ((at + i) & 3));
}

/* HMAC of a message of any length, a block at a time. */
static void hmac_long(Compress compress, const Keyed *keyed, Bytes prefix, Bytes value, State *code) {
    State state = keyed->inner, after;
    int64_t total = prefix.length + value.length, padded = (total + 9 + 63) / 64 * 64;
    uint64_t bits = (uint64_t)(64 + total) * 8;
    Block block;
    for (int64_t at = 0; at < padded; at += 64) {
        memset(&block, 0, sizeof block);
        for (int64_t i = at; i < at + 64; i++) {
            uint8_t byte = 0;
            if (i < prefix.length) byte = prefix.bytes[i];
            else if (i < total) byte = value.bytes[i - prefix.length];
            else if (i == total) byte = 0x80;
            else if (i >= padded - 8) byte = (uint8_t)(bits >> 8 * (padded - 1 - i));
            put(&block, (size_t)(i - at), &byte, 1);
        }
        compress(&state, &block, &after, 1);
        state = after;
    }
    wrap(&state, &block, 1);
    compress(&keyed->outer, &block, code, 1);
    wipe(&block, sizeof block);
    wipe(&state, sizeof state);
    wipe(&after, sizeof after);
}

static void stamp(const State *code, uint8_t *token) {
    const uint32_t *h = code->h;
    store64(token, (((uint64_t)h[0] << 32 | h[1]) & MASK_HI) | VERSION);
    store64(token + 8, (((uint64_t)h[2] << 32 | h[3]) & MASK_LO) | VARIANT);
}

static void stamp_each(const Keys *keys, Compress compress, Work *work, uint8_t *tokens) {
    hmac_each(compress, &keys->record, work->blocks, work->codes, work->count);
    for (size_t i = 0; i < work->count; i++) stamp(&work->codes[i], tokens + 16 * work->row[i]);
    work->count = 0;
}

static int record(const Keys *keys, Compress compress, Bytes prefix, const Column *column, int formed, uint8_t *tokens,
                  uint8_t *reasons) {
    Work work;
    Block start;
    int good = 1;
    memset(&start, 0, sizeof start);
    if (prefix.length < 56) put(&start, 0, prefix.bytes, (size_t)prefix.length);
    work.count = 0;
    for (int64_t row = 0; row < column->rows; row++) {
        static const uint8_t end = 0x80;
        Bytes value;
        int found = value_at(column, row, &value.bytes, &value.length);
        if (found == CORRUPT) {
            good = 0;
            break;
        }
        reasons[row] = found != SOMETHING || (formed && (value.length != 16 || !has_form(value.bytes)));
        if (reasons[row]) {
            memset(tokens + 16 * row, 0, 16);
        } else if (prefix.length + value.length > 55) {
            State code;
            hmac_long(compress, &keys->record, prefix, value, &code);
            stamp(&code, tokens + 16 * row);
            wipe(&code, sizeof code);
        } else {
            Block *block = &work.blocks[work.count];
            size_t total = (size_t)(prefix.length + value.length);
            *block = start;
            put(block, (size_t)prefix.length, value.bytes, (size_t)value.length);
            put(block, total, &end, 1);
            block->w[15] = (uint32_t)(64 + total) * 8;
            work.row[work.count] = row;
            if (++work.count == ROWS) stamp_each(keys, compress, &work, tokens);
        }
    }
    stamp_each(keys, compress, &work, tokens);
    wipe(&work, sizeof work);
    return good;
}

#endif
