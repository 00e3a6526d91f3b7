# The queue over Kafka, against librdkafka's own mock cluster.
unit_test(queue_kafka_window common base)

add_executable(test_contract_queue_kafka contract/test_queue_kafka.c)
target_link_libraries(test_contract_queue_kafka PRIVATE strict common base PkgConfig::CMOCKA PkgConfig::RDKAFKA)
add_test(NAME contract.queue_kafka COMMAND test_contract_queue_kafka)
set_tests_properties(contract.queue_kafka PROPERTIES LABELS contract TIMEOUT 180)

foreach(name queue_kafka_send queue_kafka)
    add_executable(test_fault_${name} fault/test_${name}.c)
    target_link_libraries(test_fault_${name} PRIVATE strict common base PkgConfig::CMOCKA PkgConfig::RDKAFKA)
    add_test(NAME fault.${name} COMMAND test_fault_${name})
    set_tests_properties(fault.${name} PROPERTIES LABELS fault TIMEOUT 300)
endforeach()
