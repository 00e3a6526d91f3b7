# The aggregator: store, tables, records, e-mail.
unit_test(store aggregator common PkgConfig::SQLITE)
unit_test(names aggregator common PkgConfig::SQLITE)
target_link_options(test_names PRIVATE -Wl,--wrap=renameat,--wrap=unlinkat,--wrap=sqlite3_step
                    -Wl,--wrap=sqlite3_wal_checkpoint_v2)
unit_test(csv aggregator common)
unit_test(aggregate aggregator common Threads::Threads)
unit_test(mail aggregator common)
