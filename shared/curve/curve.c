#include "shared/curve/curve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

/* No certificate is longer; what is, is something else. */
enum { FILE_MAX = 4096, KEY_BYTES = 32 };

/* ---- the file ---- */

static int check_mode(const char *path, mode_t mode, struct note *note)
{
    if ((mode & (S_IRWXG | S_IRWXO)) == 0)
        return 0;
    return note_set(note, ERR_CONF,
                    "%s: mode %04o: there is a secret key in it, which its owner alone may touch: "
                    "chmod 600 %s",
                    path, (unsigned)(mode & 07777), path);
}

/* Everything at once, and the mode of exactly this file: not of one that gets its name a moment
 * later. The descriptor does not wait (a FIFO would). */
static int read_file(const char *path, char text[static FILE_MAX + 1], mode_t *mode,
                     struct note *note)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return note_set(note, errno == ENOENT ? ERR_CONF : -errno, "%s: %s", path, strerror(errno));
    int err = fstat(fd, &st) == 0 ? 0 : -errno;
    ssize_t len = 0;
    if (err == 0 && S_ISREG(st.st_mode))
        len = read(fd, text, FILE_MAX + 1);
    if (len < 0)
        err = -errno;
    close(fd);
    if (err < 0)
        return note_set(note, err, "%s: %s", path, strerror(-err));
    if (!S_ISREG(st.st_mode))
        return note_set(note, ERR_CONF, "%s: no regular file", path);
    if (len > FILE_MAX || memchr(text, '\0', (size_t)len) != NULL)
        return note_set(note, ERR_CONF, "%s: no certificate: %s", path,
                        len > FILE_MAX ? "it is too long for one" : "it is no text");
    text[len] = '\0';
    *mode = st.st_mode;
    return 0;
}

/* ---- its form: sections, and lines `key = "value"` below them ---- */

struct line {
    char *section, *key, *value; /* key NULL: a section's name, or nothing */
    const char *wrong;
};

static char *trimmed(char *text)
{
    text += strspn(text, " \t\r");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
        text[--len] = '\0';
    return text;
}

/* "text", 'text' or text; NULL when the quotes do not match. */
static char *unquoted(char *text)
{
    size_t len = strlen(text);
    if (text[0] != '"' && text[0] != '\'')
        return text;
    if (len < 2 || text[len - 1] != text[0])
        return NULL;
    text[len - 1] = '\0';
    return text + 1;
}

static void parse_line(char *text, struct line *l)
{
    bool is_below = text[0] == ' ' || text[0] == '\t';
    l->key = NULL;
    text = trimmed(text);
    if (text[0] == '\0' || text[0] == '#')
        return;
    char *equals = strchr(text, '=');
    if (!is_below) {
        l->section = text;
        l->wrong = equals != NULL ? "a value outside of a section" : NULL;
        return;
    }
    if (equals == NULL) {
        l->wrong = "expected key = \"value\"";
        return;
    }
    *equals = '\0';
    l->key = trimmed(text);
    l->value = unquoted(trimmed(equals + 1));
    if (l->value == NULL)
        l->wrong = "a quote is missing";
}

static const char *take_text(char *to, size_t size, const char *value)
{
    if (to[0] != '\0')
        return "said twice";
    if (strlen(value) >= size)
        return "too long";
    strcpy(to, value);
    return NULL;
}

static const char *take_key(char to[static CURVE_TEXT], const char *value)
{
    uint8_t bytes[KEY_BYTES];
    if (strlen(value) != CURVE_TEXT - 1 || zmq_z85_decode(bytes, value) == NULL)
        return "no key: expected 40 characters of Z85";
    explicit_bzero(bytes, sizeof bytes);
    return take_text(to, CURVE_TEXT, value);
}

/* What others wrote into a certificate besides is not ours to judge. */
static const char *take_value(struct curve_key *key, const struct line *l)
{
    const char *section = l->section != NULL ? l->section : "";
    if (strcmp(section, "curve") == 0 && strcmp(l->key, "public-key") == 0)
        return take_key(key->public_key, l->value);
    if (strcmp(section, "curve") == 0 && strcmp(l->key, "secret-key") == 0)
        return take_key(key->secret_key, l->value);
    if (strcmp(section, "metadata") == 0 && strcmp(l->key, "name") == 0)
        return take_text(key->name, sizeof key->name, l->value);
    if (strcmp(section, "metadata") == 0 && strcmp(l->key, "pop") == 0)
        return take_text(key->pop, sizeof key->pop, l->value);
    return NULL;
}

static int parse(const char *path, char *text, struct curve_key *key, struct note *note)
{
    struct line l = {.section = NULL};
    unsigned number = 1;
    for (char *at = text, *next; at != NULL; at = next, number++) {
        next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        parse_line(at, &l);
        if (l.wrong == NULL && l.key != NULL)
            l.wrong = take_value(key, &l);
        if (l.wrong != NULL)
            return note_set(note, ERR_CONF, "%s:%u: no certificate: %s", path, number, l.wrong);
    }
    return 0;
}

/* ---- reading ---- */

static int check_pair(const char *path, const struct curve_key *key, struct note *note)
{
    char derived[CURVE_TEXT];
    if (key->public_key[0] == '\0')
        return note_set(note, ERR_CONF, "%s: no certificate: there is no public-key in it", path);
    if (key->secret_key[0] == '\0')
        return 0;
    if (zmq_curve_public(derived, key->secret_key) != 0)
        return note_set(note, ERR_UNSUPPORTED, "%s: libzmq was built without CURVE", path);
    if (strcmp(derived, key->public_key) != 0)
        return note_set(note, ERR_CONF,
                        "%s: its public-key does not belong to its secret-key: make a new pair",
                        path);
    return 0;
}

int curve_load(const char *path, struct curve_key *out, struct note *note)
{
    char text[FILE_MAX + 1];
    mode_t mode = 0;
    memset(out, 0, sizeof *out);
    int err = read_file(path, text, &mode, note);
    if (err == 0)
        err = parse(path, text, out, note);
    if (err == 0)
        err = check_pair(path, out, note);
    if (err == 0 && out->secret_key[0] != '\0')
        err = check_mode(path, mode, note);
    explicit_bzero(text, sizeof text);
    if (err < 0)
        curve_forget(out);
    return err;
}

int curve_load_secret(const char *path, struct curve_key *out, struct note *note)
{
    int err = curve_load(path, out, note);
    if (err == 0 && out->secret_key[0] == '\0')
        return note_set(note, ERR_CONF,
                        "%s: there is no secret-key in it: name the .cert file that penstockctl "
                        "keys new wrote, not the .pub file",
                        path);
    return err;
}

int curve_load_public(const char *path, struct curve_key *out, struct note *note)
{
    int err = curve_load(path, out, note);
    if (err < 0 || out->secret_key[0] == '\0')
        return err;
    curve_forget(out);
    return note_set(note, ERR_CONF,
                    "%s: there is a secret-key in it, which belongs on the machine that it was "
                    "made for: put the .pub file here",
                    path);
}

int curve_new(struct curve_key *key)
{
    return zmq_curve_keypair(key->public_key, key->secret_key) == 0 ? 0 : ERR_UNSUPPORTED;
}

void curve_forget(struct curve_key *key)
{
    explicit_bzero(key, sizeof *key);
}

/* ---- writing ---- */

static int print(const struct curve_key *key, bool with_secret, char *text, size_t size)
{
    int len = snprintf(text, size,
                       "# %s. Made by penstockctl keys new.\n"
                       "metadata\n    name = \"%s\"\n",
                       with_secret ? "SECRET: on one machine only, readable by its owner alone"
                                   : "Public: may be shown to everybody",
                       key->name);
    if (key->pop[0] != '\0')
        len += snprintf(text + len, size - (size_t)len, "    pop = \"%s\"\n", key->pop);
    len += snprintf(text + len, size - (size_t)len, "curve\n    public-key = \"%s\"\n",
                    key->public_key);
    if (with_secret)
        len +=
            snprintf(text + len, size - (size_t)len, "    secret-key = \"%s\"\n", key->secret_key);
    return len;
}

static int write_all(const char *path, const char *text, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    int err = 0;
    ssize_t written = write(fd, text, len);
    if (written != (ssize_t)len)
        err = written < 0 ? -errno : -ENOSPC;
    if (err == 0 && (fchmod(fd, mode) != 0 || fsync(fd) != 0)) /* whatever the umask is */
        err = -errno;
    close(fd);
    if (err < 0)
        unlink(path);
    return err;
}

/* The folder keeps the names: a new one is safe once the folder is. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    snprintf(folder, sizeof folder, "%.*s", len, slash == NULL ? "." : path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* Beside it: /etc/penstock/.ams1.cert.1234. Whoever reads all files of a folder skips those. */
static int hidden_name(const char *path, char made[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int folder = slash == NULL ? 0 : (int)(slash - path) + 1;
    int len = snprintf(made, PATH_MAX, "%.*s.%s.%ld", folder, path, path + folder, (long)getpid());
    return len < PATH_MAX ? 0 : ERR_TOO_LONG;
}

/* Under its own name only when it is whole. link() does not take the place of a file, rename()
 * does. */
static int put_in_place(const char *made, const char *path, bool replace)
{
    int err = (replace ? rename(made, path) : link(made, path)) == 0 ? 0 : -errno;
    if (err < 0 || !replace)
        unlink(made);
    if (err == 0)
        sync_folder(path);
    return err;
}

int curve_save(const struct curve_key *key, const char *path, bool with_secret, bool replace,
               struct note *note)
{
    char text[FILE_MAX], made[PATH_MAX];
    if (hidden_name(path, made) < 0)
        return note_set(note, -ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
    int len = print(key, with_secret, text, sizeof text);
    int err = write_all(made, text, (size_t)len, with_secret ? 0600 : 0644);
    explicit_bzero(text, sizeof text);
    if (err == 0)
        err = put_in_place(made, path, replace);
    return err == 0 ? 0 : note_set(note, err, "%s: %s", path, strerror(-err));
}
