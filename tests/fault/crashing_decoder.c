/* The decoder itself, but for what the first bytes of a file tell it to do: a stand-in for libraries that
 * crash on some files. Linked with --wrap=dicom_read.
 *
 *     SEGV  killed by SIGSEGV       ABRT  abort()                EXIT  exit status 9
 *     TRAP  abort() behind an allocation that failed, as of a library that does not look
 *     ONCE  the same, unless it is the decoder's first file */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/decoder/dicom/dicom.h"

bool __real_dicom_read(struct dicom *dcm, int descriptor, const struct options *options, struct error *err);
bool __wrap_dicom_read(struct dicom *dcm, int descriptor, const struct options *options, struct error *err);

/* Also where a sanitizer would catch it; once confined, nothing can be changed about signals. */
__attribute__((constructor)) static void take_signals_back(void)
{
    (void)signal(SIGSEGV, SIG_DFL);
}

static void run_out_of_memory(void)
{
    volatile size_t all = PTRDIFF_MAX;
    void *memory = malloc(all);
    if (memory == NULL)
        abort();
    free(memory);
}

bool __wrap_dicom_read(struct dicom *dcm, int descriptor, const struct options *options, struct error *err)
{
    static unsigned files;
    char order[5] = "";
    if (pread(descriptor, order, 4, 0) != 4)
        order[0] = '\0';
    if (strcmp(order, "SEGV") == 0 || (strcmp(order, "ONCE") == 0 && files > 0))
        (void)raise(SIGSEGV);
    if (strcmp(order, "ABRT") == 0)
        abort();
    if (strcmp(order, "EXIT") == 0)
        _exit(9);
    if (strcmp(order, "TRAP") == 0)
        run_out_of_memory();
    files++;
    return __real_dicom_read(dcm, descriptor, options, err);
}
