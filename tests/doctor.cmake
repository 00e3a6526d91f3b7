# `niffler-png doctor` on folders, mail servers and Redis.
foreach(class Folders Mail Redis)
    add_test(NAME e2e.doctor.${class}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/e2e/test_doctor.py ${class})
    set_tests_properties(e2e.doctor.${class} PROPERTIES LABELS e2e TIMEOUT 180
                         ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR}")
endforeach()
foreach(class Topics NoBroker)
    add_test(NAME e2e.doctor_kafka.${class}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/e2e/test_doctor_kafka.py ${class})
    set_tests_properties(e2e.doctor_kafka.${class} PROPERTIES LABELS e2e TIMEOUT 300
                         ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR}")
endforeach()
