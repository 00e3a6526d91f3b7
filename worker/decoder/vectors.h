/* vectors.h: functions whose loops the compiler turns into vector instructions, built several times: for the
 * widest vectors of the machine at hand and for any machine. The loader chooses; both give the same bytes,
 * since they are one source. */
#ifndef NIFFLER_WORKER_DECODER_VECTORS_H
#define NIFFLER_WORKER_DECODER_VECTORS_H

/* A sanitizer's own code cannot run as early as the loader chooses. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__) && \
    !defined(__SANITIZE_ADDRESS__)
#define FOR_EACH_VECTOR_WIDTH __attribute__((target_clones("avx2", "default")))
/* Shifts by variable distances in one step, for what puts bits together and takes them apart. */
#define FOR_EACH_SHIFT __attribute__((target_clones("bmi2", "default")))
#else
#define FOR_EACH_VECTOR_WIDTH
#define FOR_EACH_SHIFT
#endif

#endif
