# Settings, log, meter and the command line.
find_program(MANDOC mandoc REQUIRED)

unit_test(settings common PkgConfig::JANSSON)
unit_test(log common Threads::Threads)
unit_test(meter common)

add_test(NAME e2e.cli COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/e2e/cli.py
         $<TARGET_FILE:niffler-png> ${PROJECT_SOURCE_DIR} ${MANDOC})
set_tests_properties(e2e.cli PROPERTIES LABELS e2e TIMEOUT 120)
