/* vectors.h: what of the machine's vector instructions is used, and how.
 *
 * FOR_EACH_VECTOR_WIDTH, FOR_EACH_SHIFT: functions whose loops the compiler turns into vector instructions,
 * built several times: for the machine at hand and for any machine. The loader chooses; all give the same
 * bytes, since they are one source.
 *
 * VECTORS_512: functions written in instructions on 64 bytes at once (vectors_512.h), defined where the
 * compiler has them, and called where vectors_are_512(). Each stands beside one for any machine that gives
 * the same bytes; the tests run both. */
#ifndef NIFFLER_WORKER_DECODER_VECTORS_H
#define NIFFLER_WORKER_DECODER_VECTORS_H

#include <stdbool.h>

/* AVX-512 with VBMI: Intel's from Ice Lake on, AMD's from Zen 4 on. */
#if defined(__x86_64__) && defined(__GNUC__)
#define VECTORS_512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,bmi,bmi2")))
#define VECTORS_512_ARE_THERE                                                      \
    (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw") && \
     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2"))
#else
#define VECTORS_512_ARE_THERE false
#endif

/* Whether this processor has them. Tests link another one, to see both ways (tests/hide_vectors.h). */
bool vectors_are_512(void);

/* A sanitizer's own code cannot run as early as the loader chooses. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__) && \
    !defined(__SANITIZE_ADDRESS__)
#define FOR_EACH_VECTOR_WIDTH __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
/* Shifts by variable distances in one step, for what puts bits together and takes them apart. */
#define FOR_EACH_SHIFT __attribute__((target_clones("bmi2", "default")))
#else
#define FOR_EACH_VECTOR_WIDTH
#define FOR_EACH_SHIFT
#endif

#endif
