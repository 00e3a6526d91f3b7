# The aggregator: store, tables, records, e-mail.
unit_test(store aggregator common PkgConfig::SQLITE)
unit_test(names aggregator common PkgConfig::SQLITE)
target_link_options(test_names PRIVATE -Wl,--wrap=renameat,--wrap=unlinkat,--wrap=sqlite3_step
                    -Wl,--wrap=sqlite3_wal_checkpoint_v2)
