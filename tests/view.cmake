# Redis: where it is, what is shown in it, and `status`, which shows it. Each test starts a redis-server of its own.
find_program(REDIS_SERVER redis-server REQUIRED)

unit_test(redis_url common)

foreach(name view progress)
    add_executable(test_${name} contract/test_${name}.c)
    target_link_libraries(test_${name} PRIVATE strict worker aggregator common base PkgConfig::CMOCKA)
    target_compile_definitions(test_${name} PRIVATE NIFFLER_VERSION="${PROJECT_VERSION}")
    add_test(NAME contract.${name} COMMAND test_${name})
    set_tests_properties(contract.${name} PROPERTIES LABELS contract TIMEOUT 240)
endforeach()

add_test(NAME e2e.status COMMAND Python3::Interpreter ${CMAKE_CURRENT_LIST_DIR}/e2e/test_status.py
                                 $<TARGET_FILE:niffler-png>)
set_tests_properties(e2e.status PROPERTIES LABELS e2e TIMEOUT 180)
