#include "worker/find_decoder.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"

char *find_decoder(const struct settings *settings, struct error *err)
{
    char self[PATH_MAX];
    if (settings->decoder_program != NULL)
        return xstrdup(settings->decoder_program);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    char *places[] = {xasprintf("%s/niffler-png-decoder", self),
                      xasprintf("%s/../libexec/niffler-png-decoder", self),
                      xstrdup(NIFFLER_DECODER_INSTALLED)};
    char *found = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (found == NULL && access(places[i], X_OK) == 0)
            found = places[i];
        else
            free(places[i]);
    }
    if (found == NULL)
        (void)error_set(err, ERROR_FATAL,
                        "cannot find niffler-png-decoder beside this program, nor in ../libexec, "
                        "nor at " NIFFLER_DECODER_INSTALLED "; name it by DecoderProgram");
    return found;
}
