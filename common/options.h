/* options.h: what a worker must know to turn one DICOM file into PNGs and a record.
 *
 * A subset of the settings: everything that alters an output, nothing about the machine.
 * It travels inside each task (task.h), so that a worker is stateless, and to the decoder
 * (worker/wire.h). Defaults and meanings of the values: common/settings_table.c. */
#ifndef NIFFLER_COMMON_OPTIONS_H
#define NIFFLER_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum pixel_scaling {
    PIXEL_SCALING_FULL,    /* min(0, lowest) -> 0, highest -> white        */
    PIXEL_SCALING_NIFFLER, /* trunc(max(x, 0) / highest * white)           */
    PIXEL_SCALING_STORED,  /* the stored values, lifted to be non-negative */
    PIXEL_SCALING_WINDOW,  /* Modality LUT, then VOI LUT: window.h         */
};

enum flatten_level { FLATTEN_PATIENT, FLATTEN_STUDY, FLATTEN_SERIES };

enum value_format {
    VALUE_FORMAT_DICOM,   /* a\b            */
    VALUE_FORMAT_NIFFLER, /* Python's text  */
};

enum window_choice {
    WINDOW_INDEX,  /* the n-th of the file                             */
    WINDOW_VALUES, /* centre and width                                 */
    WINDOW_AUTO,   /* 1st to 99th percentile of the frame, no padding  */
};

enum overlays_choice { OVERLAYS_NONE, OVERLAYS_BURN };

enum png_compression {
    PNG_COMPRESSION_FAST,  /* no larger than libpng's default, many times faster */
    PNG_COMPRESSION_SMALL, /* the smallest of several ways                       */
};

enum frames_choice { FRAMES_ALL, FRAMES_FIRST, FRAMES_MIDDLE, FRAMES_NUMBER };

struct options {
    bool compatibility_niffler; /* categories, names, pixels and cells as Niffler gives them */
    bool print_images;
    bool is_16_bit; /* grey and colour samples of 16 bits, else 8 */
    bool public_headers_only;
    bool invert_monochrome1;
    bool pattern_given; /* FilePattern was set: a looked-at name that is not DICOM is a failure */
    enum pixel_scaling pixel_scaling;
    enum flatten_level flattened_to_level;
    enum value_format value_format;
    enum window_choice window; /* with PIXEL_SCALING_WINDOW */
    uint32_t window_index;     /* from 1; with WINDOW_INDEX */
    double window_center;      /* in the values behind the Modality LUT; with WINDOW_VALUES */
    double window_width;       /* at least 1; with WINDOW_VALUES */
    enum overlays_choice overlays;
    bool allow_truncated; /* missing pixel bytes become 0, and the row says so; else they fail the frame */
    enum png_compression png_compression;
    enum frames_choice frames;
    uint32_t frame_number;    /* from 1; with FRAMES_NUMBER                      */
    uint64_t max_value_bytes; /* longer values are cut with a mark; 0: unlimited */

    /* Limits per file; each one met is a failure of category 4. */
    uint64_t max_pixels;         /* rows times columns of a frame       */
    uint32_t max_frames;         /* frames of a file                    */
    uint32_t max_attributes;     /* data elements of a file, all levels */
    uint32_t max_nesting;        /* sequences inside sequences          */
    uint32_t max_items;          /* of one sequence                     */
    uint64_t max_metadata_bytes; /* all values but the pixel data; and all cells with their columns' names */
    uint64_t max_picture_bytes;  /* of one PNG                          */
};

struct buffer;
struct json_reader;

/* As a JSON object: every option under its own name, enumerations as numbers. Reading, one that is missing
 * or out of its range makes the reader fail: a worker that filled a gap with its own default would give other
 * bytes. In the library `common`; the decoder sees the struct only. */
void options_to_json(const struct options *options, struct buffer *out);
void options_from_json(struct json_reader *in, struct options *options);

#endif
