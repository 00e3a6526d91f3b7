# Rendering, the PNG writer, the scan, files, buffers, the queue.
unit_test(render decoder_core m)
unit_test(voi decoder_core m)
unit_test(display decoder_core base)
unit_test(render_window decoder_core m)
unit_test(render_line decoder_core m)
unit_test(pngout decoder_core PNG::PNG)
unit_test(pngout_own decoder_core base ZLIB::ZLIB)
unit_test(vectors decoder_core base)
unit_test(scan producer common base)
unit_test(scan_sort producer common base)
unit_test(slice producer common base)
unit_test(files common base)
unit_test(nolink common base)
target_link_options(test_nolink PRIVATE -Wl,--wrap=syscall)
unit_test(hostile_paths common base)
unit_test(buffer base)
unit_test(eight)

# One contract for every transport.
add_executable(test_queue contract/test_queue.c)
target_link_libraries(test_queue PRIVATE strict common base PkgConfig::CMOCKA Threads::Threads)
add_test(NAME contract.queue COMMAND test_queue)
set_tests_properties(contract.queue PROPERTIES LABELS contract TIMEOUT 60)

# All that writes below a folder, against one that swaps it for a link.
unit_test(racer producer worker aggregator common base)
target_link_options(test_racer PRIVATE -Wl,--wrap=syscall)
set_tests_properties(unit.racer PROPERTIES TIMEOUT 600)
