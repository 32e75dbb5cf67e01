#include "sensor/source/dpdk_eal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "shared/base/log.h"

#define ARGUMENTS_MAX (EAL_MAX + 16)
#define SAID_MAX      16384

/* EAL keeps pointers into its arguments, so they stay as long as the process. It also writes to the
 * list of them. */
static struct {
    char text[ARGUMENTS_MAX][320];
    char *list[ARGUMENTS_MAX + 1];
    int count;
} arguments;

static char complaint[256];

/* ---- what it is given ---- */

static void add(const char *option, const char *value)
{
    int i = arguments.count;
    if (i == ARGUMENTS_MAX)
        return;
    snprintf(arguments.text[i], sizeof arguments.text[i], "%s%s", option, value);
    arguments.list[i] = arguments.text[i];
    arguments.count++;
}

bool dpdk_is_pci(const char *interface)
{
    unsigned domain, bus, device, function;
    int end = 0;
    return sscanf(interface, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &end) == 4 &&
           (interface[end] == '\0' || interface[end] == ',');
}

char *dpdk_port_name(const char *interface, char *name, size_t size)
{
    snprintf(name, size, "%.*s", (int)strcspn(interface, ","), interface);
    return name;
}

/* A device that source.eal brings itself (--vdev net_bonding0,…) is not made twice. */
static bool is_given(const struct source_conf *conf, const char *interface)
{
    char name[256];
    size_t length = strlen(dpdk_port_name(interface, name, sizeof name));
    for (size_t i = 0; i < conf->eal_count; i++) {
        const char *text = conf->eal[i], *equals = strchr(text, '=');
        if (strncmp(text, "--vdev=", 7) == 0 || strncmp(text, "--allow=", 8) == 0)
            text = equals + 1;
        if (strncmp(text, name, length) == 0 && (text[length] == '\0' || text[length] == ','))
            return true;
    }
    return false;
}

static void add_port(const struct source_conf *conf, const char *interface)
{
    if (interface[0] != '\0' && !is_given(conf, interface))
        add(dpdk_is_pci(interface) ? "--allow=" : "--vdev=", interface);
}

/* Names may hold anything that is no space; a file's may not hold a slash. */
static void add_file_prefix(const struct source_conf *conf)
{
    char text[sizeof conf->sensor];
    snprintf(text, sizeof text, "%s", conf->sensor[0] != '\0' ? conf->sensor : "sensor");
    for (char *c = text; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.')
            *c = '_';
    add("--file-prefix=penstock-", text);
}

static bool has_any(const struct source_conf *conf, const char *const *words)
{
    for (size_t i = 0; i < conf->eal_count; i++)
        for (const char *const *w = words; *w != NULL; w++)
            if (strncmp(conf->eal[i], *w, strlen(*w)) == 0)
                return true;
    return false;
}

static void add_core(const cpu_set_t *cpus)
{
    char text[16];
    int cpu = 0;
    while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, cpus))
        cpu++;
    snprintf(text, sizeof text, "%d", cpu);
    add("--lcores=0@", text);
}

static void collect_arguments(const struct source_conf *conf, const cpu_set_t *cpus)
{
    static const char *const cores[] = {"-l", "-c", "--lcores", NULL};
    static const char *const fixed[] = {"--no-huge", "--legacy-mem", NULL};
    static const char *const buses[] = {"-a", "--allow", "-b", "--block", "--no-pci", NULL};
    add("penstock-sensor", "");
    if (!has_any(conf, cores))
        add_core(cpus);
    add(has_any(conf, fixed) ? "--no-shconf" : "--in-memory", "");
    add("--no-telemetry", "");
    add_file_prefix(conf);
    if (!dpdk_is_pci(conf->interface) && !dpdk_is_pci(conf->forward_interface) &&
        !has_any(conf, buses))
        add("--no-pci", "");
    add_port(conf, conf->interface);
    if (conf->forward == FORWARD_DPDK)
        add_port(conf, conf->forward_interface);
    for (size_t i = 0; i < conf->eal_count; i++)
        add(conf->eal[i], "");
}

/* These print and exit. getopt takes any beginning of a long option. */
static int check_arguments(const struct source_conf *conf, struct note *note)
{
    for (size_t i = 0; i < conf->eal_count; i++) {
        const char *text = conf->eal[i];
        size_t length = strlen(text);
        if (strcmp(text, "-h") == 0 || strcmp(text, "-v") == 0 ||
            (length >= 4 && strncmp("--help", text, length) == 0))
            return note_set(note, ERR_CONF,
                            "source.eal: %s only prints and ends the program: leave it out", text);
    }
    return 0;
}

/* ---- what it says ---- */

static bool is_complaint(const char *line)
{
    static const char *const words[] = {"FATAL",   "rror",   "ailed",     "annot",
                                        "No ",     "nvalid", "nable",     "nknown",
                                        "missing", "not ",   "unrecogni", NULL};
    for (const char *const *w = words; *w != NULL; w++)
        if (strstr(line, *w) != NULL)
            return true;
    return false;
}

/* One line of theirs. The usage text that follows a bad option is nobody's log. */
static void tell(const char *line)
{
    char text[400];
    log_quotable(line, text, sizeof text);
    log_debug("event=dpdk says=\"%s\"", text);
    if (is_complaint(line) && strncmp(line, "EAL: FATAL", 10) != 0)
        snprintf(complaint, sizeof complaint, "%.*s", (int)sizeof complaint - 1, text);
    size_t len = strlen(complaint);
    if (len > 0 && complaint[len - 1] == '.') /* a sentence of ours goes on behind it */
        complaint[len - 1] = '\0';
}

static void tell_all(char *said)
{
    char *state, *line = strtok_r(said, "\n", &state);
    for (; line != NULL && strncmp(line, "Usage: ", 7) != 0; line = strtok_r(NULL, "\n", &state))
        tell(line);
}

/* After the start: drivers' lines, one write each. What comes has no end but its size. */
static ssize_t write_log(void *cookie, const char *bytes, size_t size)
{
    char text[400], line[400];
    const char *end = memchr(bytes, '\n', size);
    (void)cookie;
    snprintf(line, sizeof line, "%.*s", (int)(end != NULL ? (size_t)(end - bytes) : size), bytes);
    log_debug("event=dpdk says=\"%s\"", log_quotable(line, text, sizeof text));
    return (ssize_t)size;
}

static FILE *later_log(void)
{
    FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_log});
    if (f != NULL)
        setvbuf(f, NULL, _IOLBF, 0);
    return f;
}

/* Standard output and error while they are not ours. */
struct hush {
    int out, err, file;
    FILE *log;
};

static int hush_begin(struct hush *h)
{
    h->file = memfd_create("eal", MFD_CLOEXEC);
    if (h->file < 0)
        return -errno;
    fflush(stdout);
    h->out = fcntl(1, F_DUPFD_CLOEXEC, 3);
    h->err = fcntl(2, F_DUPFD_CLOEXEC, 3);
    dup2(h->file, 1);
    dup2(h->file, 2);
    h->log = stderr; /* unbuffered, so that lines stay in their order */
    rte_openlog_stream(h->log);
    return 0;
}

static void give_back_fd(int saved, int fd)
{
    if (saved < 0)
        return;
    dup2(saved, fd);
    close(saved);
}

static void hush_end(struct hush *h)
{
    char *said = calloc(1, SAID_MAX);
    fflush(stdout);
    give_back_fd(h->out, 1);
    give_back_fd(h->err, 2);
    rte_openlog_stream(later_log());
    if (said != NULL && pread(h->file, said, SAID_MAX - 1, 0) > 0)
        tell_all(said);
    free(said);
    close(h->file);
}

const char *dpdk_eal_complaint(void)
{
    return complaint;
}

/* ---- what to do about it ---- */

static const char *hint_of(int err)
{
    static const struct {
        const char *words, *hint;
    } hints[] = {
        {"ugepage", "reserve huge pages: deploy/nic-setup --hugepages 512; or, for a trial, "
                    "source.eal: [--no-huge, -m, \"512\"]"},
        {"unrecognized option", "correct source.eal"},
        {"invalid option", "correct source.eal"},
        {"requires an argument", "correct source.eal; an option and its value are two entries"},
        {"mutually exclusive", "correct source.eal"},
        {"lcore", "correct the cores in source.eal"},
        {"ermission", "start it as root"},
        {"parse device", "DPDK has no driver of that name: write a PCI address like 0000:03:00.0, "
                         "or a virtual device like net_af_packet0,iface=eth1"},
        {"VFIO", "load vfio-pci, and see deploy/nic-setup --bind"},
    };
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (strstr(complaint, hints[i].words) != NULL)
            return hints[i].hint;
    if (err == EACCES || err == EPERM)
        return "start it as root";
    if (err == EINVAL)
        return "correct source.eal";
    return "log.level debug shows everything that DPDK says";
}

/* Though it writes no files, it makes a folder for them. Removed at once: later we may lack the
 * right, or be killed. */
static void remove_folder(void)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%s", rte_eal_get_runtime_dir());
    rmdir(folder);
}

static int failed(int err, struct note *note)
{
    if (err == EALREADY)
        return note_set(note, ERR_BUSY, "DPDK was started in this process before");
    return note_set(note, ERR_UNSUPPORTED, "DPDK does not start: %s: %s",
                    complaint[0] != '\0' ? complaint : rte_strerror(err), hint_of(err));
}

int dpdk_eal_start(const struct source_conf *conf, struct note *note)
{
    cpu_set_t cpus;
    struct hush hush = {0};
    int err = check_arguments(conf, note);
    if (err < 0)
        return err;
    sched_getaffinity(0, sizeof cpus, &cpus);
    collect_arguments(conf, &cpus);
    err = hush_begin(&hush);
    if (err < 0)
        return note_set(note, err, "cannot listen to DPDK: %s", strerror(-err));
    int result = rte_eal_init(arguments.count, arguments.list);
    err = rte_errno;
    hush_end(&hush);
    sched_setaffinity(0, sizeof cpus, &cpus);
    if (result >= 0 || err != EALREADY)
        remove_folder();
    return result < 0 ? failed(err, note) : 0;
}

void dpdk_eal_stop(void)
{
    rte_eal_cleanup();
}
