/* What a row says about a group of senders. The `full` layer (world.h) understands all of it, the
 * `engine` layer (crowd.h) what is marked with an e. Times are milliseconds, rates per second and
 * flow, shares in [0, 1]; 0 is off unless said otherwise. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum role {
    OPEN_LOOP,   /* e: hears nothing */
    CLOSED_LOOP, /* e: a TCP with its receiver; in the engine layer a sender that repeats losses */
    REPLAY       /* open loop: plays back what a CLOSED_LOOP with these values once sent */
};

/* Linux's minimum of the retransmission timeout is 200 ms above the round-trip time, RFC 6298's is
 * one second in all. TAIL_PROBE is CUBIC with tail loss probes and RACK (RFC 8985). */
enum control { RENO, CUBIC, TAIL_PROBE };

enum ending { ENDLESS, END_FIN, END_RST, END_SILENT };

struct senders {
    unsigned flows;    /* e: at a time; one that ends is followed by a new one */
    enum role role;    /* e */
    double rate;       /* e: segments; 0 (closed loop): as fast as congestion control allows */
    unsigned segments; /* then it ends, and a new flow follows; 0: endless */
    enum ending end;
    double pause_ms; /* mean, from a flow's end to the next one's begin */
    unsigned burst;  /* segments at once, at the same mean rate */
    unsigned mss;    /* payload; 0: 1460 */

    /* how the closed loop works */
    enum control control;
    bool has_no_sack, has_slow_timer; /* RFC 6298's minimum */
    bool merges;                      /* retransmits two segments as one, where mss allows */
    double ack_delay_ms;              /* 0: 40 */

    /* path; rtt_ms 0: 50. The sensor stands after the first quarter of the round trip. */
    double rtt_ms, rtt_most_ms;
    double loss_up, loss_down, loss_back; /* before the sensor, behind it, of acknowledgements */
    double reorder, reorder_ms;       /* share that is held up before the sensor by up to so long */
    double shift_at_ms, shift_rtt_ms; /* a new path, through the sensor, with this round trip */
    double leave_at_ms, leave_share;  /* flows that no longer pass the sensor from then on */
    double hidden;                    /* share of packets that pass elsewhere */
    double hidden_again;              /* the same of retransmissions only */
    double rehash;     /* after a timeout the flow takes another path with this probability */
    bool is_midstream; /* sent for a while before the sensor began */

    /* engine layer: a withheld segment never comes again with this probability */
    double miss;    /* e */
    double doubled; /* e: share of which the path before the sensor makes two at once */

    /* how the open loop repeats */
    double repeat;         /* e: share of the segments */
    unsigned repeat_first; /* the first so many, all of them */
    double repeat_below;   /* as many as keep copies / segments below this share */
    unsigned copies;       /* e: of a repeated segment; 0: 1 */
    double after_ms,
        after_most_ms;  /* e: delay of each copy after the one before, uniform between */
    bool halves;        /* copies come in two halves */
    bool overlaps;      /* each segment brings the one before once more */
    double alive_ms;    /* keep-alives (one byte below next) so often, also after the end */
    bool has_handshake; /* mimics SYN and ACK */
    double stop_ms;     /* e: sends nothing from then on */
};
