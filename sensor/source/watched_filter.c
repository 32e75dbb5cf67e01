#include "sensor/source/watched_filter.h"

#include <errno.h>
#include <stdlib.h>

#define WORDS (sizeof(struct xdp_filter) / sizeof(__u64))

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

int watched_filter_narrow(struct xdp_filter *f, const struct prefix *prefixes, size_t n)
{
    struct xdp_filter *needed = calloc(1, sizeof *needed);
    if (needed == NULL)
        return -ENOMEM;
    watched_filter_open(needed, prefixes, n);
    const __u64 *from = (const __u64 *)needed;
    __u64 *to = (__u64 *)f;
    for (size_t i = 0; i < WORDS; i++)
        set_word(&to[i], to[i] & from[i]);
    free(needed);
    return 0;
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
