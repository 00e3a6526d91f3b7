/* DCMTK as the reader: the only file of the tests that knows its types. */
#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmdata/dccodec.h"
#include "dcmtk/dcmdata/dcistrmb.h"
#include "dcmtk/dcmdata/dcostrmb.h"
#include "dcmtk/dcmdata/dcpixel.h"
#include "dcmtk/dcmdata/dcpixseq.h"
#include "dcmtk/dcmdata/dcpxitem.h"
#include "dcmtk/dcmdata/dctk.h"
#include "dcmtk/dcmdata/dcspchrs.h"
#include "dcmtk/oflog/oflog.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/differential/listing.h"

namespace
{

struct Walk {
    struct listing &out;
    E_TransferSyntax syntax;
    Sint32 frames;
    Uint32 most; /* no value that was read is longer */
};

uint32_t number_of(const DcmTag &tag)
{
    return static_cast<uint32_t>(tag.getGroup()) << 16 | tag.getElement();
}

void list_children(Walk &walk, DcmItem &item, uint32_t depth, const OFString &charset);

void set_vr(struct listed *entry, DcmObject &object)
{
    const DcmVR vr(object.getVR());
    std::memcpy(entry->vr, vr.getValidVRName(), 2);
    /* VRs of DCMTK's own: what its dictionary leaves open. */
    const DcmEVR evr = object.getTag().getEVR();
    entry->is_chosen = evr == EVR_ox || evr == EVR_px || evr == EVR_xs || evr == EVR_lt;
}

/* The value's bytes, little endian, onto the heap; none where the length says more than there is. */
struct listed_bytes copy_value(Walk &walk, DcmElement &element)
{
    struct listed_bytes place = {0, 0};
    const Uint32 length = element.getLength();
    uint8_t *room = length <= walk.most ? listing_room(&walk.out, length, &place) : nullptr;
    if (room != nullptr && length > 0 &&
        element.getPartialValue(room, 0, length, nullptr, EBO_LittleEndian).bad())
        place.length = 0;
    return place;
}

bool needs_conversion(const struct listing &out, const struct listed_bytes &value)
{
    for (uint64_t i = 0; i < value.length; i++)
        if (out.heap[value.at + i] >= 0x80 || out.heap[value.at + i] == 0x1b)
            return true;
    return false;
}

void convert(Walk &walk, DcmElement &element, const OFString &charset, struct listed *entry)
{
    DcmSpecificCharacterSet converter;
    uint8_t *room = listing_room(&walk.out, charset.size(), &entry->charset_text);
    if (room != nullptr)
        std::memcpy(room, charset.data(), charset.size());
    if (charset.empty())
        entry->charset = LISTED_CHARSET_ABSENT;
    else if (converter.selectCharacterSet(charset).bad())
        entry->charset = LISTED_CHARSET_UNKNOWN;
    else if (element.convertCharacterSet(converter).bad())
        entry->charset = LISTED_CHARSET_REFUSED;
    else
        entry->text = copy_value(walk, element);
    entry->has_text = entry->charset == 0;
}

void list_fragments(Walk &walk, DcmPixelSequence &sequence, uint32_t tag)
{
    const unsigned long count = sequence.card();
    for (unsigned long i = 0; i < count; i++) {
        DcmPixelItem *item = nullptr;
        Uint8 *bytes = nullptr;
        struct listed *entry = listing_add(&walk.out, LISTED_FRAGMENT, tag, 0);
        if (sequence.getItem(item, i).bad() || item == nullptr)
            continue;
        entry->promised = item->getLength();
        if (entry->promised > 0 && item->getUint8Array(bytes).good() && bytes != nullptr)
            entry->digest = listing_digest(bytes, entry->promised);
        else
            entry->digest = listing_digest(nullptr, 0);
    }
    for (Sint32 i = 0; i < walk.frames && static_cast<Uint32>(i) < LISTING_FRAMES_MAX; i++) {
        Uint32 fragment = 0;
        if (DcmCodec::determineStartFragment(static_cast<Uint32>(i), walk.frames, &sequence, fragment).bad())
            break;
        walk.out.frame_start[walk.out.frames++] = fragment;
    }
}

/* Pixel data that is encapsulated; false: it is a value like others. */
bool list_encapsulated(Walk &walk, DcmPixelData &pixels, struct listed *entry)
{
    E_TransferSyntax syntax = EXS_Unknown;
    const DcmRepresentationParameter *parameter = nullptr;
    DcmPixelSequence *sequence = nullptr;
    pixels.getOriginalRepresentationKey(syntax, parameter);
    if (pixels.getEncapsulatedRepresentation(syntax, parameter, sequence).bad() || sequence == nullptr)
        return false;
    entry->is_bulk = true;
    entry->is_undefined = true;
    if (entry->depth > 0)
        return true;
    entry->kind = LISTED_FRAGMENTS;
    list_fragments(walk, *sequence, entry->tag);
    return true;
}

void list_value(Walk &walk, DcmElement &element, struct listed *entry, const OFString &charset)
{
    auto *pixels = dynamic_cast<DcmPixelData *>(&element);
    set_vr(entry, element);
    entry->promised = element.getLength();
    if (pixels != nullptr && list_encapsulated(walk, *pixels, entry))
        return;
    if (element.ident() == EVR_pixelSQ || dynamic_cast<DcmPixelSequence *>(&element) != nullptr) {
        entry->is_undefined = true;
        entry->is_bulk = true;
        return;
    }
    entry->value = copy_value(walk, element);
    if ((entry->tag >> 16) == 0x7fe0 &&
        ((entry->tag & 0xffff) == 0x10 || (entry->tag & 0xffff) == 8 || (entry->tag & 0xffff) == 9)) {
        entry->is_bulk = true;
        entry->digest = listing_digest(walk.out.heap + entry->value.at, entry->value.length);
        return;
    }
    if (element.isAffectedBySpecificCharacterSet() && needs_conversion(walk.out, entry->value))
        convert(walk, element, charset, entry);
}

void list_sequence(Walk &walk, DcmSequenceOfItems &sequence, uint32_t tag, uint32_t depth,
                   const OFString &charset)
{
    for (DcmObject *item = sequence.nextInContainer(nullptr); item != nullptr;
         item = sequence.nextInContainer(item)) {
        listing_add(&walk.out, LISTED_ITEM, tag, depth);
        auto *content = dynamic_cast<DcmItem *>(item);
        if (content != nullptr)
            list_children(walk, *content, depth + 1, charset);
    }
}

void list_children(Walk &walk, DcmItem &item, uint32_t depth, const OFString &inherited)
{
    OFString charset = inherited;
    if (item.tagExists(DCM_SpecificCharacterSet)) {
        OFString own;
        charset = item.findAndGetOFStringArray(DCM_SpecificCharacterSet, own).good() ? own : OFString();
    }
    for (DcmObject *object = item.nextInContainer(nullptr); object != nullptr;
         object = item.nextInContainer(object)) {
        auto *element = dynamic_cast<DcmElement *>(object);
        const uint32_t tag = number_of(object->getTag());
        if (element == nullptr || ((tag & 0xffff) == 0 && tag != 0))
            continue;
        struct listed *entry = listing_add(&walk.out, LISTED_VALUE, tag, depth);
        auto *sequence = dynamic_cast<DcmSequenceOfItems *>(object);
        if (sequence != nullptr && dynamic_cast<DcmPixelSequence *>(object) == nullptr) {
            entry->kind = LISTED_SEQUENCE;
            std::memcpy(entry->vr, "SQ", 2);
            entry->is_undefined = object->getLengthField() == DCM_UndefinedLength;
            list_sequence(walk, *sequence, tag, depth, charset);
        } else {
            list_value(walk, *element, entry, charset);
        }
    }
}

OFCondition read(DcmFileFormat &file, const uint8_t *bytes, size_t length)
{
    DcmInputBufferStream stream;
    stream.setBuffer(bytes, static_cast<offile_off_t>(length));
    stream.setEos();
    file.transferInit();
    OFCondition result = file.read(stream, EXS_Unknown, EGL_noChange, DCM_UndefinedLength);
    file.transferEnd();
    return result;
}

} // namespace

void dicom_dcmtk_init(void)
{
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    /* The first of the paths is PS3.6, the others are of private elements, which the walker leaves alone. */
    const std::string paths = DCM_DICT_DEFAULT_PATH;
    DcmDataDictionary &dictionary = dcmDataDict.wrlock();
    dictionary.clear();
    const bool is_loaded =
        dictionary.loadDictionary(paths.substr(0, paths.find(ENVIRONMENT_PATH_SEPARATOR)).c_str());
    dcmDataDict.wrunlock();
    if (!is_loaded)
        std::abort();
    dcmEnableAutomaticInputDataCorrection.set(OFFalse);
    dcmEnableUnknownVRConversion.set(OFTrue);
    dcmAutoDetectDatasetXfer.set(OFTrue);
    dcmAcceptUnexpectedImplicitEncoding.set(OFTrue);
    dcmIgnoreFileMetaInformationGroupLength.set(OFTrue);
}

void dicom_dcmtk_list(const uint8_t *bytes, size_t length, struct listing *out)
{
    DcmFileFormat file;
    const OFCondition result = read(file, bytes, length);
    OFString syntax;
    Sint32 frames = 1;
    listing_begin(out);
    out->is_read = result.good();
    OFStandard::strlcpy(out->reason, result.text(), sizeof out->reason);
    if (file.getMetaInfo() != nullptr &&
        file.getMetaInfo()->findAndGetOFString(DCM_TransferSyntaxUID, syntax).good()) {
        while (!syntax.empty() && (syntax.back() == ' ' || syntax.back() == '\0'))
            syntax.resize(syntax.size() - 1);
        OFStandard::strlcpy(out->syntax, syntax.c_str(), sizeof out->syntax);
    }
    DcmDataset *dataset = file.getDataset();
    if (dataset == nullptr)
        return;
    if (dataset->findAndGetSint32(DCM_NumberOfFrames, frames).bad() || frames < 1)
        frames = 1;
    const bool is_deflated = dataset->getOriginalXfer() == EXS_DeflatedLittleEndianExplicit;
    /* Deflation does not shrink more than 1032 times. */
    const size_t inflated = length < LISTING_HEAP_BYTES / 1032 ? 1032 * length : LISTING_HEAP_BYTES;
    const size_t most = is_deflated ? inflated : length + 4;
    Walk walk = {*out, dataset->getOriginalXfer(), frames, static_cast<Uint32>(most)};
    list_children(walk, *dataset, 0, OFString());
}

size_t dicom_dcmtk_transcode(const uint8_t *bytes, size_t length, const char *syntax, bool is_undefined,
                             uint8_t *out, size_t size)
{
    DcmFileFormat file;
    const DcmXfer wanted(syntax);
    if (read(file, bytes, length).bad() || file.getDataset() == nullptr ||
        file.getDataset()->chooseRepresentation(wanted.getXfer(), nullptr).bad())
        return 0;
    DcmOutputBufferStream stream(out, static_cast<offile_off_t>(size));
    file.transferInit();
    const OFCondition result =
        file.write(stream, wanted.getXfer(), is_undefined ? EET_UndefinedLength : EET_ExplicitLength, nullptr,
                   EGL_noChange, EPD_noChange, 0, 0, 0, EWM_fileformat);
    file.transferEnd();
    void *written = nullptr;
    offile_off_t count = 0;
    stream.flush();
    stream.flushBuffer(written, count);
    return result.good() ? static_cast<size_t>(count) : 0;
}
