# Fuzz targets (tests/fuzz). Their corpora: small files of the repository in tests/fuzz/corpus, and what
# tests/fuzz/make_corpus.py makes of the samples and by the encoders that the tests have anyway.
set(fuzz_corpus ${CMAKE_CURRENT_BINARY_DIR}/fuzz-corpus)
add_test(NAME fuzz-replay.corpus
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/make_corpus.py
                 $<TARGET_FILE:niffler-png-samples> ${fuzz_corpus})
set_tests_properties(fuzz-replay.corpus PROPERTIES LABELS fuzz-replay TIMEOUT 300 FIXTURES_SETUP fuzz-corpus)

add_library(fuzz_mutators STATIC fuzz/mutate_image.c fuzz/mutate_stream.c differential/mutate.c differential/seed.c)
target_link_libraries(fuzz_mutators PRIVATE strict base ZLIB::ZLIB)

# fuzz_program(NAME SOURCE ROUNDS LIBRARY...): SOURCE as fuzz_NAME with libFuzzer, and as replay_NAME, an
# ordinary test that runs NAME's corpora and ROUNDS changes of them.
function(fuzz_program name source rounds)
    set(programs replay_${name})
    add_executable(replay_${name} fuzz/${source}.c fuzz/replay.c)
    if(NIFFLER_FUZZ)
        list(APPEND programs fuzz_${name})
        add_executable(fuzz_${name} fuzz/${source}.c)
        target_compile_options(fuzz_${name} PRIVATE -fno-sanitize-coverage=trace-cmp)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    endif()
    foreach(program IN LISTS programs)
        target_link_libraries(${program} PRIVATE strict fuzz_mutators ${ARGN} base)
    endforeach()
    set(folders)
    if(NOT name MATCHES "^(messages|metadata)$")
        list(APPEND folders ${fuzz_corpus}/${name})
    endif()
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name})
        list(APPEND folders ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name})
    endif()
    add_test(NAME fuzz-replay.${name} COMMAND replay_${name} ${rounds} ${folders})
    set_tests_properties(fuzz-replay.${name} PROPERTIES LABELS fuzz-replay TIMEOUT 300 FIXTURES_REQUIRED fuzz-corpus)
endfunction()

# fuzz_target(NAME ROUNDS LIBRARY...): of tests/fuzz/fuzz_NAME.c.
function(fuzz_target name rounds)
    fuzz_program(${name} fuzz_${name} ${rounds} ${ARGN})
endfunction()

fuzz_target(wire 500)
fuzz_target(pool 300 worker common)
fuzz_target(messages 2000 common)
fuzz_target(settings 200 common PkgConfig::RDKAFKA)
fuzz_target(files 200 common)
fuzz_target(csv 2000 aggregator common)
fuzz_target(tables 20 aggregator common)
fuzz_target(metadata 500 worker common)
fuzz_target(dicom 20 decoder_core worker common)
fuzz_target(image 6 decoder_core)
fuzz_target(render 200 decoder_core m)
fuzz_target(png 20 decoder_core PNG::PNG)

# The judge of our lossless JPEG.
add_library(fuzz_dcmtk_jpeg STATIC unit/dcmtk_jpeg.cc)
target_link_libraries(fuzz_dcmtk_jpeg PUBLIC DCMTK::dcmjpeg DCMTK::ofstd PRIVATE strict)
target_include_directories(fuzz_dcmtk_jpeg SYSTEM PRIVATE ${DCMTK_INCLUDE_DIRS})

# fuzz_codec(NAME ROUNDS): tests/fuzz/fuzz_codec.c for one family.
function(fuzz_codec name rounds)
    fuzz_program(${name} fuzz_codec ${rounds} decoder_core)
    foreach(program ITEMS replay_${name} fuzz_${name})
        if(TARGET ${program})
            target_sources(${program} PRIVATE unit/jpeg2000_twin.c)
            target_compile_definitions(${program} PRIVATE CODEC_UNDER_TEST=fuzz_${name})
        endif()
    endforeach()
endfunction()

fuzz_codec(rle 3000)
fuzz_codec(jpegls 1500)
fuzz_target(jpeg_lossless 500 decoder_core fuzz_dcmtk_jpeg)
fuzz_codec(jpeg 100)
fuzz_codec(jpeg2000 50)
fuzz_codec(jpegxl 50)

# The tables that fuzz_csv.c writes, for another reader than its own.
add_test(NAME fuzz-replay.csv_python
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/check_csv.py $<TARGET_FILE:replay_csv> 30
                 ${fuzz_corpus}/csv)
set_tests_properties(fuzz-replay.csv_python PROPERTIES LABELS fuzz-replay TIMEOUT 300 FIXTURES_REQUIRED fuzz-corpus)
