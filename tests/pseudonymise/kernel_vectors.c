/* Published vectors into the kernel's own functions, without Python, for every path of the processor it runs on.

   Names the paths, one a line, then answers each line of its input with one digest for each path:
     sha256 MESSAGE        hmac KEY MESSAGE        in hexadecimal, "-" where there are no bytes
   Keys of 33 to 64 bytes are not taken: the kernel's are 32, shorter ones are padded and longer ones hashed. Where an
   answer depends on the lane, on the neighbours or on where a message is cut, that is said instead of a digest. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "_kernel_tokens.h"
#include "_kernel_selftest.h"

#define MOST (1 << 20)
enum { LANES = 5 };

static uint8_t key[MOST], message[MOST];
static char line[4 * MOST];

static int64_t from_hex(const char *hex, uint8_t *bytes) {
    int64_t length = 0;
    for (; isxdigit((unsigned char)hex[0]) && length < MOST; hex += 2) {
        char pair[3] = {hex[0], hex[1], 0};
        bytes[length++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return length;
}

static State sha256(Compress compress, const uint8_t *bytes, int64_t length) {
    State state = INITIAL, after;
    Block block;
    for (int64_t at = 0; at < (length + 9 + 63) / 64 * 64; at += 64) {
        int64_t left = length - at;
        memset(&block, 0, sizeof block);
        if (left > 0) put(&block, 0, bytes + at, left < 64 ? (size_t)left : 64);
        if (left >= 0 && left < 64) put(&block, (size_t)left, (const uint8_t *)"\x80", 1);
        if (left < 56) block.w[15] = (uint32_t)length * 8;
        compress(&state, &block, &after, 1);
        state = after;
    }
    return state;
}

/* Messages of one block go through the batches of hmac_each, among others that differ in one byte. */
static int lanes_agree(Compress compress, const Keyed *keyed, int64_t length, const State *code) {
    Block blocks[LANES];
    State codes[LANES];
    for (size_t count = 1; count <= LANES; count++) {
        for (size_t lane = 0; lane < count; lane++) {
            memset(blocks, 0, sizeof blocks);
            for (size_t i = 0; i < count; i++) {
                put(&blocks[i], 0, message, (size_t)length);
                put(&blocks[i], (size_t)length, (const uint8_t *)"\x80", 1);
                blocks[i].w[15] = (uint32_t)(64 + length) * 8;
                if (i != lane) blocks[i].w[i] ^= 1;
            }
            hmac_each(compress, keyed, blocks, codes, count);
            for (size_t i = 0; i < count; i++) {
                if ((memcmp(&codes[i], code, sizeof *code) == 0) != (i == lane)) return 0;
            }
        }
    }
    return 1;
}

static int hmac(Compress compress, int64_t key_length, int64_t length, State *code) {
    uint8_t taken[32] = {0};
    Keyed keyed;
    if (key_length > 64) {
        State hashed = sha256(compress, key, key_length);
        for (int i = 0; i < 4; i++) store64(taken + 8 * i, (uint64_t)hashed.h[2 * i] << 32 | hashed.h[2 * i + 1]);
    } else if (key_length > 32) {
        return 0;
    } else {
        memcpy(taken, key, (size_t)key_length);
    }
    take_in(taken, &keyed);
    hmac_long(compress, &keyed, (Bytes){message, 0}, (Bytes){message, length}, code);
    for (int64_t cut = 1; cut <= length && cut <= 130; cut++) {
        State again;
        hmac_long(compress, &keyed, (Bytes){message, cut}, (Bytes){message + cut, length - cut}, &again);
        if (memcmp(&again, code, sizeof again)) return 0;
    }
    return length > 55 || lanes_agree(compress, &keyed, length, code);
}

static void answer(const char *what, Compress compress, int64_t key_length, int64_t length) {
    State code;
    if (!strcmp(what, "sha256")) {
        code = sha256(compress, message, length);
    } else if (!hmac(compress, key_length, length, &code)) {
        printf("none ");
        return;
    }
    for (int i = 0; i < 8; i++) printf("%08x", code.h[i]);
    printf(" ");
}

int main(void) {
    Path paths[3];
    int count = available(paths);
    for (int path = 0; path < count; path++) {
        if (!passes(paths[path].compress)) {
            printf("%s: wrong\n", paths[path].name);
            return 1;
        }
        printf("%s\n", paths[path].name);
    }
    printf("\n");
    while (fgets(line, sizeof line, stdin)) {
        const char *what = strtok(line, " \n"), *first = strtok(NULL, " \n"), *second = strtok(NULL, " \n");
        if (!what || !first) return 2;
        int64_t key_length = second ? from_hex(first, key) : 0, length = from_hex(second ? second : first, message);
        for (int path = 0; path < count; path++) answer(what, paths[path].compress, key_length, length);
        printf("\n");
    }
    return 0;
}
