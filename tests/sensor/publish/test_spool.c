/* The spool through restarts, kills, power losses, damage and want of room. Writes of LMDB pass
 * through this program (it defines pwrite, writev and fdatasync), so that a disk can be played that
 * loses what was not synced, that is full, or that fails. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "sensor/publish/spool_look.h"
#include "sensor/publish/spool_meta.h"
#include "shared/base/hash.h"
#include "shared/base/log.h"
#include "tests/sensor/publish/spool_lab.h"

/* ---- the played disk ---- */

struct op {
    uint64_t at;
    size_t len; /* 0: everything before is on the disk */
    uint8_t *bytes;
};

enum { OPS_MOST = 20000 };
static struct {
    ino_t inode; /* of the file that is played with; 0: none */
    bool is_recorded;
    unsigned ops;
    struct op op[OPS_MOST];
    uint64_t full_at; /* no byte can be written from there on; 0: it is not full */
    int fail_sync;    /* so many writes of a meta page fail */
    bool reaches;     /* the next of them reaches the disk all the same */
    pid_t spared;     /* every other process of ours is killed when it writes to a pipe; 0: none */
} disk;

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t writev(int fd, const struct iovec *part, int n);
int fdatasync(int fd);
int fallocate(int fd, int mode, off_t at, off_t len);

static bool is_played(int fd)
{
    struct stat st;
    return disk.inode != 0 && fstat(fd, &st) == 0 && st.st_ino == disk.inode;
}

static void record(uint64_t at, const void *bytes, size_t len)
{
    if (!disk.is_recorded)
        return;
    assert_true(disk.ops < OPS_MOST);
    struct op *op = &disk.op[disk.ops++];
    *op = (struct op){.at = at, .len = len};
    if (len > 0) {
        op->bytes = malloc(len);
        memcpy(op->bytes, bytes, len);
    }
}

/* LMDB writes meta pages through a descriptor of its own, which syncs each. */
static bool is_meta(int fd)
{
    return (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (is_played(fd)) {
        if (at < 2 * 4096 && disk.fail_sync > 0) {
            disk.fail_sync--;
            if (disk.reaches)
                syscall(SYS_pwrite64, fd, bytes, len, at);
            disk.reaches = false;
            errno = EIO;
            return -1;
        }
        if (disk.full_at > 0 && (uint64_t)at + len > disk.full_at) {
            errno = ENOSPC;
            return -1;
        }
        record((uint64_t)at, bytes, len);
        if (is_meta(fd))
            record(0, NULL, 0);
    }
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t writev(int fd, const struct iovec *part, int n)
{
    if (is_played(fd)) {
        uint64_t at = (uint64_t)lseek(fd, 0, SEEK_CUR);
        for (int i = 0; i < n; at += part[i++].iov_len) {
            if (disk.full_at > 0 && at + part[i].iov_len > disk.full_at) {
                errno = ENOSPC;
                return -1;
            }
            record(at, part[i].iov_base, part[i].iov_len);
        }
    }
    return syscall(SYS_writev, fd, part, n);
}

ssize_t write(int fd, const void *bytes, size_t len);
ssize_t write(int fd, const void *bytes, size_t len)
{
    if (disk.spared != 0 && getpid() != disk.spared)
        raise(SIGKILL);
    return syscall(SYS_write, fd, bytes, len);
}

int fdatasync(int fd)
{
    if (is_played(fd))
        record(0, NULL, 0);
    return (int)syscall(SYS_fdatasync, fd);
}

/* A file system that copies on write takes what it cannot keep. */
int fallocate(int fd, int mode, off_t at, off_t len)
{
    if (is_played(fd) && disk.full_at > 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, at, len);
}

static void play(const struct folder *f)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/spool/data.mdb", f->path);
    assert_int_equal(stat(path, &st), 0);
    disk.inode = st.st_ino;
}

static void play_no_more(void)
{
    for (unsigned i = 0; i < disk.ops; i++)
        free(disk.op[i].bytes);
    memset(&disk, 0, sizeof disk);
}

/* ---- numbers ---- */

static void numbers_and_epoch_go_on_after_a_restart(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    uint64_t epoch = spool_epoch(s);
    assert_string_equal(spool_break(s), "");
    assert_int_equal(spool_next(s), 1);
    assert_int_equal(spool_held(s), 0);
    for (unsigned round = 1; round <= 5; round++) {
        add_many(s, EVENT_tally, 1000);
        commit_now(s);
        assert_int_equal(spool_next(s), 1000 * round + 1);
        spool_close(s);
        s = open_spool(f.path, 0);
        assert_int_equal(spool_epoch(s), epoch);
        assert_int_equal(spool_next(s), 1000 * round + 1);
        assert_int_equal(spool_held(s), 1000 * round);
        all_is_there(s);
    }
    /* also when nothing is left in it */
    assert_int_equal(spool_ack(s, 5000, 1), 5000);
    commit_now(s);
    assert_int_equal(spool_held(s), 0);
    spool_close(s);
    s = open_spool(f.path, 0);
    assert_int_equal(spool_next(s), 5001);
    assert_int_equal(spool_acked(s), 5000);
    spool_close(s);
    folder_remove(&f);
}

static void what_was_not_committed_is_gone_and_its_numbers_are_used_again(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    add_many(s, EVENT_tally, 10);
    commit_now(s);
    add_many(s, EVENT_tally, 10);
    assert_int_equal(spool_waiting(s), 10);
    assert_int_equal(spool_committed(s), 11);
    struct record r;
    assert_int_equal(spool_read(s, 11, &r), 0); /* and is not sent */
    spool_close(s);
    s = open_spool(f.path, 0);
    assert_int_equal(spool_next(s), 11);
    spool_close(s);
    folder_remove(&f);
}

static void a_commit_is_due_after_linger_or_when_no_more_fits(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    assert_false(spool_commit_due(s, 1, 0));
    struct event e = {.type = EVENT_tally};
    assert_int_equal(spool_add(s, &e, 1000), 0);
    assert_false(spool_commit_due(s, 1000 + LINGER - 1, LINGER));
    assert_true(spool_commit_due(s, 1000 + LINGER, LINGER));
    commit_now(s);
    assert_false(spool_commit_due(s, 1000 + LINGER, LINGER));
    while (spool_has_room(s))
        assert_int_equal(spool_add(s, &e, 1000), 0);
    assert_true(spool_commit_due(s, 1000, LINGER));
    commit_now(s);
    assert_int_equal(spool_stats(s)->commits, 2); /* many batches, one transaction */
    spool_close(s);
    folder_remove(&f);
}

static void a_number_that_is_not_committed_acknowledges_nothing(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    assert_int_equal(spool_ack(s, 1, 1), ERR_FORMAT);
    add(s, EVENT_tally);
    assert_int_equal(spool_ack(s, 1, 1), ERR_FORMAT);
    assert_int_equal(spool_ack(s, UINT64_MAX, 1), ERR_FORMAT);
    assert_int_equal(spool_ack(s, 0, 1), 0);
    commit_now(s);
    assert_int_equal(spool_ack(s, 1, 1), 1);
    assert_int_equal(spool_ack(s, 1, 1), 0);
    spool_close(s);
    folder_remove(&f);
}

static void what_is_acknowledged_makes_room_so_that_the_file_does_not_grow(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, UINT64_C(1) << 30);
    for (unsigned round = 0; round < 300; round++) {
        add_many(s, EVENT_tally, 1500);
        commit_now(s);
        spool_ack(s, spool_committed(s) - 1 - round % 700, 1);
    }
    assert_true(file_size(&f) <= SPOOL_MIN);
    all_is_there(s);
    spool_close(s);
    folder_remove(&f);
}

/* ---- kills and power losses ---- */

/* The child's life: events, commits, acknowledgements, and a word about each commit. */
static void live(const char *path, uint64_t seed, _Atomic uint64_t *committed)
{
    struct prf prf = prf_init(seed, 1);
    struct spool *s = open_spool(path, 0);
    for (;;) {
        add_many(s, (uint8_t)(prf_below(&prf, 2) ? EVENT_tally : EVENT_drop),
                 1 + (unsigned)prf_below(&prf, 400));
        commit_now(s);
        *committed = spool_committed(s);
        spool_ack(s, spool_acked(s) + prf_below(&prf, spool_committed(s) - spool_acked(s)), 1);
    }
}

static void whenever_it_is_killed_what_was_committed_is_there_once_and_in_order(void **state)
{
    (void)state;
    struct folder f;
    struct prf prf = prf_init(9, 9);
    _Atomic uint64_t *committed =
        mmap(NULL, sizeof *committed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    folder_make(&f);
    uint64_t epoch = 0;
    for (unsigned round = 0; round < 60; round++) {
        pid_t child = fork();
        if (child == 0)
            live(f.path, round, committed);
        usleep((useconds_t)prf_below(&prf, 40000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        struct spool *s = open_spool(f.path, 0);
        assert_string_equal(spool_break(s), "");
        assert_true(spool_committed(s) >= *committed);
        assert_true(epoch == 0 || spool_epoch(s) == epoch);
        epoch = spool_epoch(s);
        all_is_there(s);
        spool_close(s);
    }
    assert_true(*committed > 1000);
    munmap(committed, sizeof *committed);
    folder_remove(&f);
}

/* What the disk holds after the power failed behind operation n: all that was synced, and of the
 * rest some, torn at sectors, in no order. */
static void after_power_loss(uint8_t *image, size_t *size, unsigned n, struct prf *prf)
{
    unsigned synced = n;
    while (synced > 0 && disk.op[synced - 1].len > 0)
        synced--;
    for (unsigned i = 0; i < n; i++) {
        const struct op *op = &disk.op[i];
        size_t len = op->len;
        if (i >= synced && prf_below(prf, 2) == 0)
            continue;
        if (i >= synced && prf_below(prf, 2) == 0 && len > 512)
            len = 512 * prf_below(prf, len / 512);
        if (len == 0)
            continue;
        memcpy(image + op->at, op->bytes, len);
        if (op->at + len > *size)
            *size = op->at + len;
    }
}

static void write_image(const struct folder *f, const uint8_t *image, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/spool", f->path);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/spool/data.mdb", f->path);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(image, 1, size, out), size);
    fclose(out);
}

static void whenever_the_power_fails_what_was_committed_is_there(void **state)
{
    (void)state;
    enum { ROUNDS = 30, ROOM_OF_IMAGE = 16 << 20 };
    static uint8_t image[ROOM_OF_IMAGE];
    struct prf prf = prf_init(77, 1);
    struct folder f, other;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    add_many(s, EVENT_drop, 100);
    commit_now(s);
    char path[128];
    snprintf(path, sizeof path, "%s/spool/data.mdb", f.path);
    static uint8_t start[ROOM_OF_IMAGE];
    FILE *in = fopen(path, "r");
    size_t start_size = fread(start, 1, sizeof start, in);
    fclose(in);
    play(&f);
    disk.is_recorded = true;
    static uint64_t durable[OPS_MOST], acked[OPS_MOST];
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t before = spool_committed(s), acked_before = spool_acked(s);
        unsigned from = disk.ops;
        add_many(s, EVENT_drop, 1 + (unsigned)prf_below(&prf, 600));
        commit_now(s);
        for (unsigned i = from; i < disk.ops; i++) {
            durable[i] = before;
            acked[i] = acked_before;
        }
        durable[disk.ops] = spool_committed(s);
        spool_ack(s, spool_acked(s) + prf_below(&prf, spool_committed(s) - spool_acked(s)), 1);
        acked[disk.ops] = spool_acked(s);
    }
    spool_close(s);
    unsigned ops = disk.ops;
    disk.is_recorded = false;
    disk.inode = 0;
    for (unsigned n = 0; n <= ops; n++) {
        size_t size = start_size;
        memcpy(image, start, sizeof image);
        after_power_loss(image, &size, n, &prf);
        folder_make(&other);
        write_image(&other, image, size);
        s = open_spool(other.path, 0);
        assert_string_equal(spool_break(s), "");
        if (n > 0) {
            assert_true(spool_committed(s) >= durable[n]);
            assert_true(spool_acked(s) <= acked[n]);
        }
        all_is_there(s);
        spool_close(s);
        folder_remove(&other);
    }
    assert_true(ops > 3 * ROUNDS);
    play_no_more();
    folder_remove(&f);
}

/* ---- the limit ---- */

enum { NUMBERS = 400000 };
static uint8_t was[NUMBERS], is[NUMBERS], before[NUMBERS];

static uint8_t kind_of(unsigned mix, struct prf *prf)
{
    static const uint8_t kinds[] = {EVENT_tally,         EVENT_scan_window, EVENT_passive_flow,
                                    EVENT_sensor_status, EVENT_drop,        EVENT_test_ended};
    static const struct {
        unsigned from, to;
    } mixes[] = {{0, 6}, {1, 6}, {3, 6}, {4, 6}, {0, 6}};
    return kinds[mixes[mix].from + prf_below(prf, mixes[mix].to - mixes[mix].from)];
}

/* After a commit: what is missing went in the order that was promised. */
static void check_order(const struct spool *s, uint64_t missing[CLASS_COUNT])
{
    uint64_t now[CLASS_COUNT] = {0}, present[CLASS_COUNT] = {0}, oldest[CLASS_COUNT];
    memset(oldest, 0xff, sizeof oldest);
    for (uint64_t i = 1; i < spool_committed(s); i++) {
        enum event_class c = event_class(was[i]);
        if (is[i] == 0) {
            now[c]++;
            if (before[i] != 0 || now[c] > missing[c]) /* newly: nothing older of it is left */
                assert_true(oldest[c] > i);
        } else {
            assert_int_equal(is[i], was[i]);
            present[c]++;
            if (oldest[c] > i)
                oldest[c] = i;
        }
    }
    for (int c = 0; c < CLASS_COUNT; c++) {
        assert_int_equal(now[c], spool_stats(s)->given_up[c]);
        if (now[c] > missing[c])
            for (int less = 0; less < c; less++)
                assert_int_equal(present[less], 0);
        missing[c] = now[c];
    }
}

static void a_full_spool_gives_up_the_oldest_tallies_first_and_evidence_last(void **state)
{
    (void)state;
    struct folder f;
    struct prf prf = prf_init(1, 2);
    uint64_t missing[CLASS_COUNT] = {0}, seen[CLASS_COUNT] = {0};
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    memset(is, 0, sizeof is);
    /* everything; then no tallies any more; then no windows; then nothing but evidence; then all */
    for (unsigned mix = 0; mix < 5; mix++)
        for (unsigned round = 0; round < 60; round++) {
            uint64_t from = spool_next(s);
            unsigned n = 300 + (unsigned)prf_below(&prf, 900);
            for (uint64_t seq = from; seq < from + n; seq++) {
                assert_true(seq < NUMBERS);
                was[seq] = kind_of(mix, &prf);
                if (!spool_has_room(s))
                    break;
                add(s, was[seq]);
            }
            commit_now(s);
            memcpy(before, is, sizeof is);
            for (uint64_t seq = from; seq < spool_committed(s); seq++)
                before[seq] = was[seq];
            memset(is, 0, sizeof is);
            assert_int_equal(walk(s, 0, is, NUMBERS), spool_held(s));
            check_order(s, missing);
            assert_true(file_size(&f) <= SPOOL_MIN);
            if (mix == 0 && round == 44) /* some rounds on, evidence alone fills it */
                memcpy(seen, missing, sizeof seen);
        }
    assert_true(seen[CLASS_TALLY] > 1000);
    assert_int_equal(seen[CLASS_EVIDENCE], 0);
    for (int c = 0; c < CLASS_COUNT; c++)
        assert_true(missing[c] > 1000);
    assert_string_equal(spool_why(s), "the spool was full, given up: tallies, windows and flows, "
                                      "status, tests and drops");
    /* the holes outlive the process, and so does the reason */
    uint64_t held = spool_held(s);
    spool_close(s);
    s = open_spool(f.path, 0);
    assert_int_equal(spool_held(s), held);
    assert_int_equal(walk(s, 0, is, NUMBERS), held);
    assert_non_null(strstr(spool_why(s), "tallies"));
    spool_close(s);
    folder_remove(&f);
}

static void what_is_on_the_way_is_not_given_up(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    add_many(s, EVENT_tally, 2000);
    commit_now(s);
    while (given_up(s) < 5000) {
        while (spool_has_room(s))
            add(s, EVENT_tally);
        assert_int_equal(spool_commit(s, clock_mono_ns(), 2000), 0);
    }
    struct record r;
    for (uint64_t seq = 1; seq <= 2000; seq = r.first + r.count) {
        assert_int_equal(spool_read(s, seq, &r), 1);
        assert_true(r.first <= seq);
    }
    assert_int_equal(spool_read(s, 2001, &r), 1);
    assert_true(r.first > 2001);
    /* the connection is lost, and they are the oldest again */
    uint64_t gone = given_up(s);
    while (given_up(s) < gone + 2000) {
        while (spool_has_room(s))
            add(s, EVENT_tally);
        commit_now(s);
    }
    assert_int_equal(spool_read(s, 1, &r), 1);
    assert_true(r.first > 2000);
    spool_close(s);
    folder_remove(&f);
}

/* Room that never comes back in time: then nothing is written, and nothing is given up. */
static void a_spool_of_the_processs_own_gives_nothing_up(void **state)
{
    (void)state;
    struct spool *s = open_spool("", 0);
    int err = 0;
    while (err == 0) {
        while (spool_has_room(s))
            add(s, EVENT_tally);
        err = spool_commit(s, clock_mono_ns(), 0);
    }
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(given_up(s), 0);
    assert_false(spool_commit_due(s, clock_mono_ns(), 0));
    all_is_there(s);
    spool_ack(s, spool_committed(s) / 2, 1);
    assert_true(spool_commit_due(s, clock_mono_ns(), 0));
    assert_int_equal(spool_commit(s, clock_mono_ns(), 0), ERR_FULL); /* deletes */
    assert_int_equal(spool_commit(s, clock_mono_ns(), 0), 0);
    all_is_there(s);
    spool_close(s);
}

/* ---- a disk that is full, or fails ---- */

static void a_disk_that_fills_up_unannounced_gives_up_tallies_and_goes_on(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, UINT64_C(1) << 30);
    add_many(s, EVENT_drop, 3000);
    commit_now(s);
    play(&f);
    disk.full_at = 10 << 20;
    for (unsigned i = 0; i < 100; i++) {
        while (spool_has_room(s))
            add(s, i % 4 == 0 ? EVENT_drop : EVENT_tally);
        for (int tries = 0; spool_commit(s, clock_mono_ns(), 0) != 0; tries++)
            assert_true(tries < 5);
        if (spool_stats(s)->given_up[CLASS_TALLY] > 20000)
            break;
    }
    assert_true(spool_stats(s)->given_up[CLASS_TALLY] > 1000);
    assert_int_equal(spool_stats(s)->given_up[CLASS_EVIDENCE], 0);
    assert_int_equal(walk(s, 0, NULL, 0), spool_held(s));
    /* there is room again: the spool grows beyond */
    disk.full_at = 0;
    uint64_t gone = given_up(s);
    for (unsigned i = 0; i < 60; i++) {
        while (spool_has_room(s))
            add(s, EVENT_tally);
        commit_now(s);
        if (i < 30)
            gone = given_up(s);
    }
    assert_int_equal(given_up(s), gone);
    assert_true(file_size(&f) > 20 << 20);
    assert_int_equal(walk(s, 0, NULL, 0), spool_held(s));
    spool_close(s);
    play_no_more();
    folder_remove(&f);
}

static void a_write_that_fails_loses_nothing_and_is_done_again(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    play(&f);
    for (unsigned round = 0; round < 20; round++) {
        add_many(s, EVENT_drop, 100);
        disk.fail_sync = 2; /* LMDB writes the old meta page back: that fails, too */
        disk.reaches = round % 2 == 1;
        uint64_t now = clock_mono_ns();
        int err = spool_commit(s, now, 0);
        disk.fail_sync = 0;
        if (err != 0) {
            assert_true(spool_has_failed(s));
            assert_false(spool_commit_due(s, now, 0)); /* a pause */
            assert_true(spool_commit_due(s, now + 2 * NS_PER_S, 0));
            assert_int_equal(spool_commit(s, now + 2 * NS_PER_S, 0), 0);
        }
        assert_int_equal(spool_committed(s), 100 * (round + 1) + 1);
        assert_int_equal(spool_held(s), 100 * (round + 1));
        assert_int_equal(spool_stats(s)->events, 100 * (round + 1));
        assert_false(spool_has_failed(s));
        all_is_there(s);
    }
    spool_close(s);
    play_no_more();
    s = open_spool(f.path, 0);
    assert_int_equal(spool_committed(s), 2001);
    all_is_there(s);
    spool_close(s);
    folder_remove(&f);
}

/* Its head was written, and the disk says that it was not. */
static void what_comes_while_a_write_is_in_doubt_does_not_make_it_double(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    play(&f);
    for (unsigned round = 0; round < 20; round++) {
        add_many(s, EVENT_drop, 100);
        disk.fail_sync = 2;
        disk.reaches = true;
        uint64_t now = clock_mono_ns();
        assert_int_not_equal(spool_commit(s, now, 0), 0);
        disk.fail_sync = 0;
        add_many(s, EVENT_drop, round % 3 * 500); /* into the same batch, and into more of them */
        assert_int_equal(spool_commit(s, now + 2 * NS_PER_S, 0), 0);
        assert_int_equal(spool_waiting(s), 0);
        assert_int_equal(spool_held(s), spool_committed(s) - 1);
        assert_int_equal(spool_stats(s)->events, spool_committed(s) - 1);
        all_is_there(s);
    }
    assert_int_equal(spool_committed(s) - 1, 20 * 100 + 6 * 500 * (1 + 2) + 500);
    spool_close(s);
    play_no_more();
    folder_remove(&f);
}

/* As when a file system that found an error lets nobody write any more. */
static void a_spool_that_cannot_be_opened_again_refuses_and_goes_on_when_it_can(void **state)
{
    (void)state;
    struct folder f;
    char spool[96], away[96];
    struct record r;
    uint64_t first;
    folder_make(&f);
    snprintf(spool, sizeof spool, "%s/spool", f.path);
    snprintf(away, sizeof away, "%s/away", f.path);
    struct spool *s = open_spool(f.path, 0);
    add_many(s, EVENT_drop, 100);
    commit_now(s);
    play(&f);
    add_many(s, EVENT_drop, 100);
    disk.fail_sync = 2;
    assert_int_not_equal(spool_commit(s, 0, 0), 0);
    disk.fail_sync = 0;
    assert_int_equal(rename(spool, away), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_not_equal(spool_commit(s, 0, 0), 0);
        assert_int_not_equal(spool_begin_epoch(s, 0), 0);
        assert_int_not_equal(spool_let_out(s, true, 2 * NS_PER_S), 0);
        assert_int_equal(spool_read(s, 1, &r), ERR_DATABASE);
        assert_int_equal(spool_first(s, &first), ERR_DATABASE);
    }
    assert_int_equal(rename(away, spool), 0);
    add_many(s, EVENT_drop, 100);
    commit_now(s);
    assert_int_equal(spool_held(s), 300);
    all_is_there(s);
    spool_close(s);
    play_no_more();
    folder_remove(&f);
}

/* The file that a spool of the process's own has open. */
static void play_own(void)
{
    char path[64], target[256];
    struct stat st;
    for (int fd = 3; fd < 64 && disk.inode == 0; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strstr(target, "/penstock-spool-") != NULL && fstat(fd, &st) == 0)
            disk.inode = st.st_ino;
    }
    assert_int_not_equal(disk.inode, 0);
}

static void a_spool_of_the_processs_own_that_failed_is_not_looked_for_elsewhere(void **state)
{
    (void)state;
    struct spool *s = open_spool("", 0);
    add_many(s, EVENT_drop, 100);
    commit_now(s);
    play_own();
    add_many(s, EVENT_drop, 100);
    disk.fail_sync = 2;
    assert_int_not_equal(spool_commit(s, 0, 0), 0);
    disk.fail_sync = 0;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(spool_commit(s, 0, 0), ERR_DATABASE);
    assert_true(spool_has_failed(s));
    assert_int_equal(spool_held(s), 100);
    assert_int_equal(spool_waiting(s), 100);
    assert_int_not_equal(access("/data.mdb", F_OK), 0);
    spool_close(s);
    play_no_more();
}

/* ---- damage ---- */

static unsigned folders_aside(const struct folder *f)
{
    char command[160], text[16] = "";
    snprintf(command, sizeof command, "ls %s | grep -c spool.corrupt-", f->path);
    FILE *in = popen(command, "r");
    assert_non_null(fgets(text, sizeof text, in));
    pclose(in);
    return (unsigned)atoi(text);
}

static size_t read_image(const struct folder *f, uint8_t *image, size_t room)
{
    char path[128];
    snprintf(path, sizeof path, "%s/spool/data.mdb", f->path);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    size_t size = fread(image, 1, room, in);
    fclose(in);
    return size;
}

/* Either all is as it was, or the spool stands aside and an empty one is in its place. */
static bool check_after_damage(const struct folder *f, uint64_t epoch, uint64_t next)
{
    struct spool *s = open_spool(f->path, 0);
    bool is_aside = spool_break(s)[0] != '\0';
    assert_int_equal(folders_aside(f), is_aside);
    if (is_aside) {
        assert_true(spool_epoch(s) > epoch);
        assert_int_equal(spool_next(s), 1);
        assert_int_equal(spool_held(s), 0);
        add_many(s, EVENT_drop, 10);
        commit_now(s);
    } else {
        assert_int_equal(spool_epoch(s), epoch);
        assert_int_equal(spool_committed(s), next);
    }
    all_is_there(s);
    spool_close(s);
    return is_aside;
}

static void a_damaged_spool_is_set_aside_and_never_believed(void **state)
{
    (void)state;
    static uint8_t image[16 << 20], spoiled[16 << 20];
    struct prf prf = prf_init(4, 4);
    struct folder f, other;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    for (int i = 0; i < 30; i++) {
        add_many(s, EVENT_drop, i % 2 == 0 ? 20 : 500);
        commit_now(s);
        spool_ack(s, spool_committed(s) / 3, 1);
    }
    uint64_t epoch = spool_epoch(s), next = spool_committed(s);
    uint64_t used = spool_stats(s)->bytes + (20 << 12);
    spool_close(s);
    size_t size = read_image(&f, image, sizeof image);
    unsigned aside = 0;
    for (unsigned round = 0; round < 120; round++) {
        memcpy(spoiled, image, size);
        size_t len = size;
        if (round % 6 == 0)
            len = prf_below(&prf, used); /* cut short */
        for (unsigned flips = round % 6 == 0 ? 0 : 1 + round % 3; flips > 0; flips--)
            spoiled[8192 + prf_below(&prf, used - 8192)] ^= (uint8_t)(1 << prf_below(&prf, 8));
        if (round % 6 == 5) /* a page of noise */
            for (size_t at = 4096 * (2 + prf_below(&prf, used / 4096 - 2)), i = 0; i < 4096; i++)
                spoiled[at + i] = (uint8_t)prf_next(&prf);
        folder_make(&other);
        write_image(&other, spoiled, len);
        aside += check_after_damage(&other, epoch, next);
        folder_remove(&other);
    }
    assert_true(aside > 60);
    folder_remove(&f);
}

static void a_sound_spool_is_not_set_aside_because_who_looked_at_it_was_killed(void **state)
{
    (void)state;
    struct folder f;
    struct note note;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    add_many(s, EVENT_drop, 100);
    commit_now(s);
    spool_close(s);
    disk.spared = getpid();
    assert_int_equal(try_open(f.path, "ams1", 0, &s, &note), -ECANCELED);
    assert_non_null(strstr(note.text, "signal 9"));
    disk.spared = 0;
    assert_int_equal(folders_aside(&f), 0);
    s = open_spool(f.path, 0);
    assert_int_equal(spool_held(s), 100);
    spool_close(s);
    folder_remove(&f);
}

static void a_file_that_is_no_spool_at_all_is_set_aside(void **state)
{
    (void)state;
    static uint8_t noise[1 << 16];
    struct prf prf = prf_init(6, 4);
    struct folder f;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = round == 1 ? 0 : (uint8_t)prf_next(&prf);
        folder_make(&f);
        write_image(&f, noise, round == 2 ? 100 : sizeof noise);
        assert_true(check_after_damage(&f, 0, 0));
        folder_remove(&f);
    }
}

/* Damage that comes while the sensor runs: the page cache and the disk are one file. */
static void a_record_that_is_spoiled_meanwhile_becomes_a_hole_with_its_reason(void **state)
{
    (void)state;
    static uint8_t image[16 << 20];
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    struct record r;
    for (int i = 0; i < 5; i++) {
        add_many(s, EVENT_drop, 500);
        commit_now(s);
    }
    size_t size = read_image(&f, image, sizeof image);
    assert_int_equal(spool_read(s, 1001, &r), 1);
    uint64_t first = r.first, next = r.first + r.count, held = spool_held(s);
    uint32_t count = r.count;
    size_t at = (size_t)((uint8_t *)memmem(image, size, r.events, r.len) - image);
    char path[128];
    snprintf(path, sizeof path, "%s/spool/data.mdb", f.path);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "spoiled", 7, (off_t)(at + 100)), 7);
    close(fd);
    assert_int_equal(spool_read(s, first, &r), 1);
    assert_int_equal(r.first, next);
    assert_int_equal(spool_held(s), held - count);
    assert_int_equal(spool_stats(s)->damaged, 1);
    assert_string_equal(spool_why(s), "records of the spool were damaged");
    assert_int_equal(walk(s, 0, NULL, 0), held - count);
    spool_close(s);
    folder_remove(&f);
}

/* ---- whose it is ---- */

static void a_second_process_is_refused_and_told_who_has_it(void **state)
{
    (void)state;
    struct folder f;
    struct spool *other;
    struct note note;
    char me[32];
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    snprintf(me, sizeof me, "process %ld ", (long)getpid());
    pid_t child = fork();
    if (child == 0) {
        int err = try_open(f.path, "ams1", 0, &other, &note);
        _exit(err == ERR_BUSY && strstr(note.text, me) != NULL && strstr(note.text, "ams1") != NULL
                  ? 0
                  : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(try_open(f.path, "ams1", 0, &other, &note), ERR_BUSY);
    add_many(s, EVENT_drop, 10);
    commit_now(s); /* and the first one does not notice */
    spool_close(s);
    spool_close(open_spool(f.path, 0));
    folder_remove(&f);
}

static void another_sensors_spool_is_refused_and_left_alone(void **state)
{
    (void)state;
    struct folder f;
    struct spool *s = NULL;
    struct note note;
    folder_make(&f);
    assert_int_equal(try_open(f.path, "fra1", 0, &s, &note), 0);
    add_many(s, EVENT_drop, 10);
    commit_now(s);
    spool_close(s);
    assert_int_equal(try_open(f.path, "ams1", 0, &s, &note), ERR_CONF);
    assert_null(s);
    assert_non_null(strstr(note.text, "\"fra1\""));
    assert_non_null(strstr(note.text, "\"ams1\""));
    assert_int_equal(try_open(f.path, "fra1", 0, &s, &note), 0);
    assert_int_equal(spool_held(s), 10);
    spool_close(s);
    folder_remove(&f);
}

static void a_folder_that_is_not_there_is_refused_with_its_name(void **state)
{
    (void)state;
    struct spool *s;
    struct note note;
    assert_int_equal(try_open("/nowhere/at/all", "ams1", 0, &s, &note), -ENOENT);
    assert_non_null(strstr(note.text, "/nowhere/at/all"));
}

/* ---- a copy from yesterday ---- */

static void let_out(struct spool *s)
{
    assert_int_equal(spool_let_out(s, true, clock_mono_ns()), 0);
}

static void copy_of(const struct folder *f, const struct folder *to)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s/spool && cp -r %s/spool %s/", to->path, f->path,
             to->path);
    assert_int_equal(system(command), 0);
}

/* Sent up to 100, then copied; the original goes on and sends up to 300. The copy comes back, and
 * makes events 101.. of its own, in two lives, before it meets the collector. */
static void a_restored_copy_begins_an_epoch_with_its_own_events_and_no_others(void **state)
{
    (void)state;
    struct folder f, copy;
    folder_make(&f);
    folder_make(&copy);
    struct spool *s = open_spool(f.path, 0);
    add_many(s, EVENT_drop, 100);
    commit_now(s);
    let_out(s);
    uint64_t epoch = spool_epoch(s);
    assert_false(spool_is_older(s, 100, 1));
    copy_of(&f, &copy);
    add_many(s, EVENT_drop, 200);
    commit_now(s);
    assert_false(spool_is_older(s, 300, 1));
    spool_close(s);

    s = open_spool(copy.path, 0);
    add_many(s, EVENT_drop, 150);
    commit_now(s);
    spool_close(s);
    s = open_spool(copy.path, 0);
    add_many(s, EVENT_drop, 250);
    commit_now(s);
    add_many(s, EVENT_drop, 10); /* not committed yet */
    assert_int_equal(spool_next(s), 511);
    assert_false(spool_is_older(s, 100, 1)); /* all that it let out */
    assert_true(spool_is_older(s, 101, 1));
    assert_true(spool_is_older(s, 300, 1)); /* though 500 are committed here */
    assert_int_equal(spool_begin_epoch(s, clock_mono_ns()), 0);
    assert_true(spool_epoch(s) > epoch);
    assert_int_equal(spool_acked(s), 0);
    assert_int_equal(spool_next(s), 411);
    uint64_t first;
    assert_int_equal(spool_first(s, &first), 0);
    assert_int_equal(first, 1);
    commit_now(s);
    assert_int_equal(walk(s, 100, NULL, 0), 410);
    assert_true(spool_break(s)[0] != '\0');
    epoch = spool_epoch(s);
    spool_close(s);
    s = open_spool(copy.path, 0); /* and stays so */
    assert_int_equal(spool_epoch(s), epoch);
    assert_int_equal(spool_next(s), 411);
    assert_int_equal(walk(s, 100, NULL, 0), 410);
    assert_int_equal(spool_ack(s, 410, 1), 410);
    commit_now(s);
    assert_int_equal(spool_held(s), 0);
    spool_close(s);
    folder_remove(&f);
    folder_remove(&copy);
}

/* Sent up to 100; 101..150 wait when the copy is made. The original goes on and sends these, and
 * more up to 250. The copy has 101..150 in common with it, and makes 151..170 of its own, in two
 * lives. */
static void a_restored_copy_does_not_repeat_what_the_original_sent_later(void **state)
{
    (void)state;
    struct folder f, copy;
    uint64_t first;
    folder_make(&f);
    folder_make(&copy);
    struct spool *s = open_spool(f.path, 0);
    add_many(s, EVENT_drop, 100);
    commit_now(s);
    let_out(s);
    assert_int_equal(spool_let_out(s, false, clock_mono_ns()), 0);
    add_many(s, EVENT_drop, 50);
    commit_now(s);
    copy_of(&f, &copy);
    spool_close(s);

    for (int life = 0; life < 2; life++) {
        s = open_spool(copy.path, 0);
        add_many(s, EVENT_drop, 10);
        commit_now(s);
        spool_close(s);
    }
    s = open_spool(copy.path, 0);
    assert_int_equal(spool_next(s), 171);
    assert_false(spool_is_older(s, 120, 1)); /* the original died on the way: the copy goes on */
    assert_true(spool_is_older(s, 151, 1));
    assert_true(spool_is_older(s, 250, 1));
    assert_int_equal(spool_begin_epoch(s, clock_mono_ns()), 0);
    assert_int_equal(spool_first(s, &first), 0);
    assert_int_equal(first, 1);
    assert_int_equal(spool_next(s), 21);
    assert_int_equal(walk(s, 150, NULL, 0), 20);
    spool_close(s);

    s = open_spool(copy.path, 0); /* a copy of this one has all twenty in common with it */
    assert_false(spool_is_older(s, 20, 1));
    assert_true(spool_is_older(s, 21, 1));
    spool_close(s);
    folder_remove(&f);
    folder_remove(&copy);
}

/* The copy is of a spool that never met the collector. */
static void a_restored_copy_of_a_first_run_does_not_repeat_it(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    add_many(s, EVENT_drop, 50);
    commit_now(s);
    spool_close(s);
    s = open_spool(f.path, 0); /* the copy; the original went on from here, up to 80 */
    add_many(s, EVENT_drop, 10);
    commit_now(s);
    assert_false(spool_is_older(s, 50, 1));
    assert_true(spool_is_older(s, 80, 1));
    assert_int_equal(spool_begin_epoch(s, clock_mono_ns()), 0);
    assert_int_equal(walk(s, 50, NULL, 0), 10);
    spool_close(s);
    folder_remove(&f);
}

/* The collector passes a hole by what the sensor said: that is no later number of another's. */
static void a_hole_that_the_collector_passed_does_not_look_like_a_restored_copy(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0); /* never let out anything */
    while (given_up(s) < 1000) {
        while (spool_has_room(s))
            add(s, EVENT_tally);
        commit_now(s);
    }
    uint64_t first;
    assert_int_equal(spool_first(s, &first), 0);
    assert_true(first > 1000);
    assert_false(spool_is_older(s, first - 1, first));
    assert_true(spool_is_older(s, first, first));
    spool_close(s);
    folder_remove(&f);
}

/* ---- the command ---- */

static char output[1 << 20];

/* Runs it with its standard output in `output`. */
static int command(const char *what, const char *path)
{
    FILE *to = tmpfile();
    fflush(stdout);
    int usual = dup(STDOUT_FILENO), errors = dup(STDERR_FILENO);
    dup2(fileno(to), STDOUT_FILENO);
    dup2(fileno(to), STDERR_FILENO);
    int status = spool_command(what, path);
    fflush(stdout);
    dup2(usual, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    close(usual);
    close(errors);
    rewind(to);
    output[fread(output, 1, sizeof output - 1, to)] = '\0';
    fclose(to);
    return status;
}

static unsigned lines_with(const char *text)
{
    unsigned n = 0;
    for (const char *at = output; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

static void it_can_be_shown_checked_and_exported_beside_its_sensor(void **state)
{
    (void)state;
    struct folder f;
    char text[64];
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    add_many(s, EVENT_drop, 700);
    add_many(s, EVENT_tally, 300);
    commit_now(s);
    spool_ack(s, 600, 1);
    commit_now(s);
    struct record r;
    assert_int_equal(spool_read(s, 601, &r), 1);
    assert_int_equal(command("show", f.path), 0);
    assert_int_equal(lines_with("sensor      ams1\n"), 1);
    assert_int_equal(lines_with("next_seq    1001\n"), 1);
    snprintf(text, sizeof text, "epoch       %lu\n", spool_epoch(s));
    assert_int_equal(lines_with(text), 1);
    assert_int_equal(command("check", f.path), 0);
    assert_int_equal(lines_with(" is sound: "), 1);
    assert_int_equal(command("export", f.path), 0);
    assert_int_equal(lines_with("\"event\":\"tally\""), 300);
    snprintf(text, sizeof text, "{\"epoch\":%lu,\"sequence\":1000,", spool_epoch(s));
    assert_int_equal(lines_with(text), 1);
    assert_int_equal(lines_with("\"sequence\":601,"), 1);
    add_many(s, EVENT_drop, 100); /* and its sensor goes on */
    commit_now(s);
    assert_int_equal(spool_next(s), 1101);
    spool_close(s);
    assert_int_equal(command("check", f.path), 0);
    assert_int_equal(command("list", f.path), 2);
    folder_remove(&f);
}

static void the_command_says_what_was_given_up(void **state)
{
    (void)state;
    struct folder f;
    char text[64];
    folder_make(&f);
    struct spool *s = open_spool(f.path, 0);
    while (given_up(s) < 1000) {
        for (unsigned i = 0; spool_has_room(s); i++)
            add(s, i % 50 == 0 ? EVENT_drop : EVENT_tally);
        commit_now(s);
    }
    assert_int_equal(command("show", f.path), 0);
    snprintf(text, sizeof text, "given up    %lu numbers", given_up(s));
    assert_int_equal(lines_with(text), 1);
    snprintf(text, sizeof text, "held        %lu events", spool_held(s));
    assert_int_equal(lines_with(text), 1);
    spool_close(s);
    folder_remove(&f);
}

static void a_damaged_or_missing_spool_fails_the_check(void **state)
{
    (void)state;
    static uint8_t image[16 << 20];
    struct folder f;
    folder_make(&f);
    assert_int_equal(command("check", f.path), 1);
    assert_int_equal(command("show", f.path), 1);
    struct spool *s = open_spool(f.path, 0);
    for (int i = 0; i < 10; i++) {
        add_many(s, EVENT_drop, 500);
        commit_now(s);
    }
    uint64_t used = spool_stats(s)->bytes;
    spool_close(s);
    assert_int_equal(command("check", f.path), 0);
    size_t size = read_image(&f, image, sizeof image);
    memset(image + used / 2, 0x55, 4096);
    write_image(&f, image, size);
    assert_int_equal(command("check", f.path), 1);
    assert_int_equal(command("export", f.path), 1);
    folder_remove(&f);
}

static void a_newer_programs_spool_is_refused_and_left_alone(void **state)
{
    (void)state;
    static uint8_t image[16 << 20];
    struct folder f;
    struct spool *s;
    struct note note;
    folder_make(&f);
    s = open_spool(f.path, 0);
    spool_close(s);
    size_t size = read_image(&f, image, sizeof image);
    uint8_t *meta = memmem(image + 8192, size - 8192, "ams1", 5);
    assert_non_null(meta);
    for (uint8_t *at = meta; at != NULL; /* each copy of the page */
         at = memmem(at + 1, size - (size_t)(at + 1 - image), "ams1", 5))
        *(at - offsetof(struct spool_meta, sensor)) = 9;
    write_image(&f, image, size);
    assert_int_equal(try_open(f.path, "ams1", 0, &s, &note), ERR_VERSION);
    assert_non_null(strstr(note.text, "format 9"));
    assert_int_equal(folders_aside(&f), 0);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_epoch_go_on_after_a_restart),
        cmocka_unit_test(what_was_not_committed_is_gone_and_its_numbers_are_used_again),
        cmocka_unit_test(a_commit_is_due_after_linger_or_when_no_more_fits),
        cmocka_unit_test(a_number_that_is_not_committed_acknowledges_nothing),
        cmocka_unit_test(what_is_acknowledged_makes_room_so_that_the_file_does_not_grow),
        cmocka_unit_test(whenever_it_is_killed_what_was_committed_is_there_once_and_in_order),
        cmocka_unit_test(whenever_the_power_fails_what_was_committed_is_there),
        cmocka_unit_test(a_full_spool_gives_up_the_oldest_tallies_first_and_evidence_last),
        cmocka_unit_test(what_is_on_the_way_is_not_given_up),
        cmocka_unit_test(a_spool_of_the_processs_own_gives_nothing_up),
        cmocka_unit_test(a_disk_that_fills_up_unannounced_gives_up_tallies_and_goes_on),
        cmocka_unit_test(a_write_that_fails_loses_nothing_and_is_done_again),
        cmocka_unit_test(what_comes_while_a_write_is_in_doubt_does_not_make_it_double),
        cmocka_unit_test(a_spool_that_cannot_be_opened_again_refuses_and_goes_on_when_it_can),
        cmocka_unit_test(a_spool_of_the_processs_own_that_failed_is_not_looked_for_elsewhere),
        cmocka_unit_test(a_damaged_spool_is_set_aside_and_never_believed),
        cmocka_unit_test(a_sound_spool_is_not_set_aside_because_who_looked_at_it_was_killed),
        cmocka_unit_test(a_file_that_is_no_spool_at_all_is_set_aside),
        cmocka_unit_test(a_record_that_is_spoiled_meanwhile_becomes_a_hole_with_its_reason),
        cmocka_unit_test(a_second_process_is_refused_and_told_who_has_it),
        cmocka_unit_test(another_sensors_spool_is_refused_and_left_alone),
        cmocka_unit_test(a_folder_that_is_not_there_is_refused_with_its_name),
        cmocka_unit_test(a_restored_copy_begins_an_epoch_with_its_own_events_and_no_others),
        cmocka_unit_test(a_restored_copy_does_not_repeat_what_the_original_sent_later),
        cmocka_unit_test(a_restored_copy_of_a_first_run_does_not_repeat_it),
        cmocka_unit_test(a_hole_that_the_collector_passed_does_not_look_like_a_restored_copy),
        cmocka_unit_test(it_can_be_shown_checked_and_exported_beside_its_sensor),
        cmocka_unit_test(the_command_says_what_was_given_up),
        cmocka_unit_test(a_damaged_or_missing_spool_fails_the_check),
        cmocka_unit_test(a_newer_programs_spool_is_refused_and_left_alone),
    };
    log_level_set((enum log_level) - 1); /* damage is what they are about */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
