/* Published answers for every path, every lane and every tail, tried when the module is loaded. */

#ifndef LINKAGE_KERNEL_SELFTEST_H
#define LINKAGE_KERNEL_SELFTEST_H

/* FIPS 180-4: the digests of "abc" and of nothing. */
static const State ABC = {{0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223, 0xb00361a3, 0x96177a9c, 0xb410ff61,
                           0xf20015ad}};
static const State EMPTY = {{0xe3b0c442, 0x98fc1c14, 0x9afbf4c8, 0x996fb924, 0x27ae41e4, 0x649b934c, 0xa495991b,
                             0x7852b855}};
/* RFC 4231, test case 2: a key of "Jefe". */
static const uint8_t JEFE[32] = "Jefe";
static const char NOTHING_TEXT[] = "what do ya want for nothing?";
static const State FOR_NOTHING = {{0x5bdcc146, 0xbf60754e, 0x6a042426, 0x089575c7, 0x5a003f08, 0x9d273983, 0x9dec58b9,
                                   0x64ec3843}};
/* The token format's own values for the domain ics:demo. */
static const uint8_t DEMO_MAC[32] = {0x60, 0x47, 0x17, 0x1b, 0x34, 0x6a, 0xe6, 0x91, 0x70, 0xf8, 0xd0,
                                     0x4c, 0x1a, 0x74, 0x86, 0xfd, 0x29, 0x2d, 0x33, 0xe5, 0xb6, 0xce,
                                     0x46, 0x3b, 0xac, 0x4c, 0xba, 0x5e, 0xd3, 0x09, 0x8a, 0xbb};
static const uint8_t DEMO_ENC[32] = {0x06, 0x22, 0xf6, 0xd5, 0x0a, 0x7e, 0x09, 0x69, 0x3c, 0x7d, 0xc6,
                                     0xdc, 0x15, 0x0c, 0xc7, 0xd2, 0x9e, 0x07, 0x11, 0xe6, 0xd0, 0x3b,
                                     0xdc, 0x01, 0xeb, 0xbd, 0x65, 0xbf, 0xa9, 0x2f, 0xda, 0x68};
static const int64_t DEMO_NUMBERS[3] = {INT64_C(9434765919), INT64_C(4000000632), INT64_C(101011113)};
static const uint8_t DEMO_TOKENS[3][16] = {
    {0x67, 0x77, 0x30, 0x98, 0x19, 0x3b, 0x81, 0xd0, 0x83, 0xc6, 0x01, 0xa4, 0xbf, 0x81, 0x81, 0x48},
    {0xc5, 0x14, 0x9a, 0xf5, 0x32, 0x49, 0x86, 0xb9, 0xa5, 0xe3, 0xc2, 0xdf, 0x2e, 0x5d, 0xba, 0xad},
    {0x99, 0x43, 0xbb, 0x88, 0x05, 0x5c, 0x89, 0xf5, 0xbe, 0x99, 0xf2, 0xfd, 0xbb, 0x38, 0x00, 0x72}};

static int hashes(Compress compress) {
    Block blocks[9];
    State states[9];
    memset(blocks, 0, sizeof blocks);
    for (int i = 0; i < 9; i++) {
        blocks[i].w[0] = i % 2 ? 0x80000000 : 0x61626380;
        blocks[i].w[15] = i % 2 ? 0 : 24;
    }
    for (size_t first = 0; first < 2; first++) {
        for (size_t count = 1; first + count <= 9; count++) {
            memset(states, 0, sizeof states);
            compress(&INITIAL, blocks + first, states, count);
            for (size_t i = 0; i < count; i++) {
                if (memcmp(&states[i], (first + i) % 2 ? &EMPTY : &ABC, sizeof *states)) return 0;
            }
        }
    }
    return 1;
}

static int authenticates(Compress compress) {
    Bytes text = {(const uint8_t *)NOTHING_TEXT, 28}, start = {text.bytes, 5}, rest = {text.bytes + 5, 23};
    Keyed keyed;
    State code;
    Block block;
    take_in(JEFE, &keyed);
    hmac_long(compress, &keyed, start, rest, &code);
    if (memcmp(&code, &FOR_NOTHING, sizeof code)) return 0;
    memset(&block, 0, sizeof block);
    put(&block, 0, text.bytes, 28);
    put(&block, 28, (const uint8_t *)"\x80", 1);
    block.w[15] = (64 + 28) * 8;
    hmac_each(compress, &keyed, &block, &code, 1);
    return !memcmp(&code, &FOR_NOTHING, sizeof code);
}

static int tokens_match(Compress compress) {
    int64_t numbers[2 * ROWS + 3], back[2 * ROWS + 3];
    uint8_t tokens[2 * ROWS + 3][16], reasons[2 * ROWS + 3];
    Keys keys;
    Column column;
    int good = 1;
    memset(&keys, 0, sizeof keys);
    memset(&column, 0, sizeof column);
    take_in(DEMO_MAC, &keys.mac);
    take_in(DEMO_ENC, &keys.enc);
    for (int i = 0; i < 2 * ROWS + 3; i++) numbers[i] = DEMO_NUMBERS[i % 3];
    for (int64_t rows = 1; good && rows <= 2 * ROWS + 3; rows += rows < 9 ? 1 : ROWS - 3) {
        column.rows = rows;
        column.layout = INT_64;
        column.index = (Bytes){(const uint8_t *)numbers, sizeof numbers};
        good = tokenise(&keys, compress, &column, 0, tokens[0], reasons);
        for (int64_t i = 0; i < rows; i++) good &= !reasons[i] && !memcmp(tokens[i], DEMO_TOKENS[i % 3], 16);
        column.layout = FIXED_16;
        column.index = (Bytes){tokens[0], sizeof tokens};
        good &= reverse(&keys, NULL, compress, &column, back, NULL, NULL);
        for (int64_t i = 0; i < rows; i++) good &= back[i] == numbers[i];
        tokens[0][0] ^= 1;
        good &= reverse(&keys, NULL, compress, &column, back, NULL, NULL) && back[0] == -1;
    }
    return good;
}

static int passes(Compress compress) { return hashes(compress) && authenticates(compress) && tokens_match(compress); }

#endif
