# Jobs over a real broker: each class starts its own. Those that measure times run alone.
e2e_test(fleet Oracle 900)
e2e_test(fleet Corpus 1200)
e2e_test(fleet Commands 1200)
e2e_test(fleet Tls 600)
e2e_test(fleet_views Redis 1200)
e2e_test(fleet_views Mail 1200)
e2e_test(fleet_views Health 600)
e2e_test(fleet_malformed Malformed 900)
e2e_test(fleet_faults Broker 1200)
e2e_test(fleet_faults Storage 900)
e2e_test(fleet_faults Drain 1200)
e2e_test(fleet_faults TwoAggregators 600)
e2e_test(fleet_more Corners 1200)
e2e_test(durability Fleet 900)
set_tests_properties(e2e.fleet_faults.Drain e2e.fleet_views.Redis PROPERTIES RUN_SERIAL TRUE)

# As for e2e.corpus.Corpus.
set_tests_properties(e2e.fleet.Corpus PROPERTIES SKIP_RETURN_CODE 77)
