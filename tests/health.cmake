# Metrics, and the HTTP side of them and of probes.
find_program(PROMTOOL promtool REQUIRED)

unit_test(metrics common Threads::Threads m)
unit_test(health common)
unit_test(health_ask common Threads::Threads)
target_link_options(test_health PRIVATE -Wl,--wrap=meter_now_ms)

add_executable(print_metrics ${CMAKE_CURRENT_LIST_DIR}/e2e/print_metrics.c)
target_link_libraries(print_metrics PRIVATE strict common m)
add_test(NAME e2e.metrics COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/e2e/test_metrics.py
                                  $<TARGET_FILE:print_metrics> ${PROMTOOL})
set_tests_properties(e2e.metrics PROPERTIES LABELS e2e TIMEOUT 60)
