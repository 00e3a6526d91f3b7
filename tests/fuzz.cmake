# fuzz_target(NAME ROUNDS LIBRARY...): tests/fuzz/fuzz_NAME.c with its corpus in tests/fuzz/corpus/NAME.
function(fuzz_target name rounds)
    add_executable(replay_${name} fuzz/fuzz_${name}.c fuzz/replay.c)
    target_link_libraries(replay_${name} PRIVATE strict ${ARGN} base)
    add_test(NAME fuzz-replay.${name}
             COMMAND replay_${name} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name} ${rounds})
    set_tests_properties(fuzz-replay.${name} PROPERTIES LABELS fuzz-replay TIMEOUT 300)
    if(NIFFLER_FUZZ)
        add_executable(fuzz_${name} fuzz/fuzz_${name}.c)
        target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
        target_link_libraries(fuzz_${name} PRIVATE strict ${ARGN} base)
    endif()
endfunction()

fuzz_target(wire 2000)
fuzz_target(messages 2000 common)
fuzz_target(metadata 500 worker common)
fuzz_target(dicom 100 decoder_core)
