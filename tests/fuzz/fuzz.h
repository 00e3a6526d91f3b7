/* fuzz.h: what every fuzz target provides. Built twice: with libFuzzer (cmake --preset fuzz), and with
 * replay.c, which runs the files of its corpus, and changes of them made from a fixed seed, as an ordinary
 * test. */
#ifndef NIFFLER_TESTS_FUZZ_FUZZ_H
#define NIFFLER_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Keep the compiler from leaving out what computed `value`. */
static inline void fuzz_use(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

#endif
