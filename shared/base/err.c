#include "shared/base/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *err_name(int err)
{
    switch (err) {
    case 0:
        return "OK";
#define ERR(name, number, sentence, actor) \
    case number:                           \
        return #name;
#include "shared/base/err.def"
#undef ERR
    default: {
        const char *name = err < 0 && err > -1000 ? strerrorname_np(-err) : NULL;
        return name != NULL ? name : "UNKNOWN";
    }
    }
}

const char *err_text(int err)
{
    switch (err) {
    case 0:
        return "no error";
#define ERR(name, number, sentence, actor) \
    case number:                           \
        return sentence;
#include "shared/base/err.def"
#undef ERR
    default: {
        const char *text = err < 0 && err > -1000 ? strerrordesc_np(-err) : NULL;
        return text != NULL ? text : "an unknown error";
    }
    }
}

int note_set(struct note *note, int err, const char *format, ...)
{
    if (note != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(note->text, sizeof note->text, format, args);
        va_end(args);
    }
    return err;
}
