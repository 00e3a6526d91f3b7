unit_test(wire base)
unit_test(picture_check worker common base)
unit_test(messages common base)
unit_test(syncer worker common base)
target_link_options(test_syncer PRIVATE -Wl,--wrap=syncfs)

add_executable(misbehaving_decoder fault/misbehaving_decoder.c)
target_link_libraries(misbehaving_decoder PRIVATE strict base)
# The decoder itself, with a crash in front of its reader where a file asks for it.
add_executable(crashing_decoder fault/crashing_decoder.c)
target_link_libraries(crashing_decoder PRIVATE strict decoder_main decoder_sandbox)
target_link_options(crashing_decoder PRIVATE -Wl,--wrap=dicom_read)

unit_test(storm worker)
unit_test(good_picture worker decoder_core base)

add_executable(test_pool fault/test_pool.c)
target_link_libraries(test_pool PRIVATE strict worker common base PkgConfig::CMOCKA)
target_compile_definitions(test_pool PRIVATE MISBEHAVING_DECODER="$<TARGET_FILE:misbehaving_decoder>")
add_dependencies(test_pool misbehaving_decoder)
add_test(NAME fault.pool COMMAND test_pool)
set_tests_properties(fault.pool PROPERTIES LABELS fault TIMEOUT 120)
