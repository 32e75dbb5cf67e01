/* Certificates: files with a CURVE key and whose it is, in the form that czmq's zcert writes and
 * reads:
 *
 *     metadata
 *         name = "ams1"
 *         pop = "AMS"
 *     curve
 *         public-key = "40 characters of Z85"
 *         secret-key = "40 characters of Z85"     (only in NAME.cert)
 *
 * NAME.cert has both keys and is its owner's alone: a file with a secret that its group or others
 * may touch is refused, for who could read it could be that sensor. NAME.pub lacks the secret and
 * may be shown to everybody.
 *
 * The form is read here and not by zcert_load(), because that one opens the file by its name (so
 * that what was checked need not be what is read), takes NAME_secret in its place where there is
 * one, and says what it does not like on standard output.
 *
 * Source: rfc.zeromq.org/spec/26 (CurveZMQ), /spec/32 (Z85), /spec/4 (ZPL). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/err.h"

#define CURVE_TEXT 41 /* a key in Z85, and the end of the string */
#define CURVE_NAME 64

struct curve_key {
    char name[CURVE_NAME], pop[CURVE_NAME]; /* "": not said. Not checked: text from a file */
    char public_key[CURVE_TEXT];
    char secret_key[CURVE_TEXT]; /* "": the file has none */
};

/* Reads a certificate. One that has a secret key must belong to nobody but its owner (mode 0600 or
 * less), and its two keys must belong together. ERR_CONF, or -errno when it cannot be read; the
 * note has file, reason and what to do. */
int curve_load(const char *path, struct curve_key *out, struct note *note);

/* The same, and it must have a secret key: our own. */
int curve_load_secret(const char *path, struct curve_key *out, struct note *note);

/* The public key of the other side: what else the file says is not looked at. A file with a secret
 * key is refused: it is the other side's alone. */
int curve_load_public(const char *path, struct curve_key *out, struct note *note);

/* Draws a new pair; name and pop stay as they are. ERR_UNSUPPORTED: libzmq was built without CURVE.
 */
int curve_new(struct curve_key *key);

/* Writes the certificate, with the secret key (mode 0600) or without (0644), whole or not at all:
 * nobody ever sees half of it, also after a power cut. A file that is there: -EEXIST, unless
 * replace. */
int curve_save(const struct curve_key *key, const char *path, bool with_secret, bool replace,
               struct note *note);

/* Overwrites it, so that the secret is not found in a core dump. */
void curve_forget(struct curve_key *key);
