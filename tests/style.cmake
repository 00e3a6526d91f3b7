# Rules of the house (CONTRIBUTING.md), as tests.
find_program(CLANG_FORMAT clang-format REQUIRED)
find_program(SHELLCHECK shellcheck REQUIRED)

function(style_test name)
    add_test(NAME style.${name} COMMAND ${ARGN})
    set_tests_properties(style.${name} PROPERTIES LABELS style TIMEOUT 180)
endfunction()

set(style ${CMAKE_CURRENT_SOURCE_DIR}/style)
foreach(rule includes banned paths log headers sizes openings)
    style_test(${rule} ${Python3_EXECUTABLE} ${style}/check_sources.py ${PROJECT_SOURCE_DIR} ${rule})
endforeach()
style_test(headers_compile_alone ${style}/check_headers.sh ${PROJECT_SOURCE_DIR} ${CMAKE_C_COMPILER}
           ${CMAKE_CXX_COMPILER})
style_test(format_c ${style}/check_format.sh ${PROJECT_SOURCE_DIR} c)
style_test(format_sh ${style}/check_format.sh ${PROJECT_SOURCE_DIR} sh)
style_test(links ${Python3_EXECUTABLE} ${style}/check_binaries.py links
           $<TARGET_FILE:niffler-png> $<TARGET_FILE:niffler-png-decoder>)
style_test(test_names ${Python3_EXECUTABLE} ${style}/check_binaries.py tests ${PROJECT_BINARY_DIR})
# Sanitizers put variables of their own into every object: this rule is read off the plain build.
if(NOT NIFFLER_SANITIZE)
    style_test(globals ${Python3_EXECUTABLE} ${style}/check_binaries.py globals $<TARGET_FILE:base>
               $<TARGET_FILE:common> $<TARGET_FILE:producer> $<TARGET_FILE:worker> $<TARGET_FILE:aggregator>
               $<TARGET_FILE:decoder_core>)
endif()

add_test(NAME e2e.install
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/e2e/install.sh ${PROJECT_BINARY_DIR} $<TARGET_FILE:niffler-png-samples>)
set_tests_properties(e2e.install PROPERTIES LABELS e2e TIMEOUT 120)
