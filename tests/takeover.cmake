# A decoder that was taken over: the real one, from its own objects, that does what the preamble of a file tells it
# (tests/takeover/takeover.h); with the confinement, and without to show that the attempts are such.
set(takeover takeover/takeover.c takeover/attempts_files.c takeover/attempts_processes.c takeover/attempts_networks.c
    takeover/attempts_memory.c takeover/attempts_kernel.c takeover/attempts_output.c takeover/false_answers.c)
foreach(kind "" -unconfined)
    add_executable(niffler-png-decoder-misbehaving${kind} ${takeover})
    target_link_libraries(niffler-png-decoder-misbehaving${kind} PRIVATE strict decoder_main Threads::Threads)
    target_link_options(niffler-png-decoder-misbehaving${kind} PRIVATE
        -Wl,--wrap=dicom_read -Wl,--wrap=pngout_write -Wl,--wrap=wire_reply)
endforeach()
target_link_libraries(niffler-png-decoder-misbehaving PRIVATE decoder_sandbox)
target_link_libraries(niffler-png-decoder-misbehaving-unconfined PRIVATE decoder_unconfined)

# Runs a program under a filter of system calls, as a container has one.
add_executable(without_calls tools/without_calls.c)
target_link_libraries(without_calls PRIVATE strict PkgConfig::SECCOMP)

unit_test(sandbox decoder_sandbox)

foreach(class Attempts Answers Parts Containers)
    add_test(NAME fault.takeover.${class}
             COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/takeover/test_takeover.py ${class})
    set_tests_properties(fault.takeover.${class} PROPERTIES LABELS fault TIMEOUT 600
        ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR}")
endforeach()
