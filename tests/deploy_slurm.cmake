# deploy/slurm on a real Slurm of one node. Not with sanitizers: what runs there is tested so elsewhere, and tasks have the
# memory that a cluster would give them. Skipped, and listed so by ctest, where Slurm is not installed or we are not root.
if(NOT NIFFLER_SANITIZE)
    foreach(class Slices Limits Workers)
        string(TOLOWER ${class} name)
        add_test(NAME deploy.slurm.${name}
                 COMMAND Python3::Interpreter ${CMAKE_CURRENT_LIST_DIR}/deploy/test_slurm.py ${class})
        set_tests_properties(deploy.slurm.${name} PROPERTIES LABELS deploy TIMEOUT 600 SKIP_RETURN_CODE 77
            ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR};NIFFLER_DECODER_STDERR=1")
    endforeach()
endif()
