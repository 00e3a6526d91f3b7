unit_test(codec decoder_core base)
unit_test(codec_damage decoder_core base)
unit_test(codec_jpegls decoder_core base PkgConfig::CHARLS)
unit_test(image decoder_core base)
unit_test(image_damage decoder_core base)
unit_test(image_shapes decoder_core base)

add_executable(dump_samples EXCLUDE_FROM_ALL tools/dump_samples.c)
target_link_libraries(dump_samples PRIVATE strict decoder_core base)
