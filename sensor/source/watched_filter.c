#include "sensor/source/watched_filter.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define SURE4_WORDS (XDP_FILTER4_BITS / 64)

/* One writer, and a reader in the kernel: no read-modify-write is needed, only whole words. */
static void set_word(__u64 *word, __u64 value)
{
    if (*word != value)
        __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static __u64 mask_from(__u32 bit)
{
    return UINT64_MAX << (bit & 63);
}

static void set_bit(__u64 *words, __u32 bit)
{
    set_word(&words[bit / 64], words[bit / 64] | 1ull << (bit & 63));
}

/* From first to last, both of them. */
static void set_bits(__u64 *words, __u32 first, __u32 last)
{
    __u64 head = mask_from(first), tail = ~(mask_from(last) << 1);
    if (first / 64 == last / 64) {
        set_word(&words[first / 64], words[first / 64] | (head & tail));
        return;
    }
    set_word(&words[first / 64], words[first / 64] | head);
    for (__u32 i = first / 64 + 1; i < last / 64; i++)
        set_word(&words[i], UINT64_MAX);
    set_word(&words[last / 64], words[last / 64] | tail);
}

/* The bits of all blocks of `unit` leading bits that a prefix touches; block: its first. */
static void set_blocks(__u64 *words, unsigned unit, __u32 block, unsigned length)
{
    set_bits(words, block, length < unit ? block | ((1u << (unit - length)) - 1) : block);
}

/* The first eight bytes as a number. */
static __u64 first_word(const struct addr *a)
{
    __u64 word = 0;
    for (unsigned i = 0; i < 8; i++)
        word = word << 8 | a->bytes[i];
    return word;
}

static void set_prefix(struct xdp_filter *f, const struct prefix *p)
{
    __u64 word = first_word(&p->addr);
    if (p->addr.family == ADDR_V4)
        set_blocks(f->v4, 24, (__u32)(word >> 40), p->length);
    else if (p->length < 32)
        set_blocks(f->wide, 16, (__u32)(word >> 48), p->length);
    else
        set_bit(f->v6, xdp_filter6_bit(word, p->length < 48 ? 32 : 48));
}

void watched_filter_open(struct xdp_filter *f, const struct prefix *prefixes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        set_prefix(f, &prefixes[i]);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before whatever the tries get next */
}

/* Of words, only what is in `needed`, too. */
static void keep_bits(__u64 *words, const __u64 *needed, size_t n)
{
    for (size_t i = 0; i < n; i++)
        set_word(&words[i], words[i] & needed[i]);
}

int watched_filter_narrow(struct xdp_filter *f, const struct prefix *prefixes, size_t n)
{
    struct xdp_filter *needed = calloc(1, sizeof *needed);
    if (needed == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        set_prefix(needed, &prefixes[i]);
    keep_bits((__u64 *)f, (const __u64 *)needed,
              offsetof(struct xdp_filter, sure4) / sizeof(__u64));
    free(needed);
    return 0;
}

static void set_sure(__u64 *sure4, const struct prefix *p)
{
    if (p->addr.family == ADDR_V4 && p->length <= 24)
        set_blocks(sure4, 24, (__u32)(first_word(&p->addr) >> 40), p->length);
}

void watched_filter_doubt(struct xdp_filter *f, const struct prefix *prefixes, size_t n)
{
    static const __u64 none[SURE4_WORDS];
    __u64 *needed = calloc(SURE4_WORDS, sizeof *needed);
    for (size_t i = 0; i < n && needed != NULL; i++)
        set_sure(needed, &prefixes[i]);
    keep_bits(f->sure4, needed != NULL ? needed : none, SURE4_WORDS);
    free(needed);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before whatever the tries lose next */
}

void watched_filter_be_sure(struct xdp_filter *f, const struct prefix *prefixes, size_t n)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* after whatever the tries got */
    for (size_t i = 0; i < n; i++)
        set_sure(f->sure4, &prefixes[i]);
}

static bool has(const __u64 *words, __u32 bit)
{
    return words[bit / 64] >> (bit & 63) & 1;
}

bool watched_filter_may_hold(const struct xdp_filter *f, const struct addr *source)
{
    __u64 word = first_word(source);
    if (source->family == ADDR_V4)
        return has(f->v4, (__u32)(word >> 40));
    return has(f->wide, (__u32)(word >> 48)) || has(f->v6, xdp_filter6_bit(word, 32)) ||
           has(f->v6, xdp_filter6_bit(word, 48));
}

bool watched_filter_is_sure(const struct xdp_filter *f, const struct addr *source)
{
    return source->family == ADDR_V4 && has(f->sure4, (__u32)(first_word(source) >> 40));
}
