# harden(TARGET): what makes a mistake of ours, or of a library, harder to use. The same in all builds, but what only works with
# optimisation; tests/style/check_binaries.py reads it off the programs.
include(CheckCCompilerFlag)

function(harden target)
    set(is_optimised OFF)
    if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" OR CMAKE_BUILD_TYPE STREQUAL "Release")
        set(is_optimised ON)
    endif()
    # Not every machine and compiler has all of them.
    set(wanted -fstack-protector-strong -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|i.86")
        list(APPEND wanted -fcf-protection=full)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
        list(APPEND wanted -mbranch-protection=standard)
    endif()
    foreach(flag IN LISTS wanted)
        string(MAKE_C_IDENTIFIER "HAS${flag}" has)
        check_c_compiler_flag(${flag} ${has})
        if(${has})
            target_compile_options(${target} INTERFACE ${flag})
        endif()
    endforeach()
    target_link_options(${target} INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)

    if(is_optimised)
        set(level 2) # 3, which knows sizes that are found at run time, came with gcc 12 and clang 15
        if((CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_C_COMPILER_VERSION VERSION_GREATER_EQUAL 12) OR
           (CMAKE_C_COMPILER_ID STREQUAL "Clang" AND CMAKE_C_COMPILER_VERSION VERSION_GREATER_EQUAL 15))
            set(level 3)
        endif()
        target_compile_options(${target} INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${level})
    endif()
endfunction()
