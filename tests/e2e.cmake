# The encoders of test_codecs.py, besides those of the samples.
foreach(tool cjxl ojph_compress cjpeg)
    find_program(TOOL_${tool} ${tool} REQUIRED)
endforeach()

# e2e_test(FILE CLASS SECONDS): one class of a Python file in tests/e2e, run on the programs of this build.
function(e2e_test file class seconds)
    add_test(NAME e2e.${file}.${class}
             COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/e2e/test_${file}.py ${class})
    set_tests_properties(e2e.${file}.${class} PROPERTIES LABELS e2e TIMEOUT ${seconds}
        ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR};NIFFLER_DECODER_STDERR=1")
endfunction()

# Loaded into the programs by test_durability.py.
add_library(event_log MODULE tools/event_log.c)
set_target_properties(event_log PROPERTIES PREFIX "")
target_link_libraries(event_log PRIVATE strict PkgConfig::SQLITE PkgConfig::RDKAFKA ${CMAKE_DL_LIBS})

# For test_safe_outputs.py.
add_library(read_log MODULE tools/read_log.c)
set_target_properties(read_log PROPERTIES PREFIX "")
target_link_libraries(read_log PRIVATE strict ${CMAKE_DL_LIBS})
add_executable(swapper tools/swapper.c)
target_link_libraries(swapper PRIVATE strict)

e2e_test(outputs SampleSet 300)
e2e_test(outputs SameBytes 300)
e2e_test(outputs Compatibility 120)
e2e_test(outputs Settings 300)
e2e_test(safe_outputs Tables 120)
e2e_test(safe_outputs Log 120)
e2e_test(safe_outputs Chunks 300)
e2e_test(safe_outputs Modes 120)
e2e_test(safe_outputs Parent 120)
e2e_test(safe_outputs Racer 600)
e2e_test(pictures Chunks 120)
e2e_test(pictures Overlays 120)
e2e_test(pixels Stored 300)
e2e_test(pixels Full 300)
e2e_test(pixels Encoders 600)
e2e_test(window Window 120)
e2e_test(contact_sheet ContactSheet 60)
e2e_test(resume Killed 600)
e2e_test(resume Again 300)
e2e_test(slices Merged 600)
e2e_test(slices Killed 600)
e2e_test(slices Compatibility 600)
if(NIFFLER_CRASH_POINTS)
    e2e_test(slices MergeKilled 600)
endif()
e2e_test(slices Refused 600)
e2e_test(surroundings WrongFolders 60)
e2e_test(surroundings OddFiles 300)
e2e_test(surroundings Decoder 120)
e2e_test(surroundings Output 300)
e2e_test(crashes Crashes 300)
e2e_test(poison Poison 600)
set_tests_properties(e2e.poison.Poison PROPERTIES RUN_SERIAL TRUE) # it measures times
e2e_test(frames Frames 300)
e2e_test(durability Extract 300)
e2e_test(codecs JpegXl 300)
e2e_test(codecs CutStreams 120)
e2e_test(codecs HtJpeg2000 300)
e2e_test(codecs Jpeg 300)
e2e_test(codecs JpegLs 300)
e2e_test(codecs Colour 300)
e2e_test(codecs Jpeg2000 300)
e2e_test(corpus Corpus 600)
e2e_test(corpus_restore CorpusRestore 300)
e2e_test(corpus_window CorpusWindow 300)

# The corpus is not part of the repository: where it is absent, ctest says "Skipped".
set_tests_properties(e2e.corpus.Corpus e2e.corpus_restore.CorpusRestore e2e.corpus_window.CorpusWindow
    PROPERTIES SKIP_RETURN_CODE 77)
