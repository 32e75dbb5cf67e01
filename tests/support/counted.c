/* counted: sends numbered frames on one interface and counts them on another, so that "no frame was
 * lost" is an exact statement.
 *
 *     counted --from o0@/run/netns/world --to i0@/run/netns/inside --src 203.0.113.7 --dst
 * 198.18.1.10
 *
 * One thread and two packet sockets, which may stand in two network namespaces. The number stands
 * in the last bytes of the payload, so that a frame is known again whatever happened to its headers
 * on the way (a router's new MAC addresses, a VLAN tag that the receiving kernel has taken out).
 *
 * What a sender could not hand to its kernel has no number: "sent" is what left. A sender that the
 * machine kept waiting does not hurry afterwards: bursts that no wire would see would overflow the
 * queues of who is being tested. What this program's own socket overflowed is told as "unseen". */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "tests/support/frames.h"

#define PROGRAM     "counted"
#define STREAMS_MAX 8
#define PER_TURN    32 /* frames sent between two looks at the receiver */
#define HURRY_NS    (2 * NS_PER_MS)
#define LENGTH_MAX  4000

static const char help_text[] =
    "Usage: " PROGRAM " --from IF[@NETNS] --to IF[@NETNS] --src ADDR... --dst ADDR... [options]\n"
    "\n"
    "Sends numbered frames on one interface, counts them on another, and tells per source what\n"
    "was lost, doubled or overtaken, and the longest time without a frame. Needs CAP_NET_RAW, and\n"
    "CAP_SYS_ADMIN for another namespace.\n"
    "\n"
    "  --from IF[@NETNS]   send here; NETNS is a path such as /run/netns/world\n"
    "  --to IF[@NETNS]     count here\n"
    "  --src ADDR          a stream; up to 8, in turn\n"
    "  --dst ADDR          destination; given twice, one of each family\n"
    "  --dst-mac MAC       (02:00:00:00:00:01)\n"
    "  --vlan ID           VLAN tag (none)\n"
    "  --protocol WORD     udp, or tcp: data segments of one flow per stream (udp)\n"
    "  --rate N            frames per second, all streams together; at most (5000)\n"
    "  --seconds S         how long to send, 1..600; SIGTERM and SIGINT end it earlier (5)\n"
    "  --length BYTES      of a frame, 110..4000 (200)\n"
    "  --settle MS         count on until so long nothing came (500)\n"
    "\n"
    "Prints a line per stream and one of all:\n"
    "  src=203.0.113.7 sent=9 received=8 lost=1 lost_in_a_row=1 doubled=0 overtaken=0 gap_ms=2.1\n"
    "  total sent=9 received=8 lost=1 doubled=0 overtaken=0 gap_ms=2.1 unseen=0\n"
    "received counts each number once. gap_ms: longest time between two frames of it.\n"
    "\n"
    "Ends with 0 when each frame came exactly once, 1 when not, 2 after bad usage or failure.\n";

/* The last bytes of every payload. */
struct mark {
    uint8_t word[8];
    uint32_t run; /* of this process: another one's frames are not ours */
    uint32_t stream;
    uint64_t number;
};
static const uint8_t mark_word[8] = {'C', 'O', 'U', 'N', 'T', 'E', 'D', '!'};

struct stream {
    struct frame_spec spec;
    const char *src;
    uint8_t *seen; /* a bit per number */
    uint64_t sent, received, doubled, overtaken, next;
    uint64_t last_ns, gap_ns;
};

struct counted {
    const char *from, *to, *src[STREAMS_MAX], *dst4, *dst6;
    uint64_t rate, seconds, length, settle_ms, vlan, unseen;
    uint8_t dst_mac[6];
    bool is_tcp;
    unsigned count;
    struct stream streams[STREAMS_MAX];
    int out, in;
    uint8_t payload[LENGTH_MAX];
    uint8_t sending[FRAME_ROOM], arrived[16384];
    uint64_t turn; /* frames sent in all */
};

static volatile sig_atomic_t must_stop;

static void stop(int signal_number)
{
    (void)signal_number;
    must_stop = 1;
}

static void die(const char *what, const char *detail)
{
    fprintf(stderr, PROGRAM ": %s: %s\n", what, detail);
    exit(2);
}

/* ---- the command line ---- */

static uint64_t number(const char *name, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < min || value > max)
        die(name, "no number, or out of range (see --help)");
    return value;
}

static void take_mac(struct counted *c, const char *text)
{
    unsigned b[6];
    char rest;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
               &rest) != 6)
        die(text, "no MAC address");
    for (int i = 0; i < 6; i++)
        c->dst_mac[i] = (uint8_t)b[i];
}

static const char *take_addr(const char *text)
{
    struct addr a;
    if (addr_parse(text, &a) != 0)
        die(text, "no address");
    return text;
}

static void take_src(struct counted *c, const char *text)
{
    if (c->count == STREAMS_MAX)
        die(text, "too many streams");
    c->src[c->count++] = take_addr(text);
}

static void take_dst(struct counted *c, const char *text)
{
    *(strchr(text, ':') != NULL ? &c->dst6 : &c->dst4) = take_addr(text);
}

static void take_protocol(struct counted *c, const char *text)
{
    c->is_tcp = strcmp(text, "tcp") == 0;
    if (!c->is_tcp && strcmp(text, "udp") != 0)
        die(text, "expected udp or tcp");
}

static const struct option options[] = {
    {"from", required_argument, NULL, 'f'},
    {"to", required_argument, NULL, 't'},
    {"src", required_argument, NULL, 's'},
    {"dst", required_argument, NULL, 'd'},
    {"dst-mac", required_argument, NULL, 'm'},
    {"vlan", required_argument, NULL, 'v'},
    {"protocol", required_argument, NULL, 'p'},
    {"rate", required_argument, NULL, 'r'},
    {"seconds", required_argument, NULL, 'n'},
    {"length", required_argument, NULL, 'l'},
    {"settle", required_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void take_option(struct counted *c, int id, const char *text)
{
    switch (id) {
    case 'f':
        c->from = text;
        break;
    case 't':
        c->to = text;
        break;
    case 's':
        take_src(c, text);
        break;
    case 'd':
        take_dst(c, text);
        break;
    case 'm':
        take_mac(c, text);
        break;
    case 'v':
        c->vlan = number("--vlan", text, 1, 4094);
        break;
    case 'p':
        take_protocol(c, text);
        break;
    case 'r':
        c->rate = number("--rate", text, 1, 2000000);
        break;
    case 'n':
        c->seconds = number("--seconds", text, 1, 600);
        break;
    case 'l':
        c->length = number("--length", text, 110, LENGTH_MAX);
        break;
    case 'q':
        c->settle_ms = number("--settle", text, 1, 60000);
        break;
    case 'h':
        fputs(help_text, stdout);
        exit(0);
    default:
        exit(2);
    }
}

static void take_options(struct counted *c, int argc, char **argv)
{
    int id;
    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(c, id, optarg);
    if (optind < argc)
        die(argv[optind], "what is that?");
    if (c->from == NULL || c->to == NULL || c->count == 0)
        die("--from, --to, --src and --dst", "all are needed (see --help)");
}

/* ---- sockets ---- */

static void enter(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
        die(path, strerror(errno));
    close(fd);
}

/* A packet socket on "IF" or "IF@NETNS"; protocol 0 receives nothing. */
static int open_socket(const char *where, uint16_t protocol)
{
    char name[IF_NAMESIZE] = "";
    size_t n = strcspn(where, "@");
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), size = 64 << 20;
    memcpy(name, where, n < sizeof name ? n : sizeof name - 1);
    if (where[n] == '@')
        enter(where + n + 1);
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(protocol),
                             .sll_ifindex = (int)if_nametoindex(name)};
    if (fd < 0 || at.sll_ifindex == 0)
        die(where, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die(where, strerror(errno));
    if (where[n] == '@' && setns(home, CLONE_NEWNET) != 0)
        die("the way back", strerror(errno));
    close(home);
    return fd;
}

/* ---- streams ---- */

static void open_stream(struct counted *c, unsigned i)
{
    struct stream *s = &c->streams[i];
    const char *dst = strchr(c->src[i], ':') != NULL ? c->dst6 : c->dst4;
    uint16_t port = (uint16_t)(4000 + i);
    uint8_t data[FRAME_ROOM];
    if (dst == NULL)
        die(c->src[i], "no --dst of its family");
    s->src = c->src[i];
    s->spec = !c->is_tcp                    ? frame_udp(s->src, dst, port, 9, 0)
              : strchr(s->src, ':') != NULL ? frame_tcp6(s->src, dst, port, 9, 1, TCP_ACK, 0)
                                            : frame_tcp4(s->src, dst, port, 9, 1, TCP_ACK, 0);
    memcpy(s->spec.dst_mac, c->dst_mac, sizeof c->dst_mac);
    s->spec.vlan_count = c->vlan != 0;
    s->spec.vlan[0] = (uint16_t)c->vlan;
    s->spec.payload = c->payload;
    s->spec.payload_len = c->length - frame_make(&s->spec, data).len;
    s->seen = calloc(1, c->rate * c->seconds / 8 + 1);
    if (s->seen == NULL)
        die("memory", strerror(errno));
}

static struct mark mark_of(const struct counted *c)
{
    struct mark m = {.run = (uint32_t)getpid(), .stream = (uint32_t)(c->turn % c->count)};
    memcpy(m.word, mark_word, sizeof m.word);
    m.number = c->streams[m.stream].sent;
    return m;
}

/* Sends the next frame. False: the kernel has no room for it now. */
static bool send_one(struct counted *c)
{
    struct mark m = mark_of(c);
    struct stream *s = &c->streams[m.stream];
    memcpy(c->payload + s->spec.payload_len - sizeof m, &m, sizeof m);
    struct frame f = frame_make(&s->spec, c->sending);
    if (send(c->out, f.data, f.len, MSG_DONTWAIT) != (ssize_t)f.len) {
        if (errno == EMSGSIZE || errno == ENXIO || errno == ENODEV)
            die(c->from, strerror(errno));
        return false;
    }
    s->sent++;
    c->turn++;
    if (c->is_tcp)
        s->spec.seq += (uint32_t)s->spec.payload_len;
    return true;
}

static void count_frame(struct stream *s, uint64_t n, uint64_t now)
{
    uint8_t bit = (uint8_t)(1u << n % 8);
    if (n >= s->sent)
        return;
    if (s->last_ns != 0 && now - s->last_ns > s->gap_ns)
        s->gap_ns = now - s->last_ns;
    s->last_ns = now;
    if (s->seen[n / 8] & bit) {
        s->doubled++;
        return;
    }
    s->seen[n / 8] |= bit;
    s->received++;
    s->overtaken += n < s->next;
    if (n >= s->next)
        s->next = n + 1;
}

/* Takes what has come; how many frames of ours. */
static unsigned take_all(struct counted *c)
{
    unsigned ours = 0;
    struct sockaddr_ll from;
    socklen_t size = sizeof from;
    ssize_t n;
    while ((n = recvfrom(c->in, c->arrived, sizeof c->arrived, MSG_DONTWAIT,
                         (struct sockaddr *)&from, &size)) >= 0) {
        struct mark m;
        size = sizeof from;
        if (from.sll_pkttype == PACKET_OUTGOING || n < (ssize_t)sizeof m)
            continue;
        memcpy(&m, c->arrived + n - sizeof m, sizeof m);
        if (memcmp(m.word, mark_word, sizeof mark_word) != 0 || m.run != (uint32_t)getpid() ||
            m.stream >= c->count)
            continue;
        count_frame(&c->streams[m.stream], m.number, clock_mono_ns());
        ours++;
    }
    return ours;
}

/* ---- the run ---- */

static void wait_for_frames(const struct counted *c, int ms)
{
    struct pollfd p = {.fd = c->in, .events = POLLIN};
    poll(&p, 1, ms);
}

static void run(struct counted *c)
{
    uint64_t step = NS_PER_S / c->rate, now = clock_mono_ns(), due = now;
    uint64_t end = now + c->seconds * NS_PER_S, limit = c->rate * c->seconds / c->count;
    while (now < end && !must_stop) {
        for (int i = 0; i < PER_TURN && due <= now && c->streams[0].sent < limit; i++) {
            if (!send_one(c))
                break;
            due += step;
        }
        if (due + HURRY_NS < now)
            due = now - HURRY_NS;
        if (take_all(c) == 0 && due > now + NS_PER_MS)
            wait_for_frames(c, 1);
        now = clock_mono_ns();
    }
    for (uint64_t last = now; now - last < c->settle_ms * NS_PER_MS; now = clock_mono_ns()) {
        wait_for_frames(c, 10);
        if (take_all(c) > 0)
            last = clock_mono_ns();
    }
}

static uint64_t longest_loss(const struct stream *s)
{
    uint64_t longest = 0, in_a_row = 0;
    for (uint64_t n = 0; n < s->sent; n++) {
        in_a_row = s->seen[n / 8] & 1u << n % 8 ? 0 : in_a_row + 1;
        if (in_a_row > longest)
            longest = in_a_row;
    }
    return longest;
}

static void read_unseen(struct counted *c)
{
    struct tpacket_stats stats = {0};
    socklen_t size = sizeof stats;
    if (getsockopt(c->in, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
        c->unseen = stats.tp_drops;
}

/* The exit status. */
static int tell(const struct counted *c)
{
    struct stream all = {0};
    for (unsigned i = 0; i < c->count; i++) {
        const struct stream *s = &c->streams[i];
        printf("src=%s sent=%" PRIu64 " received=%" PRIu64 " lost=%" PRIu64
               " lost_in_a_row=%" PRIu64 " doubled=%" PRIu64 " overtaken=%" PRIu64 " gap_ms=%.1f\n",
               s->src, s->sent, s->received, s->sent - s->received, longest_loss(s), s->doubled,
               s->overtaken, (double)s->gap_ns / 1e6);
        all.sent += s->sent;
        all.received += s->received;
        all.doubled += s->doubled;
        all.overtaken += s->overtaken;
        if (s->gap_ns > all.gap_ns)
            all.gap_ns = s->gap_ns;
    }
    printf("total sent=%" PRIu64 " received=%" PRIu64 " lost=%" PRIu64 " doubled=%" PRIu64
           " overtaken=%" PRIu64 " gap_ms=%.1f unseen=%" PRIu64 "\n",
           all.sent, all.received, all.sent - all.received, all.doubled, all.overtaken,
           (double)all.gap_ns / 1e6, c->unseen);
    return all.sent == 0 || all.received != all.sent || all.doubled != 0;
}

int main(int argc, char **argv)
{
    static struct counted c = {
        .rate = 5000, .seconds = 5, .length = 200, .settle_ms = 500, .dst_mac = {2, 0, 0, 0, 0, 1}};
    take_options(&c, argc, argv);
    for (unsigned i = 0; i < c.count; i++)
        open_stream(&c, i);
    c.in = open_socket(c.to, ETH_P_ALL);
    c.out = open_socket(c.from, 0);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    run(&c);
    read_unseen(&c);
    return tell(&c);
}
