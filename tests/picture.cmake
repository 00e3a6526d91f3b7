# What a PNG holds besides the scaled samples.
unit_test(pngout_extras decoder_core PNG::PNG)
