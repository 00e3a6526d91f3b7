#include "worker/storm.h"

void storm_add(struct storm *storm, bool has_crashed)
{
    storm->crashes += has_crashed;
    storm->crashes -= storm->has_crashed[storm->next];
    storm->has_crashed[storm->next] = has_crashed;
    storm->next = (storm->next + 1) % STORM_FILES;
}

bool storm_is_on(const struct storm *storm)
{
    return storm->crashes > STORM_FILES / 2;
}
