/* The rules of IPD, from their description (S. Mehner et al., "IPD: Detecting Traffic Ingress
 * Points at ISPs", SIGCOMM 2024; shared with us as a summary), as a reference to measure the map
 * against. IPv4 only; nothing here is from its prototype's code.
 *
 *   sources are masked to /28; one binary trie from 0.0.0.0/0, looked at once a minute (t)
 *   an unclassified range forgets samples after two minutes (e)
 *   with n samples or more it is classified to the place that holds q = 0.95 of them, else split,
 *     down to /28; n = factor * sqrt(2^(32 - length)), in the paper with factor 64
 *   with less than n, siblings that are both unclassified join
 *   counters of a classified range decay by 0.9 a minute; when its place holds less than q, or n is
 *     no longer reached, it is unclassified again; siblings of one place join when both together
 *     reach their parent's n */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define IPD_PLACES 64

struct ipd;

struct ipd *ipd_new(double factor, double q);
void ipd_free(struct ipd *d);
void ipd_sample(struct ipd *d, uint32_t src, unsigned place);
void ipd_minute(struct ipd *d);                  /* the visit */
int ipd_find(const struct ipd *d, uint32_t src); /* the place, or -1: unclassified */
unsigned ipd_ranges(const struct ipd *d);        /* classified ones: rows of its answer */
