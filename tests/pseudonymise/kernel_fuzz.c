/* Arbitrary bytes as columns, into the kernel without Python: nothing outside a buffer may be read or written.

   With a fuzzer:    clang -g -fsanitize=fuzzer,address,undefined -DFUZZER -I src/linkage/pseudonymise <this file>
   Without one:      cc -g -fsanitize=address,undefined -I src/linkage/pseudonymise <this file> && ./a.out 20000
   Every buffer is allocated with exactly the bytes it may have, so that the sanitizers or valgrind see a step too far.
   All paths of a processor must make the same, and two processors print the same last line. */

#include <stdio.h>
#include <stdlib.h>

#include "_kernel_tokens.h"
#include "_kernel_selftest.h"

typedef struct {
    const uint8_t *at;
    size_t left;
} Input;

static uint64_t take(Input *input, size_t bytes) {
    uint64_t value = 0;
    while (bytes--) {
        value = value << 8 | (input->left ? *input->at : 0);
        if (input->left) input->at++, input->left--;
    }
    return value;
}

/* Some of the input, in memory of its own with not a byte to spare. */
static Bytes piece(Input *input, size_t wanted) {
    size_t length = wanted < input->left ? wanted : input->left;
    uint8_t *copy = malloc(length ? length : 1);
    if (!copy) abort();
    memcpy(copy, input->at, length);
    input->at += length;
    input->left -= length;
    return (Bytes){copy, (int64_t)length};
}

/* Of everything made on the first path so far (FNV-1a), so that two processors can be compared. */
static uint64_t made = 14695981039346656037u;

static void remember(const void *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) made = (made ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
}

typedef struct {
    uint8_t *tokens, *reasons;
    int64_t *numbers;
    size_t rows;
} Out;

static Out room(size_t rows) {
    Out out = {malloc(16 * rows + 1), malloc(rows + 1), malloc(8 * rows + 1), rows};
    if (!out.tokens || !out.reasons || !out.numbers) abort();
    return out;
}

static void give_back(Out out) {
    free(out.tokens);
    free(out.reasons);
    free(out.numbers);
}

/* Every path must have made what the first one did. */
static void compare(const Out *out, const Out *first, int tokens, int numbers) {
    size_t rows = out->rows;
    if (tokens && memcmp(out->tokens, first->tokens, 16 * rows)) abort();
    if (tokens && memcmp(out->reasons, first->reasons, rows)) abort();
    if (numbers && memcmp(out->numbers, first->numbers, 8 * rows)) abort();
    if (out != first) return;
    if (tokens) remember(out->tokens, 16 * rows), remember(out->reasons, rows);
    if (numbers) remember(out->numbers, 8 * rows);
}

/* Numbers to tokens; what was made leads back to where it came from. */
static void there_and_back(const Keys *keys, Compress compress, const Column *column, int flags, Out *out, Out *first) {
    size_t rows = out->rows;
    Column tokens = {FIXED_16, {NULL, 0}, {out->tokens, (int64_t)(16 * rows)}, NULL, 0, 0, column->rows};
    if (!tokenise(keys, compress, column, flags, out->tokens, out->reasons)) return;
    reverse(keys, NULL, compress, &tokens, out->numbers, NULL, NULL);
    for (size_t i = 0; i < rows; i++) {
        if ((out->reasons[i] == USABLE) != (out->numbers[i] >= 0) && !(flags & CHECKED_ALREADY)) abort();
    }
    compare(out, first, 1, 1);
}

static void try_all(const Column *column, int flags, Bytes prefix) {
    Out first = room((size_t)column->rows), other = room((size_t)column->rows);
    Path paths[3];
    int count = available(paths);
    Keys keys;
    memset(&keys, 0, sizeof keys);
    take_in(DEMO_MAC, &keys.mac);
    take_in(DEMO_ENC, &keys.enc);
    take_in(DEMO_MAC, &keys.record);
    /* One function after the other, so that what the first path made is still there for the second. */
    for (int path = 0; path < count; path++)
        there_and_back(&keys, paths[path].compress, column, flags, path ? &other : &first, &first);
    for (int path = 0; path < count && column->layout != INT_64; path++) {
        Out *out = path ? &other : &first;
        if (reverse(&keys, NULL, paths[path].compress, column, out->numbers, NULL, NULL)) compare(out, &first, 0, 1);
    }
    for (int path = 0; path < count && column->layout != INT_64; path++) {
        Out *out = path ? &other : &first;
        if (reverse(&keys, &keys, paths[path].compress, column, NULL, out->tokens, out->reasons))
            compare(out, &first, 1, 0);
    }
    for (int path = 0; path < count && column->layout != INT_64; path++) {
        Out *out = path ? &other : &first;
        if (record(&keys, paths[path].compress, prefix, column, flags & 1, out->tokens, out->reasons))
            compare(out, &first, 1, 0);
    }
    give_back(first);
    give_back(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input input = {data, size};
    Column column;
    Bytes pieces[2], prefix;
    int flags = (int)take(&input, 1) & 7;
    memset(&column, 0, sizeof column);
    column.layout = (int)take(&input, 1) % 5;
    column.data_count = column.layout <= OFFSETS_64 ? 1 : (int64_t)take(&input, 1) % 3;
    column.offset = (int64_t)take(&input, 1) % 9;
    column.rows = (int64_t)take(&input, 1);
    if (take(&input, 1) & 1) column.validity = piece(&input, (size_t)(column.offset + column.rows + 7) / 8);
    prefix = piece(&input, (size_t)take(&input, 1) % 80);
    column.index = piece(&input, (size_t)(WIDTH[column.layout] * (column.offset + column.rows + 1)));
    pieces[0] = piece(&input, (size_t)take(&input, 2) % 400);
    pieces[1] = piece(&input, input.left);
    column.data = pieces;
    if (covered(&column)) try_all(&column, flags, prefix);
    free((void *)column.validity.bytes);
    free((void *)prefix.bytes);
    free((void *)column.index.bytes);
    free((void *)pieces[0].bytes);
    free((void *)pieces[1].bytes);
    return 0;
}

#ifndef FUZZER
/* Inputs that are often nearly right: offsets and views that mostly stay inside, text that is mostly digits. */
static void nearly_right(uint8_t *bytes, size_t size, uint64_t *state) {
    for (size_t i = 0; i < size; i++) {
        *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
        bytes[i] = (uint8_t)(*state >> 32);
        if (*state & 3) bytes[i] = i % 4 == 0 ? bytes[i] % 24 : 0;
        if (i > size / 2 && *state & 28) bytes[i] = (uint8_t)('0' + bytes[i] % 10);
    }
}

int main(int count, char **given) {
    long rounds = count > 1 ? atol(given[1]) : 1000, used = 0;
    uint64_t state = 88172645463325252u;
    uint8_t bytes[3000];
    Path paths[3];
    for (int path = 0; path < available(paths); path++) {
        if (!passes(paths[path].compress)) return 1;
        printf("%s: right\n", paths[path].name);
    }
    for (long round = 0; round < rounds; round++) {
        nearly_right(bytes, sizeof bytes, &state);
        bytes[1] = (uint8_t)(round % 5);
        used += LLVMFuzzerTestOneInput(bytes, (size_t)(state % sizeof bytes)) == 0;
    }
    printf("%ld inputs, made %016llx\n", used, (unsigned long long)made);
    return 0;
}
#endif
