/* NHS numbers: from text or an integer to a number and a reason, by the rules of linkage.nhs_number. */

#ifndef LINKAGE_KERNEL_NUMBERS_H
#define LINKAGE_KERNEL_NUMBERS_H

#include <stdint.h>
#include <string.h>

/* In the order of linkage.nhs_number.NumberReason, one up: 0 is a usable number. */
enum { USABLE = 0, MISSING = 1, MALFORMED = 2, BLOCKED = 3, CHECK_DIGIT = 4, TEST = 5 };
enum { INTEGER_TEXT = 1, NO_TEST_NUMBERS = 2, CHECKED_ALREADY = 4 };

#define TEN_DIGITS INT64_C(10000000000)
#define FIRST_TEST INT64_C(9000000000)

static inline int is_blank(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/* Ten digits as text, and the number they are. */
typedef struct {
    uint8_t text[10];
    int64_t number;
} Digits;

static inline int64_t value_of(const uint8_t *text) {
    /* Each half by itself, so that the multiplications need not wait for one another. */
    uint32_t high = text[0] * 10000u + text[1] * 1000u + text[2] * 100u + text[3] * 10u + text[4] - 48u * 11111u;
    uint32_t low = text[5] * 10000u + text[6] * 1000u + text[7] * 100u + text[8] * 10u + text[9] - 48u * 11111u;
    return (int64_t)high * 100000 + low;
}

/* The weighted sum of the first nine digits: weights 10 to 2. */
static inline unsigned weigh(const uint8_t *text) {
    unsigned sum = 0;
    for (unsigned i = 0; i < 9; i++) sum += (10 - i) * text[i];
    return sum - 48u * 54u;
}

static inline void spell(int64_t number, uint8_t *text) {
    uint32_t high = (uint32_t)(number / 100000), low = (uint32_t)(number % 100000);
    for (int i = 4; i >= 0; i--) {
        text[i] = (uint8_t)('0' + high % 10);
        text[5 + i] = (uint8_t)('0' + low % 10);
        high /= 10;
        low /= 10;
    }
}

static inline int judge(const Digits *digits, int flags) {
    if (flags & CHECKED_ALREADY) return USABLE;
    int64_t first = digits->text[0] - '0';
    if (digits->number == first * INT64_C(1111111111) || digits->number == first * INT64_C(1000000001)) return BLOCKED;
    if ((weigh(digits->text) + digits->text[9] - '0') % 11) return CHECK_DIGIT;
    return (flags & NO_TEST_NUMBERS) && digits->number >= FIRST_TEST ? TEST : USABLE;
}

static inline int only_digits(const uint8_t *text) {
    unsigned wrong = 0;
    for (int i = 0; i < 10; i++) wrong |= (unsigned)(uint8_t)(text[i] - '0') > 9;
    return !wrong;
}

/* As people write them: white space around, spaces and hyphens inside, and in `INTEGER_TEXT` leading zeros lost. */
static int read_written(const uint8_t *text, int64_t length, int flags, Digits *digits) {
    int64_t found = 0;
    int plain = 1, minus;
    while (length && is_blank(text[length - 1])) length--;
    while (length && is_blank(*text)) text++, length--;
    if (!length) return MISSING;
    minus = *text == '-';
    for (int64_t i = 0; i < length; i++) {
        if ((uint8_t)(text[i] - '0') > 9) {
            if (text[i] != ' ' && text[i] != '-') return MALFORMED;
            plain = 0;
        } else {
            if (found == 10) return MALFORMED;
            digits->text[found++] = text[i];
        }
    }
    if ((flags & INTEGER_TEXT) && plain) {
        int64_t lost = 10 - found;
        for (int64_t i = 9; i >= 0; i--) digits->text[i] = i >= lost ? digits->text[i - lost] : '0';
        found = 10;
    }
    if (found != 10 || ((flags & INTEGER_TEXT) && minus)) return MALFORMED;
    digits->number = value_of(digits->text);
    return judge(digits, flags);
}

static inline int read_number(const uint8_t *text, int64_t length, int flags, Digits *digits) {
    if (length != 10 || !only_digits(text)) return read_written(text, length, flags, digits);
    memcpy(digits->text, text, 10);
    digits->number = value_of(text);
    return judge(digits, flags);
}

static inline int read_integer(int64_t value, int flags, Digits *digits) {
    if (value < 0 || value >= TEN_DIGITS) return MALFORMED;
    digits->number = value;
    spell(value, digits->text);
    return judge(digits, flags);
}

/* Nine digits and the tenth that belongs to them; false where there is none. */
static inline int complete(int64_t nine, Digits *digits) {
    unsigned rest;
    spell(nine * 10, digits->text);
    rest = weigh(digits->text) % 11;
    digits->text[9] = (uint8_t)('0' + (11 - rest) % 11);
    digits->number = nine * 10 + (11 - rest) % 11;
    return rest != 1;
}

#endif
