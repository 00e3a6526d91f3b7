/* outputs.h: the names in an output folder that more than one role knows, and the drafts among them. */
#ifndef NIFFLER_COMMON_OUTPUTS_H
#define NIFFLER_COMMON_OUTPUTS_H

#define OUTPUTS_IMAGES "extracted-images"
#define OUTPUTS_FAILED "failed-dicom" /* with a folder for each category */

/* Where decoders write: on the same file system as the images, and known before a header was read. */
#define OUTPUTS_INCOMING OUTPUTS_IMAGES "/.incoming"

/* Remove what processes that were killed have left: pictures and copies half written, tables half exported.
 * Only when nobody works on the folder's job any more. */
void outputs_sweep_drafts(int output_dir);

#endif
