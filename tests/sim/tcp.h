/* A model of a TCP sender and of its receiver, in whole segments and virtual time.
 *
 * Sender: slow start from 10 segments, Reno or CUBIC (RFC 9438) growth; fast retransmit after three
 * duplicate acknowledgements; with SACK the loss rule of RFC 6675 and
 * proportional rate reduction (RFC 6937), or RACK and tail loss probes
 * (RFC 8985); without it NewReno's partial acknowledgements (RFC 6582,
 * impatient); retransmission timeout of
 * RFC 6298 with backoff, Linux's minimum or the RFC's; after it everything outstanding is sent
 * again in order, which without SACK repeats segments that had arrived. Receiver: cumulative
 * acknowledgements, delayed ones for every second segment, at once when something is out of order,
 * three SACK blocks.
 *
 * Not modelled: pacing, timestamps, undo of spurious retransmissions (D-SACK, F-RTO), ECN, window
 * scaling and zero windows, Nagle, segments of unequal length. */
#pragma once

#include "tests/sim/queue.h"
#include "tests/sim/senders.h"

#define TCP_WINDOW 512 /* segments; a power of two */

/* Instead of a segment's number: */
#define SEGMENT_SYN UINT32_MAX
#define SEGMENT_ACK (UINT32_MAX - 1)

enum tcp_state { TCP_CLOSED, TCP_SYN_SENT, TCP_OPEN, TCP_RECOVERY, TCP_LOSS };

struct sent {
    uint64_t at_ns;
    bool is_sacked, is_lost, is_again; /* is_again: sent again since it was last thought lost */
    uint8_t tries;
};

struct tcp_sender {
    const struct senders *conf;
    void (*send)(void *with, uint32_t first, uint32_t count, bool is_again, uint64_t now_ns);
    void *with;
    enum tcp_state state;
    uint32_t una, top;   /* oldest not acknowledged; one beyond the highest sent */
    uint32_t ready, end; /* one beyond what the application gave, will give at all */
    uint32_t recover, dupacks, sacked, partial_acks;
    uint32_t delivered, sent_since, recover_flight; /* since recovery began (RFC 6937) */
    double cwnd, ssthresh, cubic_most, cubic_k;
    uint64_t cubic_epoch_ns;
    double srtt_ns, rttvar_ns;
    unsigned backoff, syn_tries;
    uint64_t timer_ns, syn_ns; /* 0: none */
    bool is_probe_next, has_probed, has_timed_out;
    uint64_t rack_ns; /* when the youngest segment that arrived was sent */
    struct sent ring[TCP_WINDOW];
};

void tcp_start(struct tcp_sender *s,
               uint64_t now_ns); /* sends SYN; conf, send, with, end are set */
void tcp_syn_ack(struct tcp_sender *s, uint64_t now_ns);
void tcp_give(struct tcp_sender *s, uint32_t ready, uint64_t now_ns); /* of the application */
void tcp_ack(struct tcp_sender *s, const struct happening *ack);
void tcp_timeout(struct tcp_sender *s, uint64_t now_ns); /* at timer_ns */

struct tcp_receiver {
    uint32_t next, unacked;
    uint64_t ack_due_ns;
    bool has[TCP_WINDOW];
    uint32_t from[QUEUE_SACKS], to[QUEUE_SACKS]; /* empty if equal */
};

/* True: acknowledge now; false: at ack_due_ns, if that is not done before. */
bool tcp_receive(struct tcp_receiver *r, uint32_t first, uint32_t count, uint64_t delay_ns,
                 uint64_t now_ns);
