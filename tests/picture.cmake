# What a PNG holds besides the scaled samples.
unit_test(spacing decoder_core base)
unit_test(overlay decoder_core base)
unit_test(extras decoder_core base)
unit_test(pngout_extras decoder_core PNG::PNG)
