/* sample_ct.c: a chest CT and a head MR.
 *
 * The CT is what the measurements are made with, so its header is as long as a real scanner's (some hundred
 * elements, among them sequences and private blocks) and its noise compresses as real noise does. */
#include "tests/samples/sample_set.h"

#include <stdlib.h>

#define CT_SIZE 512

static const struct sample_patient alma = {"PAT0001",  "Muster^Alma", "Muster^Alma", "FIC-0001",
                                           "19610405", "F",           "062Y"};
static const struct sample_patient bruno = {
    "PAT0002", "Exempel^Bruno", "Exempel^Bruno", "FIC-0002", "19790917", "M", "044Y"};

/* A chest in Hounsfield units. `slice` of `count` moves from the lungs' tips to their bases. */
static void draw_chest(struct canvas *hu, unsigned slice, unsigned count, struct random *rng)
{
    int32_t along = count > 1 ? (int32_t)(slice * 1000 / (count - 1)) : 500; /* thousandths of the way */
    int32_t lung = 50 + along / 20;                                          /* lungs grow downwards    */

    canvas_init(hu, CT_SIZE, CT_SIZE, -1000);
    canvas_rectangle(hu, 60, 452, 392, 10, -650); /* table */
    canvas_rectangle(hu, 60, 462, 392, 4, 120);
    canvas_ellipse(hu, 256, 270, 210, 165, -95); /* fat */
    canvas_ellipse(hu, 256, 270, 196, 150, 45);  /* muscle */
    canvas_ellipse(hu, 256, 270, 176, 132, 35);
    canvas_ellipse(hu, 160, 255, lung - 12, lung + 14, -860);
    canvas_ellipse(hu, 352, 255, lung - 6, lung + 14, -860);
    for (int i = 0; i < 90; i++) { /* vessels of the lungs */
        int32_t side = i % 2 == 0 ? 160 : 352;
        int32_t x = side + random_range(rng, -lung * 6 / 10, lung * 6 / 10);
        int32_t y = 255 + random_range(rng, -lung * 7 / 10, lung * 7 / 10);
        int32_t radius = random_range(rng, 1, 4);
        canvas_ellipse(hu, x, y, radius, random_range(rng, 1, 4), random_range(rng, -500, 20));
    }
    canvas_ellipse(hu, 268, 215, 44 + along / 40, 40, 48); /* heart */
    canvas_ellipse(hu, 240, 190, 17, 17, 310);             /* aorta with contrast medium */
    canvas_ellipse(hu, 296, 325, 14, 14, 290);
    canvas_ellipse(hu, 256, 352, 30, 24, 420); /* vertebra: cortical, then spongy bone */
    canvas_ellipse(hu, 256, 352, 25, 19, 210);
    canvas_ellipse(hu, 256, 386, 11, 9, 25); /* spinal canal */
    canvas_rectangle(hu, 252, 396, 8, 24, 480);
    for (int32_t i = 0; i < 6; i++) { /* ribs */
        canvas_ellipse(hu, 84 + 6 * i, 200 + 28 * i, 6, 12, 550);
        canvas_ellipse(hu, 428 - 6 * i, 200 + 28 * i, 6, 12, 550);
    }
    canvas_ellipse(hu, 256, 132, 26, 8, 480); /* sternum */
    canvas_smooth(hu);
    canvas_smooth(hu);
    canvas_noise(hu, rng, 16);
}

static void put_ct_acquisition(struct dataset *ds)
{
    dataset_put_text(ds, TAG(0x0018, 0x0022), "CS", "HELICAL_CT");
    dataset_put_text(ds, TAG(0x0018, 0x0050), "DS", "1.25");
    dataset_put_text(ds, TAG(0x0018, 0x0060), "DS", "120");
    dataset_put_text(ds, TAG(0x0018, 0x0090), "DS", "500.0");
    dataset_put_text(ds, TAG(0x0018, 0x1030), "LO", "4.1 Chest routine");
    dataset_put_text(ds, TAG(0x0018, 0x1040), "LO", "IV");
    dataset_put_text(ds, TAG(0x0018, 0x1100), "DS", "360.000000");
    dataset_put_text(ds, TAG(0x0018, 0x1110), "DS", "1085.6");
    dataset_put_text(ds, TAG(0x0018, 0x1111), "DS", "595");
    dataset_put_text(ds, TAG(0x0018, 0x1120), "DS", "0.0");
    dataset_put_text(ds, TAG(0x0018, 0x1130), "DS", "133.5");
    dataset_put_text(ds, TAG(0x0018, 0x1140), "CS", "CW");
    dataset_put_text(ds, TAG(0x0018, 0x1150), "IS", "500");
    dataset_put_text(ds, TAG(0x0018, 0x1151), "IS", "240");
    dataset_put_text(ds, TAG(0x0018, 0x1152), "IS", "120");
    dataset_put_text(ds, TAG(0x0018, 0x1160), "SH", "WEDGE_3");
    dataset_put_text(ds, TAG(0x0018, 0x1170), "IS", "28");
    dataset_put_text(ds, TAG(0x0018, 0x1190), "DS", "0.9\\1.2");
    dataset_put_text(ds, TAG(0x0018, 0x1200), "DA", "20240108\\20240305");
    dataset_put_text(ds, TAG(0x0018, 0x1201), "TM", "071500\\065959.5");
    dataset_put_text(ds, TAG(0x0018, 0x1210), "SH", "STANDARD");
    dataset_put_text(ds, TAG(0x0018, 0x5100), "CS", "HFS");
    dataset_put_f64(ds, TAG(0x0018, 0x9305), 0.5);
    dataset_put_f64(ds, TAG(0x0018, 0x9306), 0.625);
    dataset_put_f64(ds, TAG(0x0018, 0x9307), 40.0);
    dataset_put_f64(ds, TAG(0x0018, 0x9309), 55.0);
    dataset_put_f64(ds, TAG(0x0018, 0x9310), 137.5);
    dataset_put_f64(ds, TAG(0x0018, 0x9311), 0.984375);
    dataset_put_text(ds, TAG(0x0018, 0x9323), "CS", "XYZ_EC");
    dataset_put_f64(ds, TAG(0x0018, 0x9345), 8.75);
    sample_put_code(ds, TAG(0x0018, 0x9346), "113691", "DCM", "IEC Body Dosimetry Phantom");
    const double positions[3] = {-133.25, 266.5, 12.125};
    dataset_put_f64s(ds, TAG(0x0018, 0x9318), "FD", positions, 3);
}

static void put_ct_study(struct dataset *ds)
{
    dataset_put_text(ds, TAG(0x0008, 0x0022), "DA", "20240311");
    dataset_put_text(ds, TAG(0x0008, 0x0032), "TM", "093455.125000");
    dataset_put_text(ds, TAG(0x0008, 0x0201), "SH", "+0100");
    dataset_put_text(ds, TAG(0x0008, 0x1040), "LO", "Radiology");
    dataset_put_text(ds, TAG(0x0008, 0x1048), "PN", "Reader^Rosa^^Dr.");
    dataset_put_text(ds, TAG(0x0008, 0x1050), "PN", "Performer^Paul");
    dataset_put_text(ds, TAG(0x0008, 0x1070), "PN", "Operator^Olga\\Operator^Otto");
    sample_put_code(ds, TAG(0x0008, 0x1032), "CTCHEST", "99INVENTED", "CT of the chest with contrast");
    dataset_put_text(ds, TAG(0x0010, 0x1020), "DS", "1.68");
    dataset_put_text(ds, TAG(0x0010, 0x1030), "DS", "64.5");
    dataset_put_text(ds, TAG(0x0010, 0x2160), "SH", "");
    dataset_put_text(ds, TAG(0x0010, 0x21B0), "LT", "Invented history: cough for three weeks,\r\nno fever.");
    dataset_put_text(ds, TAG(0x0010, 0x4000), "LT", "This person does not exist");
    dataset_put_text(ds, TAG(0x0018, 0x0010), "LO", "Contrast medium, invented, 300 mg/ml");
    dataset_put_text(ds, TAG(0x0018, 0x1041), "DS", "80");
    dataset_put_text(ds, TAG(0x0032, 0x1032), "PN", "Requester^Rita");
    dataset_put_text(ds, TAG(0x0032, 0x1060), "LO", "CT chest");
    dataset_put_text(ds, TAG(0x0040, 0x0244), "DA", "20240311");
    dataset_put_text(ds, TAG(0x0040, 0x0245), "TM", "092800");
    dataset_put_text(ds, TAG(0x0040, 0x0253), "SH", "PPS77");
    dataset_put_text(ds, TAG(0x0040, 0x0254), "LO", "CT chest routine");
    sample_put_code(ds, TAG(0x0040, 0x0260), "P-CHEST", "99INVENTED", "Chest routine");
    struct dataset *request = dataset_add_item(ds, TAG(0x0040, 0x0275));
    dataset_put_text(request, TAG(0x0032, 0x1060), "LO", "CT chest");
    dataset_put_text(request, TAG(0x0040, 0x0007), "LO", "Chest with contrast");
    dataset_put_text(request, TAG(0x0040, 0x0009), "SH", "SPS1");
    dataset_put_text(request, TAG(0x0040, 0x1001), "SH", "RP1");
    sample_put_code(request, TAG(0x0040, 0x0008), "S-CHEST", "99INVENTED", "Chest step");
}

static void put_ct_references(const struct sample_set *set, struct dataset *ds, unsigned count)
{
    for (unsigned i = 0; i < 2; i++) {
        struct dataset *item = dataset_add_item(ds, TAG(0x0008, 0x1140));
        dataset_put_text(item, TAG(0x0008, 0x1150), "UI", SAMPLE_CT);
        sample_put_uid(set, item, TAG(0x0008, 0x1155), i == 0 ? "localizer/1" : "localizer/2");
        if (i == 0)
            sample_put_code(item, TAG(0x0040, 0xA170), "121311", "DCM", "Localizer");
    }
    struct dataset *step = dataset_add_item(ds, TAG(0x0008, 0x1111));
    dataset_put_text(step, TAG(0x0008, 0x1150), "UI", "1.2.840.10008.3.1.2.3.3");
    sample_put_uid(set, step, TAG(0x0008, 0x1155), "performed step");
    dataset_put_format(ds, TAG(0x0020, 0x1002), "IS", "%u", count);
}

static void put_ct_private(struct dataset *ds, unsigned slice)
{
    dataset_put_text(ds, TAG(0x0009, 0x0010), "LO", "FICTIVE CT HEADER 1");
    dataset_put_text(ds, TAG(0x0009, 0x1001), "LO", "ENGINE 4");
    dataset_put_text(ds, TAG(0x0009, 0x1002), "SH", "GANTRY\\TABLE\\TUBE");
    dataset_put_u32(ds, TAG(0x0009, 0x1010), 1710149695 + slice);
    dataset_put_text(ds, TAG(0x0019, 0x0010), "LO", "FICTIVE CT ACQ 1");
    dataset_put_text(ds, TAG(0x0019, 0x1002), "DS", "912.5");
    dataset_put_s16(ds, TAG(0x0019, 0x1003), -37);
    dataset_put_f32(ds, TAG(0x0019, 0x1004), 0.25f);
    dataset_put_text(ds, TAG(0x0019, 0x1005), "DS", "1.5\\-2.25\\0.125\\17");
    dataset_put_bytes(ds, TAG(0x0019, 0x1006), "OB", "\x01\x80\xff\x00\x7f", 5);
    dataset_put_bytes(ds, TAG(0x0019, 0x1007), "UN", "opaque bytes", 12);
}

static void put_ct_geometry(const struct sample_set *set, struct dataset *ds, unsigned instance)
{
    sample_put_uid(set, ds, TAG(0x0020, 0x0052), "frame of reference/chest");
    dataset_put_text(ds, TAG(0x0020, 0x0012), "IS", "1");
    dataset_put_text(ds, TAG(0x0020, 0x0020), "CS", "L\\P");
    unsigned depth = 12000 + 125 * instance; /* hundredths of a millimetre below the origin */
    dataset_put_format(ds, TAG(0x0020, 0x0032), "DS", "-179.65\\-179.65\\-%u.%02u", depth / 100, depth % 100);
    dataset_put_text(ds, TAG(0x0020, 0x0037), "DS", "1\\0\\0\\0\\1\\0");
    dataset_put_text(ds, TAG(0x0020, 0x1040), "LO", "SN");
    dataset_put_format(ds, TAG(0x0020, 0x1041), "DS", "-%u.%02u", depth / 100, depth % 100);
    dataset_put_text(ds, TAG(0x0020, 0x4000), "LT", "");
    dataset_put_text(ds, TAG(0x0028, 0x0030), "DS", "0.703125\\0.703125");
    dataset_put_text(ds, TAG(0x0028, 0x0301), "CS", "NO");
    dataset_put_text(ds, TAG(0x0028, 0x1050), "DS", "40\\-600");
    dataset_put_text(ds, TAG(0x0028, 0x1051), "DS", "400\\1500");
    dataset_put_text(ds, TAG(0x0028, 0x1055), "LO", "SOFT\\LUNG");
    dataset_put_text(ds, TAG(0x0028, 0x2110), "CS", "00");
}

/* Stored values are unsigned with an intercept of -1024, or the Hounsfield units themselves, signed, with a
 * padding value outside the scanner's field of view. */
static void put_ct_pixels(struct dataset *ds, struct canvas *hu, bool is_signed)
{
    if (is_signed) {
        struct canvas view;
        canvas_init(&view, CT_SIZE, CT_SIZE, 0);
        canvas_ellipse(&view, CT_SIZE / 2, CT_SIZE / 2, CT_SIZE / 2 - 1, CT_SIZE / 2 - 1, 1);
        for (size_t i = 0; i < canvas_count(hu); i++)
            hu->values[i] = view.values[i] == 0 ? -2000 : hu->values[i] < -1024 ? -1024 : hu->values[i];
        canvas_clear(&view);
        dataset_put_s16(ds, TAG(0x0028, 0x0120), -2000);
    } else {
        for (size_t i = 0; i < canvas_count(hu); i++)
            hu->values[i] += 1024;
        canvas_clip(hu, 0, 4095);
    }
    dataset_put_text(ds, TAG(0x0028, 0x1052), "DS", is_signed ? "0" : "-1024");
    dataset_put_text(ds, TAG(0x0028, 0x1053), "DS", "1");
    dataset_put_text(ds, TAG(0x0028, 0x1054), "LO", "HU");
    struct sample_pixels pixels = {CT_SIZE,   CT_SIZE,       1, 16, is_signed ? 16 : 12,
                                   is_signed, "MONOCHROME2", 0, 0};
    sample_put_canvas(ds, &pixels, hu);
}

void sample_group_ct(struct sample_set *set)
{
    for (int variant = 0; variant < 2; variant++) {
        struct sample_series series = {&alma,
                                       "CT_CHEST_20240311",
                                       variant == 0 ? "S0002_AXIAL" : "S0003_AXIAL_SIGNED",
                                       "CT",
                                       SAMPLE_CT,
                                       "CT chest with contrast",
                                       variant == 0 ? "Axial 1.25" : "Axial 1.25 signed",
                                       "CHEST",
                                       "20240311",
                                       2 + variant};
        unsigned count = variant == 0 ? set->ct_count : (set->ct_count + 3) / 4;
        for (unsigned instance = 1; instance <= count; instance++) {
            struct random rng = sample_random(set, &series, instance);
            struct dataset *ds = sample_new(set, &series, instance);
            struct canvas hu;
            draw_chest(&hu, instance - 1, count, &rng);
            dataset_put_text(ds, TAG(0x0008, 0x0008), "CS", "ORIGINAL\\PRIMARY\\AXIAL");
            put_ct_study(ds);
            put_ct_acquisition(ds);
            put_ct_references(set, ds, count);
            put_ct_private(ds, instance);
            put_ct_geometry(set, ds, instance);
            put_ct_pixels(ds, &hu, variant == 1);
            canvas_clear(&hu);
            sample_write(set, &series, instance, ds, SAMPLE_EXPLICIT_LITTLE);
        }
    }
}

static void draw_head(struct canvas *head, int32_t slice, struct random *rng)
{
    canvas_init(head, 256, 256, 12);
    canvas_ellipse(head, 128, 128, 88, 108, 1450); /* scalp */
    canvas_ellipse(head, 128, 128, 82, 102, 120);  /* skull */
    canvas_ellipse(head, 128, 128, 76, 96, 780);   /* grey matter */
    canvas_ellipse(head, 128, 128, 64, 82, 1080);  /* white matter */
    canvas_rectangle(head, 127, 34, 3, 188, 300);  /* fissure */
    canvas_ellipse(head, 112, 120, 10, 30 + slice, 210);
    canvas_ellipse(head, 144, 120, 10, 30 + slice, 210); /* ventricles */
    canvas_ellipse(head, 92, 88, 13, 11, 2600);          /* lesion */
    canvas_smooth(head);
    canvas_noise(head, rng, 22);
    canvas_clip(head, 0, 4095);
}

static void put_mr_acquisition(const struct sample_set *set, struct dataset *ds, unsigned instance)
{
    dataset_put_text(ds, TAG(0x0008, 0x0008), "CS", "ORIGINAL\\PRIMARY\\M\\SE");
    dataset_put_text(ds, TAG(0x0018, 0x0020), "CS", "SE");
    dataset_put_text(ds, TAG(0x0018, 0x0021), "CS", "SK\\SP");
    dataset_put_text(ds, TAG(0x0018, 0x0022), "CS", "FC\\SAT1");
    dataset_put_text(ds, TAG(0x0018, 0x0023), "CS", "2D");
    dataset_put_text(ds, TAG(0x0018, 0x0050), "DS", "5");
    dataset_put_text(ds, TAG(0x0018, 0x0080), "DS", "550");
    dataset_put_text(ds, TAG(0x0018, 0x0081), "DS", "9.1");
    dataset_put_text(ds, TAG(0x0018, 0x0083), "DS", "2");
    dataset_put_text(ds, TAG(0x0018, 0x0087), "DS", "1.5");
    dataset_put_text(ds, TAG(0x0018, 0x0088), "DS", "6");
    dataset_put_text(ds, TAG(0x0018, 0x0091), "IS", "1");
    dataset_put_text(ds, TAG(0x0018, 0x1314), "DS", "90");
    const uint16_t matrix[4] = {0, 256, 192, 0};
    dataset_put_words(ds, TAG(0x0018, 0x1310), "US", matrix, 4);
    dataset_put_text(ds, TAG(0x0018, 0x5100), "CS", "HFS");
    sample_put_uid(set, ds, TAG(0x0020, 0x0052), "frame of reference/head");
    dataset_put_format(ds, TAG(0x0020, 0x0032), "DS", "-110\\-110\\%u", 6 * instance);
    dataset_put_text(ds, TAG(0x0020, 0x0037), "DS", "1\\0\\0\\0\\1\\0");
    dataset_put_text(ds, TAG(0x0020, 0x1040), "LO", "");
    dataset_put_text(ds, TAG(0x0028, 0x0030), "DS", "0.859375\\0.859375");
    dataset_put_text(ds, TAG(0x0028, 0x1050), "DS", "900");
    dataset_put_text(ds, TAG(0x0028, 0x1051), "DS", "1800");
}

void sample_group_mr(struct sample_set *set)
{
    const struct sample_series series = {&bruno,    "MR_HEAD_20240514", "S0001_T1", "MR",       SAMPLE_MR,
                                         "MR head", "T1 axial",         "HEAD",     "20240514", 1};
    for (unsigned instance = 1; instance <= 6; instance++) {
        struct random rng = sample_random(set, &series, instance);
        struct dataset *ds = sample_new(set, &series, instance);
        struct canvas head;
        draw_head(&head, (int32_t)instance, &rng);
        put_mr_acquisition(set, ds, instance);
        struct sample_pixels pixels = {256, 256, 1, 16, 12, false, "MONOCHROME2", 0, 0};
        sample_put_canvas(ds, &pixels, &head);
        canvas_clear(&head);
        sample_write(set, &series, instance, ds, SAMPLE_EXPLICIT_LITTLE);
    }
}
