# The tag walker against DCMTK (tests/differential).
add_executable(test_differential
    differential/test_differential.c differential/walker.c differential/twin.c differential/compare.c
    differential/classes.c differential/seed.c differential/mutate.c differential/dicom_dcmtk.cc)
target_link_libraries(test_differential PRIVATE strict decoder_core base PkgConfig::CRYPTO ZLIB::ZLIB
    DCMTK::dcmdata DCMTK::oflog DCMTK::ofstd)
target_include_directories(test_differential SYSTEM PRIVATE ${DCMTK_INCLUDE_DIRS})

add_test(NAME contract.dicom_samples COMMAND test_differential samples $<TARGET_FILE:niffler-png-samples>)
add_test(NAME contract.dicom_mutated COMMAND test_differential mutated $<TARGET_FILE:niffler-png-samples> 100000)
set_tests_properties(contract.dicom_samples contract.dicom_mutated PROPERTIES LABELS contract)
set_tests_properties(contract.dicom_samples PROPERTIES TIMEOUT 120)
set_tests_properties(contract.dicom_mutated PROPERTIES TIMEOUT 900)
# The corpus is not part of the repository: NIFFLER_SHARED, or the folder beside the checkout.
add_test(NAME e2e.corpus.CorpusDicom COMMAND test_differential corpus ${PROJECT_SOURCE_DIR}/../shared 20000)
set_tests_properties(e2e.corpus.CorpusDicom PROPERTIES LABELS e2e TIMEOUT 600 SKIP_RETURN_CODE 77)
# What DCMTK may allocate at once, under the sanitizer; elsewhere twin.c limits it.
set_tests_properties(contract.dicom_samples contract.dicom_mutated e2e.corpus.CorpusDicom PROPERTIES
    ENVIRONMENT "ASAN_OPTIONS=max_allocation_size_mb=256:allocator_may_return_null=1")

# Our JPEG 2000 against OpenJPEG: streams of the fuzz target's corpus, of high throughput among them, and of the corpus.
add_executable(test_jpeg2000 differential/test_jpeg2000.c differential/mutate.c differential/seed.c unit/jpeg2000_twin.c)
target_link_libraries(test_jpeg2000 PRIVATE strict decoder_core base ZLIB::ZLIB)
add_test(NAME contract.jpeg2000_changed COMMAND test_jpeg2000 ${CMAKE_CURRENT_BINARY_DIR}/fuzz-corpus/jpeg2000 200)
set_tests_properties(contract.jpeg2000_changed PROPERTIES LABELS contract TIMEOUT 300 FIXTURES_REQUIRED fuzz-corpus)
add_test(NAME e2e.corpus.CorpusJpeg2000 COMMAND test_jpeg2000 corpus ${PROJECT_SOURCE_DIR}/../shared 20)
set_tests_properties(e2e.corpus.CorpusJpeg2000 PROPERTIES LABELS e2e TIMEOUT 600 SKIP_RETURN_CODE 77)
