# The image of deploy/Dockerfile and the fleet of deploy/compose.yaml, in a Docker engine of the tests' own. Once is enough,
# with one build: what is in the image is a release that it makes itself.
if(NOT NIFFLER_SANITIZE)
    function(deploy_test name seconds)
        add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE} ${ARGN})
        set_tests_properties(${name} PROPERTIES LABELS deploy TIMEOUT ${seconds} SKIP_RETURN_CODE 77
                             ENVIRONMENT "NIFFLER_BUILD=${PROJECT_BINARY_DIR};NIFFLER_DECODER_STDERR=1")
    endfunction()

    set(deploy ${CMAKE_CURRENT_LIST_DIR}/deploy)
    # One engine at a time has the images.
    deploy_test(deploy.image.build 1200 ${deploy}/image.py build)
    deploy_test(deploy.image.clean 120 ${deploy}/image.py clean)
    set_tests_properties(deploy.image.build PROPERTIES FIXTURES_SETUP deploy_image PROCESSORS 2)
    set_tests_properties(deploy.image.clean PROPERTIES FIXTURES_CLEANUP deploy_image)
    foreach(class Contents Alone Fleet Reproducible)
        deploy_test(deploy.image.${class} 900 ${deploy}/test_image.py ${class})
        list(APPEND with_image deploy.image.${class})
    endforeach()
    deploy_test(deploy.compose.Job 900 ${deploy}/test_compose.py Job)
    list(APPEND with_image deploy.compose.Job)
    set_tests_properties(${with_image} PROPERTIES FIXTURES_REQUIRED deploy_image)
    set_tests_properties(${with_image} deploy.image.build deploy.image.clean PROPERTIES RESOURCE_LOCK deploy_image)

    # These need no engine.
    deploy_test(deploy.image.lint 120 ${deploy}/lint_image.py)
    deploy_test(deploy.compose.Config 120 ${deploy}/test_compose.py Config)
endif()
