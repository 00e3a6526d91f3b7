/* Swaps pairs of names, each a folder and a link to elsewhere, again and again, until its standard input
 * ends; at least COUNT times, and at the end all is as before. Prints how often.
 *
 *     swapper COUNT A B [A B]...
 *
 * A pair of which one is not there (yet) is passed over. */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_over(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) != 0;
}

static bool swap(char *const pair[2])
{
    return renameat2(AT_FDCWD, pair[0], AT_FDCWD, pair[1], RENAME_EXCHANGE) == 0;
}

int main(int argc, char **argv)
{
    long least = argc > 1 ? strtol(argv[1], NULL, 10) : 0, done = 0;
    if (argc < 4 || argc % 2 != 0)
        return 2;
    for (int at = 2; done < least || !is_over(); at = at + 2 < argc ? at + 2 : 2) {
        long tries = 0;
        while (tries < 2 && swap(&argv[at])) { /* there and back */
            tries++;
            if (tries == 1)
                (void)usleep(done % 8 == 0 ? 50 : 0);
        }
        done += tries;
        if (tries == 1) /* the way back is barred: somebody else has made it anew */
            return 1;
        if (tries == 0)
            (void)usleep(100);
    }
    (void)printf("%ld\n", done);
    return 0;
}
