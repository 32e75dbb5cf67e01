#include "sensor/capture.h"

#include <stdio.h>
#include <string.h>

#include "sensor/worker/worker.h"

struct numbering {
    uint64_t epoch, seq;
};

/* A capture's epoch is the time of its first event: unlike a run's, always the same. */
static void print(struct numbering *n, struct event *e)
{
    if (n->seq == 0)
        n->epoch = (uint64_t)e->at;
    e->epoch = n->epoch;
    e->seq = ++n->seq;
    event_print(stdout, e);
}

static void print_all(struct numbering *n, struct ring *ring)
{
    struct event *e;
    while ((e = ring_front(ring)) != NULL) {
        print(n, e);
        ring_release(ring);
    }
}

static void print_started(struct numbering *n, uint64_t now, const char *pop)
{
    struct event e = {.type = EVENT_sensor_started, .at = (int64_t)now};
    snprintf(e.sensor_started.version, sizeof e.sensor_started.version, "%s", PENSTOCK_VERSION);
    snprintf(e.sensor_started.pop, sizeof e.sensor_started.pop, "%s", pop);
    snprintf(e.sensor_started.driver, sizeof e.sensor_started.driver, "%s", source_pcap.name);
    print(n, &e);
}

static void print_stopped(struct numbering *n, uint64_t now, int err)
{
    struct event e = {.type = EVENT_sensor_stopped, .at = (int64_t)now};
    snprintf(e.sensor_stopped.reason, sizeof e.sensor_stopped.reason, "%s",
             err == ERR_END ? "end of capture" : "capture damaged");
    print(n, &e);
}

/* Everything that the worker has to say. How the capture ended: ERR_END or worse. */
static int play(struct worker *w, const char *pop)
{
    struct numbering numbering = {0};
    int err = worker_step(w); /* the first frame starts the time */
    print_started(&numbering, worker_now(w), pop);
    for (; err == 0; err = worker_step(w))
        print_all(&numbering, worker_ring(w));
    bool is_done;
    do {
        is_done = worker_finish(w);
        print_all(&numbering, worker_ring(w));
    } while (!is_done);
    print_stopped(&numbering, worker_now(w), err);
    return err;
}

static int with_source(struct sensor_conf *conf, struct source_group *group, uint64_t seed,
                       struct note *note)
{
    struct worker *w = NULL;
    struct worker_conf worker = {
        .ops = &source_pcap,
        .group = group,
        .penny = &conf->penny,
        .scan = &conf->scan,
        .tally = &conf->tally,
        .ingress = &conf->ingress,
        .seed = seed,
        .is_capture = true,
        .workers = &w,
        .worker_count = 1,
    };
    int err = worker_new(&worker, &w, note);
    if (err == 0)
        err = worker_open(w, note);
    if (err == 0) {
        err = play(w, conf->pop);
        note_set(note, err, "the capture is damaged; what was read before is printed");
    }
    worker_free(w);
    if (err == ERR_END && (fflush(stdout) != 0 || ferror(stdout)))
        return note_set(note, ERR_TRUNCATED, "standard output could not be written");
    return err == ERR_END ? 0 : err;
}

int capture_run(struct sensor_conf *conf, const char *file, uint64_t seed)
{
    struct note note = {0};
    if (strlen(file) >= sizeof conf->source.interface) {
        fprintf(stderr, "penstock-sensor: --capture: the path is longer than %zu bytes\n",
                sizeof conf->source.interface - 1);
        return 2;
    }
    strcpy(conf->source.interface, file);
    struct source_group *group;
    int err = source_pcap.attach(&conf->source, &group, &note);
    if (err == 0) {
        err = with_source(conf, group, seed, &note);
        source_pcap.detach(group);
    }
    if (err == 0)
        return 0;
    fprintf(stderr, "penstock-sensor: %s\n", note.text[0] != '\0' ? note.text : err_text(err));
    return 1;
}
