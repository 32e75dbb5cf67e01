/* The spool on a disk that is really full: a small tmpfs, in a mount namespace of this process. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "shared/base/log.h"
#include "tests/sensor/publish/spool_lab.h"

static struct folder disk;

static void disk_mount(const char *size)
{
    char options[32];
    snprintf(options, sizeof options, "size=%s", size);
    folder_make(&disk);
    assert_int_equal(mount("tmpfs", disk.path, "tmpfs", 0, options), 0);
}

static void disk_unmount(void)
{
    assert_int_equal(umount(disk.path), 0);
    assert_int_equal(rmdir(disk.path), 0);
}

static int own_mounts(void **state)
{
    (void)state;
    if (unshare(CLONE_NEWNS) != 0)
        return -1;
    /* in a chroot / is no mount point, and has no propagation of its own */
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 || errno == EINVAL ? 0 : -1;
}

/* Takes all that is left of the disk. */
static void fill(const char *name)
{
    char path[128];
    static const char zeros[4096];
    snprintf(path, sizeof path, "%s/%s", disk.path, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof zeros) == sizeof zeros)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void a_start_without_room_for_the_least_spool_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct spool *s;
    struct note note;
    disk_mount("4m");
    assert_int_equal(try_open(disk.path, "ams1", UINT64_C(1) << 30, &s, &note), -ENOSPC);
    assert_non_null(strstr(note.text, "8 MiB"));
    assert_non_null(strstr(note.text, disk.path));
    disk_unmount();
}

/* Somebody else takes the disk; tallies go, evidence stays, and no commit fails. Then there is room
 * again. */
static void on_a_full_disk_tallies_are_given_up_and_every_commit_succeeds(void **state)
{
    (void)state;
    disk_mount("64m");
    struct spool *s = open_spool(disk.path, UINT64_C(1) << 30);
    add_many(s, EVENT_drop, 2000);
    add_many(s, EVENT_tally, 20000);
    commit_now(s);
    assert_int_equal(given_up(s), 0);
    fill("other");
    uint64_t size = file_size(&disk);
    for (unsigned i = 0; i < 300; i++) {
        add_many(s, i % 8 == 0 ? EVENT_drop : EVENT_tally, 700);
        commit_now(s);
        assert_false(spool_has_failed(s));
    }
    assert_true(spool_stats(s)->given_up[CLASS_TALLY] > 50000);
    assert_int_equal(file_size(&disk), size);
    assert_int_equal(walk(s, 0, NULL, 0), spool_held(s));
    /* nothing but evidence comes: then the oldest of it goes, too */
    for (unsigned i = 0; i < 100; i++) {
        add_many(s, EVENT_drop, 700);
        commit_now(s);
    }
    assert_true(spool_stats(s)->given_up[CLASS_EVIDENCE] > 0);
    uint64_t gone = given_up(s), held = spool_held(s);
    spool_close(s);
    /* a restart on the full disk */
    s = open_spool(disk.path, UINT64_C(1) << 30);
    assert_string_equal(spool_break(s), "");
    assert_int_equal(spool_held(s), held);
    assert_int_equal(walk(s, 0, NULL, 0), held);
    assert_true(gone > 0);
    /* room again */
    char path[128];
    snprintf(path, sizeof path, "%s/other", disk.path);
    unlink(path);
    for (unsigned i = 0; i < 30; i++) {
        add_many(s, EVENT_tally, 3000);
        commit_now(s);
    }
    assert_int_equal(given_up(s), 0);
    assert_true(file_size(&disk) > size);
    assert_int_equal(walk(s, 0, NULL, 0), spool_held(s));
    spool_close(s);
    disk_unmount();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_without_room_for_the_least_spool_is_refused_with_the_reason),
        cmocka_unit_test(on_a_full_disk_tallies_are_given_up_and_every_commit_succeeds),
    };
    log_level_set(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, own_mounts, NULL);
}
