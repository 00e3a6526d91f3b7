# The sample data set: the same everywhere, valid, and compressible by the tools that make its variants.
foreach(tool dcmdump dcmj2pnm dcmcjpeg dcmdjpeg dcmcjpls dcmdjpls dcmcrle dcmdrle dcmconv opj_compress)
    find_program(TOOL_${tool} ${tool} REQUIRED)
endforeach()

foreach(check same groups valid pictures compressed extras)
    add_test(NAME samples.${check}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/samples/check_samples.py
                     $<TARGET_FILE:niffler-png-samples> ${check})
    set_tests_properties(samples.${check} PROPERTIES LABELS samples TIMEOUT 120)
endforeach()
