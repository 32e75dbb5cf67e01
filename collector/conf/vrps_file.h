/* Validated ROA payloads from a file, as validators export them:
 *
 *   JSON  {"roas": [{"asn": 64501 or "AS64501", "prefix": …, "maxLength": …, "expires": …}, …], …}
 *         rpki-client (-j), Routinator (json, jsonext is not), StayRTR; "vrps" is taken for "roas"
 *   CSV   ASN,IP Prefix,Max Length,Trust Anchor[,Expires]: rpki-client (-c), Routinator (csv)
 *
 * The whole file is in memory while it is read; of the JSON one element at a time is a tree. */
#pragma once

#include "collector/conf/lines.h"
#include "collector/expect/vrps.h"

#define VRPS_FILE_MAX (1u << 30)

/* 0 with a new set; lines tells what was refused, and what has expired at now (wall ns). ERR_CONF
 * with a note: not there, neither of these formats, cut off, too many bad elements, too many. */
int vrps_load(const char *path, int64_t now, struct vrps **out, struct lines *lines,
              struct note *note);

/* The same of a text in memory; path stands for the file in sentences. */
int vrps_text(const char *path, const char *text, size_t len, int64_t now, struct vrps **out,
              struct lines *lines, struct note *note);
