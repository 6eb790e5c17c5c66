/* SHA-256 compression (FIPS 180-4) of many single blocks: portable, with the x86 SHA extensions, with the Armv8 ones.

   Words are in host order: whoever fills a block puts big-endian text together, so no path swaps bytes.
   Every path does the same: out[i] = compress(init, words[i]), all from one initial state. */

#ifndef LINKAGE_KERNEL_SHA256_H
#define LINKAGE_KERNEL_SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint32_t w[16];
} Block;

typedef struct {
    uint32_t h[8];
} State;

typedef void (*Compress)(const State *init, const Block *blocks, State *out, size_t count);

static const State INITIAL = {{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                               0x5be0cd19}};

static const uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2};

/* ---- portable ---- */

static inline uint32_t rotated(uint32_t x, int n) { return x >> n | x << (32 - n); }

#define ROUND_OF(a, b, c, d, e, f, g, h, t)                                                                           \
    do {                                                                                                              \
        uint32_t one = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + (g ^ (e & (f ^ g))) + ROUND[t] + w[t]; \
        d += one;                                                                                                     \
        h = one + (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) | (c & (a | b)));                      \
    } while (0)

static void compress_portable(const State *init, const Block *blocks, State *out, size_t count) {
    for (size_t each = 0; each < count; each++) {
        uint32_t w[64], s[8];
        memcpy(w, blocks[each].w, 64);
        for (int t = 16; t < 64; t++) {
            uint32_t x = w[t - 15], y = w[t - 2];
            w[t] = w[t - 16] + w[t - 7] + (rotated(x, 7) ^ rotated(x, 18) ^ x >> 3) +
                   (rotated(y, 17) ^ rotated(y, 19) ^ y >> 10);
        }
        memcpy(s, init->h, 32);
        for (int t = 0; t < 64; t += 8) {
            ROUND_OF(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], t);
            ROUND_OF(s[7], s[0], s[1], s[2], s[3], s[4], s[5], s[6], t + 1);
            ROUND_OF(s[6], s[7], s[0], s[1], s[2], s[3], s[4], s[5], t + 2);
            ROUND_OF(s[5], s[6], s[7], s[0], s[1], s[2], s[3], s[4], t + 3);
            ROUND_OF(s[4], s[5], s[6], s[7], s[0], s[1], s[2], s[3], t + 4);
            ROUND_OF(s[3], s[4], s[5], s[6], s[7], s[0], s[1], s[2], t + 5);
            ROUND_OF(s[2], s[3], s[4], s[5], s[6], s[7], s[0], s[1], t + 6);
            ROUND_OF(s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[0], t + 7);
        }
        for (int k = 0; k < 8; k++) out[each].h[k] = init->h[k] + s[k];
    }
}

/* ---- x86 with the SHA extensions: two blocks at a time hide each other's latency ---- */

#if defined(__x86_64__) || defined(_M_X64)
#define HAVE_X86 1
#include <immintrin.h>
#ifdef _MSC_VER
#include <intrin.h>
#define WITH_SHA
#else
#include <cpuid.h>
#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))
#endif

static int has_x86(void) {
#ifdef _MSC_VER
    int one[4], seven[4];
    __cpuid(one, 0);
    if (one[0] < 7) return 0;
    __cpuid(one, 1);
    __cpuidex(seven, 7, 0);
    return (one[2] >> 9 & 1) && (one[2] >> 19 & 1) && (seven[1] >> 29 & 1);
#else
    unsigned a, b, c, d, wide;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    wide = c;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    return (wide >> 9 & 1) && (wide >> 19 & 1) && (b >> 29 & 1);
#endif
}

/* Four rounds of one lane; MSG1, MSG2 make the words of four rounds three groups on. */
#define GROUP(L, i)                                                                                                   \
    do {                                                                                                              \
        __m128i m = _mm_add_epi32(L##m[(i) & 3], _mm_loadu_si128((const __m128i *)(ROUND + 4 * (i))));               \
        L##1 = _mm_sha256rnds2_epu32(L##1, L##0, m);                                                                  \
        L##0 = _mm_sha256rnds2_epu32(L##0, L##1, _mm_shuffle_epi32(m, 0x0E));                                         \
    } while (0)
#define MORE(L, i)                                                                                                    \
    do {                                                                                                              \
        __m128i m = _mm_sha256msg1_epu32(L##m[((i) + 1) & 3], L##m[((i) + 2) & 3]);                                   \
        m = _mm_add_epi32(m, _mm_alignr_epi8(L##m[(i) & 3], L##m[((i) + 3) & 3], 4));                                 \
        L##m[((i) + 1) & 3] = _mm_sha256msg2_epu32(m, L##m[(i) & 3]);                                                 \
    } while (0)
#define PAIR(i) GROUP(a, i); GROUP(b, i)
#define PAIR_MORE(i) GROUP(a, i); GROUP(b, i); MORE(a, i); MORE(b, i)

/* From a..h in order to the halves ABEF and CDGH that the instructions want, and back. */
#define TO_HALVES(h, abef, cdgh)                                                                                      \
    do {                                                                                                              \
        __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(h)), 0xB1);                                 \
        __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)((h) + 4)), 0x1B);                          \
        abef = _mm_alignr_epi8(low, high, 8);                                                                         \
        cdgh = _mm_blend_epi16(high, low, 0xF0);                                                                      \
    } while (0)
#define FROM_HALVES(h, abef, cdgh)                                                                                    \
    do {                                                                                                              \
        __m128i low = _mm_shuffle_epi32(abef, 0x1B);                                                                  \
        __m128i high = _mm_shuffle_epi32(cdgh, 0xB1);                                                                 \
        _mm_storeu_si128((__m128i *)(h), _mm_blend_epi16(low, high, 0xF0));                                           \
        _mm_storeu_si128((__m128i *)((h) + 4), _mm_alignr_epi8(high, low, 8));                                        \
    } while (0)

WITH_SHA static void compress_x86(const State *init, const Block *blocks, State *out, size_t count) {
    __m128i abef, cdgh;
    TO_HALVES(init->h, abef, cdgh);
    for (size_t each = 0; each < count; each += 2) {
        /* The last block of an odd count is its own neighbour. */
        size_t next = each + 1 < count ? each + 1 : each;
        __m128i a0 = abef, a1 = cdgh, b0 = abef, b1 = cdgh, am[4], bm[4];
        for (int k = 0; k < 4; k++) {
            am[k] = _mm_loadu_si128((const __m128i *)(blocks[each].w + 4 * k));
            bm[k] = _mm_loadu_si128((const __m128i *)(blocks[next].w + 4 * k));
        }
        PAIR(0); PAIR(1); PAIR(2);
        PAIR_MORE(3); PAIR_MORE(4); PAIR_MORE(5); PAIR_MORE(6); PAIR_MORE(7); PAIR_MORE(8);
        PAIR_MORE(9); PAIR_MORE(10); PAIR_MORE(11); PAIR_MORE(12); PAIR_MORE(13); PAIR_MORE(14);
        PAIR(15);
        a0 = _mm_add_epi32(a0, abef);
        a1 = _mm_add_epi32(a1, cdgh);
        b0 = _mm_add_epi32(b0, abef);
        b1 = _mm_add_epi32(b1, cdgh);
        FROM_HALVES(out[each].h, a0, a1);
        FROM_HALVES(out[next].h, b0, b1);
    }
}
#endif

/* ---- Armv8 with the SHA-2 instructions ---- */

#if defined(__aarch64__) && (defined(__linux__) || defined(__APPLE__))
#define HAVE_ARM 1
#include <arm_neon.h>
#ifdef __linux__
#include <sys/auxv.h>
#define ARM_SHA2 (1UL << 6)
static int has_arm(void) { return (getauxval(AT_HWCAP) & ARM_SHA2) != 0; }
#else
static int has_arm(void) { return 1; }
#endif
#ifdef __clang__
#define WITH_SHA2 __attribute__((target("sha2")))
#else
#define WITH_SHA2 __attribute__((target("+crypto")))
#endif

WITH_SHA2 static void compress_arm(const State *init, const Block *blocks, State *out, size_t count) {
    const uint32x4_t abcd = vld1q_u32(init->h), efgh = vld1q_u32(init->h + 4);
    for (size_t each = 0; each < count; each += 2) {
        size_t next = each + 1 < count ? each + 1 : each;
        uint32x4_t a0 = abcd, a1 = efgh, b0 = abcd, b1 = efgh, am[4], bm[4];
        for (int k = 0; k < 4; k++) {
            am[k] = vld1q_u32(blocks[each].w + 4 * k);
            bm[k] = vld1q_u32(blocks[next].w + 4 * k);
        }
        for (int i = 0; i < 16; i++) {
            uint32x4_t k = vld1q_u32(ROUND + 4 * i), a = a0, b = b0;
            uint32x4_t x = vaddq_u32(am[i & 3], k), y = vaddq_u32(bm[i & 3], k);
            a0 = vsha256hq_u32(a0, a1, x);
            b0 = vsha256hq_u32(b0, b1, y);
            a1 = vsha256h2q_u32(a1, a, x);
            b1 = vsha256h2q_u32(b1, b, y);
            if (i >= 3 && i < 15) {
                int g = (i + 1) & 3, p = (i + 2) & 3, q = (i + 3) & 3, r = i & 3;
                am[g] = vsha256su1q_u32(vsha256su0q_u32(am[g], am[p]), am[q], am[r]);
                bm[g] = vsha256su1q_u32(vsha256su0q_u32(bm[g], bm[p]), bm[q], bm[r]);
            }
        }
        vst1q_u32(out[each].h, vaddq_u32(a0, abcd));
        vst1q_u32(out[each].h + 4, vaddq_u32(a1, efgh));
        vst1q_u32(out[next].h, vaddq_u32(b0, abcd));
        vst1q_u32(out[next].h + 4, vaddq_u32(b1, efgh));
    }
}
#endif

/* ---- which there are ---- */

typedef struct {
    const char *name;
    Compress compress;
} Path;

/* Fills `paths`, fastest first, and returns how many this processor has. */
static int available(Path paths[3]) {
    int found = 0;
#ifdef HAVE_X86
    if (has_x86()) paths[found++] = (Path){"x86 SHA extensions", compress_x86};
#endif
#ifdef HAVE_ARM
    if (has_arm()) paths[found++] = (Path){"Armv8 SHA2 instructions", compress_arm};
#endif
    paths[found++] = (Path){"portable C", compress_portable};
    return found;
}

#endif
