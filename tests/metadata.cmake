# From typed elements to columns, texts and file names.
unit_test(dictionary base)
unit_test(python_text worker base)
unit_test(value_text worker common base)
unit_test(metadata worker common base)
unit_test(naming worker common base)

# A developer's tool: what a worker would record of a file.
add_executable(flatten tools/flatten.c)
target_link_libraries(flatten PRIVATE strict worker common decoder_core base)
