/* An allocation that fails leaves ENOMEM in errno (malloc(3); operator new and mmap() too), and hardly
 * anything that a decoder does afterwards puts another number there. What follows in a library that does not
 * look is a call of abort(), a trap, or an access to address 0: the signals below, with errno as it was left.
 * Where it is wrong, a crash is taken for one of memory, or the reverse: a wrong word in a row. */
#include "worker/decoder/last_words.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "worker/wire.h"

/* The sanitizers report crashes themselves, and have no limit of memory. */
#ifndef __SANITIZE_ADDRESS__
static void on_crash(int number)
{
    if (errno == ENOMEM)
        _exit(WIRE_EXIT_MEMORY);
    (void)raise(number); /* by now the default again: see the flags */
}

void last_words_prepare(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    /* Nothing is left to be done in the handler that the confinement would not allow (sandbox_seccomp.c). */
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        (void)sigaction(crashes[i], &action, NULL);
}
#else
void last_words_prepare(void)
{
}
#endif

void last_words_forget(void)
{
    errno = 0;
}

bool last_words_is_memory(void)
{
    return errno == ENOMEM;
}
