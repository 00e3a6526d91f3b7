# Processes that are killed. The builds with NIFFLER_CRASH_POINTS only: in others no place is labelled.
# fault_test(FILE CLASS SECONDS): one class of a Python file in tests/fault, run on the programs of this build.
function(fault_test file class seconds)
    add_test(NAME fault.${file}.${class}
             COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/fault/test_${file}.py ${class})
    set_tests_properties(fault.${file}.${class} PROPERTIES LABELS fault TIMEOUT ${seconds}
        ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR}")
endfunction()

if(NIFFLER_CRASH_POINTS)
    fault_test(crash_points Worker 1200)
    fault_test(crash_points Aggregator 1200)
    fault_test(crash_points Producer 1200)
    fault_test(quarantine Quarantine 600)
endif()

# Twenty thousand files, four workers, a hundred faults in three minutes: it runs alone. It is about the order in which
# processes end and come back; what the sanitizers look at, the crash points pass through.
if(NOT NIFFLER_SANITIZE)
    add_test(NAME fault.storm COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/fault/storm)
    set_tests_properties(fault.storm PROPERTIES LABELS fault TIMEOUT 1200 RUN_SERIAL TRUE
        ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR}")
endif()
fault_test(recovery Recovery 900)

add_test(NAME style.fault_table COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/fault/check_readme.py)
set_tests_properties(style.fault_table PROPERTIES LABELS style TIMEOUT 60)
