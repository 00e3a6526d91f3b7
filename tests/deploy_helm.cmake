# The Helm chart and the manifests, by tools that tests/deploy/tools.sh makes: skipped by name where it has not. They say nothing
# about memory or threads of our programs, so that the build without sanitizers is enough.
if(NOT NIFFLER_SANITIZE)
    foreach(class Lint Schemas Policy Refused Program Files Manifests)
        add_test(NAME deploy.helm.${class}
                 COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/deploy/test_helm.py ${class})
        set_tests_properties(deploy.helm.${class} PROPERTIES LABELS deploy TIMEOUT 600 SKIP_RETURN_CODE 77
                             ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR}")
    endforeach()
endif()
