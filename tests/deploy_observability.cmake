# Dashboard and rules (deploy/observability), scale-out and drain, and the runbook's commands. Sanitizers would find nothing here
# that the tests of the fleet do not, and the programs of the build without them are those that are deployed.
if(NIFFLER_SANITIZE)
    return()
endif()

find_program(PROMTOOL promtool REQUIRED)

# deploy_observability_test(NAME SECONDS COMMAND...)
function(deploy_observability_test name seconds)
    add_test(NAME deploy.${name} COMMAND ${Python3_EXECUTABLE} ${ARGN})
    set_tests_properties(deploy.${name} PROPERTIES LABELS deploy TIMEOUT ${seconds}
        ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR};NIFFLER_DECODER_STDERR=1;PROMTOOL=${PROMTOOL}")
endfunction()

set(deploy ${CMAKE_CURRENT_LIST_DIR}/deploy)
deploy_observability_test(observability.Rules 60 ${deploy}/test_observability.py Rules)
deploy_observability_test(observability.Panels 60 ${deploy}/test_observability.py Panels)
deploy_observability_test(observability.Scraped 600 ${deploy}/test_observability.py Scraped)
deploy_observability_test(scale.Scale 900 ${deploy}/test_scale.py Scale)
deploy_observability_test(observability.dashboard 300 ${deploy}/check_dashboard.py
    ${PROJECT_SOURCE_DIR}/deploy/observability/dashboard.json)
# Its tool comes from PyPI: where that is not to be had, ctest lists it as skipped.
set_tests_properties(deploy.observability.dashboard PROPERTIES SKIP_RETURN_CODE 77)
deploy_observability_test(runbook.Document 60 ${deploy}/test_runbook.py Document)
deploy_observability_test(runbook.Links 60 ${deploy}/test_runbook.py Links)
deploy_observability_test(runbook.Fleet 900 ${deploy}/test_runbook.py Fleet)
