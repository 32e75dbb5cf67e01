/* The DPDK source: what it refuses and how it says so, and what it leaves alone. Each case is a
 * process of its own, as DPDK starts but once in one. Memory without huge pages. What a wire
 * promises is asked in test_source_contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "sensor/source/source.h"
#include "shared/base/clock.h"
#include "tests/sensor/source/lab.h"

static struct lab lab;
static struct ingress_table ingress = {.count = 1, .row = {{.router = "r1"}}};

static struct source_conf conf_of(const char *outer, const char *inner)
{
    struct source_conf c = {
        .driver = SOURCE_DPDK,
        .forward = inner != NULL ? FORWARD_DPDK : FORWARD_NONE,
        .ingress = &ingress,
        .eal = {"--no-huge", "-m", "512"},
        .eal_count = 3,
    };
    snprintf(c.sensor, sizeof c.sensor, "test/%d", (int)getpid());
    snprintf(c.interface, sizeof c.interface, "%s", outer);
    snprintf(c.forward_interface, sizeof c.forward_interface, "%s", inner != NULL ? inner : "");
    return c;
}

/* Runs it in a child. What the child said goes to said. True: it returned true. */
static bool in_child(bool (*body)(const void *), const void *arg, char *said, size_t room)
{
    int fds[2], status = -1;
    size_t used = 0;
    ssize_t n;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        bool is_right = body(arg);
        fflush(stdout);
        _exit(is_right ? 0 : 1);
    }
    close(fds[1]);
    while (used + 1 < room && (n = read(fds[0], said + used, room - used - 1)) > 0)
        used += (size_t)n;
    said[used] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void expect_right(bool (*body)(const void *), const void *arg)
{
    char said[16384];
    if (!in_child(body, arg, said, sizeof said))
        fail_msg("%s", said);
}

/* ---- refusals */

struct refusal {
    const char *outer, *inner;
    unsigned queues, mtu;
    const char *eal[4]; /* NULL in the first: --no-huge -m 512 */
    int err;
    const char *cause, *remedy;
};

static bool is_refused(const void *arg)
{
    const struct refusal *r = arg;
    struct source_conf c = conf_of(r->outer, r->inner);
    struct source_group *group;
    struct note note = {0};
    c.queues = r->queues;
    c.mtu = r->mtu;
    for (size_t i = 0; r->eal[0] != NULL && i < 4; i++) {
        snprintf(c.eal[i], sizeof c.eal[i], "%s", r->eal[i] != NULL ? r->eal[i] : "");
        c.eal_count = r->eal[i] != NULL ? i + 1 : c.eal_count > i ? i : c.eal_count;
    }
    int err = source_dpdk.attach(&c, &group, &note);
    printf("%s", note.text);
    char folder[64]; /* the slash in the name is one that a folder cannot have */
    snprintf(folder, sizeof folder, "/run/dpdk/penstock-test_%d", (int)getpid());
    return access(folder, F_OK) != 0 && err == r->err && group == NULL &&
           strstr(note.text, r->cause) != NULL && strstr(note.text, r->remedy) != NULL;
}

/* All that the process says is its note: neither DPDK's lines nor its usage text. */
static void expect_refusal(const struct refusal *r)
{
    char said[16384];
    if (!in_child(is_refused, r, said, sizeof said))
        fail_msg("\"%s\" is not \"%s\" with \"%s\"", said, r->cause, r->remedy);
    if (strchr(said, '\n') != NULL && strstr(said, "event=") == NULL)
        fail_msg("more than one line: %s", said);
}

static void what_cannot_work_is_refused_with_cause_and_remedy(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {.outer = "net_nonsense0",
         .err = ERR_UNSUPPORTED,
         .cause = "net_nonsense0",
         .remedy = "DPDK has no driver of that name"},
        {.outer = "net_null0",
         .inner = "net_nonsense1",
         .err = ERR_UNSUPPORTED,
         .cause = "net_nonsense1",
         .remedy = "DPDK has no driver of that name"},
        {.outer = "net_af_packet0,iface=nowhere0",
         .err = -ENODEV,
         .cause = "DPDK has no port net_af_packet0",
         .remedy = "log.level debug"},
        {.outer = "0000:ff:1f.7",
         .err = -ENODEV,
         .cause = "source.interface: this machine has no PCI device 0000:ff:1f.7",
         .remedy = "lspci"},
        {.outer = "net_null0",
         .inner = "0000:ff:1f.7",
         .err = -ENODEV,
         .cause = "forward.interface: this machine has no PCI device 0000:ff:1f.7",
         .remedy = "lspci"},
        {.outer = "net_null0",
         .inner = "net_af_packet1,iface=outer",
         .queues = 2,
         .err = ERR_CONF,
         .cause = "2, but net_null0 and net_af_packet1 can do 1 receive and transmit queues",
         .remedy = "qpairs"},
        {.outer = "net_null0",
         .eal = {"--no-huge", "--frobnicate"},
         .err = ERR_UNSUPPORTED,
         .cause = "unrecognized option '--frobnicate'",
         .remedy = "correct source.eal"},
        {.outer = "net_null0",
         .eal = {"--hel"},
         .err = ERR_CONF,
         .cause = "--hel",
         .remedy = "leave it out"},
        {.outer = "net_null0",
         .eal = {"--no-huge", "-m", "8"},
         .err = -ENOMEM,
         .cause = "DPDK's memory",
         .remedy = "deploy/nic-setup --hugepages"},
        {.outer = "net_af_packet0,iface=outer",
         .mtu = 9000,
         .err = -EINVAL,
         .cause = "net_af_packet0: cannot set up",
         .remedy = "MTU 9000 (source.mtu)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refusal(&cases[i]);
}

static unsigned huge_pages(void)
{
    unsigned pages = 0;
    FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "r");
    if (f == NULL || fscanf(f, "%u", &pages) != 1)
        pages = 0;
    if (f != NULL)
        fclose(f);
    return pages;
}

static void a_machine_without_huge_pages_is_told_how_to_get_them(void **state)
{
    (void)state;
    const struct refusal none = {.outer = "net_null0",
                                 .eal = {"--no-telemetry"},
                                 .err = ERR_UNSUPPORTED,
                                 .cause = "ugepage",
                                 .remedy = "deploy/nic-setup --hugepages"};
    if (huge_pages() > 0)
        skip(); /* somebody reserved some */
    expect_refusal(&none);
}

/* Some device that the kernel's driver holds; this machine may have none. */
static bool find_kernels_device(char *address, size_t size)
{
    DIR *dir = opendir("/sys/bus/pci/devices");
    bool is_found = false;
    for (struct dirent *e; dir != NULL && !is_found && (e = readdir(dir)) != NULL;) {
        char path[300];
        snprintf(path, sizeof path, "/sys/bus/pci/devices/%.20s/driver", e->d_name);
        is_found = e->d_name[0] != '.' && access(path, F_OK) == 0;
        if (is_found)
            snprintf(address, size, "%.20s", e->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    return is_found;
}

static void a_device_of_the_kernels_driver_is_refused(void **state)
{
    (void)state;
    char address[64];
    struct refusal held = {.outer = address,
                           .err = ERR_BUSY,
                           .cause = "belongs to the kernel's driver",
                           .remedy = "deploy/nic-setup --bind"};
    if (!find_kernels_device(address, sizeof address))
        skip();
    expect_refusal(&held);
}

/* ---- manners */

static bool is_quiet_and_leaves_the_thread_alone(const void *arg)
{
    struct source_conf c = conf_of(arg, NULL);
    struct source_group *group;
    struct note note = {0};
    cpu_set_t before, after;
    sched_getaffinity(0, sizeof before, &before);
    if (source_dpdk.attach(&c, &group, &note) != 0)
        return false;
    sched_getaffinity(0, sizeof after, &after);
    struct source_group *second;
    int again = source_dpdk.attach(&c, &second, &note);
    source_dpdk.detach(group);
    return CPU_EQUAL(&before, &after) && again == ERR_BUSY && second == NULL;
}

static void dpdk_neither_prints_nor_pins_and_starts_once(void **state)
{
    (void)state;
    char said[16384];
    assert_true(in_child(is_quiet_and_leaves_the_thread_alone, "net_null0", said, sizeof said));
    for (char *at, *line = strtok_r(said, "\n", &at); line != NULL;
         line = strtok_r(NULL, "\n", &at))
        if (strstr(line, " info event=") == NULL)
            fail_msg("\"%s\"", line);
}

struct hand {
    struct source_group *group;
    unsigned queue;
    _Atomic unsigned taken;
    atomic_bool is_opened, must_stop;
    struct source_stats stats;
};

static void *serve_queue(void *arg)
{
    struct hand *h = arg;
    struct source *s;
    struct note note = {0};
    static const uint8_t forward[BURST];
    if (source_dpdk.open(h->group, h->queue, &s, &note) != 0)
        return NULL;
    atomic_store(&h->is_opened, true);
    while (!atomic_load(&h->must_stop)) {
        struct frame frames[BURST];
        int n = source_dpdk.recv(s, frames, BURST);
        if (n == 0)
            source_dpdk.wait(s, 5);
        source_dpdk.done(s, frames, forward, (unsigned)n);
        atomic_fetch_add(&h->taken, (unsigned)n);
    }
    source_dpdk.stats(s, &h->stats);
    source_dpdk.close(s);
    return NULL;
}

static bool wait_for(const atomic_bool *flag)
{
    for (int i = 0; i < 500 && !atomic_load(flag); i++)
        usleep(10000);
    return atomic_load(flag);
}

/* Flows from a to b through both queues of both ports, a list changed meanwhile; all arrive. */
static bool two_queues_share_the_flows(const void *arg)
{
    enum { FLOWS = 400 };
    (void)arg;
    struct source_conf c =
        conf_of("net_af_packet0,iface=outer,qpairs=2", "net_af_packet1,iface=inner,qpairs=2");
    struct hand hands[2] = {{.queue = 0}, {.queue = 1}};
    struct bytes like = tcp4("203.0.113.7", 1, 80, FLAG_ACK), got;
    struct note note = {0};
    struct prefix watched;
    pthread_t threads[2];
    unsigned arrived = 0;
    c.queues = 2;
    if (source_dpdk.attach(&c, &hands[0].group, &note) != 0 ||
        prefix_parse("203.0.113.0/24", &watched) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        hands[i].group = hands[0].group;
        pthread_create(&threads[i], NULL, serve_queue, &hands[i]);
        if (!wait_for(&hands[i].is_opened))
            return false;
    }
    for (unsigned i = 0; i < FLOWS; i++) {
        struct bytes f = tcp4("203.0.113.7", 1000 + i, 80, FLAG_ACK);
        if (i % 100 == 0 && source_dpdk.watch(hands[0].group, &watched, i % 200 / 100, &note) != 0)
            return false;
        send(lab.a, f.data, f.len, 0);
    }
    while (next_like(lab.b, &like, &got, 300) > 0)
        arrived++;
    for (int i = 0; i < 2; i++) {
        atomic_store(&hands[i].must_stop, true);
        pthread_join(threads[i], NULL);
    }
    source_dpdk.detach(hands[0].group);
    unsigned first = atomic_load(&hands[0].taken), second = atomic_load(&hands[1].taken);
    printf("%u + %u frames, %u arrived\n", first, second, arrived);
    return first > FLOWS / 10 && second > FLOWS / 10 && first + second >= FLOWS && arrived == FLOWS;
}

static void all_queues_are_served_while_the_watched_prefixes_change(void **state)
{
    (void)state;
    expect_right(two_queues_share_the_flows, NULL);
}

static bool runs(const void *arg)
{
    struct source_conf c = conf_of(arg, NULL);
    struct source_group *group;
    struct note note = {0};
    if (source_dpdk.attach(&c, &group, &note) != 0)
        return false;
    source_dpdk.detach(group);
    return true;
}

/* Each longer than 24 bits, in a network of its own: the dearest kind. */
static bool watches_a_full_list(const void *arg)
{
    enum { CONFIGURED = 1024, ORDERED = 64 };
    static struct prefix list[CONFIGURED + ORDERED];
    struct source_conf c = conf_of(arg, NULL);
    struct source_group *group;
    struct note note = {0};
    for (unsigned i = 0; i < CONFIGURED + ORDERED; i++) {
        struct addr a = {.family = ADDR_V4,
                         .bytes = {10, (uint8_t)(i / 256), (uint8_t)(i % 256), 0}};
        list[i] = prefix_of(&a, 28);
    }
    if (source_dpdk.attach(&c, &group, &note) != 0)
        return false;
    bool is_taken = source_dpdk.watch(group, list, CONFIGURED + ORDERED, &note) == 0;
    source_dpdk.detach(group);
    return is_taken;
}

static void a_full_configuration_and_its_orders_are_watched(void **state)
{
    (void)state;
    expect_right(watches_a_full_list, "net_null0");
}

static void two_sensors_run_on_one_machine(void **state)
{
    (void)state;
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    pid_t first = fork();
    if (first == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct source_conf c = conf_of("net_null0", "net_null1");
        struct source_group *group;
        struct note note = {0};
        bool is_up = source_dpdk.attach(&c, &group, &note) == 0;
        if (write(fds[1], is_up ? "1" : "0", 1) == 1)
            pause();
        _exit(0);
    }
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(byte, '1');
    expect_right(runs, "net_null0");
    assert_int_equal(kill(first, SIGKILL), 0);
    assert_int_equal(waitpid(first, NULL, 0), first);
    assert_int_equal(shell("! test -e /run/dpdk/penstock-test_%d", (int)first), 0);
    expect_right(runs, "net_null0"); /* and nothing that it left is in the way */
    close(fds[0]);
    close(fds[1]);
}

static unsigned mtu_of(const char *interface)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    int err = ioctl(fd, SIOCGIFMTU, &request);
    close(fd);
    return err == 0 ? (unsigned)request.ifr_mtu : 0;
}

static bool sets_the_mtu_and_puts_it_back(const void *arg)
{
    (void)arg;
    struct source_conf c = conf_of("net_af_packet0,iface=outer", "net_af_packet1,iface=inner");
    struct source_group *group;
    struct note note = {0};
    c.mtu = 1400;
    if (source_dpdk.attach(&c, &group, &note) != 0) {
        printf("%s", note.text);
        return false;
    }
    unsigned outer = mtu_of("outer"), inner = mtu_of("inner");
    source_dpdk.detach(group);
    printf("%u %u, then %u\n", outer, inner, mtu_of("outer"));
    return outer == 1400 && inner == 1400 && mtu_of("outer") == 1500 && mtu_of("inner") == 1500;
}

static void the_mtu_is_set_on_both_ports_and_put_back(void **state)
{
    (void)state;
    expect_right(sets_the_mtu_and_puts_it_back, NULL);
}

static bool counts_what_a_port_that_is_down_swallows(const void *arg)
{
    enum { MANY = 100 };
    struct source_conf c = conf_of("net_af_packet0,iface=outer", arg);
    struct source_group *group;
    struct source *s;
    struct source_stats stats;
    struct note note = {0};
    struct bytes f = tcp4("203.0.113.7", 1000, 80, FLAG_ACK);
    static const uint8_t forward[BURST];
    unsigned lent = 0;
    c.queues = 1;
    if (source_dpdk.attach(&c, &group, &note) != 0 || source_dpdk.open(group, 0, &s, &note) != 0)
        return false;
    shell("ip link set inner down");
    for (unsigned i = 0; i < MANY; i++)
        send(lab.a, f.data, f.len, 0);
    for (int i = 0; i < 2000 && lent < MANY; i++) {
        struct frame frames[BURST];
        int n = source_dpdk.recv(s, frames, BURST);
        source_dpdk.done(s, frames, forward, (unsigned)n);
        lent += (unsigned)n;
        usleep(n == 0 ? 1000 : 0);
    }
    source_dpdk.stats(s, &stats);
    source_dpdk.close(s);
    source_dpdk.detach(group);
    shell("ip link set inner up");
    printf("%u lent, %u refused\n", lent, (unsigned)stats.transmit_refused);
    return lent == MANY && stats.transmit_refused == MANY;
}

static void what_a_driver_takes_and_cannot_send_is_counted_as_refused(void **state)
{
    (void)state;
    expect_right(counts_what_a_port_that_is_down_swallows, "net_af_packet1,iface=inner");
    expect_right(counts_what_a_port_that_is_down_swallows,
                 "net_pcap1,rx_iface_in=inner,tx_iface=inner");
}

static int set_up(void **state)
{
    (void)state;
    return lab_open(&lab, 2);
}

static int tear_down(void **state)
{
    (void)state;
    lab_close(&lab);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_work_is_refused_with_cause_and_remedy),
        cmocka_unit_test(a_machine_without_huge_pages_is_told_how_to_get_them),
        cmocka_unit_test(a_device_of_the_kernels_driver_is_refused),
        cmocka_unit_test(dpdk_neither_prints_nor_pins_and_starts_once),
        cmocka_unit_test(all_queues_are_served_while_the_watched_prefixes_change),
        cmocka_unit_test(a_full_configuration_and_its_orders_are_watched),
        cmocka_unit_test(two_sensors_run_on_one_machine),
        cmocka_unit_test(what_a_driver_takes_and_cannot_send_is_counted_as_refused),
        cmocka_unit_test(the_mtu_is_set_on_both_ports_and_put_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
