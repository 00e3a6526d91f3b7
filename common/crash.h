/* crash.h: places at which a test build dies when it is told to, as if it had been killed there.
 *
 *     NIFFLER_CRASH=worker.record_sent:3    dies (SIGKILL) when it comes to that place for the third time
 *     NIFFLER_CRASH=worker.seq:77           dies whenever it comes to that place with the number 77
 *
 * With NIFFLER_CRASH_COUNTS=FOLDER the visits are counted over the lives of all processes that are started
 * so, in files there: the way to the third visit of a place that a process comes to once.
 *
 * In other builds (NIFFLER_CRASH_POINTS off) the places are nothing at all. */
#ifndef NIFFLER_COMMON_CRASH_H
#define NIFFLER_COMMON_CRASH_H

#include <stddef.h>
#include <stdint.h>

#ifdef NIFFLER_CRASH_POINTS
/* NIFFLER_CRASH_MEMBER: the name of this process in its group, so that its next life is back at once and need
 * not wait until the one that died is missed. NULL: it has one of its own. */
const char *crash_member(void);
void crash_point(const char *name);
void crash_at_number(const char *name, uint64_t number);
#define CRASH_POINT(name) crash_point(name)
#define CRASH_AT_NUMBER(name, number) crash_at_number(name, number)
#else
#define crash_member() ((const char *)NULL)
#define CRASH_POINT(name) ((void)0)
#define CRASH_AT_NUMBER(name, number) ((void)0)
#endif

#endif
