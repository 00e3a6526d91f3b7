# The aggregator: store, tables, records, e-mail.
unit_test(store aggregator common PkgConfig::SQLITE)
unit_test(answered aggregator common)
unit_test(store_merge aggregator common)
unit_test(jobs aggregator common)
unit_test(reconcile aggregator common)
unit_test(names aggregator common PkgConfig::SQLITE)
target_link_options(test_names PRIVATE -Wl,--wrap=renameat,--wrap=unlinkat,--wrap=sqlite3_step
                    -Wl,--wrap=sqlite3_wal_checkpoint_v2)
unit_test(csv aggregator common)
unit_test(csv_cell aggregator common)
unit_test(tables aggregator common PkgConfig::SQLITE)
target_link_options(test_tables PRIVATE -Wl,--wrap=renameat,--wrap=unlinkat,--wrap=fsync,--wrap=sqlite3_step
                    -Wl,--wrap=sqlite3_wal_checkpoint_v2)
unit_test(aggregate aggregator common Threads::Threads)
unit_test(mail aggregator common)
unit_test(mail_files aggregator common)
unit_test(outbox aggregator common Threads::Threads)

# The e-mail against a real SMTP server; both run by Debian's Python, for which Debian has the server (python3-aiosmtpd).
add_executable(mail_probe ${CMAKE_CURRENT_LIST_DIR}/e2e/test_mail_smtp.c)
target_link_libraries(mail_probe PRIVATE strict aggregator common)
add_test(NAME e2e.mail_smtp COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/e2e/test_mail_smtp.py
                                    $<TARGET_FILE:mail_probe>)
set_tests_properties(e2e.mail_smtp PROPERTIES LABELS e2e TIMEOUT 120)
