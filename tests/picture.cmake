# What a PNG holds besides the scaled samples.
unit_test(overlay decoder_core base)
unit_test(pngout_extras decoder_core PNG::PNG)
