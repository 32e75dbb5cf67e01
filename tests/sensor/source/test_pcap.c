#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <pcap/pcap.h>

#include "sensor/source/source.h"
#include "tests/support/frames.h"

#define START_S 1700000000

static char path[64];

static int path_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/penstock-test-pcap-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int path_down(void **state)
{
    (void)state;
    return unlink(path);
}

/* Frame i of a capture: its sequence number is i, its time START_S s + i ns. */
static struct frame numbered(unsigned i, uint8_t data[static FRAME_ROOM])
{
    struct frame_spec s = frame_tcp4("198.51.100.7", "192.0.2.1", 40000, 443, i, TCP_ACK, i % 700);
    return frame_make(&s, data);
}

static void write_capture(unsigned count, int link_type, int snaplen)
{
    pcap_t *p =
        pcap_open_dead_with_tstamp_precision(link_type, snaplen, PCAP_TSTAMP_PRECISION_NANO);
    pcap_dumper_t *d = pcap_dump_open(p, path);
    assert_non_null(d);
    for (unsigned i = 0; i < count; i++) {
        uint8_t data[FRAME_ROOM];
        struct frame f = numbered(i, data);
        struct pcap_pkthdr h = {.ts = {START_S, (int)i}, .caplen = f.len, .len = f.len};
        if (h.caplen > (uint32_t)snaplen)
            h.caplen = (uint32_t)snaplen;
        pcap_dump((u_char *)d, &h, data);
    }
    pcap_dump_close(d);
    pcap_close(p);
}

static struct source_conf conf_of(const char *file)
{
    struct source_conf conf = {.driver = SOURCE_PCAP, .queues = 0};
    snprintf(conf.interface, sizeof conf.interface, "%s", file);
    return conf;
}

static int attach(const char *file, struct source_group **g, struct note *note)
{
    struct source_conf conf = conf_of(file);
    return source_pcap.attach(&conf, g, note);
}

/* Reads all in bursts of max; checks the numbering; returns what ended it, frames in *count. */
static int read_all(const char *file, unsigned max, unsigned *count)
{
    struct source_group *g;
    struct source *s;
    struct note note = {0};
    assert_int_equal(attach(file, &g, &note), 0);
    assert_int_equal(source_pcap.queues(g), 1);
    assert_int_equal(source_pcap.watch(g, NULL, 0, &note), 0);
    assert_int_equal(source_pcap.open(g, 0, &s, &note), 0);
    *count = 0;
    int n;
    struct frame frames[BURST];
    static const uint8_t verdicts[BURST];
    while ((n = source_pcap.recv(s, frames, max)) >= 0) {
        assert_in_range(n, 1, max);
        for (int i = 0; i < n; i++, ++*count) { /* after the whole burst: all must be valid */
            uint8_t data[FRAME_ROOM];
            struct frame expected = numbered(*count, data);
            assert_int_equal(frames[i].wire_len, expected.len);
            assert_memory_equal(frames[i].data, data, frames[i].len);
            assert_int_equal(frames[i].at_ns, START_S * UINT64_C(1000000000) + *count);
        }
        source_pcap.done(s, frames, verdicts, (unsigned)n);
    }
    assert_int_equal(source_pcap.recv(s, frames, max), n); /* an end stays an end */
    source_pcap.close(s);
    source_pcap.detach(g);
    return n;
}

static void every_frame_comes_with_its_nanosecond(void **state)
{
    (void)state;
    write_capture(1000, DLT_EN10MB, 65535);
    unsigned count;
    assert_int_equal(read_all(path, BURST, &count), ERR_END);
    assert_int_equal(count, 1000);
    assert_int_equal(read_all(path, 7, &count), ERR_END);
    assert_int_equal(count, 1000);
}

static void cut_frames_keep_their_wire_length(void **state)
{
    (void)state;
    write_capture(300, DLT_EN10MB, 96);
    unsigned count;
    assert_int_equal(read_all(path, BURST, &count), ERR_END);
    assert_int_equal(count, 300);
}

static void time_zero_is_not_mistaken_for_no_time(void **state)
{
    (void)state;
    pcap_t *p = pcap_open_dead(DLT_EN10MB, 65535); /* microseconds, too */
    pcap_dumper_t *d = pcap_dump_open(p, path);
    assert_non_null(d);
    uint8_t data[FRAME_ROOM];
    struct frame f = numbered(0, data);
    for (int i = 0; i < 2; i++) {
        struct pcap_pkthdr h = {.ts = {0, 7 * i}, .caplen = f.len, .len = f.len};
        pcap_dump((u_char *)d, &h, data);
    }
    pcap_dump_close(d);
    pcap_close(p);

    struct source_group *g;
    struct source *s;
    struct note note = {0};
    struct frame frames[2];
    assert_int_equal(attach(path, &g, &note), 0);
    assert_int_equal(source_pcap.open(g, 0, &s, &note), 0);
    assert_int_equal(source_pcap.recv(s, frames, 2), 2);
    assert_int_equal(frames[0].at_ns, 1);
    assert_int_equal(frames[1].at_ns, 7000);
    source_pcap.close(s);
    source_pcap.detach(g);
}

static void frames_stay_valid_until_they_are_given_back(void **state)
{
    (void)state;
    write_capture(200, DLT_EN10MB, 65535);
    struct source_group *g;
    struct source *s;
    struct note note = {0};
    assert_int_equal(attach(path, &g, &note), 0);
    assert_int_equal(source_pcap.open(g, 0, &s, &note), 0);
    struct frame frames[BURST];
    static const uint8_t verdicts[BURST];
    assert_int_equal(source_pcap.recv(s, frames, 40), 40);
    assert_int_equal(source_pcap.recv(s, frames + 40, 24), 24);
    struct frame none;
    assert_int_equal(source_pcap.recv(s, &none, 1),
                     0); /* no slot is left: nothing is overwritten */
    source_pcap.done(s, frames, verdicts, 10);
    assert_int_equal(source_pcap.recv(s, frames, BURST), 10);
    for (unsigned i = 10; i < BURST; i++) {
        uint8_t data[FRAME_ROOM];
        numbered(i, data);
        assert_memory_equal(frames[i].data, data, frames[i].len);
    }
    source_pcap.close(s);
    source_pcap.detach(g);
}

static void truncated_file_gives_what_was_before(void **state)
{
    (void)state;
    write_capture(100, DLT_EN10MB, 65535);
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    long whole = ftell(f);
    fclose(f);
    unsigned count;
    assert_int_equal(truncate(path, whole - 1), 0); /* in the last frame */
    assert_int_equal(read_all(path, BURST, &count), ERR_FORMAT);
    assert_int_equal(count, 99);
    long last = 16 + 54 + 99;
    assert_int_equal(truncate(path, whole - last + 5), 0); /* in its record header */
    assert_int_equal(read_all(path, BURST, &count), ERR_FORMAT);
    assert_int_equal(count, 99);
    assert_int_equal(truncate(path, whole - last), 0); /* between two */
    assert_int_equal(read_all(path, BURST, &count), ERR_END);
    assert_int_equal(count, 99);
}

static void malformed_record_gives_what_was_before(void **state)
{
    (void)state;
    write_capture(3, DLT_EN10MB, 65535);
    FILE *f = fopen(path, "r+b");
    fseek(f, 24 + (16 + 54) + (16 + 55) + 8, SEEK_SET); /* the third record's captured length */
    fwrite("\xff\xff\xff\x7f", 1, 4, f);
    fclose(f);
    unsigned count;
    assert_int_equal(read_all(path, BURST, &count), ERR_FORMAT);
    assert_int_equal(count, 2);
}

static void what_is_no_capture_is_refused_with_its_name(void **state)
{
    (void)state;
    struct source_group *g;
    struct note note = {0};
    FILE *f = fopen(path, "wb");
    fputs("this is no capture, however long one reads it", f);
    fclose(f);
    assert_int_equal(attach(path, &g, &note), ERR_FORMAT);
    assert_null(g);
    assert_non_null(strstr(note.text, path));
    assert_non_null(strstr(note.text, "pcapng file, not compressed"));

    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(attach(path, &g, &note), ERR_FORMAT);
    assert_int_equal(attach("/nowhere/at-all.pcap", &g, &note), -ENOENT);
    assert_non_null(strstr(note.text, "/nowhere/at-all.pcap"));
    assert_int_equal(attach("", &g, &note), ERR_CONF);
}

static void other_link_types_are_refused_by_name(void **state)
{
    (void)state;
    struct source_group *g;
    struct note note = {0};
    write_capture(1, DLT_RAW, 65535);
    assert_int_equal(attach(path, &g, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "RAW"));
    write_capture(1, DLT_LINUX_SLL, 65535);
    assert_int_equal(attach(path, &g, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "LINUX_SLL"));
}

static void a_capture_has_one_queue(void **state)
{
    (void)state;
    write_capture(1, DLT_EN10MB, 65535);
    struct source_group *g;
    struct source *s, *second;
    struct note note = {0};
    assert_int_equal(attach(path, &g, &note), 0);
    assert_int_equal(source_pcap.open(g, 1, &s, &note), ERR_BUSY);
    assert_int_equal(source_pcap.open(g, 0, &s, &note), 0);
    assert_int_equal(source_pcap.open(g, 0, &second, &note), ERR_BUSY);
    source_pcap.close(s);
    source_pcap.detach(g);
    source_pcap.close(NULL);
    source_pcap.detach(NULL);
}

static void put_u32le(FILE *f, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        fputc((int)(value >> 8 * i & 0xff), f);
}

/* pcapng by hand (draft-ietf-opsawg-pcapng): section header, one Ethernet interface with
 * nanosecond resolution, count enhanced packet blocks. */
static void write_pcapng(unsigned count)
{
    FILE *f = fopen(path, "wb");
    static const uint32_t section[] = {0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff, 28};
    static const uint32_t interface[] = {1, 32, DLT_EN10MB, 65535, 9 | 1 << 16, 9 /* ns */, 0, 32};
    for (size_t i = 0; i < 7; i++)
        put_u32le(f, section[i]);
    for (size_t i = 0; i < 8; i++)
        put_u32le(f, interface[i]);
    for (unsigned i = 0; i < count; i++) {
        uint8_t data[FRAME_ROOM] = {0};
        struct frame frame = numbered(i, data);
        uint32_t padded = (frame.len + 3) & ~UINT32_C(3);
        uint64_t at_ns = START_S * UINT64_C(1000000000) + i;
        const uint32_t head[] = {
            6, 32 + padded, 0, (uint32_t)(at_ns >> 32), (uint32_t)at_ns, frame.len, frame.len};
        for (size_t k = 0; k < 7; k++)
            put_u32le(f, head[k]);
        fwrite(data, 1, padded, f);
        put_u32le(f, 32 + padded);
    }
    fclose(f);
}

static void pcapng_is_read_with_its_nanoseconds(void **state)
{
    (void)state;
    write_pcapng(150);
    unsigned count;
    assert_int_equal(read_all(path, BURST, &count), ERR_END);
    assert_int_equal(count, 150);
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    long whole = ftell(f);
    fclose(f);
    assert_int_equal(truncate(path, whole - 3), 0);
    assert_int_equal(read_all(path, BURST, &count), ERR_FORMAT);
    assert_int_equal(count, 149);
}

static void dash_is_standard_input(void **state)
{
    (void)state;
    write_capture(80, DLT_EN10MB, 65535);
    assert_non_null(freopen(path, "rb", stdin));
    unsigned count;
    assert_int_equal(read_all("-", BURST, &count), ERR_END);
    assert_int_equal(count, 80);
}

static void a_file_that_boasts_of_long_frames_is_read_like_any_other(void **state)
{
    (void)state;
    unsigned count = 0;
    write_capture(100, DLT_EN10MB, INT32_MAX);
    assert_int_equal(read_all(path, 64, &count), ERR_END);
    assert_int_equal(count, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_comes_with_its_nanosecond),
        cmocka_unit_test(cut_frames_keep_their_wire_length),
        cmocka_unit_test(time_zero_is_not_mistaken_for_no_time),
        cmocka_unit_test(frames_stay_valid_until_they_are_given_back),
        cmocka_unit_test(truncated_file_gives_what_was_before),
        cmocka_unit_test(malformed_record_gives_what_was_before),
        cmocka_unit_test(what_is_no_capture_is_refused_with_its_name),
        cmocka_unit_test(other_link_types_are_refused_by_name),
        cmocka_unit_test(a_capture_has_one_queue),
        cmocka_unit_test(pcapng_is_read_with_its_nanoseconds),
        cmocka_unit_test(a_file_that_boasts_of_long_frames_is_read_like_any_other),
        cmocka_unit_test(dash_is_standard_input),
    };
    return cmocka_run_group_tests(tests, path_up, path_down);
}
